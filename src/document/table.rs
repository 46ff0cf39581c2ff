//! A table as the renderers see it: titled columns, cells of plain text with a tone.

use super::format::{self, NOTHING};
use super::text::shortened;
use super::verdict::{Outcome, Verdict};

/// Characters of a name in a table.
pub(super) const NAME: usize = 40;

/// How a cell is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// Not to be quoted, or nothing.
    Muted,
    /// A verdict that the value rises.
    Up,
    /// A verdict that the value falls.
    Down,
}

/// A cell: text as it is, not escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The text.
    pub text: String,
    /// How it is to be read.
    pub tone: Tone,
}

impl Cell {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }

    pub(super) fn number(text: String) -> Self {
        let muted = text == NOTHING || text == format::NOT_IDENTIFIABLE || text.starts_with('(');
        Self { text, tone: if muted { Tone::Muted } else { Tone::Plain } }
    }

    pub(super) fn name(name: &str) -> Self {
        Self::plain(shortened(name, NAME))
    }

    /// The verdict where there is little room.
    pub(super) fn short_verdict(verdict: &Verdict) -> Self {
        Self { text: verdict.short_label(), ..Self::verdict(verdict) }
    }

    pub(super) fn verdict(verdict: &Verdict) -> Self {
        let tone = match verdict.verdict {
            Outcome::Improves => Tone::Up,
            Outcome::Degrades => Tone::Down,
            _ => Tone::Muted,
        };
        Self { text: verdict.label(), tone }
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grid {
    /// Column titles; those of numbers are set to the right.
    pub columns: Vec<Column>,
    /// Rows, as long as `columns`.
    pub rows: Vec<Vec<Cell>>,
}

/// A column's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// Whether it holds numbers.
    pub right: bool,
}

/// `"title"` a column of text, `">title"` one of numbers.
pub(super) fn grid(titles: &[&'static str]) -> Grid {
    let columns = titles
        .iter()
        .map(|t| match t.strip_prefix('>') {
            Some(title) => Column { title, right: true },
            None => Column { title: t, right: false },
        })
        .collect();
    Grid { columns, rows: Vec::new() }
}
