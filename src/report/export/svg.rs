//! The plots of a page as images of their own, in the colours of the page.

use crate::document::Document;
use crate::document::html::plot_style;
use crate::document::plot::Figure;
use crate::document::text::html as escaped;

/// An image that stands alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its file's name without the ending: the value, if it is of one, and the plot's title, in lower case.
    pub name: String,
    /// The SVG document; it carries its style, and its caption as a description.
    pub svg: String,
}

/// Every plot of a page, in its order. Names that are the same are numbered.
pub fn images(page: &Document) -> Vec<Image> {
    distinct(page.figures().into_iter().map(|(of, figure)| image(of, figure)).collect())
}

/// A plot as an image.
fn image(of: &str, figure: &Figure) -> Image {
    let words = format!("{of} {}", figure.title);
    let words = words.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
    let name = words.map(str::to_lowercase).collect::<Vec<_>>().join("-");
    let head = format!(
        "<title>{}</title><desc>{}</desc><style>{}svg{{background:var(--paper);font-family:sans-serif}}</style>",
        escaped(&figure.title),
        escaped(&figure.caption),
        plot_style(),
    );
    // The opening tag ends at the first `>`: its attributes are escaped.
    let at = figure.svg.find('>').map_or(0, |i| i + 1);
    let (open, rest) = figure.svg.split_at(at);
    Image { name, svg: format!("{open}{head}{rest}\n") }
}

/// Numbers those whose names are the same.
fn distinct(images: Vec<Image>) -> Vec<Image> {
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
