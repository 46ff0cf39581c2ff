//! The whole analysis: from a problem and its residual streams to estimates, directions and warnings.

use std::time::Instant;

use crate::error::{Diagnostic, Kind, Result};
use crate::theory::base::analysis::{Analysis, LayerChoice, Options};
use crate::theory::base::estimate::Estimate;
use crate::theory::base::layers::eligible;
use crate::theory::base::multiplicity::Tests;
use crate::theory::base::problem::{LayerSource, Problem};
use crate::theory::base::rows;
use crate::theory::base::stage::Stage;
use crate::theory::driver::beside::Beside;
use crate::theory::driver::copies::{self, Distinct};
use crate::theory::driver::export::{Fitted, at_layer, fit_directions};
use crate::theory::driver::{layers, values as by_value};
use crate::theory::statement::Measure;
use crate::theory::statements::{STATEMENTS, measures};
use crate::units::Layer;

/// Analyses a problem.
///
/// # Errors
/// [`Kind::NotEstimable`] if no value has two labelled responses to one prompt, or if a requested layer or value does
/// not exist; errors of the layer source.
pub fn analyse(problem: &Problem, source: &dyn LayerSource, options: &Options) -> Result<Analysis> {
    let values = chosen_values(problem, options)?;
    options.check(problem)?;
    let Distinct { problem, wordings, warnings } = copies::find(problem, source, &options.wordings)?;
    let (problem, options) = (problem.as_ref(), &Options { wordings, ..options.clone() });
    let mut out = Analysis { warnings, ..Analysis::default() };
    let mut clock = Clock { at: Instant::now(), seconds: Vec::new() };
    let FurtherLayers { twin, generation } = choose(problem, source, &values, options, &mut out)?;
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
        let mut stage = Stage {
            twin: twin.as_ref().map(|(h, side)| (h, *side)),
            generation: beside.generation_layer(),
            ..Stage::new((problem, source), options, (out.layer, &h), length)
        };
        by_value::shared(&mut stage, &mut out)?;
        let mut tests = Tests::default();
        for &v in &values {
            by_value::value(&mut stage, v, &mut tests, &mut out)?;
        }
        tests.finish(options.seed, &mut out);
        // Figures and directions use the same rows and share their factors.
        if !options.core_only {
            fitted.extend(at_layer(&mut stage, &values, &mut out.dimensions)?);
        }
        let control = if length { ", length controlled" } else { "" };
        clock.lap(&format!("estimates{control}"));
        for statement in STATEMENTS.iter().filter(|_| !options.core_only) {
            let whole = |m: &'static Measure| match m {
                Measure::Whole(of) => Some(of),
                Measure::Uncontrolled(of) if !length => Some(of),
                _ => None,
            };
            let mut of = statement.measures.iter().filter_map(whole).peekable();
            if of.peek().is_some() {
                of.try_for_each(|measure| measure(&mut stage, &values, &mut out))?;
                clock.lap(&format!("{} ({}){control}", statement.title, statement.source));
            }
        }
        drop(stage);
        beside.measure((problem, source), options, length, &values, &mut out)?;
        clock.lap(&format!("other layers{control}"));
    }
    for measure in measures() {
        if let Measure::Problem(of) = measure {
            out.estimates.extend(of(problem, options));
        }
    }
    drop(h);
    if !options.core_only {
        fit_directions(problem, source, &values, fitted, &mut out)?;
    }
    out.dimensions.sort_by_key(|d| d.layer);
    if let Some(at) = source.layers().iter().position(|l| *l == out.layer) {
        for measure in measures() {
            if let Measure::Directions(of) = measure {
                of(&mut out, at);
            }
        }
    }
    clock.lap("directions");
    out.estimates = out.estimates.into_iter().map(Estimate::unless_too_few_blocks).collect();
    out.seconds = clock.seconds;
    Ok(out)
}

/// Layers read in addition to [`Analysis::layer`].
struct FurtherLayers {
    /// Layer at which some of the blocks are scored, and their side of [`layers::selects`].
    twin: Option<(Layer, bool)>,
    /// The layer that reads log P best, if it was determined.
    generation: Option<Layer>,
}

/// Determines [`Analysis::layer`] and records how.
fn choose(
    problem: &Problem,
    source: &dyn LayerSource,
    values: &[usize],
    options: &Options,
    out: &mut Analysis,
) -> Result<FurtherLayers> {
    let one = FurtherLayers { twin: None, generation: None };
    let known = source.layers();
    match options.layer {
        LayerChoice::Fixed(layer) if known.contains(&layer) => {
            (out.layer, out.layer_note) = (layer, "given".into());
            Ok(one)
        }
        LayerChoice::Fixed(layer) => {
            let known = known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Err(Diagnostic::new(Kind::NotEstimable, format!("layer {layer} was not captured"))
                .expected(format!("one of {known}"))
                .into())
        }
        LayerChoice::Auto => match (known, eligible(known).as_slice()) {
            ([], _) => Err(Diagnostic::new(Kind::NotEstimable, "no layer was captured").into()),
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
                out.layer_note = choice.note(eligible(known).len());
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
                Ok(FurtherLayers { twin, generation })
            }
        },
    }
}

/// Below this number of blocks the choice of a layer is reported as rough.
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
                    Diagnostic::new(Kind::NotEstimable, format!("no value `{name}` in the observations"))
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
        return Err(Diagnostic::new(Kind::NotEstimable, "no prompt has two labelled responses")
            .expected("at least two responses to a prompt with labels of one value, or a preference")
            .found(format!("values {}", known()))
            .into());
    }
    Ok(wanted)
}
