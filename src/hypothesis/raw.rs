//! Appendix D, for those who want both: cosines of the exported directions in raw coordinates.
//!
//! v̂'û / (‖v̂‖ ‖û‖) of the ridge directions that `directions.safetensors` holds, at the reported layer. It is a property of
//! these two vectors and not an estimate of one of the paper's angles: a ridge shrinks what varies little, noise shared by
//! two labels enters both vectors, and the raw cosine of true directions is not identified where h hardly varies. All
//! other figures are in the metric of Σ_w.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::linalg::dot;

/// Name of the table in the report.
pub const TABLE: &str = "raw_cosines";

/// A raw cosine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Raw {
    /// The value whose v* it is.
    pub value: String,
    /// The constitution whose v_c stands against it; absent: w.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constitution: Option<String>,
    /// v̂'û / (‖v̂‖ ‖û‖).
    pub cos: f64,
}

/// Of every value with w and every constitution, at layer number `at` of the exported ones.
pub fn cosines(directions: &BTreeMap<String, Vec<Vec<f64>>>, at: usize) -> Vec<Raw> {
    let layer = |name: &str| directions.get(name).and_then(|layers| layers.get(at));
    let mut out = Vec::new();
    for (name, v) in directions.keys().filter_map(|name| Some((name.strip_prefix("v_star.")?, layer(name)?)))
    {
        let others = directions.keys().filter(|other| *other == "w" || other.starts_with("v_c."));
        for other in others {
            let Some(u) = layer(other) else { continue };
            let cos = dot(v, u) / (dot(v, v) * dot(u, u)).sqrt();
            if cos.is_finite() {
                let constitution = other.strip_prefix("v_c.").map(str::to_owned);
                out.push(Raw { value: name.to_owned(), constitution, cos });
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_meets_each_other_direction_once() {
        let directions = BTreeMap::from([
            ("v_star.kind".to_owned(), vec![vec![0.0, 0.0], vec![1.0, 0.0]]),
            ("v_c.law".to_owned(), vec![vec![1.0, 0.0], vec![3.0, 4.0]]),
            ("w".to_owned(), vec![vec![1.0, 0.0], vec![0.0, -2.0]]),
        ]);
        let found = cosines(&directions, 1);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].constitution.as_deref(), Some("law"));
        assert!((found[0].cos - 0.6).abs() < 1e-15 && found[1].cos == 0.0);
        // A direction of length 0 has no angle.
        assert!(cosines(&directions, 0).is_empty());
    }
}
