//! Formats of items, one file each.
