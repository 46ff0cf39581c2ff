//! Two kinds of plots: intervals in rows (a forest), and curves with bands. Numbers in, SVG out.

use super::svg::{Anchor, Scale, Svg};
use super::text::shortened;

/// Width of every plot in its own units, small enough for legible text on a phone.
const WIDTH: f64 = 480.0;
/// Largest number of curves for which bands are drawn; more would hide each other.
const BANDS: usize = 5;
/// x at which a forest's axis begins, right of the names.
const NAMES: f64 = 170.0;
const RIGHT: f64 = 470.0;
const ROW: f64 = 21.0;

/// A plot under its title.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Title.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// Legend: CSS class and meaning of each mark and band.
    pub keys: Vec<(&'static str, &'static str)>,
    /// The image, as an `<svg>` element; its texts are escaped.
    pub svg: String,
}

/// A row of a forest.
#[derive(Debug, Clone)]
pub struct Row {
    /// Name of the row.
    pub name: String,
    /// Class of its marks: `up`, `down`, `none` or `placebo`.
    pub class: &'static str,
    /// Figure and interval; `None` if not identifiable.
    pub figure: Option<(f64, f64, f64)>,
    /// Exact figures, as a tooltip.
    pub title: String,
}

/// A band behind a forest.
#[derive(Debug, Clone, Copy)]
pub struct Band {
    /// Class: `placebo-band` or `geometry-band`.
    pub class: &'static str,
    /// Lower and upper end.
    pub range: (f64, f64),
}

/// Intervals in rows.
#[derive(Debug, Clone)]
pub struct Forest<'a> {
    /// Description for screen readers.
    pub label: &'a str,
    /// Title of the axis.
    pub axis: &'a str,
    /// Rows, from the top.
    pub rows: Vec<Row>,
    /// Bands.
    pub bands: Vec<Band>,
    /// Position of the reference line, the value of no effect.
    pub reference: f64,
    /// Bounds that the axis never exceeds.
    pub limits: (f64, f64),
}

impl Forest<'_> {
    /// The image; `None` if no row has a figure.
    pub fn draw(&self) -> Option<String> {
        let shown = || self.rows.iter().filter_map(|r| r.figure);
        shown().next()?;
        let ends = shown().flat_map(|(v, lo, hi)| [v, lo, hi]);
        let ends = ends.chain(self.bands.iter().flat_map(|b| [b.range.0, b.range.1])).chain([self.reference]);
        let (lo, hi) = ends
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)));
        let margin = 0.05 * (hi - lo);
        let domain = ((lo - margin).max(self.limits.0), (hi + margin).min(self.limits.1));
        let scale = Scale::linear(domain, (NAMES, RIGHT));
        let bottom = 8.0 + ROW * self.rows.len() as f64;
        let mut svg = Svg::new(WIDTH, bottom + 44.0);
        for band in &self.bands {
            svg.area(band.class, (scale.at(band.range.0), 4.0), (scale.at(band.range.1), bottom));
        }
        axis_below(&mut svg, &scale, bottom, self.axis);
        let zero = scale.at(self.reference);
        svg.upright("zero", &[zero], (4.0, bottom));
        for (i, row) in self.rows.iter().enumerate() {
            let y = 8.0 + ROW * (i as f64 + 0.5);
            svg.titled(&row.title, |svg| {
                svg.text("name", Anchor::End, (NAMES - 8.0, y + 4.5), &shortened(&row.name, 20));
                match row.figure {
                    Some((v, lo, hi)) => {
                        let class = format!("mark {}", row.class);
                        svg.level(&class, &[y], (scale.at(lo), scale.at(hi)));
                        svg.dot(&class, (scale.at(v), y), 4.5);
                    }
                    None => {
                        svg.text("ni", Anchor::Start, (zero + 6.0, y + 4.5), super::number::NOT_IDENTIFIABLE)
                    }
                }
            });
        }
        Some(svg.finish(self.label))
    }
}

