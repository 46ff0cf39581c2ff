//! Content and order of a report's page, written once for all writers of [`crate::document`].

use serde_json::Value as Json;

use super::overall::{ValueSummary, summaries};
use super::{
    LAYER_ALIGNMENTS, LAYER_CHOICE, LAYER_NOTE, LAYER_PROFILE, Report, SKIPPED, figures, glance, notes,
    ranking, tables, words,
};
use crate::document::text::{clean, shortened};
use crate::document::{Block, Document, Rows};
use crate::theory::items;
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::count;
use crate::theory::reading::verdict::{Verdict, verdicts};
use crate::theory::statements::{claims, shows};

/// Maximum number of characters of a value's name in a title.
const NAME: usize = 60;
/// Maximum number of characters of each part of the line above the title.
const ORIGIN: usize = 60;

/// Title of the first part.
const GLANCE: &str = "Every constitution and every value";
/// Name of the table of values.
const STATE: &str = "What the state tells of each value";
/// Title of the sections on single statements.
const STATEMENTS: &str = "What the theory’s statements come to";
/// Title of the reasons of verdicts.
const WHY: &str = "Why these verdicts";
/// Title of the section on further judge modes.
const OTHER_JUDGES: &str = "The same constitutions, asked in other ways";
const DETAILS: &str = "Figures in parentheses did not pass their gate: they are shown so that nothing is hidden, \
and must not be quoted.";
/// Legend of the main table's columns.
const KEY: &str = "own slope: first-order gain beyond the placebo arm, units of the value × nats (slope: in all, where there is no \
arm of four texts); p for all constitutions and values; of best: over the best possible slope; ⟨v_c, v*⟩ of the same; gap: \
⟨v_c, v*⟩ less ⟨w, v*⟩; judge: share judged as the labels say; first: nats for the first place.";

/// How to read single responses.
const CARDS: &str = "Score: ⟨h, v*⟩ by a fit without the response’s block. Score and label are relative to the mean of the \
prompt’s responses, in units of the value; for a preference the label is 1 and the score that of the difference over √2. The \
judge’s choices: nats for this response against each other one, where it stands first and where it stands second.";
/// How to read the colours of tokens.
const COLOURS: &str = "Colour: ⟨h_t, v⟩ of each token less the mean of the prompt’s responses, v the exported direction at the \
layer of the report, fitted on all responses; a step is half the root mean square of the tokens shown. Up is towards v. The \
state of a token knows all tokens before it: a colour says what has been read by then, not what a word adds.";

/// Inputs of every part of the page.
struct Parts<'a> {
    report: &'a Report,
    index: Index<'a>,
    verdicts: Vec<Verdict>,
    summaries: Vec<ValueSummary>,
}

/// The whole report.
pub fn page(report: &Report) -> Document {
    let parts = Parts::of(report);
    let mut out = parts.head();
    out.blocks.extend(parts.glance());
    let values = parts.index.values.iter().zip(&parts.summaries);
    out.blocks.extend(values.map(|(value, summary)| parts.value(value, summary)));
    let statements = claims(&parts.index);
    if !statements.is_empty() {
        out.blocks.extend(Block::section(STATEMENTS, vec![Block::Statements(statements)]));
    }
    out.blocks.extend(single_responses(&parts.index));
    let judge = tables::judge(&parts.index);
    if !judge.rows.is_empty() {
        let figures = Block::figures(figures::position_bias(&parts.index).into_iter().collect());
        let blocks = figures.into_iter().chain([Block::table("The judge", judge)]).collect();
        out.blocks.extend(Block::section("The judge", blocks));
    }
    out.blocks.extend(Block::titled_table(OTHER_JUDGES, tables::other_judges(report)));
    out.blocks.push(warnings(report));
    out.blocks.push(parts.details());
    out.blocks.push(provenance(report));
    out.footer = "Every estimate, what may not be quoted and what could not be computed included, is in estimates.csv and, with \
                  more digits, in report.json beside this page."
        .into();
    out
}

