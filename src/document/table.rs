//! A table: titled columns, cells of plain text with a tone.

use std::borrow::Cow;

use super::number::{NOT_IDENTIFIABLE, NOTHING};
use super::text::shortened;

/// Characters of a name in a table.
pub const NAME: usize = 40;

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
    /// Text as it is.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }

    /// A number as it is shown; muted where there is none or it must not be quoted.
    pub fn number(text: String) -> Self {
        let muted = text == NOTHING || text == NOT_IDENTIFIABLE || text.starts_with('(');
        Self { text, tone: if muted { Tone::Muted } else { Tone::Plain } }
    }

    /// A name from outside, shortened.
    pub fn name(name: &str) -> Self {
        Self::plain(shortened(name, NAME))
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Column titles; those of numbers are set to the right.
    pub columns: Vec<Column>,
    /// Rows, as long as `columns`.
    pub rows: Vec<Vec<Cell>>,
}

/// A column's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its title; borrowed: the program's own words, owned: from outside.
    pub title: Cow<'static, str>,
    /// Whether it holds numbers.
    pub right: bool,
}

impl Table {
    /// Without rows; `"title"` a column of text, `">title"` one of numbers.
    pub fn titled(titles: &[&'static str]) -> Self {
        let columns = titles
            .iter()
            .map(|t| match t.strip_prefix('>') {
                Some(title) => Column { title: title.into(), right: true },
                None => Column { title: (*t).into(), right: false },
            })
            .collect();
        Self { columns, rows: Vec::new() }
    }

    /// From its titles and rows; the first `left` columns are words, the others numbers.
    pub fn of(
        titles: impl IntoIterator<Item = impl Into<Cow<'static, str>>>,
        left: usize,
        rows: Vec<Vec<String>>,
    ) -> Self {
        let column = |(i, title): (usize, _)| Column { title, right: i >= left };
        let cell = |(i, text): (usize, String)| if i < left { Cell::plain(text) } else { Cell::number(text) };
        Self {
            columns: titles.into_iter().map(Into::into).enumerate().map(column).collect(),
            rows: rows.into_iter().map(|row| row.into_iter().enumerate().map(cell).collect()).collect(),
        }
    }
}
