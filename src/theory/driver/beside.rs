//! Measurements away from the reported layer: token embeddings and token counts as baselines, and w.

use ndarray::Array2;

use crate::error::Result;
use crate::theory::base::analysis::{Analysis, Options};
use crate::theory::base::angle::Angle;
use crate::theory::base::estimate::{Estimate, Quantity};
use crate::theory::base::layers::EMBEDDINGS;
use crate::theory::base::problem::{LayerSource, Problem};
use crate::theory::base::rows;
use crate::theory::base::stage::Stage;
use crate::theory::{encoding, gap};
use crate::units::Layer;

/// Residual streams read in addition to the reported layer's.
pub(crate) struct Beside {
    words: Option<Array2<f32>>,
    embeddings: Option<Array2<f32>>,
    generation: Option<(Layer, Array2<f32>)>,
}

impl Beside {
    /// Reads the embeddings, if captured, and the layer `generation`, unless they are the reported layer.
    pub(crate) fn read(source: &dyn LayerSource, reported: Layer, generation: Option<Layer>) -> Result<Self> {
        let other = |layer: &Layer| *layer != reported && source.layers().contains(layer);
        let embeddings = Some(EMBEDDINGS).filter(other).map(|l| source.resid(l)).transpose()?;
        let generation = generation.filter(other).map(|l| source.resid(l).map(|h| (l, h))).transpose()?;
        Ok(Self { words: source.words()?, embeddings, generation })
    }

    /// The layer at which w is read, if it is not the reported one.
    pub(crate) fn generation_layer(&self) -> Option<Layer> {
        self.generation.as_ref().map(|(layer, _)| *layer)
    }

    /// `rho2_words` and `rho2_embeddings` of each value, and `generation_alignment` at the layer that reads log P best.
    pub(crate) fn measure(
        &self,
        (problem, source): (&Problem, &dyn LayerSource),
        options: &Options,
        length: bool,
        values: &[usize],
        out: &mut Analysis,
    ) -> Result<()> {
        let stage = |h, layer| Stage::new((problem, source), options, (layer, h), length);
        let nothing_to_read = [
            "no kind of token is counted differently among the responses to a prompt",
            "the embeddings' output is the same for all responses to a prompt: there is nothing to read",
        ];
        let baselines = [(Quantity::Rho2Words, &self.words), (Quantity::Rho2Embeddings, &self.embeddings)];
        for ((quantity, h), nothing) in baselines.into_iter().zip(nothing_to_read) {
            let Some(h) = h else { continue };
            let mut stage = stage(h, EMBEDDINGS);
            for &v in values {
                let value = &problem.values[v];
                let bench = stage.bench(rows::of_value(problem, value, stage.keep))?;
                let estimate = match &bench {
                    None => Estimate::missing(quantity, nothing),
                    Some(bench) => {
                        let s = bench.probe(vec![rows::label(bench, value)]).remove(0);
                        encoding::rho2_estimate(bench, quantity, &s)
                    }
                };
                stage.push(out, bench.as_deref(), Some(&value.name), estimate);
            }
        }
        if let (Some((layer, h)), Some(logprob)) = (&self.generation, &problem.logprob) {
            let mut stage = stage(h, *layer);
            for &v in values {
                let value = &problem.values[v];
                let bench = stage.bench(rows::of_value(problem, value, stage.keep))?;
                let estimate = match &bench {
                    None => Estimate::missing(
                        Quantity::GenerationAlignment,
                        "no prompt has two labelled responses whose residual streams differ",
                    ),
                    Some(bench) => {
                        let labels = bench.probe(vec![rows::label(bench, value), bench.logprob(logprob)]);
                        let mut e =
                            gap::generation(bench, &value.name, &Angle::new(bench, &labels[0], &labels[1]));
                        if let Some(rho2) = encoding::rho2(bench, &labels[1]) {
                            e.method = format!(
                                "{}; the layer that reads log P best, ρ² {:.3}",
                                e.method, rho2.value
                            );
                        }
                        e
                    }
                };
                stage.push(out, bench.as_deref(), Some(&value.name), estimate);
            }
        }
        Ok(())
    }
}
