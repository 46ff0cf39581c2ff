//! NumPy's `.npz`: a zip archive of `.npy` arrays, stored without compression.
//!
//! The layout of `.npy` is that of NumPy's format description (version 1.0): magic, header length, a Python
//! dictionary padded so that the data start at a multiple of 64 bytes, data. The archive is plain zip
//! (PKWARE APPNOTE), without its 64-bit extensions.

use super::{Directions, bytes};
use crate::error::{Diagnostic, Kind, Result};

/// The archive: each direction f32 `[layers, d]`, and `layers` i64 `[layers]`. Deterministic: no time is stored.
///
/// # Errors
/// `Invalid` beyond 4 GiB.
pub fn to_npz(directions: &Directions) -> Result<Vec<u8>> {
    let layers: Vec<u8> = directions.layers.iter().flat_map(|l| (l.0 as i64).to_le_bytes()).collect();
    let count = directions.layers.len();
    let mut entries = vec![("layers".to_owned(), npy("<i8", &[count], &layers))];
    for (name, array) in &directions.arrays {
        entries.push((name.clone(), npy("<f4", &[count, directions.width], &bytes(array))));
    }
    zip(&entries)
}

fn npy(dtype: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let mut header =
        format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
    // Magic, version and length take 10 bytes, the header ends in a line break.
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

/// First of January 1980, the earliest date that zip knows.
const DATE: u16 = (1 << 5) | 1;

fn zip(entries: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let name = format!("{name}.npy");
        let mut crc = flate2::Crc::new();
        crc.update(data);
        let mut common = Vec::new();
        // Version 2.0, names in UTF-8, stored, midnight.
        for field in [20u16, 1 << 11, 0, 0, DATE] {
            common.extend(field.to_le_bytes());
        }
        for field in [crc.sum(), word(data.len())?, word(data.len())?] {
            common.extend(field.to_le_bytes());
        }
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0; 2]);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(word(out.len())?.to_le_bytes());
        directory.extend(name.as_bytes());
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(data);
    }
    let start = word(out.len())?;
    let count = entries.len() as u16;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(word(directory.len())?.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    Ok(out)
}

fn word(n: usize) -> Result<u32> {
    u32::try_from(n).map_err(|_| {
        Diagnostic::new(Kind::Invalid, "an archive of more than 4 GiB")
            .found(format!("{n} bytes"))
            .remedy("choose fewer directions with --direction, or use --format safetensors")
            .into()
    })
}
