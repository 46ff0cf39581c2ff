//! Turns an observations file into the numerical problem: the reference's rows, labels, choices.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::Array2;

use crate::error::{Diagnostic, Kind, Result};
use crate::fit::verdicts::Verdicts;
use crate::observations::{BARE, Judgments, Observations, RowSelection};
use crate::theory::{
    Choices, Labels, LayerSource, Mode, Parts, Problem, RawChoices, StateText, Value, VerdictSource,
};
use crate::units::Layer;

/// Residual streams of the reference's rows, read from the file on demand.
pub struct Reference<'a> {
    observations: &'a Observations,
    /// The rows.
    pub selection: RowSelection,
    arms: Vec<StateText>,
    /// Row of each response under each arm.
    arm_rows: Vec<Vec<Option<usize>>>,
    verdicts: Verdicts,
}

impl LayerSource for Reference<'_> {
    fn layers(&self) -> &[Layer] {
        self.observations.layers()
    }

    fn resid(&self, layer: Layer) -> Result<Array2<f32>> {
        self.observations.selected_layer(layer, &self.selection)
    }

    fn texts(&self) -> &[StateText] {
        &self.arms
    }

    fn text_resid(&self, arm: usize, layer: Layer) -> Result<Array2<f32>> {
        let Some(rows) = self.arm_rows.get(arm) else {
            return Err(Diagnostic::new(Kind::Missing, format!("there is no arm {arm}")).into());
        };
        self.observations.sparse_rows(layer, rows)
    }

    fn words(&self) -> Result<Option<Array2<f32>>> {
        match &self.observations.place().file {
            Some(path) => crate::fit::words::counts(path, self.selection.rows()),
            None => Ok(None),
        }
    }

    fn verdicts(&self) -> Option<&dyn VerdictSource> {
        (!self.verdicts.texts().is_empty()).then_some(&self.verdicts)
    }
}

/// The problem posed by a file, with warnings.
pub struct Posed<'a> {
    /// The problem.
    pub problem: Problem,
    /// Source of its residual streams.
    pub source: Reference<'a>,
    /// Warnings.
    pub warnings: Vec<String>,
}

