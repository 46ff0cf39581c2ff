//! `report.html`: one file that needs no other, no script and no network; every text is escaped.

use std::fmt::Write;

use serde_json::Value as Json;

use super::figures::{self, Figure};
use super::grid::{Grid, Tone};
use super::overall::summaries;
use super::ranking;
use super::rows::Index;
use super::sections::{self, Section};
use super::tables;
use super::text::{html as escaped, shortened};
use super::verdict::verdicts_of;
use super::{LAYER_ALIGNMENTS, LAYER_NOTE, LAYER_PROFILE, PLACEBO, Report, SKIPPED, format, markdown, words};
use crate::hypothesis::arm;

const STYLE: &str = include_str!("style.css");
/// Rows of a long table that the page shows; all are in `report.json`.
const MOST_ROWS: usize = 1500;
/// Columns of text longer than this may break into lines.
const LONG: usize = 44;

/// The report as one self-contained HTML page.
pub fn to_html(report: &Report) -> String {
    let index = Index::new(report);
    let verdicts = verdicts_of(report, &index);
    let summaries = summaries(&index);
    let [finding, rest @ ..] = words::lines(report, &index, &verdicts, &summaries);
    let mut page = Page(open(&shortened(&finding, 120)));
    page.put("<header>\n");
    page.put(&format!("<p class=\"kicker\">{}</p>\n", escaped(&kicker(report))));
    page.put(&format!("<h1>{}</h1>\n<div class=\"lede\">\n", escaped(&finding)));
    for sentence in rest {
        page.put(&format!("<p>{}</p>\n", escaped(&sentence)));
    }
    page.put("</div>\n");
    if index.values.len() > 1 {
        page.put("<nav aria-label=\"Values\">");
        for (i, value) in index.values.iter().enumerate() {
            page.put(&format!("<a href=\"#value-{i}\">{}</a> ", escaped(&shortened(value, 40))));
        }
        page.put("</nav>\n");
    }
    page.put("</header>\n<main>\n");
    for (i, (&value, summary)) in index.values.iter().zip(&summaries).enumerate() {
        let name = escaped(&shortened(value, 60));
        page.put(&format!("<section id=\"value-{i}\">\n<h2>“{name}”</h2>\n"));
        page.figures(&figures::of_value(report, &index, &verdicts, summary, value));
        let main = ranking::main(&index, &verdicts, value);
        if main.rows.is_empty() {
            page.note("No constitution was judged against this value.");
        } else {
            page.table(&main, &format!("Constitutions and “{value}”"));
            markdown::main_notes(report, &index, &verdicts, value, summary).iter().for_each(|n| page.note(n));
        }
        page.put(&format!("<h3>The model and “{name}”</h3>\n"));
        page.table(&tables::model(&index, value), &format!("The model and “{value}”"));
        markdown::model_notes(summary).iter().for_each(|n| page.note(n));
        page.figures(&figures::of_model(report, &index, value));
        page.put("</section>\n");
    }
    statements(&mut page, &sections::all(report, &index));
    let judge = tables::judge(&index);
    if !judge.rows.is_empty() {
        page.put("<section><h2>The judge</h2>\n");
        page.figures(&figures::position_bias(&index));
        page.table(&judge, "The judge");
        page.put("</section>\n");
    }
    let others = tables::other_judges(report);
    if !others.rows.is_empty() {
        page.put(&format!("<section><h2>{}</h2>\n", markdown::OTHER_JUDGES));
        page.table(&others, markdown::OTHER_JUDGES);
        page.put("</section>\n");
    }
    warnings(&mut page, report);
    details(&mut page, report, &index, &verdicts);
    page.put("<section><h2>Provenance</h2>\n");
    if report.provenance.is_empty() {
        page.note("None was recorded: this report cannot be reproduced from itself.");
    } else {
        page.table(&tables::provenance(report), "Provenance");
    }
    page.put("</section>\n</main>\n<footer>All figures, with more digits, are in report.json beside this page.</footer>\n");
    page.put(CLOSE);
    page.0
}