fn axis_below(svg: &mut Svg, scale: &Scale, y: f64, title: &str) {
    let (left, right) = (scale.at(f64::NEG_INFINITY), scale.at(f64::INFINITY));
    svg.level("axis", &[y], (left, right));
    let places = ticks_below(svg, scale, (4.0, y));
    svg.upright("axis", &places, (y, y + 4.0));
    svg.text("title", Anchor::Middle, ((left + right) / 2.0, y + 36.0), title);
}

/// Vertical grid lines across a plot, with numbers below. Returns their positions.
pub(super) fn ticks_below(svg: &mut Svg, scale: &Scale, (top, bottom): (f64, f64)) -> Vec<f64> {
    let (places, texts): (Vec<f64>, Vec<_>) = scale
        .ticks()
        .into_iter()
        .map(|(v, text)| (scale.at(v), ((scale.at(v), bottom + 18.0), text)))
        .unzip();
    svg.upright("grid", &places, (top, bottom));
    svg.texts("tick", Anchor::Middle, &texts);
    places
}

/// Horizontal grid lines across a plot, with numbers at its left edge.
pub(super) fn ticks_left(svg: &mut Svg, scale: &Scale, (left, right): (f64, f64)) {
    let (heights, texts): (Vec<f64>, Vec<_>) = scale
        .ticks()
        .into_iter()
        .map(|(v, text)| (scale.at(v), ((left - 6.0, scale.at(v) + 4.0), text)))
        .unzip();
    svg.level("grid", &heights, (left, right));
    svg.texts("tick", Anchor::End, &texts);
}

/// x, y and the ends of y's interval.
pub type Point = (f64, f64, Option<(f64, f64)>);

/// A curve.
#[derive(Debug, Clone)]
pub struct Series {
    /// Name, written at the right end; empty for none.
    pub name: String,
    /// Class: `up`, `down`, `none`, `placebo`.
    pub class: &'static str,
    /// Points, in any order.
    pub points: Vec<Point>,
}

/// Curves with bands.
#[derive(Debug, Clone, Default)]
pub struct Chart<'a> {
    /// Description for screen readers.
    pub label: &'a str,
    /// Titles of the axes.
    pub axes: (&'a str, &'a str),
    /// Whether the x axis is logarithmic with base 2.
    pub log2: bool,
    /// The curves.
    pub series: Vec<Series>,
    /// Horizontal lines: y and label.
    pub across: Vec<(f64, String)>,
    /// Vertical lines: x and label.
    pub upright: Vec<(f64, String)>,
    /// Whether y = x is drawn.
    pub diagonal: bool,
}

