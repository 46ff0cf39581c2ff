//! llama.cpp's control vectors: GGUF version 3 with one f32 tensor `direction.LAYER` per layer.
//!
//! Layer l is the output of block l, counted from 1: the numbering of llama.cpp's own `cvector-generator`, whose
//! `direction.1` is made from the output of the first block. llama.cpp reads no `direction.0`, so layer 0 (the
//! embeddings' output) is left out. When llama.cpp applies the file, it adds `direction.l` to the output of the block
//! that it numbers l from 0, one block later than the one where the direction was read.

use super::{Directions, HOOK, OPERATION, bytes};
use crate::error::{Diagnostic, Kind, Result};

/// Alignment of the data in bytes.
const ALIGNMENT: usize = 32;

// Types of metadata values and tensors, as GGUF numbers them.
const I32: u32 = 5;
const STRING: u32 = 8;
const F32: u32 = 0;

/// One direction as a control vector: metadata `general.architecture` = `controlvector`,
/// `controlvector.model_hint` = the model's `model_type`, `controlvector.layer_count` = number of layers.
///
/// # Errors
/// `Invalid` unless there is exactly one direction; `Missing` without a layer from 1 on.
pub fn to_gguf(directions: &Directions) -> Result<Vec<u8>> {
    let mut arrays = directions.arrays.iter();
    let (Some((name, array)), None) = (arrays.next(), arrays.next()) else {
        return Err(Diagnostic::new(Kind::Invalid, "a control vector is one direction")
            .expected(format!("one of {}", directions.names()))
            .found(format!("{} directions", directions.arrays.len()))
            .remedy("name one with --direction")
            .into());
    };
    let rows: Vec<_> = directions.rows(array).filter(|(layer, _)| layer.0 > 0).collect();
    if rows.is_empty() {
        return Err(Diagnostic::new(
            Kind::Missing,
            format!("`{name}` has no layer that llama.cpp can steer"),
        )
        .expected("a layer from 1 on")
        .remedy("capture such layers")
        .into());
    }
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((rows.len() as u64).to_le_bytes());
    let hint = if directions.model_type.is_empty() { "unknown" } else { &directions.model_type };
    let texts = [
        ("general.architecture", "controlvector"),
        ("general.name", name.as_str()),
        ("controlvector.model_hint", hint),
        ("vstar.operation", OPERATION),
        ("vstar.hook", HOOK),
        ("vstar.model_sha256", directions.model_sha256.as_str()),
    ];
    let texts: Vec<_> = texts.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    out.extend((texts.len() as u64 + 1).to_le_bytes());
    for (key, value) in texts {
        string(&mut out, key);
        out.extend(STRING.to_le_bytes());
        string(&mut out, value);
    }
    string(&mut out, "controlvector.layer_count");
    out.extend(I32.to_le_bytes());
    out.extend((rows.len() as i32).to_le_bytes());
    let step = (directions.width * 4).next_multiple_of(ALIGNMENT);
    for (i, (layer, _)) in rows.iter().enumerate() {
        string(&mut out, &format!("direction.{layer}"));
        out.extend(1u32.to_le_bytes());
        out.extend((directions.width as u64).to_le_bytes());
        out.extend(F32.to_le_bytes());
        out.extend(((i * step) as u64).to_le_bytes());
    }
    for (_, v) in rows {
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out.extend(bytes(v));
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    Ok(out)
}

/// Notes on applying a control vector: which layers it has, where llama.cpp adds them, and how long they are.
pub fn steering_notes(directions: &Directions) -> Vec<String> {
    let Some((name, array)) = directions.arrays.first_key_value() else { return Vec::new() };
    let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let norms: Vec<(usize, f64)> =
        directions.rows(array).filter(|(l, _)| l.0 > 0).map(|(layer, v)| (layer.0, norm(v))).collect();
    let by = |a: &&(usize, f64), b: &&(usize, f64)| a.1.total_cmp(&b.1);
    let (Some(least), Some(most)) = (norms.iter().min_by(by), norms.iter().max_by(by)) else {
        return Vec::new();
    };
    let (first, last) = (norms[0].0, norms[norms.len() - 1].0);
    let mut out = Vec::new();
    if directions.layers.iter().any(|l| l.0 == 0) {
        out.push("layer 0, the embeddings, is left out: llama.cpp reads no direction.0".to_owned());
    }
    out.push(format!(
        "direction.{first} to direction.{last}, numbered as llama.cpp's cvector-generator does. llama.cpp adds direction.l after the \
         block that it counts l from 0, one block later than where `{name}` was read, and does not use one of the model's last layer: \
         to steer where it was read at layer l, give direction.l-1 by `--control-vector-layer-range`, or use `vstar steer`"
    ));
    out.push(format!(
        "the vectors' norms run from {:.3} (layer {}) to {:.3} (layer {}): they read a score, h·v, and are not scaled for adding. Find \
         the multiple that does something with `vstar steer` at one layer, and give it with `--control-vector-scaled FILE:SCALE`",
        least.1, least.0, most.1, most.0
    ));
    out
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}
