//! Appendix E: several values at once. What a constitution does to each, whether anything can raise all of them,
//! and how close a constitution comes to the best direction.
//!
//! All values are taken on the rows that label every one of them, and each is divided by its within-prompt standard
//! deviation σ_S: units differ, and sums of values need one. With θ̂ the twice-iterated estimate of ⟨Σ_w u, v⟩:
//!
//! - trade-off profile (Definitions 17 and 20, Proposition 21): the signs of θ̂_{S_i, r_c}, with r_c less the mean reward
//!   of the placebo arm where it has four independent texts. A rise or fall counts where its two-sided p, adjusted for
//!   the false discovery rate over all constitutions and values, is below .05: the section explores. *Improves all* if
//!   every value rises, *lowers all* if every value falls; *trade-off* if one rises and another falls;
//! - cone (Propositions 18, 19): min over α ≥ 0, Σα = 1 of α'Θα, Θ_ij = θ̂_{S_i,S_j}. It is 0 exactly where a convex
//!   combination of the value directions vanishes and no direction raises every value (Gordan's theorem);
//! - constrained aggregate (Definition 16): the largest first-order gain in one value at a given divergence, if no other
//!   may fall, is that of the projection of v_1 on the cone {u : ⟨u, Σ_w v_i⟩ ≥ 0}; its length over that of v_1 is the
//!   share that the constraints leave;
//! - best direction (Proposition 23): at a given Kullback–Leibler divergence the largest first-order gain in Σ α_i S_i is
//!   that of V*α, and cos(v_c, V*α) in the metric of Σ_w is the share of it that a constitution's direction attains.

use serde::Serialize;

use super::analysis::Analysis;
use super::bench::{Bench, Label};
use super::estimate::{Estimate, Mode, Quantity};
use super::improvement::{Angle, GATE, slope_interval};
use super::multiplicity::{false_discovery, two_sided};
use super::own::Arms;
use super::problem::{Judged, Labels};
use super::rows;
use super::stage::Stage;
use crate::error::Result;
use crate::probe::influence::{Influence, normal_interval, theta};

/// Name of the table of profiles in the report.
pub const TABLE: &str = "trade_offs";
/// Name of the table that holds the vanishing combination.
pub const CONE: &str = "value_cone";

/// Values of which all supports of a convex combination are tried.
const MOST_VALUES: usize = 12;

/// What a constitution does to all values together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Every value rises (Pareto-improving).
    ImprovesAll,
    /// Every value falls (Pareto-degrading).
    LowersAll,
    /// One rises and another falls.
    TradeOff,
    /// None of these can be told.
    Undecided,
}

/// A value under a constitution.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// The value.
    pub value: String,
    /// Encoded slope over σ_S, in nats; beyond the placebo arm where there is one of four texts.
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

/// A constitution and all values.
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
    /// What it does to all of them.
    pub profile: Profile,
    /// The smallest slope: the gain under worst-case aggregation, in nats, and its standard error.
    pub worst: (f64, f64),
}

/// The profile that the signs of each value show: 1 for a rise, −1 for a fall, 0 for neither.
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

/// The α on the simplex with the smallest α'Θα, and that value; every support is tried. `None` for no values, or more
/// than twelve.
pub fn smallest_combination(theta: &[Vec<f64>]) -> Option<(Vec<f64>, f64)> {
    let m = theta.len();
    if m == 0 || m > MOST_VALUES {
        return None;
    }
    let form = |alpha: &[f64]| -> f64 {
        (0..m).flat_map(|i| (0..m).map(move |j| (i, j))).map(|(i, j)| alpha[i] * theta[i][j] * alpha[j]).sum()
    };
    let mut best: Option<(Vec<f64>, f64)> = None;
    for support in 1u32..(1 << m) {
        let members: Vec<usize> = (0..m).filter(|i| support >> i & 1 == 1).collect();
        // On a support the minimum on Σα = 1 has Θα constant.
        // A hair on the diagonal, so that parallel and opposed values have a solution too.
        let hair = 1e-10 * (0..m).fold(0.0f64, |most, i| most.max(theta[i][i].abs()));
        let entry = |i: usize, j: usize| theta[i][j] + if i == j { hair } else { 0.0 };
        let face = members.iter().map(|&i| members.iter().map(|&j| entry(i, j)).collect()).collect();
        let Some(x) = solve(face, vec![1.0; members.len()]) else { continue };
        let total: f64 = x.iter().sum();
        if total.is_nan() || total.abs() < f64::MIN_POSITIVE || x.iter().any(|v| v / total < 0.0) {
            continue;
        }
        let mut alpha = vec![0.0; m];
        members.iter().zip(&x).for_each(|(&i, v)| alpha[i] = v / total);
        let value = form(&alpha);
        if best.as_ref().is_none_or(|b| value < b.1) {
            best = Some((alpha, value));
        }
    }
    best
}

