//! `vstar export`: writes the directions and plots of a finished run or fit in a given format.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::terminal::out::result;
use crate::artifact;
use crate::config::{JudgeMode, MANIFEST, OWN};
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::fit::folder::{
    DIRECTIONS, ESTIMATES, HTML, MARKDOWN, PLOTS, REPORT, TABLES, file_name, read_directions, read_report,
    write_images, write_pixels, write_sheets,
};
use crate::fit::verdicts::file;
use crate::observations::{OBSERVATIONS, ROWS};
use crate::report::export::{
    images, sheets, steering_notes, to_csv, to_estimates_csv, to_gguf, to_npz, to_safetensors,
};
use crate::report::page;
use crate::run::preferences::preferences;
use crate::units::OneOf;

/// A format to export to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// NumPy archive: one array [layers, d] per direction, and `layers`
    Npz,
    /// One line per number; the estimates next to it as NAME.estimates.csv
    Csv,
    /// Arrays [layers, d] with the layers in the metadata
    Safetensors,
    /// One direction as a llama.cpp control vector
    Gguf,
    /// Every plot of the report, one image each, into a folder
    Svg,
    /// Like svg, but PNG, for programs that cannot read SVG
    Png,
    /// Every table of the report as LaTeX (booktabs) and CSV, into a folder
    Tables,
    /// The judge's preferences under a constitution as JSON lines for preference training: prompt, chosen, rejected
    /// as messages
    Trl,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder of a finished run or fit
    pub run: PathBuf,
    /// What to write
    #[arg(long, value_enum)]
    pub format: Format,
    /// Only this direction, such as v_star.harmless, v_c.honest or w; may be given several times
    #[arg(long, value_name = "NAME")]
    pub direction: Vec<String>,
    /// For trl: the constitution
    #[arg(long, value_name = "NAME", required_if_eq("format", "trl"))]
    pub constitution: Option<String>,
    /// For trl: the judged items [default: those of the run's experiment]
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// For trl: also keep pairs whose answer changes with the order, by the sign of the mean
    #[arg(long)]
    pub either_order: bool,
    /// File to write; for svg, png and tables the folder [default: export.FORMAT in the run's folder; for gguf
    /// NAME.gguf, for svg and png plots, for tables tables, for trl
    /// preferences-CONSTITUTION.jsonl]
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// Writes directions or plots for other programs.
pub fn export(args: &ExportArgs) -> Result<()> {
    uses_all(args)?;
    spares_inputs(args)?;
    if args.format == Format::Trl {
        return trl(args);
    }
    let (files, notes) = write(&args.run, args.format, &args.direction, args.out.as_deref())?;
    result(|| json!(files));
    for path in &files {
        println!("{}", path.display());
    }
    for note in notes {
        println!("note: {note}");
    }
    Ok(())
}

/// Refuses flags that the format does not use.
fn uses_all(args: &ExportArgs) -> Result<()> {
    let trl = args.format == Format::Trl;
    let of_directions = matches!(args.format, Format::Npz | Format::Csv | Format::Safetensors | Format::Gguf);
    let flags = [
        ("--direction", !args.direction.is_empty(), of_directions),
        ("--constitution", args.constitution.is_some(), trl),
        ("--data", !args.data.is_empty(), trl),
        ("--either-order", args.either_order, trl),
    ];
    match flags.into_iter().find(|(_, given, used)| *given && !used) {
        None => Ok(()),
        Some((flag, ..)) => Err(Diagnostic::new(Kind::Unsupported, format!("{flag} with this format"))
            .expected(if flag == "--direction" { "npz, csv, safetensors or gguf" } else { "trl" })
            .remedy(format!("leave {flag} out, or choose another --format"))
            .into()),
    }
}

