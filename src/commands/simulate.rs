//! `vstar simulate`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::terminal::out::result;
use crate::error::{Diagnostic, Kind, Result};
use crate::simulate::{Regime, simulate as draw};
use crate::{artifact, coverage};

#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Regime, or `all` with --table for the coverage of every interval, false verdicts and power; without it the
    /// regimes are listed
    pub regime: Option<String>,
    /// Seed of the first draw
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print bias, root mean square error and coverage over this many seeds instead of writing a data set, and, for a
    /// regime with a placebo arm, how often each verdict is given
    #[arg(long, value_name = "SEEDS")]
    pub table: Option<u64>,
    /// Folder for observations and truth; with `all --table` the file for the table
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// Lists regimes, writes a data set, or prints a table over seeds.
pub fn simulate(args: &SimulateArgs) -> Result<()> {
    let Some(name) = &args.regime else {
        let data = |r: &Regime| json!({"regime": r.name(), "about": r.about()});
        result(|| Regime::ALL.iter().map(data).collect());
        for regime in Regime::ALL {
            println!("{:<16}  {}", regime.name(), regime.about());
        }
        return Ok(());
    };
    if name == EVERY {
        return tables(args);
    }
    let regime = Regime::by_name(name)?;
    let design = regime.design();
    if let Some(seeds) = args.table {
        let table = coverage::table::over_seeds(&design, args.seed..args.seed + seeds)?;
        let mut data = json!({"regime": name, "seeds": seeds, "figures": table.lines});
        println!(
            "{:<36} {:>9} {:>9} {:>9} {:>6} {:>6} {:>8}",
            "figure", "truth", "bias", "RMSE", "cover", "given", "withheld"
        );
        let show =
            |v: Option<f64>, digits: usize| v.map_or_else(|| "–".to_owned(), |v| format!("{v:.digits$}"));
        for line in &table.lines {
            println!(
                "{:<36} {:>9} {:>9} {:>9} {:>6} {:>6} {:>8}",
                line.name,
                show(line.truth, 4),
                show(line.bias, 4),
                show(line.rmse, 4),
                show(line.coverage, 2),
                line.given,
                line.withheld
            );
        }
        if design.judges.iter().any(|j| j.placebo) {
            let rates = crate::coverage::rates::over_seeds(&design, args.seed..args.seed + seeds)?;
            let given = rates.words.iter().map(|((constitution, outcome), times)| {
                json!({"constitution": constitution, "verdict": outcome.as_str(), "given": times})
            });
            data["verdicts"] = json!(given.collect::<Vec<_>>());
            data["data_sets_with_a_false_verdict"] = json!(rates.any_false);
            data["data_sets_with_a_small_p"] = json!(rates.any_small_p);
            verdict_rates(&rates);
        }
        result(|| data);
        return Ok(());
    }
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{name}-{}", args.seed)));
    draw(&design, args.seed)?.write(&out)?;
    result(|| json!({"regime": name, "seed": args.seed, "folder": out}));
    println!("observations and truth in {}", out.display());
    Ok(())
}

/// Prints how often each verdict was given.
fn verdict_rates(rates: &crate::coverage::rates::Rates) {
    println!("\nshare of {} data sets in which a text without content", rates.seeds);
    for (what, times) in [("has p < .05", rates.any_small_p), ("gets a verdict", rates.any_false)] {
        let (share, lo, hi) = rates.share(times);
        println!("  {what:<16} {share:.3} [{lo:.3}, {hi:.3}]");
    }
    println!("{:<20} {:<20} {:>7}", "constitution", "verdict", "given");
    for ((constitution, outcome), times) in &rates.words {
        println!("{constitution:<20} {:<20} {times:>7}", outcome.as_str());
    }
}

/// Name of the whole grid.
const EVERY: &str = "all";

/// Prints coverage, false verdicts and power on the whole grid.
fn tables(args: &SimulateArgs) -> Result<()> {
    let Some(seeds) = args.table else {
        return Err(Diagnostic::new(Kind::Invalid, "`all` is a table over seeds, not a data set")
            .expected("--table SEEDS after `all`, or the name of one regime")
            .into());
    };
    let seeds = coverage::Seeds { first: args.seed, each: seeds };
    let page = coverage::page(seeds, |what, found| {
        println!("{what:<64} {found}");
        Ok(())
    })?;
    result(|| json!({"page": page, "file": args.out}));
    match &args.out {
        Some(path) => {
            artifact::write_bytes(path, page.as_bytes())?;
            println!("table in {}", path.display());
        }
        None => println!("\n{page}"),
    }
    Ok(())
}
