//! Writes estimates as JSON, Markdown, HTML and terminal text. Converts numbers to text without file access.
//!
//! [`json`] is the format for other programs; [`words`] summarises the finding in five sentences; [`tables`] fills
//! the tables and [`mod@page`] orders the page; the writers of [`crate::document`] format it. [`export`] writes
//! directions for other programs.

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

/// Keys and values in the order listed by the report: model, revision, hashes, template, dtype, device, seed,
/// command, versions, time.
pub type Provenance = serde_json::Map<String, Json>;

/// Name of the table of skipped texts: a list with one entry per text (a response under a constitution, or a judged
/// pair), or their number.
pub const SKIPPED: &str = "skipped";

/// Text of `report.md`.
pub fn to_markdown(report: &Report) -> String {
    page(report).to_markdown()
}

/// Text of `report.html`: one self-contained file, without scripts or network access.
pub fn to_html(report: &Report) -> String {
    page(report).to_html()
}

/// Summary for a terminal.
pub fn terminal(report: &Report) -> String {
    brief(report).to_terminal()
}

/// All contents of a report.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Information needed to reproduce the report.
    pub provenance: Provenance,
    /// Every estimate.
    pub estimates: Vec<Estimate>,
    /// Further tables by name; those named in this module are rendered, others are listed.
    pub tables: BTreeMap<String, Json>,
    /// Warnings for the reader.
    pub warnings: Vec<String>,
    /// Constitutions, in the order of the run. Those named only by estimates are shown without family or text.
    pub constitutions: Vec<ConstitutionCard>,
}

impl Report {
    /// Builds a report from an analysis: estimates and warnings, and as tables the layer profile, the choice of the
    /// layer, and the slopes compared with the placebo arm.
    pub fn new(provenance: Provenance, analysis: &Analysis, constitutions: Vec<ConstitutionCard>) -> Self {
        let mut tables = analysis.tables.clone();
        let mut table = |name: &str, empty: bool, rows: serde_json::Result<Json>| {
            // Cannot fail: the rows contain only strings, options and numbers; non-finite numbers become null.
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

    /// Index of its estimates, tables and constitutions.
    pub fn index(&self) -> Index<'_> {
        Index::new(&self.estimates, &self.tables, &self.constitutions)
    }

    /// The verdicts: by value, with constitutions in display order.
    pub fn verdicts(&self) -> Vec<Verdict> {
        crate::theory::reading::verdict::verdicts(&self.index())
    }

    /// Number of skipped items: the number, or the length, of the table [`SKIPPED`].
    pub fn skipped(&self) -> u64 {
        match self.tables.get(SKIPPED) {
            Some(Json::Array(rows)) => rows.len() as u64,
            Some(Json::Number(n)) => n.as_u64().unwrap_or(0),
            _ => 0,
        }
    }

    /// The model's name, or "this model"; with the adapter that is merged into it.
    pub fn model(&self) -> String {
        let name = match self.provenance.get("model").and_then(Json::as_str) {
            Some(name) if !name.trim().is_empty() => text::shortened(short_name(name), 60),
            _ => "this model".to_owned(),
        };
        self.adapter().map_or_else(|| name.clone(), |adapter| format!("{name} with {adapter}"))
    }

    /// The adapter merged into the model, by the beginning of its hash.
    pub(crate) fn adapter(&self) -> Option<String> {
        let sha256 = self.provenance.get("recipe")?["model"]["adapter_sha256"].as_str()?;
        sha256.get(..8).map(|head| format!("adapter {head}"))
    }
}

/// Last component of a path; a hub id (`owner/name`) stays whole.
fn short_name(name: &str) -> &str {
    let trimmed = name.trim_end_matches('/');
    let is_path = trimmed.starts_with(['/', '.']) || trimmed.matches('/').count() > 1;
    if is_path { trimmed.rsplit('/').next().unwrap_or(trimmed) } else { trimmed }
}
