//! `vstar explain`.

use clap::Args;
use serde_json::json;

use super::terminal::out::result;
use crate::document::text::wrapped;
use crate::error::{Diagnostic, Kind, Result};
use crate::theory::Quantity;

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Name of a quantity in report.json; without a name all are listed
    pub quantity: Option<String>,
}

/// Line width in characters.
const WIDTH: usize = 100;

/// Prints the explanation of a quantity, or the list of quantities.
pub fn explain(args: &ExplainArgs) -> Result<()> {
    let data =
        |q: Quantity| json!({"quantity": q.name(), "summary": q.summary(), "explanation": q.explanation()});
    let Some(name) = &args.quantity else {
        result(|| Quantity::ALL.iter().map(|q| data(*q)).collect());
        let widest = Quantity::ALL.iter().map(|q| q.name().len()).max().unwrap_or(0);
        for quantity in Quantity::ALL {
            println!("{:<widest$}  {}", quantity.name(), quantity.summary());
        }
        return Ok(());
    };
    let Some(quantity) = Quantity::from_name(name) else {
        let near = Quantity::ALL
            .iter()
            .map(|q| q.name())
            .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
        return Err(Diagnostic::new(Kind::Invalid, format!("no quantity `{name}`"))
            .expected(format!("a name such as `{}`", near.unwrap_or_default()))
            .remedy("`vstar explain` lists all")
            .into());
    };
    result(|| data(quantity));
    println!("{}\n", quantity.name());
    for paragraph in quantity.explanation().split("\n\n") {
        // Remove Markdown emphasis.
        for line in wrapped(&paragraph.replace("**", "").replace('`', ""), WIDTH) {
            println!("{line}");
        }
        println!();
    }
    Ok(())
}
