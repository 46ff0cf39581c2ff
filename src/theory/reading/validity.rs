//! Whether the model is valid as a judge: the gate before every verdict.
//!
//! A judge is **not valid** if
//!
//! - *it answers by place*: the mean position bias is more than [`BIAS_OVER_SPREAD`] times the spread of its
//!   preferences, or both orders of a pair agree no more often than chance (one-sided 5 %); and with both orders
//!   averaged its choices still have no clear relation to any label;
//! - *it has no preference*: under every constitution outside the placebo arm all answers to a prompt have the same
//!   reward;
//! - *it does not heed constitutions*: even for the constitution that moves its rewards most, less than
//!   [`SHARE_HEEDED`] of their variance depends on it, and less than [`OVER_PLACEBOS`] times the share between placebo
//!   texts.
//!
//! For a single value it is **at chance** if, under every constitution whose author expects a rise or a fall, its
//! choices agree with the labels no more and no less than chance. "No evidence" would then blame the constitutions
//! for a possible failure of the judge.

use serde::Serialize;

use crate::input::Sign;
use crate::theory::base::angle::GATE;
use crate::theory::base::estimate::{Control, Estimate, Quantity};
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::percent;
use crate::theory::reading::together::z_for_all;

/// Mean position bias over the spread of preferences above which a judge answers by place.
pub const BIAS_OVER_SPREAD: f64 = 2.0;
/// Smallest share of the rewards' variance that must depend on the constitution where placebo texts have a similar
/// share.
pub const SHARE_HEEDED: f64 = 0.25;
/// Otherwise, the required multiple of the share between placebo texts.
pub const OVER_PLACEBOS: f64 = 2.0;

/// Share of pairs with the same preference in both orders below which position decides most of them.
const BY_PLACE: f64 = 0.25;

/// A failure of a judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JudgeProblem {
    /// All answers to a prompt have the same reward, under every constitution.
    NoPreference,
    /// It chooses the answer shown first, or second, regardless of the answers.
    AnswersByPlace,
    /// Both orders of a pair agree no more often than chance.
    OrdersDisagree,
    /// Its rewards depend on the constitution hardly more than on the choice of placebo text.
    IgnoresConstitutions,
}

/// Validity of the judge.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct JudgeValidity {
    /// Failures; empty for a judge that passes, or that could not be tested.
    pub problems: Vec<JudgeProblem>,
    /// Values for which its choices agree with the labels no better than chance, under every constitution expected to
    /// raise or lower them.
    pub at_chance: Vec<String>,
    /// Share of pairs with the same preference in both orders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_agreement: Option<f64>,
    /// Mean position bias over the constitutions, in nats of log-odds for the first place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position_bias: Option<f64>,
    /// Mean spread of its preferences over the constitutions, in nats of log-odds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
    /// Share of the rewards' variance that depends on the constitution, for the one that moves them most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constitution_share: Option<f64>,
    /// Share of the rewards' variance that depends on the placebo text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placebo_share: Option<f64>,
    /// Suggested alternative; absent for a judge that passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
}

impl JudgeValidity {
    /// Assesses the judge of a report.
    pub(crate) fn new(index: &Index<'_>) -> Self {
        let over = |quantity| -> Option<f64> {
            let of = |c: &super::index::Named<'_>| {
                index.get(quantity, None, Some(c.name), Control::None)?.estimate
            };
            let all: Vec<f64> =
                index.constitutions.iter().filter(|c| !c.is_placebo()).filter_map(of).collect();
            (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
        };
        let whole = |quantity| index.get(quantity, None, None, Control::None);
        let agreement = whole(Quantity::OrderAgreement);
        let share = whole(Quantity::ConstitutionShare);
        let (bias, spread) = (over(Quantity::PositionBias), over(Quantity::JudgeSpread));
        let figure = |e: Option<&Estimate>| e.and_then(|e| e.estimate);
        let mut problems = Vec::new();
        let asked: Vec<bool> = index
            .values
            .iter()
            .flat_map(|value| index.constitutions.iter().map(move |c| (*value, c)))
            .filter(|(_, c)| !c.is_placebo())
            .filter_map(|(value, c)| has_preference(index, value, c.name))
            .collect();
        if !asked.is_empty() && asked.iter().all(|varies| !varies) {
            problems.push(JudgeProblem::NoPreference);
        }
        let biased = bias.zip(spread).is_some_and(|(b, s)| b.abs() > BIAS_OVER_SPREAD * s);
        let disagree = agreement.and_then(|e| e.z).is_some_and(|z| z <= GATE);
        if (biased || disagree) && !any_clear(accuracies(index, None)) {
            problems.push(if biased { JudgeProblem::AnswersByPlace } else { JudgeProblem::OrdersDisagree });
        }
        let placebo_share = figure(whole(Quantity::PlaceboShare));
        let shares = figure(share).zip(placebo_share);
        if shares.is_some_and(|(s, placebo)| s < SHARE_HEEDED && s < OVER_PLACEBOS * placebo) {
            problems.push(JudgeProblem::IgnoresConstitutions);
        }
        let announced = |value: &&str| {
            let tested = accuracies(index, Some(value));
            !tested.is_empty() && !any_clear(tested)
        };
        let at_chance: Vec<String> =
            index.values.iter().filter(|v| announced(v)).map(|v| (*v).to_owned()).collect();
        let advice = match problems.first() {
            Some(JudgeProblem::AnswersByPlace | JudgeProblem::OrdersDisagree) => Some(
                "ask about one answer at a time (`--mode pointwise`), read the judgment from likelihoods (`--mode implicit`), \
                 or use a larger or instruction-tuned model",
            ),
            Some(JudgeProblem::NoPreference) => Some(
                "check what the rewards were made from: a score that was never filled in looks like this; or ask about two answers \
                 at a time (`--mode pairwise`), or read the judgment from likelihoods (`--mode implicit`)",
            ),
            Some(JudgeProblem::IgnoresConstitutions) => Some(
                "read the judgment from likelihoods (`--mode implicit`), check that the judge template shows the constitution \
                 (`vstar preview`), or use a larger or instruction-tuned model",
            ),
            None if !at_chance.is_empty() => Some(
                "use a larger or instruction-tuned model, or another way of asking (`--mode implicit`, `pointwise`)",
            ),
            None => None,
        };
        Self {
            problems,
            at_chance,
            order_agreement: figure(agreement),
            position_bias: bias,
            spread,
            constitution_share: figure(share),
            placebo_share,
            advice,
        }
    }

