//! One model at several precisions: how its figures change with fewer bits per weight.
//!
//! Runs of one model form a ladder: runs with the same weight files (rounded at load by `--quantize`), or whose names
//! differ only in a quantisation type and that have the same family and number of parameters. Rungs are ordered from
//! most to fewest bits per weight; changes are relative to the first.
//!
//! All rungs read the same prompts, so the errors of their figures are correlated. The error of a change is
//! nevertheless √(SE₁² + SE₂²), that of independent runs, so that its interval is too long rather than too short.

use serde::Serialize;
use serde_json::Value as Json;

use super::Run;
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::quotable;
use crate::theory::reading::together::z_for_all;
use crate::theory::{Control, Estimate, Quantity};

/// A run on a ladder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rung {
    /// Index among the compared runs.
    #[serde(skip)]
    pub at: usize,
    /// The run.
    pub run: String,
    /// Type the weights were rounded to at load; absent if they are as stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantize: Option<String>,
    /// Bits per weight.
    pub bits: f64,
}

/// A change from the first rung, with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Change {
    /// Figure minus that of the first rung.
    pub value: f64,
    /// Standard error, assuming independent runs.
    pub se: f64,
}

impl Change {
    /// Interval of ± z standard errors.
    pub fn interval(&self, z: f64) -> (f64, f64) {
        (self.value - z * self.se, self.value + z * self.se)
    }
}

/// A quantity along a ladder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Along {
    /// The quantity.
    pub quantity: Quantity,
    /// The value, if the quantity concerns one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The constitution, if the quantity concerns one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constitution: Option<String>,
    /// Whether the constitution belongs to the placebo arm.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub placebo: bool,
    /// One estimate per rung; absent where the run has none.
    pub estimates: Vec<Option<Estimate>>,
    /// Change of each from the first rung, where both are reportable and have an error.
    pub changes: Vec<Option<Change>>,
}

/// Outcome for a quantity on the last rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The interval of the change lies above −¼ of the first figure, and contains 0 or a positive value.
    Kept,
    /// The interval of the change lies below 0.
    Lost,
}

/// A quantity with a conclusive outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Index among the ladder's quantities.
    #[serde(skip)]
    pub at: usize,
    /// The quantity.
    pub quantity: Quantity,
    /// The value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The constitution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constitution: Option<String>,
    /// Outcome.
    pub fate: Fate,
}

/// One model at several precisions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ladder {
    /// The model's name without a quantisation type.
    pub model: String,
    /// Runs, most bits first.
    pub rungs: Vec<Rung>,
    /// Quantities along the ladder.
    pub along: Vec<Along>,
    /// Outcomes for ρ² and the judge's accuracy between the first and the last rung.
    pub findings: Vec<Finding>,
    /// Warnings for the reader.
    pub warnings: Vec<String>,
}

