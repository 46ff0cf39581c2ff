//! `docs/paper-map.md` names what there is: quantities, modules, and all of the quantities.

use std::collections::BTreeSet;
use std::path::Path;

use vstar::hypothesis::Quantity;

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/paper-map.md"))
        .expect("the page")
}

/// The cells of the rows of the tables of six columns.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let is_row =
        |line: &&str| line.starts_with('|') && !line.starts_with("|---") && !line.starts_with("| Statement");
    page.lines().filter(is_row).map(cells).filter(|cells| cells.len() == 6).collect()
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split(" | ").map(str::trim).collect()
}

/// What stands in backticks.
fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_quantity_has_a_statement_and_every_name_is_one() {
    let page = page();
    let rows = rows(&page);
    assert!(rows.len() > 30, "{} rows", rows.len());
    let mut named = BTreeSet::new();
    for row in &rows {
        let mut tables = false;
        for piece in row[1].split_inclusive(['`']).collect::<Vec<_>>().chunks(2) {
            // `… table `NAME` …`: tables are no quantities.
            tables = piece[0].trim_end_matches('`').trim_end().ends_with("table")
                || piece[0].trim_end_matches('`').trim_end().ends_with("tables")
                || (tables && piece[0].trim_end_matches('`').trim() == ",");
            let Some(name) = piece.get(1).and_then(|n| n.strip_suffix('`')) else { continue };
            let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if is_name && !tables {
                assert!(Quantity::from_name(name).is_some(), "`{name}` of “{}” is no quantity", row[0]);
                named.insert(name);
            }
        }
    }
    let missing: Vec<&str> =
        Quantity::ALL.iter().map(|q| q.name()).filter(|name| !named.contains(name)).collect();
    assert!(missing.is_empty(), "no statement is measured by {missing:?}");
}

#[test]
fn every_module_is_there() {
    let page = page();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for row in rows(&page) {
        for module in code(row[2]) {
            let path = module.replace("::", "/");
            let there = ["", "hypothesis/"].iter().any(|under| {
                let at = root.join(format!("{under}{path}"));
                at.is_dir() || at.with_extension("rs").is_file()
            });
            assert!(there, "`{module}` of “{}” is no module", row[0]);
        }
    }
}
