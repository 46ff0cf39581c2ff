//! A page as typed parts: sentences, tables and plots in the order of reading. It has no wording of its own.
//!
//! A [`Document`] is made once and written three times: as [`markdown`] for files that are read as text and put under
//! version control, as [`html`] for one self-contained page with its plots, and for a [`terminal`]. All texts are plain; each
//! writer escapes them for where they go.
//!
//! ```
//! use vstar::document::{Block, Document, table::{Cell, Table}};
//!
//! let mut angles = Table::titled(&["value", ">cos"]);
//! angles.rows.push(vec![Cell::name("honest"), Cell::number("0.41".into())]);
//! let page = Document {
//!     title: "What was found".into(),
//!     blocks: vec![Block::table("Angles", angles)],
//!     ..Document::default()
//! };
//! assert!(page.to_markdown().contains("| honest | 0.41 |"));
//! ```

pub mod cards;
pub mod html;
pub mod latex;
pub mod markdown;
pub mod number;
pub mod plane;
pub mod plot;
pub(crate) mod svg;
pub mod table;
pub mod terminal;
pub mod text;

use cards::Deck;
use plot::Figure;
use table::Table;

/// A page.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    /// Where it comes from, in a few words above the title; empty: nothing.
    pub kicker: String,
    /// The title; of a report, the finding in one sentence.
    pub title: String,
    /// Sentences below the title, each a line.
    pub lead: Vec<String>,
    /// The parts.
    pub blocks: Vec<Block>,
    /// The last line of the HTML page; empty: none.
    pub footer: String,
}

/// A part of a page.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// A titled part.
    Section {
        /// Its title.
        title: String,
        /// Its parts.
        blocks: Vec<Block>,
    },
    /// A titled part that an HTML page opens on demand.
    Folded {
        /// Its title.
        title: String,
        /// Its parts.
        blocks: Vec<Block>,
    },
    /// Something of so many rows that only the HTML page shows it, folded; the others name it.
    Bulk {
        /// Its title.
        title: String,
        /// Its rows.
        rows: Rows,
    },
    /// Statements: a list of verdicts, each of which opens to its evidence.
    Statements(Vec<Claim>),
    /// A sentence in the text.
    Paragraph(String),
    /// How to read what stands beside it.
    Note(String),
    /// A list.
    List(Vec<String>),
    /// A table and what it is called where its title is not seen.
    Table {
        /// The name.
        label: String,
        /// The table.
        table: Table,
    },
    /// Texts to look at one by one; only the HTML page shows them, the others name them.
    Cards(Deck),
    /// Plots side by side; text alone leaves them out.
    Figures(Vec<Figure>),
}

/// The rows of a [`Block::Bulk`].
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// Of a table.
    Table(Table),
    /// Lines of text.
    Lines(Vec<String>),
}

impl Rows {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Table(table) => table.rows.len(),
            Self::Lines(lines) => lines.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A statement of the paper and what the data say about it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claim {
    /// What it is about.
    pub title: &'static str,
    /// Where the paper makes it.
    pub source: &'static str,
    /// What the data say.
    pub evidence: Evidence,
}

/// What the data say about a statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// In one sentence.
    pub verdict: String,
    /// How to read what follows.
    pub notes: Vec<String>,
    /// Tables with their titles.
    pub tables: Vec<(String, Table)>,
    /// Plots.
    pub figures: Vec<Figure>,
}

impl Block {
    /// A table, named.
    pub fn table(label: impl Into<String>, table: Table) -> Self {
        Self::Table { label: label.into(), table }
    }

    /// A titled part; nothing without parts.
    pub fn section(title: impl Into<String>, blocks: Vec<Block>) -> Option<Self> {
        (!blocks.is_empty()).then(|| Self::Section { title: title.into(), blocks })
    }

    /// A table as a titled part of its own; nothing without rows.
    pub fn titled_table(title: impl Into<String>, table: Table) -> Option<Self> {
        let title = title.into();
        (!table.rows.is_empty())
            .then(|| Self::Section { blocks: vec![Self::table(title.clone(), table)], title })
    }

    /// A table that the HTML page alone shows; nothing without rows.
    pub fn bulk_table(title: impl Into<String>, table: Table) -> Option<Self> {
        (!table.rows.is_empty()).then(|| Self::Bulk { title: title.into(), rows: Rows::Table(table) })
    }

    /// Plots; nothing without one.
    pub fn figures(figures: Vec<Figure>) -> Option<Self> {
        (!figures.is_empty()).then_some(Self::Figures(figures))
    }
}

impl Document {
    /// A page of one finding: the sentence, the tables that it rests on, and notes on how to read them.
    pub fn of_finding(
        title: String,
        finding: String,
        tables: Vec<(String, Table)>,
        notes: Vec<String>,
    ) -> Self {
        let mut blocks: Vec<Block> =
            tables.into_iter().filter_map(|(title, table)| Block::titled_table(title, table)).collect();
        if !notes.is_empty() {
            blocks.push(Block::Section { title: "Notes".into(), blocks: vec![Block::List(notes)] });
        }
        Self { title, lead: vec![finding], blocks, ..Self::default() }
    }

    /// As Markdown.
    pub fn to_markdown(&self) -> String {
        markdown::write(self)
    }

    /// As one self-contained HTML page.
    pub fn to_html(&self) -> String {
        html::write(self)
    }

    /// As plain text for a screen.
    pub fn to_terminal(&self) -> String {
        terminal::write(self)
    }

    /// Every table that has rows, with its name, in the order of the page; those behind statements too.
    pub fn tables(&self) -> Vec<(&str, &Table)> {
        fn walk<'d>(of: &'d str, blocks: &'d [Block], out: &mut Vec<(&'d str, &'d Table)>) {
            for block in blocks {
                match block {
                    Block::Section { title, blocks } | Block::Folded { title, blocks } => {
                        walk(title, blocks, out)
                    }
                    Block::Table { label, table } => {
                        out.push((if label.is_empty() { of } else { label }, table))
                    }
                    Block::Bulk { title, rows: Rows::Table(table) } => out.push((title, table)),
                    Block::Statements(all) => {
                        out.extend(
                            all.iter().flat_map(|s| &s.evidence.tables).map(|(title, of)| (&title[..], of)),
                        );
                    }
                    _ => {}
                }
            }
        }
        let mut out = Vec::new();
        walk("", &self.blocks, &mut out);
        out.retain(|(_, table)| !table.rows.is_empty());
        out
    }

    /// Every plot with the title of the section it stands in (empty for statements), in the order of the page.
    pub fn figures(&self) -> Vec<(&str, &Figure)> {
        fn walk<'d>(of: &'d str, blocks: &'d [Block], out: &mut Vec<(&'d str, &'d Figure)>) {
            for block in blocks {
                match block {
                    Block::Section { title, blocks } | Block::Folded { title, blocks } => {
                        walk(title, blocks, out)
                    }
                    Block::Figures(figures) => out.extend(figures.iter().map(|f| (of, f))),
                    Block::Statements(all) => {
                        out.extend(all.iter().flat_map(|s| &s.evidence.figures).map(|f| ("", f)));
                    }
                    _ => {}
                }
            }
        }
        let mut out = Vec::new();
        walk("", &self.blocks, &mut out);
        out
    }
}
