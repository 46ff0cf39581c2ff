//! A table: titled columns, cells of plain text with a tone.

use std::borrow::Cow;

use super::number::{NOT_IDENTIFIABLE, NOTHING};
use super::text::shortened;

/// Maximum number of characters of a name in a table.
pub const NAME: usize = 40;

/// Presentation of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// No emphasis.
    Plain,
    /// Not reportable, or empty.
    Muted,
    /// Verdict: the value rises.
    Up,
    /// Verdict: the value falls.
    Down,
}

/// A cell with unescaped text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The text.
    pub text: String,
    /// Presentation.
    pub tone: Tone,
}

impl Cell {
    /// A cell with plain text.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }

    /// A formatted number; muted if it is missing or not reportable.
    pub fn number(text: String) -> Self {
        let muted = text == NOTHING || text == NOT_IDENTIFIABLE || text.starts_with('(');
        Self { text, tone: if muted { Tone::Muted } else { Tone::Plain } }
    }

    /// An external name, shortened.
    pub fn name(name: &str) -> Self {
        Self::plain(shortened(name, NAME))
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Columns; those with numbers are right-aligned.
    pub columns: Vec<Column>,
    /// Rows, each as long as `columns`.
    pub rows: Vec<Vec<Cell>>,
}

/// Header of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Title: borrowed if built in, owned if external.
    pub title: Cow<'static, str>,
    /// Whether it holds numbers.
    pub right: bool,
}

impl Table {
    /// A table without rows; `"title"` for a text column, `">title"` for a number column.
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

    /// Drops the columns in which every cell is blank.
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

    /// Builds a table from titles and rows; the first `left` columns are text, the others numbers.
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
