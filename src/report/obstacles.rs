//! Obstacles to all verdicts, and the judge's own tendency, in sentences without jargon.

use super::counted::{groups, lower_model, real};
use crate::theory::reading::index::Index;
use crate::theory::reading::outcome::{LEVEL, MATTERS, MIN_GROUPS, Outcome};
use crate::theory::reading::quote::{counted, quotable};
use crate::theory::reading::together::clear_side;
use crate::theory::reading::validity::JudgeValidity;
use crate::theory::reading::verdict::{Tables, Verdict};
use crate::theory::reading::words::{NAMED_VALUES, joined, quoted};
use crate::theory::{Control, Quantity};

/// Recommended number of groups of answers, from simulations with known truth: cosines are then accurate to about ±.14
/// (`vstar simulate`).
const GOOD_START: usize = 300;

/// First sentence if no verdict can be given, with the reason; `None` if some can.
pub(super) fn obstacle(
    subject: &str,
    index: &Index<'_>,
    judge: &JudgeValidity,
    verdicts: &[Verdict],
) -> Option<String> {
    let all = |outcome| real(verdicts).all(|v| v.verdict == outcome);
    if all(Outcome::TooLittleData) {
        let groups = groups(index, verdicts).unwrap_or(0);
        return Some(format!(
            "Too little data: {}, and nothing can be said about training {} from fewer than {MIN_GROUPS}; {GOOD_START} prompts \
             with four answers each are a good start.",
            counted(groups as u64, "independent group") + " of answers",
            lower_model(subject)
        ));
    }
    if let Some(complaint) = judge.complaint() {
        return Some(format!("{subject} cannot be used as a judge in this way: it {complaint}."));
    }
    (all(Outcome::JudgeInvalid) && !judge.at_chance.is_empty()).then(|| {
        format!(
            "{subject} cannot be used as a judge in this way: it is not seen to tell better from worse answers in {} more often \
             than a coin, even under texts that were announced to raise or lower them.",
            joined(&judge.at_chance.iter().map(|v| quoted(v)).collect::<Vec<_>>(), NAMED_VALUES)
        )
    })
}

/// Tendency of the judge regardless of the constitution: the mean of a placebo arm of four texts, if another such
/// text is expected to have the same sign, and if length does not explain it.
pub(super) fn judge_itself(index: &Index<'_>) -> Option<String> {
    let tables = Tables::new(index);
    let lean = |up: bool| -> Vec<String> {
        let leans = |value: &&&str| {
            let of = |quantity| index.get(quantity, Some(**value), None, Control::None);
            let slope = of(Quantity::JudgeSlope);
            let clear = slope.and_then(|e| e.p_adjusted).is_some_and(|p| p < LEVEL);
            let size = of(Quantity::JudgeShare).filter(|e| quotable(e)).and_then(|e| e.estimate);
            let same = |x: f64| x != 0.0 && (x > 0.0) == up;
            let band = tables.arm(value).and_then(|a| a.band);
            let held = index.get(Quantity::JudgeSlope, Some(**value), None, Control::Length);
            clear
                && band.is_some_and(|(lo, hi)| same(lo) && same(hi))
                && (!index.length || held.and_then(clear_side).is_some_and(|side| same(f64::from(side))))
                && size.is_some_and(|s| s.abs() >= MATTERS)
                && of(Quantity::JudgeAlignment).is_some_and(quotable)
                && slope.and_then(|e| e.estimate).is_some_and(same)
        };
        index.values.iter().filter(leans).map(|v| quoted(v)).collect()
    };
    let clause = |names: Vec<String>, which: &str| {
        (!names.is_empty()).then(|| format!("{which} answers in {}", joined(&names, NAMED_VALUES)))
    };
    let clauses: Vec<String> =
        [clause(lean(true), "better"), clause(lean(false), "worse")].into_iter().flatten().collect();
    (!clauses.is_empty())
        .then(|| format!("Whatever the text says, the judge by itself prefers {}.", clauses.join(" and ")))
}