impl Chart<'_> {
    /// The image; `None` if no curve has two points.
    pub fn draw(&self) -> Option<String> {
        let series: Vec<Series> = self.series.iter().map(tidy).filter(|s| s.points.len() > 1).collect();
        let points = || series.iter().flat_map(|s| s.points.iter().copied());
        points().next()?;
        let span = |all: Vec<f64>| {
            all.into_iter()
                .filter(|v| v.is_finite())
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)))
        };
        let named = series.iter().any(|s| !s.name.is_empty());
        let (left, right) = (56.0, if named { 352.0 } else { RIGHT });
        let (top, bottom) = (22.0, 236.0);
        let xs = span(points().map(|p| p.0).collect());
        let x = if self.log2 { Scale::log2(xs, (left, right)) } else { Scale::linear(xs, (left, right)) };
        let mut ys: Vec<f64> =
            points().flat_map(|p| [p.1, p.2.map_or(p.1, |b| b.0), p.2.map_or(p.1, |b| b.1)]).collect();
        ys.extend(self.across.iter().map(|a| a.0));
        ys.push(0.0);
        let (lo, hi) = span(ys);
        let margin = 0.05 * (hi - lo);
        let y = Scale::linear((lo - margin, hi + margin), (bottom, top));
        let mut svg = Svg::new(WIDTH, bottom + 44.0);
        axis_below(&mut svg, &x, bottom, self.axes.0);
        ticks_left(&mut svg, &y, (left, right));
        svg.text("title", Anchor::Start, (2.0, 13.0), self.axes.1);
        svg.level("zero", &[y.at(0.0)], (left, right));
        for (v, name) in &self.across {
            svg.level("mean", &[y.at(*v)], (left, right));
            svg.text("tick", Anchor::Start, (left + 6.0, y.at(*v) - 5.0), name);
        }
        for (v, name) in self.upright.iter().filter(|(v, _)| x.holds(*v)) {
            svg.upright("mean", &[x.at(*v)], (top, bottom));
            let place = x.at(*v);
            let anchor = match place {
                p if p < left + 48.0 => Anchor::Start,
                p if p > right - 48.0 => Anchor::End,
                _ => Anchor::Middle,
            };
            svg.text("tick", anchor, (place, top - 6.0), name);
        }
        if self.diagonal {
            let (from, to) = (xs.0.max(lo - margin), xs.1.min(hi + margin));
            if from < to {
                svg.line("mean", (x.at(from), y.at(from)), (x.at(to), y.at(to)));
            }
        }
        let banded = series.iter().filter(|s| s.points.iter().any(|p| p.2.is_some())).count();
        for s in &series {
            let band: Vec<(f64, f64, f64)> =
                s.points.iter().filter_map(|p| p.2.map(|(lo, hi)| (p.0, lo, hi))).collect();
            if banded <= BANDS && band.len() > 1 {
                let mut outline: Vec<(f64, f64)> = band.iter().map(|b| (x.at(b.0), y.at(b.2))).collect();
                outline.extend(band.iter().rev().map(|b| (x.at(b.0), y.at(b.1))));
                svg.path(&format!("band {}", s.class), &outline, true);
            }
        }
        for s in &series {
            let line: Vec<(f64, f64)> = s.points.iter().map(|p| (x.at(p.0), y.at(p.1))).collect();
            svg.titled(&s.name, |svg| {
                svg.path(&format!("curve {}", s.class), &line, false);
                svg.dots(s.class, &line);
            });
        }
        let ends: Vec<f64> = series.iter().filter_map(|s| s.points.last().map(|p| y.at(p.1))).collect();
        if named {
            let places = series.iter().zip(spread(&ends, 14.0));
            let names: Vec<_> =
                places.map(|(s, y)| ((right + 8.0, y + 4.0), shortened(&s.name, 17))).collect();
            svg.texts("name", Anchor::Start, &names);
        }
        Some(svg.finish(self.label))
    }
}

/// Finite points, from left to right.
fn tidy(series: &Series) -> Series {
    let mut points: Vec<_> =
        series.points.iter().copied().filter(|p| p.0.is_finite() && p.1.is_finite()).collect();
    for p in &mut points {
        p.2 = p.2.filter(|(lo, hi)| lo.is_finite() && hi.is_finite());
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    Series { points, ..series.clone() }
}

/// Heights for labels near `wanted`, at least `gap` apart.
fn spread(wanted: &[f64], gap: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let mut out = wanted.to_vec();
    // Push labels down, then move the whole stack up by half of the displacement.
    let mut last = f64::NEG_INFINITY;
    let mut pushed = 0.0f64;
    for &i in &order {
        let place = wanted[i].max(last + gap);
        pushed = pushed.max(place - wanted[i]);
        out[i] = place;
        last = place;
    }
    out.iter().map(|y| y - pushed / 2.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_distance() {
        let placed = spread(&[10.0, 11.0, 50.0], 14.0);
        assert!(placed[1] - placed[0] >= 14.0 && placed[2] - placed[1] >= 14.0, "{placed:?}");
    }

    #[test]
    fn nothing_to_draw_is_no_plot() {
        let forest = Forest {
            label: "a",
            axis: "b",
            rows: vec![Row { name: "c".into(), class: "none", figure: None, title: String::new() }],
            bands: vec![],
            reference: 0.0,
            limits: (-1.0, 1.0),
        };
        assert_eq!(forest.draw(), None);
        let points = vec![(1.0, f64::NAN, None), (2.0, 1.0, None)];
        let series = vec![Series { name: String::new(), class: "none", points }];
        let chart = Chart { label: "a", axes: ("x", "y"), series, ..Chart::default() };
        assert_eq!(chart.draw(), None);
    }
}
