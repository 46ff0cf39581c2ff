//! `vstar judges`: lists or prints the built-in judge templates.

use clap::Args;
use serde_json::json;

use super::terminal::out::result;
use crate::error::{Diagnostic, Kind, Result};
use crate::judge::JudgeTemplate;

#[derive(Debug, Args)]
pub struct JudgesArgs {
    /// Print this template, a TOML file to start from; without a name all are listed
    pub name: Option<String>,
}

/// Lists names and descriptions, or prints one template.
pub fn judges(args: &JudgesArgs) -> Result<()> {
    let described = |name: &str| {
        let text = JudgeTemplate::built_in_text(name).unwrap_or_default();
        let table: toml::Table = text.parse().unwrap_or_default();
        table.get("description").and_then(|d| d.as_str()).unwrap_or_default().to_owned()
    };
    let Some(name) = &args.name else {
        let data = |name: &str| json!({"name": name, "description": described(name)});
        result(|| JudgeTemplate::built_in().map(data).collect());
        for name in JudgeTemplate::built_in() {
            println!("{name:<18}  {}", described(name));
        }
        println!("\nuse: --judge NAME, or --judge FILE.toml for one of your own");
        return Ok(());
    };
    match JudgeTemplate::built_in_text(name) {
        Some(text) => {
            result(|| json!({"name": name, "description": described(name), "toml": text}));
            println!("{}", text.trim_end());
        }
        None => {
            let known: Vec<&str> = JudgeTemplate::built_in().collect();
            return Err(Diagnostic::new(
                Kind::Missing,
                format!("no judge template `{name}` comes with the program"),
            )
            .expected(format!("one of {}", known.join(", ")))
            .into());
        }
    }
    Ok(())
}
