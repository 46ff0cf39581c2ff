//! Appendix E: several values at once. The effect of a constitution on each, whether any direction raises all of
//! them, and how close a constitution comes to the best direction.
//!
//! All values are measured on the rows that have labels of every one, and each is divided by its within-prompt
//! standard deviation σ_S, because units differ and sums of values need a common one. With θ̂ the twice-iterated
//! estimate of ⟨Σ_w u, v⟩:
//!
//! - trade-off profile (Definitions 17 and 20, Proposition 21): the signs of θ̂_{S_i, r_c}, with r_c minus the mean
//!   reward of the placebo arm where it has four independent texts. A rise or fall counts where its two-sided p,
//!   adjusted for the false discovery rate over all constitutions and values, is below .05, because the section is
//!   exploratory. *Improves all* if every value rises, *lowers all* if every value falls; *trade-off* if one rises and
//!   another falls;
//! - cone (Propositions 18, 19): min over α ≥ 0, Σα = 1 of α'Θα, Θ_ij = θ̂_{S_i,S_j}. It is 0 exactly where a convex
//!   combination of the value directions vanishes and no direction raises every value (Gordan's theorem);
//! - constrained aggregate (Definition 16): the largest first-order gain in one value at a given divergence, if no
//!   other value may fall, is that of the projection of v_1 on the cone {u : ⟨u, Σ_w v_i⟩ ≥ 0}; the ratio of its length
//!   to that of v_1 is the share that remains under the constraints;
//! - best direction (Proposition 23): at a given Kullback–Leibler divergence the largest first-order gain in Σ α_i
//!   S_i is that of V*α, and cos(v_c, V*α) in the metric of Σ_w is the share of it that a constitution's direction
//!   attains.

mod section;

use serde::Serialize;

use crate::error::Result;
use crate::linalg::quadratic::{on_cone, on_simplex};
use crate::probe::influence::{Influence, theta};
use crate::theory::base::analysis::Analysis;
use crate::theory::base::angle::{Angle, GATE, slope_interval};
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::estimate::{Estimate, Mode, Quantity};
use crate::theory::base::multiplicity::{false_discovery, two_sided};
use crate::theory::base::problem::{Judged, Labels};
use crate::theory::base::rows;
use crate::theory::base::stage::Stage;
use crate::theory::own::Arms;
use crate::theory::statement::{Measure, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "several",
    title: "Several values at once",
    source: "Appendix E, Propositions 18–23",
    quantities: &[
        Quantity::WeightedSlope,
        Quantity::WeightedAlignment,
        Quantity::ValueCone,
        Quantity::ConstrainedShare,
    ],
    tables: &[TABLE, CONE],
    rests: Rests::OnTheJudge,
    measures: &[Measure::Whole(measure)],
    section: Some(section::section),
};

/// Name of the table of profiles in the report.
pub const TABLE: &str = "trade_offs";
/// Name of the table with the vanishing combination.
pub const CONE: &str = "value_cone";

/// Effect of a constitution on all values together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Every value rises (Pareto-improving).
    ImprovesAll,
    /// Every value falls (Pareto-degrading).
    LowersAll,
    /// One rises and another falls.
    TradeOff,
    /// Inconclusive.
    Undecided,
}

/// Effect on one value under a constitution.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// The value.
    pub value: String,
    /// Encoded slope over σ_S, in nats; minus that of the placebo arm where it has four texts.
    pub slope: f64,
    /// Its standard error.
    pub se: f64,
    /// Two-sided p, adjusted for the false discovery rate over all constitutions and values.
    pub q: f64,
}

impl Part {
    /// 1 for a rise, −1 for a fall, 0 for neither.
    fn sign(&self) -> i8 {
        match self.q < 0.05 {
            true if self.slope > 0.0 => 1,
            true if self.slope < 0.0 => -1,
            _ => 0,
        }
    }
}

/// Effect of a constitution on all values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TradeOff {
    /// The constitution.
    pub constitution: String,
    /// Whether it belongs to the placebo arm.
    pub placebo: bool,
    /// Whether slopes are differences from the placebo arm.
    pub own: bool,
    /// What was projected out.
    pub control: super::Control,
    /// The values.
    pub parts: Vec<Part>,
    /// Overall profile.
    pub profile: Profile,
    /// Smallest slope, the gain under worst-case aggregation, in nats, and its standard error.
    pub worst: (f64, f64),
}

/// Profile given the sign of each value: 1 for a rise, −1 for a fall, 0 for neither.
pub fn profile(signs: &[i8]) -> Profile {
    let (rises, falls) = (|s: &i8| *s > 0, |s: &i8| *s < 0);
    if !signs.is_empty() && signs.iter().all(rises) {
        Profile::ImprovesAll
    } else if !signs.is_empty() && signs.iter().all(falls) {
        Profile::LowersAll
    } else if signs.iter().any(rises) && signs.iter().any(falls) {
        Profile::TradeOff
    } else {
        Profile::Undecided
    }
}