/// Refuses to write over what the export is made from, and over the other files of the run.
fn spares_inputs(args: &ExportArgs) -> Result<()> {
    const OF_A_RUN: [&str; 9] =
        [OBSERVATIONS, ROWS, DIRECTIONS, MANIFEST, OWN, REPORT, MARKDOWN, HTML, ESTIMATES];
    let Some(out) = args.out.as_ref().and_then(|out| out.canonicalize().ok()) else { return Ok(()) };
    let verdicts = JudgeMode::WORDS.iter().filter_map(|(_, mode, _)| file(*mode));
    let own = OF_A_RUN.into_iter().chain(verdicts).map(|name| args.run.join(name));
    let inputs = own.chain(args.data.iter().cloned()).filter_map(|path| path.canonicalize().ok());
    if inputs.into_iter().any(|input| input == out) {
        return Err(Diagnostic::new(
            Kind::Invalid,
            "--out is a file that the export is made from, or one of the run's",
        )
        .at(Place::file(&out))
        .expected("a file of its own")
        .remedy("give another --out")
        .into());
    }
    Ok(())
}

/// Writes the judge's preferences under a constitution.
fn trl(args: &ExportArgs) -> Result<()> {
    // The command line requires it.
    let constitution = args.constitution.as_deref().unwrap_or_default();
    let found = preferences(&args.run, constitution, &args.data, args.either_order)?;
    let default = || args.run.join(format!("preferences-{}.jsonl", file_name(constitution)));
    let path = args.out.clone().unwrap_or_else(default);
    artifact::write_bytes(&path, found.lines.as_bytes())?;
    result(|| json!({"file": path, "pairs": found.kept, "disagree": found.disagree, "ties": found.ties}));
    println!("{}", path.display());
    println!(
        "{} preferences under {constitution}; left out: {} whose answer changes with the order, {} ties",
        found.kept, found.disagree, found.ties
    );
    println!(
        "note: direct preference optimisation with beta = 1/λ; the report's slopes are per unit of λ, and hard labels keep of a margin \
         its sign alone"
    );
    Ok(())
}

/// Writes the directions of the folder `run` (the named ones, or all) and returns the files written, and notes for the user. Without `out`
/// they go into the folder: as `export.FORMAT`, a control vector as `DIRECTION.gguf`; estimates next to a csv as
/// `NAME.estimates.csv`. Plots show the report regardless of the named directions; `out` is their folder, by default
/// `plots` inside `run`.
///
/// # Errors
/// `Missing` for a folder without directions (for csv and svg: without a report) or for an unknown direction;
/// contents that the format cannot hold; errors of the file system.
fn write(
    run: &Path,
    format: Format,
    names: &[String],
    out: Option<&Path>,
) -> Result<(Vec<PathBuf>, Vec<String>)> {
    let or = |default: String| out.map_or_else(|| run.join(default), Path::to_owned);
    let page = || read_report(run).map(|report| page(&report));
    let directions = || read_directions(run)?.only(names);
    let one = |default: String, bytes: Vec<u8>| {
        let path = or(default);
        artifact::write_bytes(&path, &bytes)?;
        Ok::<_, Error>(vec![path])
    };
    let mut notes = Vec::new();
    let files = match format {
        Format::Svg => write_images(&images(&page()?), &or(PLOTS.into()))?,
        Format::Png => write_pixels(&images(&page()?), &or(PLOTS.into()))?,
        Format::Tables => write_sheets(&sheets(&page()?), &or(TABLES.into()))?,
        Format::Npz => one("export.npz".into(), to_npz(&directions()?)?)?,
        Format::Safetensors => one("export.safetensors".into(), to_safetensors(&directions()?))?,
        Format::Gguf => {
            let directions = directions()?;
            let bytes = to_gguf(&directions)?;
            notes = steering_notes(&directions);
            // One direction, or the bytes were refused.
            let name = directions.arrays.keys().next().map(|name| file_name(name)).unwrap_or_default();
            one(format!("{name}.gguf"), bytes)?
        }
        Format::Csv => {
            let (directions, report) = (directions()?, read_report(run)?);
            let mut files = one("export.csv".into(), to_csv(&directions).into_bytes())?;
            let estimates = files[0].with_extension("estimates.csv");
            artifact::write_bytes(&estimates, to_estimates_csv(&report.estimates).as_bytes())?;
            files.push(estimates);
            files
        }
        // Of choices and items, not of the fit: see `trl`.
        Format::Trl => Vec::new(),
    };
    Ok((files, notes))
}