/// The page for a terminal: the finding, every constitution and value, and their basis; for a single value also its
/// tables; the warnings.
pub fn brief(report: &Report) -> Document {
    let parts = Parts::of(report);
    let mut out = parts.head();
    out.blocks.extend(parts.glance());
    if let ([value], [summary]) = (&parts.index.values[..], &parts.summaries[..]) {
        let mut blocks = Vec::new();
        let narrow = ranking::narrow(&parts.index, &parts.verdicts, value);
        if !narrow.rows.is_empty() {
            blocks.extend([Block::table("", narrow), Block::Note(KEY.into())]);
            // The first note explains the columns of the wide table.
            blocks.extend(parts.notes(value, summary).into_iter().skip(1).map(Block::Note));
        }
        blocks.push(Block::table("", tables::model(&parts.index, value)));
        blocks.extend(notes::model(summary).into_iter().map(Block::Note));
        out.blocks.push(Block::Section { title: quoted(value), blocks });
    }
    if !report.warnings.is_empty() {
        let blocks = vec![Block::List(report.warnings.clone())];
        out.blocks.push(Block::Section { title: "Warnings".into(), blocks });
    }
    out
}

fn quoted(value: &str) -> String {
    format!("“{}”", shortened(value, NAME))
}

impl<'a> Parts<'a> {
    fn of(report: &'a Report) -> Self {
        let index = report.index();
        let verdicts = verdicts(&index);
        let summaries = summaries(&index);
        Self { report, index, verdicts, summaries }
    }

    /// The finding in words, without blocks.
    fn head(&self) -> Document {
        let [finding, rest @ ..] = words::lines(self.report, &self.index, &self.verdicts, &self.summaries);
        let text =
            |key: &str| self.report.provenance.get(key).and_then(Json::as_str).map(|t| shortened(t, ORIGIN));
        Document {
            kicker: [text("model"), self.report.adapter(), text("revision"), text("time")]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" · "),
            title: finding,
            lead: rest.to_vec(),
            ..Document::default()
        }
    }

    /// Effect of every constitution on every value, and its basis.
    fn glance(&self) -> Option<Block> {
        let matrix = glance::matrix(&self.index, &self.verdicts);
        let layer = self.report.tables.get(LAYER_NOTE).and_then(Json::as_str);
        let facts = glance::facts(&self.index, &self.verdicts, layer);
        let mut blocks = Vec::new();
        if !self.verdicts.is_empty() && !matrix.rows.is_empty() {
            blocks.extend([Block::table(GLANCE, matrix), Block::Note(glance::KEY.into())]);
        }
        blocks.extend((!facts.is_empty()).then_some(Block::List(facts)));
        let state = glance::state(&self.index, &self.summaries);
        if !state.rows.is_empty() {
            blocks.extend([Block::table(STATE, state), Block::Note(glance::STATE_KEY.into())]);
        }
        Block::section(GLANCE, blocks)
    }

    fn notes(&self, value: &str, summary: &ValueSummary) -> Vec<String> {
        notes::main(&self.index, &self.verdicts, value, summary)
    }

    fn value(&self, value: &'a str, summary: &ValueSummary) -> Block {
        let Self { report, index, verdicts, .. } = self;
        let name = quoted(value);
        let mut blocks: Vec<Block> =
            Block::figures(figures::of_value(index, verdicts, summary, value)).into_iter().collect();
        let main = ranking::main(index, verdicts, value);
        if main.rows.is_empty() {
            blocks.push(Block::Note("No constitution was judged against this value.".into()));
        } else {
            blocks.push(Block::table(format!("Constitutions and {name}"), main));
            blocks.extend(self.notes(value, summary).into_iter().map(Block::Note));
            let reason = |v: &Verdict| format!("{}: {}", shortened(&v.constitution, NAME), clean(&v.reason));
            let own = verdicts.iter().filter(|v| v.value == *value && !v.placebo);
            let reasons: Vec<String> = own.map(reason).collect();
            if !reasons.is_empty() {
                blocks.push(Block::Folded { title: WHY.into(), blocks: vec![Block::List(reasons)] });
            }
        }
        let title = format!("The model and {name}");
        let mut model = vec![Block::table(title.clone(), tables::model(index, value))];
        model.extend(notes::model(summary).into_iter().map(Block::Note));
        model.extend(Block::figures(figures::of_model(report, index, value)));
        blocks.extend(Block::section(title, model));
        Block::Section { title: name, blocks }
    }

    fn details(&self) -> Block {
        let Self { report, index, verdicts, .. } = self;
        let mut blocks = vec![Block::Note(DETAILS.into())];
        blocks.extend(index.values.iter().filter_map(|value| {
            let title = format!("{}, with and without length control", quoted(value));
            Block::bulk_table(title, ranking::details(index, verdicts, value))
        }));
        blocks.extend(Block::bulk_table("Constitutions", tables::constitutions(report)));
        blocks.extend(further(report));
        Block::Section { title: "Details".into(), blocks }
    }
}

