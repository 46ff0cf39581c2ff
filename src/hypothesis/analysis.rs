//! The whole analysis: from a problem and its residual streams to estimates, directions and warnings.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use super::estimate::{Control, Estimate, Mode, Quantity};
use super::export::{Fitted, LayerDimension, at_layer, fit_directions};
use super::judging;
use super::layers::{self, LayerAlignment, LayerRho2};
use super::problem::{LayerSource, Problem};
use super::raw;
use super::rows;
use super::stage::Stage;
use super::theorems::THEOREMS;
use crate::error::{Kind, Refusal, Result};
use crate::units::Layer;

/// Which layer is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerChoice {
    /// The only one, or the one that encodes S best on half of the blocks; reported on the other half.
    #[default]
    Auto,
    /// This one, on all data.
    Fixed(Layer),
}

/// What to analyse.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The layer.
    pub layer: LayerChoice,
    /// Only these values; `None`: all.
    pub values: Option<Vec<String>>,
    /// Weights of values over σ_S in weighted aggregates, by name; 1 for those not named.
    pub weights: BTreeMap<String, f64>,
    /// The constitutions that are averaged; `None`: all outside the placebo arm.
    pub ensemble: Option<Vec<String>>,
    /// Constitutions that word another one anew, and that one.
    pub wordings: BTreeMap<String, String>,
}

impl Options {
    /// A value's weight.
    pub(super) fn weight(&self, value: &str) -> f64 {
        self.weights.get(value).copied().unwrap_or(1.0)
    }

    /// Refuses weights of values and members of an ensemble that are not there, and weights that are not positive.
    fn check(&self, problem: &Problem) -> Result<()> {
        for (name, weight) in &self.weights {
            if !problem.values.iter().any(|v| v.name == *name) {
                let known: Vec<&str> = problem.values.iter().map(|v| v.name.as_str()).collect();
                return Err(Refusal::new(Kind::Missing, format!("a weight of `{name}`, which is no value"))
                    .expected(format!("one of {}", known.join(", ")))
                    .into());
            }
            if !(*weight > 0.0 && weight.is_finite()) {
                return Err(Refusal::new(Kind::Invalid, format!("the weight of `{name}` is {weight}"))
                    .expected("a number above 0")
                    .into());
            }
        }
        for name in self.ensemble.iter().flatten() {
            if !problem.judged.iter().any(|j| j.name == *name) {
                let known: Vec<&str> = problem.judged.iter().map(|j| j.name.as_str()).collect();
                return Err(Refusal::new(Kind::Missing, format!("no judgments under `{name}`"))
                    .expected(format!("members of an ensemble among {}", known.join(", ")))
                    .into());
            }
        }
        Ok(())
    }
}

/// A constitution's slopes less the mean of the placebo arm's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlaceboContrast {
    /// The value.
    pub value: String,
    /// The constitution.
    pub constitution: String,
    /// How the rewards were obtained, where they stand beside forced choices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<Mode>,
    /// What was projected out.
    pub control: Control,
    /// Which slope: `encoded_slope` or `total_slope`.
    pub quantity: Quantity,
    /// Slope minus the mean slope of the placebos.
    pub difference: f64,
    /// Its standard error.
    pub se: f64,
    /// difference / SE.
    pub z: f64,
}

/// What came out.
#[derive(Debug, Clone, Default)]
pub struct Analysis {
    /// Every estimate.
    pub estimates: Vec<Estimate>,
    /// The layer that is reported.
    pub layer: Layer,
    /// How it was chosen, in words.
    pub layer_note: String,
    /// ρ² by layer on the selection half; empty where no layer had to be chosen.
    pub profile: Vec<LayerRho2>,
    /// Alignments by layer on the selection half, those that are identifiable.
    pub alignments: Vec<LayerAlignment>,
    /// `v_star.VALUE`, `v_c.CONSTITUTION`, `w`: one `[d]` vector a layer, in the order of the layers.
    pub directions: BTreeMap<String, Vec<Vec<f64>>>,
    /// d_eff by layer, on all rows.
    pub dimensions: Vec<LayerDimension>,
    /// Slopes against the placebo arm.
    pub placebo: Vec<PlaceboContrast>,
    /// What single statements found beside estimates, by the name of the table in the report.
    pub tables: BTreeMap<String, serde_json::Value>,
    /// What the reader must know.
    pub warnings: Vec<String>,
    /// Seconds by step.
    pub seconds: Vec<(String, f64)>,
}

