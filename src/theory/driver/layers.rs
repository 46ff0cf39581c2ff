//! Choice of the reported layer: each half of the blocks chooses, by how well it encodes S, for the other half.
//!
//! Choosing by the effect itself makes chance look like a finding: with 24 layers and no effect the best |z| is
//! "significant" in a fifth of all runs. Choosing by ρ² on the reported data biases ρ² upwards (24 layers of equal ρ²
//! and independent noise, 40 blocks: the 95 % interval covers .75). Each half, fitted separately, therefore chooses a
//! layer; a block is then scored at the layer that the *other* half chose, by a fit to all other blocks (coverage .95
//! to .98 in the same setting). Nothing is lost where the halves agree: the figures are then those of all blocks at
//! that layer.
//!
//! Layer 0 holds token embeddings, which encode the text rather than the model's processing of it. It is never
//! chosen; its ρ² is reported beside the chosen layer's as a baseline (`rho2_embeddings`). A layer where nothing can
//! be fitted is never chosen either.

use std::ops::Range;

use ndarray::Array2;

use crate::error::{Kind, Result};
use crate::probe::influence::fisher_interval;
use crate::probe::length::LengthControl;
use crate::theory::base::angle::Angle;
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::layers::{HalfChoice, LayerAlignment, LayerRho2, eligible, selects};
use crate::theory::base::problem::{Judged, LayerSource, Problem};
use crate::theory::base::rows::{self, Rows};
use crate::theory::encoding::rho2_on;
use crate::units::Layer;

/// Result of the choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The chosen layer with the larger ρ² over both halves; figures of the layer itself are computed there.
    pub layer: Layer,
    /// Choices of the two halves ([`selects`] true, then false); `None` where no layer can be fitted on a half.
    pub halves: Option<[HalfChoice; 2]>,
    /// The layer that reads log P best, by ρ² over both halves, with length projected out of log P where token counts
    /// are known.
    pub generation: Option<Layer>,
    /// ρ² of each value at each layer.
    pub profile: Vec<LayerRho2>,
    /// Identifiable alignments.
    pub alignments: Vec<LayerAlignment>,
}

impl Choice {
    /// The second layer at which blocks are scored, if the halves differ: (layer, side of [`selects`]).
    pub fn other(&self) -> Option<(Layer, bool)> {
        let [first, second] = self.halves.as_ref()?;
        // The blocks of each half are scored at the layer chosen by the other.
        if first.layer == second.layer {
            None
        } else if first.layer == self.layer {
            Some((second.layer, true))
        } else {
            Some((first.layer, false))
        }
    }

    /// How the layer was chosen, in words.
    pub fn note(&self, layers: usize) -> String {
        let Some([a, b]) = &self.halves else {
            return "no layer could be fitted on half of the blocks: the last one is shown".to_owned();
        };
        let blocks = a.blocks + b.blocks;
        if a.layer == b.layer {
            return format!(
                "highest ρ² among {layers} layers; both halves of the {blocks} blocks chose it, and all blocks are reported"
            );
        }
        let gives = |half: &HalfChoice| {
            let rho2 = half.rho2_of_other.map_or_else(|| "–".to_owned(), |r| format!("{r:.3}"));
            format!("{} blocks chose layer {}, where the others give ρ² {rho2}", half.blocks, half.layer)
        };
        format!(
            "highest ρ² among {layers} layers: {}; {}. Each half is scored at the layer that the other chose, all {blocks} blocks \
             are reported, and figures of the layer itself are those of layer {}",
            gives(a),
            gives(b),
            self.layer
        )
    }
}

/// Scores of one layer on each half: sum and number of ρ² over values, and ρ² of log P.
struct Scores {
    layer: Layer,
    values: [Option<f64>; 2],
    logprob: [Option<f64>; 2],
}

