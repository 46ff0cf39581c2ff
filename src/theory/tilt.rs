//! Proposition 2 and Lemma 12: the exact gain of the tilted policy over the candidates.
//!
//! The candidates of a prompt represent the policy they were sampled from, with equal weights; the tilted policy
//! weighs them by w ∝ exp(λ r). Its gain is Σ w S − mean S, averaged over prompts, at λ in units of 1/sd(r), sd(r)² =
//! Σ r²/N over contrasts. To first order it is λ · (K − 1)/K · total slope.

use crate::document::Evidence;
use crate::document::plot::{Chart, Figure, Point, Series};
use crate::document::table::{Cell, Table};
use crate::document::text::shortened;
use crate::probe::Contrasts;
use crate::theory::base::estimate::{Control, Estimate, Quantity};
use crate::theory::base::mean::{BlockMean, mean_by_block};
use crate::theory::base::problem::Labels;
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::{NOTHING, counted, detail, optional, quotable};
use crate::theory::reading::together::z_for_all;
use crate::theory::statement::{Cells, Measure, OfPair, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "tilt",
    title: "How far first order reaches",
    source: "Theorem 3, Proposition 2, Lemma 12, Theorem 13",
    quantities: &[Quantity::TiltGain, Quantity::TiltPredicted, Quantity::TiltKl],
    tables: &[],
    rests: Rests::OnTheJudge,
    measures: &[Measure::Pair { gives: &TILTED, of: pair }],
    section: Some(section),
};

/// Quantities of the tilted policy.
const TILTED: [Quantity; 3] = [Quantity::TiltGain, Quantity::TiltPredicted, Quantity::TiltKl];

fn pair(p: &OfPair<'_>) -> Cells {
    if let Labels::Preferences(_) = &p.value.labels {
        let why = "preferences label pairs: a tilted policy needs the value of every candidate";
        return Cells::of(TILTED.map(|q| Estimate::missing(q, why)));
    }
    // Use the controlled scale where a control is applied.
    let spread = |y: &[f64]| p.bench.contrasts.spread(y, p.stage.problem.rows());
    let (s, r) = (spread(&p.s.y), spread(&p.r.y));
    Cells::of(estimates(&p.bench.contrasts, &p.stage.problem.block, &s, &r))
}

/// Values of λ · sd(r) at which the gain is reported.
pub const GRID: [f64; 5] = [0.1, 0.25, 0.5, 1.0, 2.0];

/// sd(r) over contrasts.
pub fn reward_sd(contrasts: &Contrasts, reward: &[f64]) -> f64 {
    let y = contrasts.column(reward);
    (y.iter().map(|v| v * v).sum::<f64>() / y.len() as f64).sqrt()
}

/// The tilted policy at one λ: means over prompts.
#[derive(Debug, Clone, PartialEq)]
pub struct Tilted {
    /// Gain in S.
    pub gain: BlockMean,
    /// First-order gain, λ·Cov_j(S_j, r_j) with weights 1/K.
    pub predicted: BlockMean,
    /// Kullback–Leibler divergence from the base, in nats.
    pub divergence: BlockMean,
}

/// The tilted policy at one λ·sd(r); `None` if the reward does not vary within prompts.
pub fn tilted(
    contrasts: &Contrasts,
    block: &[i32],
    s: &[f64],
    reward: &[f64],
    lambda_sd: f64,
) -> Option<Tilted> {
    let cells = prompt_tilts(contrasts, block, s, reward, lambda_sd)?;
    let of = |i: usize| mean_by_block(cells.iter().map(|(block, found)| (*block, found[i])));
    Some(Tilted { gain: of(0)?, predicted: of(1)?, divergence: of(2)? })
}

/// Block, and gain, prediction and divergence, of each prompt; `None` if the reward does not vary within prompts.
pub(crate) fn prompt_tilts(
    contrasts: &Contrasts,
    block: &[i32],
    s: &[f64],
    reward: &[f64],
    lambda_sd: f64,
) -> Option<Vec<(i32, [f64; 3])>> {
    let sd = reward_sd(contrasts, reward);
    if sd.is_nan() || sd <= 0.0 {
        return None;
    }
    let lambda = lambda_sd / sd;
    let of_prompt = |rows: &[usize]| {
        let top = rows.iter().map(|&r| lambda * reward[r]).fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = rows.iter().map(|&r| (lambda * reward[r] - top).exp()).collect();
        let total: f64 = weights.iter().sum();
        let k = rows.len() as f64;
        let mean = rows.iter().map(|&r| reward[r]).sum::<f64>() / k;
        let (mut tilted, mut plain, mut covariance, mut divergence) = (0.0, 0.0, 0.0, 0.0);
        for (&row, w) in rows.iter().zip(&weights) {
            let w = w / total;
            tilted += w * s[row];
            plain += s[row] / k;
            covariance += s[row] * (reward[row] - mean) / k;
            if w > 0.0 {
                divergence += w * (w * k).ln();
            }
        }
        (block[rows[0]], [tilted - plain, lambda * covariance, divergence])
    };
    Some(contrasts.prompts().map(of_prompt).collect())
}

