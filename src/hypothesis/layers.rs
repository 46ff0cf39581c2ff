//! Which layer is reported: chosen by how well it encodes S on one half of the blocks, reported on the other.
//!
//! Choosing by the effect itself, or on the data that are reported, makes chance look like a finding:
//! with 24 layers and no effect the best |z| is "significant" in a fifth of all runs.

use super::bench::Bench;
use super::encoding::rho2;
use super::improvement::Angle;
use super::problem::{Judged, LayerSource, Problem};
use super::rows::{self, Rows};
use crate::error::Result;
use crate::probe::influence::fisher_interval;
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

/// The alignment of a constitution with a value at a layer on the selection half: a picture of where in the model
/// it arises. It chooses nothing.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct LayerAlignment {
    /// The layer.
    pub layer: Layer,
    /// The value.
    pub value: String,
    /// The constitution.
    pub constitution: String,
    /// cos(v_c, v*).
    pub cos: f64,
    /// Ends of its 95 % interval.
    pub interval: (f64, f64),
}

/// What the selection half says of the layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The layer with the largest mean ρ².
    pub layer: Layer,
    /// ρ² of each value at each layer.
    pub profile: Vec<LayerRho2>,
    /// Alignments that are identifiable.
    pub alignments: Vec<LayerAlignment>,
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

/// ρ² of each value at each layer on the selection half, the layer where their mean is largest, and the
/// alignments there and elsewhere.
///
/// # Errors
/// If a layer cannot be read or factorised.
pub fn choose(problem: &Problem, source: &dyn LayerSource, values: &[usize]) -> Result<Choice> {
    let keep = |row: usize| selects(problem.block[row]);
    let (mut profile, mut alignments) = (Vec::new(), Vec::new());
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
                if let Some((wanted, bench)) = &cache {
                    let judged: Vec<&Judged> = problem
                        .judged
                        .iter()
                        .filter(|j| !j.beside && wanted.filtered(|r| j.reward[r].is_finite()) == *wanted)
                        .collect();
                    let rewards = judged.iter().map(|j| bench.column(&j.reward));
                    let labels = std::iter::once(rows::label(bench, value)).chain(rewards).collect();
                    let mut labels = bench.probe(labels).into_iter();
                    let s = labels.next().expect("S was probed");
                    for (judged, r) in judged.iter().zip(labels) {
                        let angle = Angle::new(bench, &s, &r);
                        if let (true, Some(cos)) = (angle.identifiable(), &angle.cos) {
                            let interval = fisher_interval(cos.value, cos.se(bench.contrasts.blocks()));
                            let (value, constitution) = (value.name.clone(), judged.name.clone());
                            alignments.push(LayerAlignment {
                                layer,
                                value,
                                constitution,
                                cos: cos.value,
                                interval,
                            });
                        }
                    }
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
    Ok(Choice { layer: best.1, profile, alignments })
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
