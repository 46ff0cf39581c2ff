//! Which layer is reported: chosen by how well it encodes S on one half of the blocks, reported on the other.
//!
//! Choosing by the effect itself, or on the data that are reported, makes chance look like a finding:
//! with 24 layers and no effect the best |z| is "significant" in a fifth of all runs.

use super::bench::Bench;
use super::encoding::rho2;
use super::problem::{LayerSource, Problem};
use super::rows::{self, Rows};
use crate::error::Result;
use crate::units::Layer;

/// ρ² of a value at a layer on the selection half.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct LayerRho2 {
    /// The layer.
    pub layer: Layer,
    /// The value.
    pub value: String,
    /// ρ²; `None` if it could not be computed.
    pub rho2: Option<f64>,
    /// Its standard error.
    pub se: Option<f64>,
}

/// Whether a block belongs to the half on which the layer is chosen. Decided by a hash of the block's
/// number, so that it depends neither on the order of the data nor on a seed.
pub fn selects(block: i32) -> bool {
    // SplitMix64's finaliser: neighbours part ways.
    let mut z = (i64::from(block) as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) & 1 == 0
}

/// ρ² of each value at each layer on the selection half, and the layer where their mean is largest.
///
/// # Errors
/// If a layer cannot be read or factorised.
pub fn choose(
    problem: &Problem,
    source: &dyn LayerSource,
    values: &[usize],
) -> Result<(Layer, Vec<LayerRho2>)> {
    let keep = |row: usize| selects(problem.block[row]);
    let mut profile = Vec::new();
    let mut best = (f64::NEG_INFINITY, source.layers()[0]);
    for &layer in source.layers() {
        let h = source.resid(layer)?;
        let mut sum = 0.0;
        let mut cache: Option<(Rows, Bench)> = None;
        for &v in values {
            let value = &problem.values[v];
            let wanted = rows::of_value(problem, value, &keep);
            let contrasts = wanted.contrasts(problem);
            let mut entry = LayerRho2 { layer, value: value.name.clone(), rho2: None, se: None };
            if !contrasts.is_empty() {
                if cache.as_ref().is_none_or(|(rows, _)| *rows != wanted) {
                    cache = match Bench::new(contrasts, h.view(), None) {
                        Ok(bench) => Some((wanted, bench)),
                        // A layer that does not vary (the embeddings under `--pool last`, say) encodes nothing.
                        Err(e) if e.kind() == Some(crate::error::Kind::NotEstimable) => None,
                        Err(e) => return Err(e),
                    };
                }
                if let Some((_, bench)) = &cache {
                    let s = bench.probe(vec![rows::label(bench, value)]).remove(0);
                    if let Some(r) = rho2(bench, &s) {
                        entry.rho2 = Some(r.value);
                        entry.se = Some(r.se(bench.contrasts.blocks())).filter(|se| se.is_finite());
                        sum += r.value;
                    }
                }
            }
            profile.push(entry);
        }
        if sum > best.0 {
            best = (sum, layer);
        }
    }
    Ok((best.1, profile))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_halves_are_even_and_fixed() {
        let selected = (0..10_000).filter(|&b| selects(b)).count();
        assert!((4800..5200).contains(&selected), "{selected}");
        assert_eq!((0..8).map(selects).collect::<Vec<_>>(), (0..8).map(selects).collect::<Vec<_>>());
    }
}
