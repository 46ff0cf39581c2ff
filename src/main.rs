//! The `vstar` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    vstar::commands::main()
}
