//! Selection and contents of a report's plots.

use serde_json::Value as Json;

use super::overall::ValueSummary;
use super::ranking::{against_arm, ordered};
use super::{LAYER_ALIGNMENTS, LAYER_PROFILE, Report};
use crate::document::plot::{Band, Chart, Figure, Forest, Row, Series};
use crate::theory::reading::index::{Index, Named};
use crate::theory::reading::outcome::{Outcome, Z95};
use crate::theory::reading::quote::{number, percent, quotable, with_interval};
use crate::theory::reading::verdict::{Tables, Verdict};
use crate::theory::{Control, Estimate, Quantity, concentration};

/// Maximum number of curves in the plot of alignment by layer.
const LAYER_CURVES: usize = 5;

fn class(named: &Named<'_>, verdict: Option<&Verdict>) -> &'static str {
    if named.is_placebo() {
        return "placebo";
    }
    match verdict.map(|v| v.verdict) {
        Some(Outcome::Improves) => "up",
        Some(Outcome::Degrades) => "down",
        _ => "none",
    }
}

fn triple(e: &Estimate) -> Option<(f64, f64, f64)> {
    let value = e.estimate.filter(|_| quotable(e))?;
    Some((value, e.lo.unwrap_or(value), e.hi.unwrap_or(value)))
}

const MARKS: [(&str, &str); 4] =
    [("u", "improves"), ("d", "degrades"), ("o", "no verdict"), ("p", "placebo")];

/// Forest plots of a value: alignment, slope.
pub fn of_value<'a>(
    index: &Index<'a>,
    verdicts: &[Verdict],
    summary: &ValueSummary,
    value: &'a str,
) -> Vec<Figure> {
    let named = ordered(index, verdicts, value);
    let arm = against_arm(verdicts, value);
    let tables = Tables::new(index);
    let arm_band = tables.arm(value).filter(|_| arm).and_then(|a| Some((a.mean, a.band?)));
    let rows = |quantity: Quantity| -> Vec<Row> {
        named
            .iter()
            .filter_map(|c| {
                let estimate = index.cell(quantity, value, c.name, Control::None)?;
                let verdict = verdicts.iter().find(|v| v.value == value && v.constitution == c.name);
                let label = verdict.map(Verdict::label).unwrap_or_default();
                Some(Row {
                    name: c.name.to_owned(),
                    class: class(c, verdict),
                    figure: triple(estimate),
                    title: match triple(estimate) {
                        Some(_) => format!("{}: {}; {label}", c.name, with_interval(estimate)),
                        None => format!("{}: not identifiable; {label}", c.name),
                    },
                })
            })
            .collect()
    };
    let mut out = Vec::new();
    let geometry =
        summary.ordinary_below.map(|b| Band { class: "geometry-band", range: (-b.min(1.0), b.min(1.0)) });
    // A placebo with tiny rewards may have any cosine: a band of placebo cosines would hide the effects of
    // constitutions.
    let (quantity, what) = match arm {
        true => (Quantity::OwnAlignment, "what each constitution adds to the placebo arm"),
        false => (Quantity::Alignment, "each constitution's direction"),
    };
    let label = format!("Alignment of {what} with {value}, with 95 % intervals");
    let forest = Forest {
        label: &label,
        axis: if arm { "own ⟨v_c, v*⟩" } else { "⟨v_c, v*⟩" },
        rows: rows(quantity),
        bands: geometry.into_iter().collect(),
        reference: 0.0,
        limits: (-1.0, 1.0),
    };
    let mut keys = MARKS.to_vec();
    if forest.bands.iter().any(|b| b.class == "geometry-band") {
        keys.push(("geometry", "unrelated directions, 95 %"));
    }
    if let Some(svg) = forest.draw() {
        out.push(Figure {
            title: "Alignment of each constitution".into(),
            caption: format!("Cosine of v* and {what}, 95 % interval."),
            keys,
            svg,
        });
    }
    let label = format!("First-order gain in {value} under each constitution, with 95 % intervals");
    let mut slopes = rows(if arm { Quantity::OwnSlope } else { Quantity::EncodedSlope });
    if let Some((mean, _)) = arm_band {
        // Placebos are drawn at their positions in the arm, without an interval.
        slopes.extend(named.iter().filter(|c| c.is_placebo()).filter_map(|c| {
            let e = index.cell(Quantity::EncodedSlope, value, c.name, Control::None)?;
            let off = e.estimate? - mean;
            let title = format!("{}: {} from the mean of the placebo arm", c.name, number(off, e.se));
            Some(Row { name: c.name.to_owned(), class: "placebo", figure: Some((off, off, off)), title })
        }));
    }
    let forest = Forest {
        label: &label,
        axis: if arm {
            "slope beyond the placebo arm, units of the value × nats"
        } else {
            "encoded slope, units of the value × nats"
        },
        rows: slopes,
        bands: arm_band
            .map(|(mean, (lo, hi))| Band { class: "placebo-band", range: (lo - mean, hi - mean) })
            .into_iter()
            .collect(),
        reference: 0.0,
        limits: (f64::NEG_INFINITY, f64::INFINITY),
    };
    if let Some(svg) = forest.draw() {
        out.push(Figure {
            title: "How fast the value would at first change".into(),
            caption: "First-order gain per unit of λ that runs through the residual stream, 95 % interval."
                .into(),
            keys: if forest.bands.is_empty() {
                vec![]
            } else {
                vec![("placebo", "one more text without content, 95 %")]
            },
            svg,
        });
    }
    out
}

