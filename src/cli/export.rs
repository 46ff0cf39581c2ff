//! `vstar export`.

use super::args::{ExportArgs, FormatName};
use crate::batch::export::{Format, export as write};
use crate::error::Result;

/// Writes directions for other programs.
pub fn export(args: &ExportArgs) -> Result<()> {
    let format = match args.format {
        FormatName::Npz => Format::Npz,
        FormatName::Csv => Format::Csv,
        FormatName::Safetensors => Format::Safetensors,
        FormatName::Gguf => Format::Gguf,
    };
    for path in write(&args.run, format, &args.direction, args.out.as_deref())? {
        println!("{}", path.display());
    }
    Ok(())
}
