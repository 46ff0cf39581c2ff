//! Section 9.3: how much of a value's labels is explained by the judge, by the residual stream beyond the judge, and
//! by neither (which only people can supply).
//!
//! With rewards r_c = ⟨h, v_c⟩ + ε, the best linear predictor of S from h and r_c together explains J = θ_SS + (C −
//! θ_Sr)²/(Var r − θ_rr), C = Cov(S, r_c): the part explained by h, plus what the part of r_c outside h explains of
//! the rest. Shares of Var S: the judge C²/Var r, h beyond the judge J − C²/Var r, neither Var S − J. They sum to one.
//! All are computed from existing θ̂, so noise that S and r_c share on a response is attributed to the judge
//! alone.

use std::ops::Range;

use crate::document::Evidence;
use crate::document::table::{Cell, Table};
use crate::error::Result;
use crate::probe::influence::{Influence, mean_product, theta};
use crate::theory::base::analysis::Analysis;
use crate::theory::base::angle::GATE;
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::estimate::{Control, Estimate, Mode, Quantity};
use crate::theory::base::problem::Labels;
use crate::theory::base::rows;
use crate::theory::base::stage::Stage;
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::{counted, headline, percent, quotable};
use crate::theory::statement::{Measure, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "complement",
    title: "What only people can add, at most",
    source: "Section 9.3",
    quantities: &[
        Quantity::ExplainedByJudge,
        Quantity::ExplainedBeyondJudge,
        Quantity::ExplainedByBoth,
        Quantity::Unexplained,
    ],
    tables: &[],
    rests: Rests::Otherwise,
    measures: &[Measure::Uncontrolled(measure)],
    section: Some(section),
};

/// Below this share of Var r outside h, the reward counts as fixed by h.
const LEAST_OUTSIDE: f64 = 0.01;

/// A share of Var S, with the terms that its first-order error leaves out.
///
/// The shares contain squared covariances, a²/A with C over Var r and b²/B with C − θ_Sr over the part of r outside
/// h. Where a covariance is small compared with its error σ, its square has almost no first-order error and a bias of
/// σ². Under normal errors a form x'Qx has bias tr QΣ and, beyond first order, variance 2 tr (QΣ)².
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// The share and its first-order influence.
    pub share: Influence,
    /// tr QΣ.
    bias: f64,
    /// 2 tr (QΣ)².
    second: f64,
}

impl Share {
    /// 95 % interval, centred on the share minus its bias, with both variances added.
    fn interval(&self, blocks: &[Range<usize>]) -> (f64, f64) {
        let (lo, hi) = self.share.symmetric_interval(blocks);
        let first = self.share.se(blocks);
        let wider = if first > 0.0 { (1.0 + self.second / (first * first)).sqrt() } else { 1.0 };
        let reach = |end: f64| (end - self.share.value) * wider;
        let centre = self.share.value - self.bias;
        (centre + reach(lo), centre + reach(hi))
    }
}

/// The covariances of a and b over blocks, [σ_aa, σ_ab, σ_bb].
fn covariances(a: &Influence, b: &Influence, blocks: &[Range<usize>]) -> [f64; 3] {
    let g = blocks.len() as f64;
    let (a, b) = (a.centred(blocks), b.centred(blocks));
    let sum = |x: &[f64], y: &[f64]| g / (g - 1.0) * x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    [sum(&a, &a), sum(&a, &b), sum(&b, &b)]
}