/// ρ² of each value and of log P at each layer, separately on each half; the choice of each half; and the alignments.
///
/// # Errors
/// If a layer cannot be read or factorised.
pub fn choose(problem: &Problem, source: &dyn LayerSource, values: &[usize]) -> Result<Choice> {
    let (mut profile, mut alignments, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    for &layer in source.layers() {
        let h = source.resid(layer)?;
        let mut at = AtLayer::new(problem, &h);
        let mut sums = [(0.0, 0usize); 2];
        for &v in values {
            let (entry, own) = at.value(layer, v, &mut alignments)?;
            profile.push(entry);
            for (sum, own) in sums.iter_mut().zip(own) {
                if let Some(rho2) = own {
                    *sum = (sum.0 + rho2, sum.1 + 1);
                }
            }
        }
        let mean = |(sum, n): (f64, usize)| (n > 0).then(|| sum / n as f64);
        scores.push(Scores { layer, values: sums.map(mean), logprob: at.logprob()? });
    }
    let allowed = eligible(source.layers());
    let open = || scores.iter().filter(|s| allowed.contains(&s.layer));
    let best = |of: &dyn Fn(&Scores) -> Option<f64>| {
        // The first one on a tie.
        open().filter_map(|s| Some((of(s)?, s))).reduce(|a, b| if b.0 > a.0 { b } else { a }).map(|(_, s)| s)
    };
    let both = |s: &[Option<f64>; 2]| s.iter().flatten().copied().reduce(|a, b| a + b);
    let chosen = [best(&|s| s.values[0]), best(&|s| s.values[1])];
    // If nothing can be fitted on a half, the other half's choice is used for both.
    let chosen = chosen[0].or(chosen[1]).zip(chosen[1].or(chosen[0]));
    let count = |side: bool| {
        let blocks: std::collections::BTreeSet<i32> = problem.block.iter().copied().collect();
        blocks.into_iter().filter(|&b| selects(b) == side).count()
    };
    let halves = chosen.map(|(first, second)| {
        [
            HalfChoice { blocks: count(true), layer: first.layer, rho2_of_other: first.values[1] },
            HalfChoice { blocks: count(false), layer: second.layer, rho2_of_other: second.values[0] },
        ]
    });
    let layer = match chosen {
        Some((a, b)) if both(&b.values) > both(&a.values) => b.layer,
        Some((a, _)) => a.layer,
        None => allowed.last().copied().unwrap_or_default(),
    };
    let generation = best(&|s| both(&s.logprob)).map(|s| s.layer);
    Ok(Choice { layer, halves, generation, profile, alignments })
}

/// One layer with a bench for each half, reused while values label the same rows.
struct AtLayer<'a> {
    problem: &'a Problem,
    h: &'a Array2<f32>,
    cache: [Option<(Rows, Option<Bench>)>; 2],
}

impl<'a> AtLayer<'a> {
    fn new(problem: &'a Problem, h: &'a Array2<f32>) -> Self {
        Self { problem, h, cache: [None, None] }
    }

    /// Bench of these rows; `None` if they have no contrasts, or if the layer does not vary on them (such as the
    /// embeddings under `--pool last`) and so encodes nothing.
    fn bench(&mut self, side: usize, wanted: Rows) -> Result<Option<&Bench>> {
        if self.cache[side].as_ref().is_none_or(|(rows, _)| *rows != wanted) {
            let contrasts = wanted.contrasts(self.problem);
            let bench = if contrasts.is_empty() {
                None
            } else {
                match Bench::new(contrasts, self.h.view(), None) {
                    Ok(bench) => Some(bench),
                    Err(e) if e.kind() == Some(Kind::NotEstimable) => None,
                    Err(e) => return Err(e),
                }
            };
            self.cache[side] = Some((wanted, bench));
        }
        Ok(self.cache[side].as_ref().and_then(|(_, bench)| bench.as_ref()))
    }

