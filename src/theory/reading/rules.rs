//! The ordered rules of the verdict: from evidence to outcome and reason.

use crate::input::Sign;
use crate::theory::base::analysis::PlaceboContrast;
use crate::theory::base::arm::DRAWS_NEEDED;
use crate::theory::base::estimate::{Control, Estimate};
use crate::theory::reading::outcome::{LEVEL, MATTERS, MIN_GROUPS, Outcome, Qualifier};
use crate::theory::reading::quote::{self, percent, quotable, size};
use crate::theory::reading::together::clear_side;

/// Evidence for a verdict. Slope, alignment and share are the constitution's own where there is a placebo arm of four
/// texts, and the whole ones otherwise.
pub(crate) struct Facts<'a> {
    /// Whether the constitution belongs to the placebo arm.
    pub placebo: bool,
    /// Number of independent placebo texts in the arm.
    pub draws: usize,
    pub slope: Option<&'a Estimate>,
    pub alignment: Option<&'a Estimate>,
    pub share: Option<&'a Estimate>,
    /// The total slope, or its difference from the arm's, and whether it is significant.
    pub total: Option<(f64, bool)>,
    /// The difference from the arm.
    pub contrast: Option<&'a PlaceboContrast>,
    /// Whether the cosine is no larger than that of unrelated directions.
    pub ordinary: Option<bool>,
    /// Whether anything was measured under length control.
    pub length: bool,
    pub slope_length: Option<&'a Estimate>,
    pub alignment_length: Option<&'a Estimate>,
    /// Whether all answers to a prompt have the same reward under the constitution.
    pub constant: bool,
    /// The reason why the judge is not valid, if it is not.
    pub judge: Option<String>,
    /// Whether the judge is at chance for this value.
    pub at_chance: bool,
}

impl Facts<'_> {
    /// Whether the verdict is based on the difference from a placebo arm.
    pub(crate) fn own(&self) -> bool {
        !self.placebo && self.draws >= DRAWS_NEEDED
    }

    fn significant(&self) -> bool {
        self.slope
            .is_some_and(|e| e.p_adjusted.is_some_and(|p| p < LEVEL) && e.estimate.is_some_and(|v| v != 0.0))
    }
}

/// A decision: outcome, qualifier, sign, and reason.
pub(crate) struct Decision {
    pub outcome: Outcome,
    pub qualifier: Option<Qualifier>,
    pub sign: Option<Sign>,
    pub reason: String,
}

fn decision(outcome: Outcome, qualifier: Option<Qualifier>, reason: impl Into<String>) -> Decision {
    Decision { outcome, qualifier, sign: None, reason: reason.into() }
}

/// Applies the first matching rule.
pub(crate) fn decide(e: &Facts<'_>) -> Decision {
    if let Some(groups) = e.slope.and_then(|s| s.blocks).filter(|&g| g < MIN_GROUPS) {
        let reason = format!("{groups} independent groups of answers; a verdict needs {MIN_GROUPS}");
        return decision(Outcome::TooLittleData, None, reason);
    }
    if let Some(complaint) = &e.judge {
        return decision(Outcome::JudgeInvalid, None, format!("the judge {complaint}"));
    }
    if e.constant {
        let reason = "all answers to a prompt have the same reward under it";
        return decision(Outcome::JudgeInvalid, None, reason);
    }
    let found = by_figures(e);
    if found.outcome == Outcome::NoEvidence && e.at_chance && !e.placebo {
        let reason = "the judge is not seen to tell better from worse answers more often than a coin, even under constitutions that \
                      were announced to raise or lower this value";
        return decision(Outcome::JudgeInvalid, None, reason);
    }
    found
}