/// Poses the problem: h, log P and token counts from the rows read under `reference` (`None`: the bare context, or
/// the first constitution with rows), labels and choices for the same responses. `placebo` names the constitutions of
/// the placebo arm.
///
/// # Errors
/// Errors of [`Observations`] (an unknown reference, rows that cannot be matched, no prompts) and of
/// [`Problem::new`].
pub fn pose<'a>(
    observations: &'a Observations,
    reference: Option<&str>,
    placebo: &BTreeSet<String>,
) -> Result<Posed<'a>> {
    let name = reference.unwrap_or_else(|| observations.default_reference());
    let selection = observations.select_constitution(name)?;
    let columns = observations.columns();
    let mut warnings = observations.warnings().to_vec();
    let mut mapped = |what: String, from: Option<String>| {
        if let Some(from) = from {
            warnings.push(format!("{what}: stored with the rows of `{from}`, matched to those of `{name}`"));
        }
    };
    let mut values = Vec::new();
    for value in columns.values.keys() {
        let selected = observations.selected_value(value, &selection)?;
        mapped(format!("value {value}"), selected.mapped_from);
        values.push(Value { name: value.clone(), labels: Labels::Scores(selected.data) });
    }
    let mut ambiguous = Vec::new();
    for value in columns.preferences.keys() {
        if columns.values.contains_key(value) {
            ambiguous.push(format!("value {value} has labels and preferences: the labels are used"));
            continue;
        }
        let selected = observations.selected_preferences(value, &selection)?;
        mapped(format!("preferences {value}"), selected.mapped_from);
        let pairs = selected.data.iter().map(|&[b, w]| (b, w)).collect();
        values.push(Value { name: value.clone(), labels: Labels::Preferences(pairs) });
    }
    let asked = |name: &String, mode, choices| RawChoices {
        name: name.clone(),
        placebo: placebo.contains(name),
        mode,
        choices,
    };
    let mut judged = Vec::new();
    let mut one_order = Vec::new();
    for constitution in columns.judgments.keys() {
        let selected = observations.selected_judgments(constitution, &selection)?;
        mapped(format!("judge {constitution}"), selected.mapped_from);
        if selected.data.ba.is_none() {
            one_order.push(constitution.clone());
        }
        judged.push(asked(constitution, Mode::Pairwise, choices(selected.data)));
    }
    let mut unpaired: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for constitution in columns.scores.keys() {
        let selected = observations.selected_score(constitution, &selection)?;
        mapped(format!("score {constitution}"), selected.mapped_from);
        let mode = match observations.meta().extra.get(&format!("score.{constitution}")).map(String::as_str) {
            Some("pointwise") => Mode::Pointwise,
            Some("implicit") => Mode::Implicit,
            _ => Mode::Scores,
        };
        if !columns.judgments.contains_key(constitution) {
            unpaired.entry(mode.as_str()).or_default().push(constitution);
        }
        judged.push(asked(constitution, mode, Choices::Scores(selected.data)));
    }
    for (mode, names) in &unpaired {
        ambiguous.push(format!("rewards are {mode} scores, not forced choices: {}", names.join(", ")));
    }
    if unpaired.len() + usize::from(!columns.judgments.is_empty()) > 1 {
        ambiguous.push(
            "rewards of different kinds have different units: slopes are compared only within a kind".into(),
        );
    }
    if !one_order.is_empty() {
        warnings.push(format!(
            "judged in one order only ({}): the mean position bias is subtracted, what varies of it stays in the rewards",
            one_order.join(", ")
        ));
    }
    warnings.extend(ambiguous);
    if columns.logq.is_some() && columns.logprob.is_none() {
        warnings.push(
            "`logq` without `logprob`: nothing can be weighted towards the policy, slopes are those of the candidates given"
                .into(),
        );
    }
    let ungrouped = observations.prompt().is_none();
    if ungrouped {
        warnings.push(
            "no prompts: rows are compared with the mean of all, so what differs between prompts is not removed, \
             and nothing can be said about choices within a prompt"
                .into(),
        );
    }
    let count = || (0..).take(selection.rows().len()).collect::<Vec<i32>>();
    let parts = Parts {
        prompt: observations.prompt().map_or_else(count, |p| selection.pick(p)),
        ungrouped,
        block: observations.blocks().map(|b| selection.pick(b)),
        tokens: columns.ntok.as_ref().map(|t| selection.pick(t).into_iter().map(f64::from).collect()),
        logprob: columns.logprob.as_ref().map(|l| selection.pick(l)),
        logq: columns.logq.as_ref().map(|l| selection.pick(l)),
        values,
        judged,
    };
    let (arms, arm_rows) = texts(observations, &selection, placebo, &mut warnings);
    let verdicts = match &observations.place().file {
        Some(path) => Verdicts::beside(observations, path, &selection, &mut warnings)?,
        None => Verdicts::default(),
    };
    let source = Reference { observations, selection, arms, arm_rows, verdicts };
    Ok(Posed { problem: Problem::new(parts)?, source, warnings })
}

/// The other constitutions under which responses of the selection were read, with the row index of each response.
fn texts(
    observations: &Observations,
    selection: &RowSelection,
    placebo: &BTreeSet<String>,
    warnings: &mut Vec<String>,
) -> (Vec<StateText>, Vec<Vec<Option<usize>>>) {
    let (mut arms, mut arm_rows) = (Vec::new(), Vec::new());
    let columns = observations.columns();
    for (at, name) in observations.meta().constitutions.iter().enumerate() {
        let has_rows = columns.constitution.as_ref().is_some_and(|of_row| of_row.contains(&at));
        if name == selection.name() || name == BARE || !has_rows {
            continue;
        }
        let rows = match observations.paired_rows(name, selection) {
            Ok(rows) => rows,
            // These rows are optional: their failure must not stop the fit.
            Err(error) => {
                warnings.push(format!("the rows read under `{name}` are not used: {error}"));
                continue;
            }
        };
        let logprob = columns.logprob.as_ref().map(|column| {
            rows.iter().map(|row| row.map_or(f64::NAN, |row| column[row])).collect::<Vec<f64>>()
        });
        let logprob = logprob.filter(|column| column.iter().any(|v| !v.is_nan()));
        arms.push(StateText {
            name: name.clone(),
            placebo: placebo.contains(name),
            present: rows.iter().map(Option::is_some).collect(),
            logprob,
        });
        arm_rows.push(rows);
    }
    (arms, arm_rows)
}

/// Both orders unchanged. A single order is completed by mirroring about the mean bias m, so that (ab − ba)/2 = ab −
/// m and (ab + ba)/2 = m.
fn choices(judgments: Judgments) -> Choices {
    let pairs = judgments.pairs.iter().map(|&[a, b]| (a, b)).collect();
    let ba = judgments.ba.unwrap_or_else(|| {
        let mean = judgments.ab.iter().sum::<f64>() / judgments.ab.len().max(1) as f64;
        judgments.ab.iter().map(|ab| 2.0 * mean - ab).collect()
    });
    Choices::Pairs { pairs, ab: judgments.ab, ba }
}
