//! A plot of named points with intervals in both directions; the quadrant where both values rise is shaded.

use super::plot::{ticks_below, ticks_left};
use super::svg::{Anchor, Scale, Svg};
use super::text::shortened;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 400.0;

/// A point, with figure and interval along both axes.
#[derive(Debug, Clone)]
pub struct Mark {
    /// Name of the point, used as its label.
    pub name: String,
    /// Class: `up`, `down`, `none` or `placebo`.
    pub class: &'static str,
    /// Figure and interval along x.
    pub x: (f64, f64, f64),
    /// Figure and interval along y.
    pub y: (f64, f64, f64),
}

/// The plot.
#[derive(Debug, Clone)]
pub struct Plane<'a> {
    /// Description for screen readers.
    pub label: &'a str,
    /// Titles of the axes.
    pub axes: (&'a str, &'a str),
    /// The points.
    pub marks: Vec<Mark>,
}

fn span(ends: impl Iterator<Item = f64>) -> (f64, f64) {
    let (lo, hi) =
        ends.filter(|v| v.is_finite()).fold((0.0f64, 0.0f64), |(lo, hi), v| (lo.min(v), hi.max(v)));
    let margin = 0.06 * (hi - lo);
    (lo - margin, hi + margin)
}

impl Plane<'_> {
    /// The image; `None` without a point, or if all values are zero.
    pub fn draw(&self) -> Option<String> {
        let (left, right, top, bottom) = (64.0, 466.0, 26.0, HEIGHT - 46.0);
        let xs = span(self.marks.iter().flat_map(|m| [m.x.0, m.x.1, m.x.2]));
        let ys = span(self.marks.iter().flat_map(|m| [m.y.0, m.y.1, m.y.2]));
        if self.marks.is_empty() || xs.0 >= xs.1 || ys.0 >= ys.1 {
            return None;
        }
        let (x, y) = (Scale::linear(xs, (left, right)), Scale::linear(ys, (bottom, top)));
        let mut svg = Svg::new(WIDTH, HEIGHT);
        svg.area("geometry-band", (x.at(0.0), y.at(0.0)), (right, top));
        ticks_below(&mut svg, &x, (top, bottom));
        ticks_left(&mut svg, &y, (left, right));
        svg.upright("zero", &[x.at(0.0)], (top, bottom));
        svg.level("zero", &[y.at(0.0)], (left, right));
        svg.text("title", Anchor::Middle, ((left + right) / 2.0, bottom + 38.0), self.axes.0);
        svg.text("title", Anchor::Start, (4.0, 14.0), self.axes.1);
        // Labels that would overlap are shown only in the points' tooltips.
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for mark in &self.marks {
            let (px, py) = (x.at(mark.x.0), y.at(mark.y.0));
            let title = format!("{}: {:.3}, {:.3}", mark.name, mark.x.0, mark.y.0);
            let class = format!("mark {}", mark.class);
            let free = taken.iter().all(|t| (t.0 - px).abs() > 90.0 || (t.1 - py).abs() > 13.0);
            svg.titled(&title, |svg| {
                svg.level(&class, &[py], (x.at(mark.x.1), x.at(mark.x.2)));
                svg.upright(&class, &[px], (y.at(mark.y.1), y.at(mark.y.2)));
                svg.dot(&class, (px, py), 4.0);
                if free && mark.class != "placebo" {
                    let end = px > right - 90.0;
                    let (anchor, dx) = if end { (Anchor::End, -8.0) } else { (Anchor::Start, 8.0) };
                    svg.text("name", anchor, (px + dx, py - 6.0), &shortened(&mark.name, 16));
                }
            });
            if free {
                taken.push((px, py));
            }
        }
        Some(svg.finish(self.label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_drawn_and_nothing_is_no_plot() {
        let mark = |x: f64, y: f64| Mark {
            name: "a<b".into(),
            class: "up",
            x: (x, x - 0.1, x + 0.1),
            y: (y, y - 0.1, y + 0.1),
        };
        let plane = Plane { label: "l", axes: ("x", "y"), marks: vec![mark(1.0, -1.0), mark(-0.5, 0.4)] };
        let svg = plane.draw().expect("a plot");
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("a&lt;b") && !svg.contains("a<b"));
        assert!(Plane { marks: vec![], ..plane.clone() }.draw().is_none());
    }
}
