//! The SVG elements that the plots need; all text is escaped, all numbers are finite and short.

use std::fmt::Write;

use super::text::html;

/// An SVG image under construction. Coordinates are in its own units; it scales to the page's width.
pub struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// The part of a text that is placed at its point.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    /// Beginning.
    Start,
    /// Middle.
    Middle,
    /// End.
    End,
}

impl Anchor {
    /// The attribute; `start` is the default and needs none.
    fn attribute(self) -> &'static str {
        match self {
            Self::Start => "",
            Self::Middle => r#" text-anchor="middle""#,
            Self::End => r#" text-anchor="end""#,
        }
    }
}

/// Formats a coordinate with one decimal; non-finite values become 0.
fn at(v: f64) -> f64 {
    if v.is_finite() { (v * 10.0).round() / 10.0 } else { 0.0 }
}

impl Svg {
    /// An empty image.
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    fn push(&mut self, args: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.body.write_fmt(args);
    }

    /// A line.
    pub fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.push(format_args!(
            r#"<line class="{class}" x1="{}" y1="{}" x2="{}" y2="{}"/>"#,
            at(x1),
            at(y1),
            at(x2),
            at(y2)
        ));
    }

    /// Vertical lines between two heights, in one element.
    pub fn upright(&mut self, class: &str, places: &[f64], (y1, y2): (f64, f64)) {
        self.straight(class, places, |x| format!("M{} {}V{}", at(x), at(y1), at(y2)));
    }

    /// Horizontal lines between two x positions, in one element.
    pub fn level(&mut self, class: &str, heights: &[f64], (x1, x2): (f64, f64)) {
        self.straight(class, heights, |y| format!("M{} {}H{}", at(x1), at(y), at(x2)));
    }

    fn straight(&mut self, class: &str, places: &[f64], one: impl Fn(f64) -> String) {
        if !places.is_empty() {
            let d: String = places.iter().map(|p| one(*p)).collect();
            self.push(format_args!(r#"<path class="{class}" d="{d}"/>"#));
        }
    }

    /// A rectangle between two corners.
    pub fn area(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let (x, y) = (x1.min(x2), y1.min(y2));
        self.push(format_args!(
            r#"<rect class="{class}" x="{}" y="{}" width="{}" height="{}"/>"#,
            at(x),
            at(y),
            at((x2 - x1).abs()),
            at((y2 - y1).abs())
        ));
    }

    /// A dot.
    pub fn dot(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        self.push(format_args!(
            r#"<circle class="{class}" cx="{}" cy="{}" r="{}"/>"#,
            at(x),
            at(y),
            at(radius)
        ));
    }

    /// Dots of one class, in one element: zero-length strokes with round caps, so that the class's stroke width sets
    /// their size.
    pub fn dots(&mut self, class: &str, points: &[(f64, f64)]) {
        let d: String = points.iter().map(|&(x, y)| format!("M{} {}h0", at(x), at(y))).collect();
        self.push(format_args!(r#"<path class="dots {class}" d="{d}"/>"#));
    }

    /// A line through points, or, closed, the area they enclose.
    pub fn path(&mut self, class: &str, points: &[(f64, f64)], closed: bool) {
        let mut d = String::new();
        for (i, &(x, y)) in points.iter().enumerate() {
            let _ = write!(d, "{}{} {}", if i == 0 { "M" } else { "L" }, at(x), at(y));
        }
        if closed {
            d.push('Z');
        }
        self.push(format_args!(r#"<path class="{class}" d="{d}"/>"#));
    }

    /// A text; nothing if it is empty.
    pub fn text(&mut self, class: &str, anchor: Anchor, (x, y): (f64, f64), text: &str) {
        if !text.is_empty() {
            let (anchor, text) = (anchor.attribute(), html(text));
            self.push(format_args!(
                r#"<text class="{class}"{anchor} x="{}" y="{}">{text}</text>"#,
                at(x),
                at(y)
            ));
        }
    }

    /// Texts of one class and anchor.
    pub fn texts(&mut self, class: &str, anchor: Anchor, all: &[((f64, f64), String)]) {
        self.push(format_args!(r#"<g class="{class}"{}>"#, anchor.attribute()));
        for ((x, y), text) in all {
            self.push(format_args!(r#"<text x="{}" y="{}">{}</text>"#, at(*x), at(*y), html(text)));
        }
        self.push(format_args!("</g>"));
    }

    /// Marks with a shared tooltip; none if it is empty.
    pub fn titled(&mut self, title: &str, marks: impl FnOnce(&mut Self)) {
        if title.is_empty() {
            return marks(self);
        }
        self.push(format_args!("<g><title>{}</title>", html(title)));
        marks(self);
        self.push(format_args!("</g>"));
    }

    /// The finished element, with a description for screen readers.
    pub fn finish(self, label: &str) -> String {
        format!(
            r#"<svg viewBox="0 0 {} {}" role="img" aria-label="{}" xmlns="http://www.w3.org/2000/svg">{}</svg>"#,
            at(self.width),
            at(self.height),
            html(label),
            self.body
        )
    }
}

/// Maps numbers to a range of image coordinates.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    domain: (f64, f64),
    range: (f64, f64),
    log2: bool,
}

impl Scale {
    /// Linear. An empty domain is widened.
    pub fn linear(domain: (f64, f64), range: (f64, f64)) -> Self {
        let (lo, hi) = domain;
        let domain = if !(lo.is_finite() && hi.is_finite()) {
            (-1.0, 1.0)
        } else if hi > lo {
            (lo, hi)
        } else {
            (lo - 0.5 * lo.abs().max(1.0), lo + 0.5 * lo.abs().max(1.0))
        };
        Self { domain, range, log2: false }
    }

    /// Logarithmic, for positive numbers.
    pub fn log2((lo, hi): (f64, f64), range: (f64, f64)) -> Self {
        let lo = if lo > 0.0 && lo.is_finite() { lo } else { 1.0 };
        let hi = if hi > lo && hi.is_finite() { hi } else { 2.0 * lo };
        Self { domain: (lo.log2(), hi.log2()), range, log2: true }
    }

    /// Position of a number, clamped to the range.
    pub fn at(&self, v: f64) -> f64 {
        let v = if self.log2 { v.max(f64::MIN_POSITIVE).log2() } else { v };
        let share = ((v - self.domain.0) / (self.domain.1 - self.domain.0)).clamp(0.0, 1.0);
        self.range.0 + share * (self.range.1 - self.range.0)
    }

    /// Whether a number is inside the domain.
    pub fn holds(&self, v: f64) -> bool {
        let v = if self.log2 { v.log2() } else { v };
        (self.domain.0..=self.domain.1).contains(&v)
    }

    /// About five round numbers inside the domain, with their labels.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let (lo, hi) = self.domain;
        if self.log2 {
            let step = ((hi - lo) / 6.0).ceil().max(1.0);
            let first = lo.ceil() as i64;
            return (0..=((hi - first as f64) / step).max(0.0) as i64)
                .map(|i| 2f64.powf(first as f64 + i as f64 * step))
                .map(|v| (v, format!("{v:.0}")))
                .collect();
        }
        let raw = (hi - lo) / 5.0;
        let power = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= raw).unwrap_or(raw);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let (first, last) = ((lo / step).ceil() as i64, (hi / step + 1e-9).floor() as i64);
        (first..=last)
            .map(|i| i as f64 * step)
            .map(|v| {
                let text = if decimals > 5 { format!("{v:.0e}") } else { format!("{v:.decimals$}") };
                (v, if v == 0.0 { "0".to_owned() } else { text.replace('-', "−") })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let texts = |s: Scale| s.ticks().into_iter().map(|t| t.1).collect::<Vec<_>>();
        assert_eq!(texts(Scale::linear((-1.0, 1.0), (0.0, 1.0))), ["−1.0", "−0.5", "0", "0.5", "1.0"]);
        assert_eq!(texts(Scale::log2((1.0, 8.0), (0.0, 1.0))), ["1", "2", "4", "8"]);
        assert!(!Scale::linear((f64::NAN, 1.0), (0.0, 1.0)).ticks().is_empty());
    }

    #[test]
    fn hostile_numbers_and_text_stay_harmless() {
        let mut svg = Svg::new(10.0, 10.0);
        svg.dot("a", (f64::NAN, f64::INFINITY), 1.0);
        svg.text("a", Anchor::Start, (0.0, 0.0), "<script>");
        let text = svg.finish("\"><script>");
        assert!(!text.contains("<script") && !text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
