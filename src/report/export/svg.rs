//! The plots and tables of a page as separate files.

use crate::document::Document;
use crate::document::html::{paper, plot_style};
use crate::document::latex;
use crate::document::plot::Figure;
use crate::document::table::Table;
use crate::document::text::html as escaped;

/// A standalone image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// File name without extension: the name of the value, if any, and the plot's title, in lower case.
    pub name: String,
    /// SVG document with its style, and with the caption as a description.
    pub svg: String,
}

/// A standalone table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// File name without extension: the table's title in lower case.
    pub name: String,
    /// LaTeX `tabular` with booktabs rules.
    pub latex: String,
    /// Comma-separated values, each cell as shown on the page.
    pub csv: String,
}

/// Every plot of a page, in order. Duplicate names are numbered.
pub fn images(page: &Document) -> Vec<Image> {
    let mut images: Vec<Image> = page.figures().into_iter().map(|(of, figure)| image(of, figure)).collect();
    number(images.iter_mut().map(|image| &mut image.name));
    images
}

/// Every table of a page, in order. Duplicate names are numbered.
pub fn sheets(page: &Document) -> Vec<Sheet> {
    let sheet = |(title, table): (&str, &Table)| Sheet {
        name: file_stem(title),
        latex: latex::table(table),
        csv: comma_separated(table),
    };
    let mut sheets: Vec<Sheet> = page.tables().into_iter().map(sheet).collect();
    number(sheets.iter_mut().map(|sheet| &mut sheet.name));
    sheets
}

fn comma_separated(table: &Table) -> String {
    let mut out = csv::Writer::from_writer(Vec::new());
    let head = table.columns.iter().map(|c| &*c.title);
    let rows = table.rows.iter().map(|row| row.iter().map(|c| &c.text[..]).collect::<Vec<_>>());
    for record in std::iter::once(head.collect::<Vec<_>>()).chain(rows) {
        // Cannot fail: rows are as long as the header, and writing to memory does not fail.
        out.write_record(record).expect("a record of a table");
    }
    String::from_utf8(out.into_inner().expect("memory")).expect("text of text")
}

/// A plot as a standalone image, with the light colours of the page written out, since few programs other than
/// browsers support CSS variables.
fn image(of: &str, figure: &Figure) -> Image {
    let head = format!(
        "<title>{}</title><desc>{}</desc><style>{}</style>",
        escaped(&figure.title),
        escaped(&figure.caption),
        plot_style(),
    );
    // The opening tag ends at the first `>`: its attributes are escaped.
    let at = figure.svg.find('>').map_or(0, |i| i + 1);
    let (open, rest) = figure.svg.split_at(at);
    let paper = format!(r#"<rect width="100%" height="100%" fill="{}"/>"#, paper());
    Image { name: file_stem(&format!("{of} {}", figure.title)), svg: format!("{open}{head}{paper}{rest}\n") }
}

/// The words of a title in lower case.
fn file_stem(title: &str) -> String {
    let words = title.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}

/// Appends numbers to duplicate names.
fn number<'n>(names: impl Iterator<Item = &'n mut String>) {
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for name in names {
        let times = seen.entry(name.clone()).or_default();
        *times += 1;
        if *times > 1 {
            *name += &format!("-{times}");
        }
    }
}
