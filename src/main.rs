//! The `vstar` program.

fn main() {}
