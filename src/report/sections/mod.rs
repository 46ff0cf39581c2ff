//! What the paper's statements come to, one section a statement: a verdict in a sentence, opening to its evidence.
//!
//! A section is made from estimates and tables alone, so that a report read back from `report.json` shows the
//! same. A statement on which there is nothing to say has no section.

mod adversarial;
mod angles;
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
use super::figures::Figure;
use super::grid::Grid;
use super::rows::Index;
use crate::hypothesis::{self, calibration, monotone as two_lines, several};

/// A statement of the paper and what the data say about it; all texts are plain, not escaped.
pub struct Section {
    /// What it is about.
    pub title: &'static str,
    /// Where the paper makes it.
    pub source: &'static str,
    /// What the data say, in one sentence.
    pub verdict: String,
    /// How to read the evidence.
    pub notes: Vec<String>,
    /// Tables with their titles.
    pub grids: Vec<(String, Grid)>,
    /// Plots.
    pub figures: Vec<Figure>,
}

type Make = fn(&Report, &Index<'_>) -> Option<Section>;

/// In the order of the page.
const SECTIONS: &[Make] = &[
    linearity::section,
    concentration::section,
    dominance::section,
    generation::section,
    state::section,
    tilt::section,
    ceiling::section,
    complement::section,
    adversarial::section,
    promptable::section,
    ensemble::section,
    wording::section,
    tradeoffs::section,
    angles::section,
    judge::section,
    verdict::section,
    gradient::section,
    monotone::section,
    raw::section,
    items::section,
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

/// The sections that have something to say.
pub(super) fn all(report: &Report, index: &Index<'_>) -> Vec<Section> {
    SECTIONS.iter().filter_map(|make| make(report, index)).collect()
}
