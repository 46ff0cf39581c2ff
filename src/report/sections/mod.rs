//! What the paper's statements come to, one section a statement: a verdict in a sentence, opening to its evidence.
//!
//! A section is made from estimates and tables alone, so that a report read back from `report.json` shows the
//! same. A statement on which there is nothing to say has no section.

mod adversarial;
pub(super) mod angles;
mod ceiling;
mod complement;
mod concentration;
mod dominance;
mod ensemble;
mod generation;
mod gradient;
mod items;
mod judge;
mod linearity;
mod monotone;
mod promptable;
mod raw;
pub(super) mod state;
mod tilt;
mod tradeoffs;
pub(super) mod verdict;
mod wording;

use super::Report;
use super::format::{quotable, with_interval};
use super::rows::Index;
use super::validity::JudgeValidity;
use crate::document::Statement;
use crate::hypothesis::{self, Control, Quantity, calibration, monotone as two_lines, several};

type Make = fn(&Report, &Index<'_>) -> Option<Statement>;

/// What a section rests on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rests {
    /// Rewards, read as what constitutions do: of a judge that is not valid they are the judge's alone.
    OnTheJudge,
    /// The model, the state, or the judge as such.
    Otherwise,
}
use Rests::{OnTheJudge, Otherwise};

/// In the order of the page.
const SECTIONS: &[(Rests, Make)] = &[
    (Otherwise, linearity::section),
    (Otherwise, concentration::section),
    (Otherwise, dominance::section),
    (OnTheJudge, generation::section),
    (Otherwise, state::section),
    (OnTheJudge, tilt::section),
    (OnTheJudge, ceiling::section),
    (Otherwise, complement::section),
    (Otherwise, adversarial::section),
    (OnTheJudge, promptable::section),
    (OnTheJudge, ensemble::section),
    (OnTheJudge, wording::section),
    (OnTheJudge, tradeoffs::section),
    (Otherwise, angles::section),
    (Otherwise, judge::section),
    (Otherwise, verdict::section),
    (OnTheJudge, gradient::section),
    (OnTheJudge, monotone::section),
    (Otherwise, raw::section),
    (Otherwise, items::section),
];

/// Tables of the report that sections show, which the list of further tables leaves out.
pub(super) const DRAWN: &[&str] = &[
    calibration::TABLE,
    hypothesis::concentration::TABLE,
    hypothesis::dominance::TABLE,
    hypothesis::items::TABLE,
    hypothesis::linearity::TABLE,
    hypothesis::promptable::TABLE,
    hypothesis::raw::TABLE,
    hypothesis::state::TABLE,
    hypothesis::verdict::TABLE,
    hypothesis::wording::TABLE,
    two_lines::TABLE,
    several::TABLE,
    several::CONE,
    super::LAYER_DIMENSIONS,
];

/// The sections that have something to say. Those that read rewards as what constitutions do say first where the judge is
/// not valid.
pub(super) fn all(report: &Report, index: &Index<'_>) -> Vec<Statement> {
    let complaint = JudgeValidity::new(index).complaint();
    let made = SECTIONS.iter().filter_map(|&(rests, make)| {
        let mut section = make(report, index)?;
        if let (OnTheJudge, Some(complaint)) = (rests, &complaint) {
            section.verdict = format!(
                "Not of the constitutions but of the judge, which is not valid (it {complaint}): {}",
                section.verdict
            );
        }
        Some(section)
    });
    made.collect()
}

/// The judge's own alignment with a value, that of the mean of the placebo texts, where it is known: `; the judge by itself,
/// under texts without content: 0.41 [0.30, 0.52]`.
fn judge_by_itself(index: &Index<'_>, value: &str) -> String {
    let own = index.get(Quantity::JudgeAlignment, Some(value), None, Control::None).filter(|e| quotable(e));
    own.map_or_else(String::new, |e| {
        format!("; the judge by itself, under texts without content: {}", with_interval(e))
    })
}
