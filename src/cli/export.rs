//! `vstar export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::batch::export::{Format, export as write};
use crate::error::Result;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FormatName {
    /// NumPy archive: an array [layers, d] a direction, and `layers`
    Npz,
    /// One line a number; the estimates beside it as NAME.estimates.csv
    Csv,
    /// Arrays [layers, d] with the layers in the metadata
    Safetensors,
    /// One direction as a llama.cpp control vector
    Gguf,
    /// Every plot of the report, an image each, into a folder
    Svg,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder of a finished run or fit
    pub run: PathBuf,
    /// What to write
    #[arg(long, value_enum)]
    pub format: FormatName,
    /// Only this direction, such as v_star.harmless, v_c.honest or w; may be given several times
    #[arg(long, value_name = "NAME")]
    pub direction: Vec<String>,
    /// File to write, for svg the folder [default: export.FORMAT in the run's folder; for gguf NAME.gguf, for svg plots]
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// Writes directions or plots for other programs.
pub fn export(args: &ExportArgs) -> Result<()> {
    let format = match args.format {
        FormatName::Npz => Format::Npz,
        FormatName::Csv => Format::Csv,
        FormatName::Safetensors => Format::Safetensors,
        FormatName::Gguf => Format::Gguf,
        FormatName::Svg => Format::Svg,
    };
    for path in write(&args.run, format, &args.direction, args.out.as_deref())? {
        println!("{}", path.display());
    }
    Ok(())
}
