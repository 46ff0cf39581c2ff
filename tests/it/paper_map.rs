//! `docs/paper-map.md` names only existing quantities and modules, and every quantity.

use std::collections::BTreeSet;
use std::path::Path;

use vstar::theory::{Quantity, STATEMENTS};

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/paper-map.md"))
        .expect("the page")
}

/// Cells of the rows of the six-column tables.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let is_row =
        |line: &&str| line.starts_with('|') && !line.starts_with("|---") && !line.starts_with("| Statement");
    page.lines().filter(is_row).map(cells).filter(|cells| cells.len() == 6).collect()
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split(" | ").map(str::trim).collect()
}

/// Contents of backticks.
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
            // `… table `NAME` …`: tables are not quantities.
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
            let path = module.strip_prefix("theory::").unwrap_or(module).replace("::", "/");
            let there = ["", "theory/"].iter().any(|under| {
                let at = root.join(format!("{under}{path}"));
                at.is_dir() || at.with_extension("rs").is_file()
            });
            assert!(there, "`{module}` of “{}” is no module", row[0]);
        }
    }
}

/// The map contains every statement of the program: each of its quantities in a row that names its module, and its
/// source in the first column of one of these rows.
#[test]
fn the_map_holds_every_statement_of_the_program() {
    let page = page();
    let rows = rows(&page);
    let mut names = BTreeSet::new();
    for statement in STATEMENTS {
        assert!(names.insert(statement.name), "{} stands twice", statement.name);
        let own = |row: &&Vec<&str>| {
            code(row[2]).any(|module| {
                let module = module.strip_prefix("theory::").unwrap_or(module);
                module.split("::").next() == Some(statement.name)
            })
        };
        let own: Vec<&Vec<&str>> = rows.iter().filter(own).collect();
        assert!(!own.is_empty(), "no row names the module `{}`", statement.name);
        for quantity in statement.quantities {
            assert!(
                own.iter().any(|row| code(row[1]).any(|name| name == quantity.name())),
                "no row of `{}` names `{}`",
                statement.name,
                quantity.name()
            );
        }
        for part in statement.source.split(", ") {
            // "Propositions 18–23", "Assumptions 1", "Section 9.2": the number is enough.
            let number = part.rsplit(' ').next().unwrap_or(part).split('–').next().unwrap_or(part);
            let whole = |row: &&&Vec<&str>| {
                row[0].split(|c: char| !(c.is_alphanumeric() || c == '.')).any(|word| word == number)
            };
            assert!(own.iter().any(|row| whole(&row)), "{}: {part} in {own:?}", statement.name);
        }
    }
}

/// Every quantity from the paper is measured by exactly one statement.
#[test]
fn every_quantity_of_a_report_belongs_to_one_statement() {
    let mut of = std::collections::BTreeMap::new();
    for statement in STATEMENTS {
        for quantity in statement.quantities {
            let other = of.insert(*quantity, statement.name);
            assert!(other.is_none(), "{}: {} and {other:?}", quantity.name(), statement.name);
        }
    }
    // Quantities of interventions, comparisons and checkpoints are measured by their own commands.
    let elsewhere = ["steer_", "direction_", "shift_", "function_cos", "constitution_cos"];
    let missing: Vec<&str> = Quantity::ALL
        .iter()
        .filter(|q| !of.contains_key(q))
        .map(|q| q.name())
        .filter(|name| !elsewhere.iter().any(|e| name.starts_with(e)))
        .collect();
    assert!(missing.is_empty(), "no statement measures {missing:?}");
}