fn by_figures(e: &Facts<'_>) -> Decision {
    let what = if e.own() { "what the constitution adds to the placebo arm" } else { "the encoded slope" };
    let total_alone = e
        .total
        .filter(|(_, significant)| *significant)
        .map(|(total, _)| if total > 0.0 { Qualifier::TotalPositive } else { Qualifier::TotalNegative });
    let but_total = match total_alone {
        Some(_) => "; the total slope, which needs no direction, is significant",
        None => "",
    };
    let first_warning = |e: Option<&Estimate>, otherwise: String| {
        e.and_then(|e| e.warnings.first().cloned()).unwrap_or(otherwise)
    };
    let not_identifiable = |why: String| decision(Outcome::NotIdentifiable, total_alone, why + but_total);
    let Some((slope, Some(_))) = e.slope.and_then(|s| s.estimate.map(|v| (v, s.z.or(s.se)))) else {
        return not_identifiable(first_warning(e.slope, format!("{what} was not computed")));
    };
    if !e.alignment.is_some_and(quotable) {
        return not_identifiable(first_warning(e.alignment, "the alignment was not computed".into()));
    }
    let no_evidence = |qualifier, why: String| decision(Outcome::NoEvidence, qualifier, why);
    if !e.significant() {
        return not_significant(e, what, total_alone, but_total);
    }
    match e.total {
        Some((total, _)) if total * slope > 0.0 => {}
        Some(_) => {
            let why = "the total slope has the other sign than the encoded slope".to_owned();
            return no_evidence(Some(Qualifier::TotalDisagrees), why);
        }
        None => {
            return no_evidence(Some(Qualifier::TotalDisagrees), "the total slope was not computed".into());
        }
    }
    let sign = if slope > 0.0 { Sign::Plus } else { Sign::Minus };
    let share = e.share.filter(|s| quotable(s)).and_then(|s| s.estimate);
    let small = share.is_some_and(|s| s.abs() < MATTERS);
    if e.placebo {
        let of_best =
            share.map_or_else(String::new, |s| format!(" ({} of the best possible slope)", size(s)));
        let reason = format!("a text that names no value moves it{of_best}");
        let qualifier = small.then_some(Qualifier::TooSmall);
        return Decision { sign: Some(sign), ..decision(Outcome::PlaceboEffect, qualifier, reason) };
    }
    if small {
        let why = format!(
            "real, but {} of the best possible slope; less than {} is not called a change",
            size(share.unwrap_or_default()),
            percent(MATTERS)
        );
        return no_evidence(Some(Qualifier::TooSmall), why);
    }
    if !e.own() && e.ordinary == Some(true) {
        let why = "its direction agrees with the value's no closer than unrelated directions do, and without four placebo \
                   texts nothing else tells it from them";
        return no_evidence(Some(Qualifier::Ordinary), why.into());
    }
    let held = length(e, slope);
    if held.outcome == Outcome::NoEvidence {
        return held;
    }
    if e.own() {
        let outcome = if slope > 0.0 { Outcome::Improves } else { Outcome::Degrades };
        return Decision { outcome, sign: Some(sign), ..held };
    }
    let reason = match e.draws {
        0 => format!(
            "its slope differs from 0, but no placebo text was run: what the form of a constitution does by itself is not \
             known ({DRAWS_NEEDED} texts are needed)"
        ),
        m => format!(
            "its slope differs from 0, but {m} independent placebo text{} too few to tell what texts without content do \
             ({DRAWS_NEEDED} are needed)",
            if m == 1 { " is" } else { "s are" }
        ),
    };
    let qualifier = held.qualifier.filter(|q| *q == Qualifier::LengthConfounded);
    Decision { sign: Some(sign), ..decision(Outcome::DiffersFromZero, qualifier, reason) }
}

fn not_significant(e: &Facts<'_>, what: &str, total_alone: Option<Qualifier>, but_total: &str) -> Decision {
    if let Some(contrast) = e.contrast.filter(|c| e.own() && c.p_prompts < LEVEL) {
        let p = quote::p(contrast.p_texts);
        let why = format!(
            "texts without content differ from one another as much (p {p} over the choice of placebo texts)"
        );
        return decision(Outcome::NoEvidence, Some(Qualifier::WithinPlacebo), why);
    }
    let p = quote::p(e.slope.and_then(|s| s.p_adjusted));
    decision(Outcome::NoEvidence, total_alone, format!("{what} is within chance (adjusted p {p}){but_total}"))
}

/// Applies the length rules: `NoEvidence`, or the qualifier and reason of a verdict that stands.
fn length(e: &Facts<'_>, slope: f64) -> Decision {
    let stands = |qualifier, reason: &str| decision(Outcome::Improves, qualifier, reason);
    if !e.length {
        return stands(Some(Qualifier::LengthNotControlled), "response length is not known");
    }
    let explains = |why: &str| decision(Outcome::NoEvidence, Some(Qualifier::LengthExplains), why);
    let Some((held, side)) = e.slope_length.and_then(|s| Some((s.estimate?, clear_side(s)?))) else {
        return explains("no slope is left when length is controlled");
    };
    if held * slope <= 0.0 {
        return explains("the sign turns when length is controlled");
    }
    if side == 0 || !e.alignment_length.is_some_and(quotable) {
        return stands(Some(Qualifier::LengthConfounded), "not clear any more when length is controlled");
    }
    stands(None, "clear beyond the placebo arm, with and without length control, and the total slope agrees")
}

/// The control whose figures decide the verdict.
pub(crate) const DECIDES: Control = Control::None;
