//! A page as typed parts: sentences, tables and plots in reading order. Contains no wording of its own.
//!
//! A [`Document`] is built once and can be written in three formats: [`markdown`] for text files and version control,
//! [`html`] for one self-contained page with plots, and [`terminal`]. All texts are plain; each writer escapes them
//! for its format.
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
    /// Origin, in a few words above the title; empty for none.
    pub kicker: String,
    /// The title; for a report, the finding in one sentence.
    pub title: String,
    /// Sentences below the title, one per line.
    pub lead: Vec<String>,
    /// Blocks in reading order.
    pub blocks: Vec<Block>,
    /// Last line of the HTML page; empty for none.
    pub footer: String,
}

/// A part of a page.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// A titled section.
    Section {
        /// Its title.
        title: String,
        /// Blocks of the section.
        blocks: Vec<Block>,
    },
    /// A titled section that is collapsed in HTML.
    Folded {
        /// Its title.
        title: String,
        /// Blocks of the section.
        blocks: Vec<Block>,
    },
    /// Many rows, shown only by the HTML page (collapsed); the other formats mention them by title.
    Bulk {
        /// Its title.
        title: String,
        /// Its rows.
        rows: Rows,
    },
    /// Statements: a list of verdicts, each expandable to its evidence.
    Statements(Vec<Claim>),
    /// A sentence in the text.
    Paragraph(String),
    /// An explanation of neighbouring content.
    Note(String),
    /// A list.
    List(Vec<String>),
    /// A table, with a name for formats that do not show its title.
    Table {
        /// The name.
        label: String,
        /// The table.
        table: Table,
    },
    /// Cards of texts; shown only by the HTML page, mentioned by the other formats.
    Cards(Deck),
    /// Plots side by side; omitted in text formats.
    Figures(Vec<Figure>),
}

/// The rows of a [`Block::Bulk`].
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// Rows of a table.
    Table(Table),
    /// Lines of text.
    Lines(Vec<String>),
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Table(table) => table.rows.len(),
            Self::Lines(lines) => lines.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A statement of the paper and what the data say about it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claim {
    /// Subject of the statement.
    pub title: &'static str,
    /// Location in the paper.
    pub source: &'static str,
    /// Evidence from the data.
    pub evidence: Evidence,
}

/// Evidence from the data about a statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// Verdict in one sentence.
    pub verdict: String,
    /// How to read what follows.
    pub notes: Vec<String>,
    /// Tables with their titles.
    pub tables: Vec<(String, Table)>,
    /// Plots.
    pub figures: Vec<Figure>,
}

impl Block {
    /// A named table.
    pub fn table(label: impl Into<String>, table: Table) -> Self {
        Self::Table { label: label.into(), table }
    }

    /// A titled section; `None` without blocks.
    pub fn section(title: impl Into<String>, blocks: Vec<Block>) -> Option<Self> {
        (!blocks.is_empty()).then(|| Self::Section { title: title.into(), blocks })
    }

    /// A table in its own titled section; `None` without rows.
    pub fn titled_table(title: impl Into<String>, table: Table) -> Option<Self> {
        let title = title.into();
        (!table.rows.is_empty())
            .then(|| Self::Section { blocks: vec![Self::table(title.clone(), table)], title })
    }

    /// A table shown only by the HTML page; `None` without rows.
    pub fn bulk_table(title: impl Into<String>, table: Table) -> Option<Self> {
        (!table.rows.is_empty()).then(|| Self::Bulk { title: title.into(), rows: Rows::Table(table) })
    }

    /// Plots; `None` without any.
    pub fn figures(figures: Vec<Figure>) -> Option<Self> {
        (!figures.is_empty()).then_some(Self::Figures(figures))
    }
}

impl Document {
    /// A page for a single finding: the sentence, its tables, and notes on how to read them.
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

    /// Writes the document as Markdown.
    pub fn to_markdown(&self) -> String {
        markdown::write(self)
    }

    /// Writes the document as one self-contained HTML file.
    pub fn to_html(&self) -> String {
        html::write(self)
    }

    /// Writes the document as plain text for a terminal.
    pub fn to_terminal(&self) -> String {
        terminal::write(self)
    }

    /// Every table with rows, with its name, in page order, including those of statements.
    pub fn tables(&self) -> Vec<(&str, &Table)> {
        let mut out = Vec::new();
        for (of, block) in self.parts() {
            match block {
                Block::Table { label, table } => out.push((if label.is_empty() { of } else { label }, table)),
                Block::Bulk { title, rows: Rows::Table(table) } => out.push((title, table)),
                Block::Statements(all) => {
                    let tables = all.iter().flat_map(|s| &s.evidence.tables);
                    out.extend(tables.map(|(title, table)| (&title[..], table)));
                }
                _ => {}
            }
        }
        out.retain(|(_, table)| !table.rows.is_empty());
        out
    }

    /// Every plot with the title of its section (empty for statements), in page order.
    pub fn figures(&self) -> Vec<(&str, &Figure)> {
        let mut out = Vec::new();
        for (of, block) in self.parts() {
            match block {
                Block::Figures(figures) => out.extend(figures.iter().map(|f| (of, f))),
                Block::Statements(all) => {
                    out.extend(all.iter().flat_map(|s| &s.evidence.figures).map(|f| ("", f)));
                }
                _ => {}
            }
        }
        out
    }

    /// Every block that is not a section, with the title of its innermost section (empty for none), in page order.
    fn parts(&self) -> Vec<(&str, &Block)> {
        fn walk<'d>(of: &'d str, blocks: &'d [Block], out: &mut Vec<(&'d str, &'d Block)>) {
            for block in blocks {
                match block {
                    Block::Section { title, blocks } | Block::Folded { title, blocks } => {
                        walk(title, blocks, out);
                    }
                    other => out.push((of, other)),
                }
            }
        }
        let mut out = Vec::new();
        walk("", &self.blocks, &mut out);
        out
    }
}