/// `tilt_gain`, `tilt_predicted` and `tilt_kl` over the grid.
pub fn estimates(contrasts: &Contrasts, block: &[i32], s: &[f64], reward: &[f64]) -> Vec<Estimate> {
    GRID.iter()
        .flat_map(|&lambda_sd| {
            let kinds = [
                (Quantity::TiltGain, "exact reweighting of the candidates"),
                (Quantity::TiltPredicted, "λ times the covariance over the candidates"),
                (Quantity::TiltKl, "exact reweighting of the candidates"),
            ];
            let found = tilted(contrasts, block, s, reward, lambda_sd);
            kinds.into_iter().enumerate().map(move |(i, (quantity, method))| {
                let mut estimate = match &found {
                    None => Estimate::new(quantity, method).warn("the reward does not vary within prompts"),
                    Some(t) => [&t.gain, &t.predicted, &t.divergence][i].figure(quantity, method),
                };
                if quantity == Quantity::TiltKl {
                    // The size of the step is set by λ·sd(r_c), not estimated: near 0 the error is of second order.
                    (estimate.lo, estimate.hi) = (None, None);
                }
                estimate.lambda_sd = Some(lambda_sd);
                estimate
            })
        })
        .collect()
}

/// Number of constitutions in a plot; each has two curves.
const SHOWN: usize = 3;
/// Largest relative departure from the prediction at which the first order counts as good.
const CLOSE: f64 = 0.1;

/// Proposition 2, Lemma 12, Theorem 13.
fn section(index: &Index<'_>) -> Option<Evidence> {
    let curve = |quantity: Quantity, value: &str, constitution: &str| -> Vec<&Estimate> {
        let own = index.estimates.iter().filter(|e| {
            e.quantity == quantity
                && e.control == Control::None
                && e.judge.is_none()
                && e.value.as_deref() == Some(value)
                && e.constitution.as_deref() == Some(constitution)
                && quotable(e)
        });
        own.collect()
    };
    let (mut tried, mut known): (Vec<Tilt<'_>>, _) = (Vec::new(), false);
    for &value in &index.values {
        for c in &index.constitutions {
            let of = |quantity| curve(quantity, value, c.name);
            let (told, divergence) = (of(Quantity::TiltPredicted), of(Quantity::TiltKl));
            let at = |of: &[&'_ Estimate], e: &Estimate| {
                of.iter().copied().find(|o| o.lambda_sd.is_some() && o.lambda_sd == e.lambda_sd).cloned()
            };
            let mut steps = Vec::new();
            for e in of(Quantity::TiltGain) {
                let Some(t) = at(&told, e) else { continue };
                steps.push(Step { kl: at(&divergence, e), exact: e.clone(), predicted: t });
            }
            known |= !steps.is_empty();
            if !c.is_placebo() && !steps.is_empty() {
                tried.push(Tilt { value, name: c.name, steps });
            }
        }
    }
    let limit = z_for_all(tried.len());
    let mut clear: Vec<&Tilt<'_>> = tried.iter().filter(|t| t.z() > limit).collect();
    clear.sort_by(|a, b| b.z().total_cmp(&a.z()));
    let reach: Vec<f64> = clear.iter().map(|t| t.reach()).collect();
    let drawn = |value: &&str| {
        let of: Vec<&Tilt<'_>> = clear.iter().copied().filter(|t| t.value == *value).take(SHOWN).collect();
        figure(value, &of)
    };
    let figures = index.values.iter().filter_map(drawn).collect();
    if !known {
        return None;
    }
    let table = grid(&clear);
    let mut weighted = Table::titled(&[
        "value",
        "constitution",
        ">candidates as given [95 %]",
        ">weighted to the policy [95 %]",
    ]);
    for &value in &index.values {
        for c in &index.constitutions {
            let of = |quantity| index.cell(quantity, value, c.name, Control::None);
            if let Some(e) = of(Quantity::PolicySlope) {
                let given = of(Quantity::TotalSlope).map_or_else(String::new, detail);
                weighted.rows.push(vec![
                    Cell::name(value),
                    Cell::name(c.name),
                    Cell::number(given),
                    Cell::number(detail(e)),
                ]);
            }
        }
    }
    let base = if weighted.rows.is_empty() {
        "Nothing says what policy the candidates were drawn from (no `logq`): slopes and gains are those of the candidates given."
    } else {
        "Theorem 3’s covariance is under the base policy: the second slope weighs the candidates by P/q."
    };
    let verdict = if reach.is_empty() {
        "No constitution tilts the candidates clearly enough to compare prediction and gain.".to_owned()
    } else {
        let least = reach.iter().copied().fold(f64::INFINITY, f64::min);
        let most = reach.iter().copied().fold(0.0, f64::max);
        let range = if least == most { least.to_string() } else { format!("{least} to {most}") };
        format!(
            "The exact gain is within a tenth of its first-order prediction up to λ·sd(r_c) = {range}, in {} where the gain is clear.",
            counted(reach.len() as u64, "case")
        )
    };
    Some(Evidence {
                verdict,
        notes: vec![
            "The policy tilted by exp(λ r_c) over the candidates at hand, each of equal weight: exact gain, the prediction \
             λ·Cov(S, r_c), and the divergence from the base. K candidates reach at most the best of K, so that the exact gain \
             bends; that of a policy with more to choose from bends later. Shown where the gain is clear, at three strengths; the \
             others are in estimates.csv."
                .into(),
            base.into(),
        ],
        tables: [("Predicted and exact gain", table), ("Total slope under the policy", weighted)]
            .into_iter()
            .filter(|(_, grid)| !grid.rows.is_empty())
            .map(|(title, grid)| (title.to_owned(), grid))
            .collect(),
        figures,
    })
}

/// The tilted policy of a constitution outside the placebo arm: exact gain and prediction at ascending λ.
struct Tilt<'a> {
    value: &'a str,
    name: &'a str,
    steps: Vec<Step>,
}