/// Responses at both ends of each value's direction, one deck per value.
fn single_responses(index: &Index<'_>) -> Option<Block> {
    let decks = items::decks::decks(index);
    let mut blocks = vec![Block::Note(CARDS.into())];
    blocks
        .extend(decks.iter().any(|(_, deck)| !deck.colours.is_empty()).then(|| Block::Note(COLOURS.into())));
    let section = |(value, deck): (String, _)| Block::Section {
        title: quoted(&value),
        blocks: vec![Block::Cards(deck)],
    };
    (!decks.is_empty()).then(|| {
        blocks.extend(decks.into_iter().map(section));
        Block::Section { title: "Single responses".into(), blocks }
    })
}

fn warnings(report: &Report) -> Block {
    let mut blocks = vec![Block::Note(format!("Texts left out: {}.", count(report.skipped())))];
    if let Some(note) = report.tables.get(LAYER_NOTE).and_then(Json::as_str) {
        blocks.push(Block::Note(format!("Layer: {note}.")));
    }
    blocks.push(match report.warnings.is_empty() {
        true => Block::Note("None beside those at single figures.".into()),
        false => Block::List(report.warnings.clone()),
    });
    Block::Section { title: "Warnings".into(), blocks }
}

/// Tables without a section of their own, as lines of JSON.
fn further(report: &Report) -> Vec<Block> {
    let drawn = [LAYER_ALIGNMENTS, LAYER_CHOICE, LAYER_NOTE, LAYER_PROFILE];
    let shown = |name: &String| drawn.iter().any(|own| own == name) || shows(name);
    let block = |(name, table): (&String, &Json)| {
        let lines: Vec<String> = match table {
            Json::Array(rows) => rows.iter().map(Json::to_string).collect(),
            Json::Object(map) => map.iter().map(|(key, value)| format!("{key}: {value}")).collect(),
            other => vec![other.to_string()],
        };
        let title = if name == SKIPPED { "Texts left out".to_owned() } else { name.clone() };
        (!lines.is_empty()).then_some(Block::Bulk { title, rows: Rows::Lines(lines) })
    };
    report.tables.iter().filter(|(name, _)| !shown(name)).filter_map(block).collect()
}

fn provenance(report: &Report) -> Block {
    let block = match report.provenance.is_empty() {
        true => Block::Note("None was recorded: this report cannot be reproduced from itself.".into()),
        false => Block::table("Provenance", tables::provenance(report)),
    };
    let recipe = Block::bulk_table("Recipe: hashes of what was read, settings", tables::recipe(report));
    let blocks = std::iter::once(block).chain(recipe).collect();
    Block::Section { title: "Provenance".into(), blocks }
}
