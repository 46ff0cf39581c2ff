//! `vstar formats`: lists the formats of items, each with a row to copy.

use serde_json::json;

use super::terminal::out::result;
use crate::input::formats::FORMATS;

/// Lists the formats.
pub fn formats() {
    let all: Vec<_> = FORMATS.iter().map(|f| json!({"about": f.about, "example": f.example})).collect();
    result(|| json!(all));
    println!(
        "Items are JSON lines, a JSON array, CSV or TSV, any of them compressed by gzip, or parquet; hf://owner/name[:SPLIT] \
         is a data set of the hub. A row is one of:\n"
    );
    for format in FORMATS {
        println!("- {}\n  {}\n", format.about, format.example);
    }
    println!("Observations, experiments and reports are described in docs/formats.md.");
}