/// α ≥ 0 with α_first = 1 that makes α'Θα smallest, and that value; every support is tried. With Θ the inner products of
/// value directions, V α is what remains of the first when it may lower none of the others (the projection of v_first on the
/// cone {u : ⟨u, v_i⟩ ≥ 0}). `None` for more than twelve values.
pub fn remainder(theta: &[Vec<f64>], first: usize) -> Option<(Vec<f64>, f64)> {
    let m = theta.len();
    if first >= m || m > MOST_VALUES {
        return None;
    }
    let others: Vec<usize> = (0..m).filter(|&i| i != first).collect();
    let hair = 1e-10 * (0..m).fold(0.0f64, |most, i| most.max(theta[i][i].abs()));
    let mut best: Option<(Vec<f64>, f64)> = None;
    for support in 0u32..(1 << others.len()) {
        let members: Vec<usize> =
            others.iter().enumerate().filter(|(i, _)| support >> i & 1 == 1).map(|(_, &o)| o).collect();
        let face = members
            .iter()
            .map(|&i| members.iter().map(|&j| theta[i][j] + if i == j { hair } else { 0.0 }).collect())
            .collect();
        // Θ_SS α = −Θ_S,first where the derivative vanishes.
        let right: Vec<f64> = members.iter().map(|&i| -theta[i][first]).collect();
        let Some(x) = solve(face, right) else { continue };
        if x.iter().any(|&a| a < 0.0) {
            continue;
        }
        let mut alpha = vec![0.0; m];
        alpha[first] = 1.0;
        members.iter().zip(&x).for_each(|(&i, &a)| alpha[i] = a);
        let value = (0..m)
            .flat_map(|i| (0..m).map(move |j| (i, j)))
            .map(|(i, j)| alpha[i] * theta[i][j] * alpha[j])
            .sum();
        if best.as_ref().is_none_or(|b| value < b.1) {
            best = Some((alpha, value));
        }
    }
    best
}

/// x with Ax = b, by elimination with pivots; `None` if A is singular.
fn solve(mut a: Vec<Vec<f64>>, b: Vec<f64>) -> Option<Vec<f64>> {
    let n = a.len();
    let mut x = b;
    let size = a.iter().flatten().fold(0.0f64, |s, v| s.max(v.abs()));
    for c in 0..n {
        let pivot = (c..n).max_by(|&i, &j| a[i][c].abs().total_cmp(&a[j][c].abs()))?;
        if a[pivot][c].abs() <= 1e-12 * size {
            return None;
        }
        a.swap(c, pivot);
        x.swap(c, pivot);
        for r in c + 1..n {
            let by = a[r][c] / a[c][c];
            let row = a[c].clone();
            a[r].iter_mut().zip(&row).skip(c).for_each(|(v, p)| *v -= by * p);
            x[r] -= by * x[c];
        }
    }
    for c in (0..n).rev() {
        let rest: f64 = (c + 1..n).map(|j| a[c][j] * x[j]).sum();
        x[c] = (x[c] - rest) / a[c][c];
    }
    Some(x)
}

/// Profiles, `value_cone`, `weighted_slope` and `weighted_alignment` of the values that have labels of responses.
pub(super) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
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

/// The labels over their σ_S; `None` if one does not vary.
fn standardised(bench: &Bench, scored: &[(&str, &Vec<f64>)]) -> Option<Vec<Label>> {
    let labels = bench.probe(scored.iter().map(|(_, s)| bench.column(s)).collect());
    let scaled = labels.into_iter().map(|label| {
        let sigma = label.variance().sqrt();
        label.over(sigma)
    });
    scaled.collect()
}

