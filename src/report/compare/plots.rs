//! Plots of a comparison: changes with model size, with bits per weight, and with the share of value-relevant text.

use super::{Along, Comparison, Ladder, Series as Over};
use crate::document::plot::{Chart, Figure, Point, Series};
use crate::theory::reading::quote::quotable;
use crate::theory::{Control, Estimate, Quantity};

/// Maximum number of constitutions in a plot, few enough for visible intervals.
const CURVES: usize = 4;

fn figure(title: &str, caption: &str, svg: Option<String>) -> Option<Figure> {
    Some(Figure { title: title.into(), caption: caption.into(), keys: Vec::new(), svg: svg? })
}

/// The plots of a value.
pub(super) fn of_value(comparison: &Comparison, value: &str) -> Vec<Figure> {
    scaling(comparison, value).into_iter().chain(dilution(comparison, value)).collect()
}

/// Caption text on bands, for figures over runs.
const BAND: &str = "Figures that may be quoted, with 95 % intervals; beside a one-sided estimate the band ends at its bound and at the estimate";

/// Reportable figures at the runs' x.
fn points(estimates: &[Option<Estimate>], x: &[Option<f64>]) -> Vec<Point> {
    let of = |(e, x): (&Option<Estimate>, &Option<f64>)| {
        let e = e.as_ref().filter(|e| quotable(e))?;
        let value = e.estimate?;
        let ends = (e.lo.is_some() || e.hi.is_some()).then(|| (e.lo.unwrap_or(value), e.hi.unwrap_or(value)));
        Some(((*x)?, value, ends))
    };
    estimates.iter().zip(x).filter_map(of).collect()
}

/// Series of a value without the placebo arm: at most four, ranked by `far` of the mean over runs.
fn largest<'c>(
    comparison: &'c Comparison,
    quantity: Quantity,
    value: &str,
    far: fn(f64) -> f64,
) -> Vec<&'c Over> {
    let mean = |s: &Over| {
        let all: Vec<f64> =
            s.estimates.iter().flatten().filter(|e| quotable(e)).filter_map(|e| e.estimate).collect();
        if all.is_empty() {
            return f64::NEG_INFINITY;
        }
        all.iter().map(|v| far(*v)).sum::<f64>() / all.len() as f64
    };
    let placebo = |name: &String| {
        let mut cards = comparison.runs.iter().flat_map(|r| &r.report.constitutions);
        cards.any(|card| card.name == *name && card.is_placebo())
    };
    let own = |s: &&Over| {
        s.quantity == quantity
            && s.control == Control::None
            && s.value.as_deref() == Some(value)
            && !s.constitution.as_ref().is_some_and(placebo)
    };
    let mut series: Vec<&Over> = comparison.series.iter().filter(own).collect();
    series.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
    series.truncate(CURVES);
    series
}

