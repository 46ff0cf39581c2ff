//! `vstar simulate`.

use std::path::PathBuf;

use super::args::SimulateArgs;
use crate::error::Result;
use crate::simulate::{Regime, simulate as draw};

/// Lists regimes, writes a data set, or prints a table over seeds.
pub fn simulate(args: &SimulateArgs) -> Result<()> {
    let Some(name) = &args.regime else {
        for regime in Regime::ALL {
            println!("{:<16}  {}", regime.name(), regime.about());
        }
        return Ok(());
    };
    let regime = Regime::by_name(name)?;
    let design = regime.design();
    if let Some(seeds) = args.table {
        let table = crate::batch::table::over_seeds(&design, args.seed..args.seed + seeds)?;
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
        return Ok(());
    }
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{name}-{}", args.seed)));
    draw(&design, args.seed)?.write(&out)?;
    println!("observations and truth in {}", out.display());
    Ok(())
}