/// Analyses a problem.
///
/// # Errors
/// [`Kind::NotEstimable`] if no value has two labelled responses to one prompt, or a layer or value is
/// asked for that is not there; what the layer source refuses.
pub fn analyse(problem: &Problem, source: &dyn LayerSource, options: &Options) -> Result<Analysis> {
    let values = chosen_values(problem, options)?;
    options.check(problem)?;
    let mut out = Analysis::default();
    let mut clock = Clock { at: Instant::now(), seconds: Vec::new() };
    let blocks: std::collections::BTreeSet<i32> = problem.block.iter().copied().collect();
    let mut keep: Box<dyn Fn(usize) -> bool + '_> = Box::new(|_| true);
    (out.layer, out.layer_note) = match options.layer {
        LayerChoice::Fixed(layer) if source.layers().contains(&layer) => (layer, "given".into()),
        LayerChoice::Fixed(layer) => {
            let known = source.layers().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(Refusal::new(Kind::NotEstimable, format!("layer {layer} was not captured"))
                .expected(format!("one of {known}"))
                .into());
        }
        LayerChoice::Auto => match source.layers() {
            [] => return Err(Refusal::new(Kind::NotEstimable, "no layer was captured").into()),
            [only] => (*only, "the only one captured".into()),
            many => {
                let chosen = layers::choose(problem, source, &values)?;
                let layer = chosen.layer;
                (out.profile, out.alignments) = (chosen.profile, chosen.alignments);
                keep = Box::new(|row| !layers::selects(problem.block[row]));
                let reported = blocks.iter().filter(|&&b| !layers::selects(b)).count();
                if reported < 30 {
                    out.warnings.push(format!(
                        "only {reported} blocks are left to report on after the layer was chosen; intervals are rough"
                    ));
                }
                let note = format!(
                    "highest ρ² among {} layers on one half of the blocks; all figures are from the other half ({reported} blocks)",
                    many.len()
                );
                (layer, note)
            }
        },
    };
    clock.lap("layer selection");
    let h = source.resid(out.layer)?;
    // With no layer to choose, figures and directions are of the same rows and share their factors.
    let shared = out.profile.is_empty();
    let mut fitted = Fitted::new();
    for length in [false, true] {
        if length && problem.tokens.is_none() {
            out.warnings.push("no token counts: nothing could be controlled for length".into());
            break;
        }
        let (keep, benches, layer) = (&*keep, Vec::new(), out.layer);
        let mut stage = Stage { problem, options, h: &h, length, keep, benches, layer };
        stage.shared(&mut out)?;
        for &v in &values {
            stage.value(v, &mut out)?;
        }
        if shared {
            fitted.extend(at_layer(&mut stage, &values, &mut out.dimensions)?);
        }
        let control = if length { ", length controlled" } else { "" };
        clock.lap(&format!("estimates{control}"));
        for (name, measure) in THEOREMS {
            measure(&mut stage, &values, &mut out)?;
            clock.lap(&format!("{name}{control}"));
        }
    }
    for judged in &problem.judged {
        let quality = judging::quality(problem, judged, &*keep);
        out.estimates.extend(quality.into_iter().map(|e| judged.mark(e)));
    }
    drop(h);
    fit_directions(problem, source, &values, fitted, &mut out)?;
    out.dimensions.sort_by_key(|d| d.layer);
    if let Some(at) = source.layers().iter().position(|l| *l == out.layer) {
        let cosines = raw::cosines(&out.directions, at);
        if let (false, Ok(table)) = (cosines.is_empty(), serde_json::to_value(cosines)) {
            out.tables.insert(raw::TABLE.to_owned(), table);
        }
    }
    clock.lap("directions");
    out.seconds = clock.seconds;
    Ok(out)
}

struct Clock {
    at: Instant,
    seconds: Vec<(String, f64)>,
}

impl Clock {
    fn lap(&mut self, step: &str) {
        let seconds = self.at.elapsed().as_secs_f64();
        tracing::info!(step, seconds, "fit");
        self.seconds.push((step.to_owned(), seconds));
        self.at = Instant::now();
    }
}

fn chosen_values(problem: &Problem, options: &Options) -> Result<Vec<usize>> {
    let known = || problem.values.iter().map(|v| v.name.as_str()).collect::<Vec<_>>().join(", ");
    let wanted: Vec<usize> = match &options.values {
        None => (0..problem.values.len()).collect(),
        Some(names) => names
            .iter()
            .map(|name| {
                problem.values.iter().position(|v| v.name == *name).ok_or_else(|| {
                    Refusal::new(Kind::NotEstimable, format!("no value `{name}` in the observations"))
                        .expected(format!("one of {}", known()))
                        .into()
                })
            })
            .collect::<Result<_>>()?,
    };
    let any = wanted
        .iter()
        .any(|&v| !rows::of_value(problem, &problem.values[v], &|_| true).contrasts(problem).is_empty());
    if !any {
        return Err(Refusal::new(Kind::NotEstimable, "no prompt has two labelled responses")
            .expected("at least two responses to a prompt with labels of one value, or a preference")
            .found(format!("values {}", known()))
            .into());
    }
    Ok(wanted)
}
