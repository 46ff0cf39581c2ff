//! Writes and reads `directions.safetensors`; the same directions give the same bytes.

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::{Map, json};

use super::{Directions, HOOK, OPERATION, bytes};
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::units::Layer;

/// The format's name.
const FORMAT: &str = "vstar-directions/1";

/// The file: header (keys in order of the names, padded to 8 bytes), then the arrays.
pub fn to_safetensors(directions: &Directions) -> Vec<u8> {
    let mut notes = Map::new();
    let mut note = |key: &str, text: &str| {
        if !text.is_empty() {
            notes.insert(key.to_owned(), json!(text));
        }
    };
    note("format", FORMAT);
    note("layers", &json!(directions.layers).to_string());
    note("model", &directions.model);
    note("model_type", &directions.model_type);
    note("model_sha256", &directions.model_sha256);
    note("operation", OPERATION);
    note("hook", HOOK);
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), notes.into());
    let shape = [directions.layers.len(), directions.width];
    let mut data = Vec::new();
    for (name, array) in &directions.arrays {
        let start = data.len();
        data.extend(bytes(array));
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name.clone(), entry);
    }
    let mut header = serde_json::Value::from(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    file
}

/// Reads the file; `place` names it in errors.
///
/// # Errors
/// `Malformed` for a file that is damaged, lacks the layers, or holds an array with another dtype or shape.
pub fn from_safetensors(file: &[u8], place: &Place) -> Result<Directions> {
    let malformed = |found: String| {
        Diagnostic::new(Kind::Malformed, "not a file of directions")
            .at(place.clone())
            .expected(format!("{FORMAT}: f32 [layers, d] arrays, and the metadata key `layers`"))
            .found(found)
            .remedy("fit again: `vstar fit` or `vstar run` write the file")
    };
    let (_, header) = SafeTensors::read_metadata(file).map_err(|e| malformed(e.to_string()))?;
    let notes = header.metadata().clone().unwrap_or_default();
    let note = |key: &str| notes.get(key).cloned().unwrap_or_default();
    let layers: Vec<Layer> =
        serde_json::from_str(&note("layers")).map_err(|e| malformed(format!("layers: {e}")))?;
    let tensors = SafeTensors::deserialize(file).map_err(|e| malformed(e.to_string()))?;
    let mut directions = Directions {
        model: note("model"),
        model_type: note("model_type"),
        model_sha256: note("model_sha256"),
        layers,
        ..Directions::default()
    };
    for (name, view) in tensors.tensors() {
        let shape = view.shape();
        let fits = matches!(shape, [l, d] if *l == directions.layers.len() && *d > 0)
            && (directions.width == 0 || shape[1] == directions.width);
        if view.dtype() != Dtype::F32 || !fits {
            return Err(malformed(format!("`{name}` is {:?} {shape:?}", view.dtype())).into());
        }
        directions.width = shape[1];
        let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        directions.arrays.insert(name, values);
    }
    if directions.arrays.is_empty() {
        return Err(malformed("no array".into()).into());
    }
    Ok(directions)
}
