//! Whether the estimators of a constitution's effect agree.
//!
//! The direction of a constitution is measured in several ways that share no step after the model: from choices
//! (v_c), from single responses, from likelihoods, from the shift of the state (Δ_c) and from generation under it
//! (w_c). Each has a sign for a value where it is clearly along or against v* and beyond placebo texts. Gain and
//! retrieval have no direction; they show whether the state responds to the constitution at all.

use super::finding::{Cell, Finding};
use super::story::{Agreement, Route, Sign, Story};
use crate::probe::influence::Z95;
use crate::theory::base::analysis::{Analysis, PlaceboContrast};
use crate::theory::base::estimate::{Estimate, Mode, Quantity};
use crate::theory::base::problem::Problem;

/// Overall agreement of the signs; gain and retrieval are left out.
pub fn agreement(signs: &[Sign]) -> Agreement {
    let directed: Vec<(Route, i8)> =
        signs.iter().filter(|s| s.route.is_directed()).filter_map(|s| Some((s.route, s.sign?))).collect();
    let mut pointing = directed.iter().filter(|(_, s)| *s != 0);
    match (directed.is_empty(), pointing.next()) {
        (true, _) => Agreement::Unknown,
        (false, None) => Agreement::Silent,
        (false, Some(&(route, sign))) => match pointing.clone().next() {
            None => Agreement::OneRoute { route, sign },
            Some(_) if pointing.all(|(_, s)| *s == sign) => Agreement::OneStory { sign },
            Some(_) => Agreement::Contradiction,
        },
    }
}

/// Agreement for a finding's constitutions, placebos excluded, including the judges' results from the same analysis.
pub(crate) fn stories(finding: &Finding, problem: &Problem, analysis: &Analysis) -> Vec<Story> {
    let story = |cell: &Cell| {
        let judged = [None, Some(Mode::Pointwise), Some(Mode::Implicit), Some(Mode::Scores)];
        let mut signs: Vec<Sign> =
            judged.iter().filter_map(|judge| judge_sign(finding, problem, analysis, cell, *judge)).collect();
        for (route, reading) in [
            (Route::Activation, &cell.alignment),
            (Route::Generation, &cell.conditioned),
            (Route::Gain, &cell.gain),
            (Route::Retrieval, &cell.retrieval),
        ] {
            signs.push(Sign { route, sign: reading.outcome.sign() });
        }
        let agreement = agreement(&signs);
        Story { value: cell.value.clone(), constitution: cell.constitution.clone(), signs, agreement }
    };
    finding.cells.iter().filter(|c| !c.placebo).map(story).collect()
}

/// Sign of v_c from a judge: with an arm of at least four placebo texts, of the difference from the arm, if
/// significant over prompts and over texts; with fewer, of the adjusted slope, if the difference from the arm has the
/// same sign over prompts.
fn judge_sign(
    finding: &Finding,
    problem: &Problem,
    analysis: &Analysis,
    cell: &Cell,
    judge: Option<Mode>,
) -> Option<Sign> {
    let of = |quantity| -> Option<&Estimate> {
        analysis.estimates.iter().find(|e| {
            e.quantity == quantity
                && e.judge == judge
                && e.control == finding.control
                && e.value.as_deref() == Some(&cell.value)
                && e.constitution.as_deref() == Some(&cell.constitution)
        })
    };
    let (alignment, slope) = (of(Quantity::Alignment)?, of(Quantity::EncodedSlope)?);
    // Without forced choices, the estimates of another judge carry no `judge` field.
    let unmarked =
        || problem.judged.iter().find(|j| j.name == cell.constitution && !j.beside).map(|j| j.mode);
    let route = match judge.or_else(unmarked)? {
        Mode::Pairwise => Route::ForcedChoice,
        Mode::Pointwise => Route::Pointwise,
        Mode::Implicit => Route::Implicit,
        Mode::Scores => Route::Given,
    };
    let own = |p: &&PlaceboContrast| {
        p.quantity == Quantity::EncodedSlope
            && p.judge == judge
            && p.control == finding.control
            && p.value == cell.value
            && p.constitution == cell.constitution
    };
    let contrast = analysis.placebo.iter().find(own);
    let sign = match (alignment.reportable, slope.estimate, slope.p_adjusted) {
        (true, Some(slope), Some(p)) => {
            // With an arm of four texts the difference must be significant over prompts and over texts.
            let (clear, slope) = match contrast.map(|c| (c, c.p_texts)) {
                Some((c, Some(texts))) => (c.p_prompts.max(texts) < 0.05, c.difference),
                Some((c, None)) => (p < 0.05 && c.z.abs() > Z95 && c.z * slope > 0.0, slope),
                None => (p < 0.05, slope),
            };
            Some(if clear { slope.signum() as i8 } else { 0 })
        }
        _ => None,
    };
    Some(Sign { route, sign })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(list: &[(Route, Option<i8>)]) -> Agreement {
        agreement(&list.iter().map(|&(route, sign)| Sign { route, sign }).collect::<Vec<_>>())
    }

    #[test]
    fn stories_agree_contradict_or_rest_on_one_route() {
        use Route::{Activation, ForcedChoice, Gain, Generation, Implicit};
        assert_eq!(
            signs(&[(ForcedChoice, Some(1)), (Activation, Some(1)), (Implicit, None), (Generation, Some(0))]),
            Agreement::OneStory { sign: 1 }
        );
        assert_eq!(signs(&[(ForcedChoice, Some(1)), (Activation, Some(-1))]), Agreement::Contradiction);
        assert_eq!(
            signs(&[(ForcedChoice, None), (Activation, Some(-1)), (Generation, Some(0))]),
            Agreement::OneRoute { route: Activation, sign: -1 }
        );
        assert_eq!(signs(&[(ForcedChoice, Some(0)), (Activation, None)]), Agreement::Silent);
        // A gain has no direction: it neither supports nor contradicts.
        assert_eq!(signs(&[(Gain, Some(-1)), (ForcedChoice, Some(1))]), signs(&[(ForcedChoice, Some(1))]));
        assert_eq!(signs(&[(Gain, Some(1))]), Agreement::Unknown);
    }
}
