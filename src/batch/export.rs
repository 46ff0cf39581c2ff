//! The directions and plots of a finished run or fit, written in a format of the user's choice.

use std::path::{Path, PathBuf};

use crate::artifact;
use crate::error::{Error, Kind, Place, Refusal, Result};
use crate::report::Report;
use crate::report::export::{
    Directions, Image, from_safetensors, images, to_csv, to_estimates_csv, to_gguf, to_npz, to_safetensors,
};
use crate::report::from_json;
use crate::report::page;

/// Name of the directions inside a folder.
pub const DIRECTIONS: &str = "directions.safetensors";

/// Name of the report inside a folder.
pub const REPORT: &str = "report.json";

/// Name of the folder of plots inside a folder.
pub const PLOTS: &str = "plots";

/// A format to export to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// NumPy's archive of arrays.
    Npz,
    /// Comma-separated values, and the estimates beside them.
    Csv,
    /// The format of `directions.safetensors`.
    Safetensors,
    /// One direction as a llama.cpp control vector.
    Gguf,
    /// Every plot of the report, an image each.
    Svg,
}

impl Format {
    /// Its file extension.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Npz => "npz",
            Self::Csv => "csv",
            Self::Safetensors => "safetensors",
            Self::Gguf => "gguf",
            Self::Svg => "svg",
        }
    }
}

/// Writes the directions of the folder `run` (those named, or all) and returns the files written. Without
/// `out` they go into the folder: as `export.FORMAT`, a control vector as `DIRECTION.gguf`; estimates
/// beside a csv as `NAME.estimates.csv`. Plots are of the report, whatever directions are named; `out` is their folder,
/// by default `plots` inside `run`.
///
/// # Errors
/// `Missing` for a folder without directions (for csv and svg: without a report) or a direction that it does not
/// have; what the format cannot hold; the file system's.
pub fn export(run: &Path, format: Format, names: &[String], out: Option<&Path>) -> Result<Vec<PathBuf>> {
    if format == Format::Svg {
        let folder = out.map_or_else(|| run.join(PLOTS), Path::to_owned);
        return write_images(&images(&page(&read_report(run)?)), &folder);
    }
    let directions = read_directions(run)?.only(names)?;
    let chosen = match (out, format, directions.arrays.first_key_value()) {
        (Some(path), ..) => path.to_owned(),
        (None, Format::Gguf, Some((name, _))) => run.join(format!("{}.gguf", file_name(name))),
        (None, ..) => run.join(format!("export.{}", format.extension())),
    };
    let bytes = match format {
        Format::Npz => to_npz(&directions)?,
        Format::Safetensors => to_safetensors(&directions),
        Format::Gguf => to_gguf(&directions)?,
        Format::Csv | Format::Svg => {
            let estimates = chosen.with_extension("estimates.csv");
            let report = read_report(run)?;
            artifact::write_bytes(&chosen, to_csv(&directions).as_bytes())?;
            artifact::write_bytes(&estimates, to_estimates_csv(&report.estimates).as_bytes())?;
            return Ok(vec![chosen, estimates]);
        }
    };
    artifact::write_bytes(&chosen, &bytes)?;
    Ok(vec![chosen])
}

/// Writes images into a folder, which is made where it is not there, and returns the files.
///
/// # Errors
/// The file system's.
pub(super) fn write_images(images: &[Image], folder: &Path) -> Result<Vec<PathBuf>> {
    artifact::create_folder(folder)?;
    let write = |image: &Image| {
        let path = folder.join(format!("{}.svg", file_name(&image.name)));
        artifact::write_bytes(&path, image.svg.as_bytes())?;
        Ok(path)
    };
    images.iter().map(write).collect()
}

/// The directions of a run or fit folder.
///
/// # Errors
/// `Missing` if there are none; `Malformed` for a file that is not one of directions.
pub fn read_directions(run: &Path) -> Result<Directions> {
    let path = run.join(DIRECTIONS);
    let bytes = std::fs::read(&path).map_err(|e| absent(run, &path, e))?;
    from_safetensors(&bytes, &Place::file(&path))
}

/// The report of a run or fit folder.
///
/// # Errors
/// `Missing` if there is none; what [`from_json`] refuses.
pub fn read_report(run: &Path) -> Result<Report> {
    let path = run.join(REPORT);
    let text = std::fs::read_to_string(&path).map_err(|e| absent(run, &path, e))?;
    from_json(&text, &Place::file(&path))
}

fn absent(run: &Path, path: &Path, error: std::io::Error) -> Error {
    if error.kind() != std::io::ErrorKind::NotFound {
        return Error::io("read", path, error);
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Refusal::new(Kind::Missing, format!("no {file}"))
        .at(Place::file(run))
        .expected("the folder of a finished `vstar run` or `vstar fit`")
        .remedy("finish the run: the same command goes on where it stopped")
        .into()
}

/// A name without what has a meaning in paths.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}
