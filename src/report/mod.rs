//! Estimates to JSON, Markdown, HTML and terminal text: numbers in, text out, nothing read or written.
//!
//! [`json`] is the contract other programs read; [`words`] puts the finding into five sentences; [`tables`] decides
//! what stands in which cell and [`mod@page`] in which order; the writers of [`crate::document`] spell it. [`export`] gives
//! directions to other programs.

pub mod compare;
mod counted;
pub mod export;
mod figures;
mod glance;
pub mod json;
mod notes;
mod obstacles;
mod overall;
pub mod page;
mod ranking;
pub mod tables;
pub mod words;

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::document::text;
use crate::theory::base::arm;
use crate::theory::dimension::dominance::TABLE as DOMINANCE;
use crate::theory::reading::index::Index;
use crate::theory::{Analysis, Estimate};

pub use crate::theory::base::analysis::PLACEBO;
pub use crate::theory::base::layers::{
    LAYER_ALIGNMENTS, LAYER_CHOICE, LAYER_DIMENSIONS, LAYER_NOTE, LAYER_PROFILE,
};
pub use crate::theory::reading::card::ConstitutionCard;
pub use crate::theory::reading::outcome::{Outcome, Qualifier};
pub use crate::theory::reading::validity::{JudgeProblem, JudgeValidity};
pub use crate::theory::reading::verdict::Verdict;
pub use json::{from_json, to_json};
pub use overall::{Encoded, Generation, ValueSummary};
pub use page::{brief, page};

/// Key → value, in the order in which the report lists them: model, revision, hashes, template, dtype,
/// device, seed, command, versions, time.
pub type Provenance = serde_json::Map<String, Json>;

/// Name of the table of what was left out: a list with one entry a text (a response under a constitution, or
/// a judged pair), or their number.
pub const SKIPPED: &str = "skipped";

/// `report.md`.
pub fn to_markdown(report: &Report) -> String {
    page(report).to_markdown()
}

/// `report.html`: one file that needs no other, no script and no network.
pub fn to_html(report: &Report) -> String {
    page(report).to_html()
}

/// The summary that a terminal shows.
pub fn terminal(report: &Report) -> String {
    brief(report).to_terminal()
}

/// Everything that a report shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// What reproduces it.
    pub provenance: Provenance,
    /// Every estimate.
    pub estimates: Vec<Estimate>,
    /// Further tables by name; those named in this module are drawn, others are listed.
    pub tables: BTreeMap<String, Json>,
    /// What the reader must know.
    pub warnings: Vec<String>,
    /// The constitutions, in the order of the run. One that estimates name and that is not here is shown
    /// without family or text.
    pub constitutions: Vec<ConstitutionCard>,
}

impl Report {
    /// A report of an analysis: its estimates and warnings, the layer profile, how the layer was chosen,
    /// and the slopes against the placebo arm as tables.
    pub fn new(provenance: Provenance, analysis: &Analysis, constitutions: Vec<ConstitutionCard>) -> Self {
        let mut tables = analysis.tables.clone();
        let mut table = |name: &str, empty: bool, rows: serde_json::Result<Json>| {
            // Only strings, options and numbers inside: serialising these cannot fail, and a number that
            // is not finite becomes null.
            if let (false, Ok(rows)) = (empty, rows) {
                tables.insert(name.to_owned(), rows);
            }
        };
        table(LAYER_PROFILE, analysis.profile.is_empty(), serde_json::to_value(&analysis.profile));
        table(LAYER_CHOICE, analysis.choice.is_empty(), serde_json::to_value(&analysis.choice));
        let alignments = &analysis.alignments;
        table(LAYER_ALIGNMENTS, alignments.is_empty(), serde_json::to_value(alignments));
        let dimensions = &analysis.dimensions;
        table(LAYER_DIMENSIONS, dimensions.len() < 2, serde_json::to_value(dimensions));
        table(DOMINANCE, analysis.dominance.is_empty(), serde_json::to_value(&analysis.dominance));
        table(LAYER_NOTE, analysis.layer_note.is_empty(), serde_json::to_value(&analysis.layer_note));
        table(PLACEBO, analysis.placebo.is_empty(), serde_json::to_value(&analysis.placebo));
        table(arm::TABLE, analysis.arms.is_empty(), serde_json::to_value(&analysis.arms));
        Self {
            provenance,
            estimates: analysis.estimates.clone(),
            tables,
            warnings: analysis.warnings.clone(),
            constitutions,
        }
    }

    /// Its estimates by what they are of, its tables and its constitutions.
    pub fn index(&self) -> Index<'_> {
        Index::new(&self.estimates, &self.tables, &self.constitutions)
    }

    /// The verdicts: value by value, constitutions in the order of showing.
    pub fn verdicts(&self) -> Vec<Verdict> {
        crate::theory::reading::verdict::verdicts(&self.index())
    }

    /// Items that were left out: the number, or the length, of the table [`SKIPPED`].
    pub fn skipped(&self) -> u64 {
        match self.tables.get(SKIPPED) {
            Some(Json::Array(rows)) => rows.len() as u64,
            Some(Json::Number(n)) => n.as_u64().unwrap_or(0),
            _ => 0,
        }
    }

    /// The model's name, or "this model".
    pub fn model(&self) -> String {
        match self.provenance.get("model").and_then(Json::as_str) {
            Some(name) if !name.trim().is_empty() => text::shortened(short_name(name), 60),
            _ => "this model".to_owned(),
        }
    }
}

/// The last part of a path; a hub id (`owner/name`) stays whole.
fn short_name(name: &str) -> &str {
    let trimmed = name.trim_end_matches('/');
    let is_path = trimmed.starts_with(['/', '.']) || trimmed.matches('/').count() > 1;
    if is_path { trimmed.rsplit('/').next().unwrap_or(trimmed) } else { trimmed }
}
