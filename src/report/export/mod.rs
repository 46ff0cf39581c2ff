//! Directions and plots in the formats of other programs. Converts to bytes without file access.
//!
//! | format | contents |
//! |---|---|
//! | `safetensors` | NAME: f32 `[layers, d]`; metadata `format`, `layers`, `model`, `model_type` |
//! | `npz` | the same arrays, and `layers`: i64 `[layers]` |
//! | `csv` | one line per number: direction, layer, index, value |
//! | `gguf` | one direction as a llama.cpp control vector: `direction.LAYER`, f32 `[d]` |
//! | `svg`, `png` | every plot of the report, one image each |
//! | `tables` | every table of the report, as LaTeX and as CSV |
//!
//! All numbers are in the raw coordinates of the residual stream: a score is `resid · v`.

mod csv;
mod gguf;
mod npz;
#[cfg(feature = "cli")]
mod png;
mod safetensors;
mod svg;

use std::collections::BTreeMap;

use crate::error::{Diagnostic, Kind, Result};
use crate::units::Layer;

pub use csv::{to_csv, to_estimates_csv};
pub use gguf::{steering_notes, to_gguf};
pub use npz::to_npz;
#[cfg(feature = "cli")]
pub use png::Painter;
pub use safetensors::{from_safetensors, to_safetensors};
pub use svg::{Image, Sheet, images, sheets};

/// What a direction is for, as its file says: it was fitted to read, and a vector that is added or projected out where it
/// does not belong gives wrong results without an error.
pub(crate) const OPERATION: &str =
    "score: residual stream · v; not scaled for adding; to project out, divide by the norm";

/// Where a direction belongs, as its file says.
pub(crate) const HOOK: &str = "layer l: the residual stream after block l (from 1), before the final norm; layer 0: the \
     embeddings' output";

/// Directions by name (`v_star.VALUE`, `v_c.CONSTITUTION`, `w`), one vector per layer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Directions {
    /// The model's name; empty if unknown.
    pub model: String,
    /// The model's `model_type`; empty if unknown.
    pub model_type: String,
    /// Fingerprint of the model's weights and config
    /// ([`Identity::fingerprint`](crate::model::Identity::fingerprint)); empty if unknown.
    pub model_sha256: String,
    /// Layers, in the order of the arrays' rows.
    pub layers: Vec<Layer>,
    /// Length d of the vectors.
    pub width: usize,
    /// Arrays `[layers, d]`, row-major.
    pub arrays: BTreeMap<String, Vec<f32>>,
}

impl Directions {
    /// Keeps only the directions with the given names, or all if none are given.
    ///
    /// # Errors
    /// [`Kind::Missing`] for an unknown name; the error lists the available ones.
    pub fn only(mut self, names: &[String]) -> Result<Self> {
        if names.is_empty() {
            return Ok(self);
        }
        if let Some(name) = names.iter().find(|n| !self.arrays.contains_key(*n)) {
            return Err(Diagnostic::new(Kind::Missing, format!("no direction `{name}`"))
                .expected(format!("one of {}", self.names()))
                .into());
        }
        self.arrays.retain(|name, _| names.contains(name));
        Ok(self)
    }

    /// The names, joined for error messages.
    pub fn names(&self) -> String {
        self.arrays.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// A direction's vector at a layer; `None` if the layer is not stored.
    pub fn at<'a>(&'a self, array: &'a [f32], layer: Layer) -> Option<&'a [f32]> {
        self.rows(array).find(|(l, _)| *l == layer).map(|(_, v)| v)
    }

    /// A direction's vector at each layer.
    pub fn rows<'a>(&'a self, array: &'a [f32]) -> impl Iterator<Item = (Layer, &'a [f32])> {
        self.layers.iter().copied().zip(array.chunks_exact(self.width.max(1)))
    }
}

/// Little-endian bytes.
fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