/// Plots about the model: ρ² by layer, and by number of components.
pub fn of_model<'a>(report: &Report, index: &Index<'a>, value: &'a str) -> Vec<Figure> {
    let mut out = Vec::new();
    out.extend(layer_profile(report, index, value));
    out.extend(layer_alignments(report, index, value));
    let points: Vec<_> = report
        .estimates
        .iter()
        .filter(|e| {
            e.quantity == Quantity::ValueConcentration
                && e.control == Control::None
                && e.value.as_deref() == Some(value)
        })
        .filter_map(|e| Some((e.k? as f64, e.estimate?, e.lo.zip(e.hi))))
        .collect();
    let d_eff = index.get(Quantity::DEff, None, None, Control::None).filter(|e| quotable(e));
    let rho2 = index.get(Quantity::Rho2, Some(value), None, Control::None).filter(|e| quotable(e));
    let label = format!("Share of {value} encoded by the leading k principal components");
    let all = rho2.and_then(|e| e.estimate);
    let chance: Vec<_> = report
        .tables
        .get(concentration::TABLE)
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter(|row| row["value"] == *value)
        .filter_map(|row| {
            let of = |key: &str| row[key].as_f64().zip(all).map(|(share, rho2)| share * rho2);
            Some((row["k"].as_f64()?, of("mean")?, of("lo").zip(of("hi"))))
        })
        .collect();
    let mut series = vec![Series { name: String::new(), class: "up", points }];
    if !chance.is_empty() {
        series[0].name = "the value".into();
        series.push(Series { name: "random directions".into(), class: "none", points: chance });
    }
    let chart = Chart {
        label: &label,
        axes: ("k, leading principal components", "ρ²_k"),
        log2: true,
        series,
        across: all.map(|r| (r, format!("ρ² with all: {}", percent(r)))).into_iter().collect(),
        upright: d_eff
            .and_then(|e| e.estimate)
            .map(|d| (d, format!("d_eff = {}", number(d, None))))
            .into_iter()
            .collect(),
        ..Chart::default()
    };
    if let Some(svg) = chart.draw() {
        out.push(Figure {
            title: "Where the value sits".into(),
            caption: "ρ² by the leading components alone, on left-out prompts, with its 95 % interval; random directions \
                      (95 % of them) on the scale of the same ρ²."
                .into(),
            keys: vec![],
            svg,
        });
    }
    out
}

