//! A page of findings: a sentence, tables, notes; as Markdown and for a terminal.

pub use crate::report::compare::Table as Tabled;
use crate::report::compare::{table_markdown, table_terminal};
use crate::report::text::{markdown as escaped, wrapped};

/// Columns of a terminal.
const COLUMNS: usize = 110;

/// What one command found; texts are plain, not escaped.
#[derive(Default)]
pub struct Page {
    /// What was asked.
    pub title: String,
    /// What was found, in a sentence or two.
    pub finding: String,
    /// The evidence, with titles.
    pub tables: Vec<(String, Tabled)>,
    /// How to read it, and what must be known.
    pub notes: Vec<String>,
}

/// A table from its titles and rows; the first `left` columns are words.
pub fn table(head: &[&str], left: usize, rows: Vec<Vec<String>>) -> Tabled {
    Tabled { head: head.iter().map(|h| (*h).to_owned()).collect(), left, rows }
}

impl Page {
    /// As Markdown.
    pub fn to_markdown(&self) -> String {
        let mut out = format!("# {}\n\n{}\n", escaped(&self.title), escaped(&self.finding));
        for (title, table) in &self.tables {
            out += &format!("\n## {}\n\n", escaped(title));
            table_markdown(&mut out, table);
        }
        if !self.notes.is_empty() {
            out += "\n## Notes\n\n";
            self.notes.iter().for_each(|note| out += &format!("- {}\n", escaped(note)));
        }
        out
    }

    /// For a terminal: plain text, nothing in it steers one.
    pub fn to_terminal(&self) -> String {
        let mut out = String::new();
        let say = |out: &mut String, text: &str| {
            wrapped(text, COLUMNS - 2).iter().for_each(|line| *out += &format!("  {line}\n"));
        };
        out += &format!("\n{}\n", self.title);
        say(&mut out, &self.finding);
        for (title, table) in &self.tables {
            out += &format!("\n{title}\n");
            table_terminal(&mut out, table);
        }
        for note in &self.notes {
            say(&mut out, &format!("note: {note}"));
        }
        out
    }
}