/// ρ, alignment and judge accuracy against log₁₀(parameters).
fn scaling(comparison: &Comparison, value: &str) -> Vec<Figure> {
    let x: Vec<Option<f64>> =
        comparison.runs.iter().map(|r| r.parameters().map(|p| (p as f64).log10())).collect();
    let known = || x.iter().flatten();
    if known().all(|size| Some(size) == known().next()) {
        return Vec::new();
    }
    let own = |quantity: Quantity| match quantity {
        Quantity::JudgeAccuracy => largest(comparison, quantity, value, |share| (share - 0.5).abs()),
        _ => largest(comparison, quantity, value, f64::abs),
    };
    let draw = |quantity: Quantity, title: &str, axis: &str| {
        let mut series = Vec::new();
        for over in own(quantity) {
            let points = points(&over.estimates, &x);
            let ends = points
                .iter()
                .map(|p| p.0)
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), x| (lo.min(x), hi.max(x)));
            series.push(Series { name: over.constitution.clone().unwrap_or_default(), class: "up", points });
            if let Some(line) = &over.line {
                let at = |x: f64| (x, line.at_billion + line.slope * (x - 9.0), None);
                series.push(Series {
                    name: String::new(),
                    class: "none",
                    points: vec![at(ends.0), at(ends.1)],
                });
            }
        }
        let label = format!("{title} of {value} against the number of parameters");
        let chart = Chart {
            label: &label,
            axes: ("log₁₀ of the number of parameters", axis),
            series,
            ..Chart::default()
        };
        figure(
            title,
            &format!(
                "{BAND}; grey: the fitted line, where there are three sizes. Its slope and interval stand in the table, with every \
                 constitution."
            ),
            chart.draw(),
        )
    };
    [
        draw(Quantity::Rho, "Encoding quality and size", "ρ"),
        // With a placebo arm, show what constitutions add to the judge's own direction.
        match comparison.series.iter().any(|s| s.quantity == Quantity::OwnAlignment) {
            true => draw(Quantity::OwnAlignment, "Own alignment and size", "own ⟨v_c, v*⟩"),
            false => draw(Quantity::Alignment, "Alignment and size", "⟨v_c, v*⟩"),
        },
        draw(Quantity::JudgeAccuracy, "The judge and size", "share judged as labelled"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Plots by bits per weight.
pub(super) fn of_bits(ladder: &Ladder, values: &[String]) -> Vec<Figure> {
    let x: Vec<Option<f64>> = ladder.rungs.iter().map(|r| Some(r.bits)).collect();
    let points = |along: &Along| points(&along.estimates, &x);
    let draw = |title: &str, axis: &str, own: Vec<&Along>, by_value: bool| {
        let series = own
            .into_iter()
            .map(|a| Series {
                name: if by_value { &a.value } else { &a.constitution }.clone().unwrap_or_default(),
                class: if a.placebo { "placebo" } else { "up" },
                points: points(a),
            })
            .collect();
        let label = format!("{title} of {} against bits per weight", ladder.model);
        let chart = Chart { label: &label, axes: ("bits per weight", axis), series, ..Chart::default() };
        figure(title, &format!("{BAND}."), chart.draw())
    };
    let of = |quantity: Quantity, value: Option<&str>| -> Vec<&Along> {
        let own = |a: &&Along| a.quantity == quantity && a.value.as_deref() == value;
        ladder.along.iter().filter(own).collect()
    };
    // Constitutions furthest from chance, or from an unrelated direction.
    let largest = |mut all: Vec<&'_ Along>, middle: f64| -> Vec<Along> {
        let far = |a: &Along| points(a).iter().map(|p| (p.1 - middle).abs()).fold(0.0, f64::max);
        all.sort_by(|a, b| a.placebo.cmp(&b.placebo).then(far(b).total_cmp(&far(a))));
        all.into_iter().take(CURVES).cloned().collect()
    };
    let rho: Vec<&Along> = ladder.along.iter().filter(|a| a.quantity == Quantity::Rho2).collect();
    let mut plots: Vec<Option<Figure>> = vec![draw("Encoding quality and precision", "ρ²", rho, true)];
    for value in values {
        for (quantity, title, axis, middle) in [
            (Quantity::Alignment, "Alignment and precision", "⟨v_c, v*⟩", 0.0),
            (Quantity::JudgeAccuracy, "The judge and precision", "share judged as labelled", 0.5),
        ] {
            let shown = largest(of(quantity, Some(value)), middle);
            plots.push(draw(&format!("{title}: “{value}”"), axis, shown.iter().collect(), false));
        }
    }
    let bias = largest(of(Quantity::PositionBias, None), 0.0);
    plots.push(draw("Position bias and precision", "nats for the first place", bias.iter().collect(), false));
    plots.push(draw("Effective dimension and precision", "d_eff", of(Quantity::DEff, None), false));
    plots.into_iter().flatten().collect()
}

/// The gap by the known share η of value-relevant text, with the line 1 − η of Proposition 5.
fn dilution(comparison: &Comparison, value: &str) -> Option<Figure> {
    let eta = comparison.eta.as_ref()?;
    let x: Vec<Option<f64>> = eta.iter().map(|e| Some(*e)).collect();
    let mut series: Vec<Series> = largest(comparison, Quantity::Gap, value, |gap| gap)
        .into_iter()
        .map(|s| Series {
            name: s.constitution.clone().unwrap_or_default(),
            class: "up",
            points: points(&s.estimates, &x),
        })
        .collect();
    if series.is_empty() {
        return None;
    }
    let (lo, hi) =
        eta.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), e| (lo.min(*e), hi.max(*e)));
    let told = vec![(lo, 1.0 - lo, None), (hi, 1.0 - hi, None)];
    series.push(Series { name: "1 − η".into(), class: "none", points: told });
    let label = format!("Generation-judgment gap of {value} against the share of value-relevant text");
    let chart =
        Chart {
            label: &label, axes: ("η, share of value-relevant text", "gap"), series, ..Chart::default()
        };
    figure(
        "The gap and η",
        "The constitutions with the largest gaps, with 95 % intervals; grey: what Proposition 5 predicts of one that queries the \
         value directly.",
        chart.draw(),
    )
}
