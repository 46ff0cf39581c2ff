//! Contents of the folder of a finished run or fit: directions, report, plots.

use std::path::{Path, PathBuf};

use crate::artifact;
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::report::Report;
#[cfg(feature = "cli")]
use crate::report::export::Painter;
use crate::report::export::{Directions, Image, Sheet, from_safetensors};
use crate::report::from_json;

/// Name of the directions inside a folder.
pub const DIRECTIONS: &str = "directions.safetensors";

/// Name of the report inside a folder.
pub const REPORT: &str = "report.json";

/// Name of the report as Markdown inside a folder.
pub const MARKDOWN: &str = "report.md";

/// Name of the report as a page inside a folder.
pub const HTML: &str = "report.html";

/// Name of the table of estimates inside a folder.
pub const ESTIMATES: &str = "estimates.csv";

/// Name of the folder of plots inside a folder.
pub const PLOTS: &str = "plots";

/// Name of the folder of tables inside a folder.
pub const TABLES: &str = "tables";

/// Writes images into a folder, creating it if needed, and returns the files.
///
/// # Errors
/// The file system's.
pub fn write_images(images: &[Image], folder: &Path) -> Result<Vec<PathBuf>> {
    artifact::create_folder(folder)?;
    let write = |image: &Image| {
        let path = folder.join(format!("{}.svg", file_name(&image.name)));
        artifact::write_bytes(&path, image.svg.as_bytes())?;
        Ok(path)
    };
    images.iter().map(write).collect()
}

/// Writes the images as PNG, three pixels per unit of a plot, with text in the system's sans-serif fonts.
///
/// # Errors
/// `Missing` where the system has no font; the file system's.
#[cfg(feature = "cli")]
pub fn write_pixels(images: &[Image], folder: &Path) -> Result<Vec<PathBuf>> {
    let painter = Painter::new()?;
    artifact::create_folder(folder)?;
    let write = |image: &Image| {
        let path = folder.join(format!("{}.png", file_name(&image.name)));
        artifact::write_bytes(&path, &painter.png(&image.svg)?)?;
        Ok(path)
    };
    images.iter().map(write).collect()
}

/// Writes tables into a folder, creating it if needed, and returns the files.
///
/// # Errors
/// The file system's.
pub fn write_sheets(sheets: &[Sheet], folder: &Path) -> Result<Vec<PathBuf>> {
    artifact::create_folder(folder)?;
    let mut files = Vec::with_capacity(2 * sheets.len());
    for sheet in sheets {
        for (ending, text) in [("tex", &sheet.latex), ("csv", &sheet.csv)] {
            let path = folder.join(format!("{}.{ending}", file_name(&sheet.name)));
            artifact::write_bytes(&path, text.as_bytes())?;
            files.push(path);
        }
    }
    Ok(files)
}

/// Reads the directions of a run or fit folder.
///
/// # Errors
/// `Missing` if there are none; `Malformed` for a file that does not hold directions.
pub fn read_directions(run: &Path) -> Result<Directions> {
    let path = run.join(DIRECTIONS);
    let bytes = std::fs::read(&path).map_err(|e| absent(run, &path, e))?;
    from_safetensors(&bytes, &Place::file(&path))
}

/// Reads the report of a run or fit folder.
///
/// # Errors
/// `Missing` if there is none; errors of [`from_json`].
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
    Diagnostic::new(Kind::Missing, format!("no {file}"))
        .at(Place::file(run))
        .expected("the folder of a finished `vstar run` or `vstar fit`")
        .remedy("finish the run: the same command goes on where it stopped")
        .into()
}

/// A name with the characters replaced that have a meaning in paths.
pub fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}
