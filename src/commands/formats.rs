//! `vstar formats`: the formats of items, each with a row to copy.

use crate::input::formats::FORMATS;

/// Lists them.
pub fn formats() {
    println!(
        "Items are JSON lines, a JSON array, CSV or TSV, any of them compressed by gzip, or parquet; hf://owner/name[:SPLIT] \
         is a data set of the hub. A row is one of:\n"
    );
    for format in FORMATS {
        println!("- {}\n  {}\n", format.about, format.example);
    }
    println!("Observations, experiments and reports are described in docs/formats.md.");
}