/// The weighted mean of labels; weights need not add up to 1.
pub(super) fn average(labels: &[Label], weights: &[f64]) -> Label {
    let total: f64 = weights.iter().sum();
    let mean = |of: fn(&Label) -> &Vec<f64>| -> Vec<f64> {
        let at = |i: usize| labels.iter().zip(weights).map(|(l, w)| w * of(l)[i]).sum::<f64>() / total;
        (0..of(&labels[0]).len()).map(at).collect()
    };
    Label { y: mean(|l| &l.y), yhat: mean(|l| &l.yhat) }
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
    let estimate = match smallest_combination(&matrix) {
        None => Estimate::new(Quantity::ValueCone, method).warn("more than twelve values"),
        Some((alpha, value)) => {
            // At the minimum the derivative through α vanishes.
            let parts: Vec<(f64, &Influence)> = (0..alpha.len())
                .flat_map(|i| (0..alpha.len()).map(move |j| (i, j)))
                .map(|(i, j)| (alpha[i] * alpha[j], &all[i][j]))
                .collect();
            let se = Influence::combine(value, &parts).se(blocks);
            if !stage.length {
                let names: Vec<_> = scored.iter().zip(&alpha).map(|((name, _), a)| (*name, *a)).collect();
                if let Ok(table) = serde_json::to_value(names) {
                    out.tables.insert(CONE.to_owned(), table);
                }
            }
            let e = Estimate::figure(Quantity::ValueCone, method, value, se, normal_interval(value, se));
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

/// `constrained_share` of the value number `first`.
fn constrained(
    all: &[Vec<Influence>],
    matrix: &[Vec<f64>],
    first: usize,
    blocks: &[std::ops::Range<usize>],
) -> Estimate {
    let method = "length of v* less what lowers another value, over its length";
    let Some((alpha, square)) = remainder(matrix, first) else {
        return Estimate::new(Quantity::ConstrainedShare, method).warn("more than twelve values");
    };
    let own = &all[first][first];
    if own.value <= 0.0 {
        return Estimate::new(Quantity::ConstrainedShare, method)
            .warn("not identifiable: the value is not encoded");
    }
    let share = (square.max(0.0) / own.value).sqrt();
    // At the minimum the derivative through α vanishes; that of a root of a quotient is left. At 0 it is infinite.
    let slope = if share > 0.0 { 0.5 / (share * own.value) } else { f64::INFINITY };
    let mut parts: Vec<(f64, &Influence)> = (0..alpha.len())
        .flat_map(|i| (0..alpha.len()).map(move |j| (i, j)))
        .map(|(i, j)| (slope * alpha[i] * alpha[j], &all[i][j]))
        .collect();
    parts.push((-slope * share * share, own));
    let se = Influence::combine(share, &parts).se(blocks);
    let (lo, hi) = normal_interval(share, se);
    Estimate::figure(Quantity::ConstrainedShare, method, share, se, (lo.max(0.0), hi.min(1.0)))
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
    let mean = average(labels, &weights);
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

    /// Θ of unit vectors at these angles in a plane.
    fn plane(degrees: &[f64]) -> Vec<Vec<f64>> {
        let cos = |a: f64, b: f64| (a - b).to_radians().cos();
        degrees.iter().map(|&a| degrees.iter().map(|&b| cos(a, b)).collect()).collect()
    }

    #[test]
    fn what_remains_of_a_value_is_the_sine_of_an_obtuse_angle() {
        let share = |degrees: &[f64]| remainder(&plane(degrees), 0).expect("a minimum").1.max(0.0).sqrt();
        // No conflict: nothing is lost.
        assert!((share(&[0.0, 80.0]) - 1.0).abs() < 1e-9);
        // Two values at 120°: the gain left along the edge of the other's half-plane is cos 30°.
        assert!((share(&[0.0, 120.0]) - 30f64.to_radians().cos()).abs() < 1e-9);
        assert!(share(&[0.0, 180.0]) < 1e-4);
        // Between two others that both object nothing remains; of two on one side the stricter decides.
        assert!(share(&[0.0, 120.0, 240.0]) < 1e-4);
        assert!((share(&[0.0, 120.0, 100.0]) - 30f64.to_radians().cos()).abs() < 1e-9);
    }

    #[test]
    fn the_smallest_combination_is_the_nearest_point_of_the_hull_to_zero() {
        // Two unit vectors: half of each, at distance cos of half the angle.
        let (alpha, value) = smallest_combination(&plane(&[0.0, 120.0])).expect("a minimum");
        assert!((alpha[0] - 0.5).abs() < 1e-12 && (value - 60f64.to_radians().cos().powi(2)).abs() < 1e-12);
        // Three at 120°: zero lies in the hull, and the cone is empty.
        let (alpha, value) = smallest_combination(&plane(&[0.0, 120.0, 240.0])).expect("a minimum");
        assert!(
            value.abs() < 1e-12 && alpha.iter().all(|a| (a - 1.0 / 3.0).abs() < 1e-9),
            "{alpha:?} {value}"
        );
        // Opposed values.
        let (alpha, value) = smallest_combination(&plane(&[0.0, 180.0])).expect("a minimum");
        assert!(value.abs() < 1e-9 && (alpha[0] - 0.5).abs() < 1e-6, "{alpha:?} {value}");
        // A third that lies inside the cone of the others takes no part.
        let (alpha, _) = smallest_combination(&plane(&[0.0, 100.0, 50.0])).expect("a minimum");
        assert!(alpha[2].abs() < 1e-12, "{alpha:?}");
    }
}
