//! The whole analysis: from a problem and its residual streams to estimates, directions and warnings.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::arm::Arm;
use super::beside::Beside;
use super::copies::{self, Distinct};
use super::dominance::Dominance;
use super::estimate::{Control, Estimate, Mode, Quantity};
use super::export::{Fitted, LayerDimension, at_layer, fit_directions};
use super::judging;
use super::layers::{self, HalfChoice, LayerAlignment, LayerRho2};
use super::multiplicity::Tests;
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
    /// The only one, or those that encode S best: each half of the blocks chooses for the other. Never the embeddings.
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
    /// Leaves out the statements beyond the core, and the directions.
    pub core_only: bool,
    /// Seed of the random directions of the geometry and concentration nulls and of the draws by which p-values are
    /// adjusted.
    pub seed: u64,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaceboContrast {
    /// The value.
    pub value: String,
    /// The constitution.
    pub constitution: String,
    /// How the rewards were obtained, where they stand beside forced choices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    /// Independent placebo texts.
    pub draws: usize,
    /// Two-sided p over the choice of prompts, adjusted for all constitutions and values.
    pub p_prompts: f64,
    /// Two-sided p over the choice of placebo texts, adjusted likewise; absent below four texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_texts: Option<f64>,
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
    /// What each half of the blocks chose; empty where no layer had to be chosen.
    pub choice: Vec<HalfChoice>,
    /// ρ² by layer, each half of the blocks fitted by itself; empty where no layer had to be chosen.
    pub profile: Vec<LayerRho2>,
    /// Alignments by layer from the same fits, those that are identifiable.
    pub alignments: Vec<LayerAlignment>,
    /// `v_star.VALUE`, `v_c.CONSTITUTION`, `w`: one `[d]` vector a layer, in the order of the layers.
    pub directions: BTreeMap<String, Vec<Vec<f64>>>,
    /// d_eff by layer, on all rows.
    pub dimensions: Vec<LayerDimension>,
    /// Shares of single coordinates and prompts in figures, and the figures without them.
    pub dominance: Vec<Dominance>,
    /// Slopes against the placebo arm.
    pub placebo: Vec<PlaceboContrast>,
    /// The placebo arms.
    pub arms: Vec<Arm>,
    /// What single statements found beside estimates, by the name of the table in the report.
    pub tables: BTreeMap<String, serde_json::Value>,
    /// What the reader must know.
    pub warnings: Vec<String>,
    /// Seconds by step.
    pub seconds: Vec<(String, f64)>,
}

impl Analysis {
    /// Adds an entry to a table that is a list, and the table where it is the first.
    pub(super) fn add_to_table(&mut self, name: &str, entry: &impl Serialize) {
        let Ok(entry) = serde_json::to_value(entry) else { return };
        let table =
            self.tables.entry(name.to_owned()).or_insert_with(|| serde_json::Value::Array(Vec::new()));
        if let Some(list) = table.as_array_mut() {
            list.push(entry);
        }
    }
}