/// A page up to its body's beginning.
pub(super) fn open(title: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        escaped(title)
    )
}

/// The rules of the style that plots need; the size that they have on a page is not among them.
pub(super) fn plot_style() -> String {
    let needed =
        |line: &&str| [":root", "@media(prefers-color-scheme", "svg "].iter().any(|s| line.starts_with(s));
    STYLE.lines().filter(needed).collect::<Vec<_>>().join("\n")
}

/// Plots side by side, each under its caption; empty without one.
pub(super) fn plots<'f>(figures: impl IntoIterator<Item = &'f Figure>) -> String {
    let one = |f: &Figure| {
        let key =
            |(class, text): &(&str, &str)| format!("<span class=\"key {class}\"></span>{}", escaped(text));
        let keys: String = f.keys.iter().map(key).collect();
        format!(
            "<figure><figcaption><b>{}</b>{}{keys}</figcaption>{}</figure>\n",
            escaped(&f.title),
            escaped(&f.caption),
            f.svg
        )
    };
    let all: String = figures.into_iter().map(one).collect();
    if all.is_empty() { all } else { format!("<div class=\"plots\">\n{all}</div>\n") }
}

/// A page's end.
pub(super) const CLOSE: &str = "</body>\n</html>\n";

fn kicker(report: &Report) -> String {
    let text = |key: &str| report.provenance.get(key).and_then(Json::as_str).map(|t| shortened(t, 60));
    ["model", "revision", "time"].iter().filter_map(|k| text(k)).collect::<Vec<_>>().join(" · ")
}

struct Page(String);

impl Page {
    /// Markup, escaped already.
    fn put(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    fn note(&mut self, text: &str) {
        self.put(&format!("<p class=\"note\">{}</p>\n", escaped(text)));
    }

    fn figures<'f>(&mut self, figures: impl IntoIterator<Item = &'f Figure>) {
        self.put(&plots(figures));
    }

    /// A table in a box of its own that scrolls sideways; its first column heads the rows.
    fn table(&mut self, grid: &Grid, label: &str) {
        if grid.rows.is_empty() {
            self.note("Nothing was measured.");
            return;
        }
        self.put(&format!(
            "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n<table class=\"sticky\">\n<thead><tr>",
            escaped(label)
        ));
        for column in &grid.columns {
            let class = if column.right { " class=\"n\"" } else { "" };
            self.put(&format!("<th scope=\"col\"{class}>{}</th>", escaped(column.title)));
        }
        self.put("</tr></thead>\n<tbody>\n");
        let long: Vec<bool> = (0..grid.columns.len())
            .map(|c| !grid.columns[c].right && grid.rows.iter().any(|r| r[c].text.chars().count() > LONG))
            .collect();
        for row in grid.rows.iter().take(MOST_ROWS) {
            self.put("<tr>");
            for (c, (cell, column)) in row.iter().zip(&grid.columns).enumerate() {
                let mut classes: Vec<&str> = Vec::new();
                if column.right {
                    classes.push("n");
                }
                if long[c] {
                    classes.push("long");
                }
                match cell.tone {
                    Tone::Plain => {}
                    Tone::Muted => classes.push("muted"),
                    Tone::Up => classes.push("up"),
                    Tone::Down => classes.push("down"),
                }
                let class = match classes.as_slice() {
                    [] => String::new(),
                    some => format!(" class=\"{}\"", some.join(" ")),
                };
                let (tag, scope) = if c == 0 { ("th", " scope=\"row\"") } else { ("td", "") };
                self.put(&format!("<{tag}{scope}{class}>{}</{tag}>", escaped(&cell.text)));
            }
            self.put("</tr>\n");
        }
        self.put("</tbody>\n</table>\n</div>\n");
        if grid.rows.len() > MOST_ROWS {
            self.note(&format!("{} more rows are in report.json.", grid.rows.len() - MOST_ROWS));
        }
    }

    fn folded(&mut self, title: &str, grid: &Grid) {
        if grid.rows.is_empty() {
            return;
        }
        self.put(&format!("<details><summary>{} ({})</summary>\n", escaped(title), grid.rows.len()));
        self.table(grid, title);
        self.put("</details>\n");
    }
}

