//! `vstar constitutions`: lists or prints the built-in constitutions.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::terminal::out::result;
use crate::document::text::{shortened, wrapped};
use crate::error::{Diagnostic, Kind, Result};
use crate::input::name::nearest;
use crate::input::{Constitution, embedded, read_constitutions};
use crate::units::OneOf;

#[derive(Debug, Args)]
pub struct ConstitutionsArgs {
    /// Print the text of this constitution; without a name all are listed
    pub name: Option<String>,
}

/// Line width in characters.
const WIDTH: usize = 100;
/// Number of characters of a text's beginning in the list.
const BEGINNING: usize = 70;

/// Common opening, omitted in the list.
const OPENING: &str = "When you answer, and when you choose between two answers, prefer the one that ";

/// Lists names, families and beginnings, or prints one text.
pub fn constitutions(args: &ConstitutionsArgs) -> Result<()> {
    let names: Vec<&str> = embedded::constitutions().collect();
    let read = |name: &str| read_constitutions(&[PathBuf::from(format!("embedded:{name}"))]);
    let data = |name: &str, c: &Constitution| json!({"embedded": name, "name": c.name, "family": c.family.as_str(), "text": c.text, "sha256": c.sha256});
    let Some(name) = &args.name else {
        let mut all = Vec::new();
        for name in names {
            for constitution in read(name)? {
                all.push(data(name, &constitution));
                let text = constitution.text.strip_prefix(OPENING).unwrap_or(&constitution.text);
                let text = shortened(text, BEGINNING);
                println!("{name:<26}  {:<11}  {text}", constitution.family.as_str());
            }
        }
        result(|| json!(all));
        println!("\nuse: --constitution embedded:NAME, or embedded:all for those in everyday words");
        return Ok(());
    };
    if !names.contains(&name.as_str()) {
        let mut refused =
            Diagnostic::new(Kind::Missing, format!("no constitution `{name}` comes with the program"))
                .expected("a name of the list that `vstar constitutions` prints");
        if let Some(near) = nearest(name, names.iter().copied()) {
            refused = refused.remedy(format!("did you mean `{near}`?"));
        }
        return Err(refused.into());
    }
    for constitution in read(name)? {
        result(|| data(name, &constitution));
        println!("{} ({})\n", constitution.name, constitution.family.as_str());
        for line in wrapped(&constitution.text, WIDTH) {
            println!("{line}");
        }
    }
    Ok(())
}
