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

    /// Without the columns in which no row has anything.
    #[must_use]
    pub fn without_blank_columns(self) -> Self {
        let blank = |c: usize| self.rows.iter().all(|r| r[c].text.is_empty() || r[c].text == NOTHING);
        let kept: Vec<bool> = (0..self.columns.len()).map(|c| self.rows.is_empty() || !blank(c)).collect();
        fn keep<T>(all: Vec<T>, kept: &[bool]) -> Vec<T> {
            all.into_iter().zip(kept).filter(|(_, kept)| **kept).map(|(one, _)| one).collect()
        }
        Self {
            columns: keep(self.columns, &kept),
            rows: self.rows.into_iter().map(|row| keep(row, &kept)).collect(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_blank_in_every_row_goes_and_no_other() {
        let mut table = Table::titled(&["name", ">a", ">b"]);
        table.rows.push(vec![Cell::name("x"), Cell::number("–".into()), Cell::number("1".into())]);
        table.rows.push(vec![Cell::name("y"), Cell::number("–".into()), Cell::number("–".into())]);
        let kept = table.without_blank_columns();
        assert_eq!(kept.columns.iter().map(|c| &*c.title).collect::<Vec<_>>(), ["name", "b"]);
        assert_eq!(kept.rows[1].len(), 2);
        assert_eq!(Table::titled(&["name", ">a"]).without_blank_columns().columns.len(), 2);
    }
}