    /// Whether verdicts can be based on it.
    pub fn is_valid(&self) -> bool {
        self.problems.is_empty()
    }

    /// The failures, as a clause after "as a judge it"; `None` for a judge that passes.
    pub(crate) fn complaint(&self) -> Option<String> {
        let share = |s: Option<f64>| s.map_or_else(|| "an unknown share".to_owned(), percent);
        Some(match self.problems.first()? {
            JudgeProblem::NoPreference => "gives all answers to a prompt the same reward".to_owned(),
            JudgeProblem::AnswersByPlace => {
                let place = if self.position_bias.unwrap_or_default() > 0.0 { "first" } else { "second" };
                format!(
                    "takes the answer that is shown {place}, whatever it says (both orders of a pair agree on {} of pairs; a \
                     coin would on 50 %)",
                    share(self.order_agreement)
                )
            }
            JudgeProblem::OrdersDisagree => format!(
                "changes its mind when two answers trade places (both orders agree on {} of pairs; a coin would on 50 %)",
                share(self.order_agreement)
            ),
            JudgeProblem::IgnoresConstitutions => {
                // If position decides as well, that is reported first.
                let place = match (self.order_agreement, self.position_bias) {
                    (Some(agree), Some(bias)) if agree < BY_PLACE => format!(
                        "mostly takes the answer that is shown {} (both orders of a pair agree on {} of pairs; a coin would on \
                         50 %), and ",
                        if bias > 0.0 { "first" } else { "second" },
                        percent(agree)
                    ),
                    _ => String::new(),
                };
                format!(
                    "{place}heeds the constitution hardly more than texts without content (at most {} of what its preferences vary by \
                     depends on the constitution, where texts without content make {})",
                    share(self.constitution_share),
                    share(self.placebo_share)
                )
            }
        })
    }
}

/// Whether the rewards of a constitution vary within prompts that have labels of a value: a total slope of exactly 0
/// without any error means that they do not. `None` where it was not measured.
pub(crate) fn has_preference<'a>(index: &Index<'a>, value: &'a str, constitution: &'a str) -> Option<bool> {
    // Labels that do not vary have no ρ², and are no evidence about the judge.
    index.get(Quantity::Rho2, Some(value), None, Control::None)?.estimate?;
    let total = index.cell(Quantity::TotalSlope, value, constitution, Control::None)?;
    Some(!(total.estimate? == 0.0 && total.se? == 0.0))
}

/// Estimates of `judge_accuracy`: all of them, or those for a value under constitutions expected to move it.
fn accuracies<'a>(index: &Index<'a>, announced_for: Option<&str>) -> Vec<&'a Estimate> {
    let mut out = Vec::new();
    for &value in index.values.iter().filter(|v| announced_for.is_none_or(|only| only == **v)) {
        for c in &index.constitutions {
            let guess = c.card.and_then(|card| card.expected(value));
            if announced_for.is_none() || guess.is_some_and(|g| g != Sign::Zero) {
                out.extend(index.cell(Quantity::JudgeAccuracy, value, c.name, Control::None));
            }
        }
    }
    out.retain(|e| e.estimate.is_some() && e.se.is_some());
    out
}

/// Whether any of them differs from chance, at a joint level of 5 % (Bonferroni).
fn any_clear(accuracies: Vec<&Estimate>) -> bool {
    let limit = z_for_all(accuracies.len());
    accuracies.iter().any(|e| match (e.z, e.estimate) {
        (Some(z), _) => z.abs() > limit,
        // Without any error, every pair was judged alike.
        (None, Some(share)) => e.se == Some(0.0) && (share - 0.5).abs() > 0.0,
        (None, None) => false,
    })
}