/// Shares explained by the judge, by h beyond the judge, by neither, and by both (C²/Var r + θ_SS − J, the overlap of
/// judge and h; 0 where their contributions add). `None` where S or r does not vary.
pub fn shares(bench: &Bench, s: &Label, r: &Label) -> Option<[Share; 4]> {
    let blocks = bench.contrasts.blocks();
    let (vs, vr) = (mean_product(&s.y, &s.y, blocks), mean_product(&r.y, &r.y, blocks));
    if !(vs.value > 0.0 && vr.value > 0.0) {
        return None;
    }
    let both = mean_product(&s.y, &r.y, blocks);
    let t = |a: &Label, b: &Label| theta(a.probed(), b.probed(), blocks);
    let (ss, sr, rr) = (t(s, s), t(s, r), t(r, r));
    // C²/Var r.
    let slope = both.value / vr.value;
    let judge = Influence::combine(slope * both.value, &[(2.0 * slope, &both), (-slope * slope, &vr)]);
    // If h determines the reward entirely, the part left outside h is only shrinkage, and a share of S relative to
    // that is noise.
    let outside = Influence::combine(vr.value - rr.value, &[(1.0, &vr), (-1.0, &rr)]);
    let seen = outside.value > GATE * outside.se(blocks) && outside.value > LEAST_OUTSIDE * vr.value;
    let rest = both.value - sr.value;
    let joint = if seen {
        let per = rest / outside.value;
        let parts = [(1.0, &ss), (2.0 * per, &both), (-2.0 * per, &sr), (-per * per, &outside)];
        Influence::combine(ss.value + per * rest, &parts)
    } else {
        ss.clone()
    };
    let over = |value: f64, parts: &[(f64, &Influence)]| {
        let whole = Influence::combine(value, parts);
        let share = value / vs.value;
        Influence::combine(share, &[(1.0 / vs.value, &whole), (-share / vs.value, &vs)])
    };
    let outer = Influence::combine(rest, &[(1.0, &both), (-1.0, &sr)]);
    let [aa, ab, bb] = covariances(&both, &outer, blocks);
    let (of_judge, of_rest) = (1.0 / vr.value, if seen { 1.0 / outside.value } else { 0.0 });
    // A share containing `judge` times a²/A and `rest` times b²/B.
    let with = |share: Influence, judge: f64, rest: f64| {
        let (p, q) = (judge * of_judge / vs.value, rest * of_rest / vs.value);
        let second = 2.0 * ((p * aa).powi(2) + 2.0 * p * q * ab * ab + (q * bb).powi(2));
        Share { share, bias: p * aa + q * bb, second }
    };
    Some([
        with(over(judge.value, &[(1.0, &judge)]), 1.0, 0.0),
        with(over(joint.value - judge.value, &[(1.0, &joint), (-1.0, &judge)]), -1.0, 1.0),
        with(over(vs.value - joint.value, &[(1.0, &vs), (-1.0, &joint)]), 0.0, -1.0),
        with(
            over(judge.value + ss.value - joint.value, &[(1.0, &judge), (1.0, &ss), (-1.0, &joint)]),
            1.0,
            -1.0,
        ),
    ])
}

/// 95 % interval of the judge's share: the squared interval of the correlation. Near 0 a square has no first-order
/// error, so that its own influence is uninformative there.
fn interval_of_square(s: &[f64], r: &[f64], blocks: &[Range<usize>]) -> (f64, f64) {
    let product = |a: &[f64], b: &[f64]| mean_product(a, b, blocks);
    let (ss, sr, rr) = (product(s, s), product(s, r), product(r, r));
    let scale = 1.0 / (ss.value * rr.value).sqrt();
    let corr = sr.value * scale;
    let parts = [(scale, &sr), (-0.5 * corr / ss.value, &ss), (-0.5 * corr / rr.value, &rr)];
    let (lo, hi) = Influence::combine(corr, &parts).interval(blocks);
    let (lo, hi) = (lo.max(-1.0), hi.min(1.0));
    let (least, most) = ((lo * lo).min(hi * hi), (lo * lo).max(hi * hi));
    (if lo <= 0.0 && 0.0 <= hi { 0.0 } else { least }, most)
}

/// `explained_by_judge`, `explained_beyond_judge`, `unexplained` and `explained_by_both` of each value under each
/// constitution outside the placebo arm.
pub(crate) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    let quantities = [
        Quantity::ExplainedByJudge,
        Quantity::ExplainedBeyondJudge,
        Quantity::Unexplained,
        Quantity::ExplainedByBoth,
    ];
    for &v in values {
        let value = &problem.values[v];
        let Labels::Scores(_) = &value.labels else { continue };
        let wanted = rows::of_value(problem, value, stage.keep);
        let tried = problem.judged.iter().filter(|j| !j.placebo && !j.beside && j.mode != Mode::Implicit);
        for judged in tried {
            let rows = wanted.filtered(|r| judged.reward[r].is_finite());
            let Some(bench) = stage.bench(rows)? else { continue };
            let labels = vec![rows::label(&bench, value), bench.column(&judged.reward)];
            let labels = bench.probe(labels);
            let found = shares(&bench, &labels[0], &labels[1]);
            let finer = shares(&bench, &bench.finer(&labels[0]), &bench.finer(&labels[1]));
            for (i, quantity) in quantities.into_iter().enumerate() {
                let estimate = match (
                    &found,
                    bench.spectrum.resolves() || quantity == Quantity::ExplainedByJudge,
                ) {
                    (None, _) => Estimate::missing(quantity, "S or the reward does not vary within prompts"),
                    (_, false) => Estimate::missing(
                        quantity,
                        "fewer than 1.5 contrasts a dimension: what h tells can only be bounded from below",
                    ),
                    (Some(found), true) => {
                        let (blocks, value) = (bench.contrasts.blocks(), found[i].share.value);
                        let se = found[i].share.se(blocks);
                        let method = "variance of S by the reward, by h and the reward together";
                        let interval = match quantity {
                            Quantity::ExplainedByJudge => {
                                interval_of_square(&labels[0].y, &labels[1].y, blocks)
                            }
                            _ => {
                                let finer = finer.as_ref().map_or(&found[i], |finer| &finer[i]);
                                let (lo, hi) = finer.interval(blocks);
                                (lo.min(value), hi.max(value))
                            }
                        };
                        Estimate::figure(quantity, method, value, se, interval)
                    }
                };
                stage.push(out, Some(&bench), Some(&value.name), judged.mark(estimate));
            }
        }
    }
    Ok(())
}