/// Results at one λ: exact gain, first-order prediction, and divergence from the base.
struct Step {
    exact: Estimate,
    predicted: Estimate,
    kl: Option<Estimate>,
}

/// Strengths λ·sd(r_c) shown in the table.
const STRENGTHS: [f64; 3] = [0.25, 1.0, 2.0];

/// Table of the tilts, in their order.
fn grid(tilts: &[&Tilt<'_>]) -> Table {
    let mut out = Table::titled(&[
        "value",
        "constitution",
        ">λ·sd(r_c)",
        ">predicted [95 %]",
        ">exact [95 %]",
        ">KL, nats",
    ]);
    for tilt in tilts {
        for step in &tilt.steps {
            let Some(strength) = step.exact.lambda_sd.filter(|l| STRENGTHS.contains(l)) else { continue };
            out.rows.push(vec![
                Cell::name(tilt.value),
                Cell::name(tilt.name),
                Cell::number(strength.to_string()),
                Cell::number(detail(&step.predicted)),
                Cell::number(detail(&step.exact)),
                Cell::number(
                    step.kl.as_ref().map_or_else(|| NOTHING.to_owned(), |d| optional(d.estimate, d.se)),
                ),
            ]);
        }
    }
    out
}

impl Tilt<'_> {
    /// |z| of the exact gain at the smallest λ.
    fn z(&self) -> f64 {
        self.steps.first().and_then(|s| s.exact.z).map_or(0.0, f64::abs)
    }

    /// The largest λ up to which every exact gain is close to its prediction; 0 if the first is not.
    fn reach(&self) -> f64 {
        let close = |step: &&Step| {
            let (e, t) = (step.exact.estimate.unwrap_or(0.0), step.predicted.estimate.unwrap_or(0.0));
            (e - t).abs() <= CLOSE * t.abs()
        };
        self.steps.iter().take_while(close).last().and_then(|s| s.exact.lambda_sd).unwrap_or(0.0)
    }
}

fn figure(value: &str, curves: &[&Tilt<'_>]) -> Option<Figure> {
    fn points<'e>(of: impl Iterator<Item = &'e Estimate>, band: bool) -> Vec<Point> {
        let mut points: Vec<Point> = of
            .filter_map(|e| Some((e.lambda_sd?, e.estimate?, if band { e.lo.zip(e.hi) } else { None })))
            .collect();
        points.insert(0, (0.0, 0.0, None));
        points
    }
    let series: Vec<Series> = curves
        .iter()
        .flat_map(|t| {
            let up = t.steps.first().and_then(|s| s.exact.estimate).unwrap_or(0.0) > 0.0;
            [
                Series {
                    name: t.name.to_owned(),
                    class: if up { "up" } else { "down" },
                    points: points(t.steps.iter().map(|s| &s.exact), true),
                },
                Series {
                    name: "predicted".into(),
                    class: "none",
                    points: points(t.steps.iter().map(|s| &s.predicted), false),
                },
            ]
        })
        .collect();
    let label = format!("Exact gain in {value} of the tilted policy and its first-order prediction");
    let chart =
        Chart {
            label: &label, axes: ("λ·sd(r_c)", "gain, units of the value"), series, ..Chart::default()
        };
    Some(Figure {
        title: format!("Tilt and “{}”", shortened(value, 60)),
        caption: "Exact gain (coloured) and first-order prediction (grey), of the constitutions with the clearest gains.".into(),
        keys: vec![],
        svg: chart.draw()?,
    })
}
