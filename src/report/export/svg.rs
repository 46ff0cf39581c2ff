//! The plots of a report as images of their own, in the colours of the page.

use crate::report::figures::{Figure, of_model, of_value, position_bias};
use crate::report::overall::summaries;
use crate::report::rows::Index;
use crate::report::text::html as escaped;
use crate::report::verdict::verdicts_of;
use crate::report::{Report, html, sections};

/// An image that stands alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its file's name without the ending: the value, if it is of one, and the plot's title, in lower case.
    pub name: String,
    /// The SVG document; it carries its style, and its caption as a description.
    pub svg: String,
}

/// Every plot of a report in the order of the page.
pub fn to_svgs(report: &Report) -> Vec<Image> {
    let index = Index::new(report);
    let verdicts = verdicts_of(report, &index);
    let summaries = summaries(&index);
    let mut out = Vec::new();
    for (&value, summary) in index.values.iter().zip(&summaries) {
        let own = of_value(report, &index, &verdicts, summary, value);
        out.extend(own.iter().chain(&of_model(report, &index, value)).map(|f| image(value, f)));
    }
    for section in sections::all(report, &index) {
        out.extend(section.figures.iter().map(|f| image("", f)));
    }
    out.extend(position_bias(&index).iter().map(|f| image("", f)));
    distinct(out)
}

/// A plot as an image.
pub(in crate::report) fn image(of: &str, figure: &Figure) -> Image {
    let words = format!("{of} {}", figure.title);
    let words = words.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
    let name = words.map(str::to_lowercase).collect::<Vec<_>>().join("-");
    let head = format!(
        "<title>{}</title><desc>{}</desc><style>{}svg{{background:var(--paper);font-family:sans-serif}}</style>",
        escaped(&figure.title),
        escaped(&figure.caption),
        html::plot_style(),
    );
    // The opening tag ends at the first `>`: its attributes are escaped.
    let at = figure.svg.find('>').map_or(0, |i| i + 1);
    let (open, rest) = figure.svg.split_at(at);
    Image { name, svg: format!("{open}{head}{rest}\n") }
}

/// Numbers those whose names are the same.
pub(in crate::report) fn distinct(images: Vec<Image>) -> Vec<Image> {
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    let number = |mut image: Image| {
        let times = seen.entry(image.name.clone()).or_default();
        *times += 1;
        if *times > 1 {
            image.name += &format!("-{times}");
        }
        image
    };
    images.into_iter().map(number).collect()
}