/// The ladders among some runs, in the order of their first runs.
pub(super) fn ladders(runs: &[Run], indices: &[Index<'_>], values: &[String]) -> Vec<Ladder> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        if bits(run).is_none() {
            continue;
        }
        match groups.iter_mut().find(|g| g.iter().any(|&other| alike(&runs[other], run))) {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    groups.into_iter().filter_map(|group| Ladder::new(&group, runs, indices, values)).collect()
}

fn recipe(run: &Run) -> Option<&Json> {
    let provenance = &run.report.provenance;
    provenance.get("recipe").or_else(|| provenance.get("manifest").map(|m| &m["recipe"]))
}

/// Bits per weight, if the report has them.
fn bits(run: &Run) -> Option<f64> {
    let stated = run.report.provenance.get("bits_per_weight").and_then(Json::as_f64);
    stated.or_else(|| recipe(run)?["model"]["bits_per_weight"].as_f64()).filter(|b| b.is_finite() && *b > 0.0)
}

fn quantize(run: &Run) -> Option<String> {
    let stated = run.report.provenance.get("quantize").and_then(Json::as_str);
    let name = stated.or_else(|| recipe(run)?["model"]["quantize"].as_str())?;
    (!name.is_empty()).then(|| name.to_owned())
}

fn name(run: &Run) -> String {
    let stated = run.report.provenance.get("model").and_then(Json::as_str);
    let name = stated.or_else(|| recipe(run)?["model"]["name"].as_str());
    plain_name(name.unwrap_or_default())
}

/// A model's name without extension and quantisation type at its end, as in `owner/name:Q4_K_M`,
/// `dir/name-q4_k_m.gguf` and `name.Q8_0.gguf`.
fn plain_name(name: &str) -> String {
    let mut name = name.trim().trim_end_matches('/');
    if let Some((stem, end)) = name.rsplit_once('.')
        && end.eq_ignore_ascii_case("gguf")
    {
        name = stem;
    }
    if let Some((head, tail)) = name.rsplit_once(['-', '.', ':'])
        && is_type(tail)
    {
        name = head;
    }
    name.to_owned()
}

/// Whether a text names a GGUF type or a mix of them.
fn is_type(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    if ["F32", "F16", "BF16"].contains(&upper.as_str()) {
        return true;
    }
    let rest = upper.strip_prefix("IQ").or_else(|| upper.strip_prefix('Q'));
    let Some((digit, rest)) = rest.and_then(|r| r.split_at_checked(1)) else { return false };
    let known = ["_0", "_1", "_K", "_K_S", "_K_M", "_K_L", "_S", "_M", "_XS", "_XXS", "_NL"];
    matches!(digit, "1" | "2" | "3" | "4" | "5" | "6" | "8") && known.contains(&rest)
}

/// Whether two runs have the same model, at any precision.
fn alike(a: &Run, b: &Run) -> bool {
    let (Some(ra), Some(rb)) = (recipe(a).map(|r| &r["model"]), recipe(b).map(|r| &r["model"])) else {
        return false;
    };
    let weights = |r: &Json| r["weights_sha256"].as_object().filter(|w| !w.is_empty()).cloned();
    if let (Some(x), Some(y)) = (weights(ra), weights(rb))
        && x == y
    {
        return true;
    }
    let same = |key: &str| !ra[key].is_null() && ra[key] == rb[key];
    name(a) == name(b) && !name(a).is_empty() && same("family") && same("parameters")
}

impl Ladder {
    /// A ladder from a group of runs; `None` where the runs do not differ in bits.
    fn new(group: &[usize], runs: &[Run], indices: &[Index<'_>], values: &[String]) -> Option<Self> {
        let mut rungs: Vec<Rung> = group
            .iter()
            .filter_map(|&at| {
                let run = &runs[at];
                Some(Rung { at, run: run.name.clone(), quantize: quantize(run), bits: bits(run)? })
            })
            .collect();
        rungs.sort_by(|a, b| b.bits.total_cmp(&a.bits).then(a.at.cmp(&b.at)));
        let (first, last) = (rungs.first()?, rungs.last()?);
        if first.bits - last.bits < 1e-6 {
            return None;
        }
        let own: Vec<&Index<'_>> = rungs.iter().map(|r| &indices[r.at]).collect();
        let along = along(&own, values);
        let findings = findings(&along);
        let mut warnings = Vec::new();
        let differ =
            |key: &dyn Fn(&Run) -> Json| rungs.windows(2).any(|w| key(&runs[w[0].at]) != key(&runs[w[1].at]));
        for (what, key) in [("data", "data"), ("constitutions", "constitutions"), ("judge", "judge")] {
            let of = |run: &Run| run.report.provenance.get("manifest").map_or(Json::Null, |m| m[key].clone());
            if differ(&of) {
                warnings
                    .push(format!("the {what} of the runs differ: not all that changes is the precision"));
            }
        }
        if differ(&|run| recipe(run).map_or(Json::Null, |r| r["dtype"].clone())) {
            warnings.push("the runs were computed in different dtypes".to_owned());
        }
        let layers =
            |run: &Run| run.report.estimates.iter().find_map(|e| e.layer).map_or(Json::Null, |l| l.0.into());
        if differ(&layers) {
            warnings.push("the runs report different layers: each chose its own".to_owned());
        }
        Some(Self { model: name(&runs[first.at]), along, findings, warnings, rungs })
    }
}

fn along(own: &[&Index<'_>], values: &[String]) -> Vec<Along> {
    let mut out = Vec::new();
    let mut constitutions: Vec<(&str, bool)> = Vec::new();
    for named in own.iter().flat_map(|i| &i.constitutions) {
        if !constitutions.iter().any(|(name, _)| *name == named.name) {
            constitutions.push((named.name, named.is_placebo()));
        }
    }
    let mut add = |quantity, value: Option<&str>, constitution: Option<(&str, bool)>| {
        let find = |index: &&Index<'_>| -> Option<Estimate> {
            let value = value.map(|v| index.values.iter().find(|own| **own == v).copied());
            let of =
                constitution.map(|(c, _)| index.constitutions.iter().find(|n| n.name == c).map(|n| n.name));
            // Skip a value or constitution that this run does not have.
            if matches!(value, Some(None)) || matches!(of, Some(None)) {
                return None;
            }
            index.get(quantity, value.flatten(), of.flatten(), Control::None).cloned()
        };
        let estimates: Vec<Option<Estimate>> = own.iter().map(find).collect();
        if estimates.iter().all(Option::is_none) {
            return;
        }
        let changes = estimates.iter().map(|e| change(estimates[0].as_ref()?, e.as_ref()?)).collect();
        out.push(Along {
            quantity,
            value: value.map(str::to_owned),
            constitution: constitution.map(|(c, _)| c.to_owned()),
            placebo: constitution.is_some_and(|(_, placebo)| placebo),
            estimates,
            changes,
        });
    };
    add(Quantity::DEff, None, None);
    for value in values {
        add(Quantity::Rho2, Some(value), None);
        add(Quantity::Rho2Latent, Some(value), None);
        for &constitution in &constitutions {
            add(Quantity::Alignment, Some(value), Some(constitution));
            add(Quantity::JudgeAccuracy, Some(value), Some(constitution));
        }
    }
    for &constitution in &constitutions {
        add(Quantity::PositionBias, None, Some(constitution));
    }
    out
}

fn change(first: &Estimate, other: &Estimate) -> Option<Change> {
    if !(quotable(first) && quotable(other)) {
        return None;
    }
    let se = (first.se?.powi(2) + other.se?.powi(2)).sqrt();
    Some(Change { value: other.estimate? - first.estimate?, se })
}

/// Outcomes for ρ² of each value and the judge's accuracy under each constitution between the first and the last
/// rung. Accuracies only of constitutions whose first figure is above one half; intervals hold simultaneously for all
/// of both quantities (Bonferroni).
fn findings(along: &[Along]) -> Vec<Finding> {
    let candidates: Vec<(usize, &Along, f64, Change)> = [Quantity::Rho2, Quantity::JudgeAccuracy]
        .into_iter()
        .flat_map(|quantity| {
            along.iter().enumerate().filter(move |(_, a)| a.quantity == quantity && !a.placebo)
        })
        .filter_map(|(at, a)| {
            let (first, change) = (a.estimates[0].as_ref()?, (*a.changes.last()?)?);
            // Accuracy is measured from one half, the level of chance.
            let chance = if a.quantity == Quantity::JudgeAccuracy { 0.5 } else { 0.0 };
            let counts = chance == 0.0 || first.lo.is_some_and(|lo| lo > chance);
            counts.then(|| (at, a, first.estimate.unwrap_or(0.0) - chance, change))
        })
        .collect();
    let z = z_for_all(candidates.len());
    let fate = |above: f64, change: Change| match change.interval(z) {
        (_, hi) if hi < 0.0 => Some(Fate::Lost),
        (lo, _) if lo > -0.25 * above => Some(Fate::Kept),
        _ => None,
    };
    candidates
        .into_iter()
        .filter_map(|(at, a, above, change)| {
            let (value, constitution) = (a.value.clone(), a.constitution.clone());
            Some(Finding { at, quantity: a.quantity, value, constitution, fate: fate(above, change)? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_loses_its_quantisation_type_and_nothing_else() {
        for (name, plain) in [
            ("owner/name:Q4_K_M", "owner/name"),
            ("owner/name:model-q8_0.gguf", "owner/name:model"),
            ("dir/name-q4_k_m.gguf", "dir/name"),
            ("name.Q8_0.gguf", "name"),
            ("name-BF16.gguf", "name"),
            ("name-iq3_xxs.gguf", "name"),
            ("embedded:hearth", "embedded:hearth"),
            ("owner/Qwen2.5-0.5B", "owner/Qwen2.5-0.5B"),
            ("owner/model-Q4", "owner/model-Q4"),
            ("smollm2-135m", "smollm2-135m"),
            ("", ""),
        ] {
            assert_eq!(plain_name(name), plain, "{name}");
        }
    }
}