    /// ρ² of a value over both halves and on each; records the alignments.
    fn value(
        &mut self,
        layer: Layer,
        v: usize,
        alignments: &mut Vec<LayerAlignment>,
    ) -> Result<(LayerRho2, [Option<f64>; 2])> {
        let problem = self.problem;
        let value = &problem.values[v];
        let mut entry = LayerRho2 { layer, value: value.name.clone(), rho2: None, se: None };
        let all = rows::of_value(problem, value, &|_| true);
        let judged: Vec<&Judged> = problem
            .judged
            .iter()
            .filter(|j| !j.beside && all.filtered(|r| j.reward[r].is_finite()) == all)
            .collect();
        let mut joined = Joined::default();
        let mut own = [None, None];
        for (side, own) in own.iter_mut().enumerate() {
            let keep = |row: usize| selects(problem.block[row]) == (side == 0);
            let wanted = rows::of_value(problem, value, &keep);
            let Some(bench) = self.bench(side, wanted)? else { continue };
            let rewards = judged.iter().map(|j| bench.column(&j.reward));
            let labels = bench.probe(std::iter::once(rows::label(bench, value)).chain(rewards).collect());
            *own = rho2_on(bench.contrasts.blocks(), &labels[0]).map(|r| r.value);
            joined.add(labels, bench.contrasts.blocks());
        }
        let Some((s, rewards)) = joined.labels.split_first() else { return Ok((entry, own)) };
        if let Some(r) = rho2_on(&joined.blocks, s) {
            entry.rho2 = Some(r.value);
            entry.se = Some(r.se(&joined.blocks)).filter(|se| se.is_finite());
        }
        for (judged, r) in judged.iter().zip(rewards) {
            let angle = Angle::on(&joined.blocks, s, r);
            if let (true, Some(cos)) = (angle.identifiable(), &angle.cos) {
                let (value, constitution) = (value.name.clone(), judged.name.clone());
                let interval = fisher_interval(cos.value, cos.se(&joined.blocks));
                alignments.push(LayerAlignment { layer, value, constitution, cos: cos.value, interval });
            }
        }
        Ok((entry, own))
    }

    /// ρ² of log P on each half, with length projected out.
    fn logprob(&mut self) -> Result<[Option<f64>; 2]> {
        let problem = self.problem;
        let Some(logprob) = &problem.logprob else { return Ok([None, None]) };
        let mut out = [None, None];
        for (side, out) in out.iter_mut().enumerate() {
            let wanted = rows::all(problem, &|row| selects(problem.block[row]) == (side == 0));
            let Some(bench) = self.bench(side, wanted)? else { continue };
            let y = bench.contrasts.column(logprob);
            let length = problem.tokens.as_ref().and_then(|t| LengthControl::new(&bench.contrasts, t));
            let y = length.map_or_else(|| y.clone(), |l| l.clean_logprob(&y));
            let label = bench.probe(vec![y]).remove(0);
            *out = rho2_on(bench.contrasts.blocks(), &label).map(|r| r.value);
        }
        Ok(out)
    }
}

/// Labels of both halves, concatenated.
#[derive(Default)]
struct Joined {
    labels: Vec<Label>,
    blocks: Vec<Range<usize>>,
}

impl Joined {
    fn add(&mut self, labels: Vec<Label>, blocks: &[Range<usize>]) {
        let start = self.blocks.last().map_or(0, |b| b.end);
        self.blocks.extend(blocks.iter().map(|b| start + b.start..start + b.end));
        if self.labels.is_empty() {
            self.labels = labels;
            return;
        }
        for (all, own) in self.labels.iter_mut().zip(labels) {
            all.y.extend(own.y);
            all.yhat.extend(own.yhat);
        }
    }
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

    #[test]
    fn embeddings_are_open_to_choice_only_where_nothing_else_is_there() {
        assert_eq!(eligible(&[Layer(0), Layer(3), Layer(7)]), [Layer(3), Layer(7)]);
        assert_eq!(eligible(&[Layer(0)]), [Layer(0)]);
    }

    #[test]
    fn each_half_is_scored_at_the_layer_of_the_other() {
        let half = |layer| HalfChoice { blocks: 20, layer: Layer(layer), rho2_of_other: Some(0.4) };
        let choice = |layer, halves| Choice {
            layer: Layer(layer),
            halves: Some(halves),
            generation: None,
            profile: Vec::new(),
            alignments: Vec::new(),
        };
        // The half with `selects` chose 3, so the other half is scored at 3, and this half at 5.
        assert_eq!(choice(3, [half(3), half(5)]).other(), Some((Layer(5), true)));
        assert_eq!(choice(5, [half(3), half(5)]).other(), Some((Layer(3), false)));
        let same = choice(4, [half(4), half(4)]);
        assert_eq!(same.other(), None);
        assert!(same.note(9).contains("both halves of the 40 blocks"), "{}", same.note(9));
        assert!(choice(3, [half(3), half(5)]).note(9).contains("layer 5, where the others give ρ² 0.400"));
    }
}