/// Analyses a problem.
///
/// # Errors
/// [`Kind::NotEstimable`] if no value has two labelled responses to one prompt, or a layer or value is
/// asked for that is not there; what the layer source refuses.
pub fn analyse(problem: &Problem, source: &dyn LayerSource, options: &Options) -> Result<Analysis> {
    let values = chosen_values(problem, options)?;
    options.check(problem)?;
    let Distinct { problem, wordings, warnings } = copies::find(problem, source, &options.wordings)?;
    let (problem, options) = (problem.as_ref(), &Options { wordings, ..options.clone() });
    let mut out = Analysis { warnings, ..Analysis::default() };
    let mut clock = Clock { at: Instant::now(), seconds: Vec::new() };
    let Chosen { twin, generation } = choose(problem, source, &values, options, &mut out)?;
    clock.lap("layer selection");
    let h = source.resid(out.layer)?;
    let twin = twin.map(|(layer, side)| source.resid(layer).map(|h| (h, side))).transpose()?;
    let beside = Beside::read(source, out.layer, generation)?;
    let mut fitted = Fitted::new();
    for length in [false, true] {
        if length && problem.tokens.is_none() {
            out.warnings.push("no token counts: nothing could be controlled for length".into());
            break;
        }
        let twin = twin.as_ref().map(|(h, side)| (h, *side));
        let (keep, generation, layer) = (&|_: usize| true, beside.generation_layer(), out.layer);
        let benches = Vec::new();
        let mut stage =
            Stage { problem, options, h: &h, twin, generation, length, keep, benches, layer, source };
        stage.shared(&mut out)?;
        let mut tests = Tests::default();
        for &v in &values {
            stage.value(v, &mut tests, &mut out)?;
        }
        tests.finish(options.seed, &mut out);
        // Figures and directions are of the same rows and share their factors.
        if !options.core_only {
            fitted.extend(at_layer(&mut stage, &values, &mut out.dimensions)?);
        }
        let control = if length { ", length controlled" } else { "" };
        clock.lap(&format!("estimates{control}"));
        for (name, measure) in THEOREMS.iter().filter(|_| !options.core_only) {
            measure(&mut stage, &values, &mut out)?;
            clock.lap(&format!("{name}{control}"));
        }
        drop(stage);
        beside.measure((problem, source), options, length, &values, &mut out)?;
        clock.lap(&format!("other layers{control}"));
    }
    for judged in &problem.judged {
        let quality = judging::quality(problem, judged, &|_| true);
        out.estimates.extend(quality.into_iter().map(|e| judged.mark(e)));
    }
    let alone = problem.judged.iter().filter(|j| !j.beside);
    // Rewards of different modes have different units.
    let mode = alone.clone().map(|j| j.mode).min();
    let alone: Vec<_> = alone.filter(|j| Some(j.mode) == mode).collect();
    out.estimates.extend(judging::together(problem, &alone, &options.wordings, &|_| true));
    drop(h);
    if !options.core_only {
        fit_directions(problem, source, &values, fitted, &mut out)?;
    }
    out.dimensions.sort_by_key(|d| d.layer);
    if let Some(at) = source.layers().iter().position(|l| *l == out.layer) {
        let cosines = raw::cosines(&out.directions, at);
        if let (false, Ok(table)) = (cosines.is_empty(), serde_json::to_value(cosines)) {
            out.tables.insert(raw::TABLE.to_owned(), table);
        }
    }
    clock.lap("directions");
    out.estimates = out.estimates.into_iter().map(Estimate::unless_too_few_blocks).collect();
    out.seconds = clock.seconds;
    Ok(out)
}

/// Which layers are read beside [`Analysis::layer`].
struct Chosen {
    /// Where some blocks are scored, and on which side of [`layers::selects`] they lie.
    twin: Option<(Layer, bool)>,
    /// The layer that reads log P best, where it was looked for.
    generation: Option<Layer>,
}

/// Settles [`Analysis::layer`] and notes how.
fn choose(
    problem: &Problem,
    source: &dyn LayerSource,
    values: &[usize],
    options: &Options,
    out: &mut Analysis,
) -> Result<Chosen> {
    let one = Chosen { twin: None, generation: None };
    let known = source.layers();
    match options.layer {
        LayerChoice::Fixed(layer) if known.contains(&layer) => {
            (out.layer, out.layer_note) = (layer, "given".into());
            Ok(one)
        }
        LayerChoice::Fixed(layer) => {
            let known = known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Err(Refusal::new(Kind::NotEstimable, format!("layer {layer} was not captured"))
                .expected(format!("one of {known}"))
                .into())
        }
        LayerChoice::Auto => match (known, layers::eligible(known).as_slice()) {
            ([], _) => Err(Refusal::new(Kind::NotEstimable, "no layer was captured").into()),
            ([only], _) => {
                (out.layer, out.layer_note) = (*only, "the only one captured".into());
                Ok(one)
            }
            (_, [only]) => {
                (out.layer, out.layer_note) =
                    (*only, "the only one captured beside the token embeddings".into());
                Ok(one)
            }
            _ => {
                let choice = layers::choose(problem, source, values)?;
                out.layer = choice.layer;
                out.layer_note = choice.note(layers::eligible(known).len());
                let (twin, generation) = (choice.other(), choice.generation);
                (out.profile, out.alignments) = (choice.profile, choice.alignments);
                match choice.halves {
                    Some(halves) => out.choice = halves.into(),
                    None => out.warnings.push(format!("layer: {}", out.layer_note)),
                }
                let blocks: std::collections::BTreeSet<i32> = problem.block.iter().copied().collect();
                if blocks.len() < FEW_BLOCKS {
                    out.warnings.push(format!(
                        "only {} blocks to choose the layer and to report on; intervals are rough",
                        blocks.len()
                    ));
                }
                Ok(Chosen { twin, generation })
            }
        },
    }
}

/// Blocks below which the choice of a layer is called rough.
const FEW_BLOCKS: usize = 30;

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