fn layer_profile(report: &Report, index: &Index<'_>, value: &str) -> Option<Figure> {
    let rows = report.tables.get(LAYER_PROFILE)?.as_array()?;
    let field = |row: &Json, key: &str| row.get(key).and_then(Json::as_f64);
    let points: Vec<_> = rows
        .iter()
        .filter(|row| row.get("value").and_then(Json::as_str) == Some(value))
        .filter_map(|row| {
            let rho2 = field(row, "rho2")?;
            let band = field(row, "se").map(|se| (rho2 - Z95 * se, rho2 + Z95 * se));
            Some((field(row, "layer")?, rho2, band))
        })
        .collect();
    let value = index.values.iter().copied().find(|v| *v == value)?;
    let chosen = index.get(Quantity::Rho2, Some(value), None, Control::None).and_then(|e| e.layer);
    let label = format!("Encoding quality of {value} by layer");
    let chart = Chart {
        label: &label,
        axes: ("layer", "ρ²"),
        series: vec![Series { name: String::new(), class: "up", points }],
        upright: chosen.map(|l| (l.0 as f64, format!("reported: {l}"))).into_iter().collect(),
        ..Chart::default()
    };
    Some(Figure {
        title: "Encoding by layer".into(),
        caption: "Each half of the prompts fitted by itself; a half chooses the layer for the other. Layer 0, where it was \
                  captured, is the token embeddings: the text, not the model. The band is the 95 % interval."
            .into(),
        keys: vec![],
        svg: chart.draw()?,
    })
}

/// Alignment by layer, for the constitutions with the most significant slopes.
fn layer_alignments(report: &Report, index: &Index<'_>, value: &str) -> Option<Figure> {
    let rows = report.tables.get(LAYER_ALIGNMENTS)?.as_array()?;
    let value = index.values.iter().copied().find(|v| *v == value)?;
    let z =
        |c: &Named<'_>| index.cell(Quantity::EncodedSlope, value, c.name, Control::None).and_then(|e| e.z);
    let mut named: Vec<&Named<'_>> = index.constitutions.iter().filter(|c| z(c).is_some()).collect();
    named.sort_by(|a, b| z(b).unwrap_or(0.0).abs().total_cmp(&z(a).unwrap_or(0.0).abs()));
    let series: Vec<Series> = named
        .iter()
        .map(|c| Series {
            name: c.name.to_owned(),
            class: match z(c) {
                _ if c.is_placebo() => "placebo",
                Some(z) if z > 0.0 => "up",
                _ => "down",
            },
            points: rows
                .iter()
                .filter(|row| row["value"] == *value && row["constitution"] == *c.name)
                .filter_map(|row| {
                    let end = |i: usize| row["interval"].get(i).and_then(Json::as_f64);
                    Some((row["layer"].as_f64()?, row["cos"].as_f64()?, end(0).zip(end(1))))
                })
                .collect(),
        })
        .filter(|s| s.points.len() > 1)
        .take(LAYER_CURVES)
        .collect();
    let shown = series.len();
    let label = format!("Alignment of constitutions with {value} by layer");
    let chart = Chart { label: &label, axes: ("layer", "⟨v_c, v*⟩"), series, ..Chart::default() };
    Some(Figure {
        title: "Alignment by layer".into(),
        caption: format!(
            "The {} with the clearest slopes (texts without content in grey), with 95 % intervals, where identifiable; each half \
             of the prompts fitted by itself. The layer was chosen by ρ², never by this.",
            crate::theory::reading::quote::counted(shown as u64, "text")
        ),
        keys: vec![],
        svg: chart.draw()?,
    })
}

/// Position bias of the judge: mean and spread over pairs.
pub fn position_bias(index: &Index<'_>) -> Option<Figure> {
    let rows = index
        .constitutions
        .iter()
        .filter_map(|c| {
            let of = |q| index.get(q, None, Some(c.name), Control::None);
            let mean = of(Quantity::PositionBias).filter(|e| quotable(e))?.estimate?;
            let sd =
                of(Quantity::PositionBiasSd).filter(|e| quotable(e)).and_then(|e| e.estimate).unwrap_or(0.0);
            let title = format!("{}: mean {}, sd {}", c.name, number(mean, None), number(sd, None));
            let class = if c.is_placebo() { "placebo" } else { "none" };
            Some(Row { name: c.name.to_owned(), class, figure: Some((mean, mean - sd, mean + sd)), title })
        })
        .collect();
    let forest = Forest {
        label: "Position bias of the judge under each constitution, mean and one standard deviation",
        axis: "nats of log-odds for the first place",
        rows,
        bands: vec![],
        reference: 0.0,
        limits: (f64::NEG_INFINITY, f64::INFINITY),
    };
    Some(Figure {
        title: "Position bias".into(),
        caption: "Mean over pairs; the bar is one standard deviation over pairs, not an interval.".into(),
        keys: vec![],
        svg: forest.draw()?,
    })
}