/// Profiles, `value_cone`, `weighted_slope` and `weighted_alignment` of the values with response labels.
pub(crate) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    let scored: Vec<(&str, &Vec<f64>)> = values
        .iter()
        .filter_map(|&v| match &problem.values[v].labels {
            Labels::Scores(s) => Some((problem.values[v].name.as_str(), s)),
            Labels::Preferences(_) => None,
        })
        .collect();
    if scored.len() < 2 {
        return Ok(());
    }
    let keep = stage.keep;
    let common = rows::all(problem, &|r| keep(r) && scored.iter().all(|(_, s)| s[r].is_finite()));
    let Some(bench) = stage.bench(common.clone())? else { return Ok(()) };
    let Some(labels) = standardised(&bench, &scored) else { return Ok(()) };
    cone(stage, &bench, &scored, &labels, out);
    let mut profiles = Vec::new();
    let arm = Arms::new(stage);
    for judged in problem.judged.iter().filter(|j| !j.beside && j.mode != Mode::Implicit) {
        let rows = common.filtered(|r| judged.reward[r].is_finite());
        if rows == common {
            one(stage, &bench, &scored, &labels, judged, &arm, &mut profiles, out);
        } else if let Some(bench) = stage.bench(rows)?
            && let Some(labels) = standardised(&bench, &scored)
        {
            one(stage, &bench, &scored, &labels, judged, &arm, &mut profiles, out);
        }
    }
    let p: Vec<f64> = profiles.iter().flat_map(|t| &t.parts).map(|p| two_sided(p.slope / p.se)).collect();
    let mut q = false_discovery(&p).into_iter();
    for tradeoff in &mut profiles {
        for (part, q) in tradeoff.parts.iter_mut().zip(&mut q) {
            part.q = q;
        }
        let signs: Vec<i8> = tradeoff.parts.iter().map(Part::sign).collect();
        tradeoff.profile = profile(&signs);
    }
    if let Ok(serde_json::Value::Array(rows)) = serde_json::to_value(profiles) {
        match out.tables.entry(TABLE.to_owned()).or_insert_with(|| serde_json::Value::Array(Vec::new())) {
            serde_json::Value::Array(all) => all.extend(rows),
            other => *other = serde_json::Value::Array(rows),
        }
    }
    Ok(())
}

/// Labels divided by their σ_S; `None` if one does not vary.
fn standardised(bench: &Bench, scored: &[(&str, &Vec<f64>)]) -> Option<Vec<Label>> {
    let labels = bench.probe(scored.iter().map(|(_, s)| bench.column(s)).collect());
    let scaled = labels.into_iter().map(|label| {
        let sigma = label.variance().sqrt();
        label.over(sigma)
    });
    scaled.collect()
}

fn cone(
    stage: &Stage<'_>,
    bench: &Bench,
    scored: &[(&str, &Vec<f64>)],
    labels: &[Label],
    out: &mut Analysis,
) {
    let blocks = bench.contrasts.blocks();
    let all: Vec<Vec<Influence>> = labels
        .iter()
        .map(|a| labels.iter().map(|b| theta(a.probed(), b.probed(), blocks)).collect())
        .collect();
    let method = "smallest α'Θα over the simplex, values over σ_S";
    let matrix: Vec<Vec<f64>> = all.iter().map(|r| r.iter().map(|t| t.value).collect()).collect();
    let unseen: Vec<&str> = (0..labels.len())
        .filter(|&i| all[i][i].value <= GATE * all[i][i].se(blocks))
        .map(|i| scored[i].0)
        .collect();
    let estimate = match on_simplex(&matrix) {
        None => Estimate::new(Quantity::ValueCone, method).warn("more than twelve values"),
        Some((alpha, value)) => {
            // At the minimum the derivative with respect to α vanishes.
            let parts: Vec<(f64, &Influence)> = (0..alpha.len())
                .flat_map(|i| (0..alpha.len()).map(move |j| (i, j)))
                .map(|(i, j)| (alpha[i] * alpha[j], &all[i][j]))
                .collect();
            let value = Influence::combine(value, &parts);
            if !stage.length {
                let names: Vec<_> = scored.iter().zip(&alpha).map(|((name, _), a)| (*name, *a)).collect();
                if let Ok(table) = serde_json::to_value(names) {
                    out.tables.insert(CONE.to_owned(), table);
                }
            }
            let e = Estimate::figure(
                Quantity::ValueCone,
                method,
                value.value,
                value.se(blocks),
                value.symmetric_interval(blocks),
            );
            if unseen.is_empty() {
                e
            } else {
                e.withheld(format!("not identifiable: {} not encoded", unseen.join(", ")))
            }
        }
    };
    stage.push(out, Some(bench), None, estimate);
    for (first, (name, _)) in scored.iter().enumerate() {
        let estimate = constrained(&all, &matrix, first, blocks);
        let estimate = match (estimate, unseen.is_empty()) {
            (e, true) => e,
            (e, false) => e.withheld(format!("not identifiable: {} not encoded", unseen.join(", "))),
        };
        stage.push(out, Some(bench), Some(name), estimate);
    }
}