/// The paper's statements, each a verdict that opens to its evidence.
fn statements(page: &mut Page, sections: &[Section]) {
    if sections.is_empty() {
        return;
    }
    page.put(&format!("<section id=\"statements\">\n<h2>{}</h2>\n", markdown::STATEMENTS));
    for section in sections {
        page.put(&format!(
            "<details class=\"statement\"><summary><b>{}</b> <span class=\"source\">{}</span><span class=\"verdict\">{}</span></summary>\n",
            escaped(section.title),
            escaped(section.source),
            escaped(&section.verdict)
        ));
        section.notes.iter().for_each(|n| page.note(n));
        page.figures(&section.figures);
        for (title, grid) in &section.grids {
            page.put(&format!("<h3>{}</h3>\n", escaped(title)));
            page.table(grid, title);
        }
        page.put("</details>\n");
    }
    page.put("</section>\n");
}

fn warnings(page: &mut Page, report: &Report) {
    page.put("<section><h2>Warnings</h2>\n");
    page.note(&format!("Texts left out: {}.", format::count(report.skipped())));
    if let Some(note) = report.tables.get(LAYER_NOTE).and_then(Json::as_str) {
        page.note(&format!("Layer: {note}."));
    }
    if report.warnings.is_empty() {
        page.note("None beside those at single figures.");
    } else {
        page.put("<ul class=\"warnings\">\n");
        for warning in &report.warnings {
            page.put(&format!("<li>{}</li>\n", escaped(warning)));
        }
        page.put("</ul>\n");
    }
    page.put("</section>\n");
}

fn details(page: &mut Page, report: &Report, index: &Index<'_>, verdicts: &[super::Verdict]) {
    page.put("<section><h2>Details</h2>\n");
    page.note(
        "Figures in parentheses did not pass their gate: they are shown so that nothing is hidden, and must \
         not be quoted.",
    );
    for &value in &index.values {
        let title = format!("“{}”, with and without length control", shortened(value, 60));
        page.folded(&title, &ranking::details(index, verdicts, value));
    }
    page.folded(
        "Figures that must not be quoted",
        &tables::estimates(report, &|e| !e.reportable && e.estimate.is_some()),
    );
    page.folded("What could not be computed", &tables::estimates(report, &|e| e.estimate.is_none()));
    page.folded("Every estimate", &tables::estimates(report, &|_| true));
    page.folded("Constitutions", &tables::constitutions(report));
    let drawn = [LAYER_ALIGNMENTS, LAYER_NOTE, LAYER_PROFILE, PLACEBO, arm::TABLE];
    for (name, table) in report
        .tables
        .iter()
        .filter(|(name, _)| ![&drawn[..], sections::DRAWN].concat().contains(&name.as_str()))
    {
        let title = if name == SKIPPED { "Texts left out" } else { name };
        json_table(page, title, table);
    }
    page.put("</section>\n");
}

/// A table of unknown make: its JSON, a line a row.
fn json_table(page: &mut Page, title: &str, table: &Json) {
    let rows: Vec<String> = match table {
        Json::Array(rows) => rows.iter().map(Json::to_string).collect(),
        Json::Object(map) => map.iter().map(|(k, v)| format!("{k}: {v}")).collect(),
        other => vec![other.to_string()],
    };
    if rows.is_empty() {
        return;
    }
    page.put(&format!(
        "<details><summary>{} ({})</summary>\n<ul class=\"warnings\">\n",
        escaped(title),
        rows.len()
    ));
    const MOST: usize = 200;
    let mut list = String::new();
    for row in rows.iter().take(MOST) {
        // Writing to a string cannot fail.
        let _ = writeln!(list, "<li>{}</li>", escaped(&shortened(row, 400)));
    }
    page.put(&list);
    page.put("</ul>\n");
    if rows.len() > MOST {
        page.note(&format!("{} more are in report.json.", rows.len() - MOST));
    }
    page.put("</details>\n");
}