/// Section 9.3.
fn section(index: &Index<'_>) -> Option<Evidence> {
    let mut table = Table::titled(&[
        "value",
        "constitution",
        ">the judge [95 %]",
        ">h beyond it [95 %]",
        ">neither [95 %]",
        ">both at once [95 %]",
    ]);
    let mut neither: Vec<f64> = Vec::new();
    for &value in &index.values {
        for c in index.constitutions.iter().filter(|c| !c.is_placebo()) {
            let of = |quantity| index.cell(quantity, value, c.name, Control::None);
            if of(Quantity::ExplainedByJudge).is_none() {
                continue;
            }
            let show = |quantity| Cell::number(headline(of(quantity)));
            neither.extend(of(Quantity::Unexplained).filter(|e| quotable(e)).and_then(|e| e.estimate));
            table.rows.push(vec![
                Cell::name(value),
                Cell::name(c.name),
                show(Quantity::ExplainedByJudge),
                show(Quantity::ExplainedBeyondJudge),
                show(Quantity::Unexplained),
                show(Quantity::ExplainedByBoth),
            ]);
        }
    }
    if table.rows.is_empty() {
        return None;
    }
    let verdict = if neither.is_empty() {
        "What neither the judge nor the residual stream tells could not be measured.".to_owned()
    } else {
        let (least, most) = neither.iter().fold((1.0f64, 0.0f64), |(lo, hi), &n| (lo.min(n), hi.max(n)));
        let (least, most) = (percent(least.clamp(0.0, 1.0)), percent(most.clamp(0.0, 1.0)));
        let range = if least == most { format!("about {least}") } else { format!("{least} to {most}") };
        format!(
            "Neither the judge nor the residual stream tells {range} of the labels’ variance, errors of the labels included, in {}.",
            counted(neither.len() as u64, "pair") + " of a value and a constitution"
        )
    };
    Some(Evidence {
                verdict,
        notes: vec![
            "Shares of the value’s within-prompt variance, in units of the labels: explained by the rewards alone; by the \
             residual stream beyond the rewards, which another constitution could elicit; by neither, which includes errors of \
             the labels. They add up to 1. Both at once: what the residual stream tells too of what the judge tells; near 0 \
             the two are additive, as Section 9.3 takes judgments and human feedback to be."
                .into(),
        ],
        tables: vec![("Shares of the value".into(), table)],
        figures: vec![],
    })
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::probe::Contrasts;

    #[test]
    fn what_judge_and_state_both_tell_is_all_of_a_judge_in_the_state_and_nothing_of_one_outside() {
        let mut rng = ChaCha8Rng::seed_from_u64(93);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let (prompts, responses) = (400, 3);
        let rows = prompts * responses;
        let h = Array2::from_shape_fn((rows, 3), |_| normal() as f32);
        let outside: Vec<f64> = (0..rows).map(|_| normal()).collect();
        let inside: Vec<f64> = (0..rows).map(|r| f64::from(h[[r, 0]])).collect();
        let s: Vec<f64> = inside.iter().zip(&outside).map(|(a, b)| a + b).collect();
        let prompt: Vec<i32> = (0..rows).map(|r| (r / responses) as i32).collect();
        let bench =
            Bench::new(Contrasts::helmert(&prompt, &prompt, |_| true), h.view(), None).expect("a bench");
        let labels = bench.probe([&s, &inside, &outside].map(|c| bench.column(c)).to_vec());
        // Judge, beyond the judge, neither, both; S is half inside and half outside h.
        for (judge, planted) in [(1, [0.5, 0.0, 0.5, 0.5]), (2, [0.5, 0.5, 0.0, 0.0])] {
            let found = shares(&bench, &labels[0], &labels[judge]).expect("shares");
            for (share, planted) in found.iter().map(|f| &f.share).zip(planted) {
                let se = share.se(bench.contrasts.blocks());
                assert!(
                    (share.value - planted).abs() < 3.5 * se.max(0.01),
                    "{judge}: {} ± {se}, {planted}",
                    share.value
                );
            }
        }
    }

    #[test]
    fn a_squared_correlation_is_covered_at_zero_and_away_from_it() {
        let mut rng = ChaCha8Rng::seed_from_u64(17);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let blocks: Vec<Range<usize>> = (0..20).map(|i| 3 * i..3 * i + 3).collect();
        for corr in [0.0f64, 0.1, 0.6] {
            let mut held = 0;
            for _ in 0..1000 {
                let s: Vec<f64> = (0..60).map(|_| normal()).collect();
                let r: Vec<f64> =
                    s.iter().map(|s| corr * s + (1.0 - corr * corr).sqrt() * normal()).collect();
                let (lo, hi) = interval_of_square(&s, &r, &blocks);
                assert!((0.0..=1.0).contains(&lo) && lo <= hi && hi <= 1.0, "{lo} {hi}");
                held += usize::from((lo..=hi).contains(&(corr * corr)));
            }
            // .93 minus 3.5 of its standard errors; at 0 the lower end is 0 whenever it should be.
            assert!(held >= 902, "{corr}: {held} of 1000");
        }
    }

    #[test]
    fn the_overlap_of_a_judge_that_tells_nothing_is_covered() {
        // S is half in h; the reward is unrelated to h and to S, so that both squares in the overlap have expectation
        // zero.
        let mut rng = ChaCha8Rng::seed_from_u64(29);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let (prompts, responses, draws) = (30, 4, 400);
        let rows = prompts * responses;
        let prompt: Vec<i32> = (0..rows).map(|r| (r / responses) as i32).collect();
        let (mut held, mut of_first_order) = (0, 0);
        for _ in 0..draws {
            let h = Array2::from_shape_fn((rows, 4), |_| normal() as f32);
            let s: Vec<f64> = (0..rows).map(|r| f64::from(h[(r, 0)]) + normal()).collect();
            let reward: Vec<f64> = (0..rows).map(|_| normal()).collect();
            let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
            let bench = Bench::new(contrasts, h.view(), None).expect("a bench");
            let labels = bench.probe(vec![bench.column(&s), bench.column(&reward)]);
            let found = shares(&bench, &labels[0], &labels[1]).expect("shares");
            let holds = |(lo, hi): (f64, f64)| usize::from(lo <= 0.0 && 0.0 <= hi);
            held += holds(found[3].interval(bench.contrasts.blocks()));
            of_first_order += holds(found[3].share.symmetric_interval(bench.contrasts.blocks()));
        }
        assert!(held as f64 >= 0.93 * draws as f64, "{held} of {draws}");
        assert!(of_first_order < held, "{of_first_order} of {draws} without the second order");
    }

    #[test]
    fn planted_shares_come_out_and_add_up_to_one() {
        // S = a + b + u + n with a, b in h and u, n not; the judge sees a and u.
        let rows = 2400;
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let h = Array2::from_shape_fn((rows, 10), |_| normal() as f32);
        let (u, n): (Vec<f64>, Vec<f64>) = (0..rows).map(|_| (normal(), normal())).unzip();
        let at = |r: usize, j: usize| f64::from(h[(r, j)]);
        let s: Vec<f64> = (0..rows).map(|r| at(r, 0) + at(r, 1) + u[r] + n[r]).collect();
        let reward: Vec<f64> = (0..rows).map(|r| at(r, 0) + u[r]).collect();
        let prompt: Vec<i32> = (0..rows as i32).map(|r| r / 4).collect();
        let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
        let bench = Bench::new(contrasts, h.view(), None).expect("a bench");
        let labels = bench.probe(vec![bench.column(&s), bench.column(&reward)]);
        let found = shares(&bench, &labels[0], &labels[1]).expect("shares");
        let told = found[..3].iter().map(|f| f.share.value).sum::<f64>();
        assert!((told - 1.0).abs() < 1e-12, "{told}");
        for (share, planted) in found.iter().map(|f| &f.share).zip([0.5, 0.25, 0.25, 0.25]) {
            let se = share.se(bench.contrasts.blocks());
            assert!(
                (share.value - planted).abs() < 4.0 * se && se < 0.05,
                "{} ± {se}, {planted}",
                share.value
            );
        }
    }

    #[test]
    fn a_reward_that_h_fixes_adds_nothing_to_h() {
        let rows = 800;
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let h = Array2::from_shape_fn((rows, 6), |_| normal() as f32);
        let reward: Vec<f64> = (0..rows).map(|r| f64::from(h[(r, 0)])).collect();
        let s: Vec<f64> = (0..rows).map(|r| reward[r] + f64::from(h[(r, 1)]) + normal()).collect();
        let prompt: Vec<i32> = (0..rows as i32).map(|r| r / 4).collect();
        let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
        let bench = Bench::new(contrasts, h.view(), None).expect("a bench");
        let labels = bench.probe(vec![bench.column(&s), bench.column(&reward)]);
        let found = shares(&bench, &labels[0], &labels[1]).expect("shares");
        for (share, planted) in found.iter().map(|f| &f.share).zip([1.0 / 3.0; 3]) {
            let se = share.se(bench.contrasts.blocks());
            assert!((share.value - planted).abs() < 4.0 * se && se < 0.1, "{} ± {se}", share.value);
        }
    }
}