/// `constrained_share` of the value with index `first`.
fn constrained(
    all: &[Vec<Influence>],
    matrix: &[Vec<f64>],
    first: usize,
    blocks: &[std::ops::Range<usize>],
) -> Estimate {
    let method = "length of v* less what lowers another value, over its length";
    let Some((alpha, square)) = on_cone(matrix, first) else {
        return Estimate::new(Quantity::ConstrainedShare, method).warn("more than twelve values");
    };
    let own = &all[first][first];
    if own.value <= 0.0 {
        return Estimate::new(Quantity::ConstrainedShare, method)
            .warn("not identifiable: the value is not encoded");
    }
    let share = (square.max(0.0) / own.value).sqrt();
    // At the minimum the derivative with respect to α vanishes; that of the square root of the ratio remains. At 0 it
    // is infinite.
    let slope = if share > 0.0 { 0.5 / (share * own.value) } else { f64::INFINITY };
    let mut parts: Vec<(f64, &Influence)> = (0..alpha.len())
        .flat_map(|i| (0..alpha.len()).map(move |j| (i, j)))
        .map(|(i, j)| (slope * alpha[i] * alpha[j], &all[i][j]))
        .collect();
    parts.push((-slope * share * share, own));
    let share = Influence::combine(share, &parts);
    let (lo, hi) = share.symmetric_interval(blocks);
    let interval = (lo.max(0.0), hi.min(1.0));
    Estimate::figure(Quantity::ConstrainedShare, method, share.value, share.se(blocks), interval)
}

#[allow(clippy::too_many_arguments)]
fn one(
    stage: &Stage<'_>,
    bench: &Bench,
    scored: &[(&str, &Vec<f64>)],
    labels: &[Label],
    judged: &Judged,
    arm: &Arms<'_>,
    profiles: &mut Vec<TradeOff>,
    out: &mut Analysis,
) {
    let r = bench.probe(vec![bench.column(&judged.reward)]).remove(0);
    let mean = arm.mean(bench, judged.mode);
    let own = mean.is_some();
    let difference = mean.map_or_else(|| r.clone(), |mean| r.minus(&mean));
    let parts: Vec<Part> = scored
        .iter()
        .zip(labels)
        .map(|((name, _), s)| {
            let angle = Angle::new(bench, s, &difference);
            Part { value: (*name).to_owned(), slope: angle.slope.value, se: angle.slope_se, q: 1.0 }
        })
        .collect();
    let worst =
        parts.iter().min_by(|a, b| a.slope.total_cmp(&b.slope)).map_or((0.0, 0.0), |p| (p.slope, p.se));
    profiles.push(TradeOff {
        constitution: judged.name.clone(),
        placebo: judged.placebo,
        own,
        control: stage.control(),
        parts,
        profile: Profile::Undecided,
        worst,
    });
    let weights: Vec<f64> = scored.iter().map(|(name, _)| stage.options.weight(name)).collect();
    let mean = Label::mean(labels, &weights);
    let angle = Angle::new(bench, &mean, &r);
    let method = if stage.options.weights.is_empty() {
        "twice-iterated ridge; equal weights on values over σ_S".to_owned()
    } else {
        let each = scored.iter().zip(&weights).map(|((name, _), w)| format!("{name} {w}"));
        format!("twice-iterated ridge; weights on values over σ_S: {}", each.collect::<Vec<_>>().join(", "))
    };
    let interval = slope_interval(bench, angle.slope.value, &mean, &r);
    let slope =
        Estimate::figure(Quantity::WeightedSlope, method, angle.slope.value, angle.slope_se, interval);
    stage.push(out, Some(bench), None, judged.mark(slope));
    let cos = angle.estimate(bench, Quantity::WeightedAlignment, ("the mean of the values", &judged.name));
    stage.push(out, Some(bench), None, judged.mark(cos));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_need_every_value_or_a_rise_and_a_fall() {
        assert_eq!(profile(&[1, 1, 1]), Profile::ImprovesAll);
        assert_eq!(profile(&[-1, -1]), Profile::LowersAll);
        assert_eq!(profile(&[1, -1, 0]), Profile::TradeOff);
        assert_eq!(profile(&[1, 0]), Profile::Undecided);
        assert_eq!(profile(&[]), Profile::Undecided);
    }
}
