//! The change of a score between two sets of replies to the same prompts.

use serde::Serialize;

use crate::theory::base::mean::{BlockMean, mean_by_block};

/// Scores of the replies to one prompt, before and after, and the prompt's block of near-copies.
#[derive(Debug, Clone, PartialEq)]
pub struct Paired {
    /// Scores of the replies before.
    pub before: Vec<f64>,
    /// Scores of the replies after.
    pub after: Vec<f64>,
    /// Block.
    pub block: i32,
}

/// A mean with its 95 % interval over blocks of prompts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// The mean.
    pub estimate: f64,
    /// Its standard error; absent with one block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub se: Option<f64>,
    /// Lower end of the interval; absent with one block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lo: Option<f64>,
    /// Upper end of the interval; absent with one block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hi: Option<f64>,
    /// Number of prompts.
    pub prompts: usize,
    /// Number of blocks.
    pub blocks: usize,
}

impl From<&BlockMean> for Figure {
    fn from(mean: &BlockMean) -> Self {
        let (lo, hi) = mean.interval();
        let known = |x: f64| Some(x).filter(|_| mean.se.is_finite());
        let (se, lo, hi) = (known(mean.se), known(lo), known(hi));
        Self { estimate: mean.mean, se, lo, hi, prompts: mean.cells, blocks: mean.blocks() }
    }
}

/// Change of a score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Change {
    /// Mean over prompts of the mean score of the replies before.
    pub before: f64,
    /// The same of the replies after.
    pub after: f64,
    /// Mean over prompts of the difference of the two, after − before.
    pub change: Figure,
    /// Standard deviation of the scores before, within prompts; absent with one reply to each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sd: Option<f64>,
}

/// What an interval says of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The interval lies above 0.
    Rises,
    /// The interval lies below 0.
    Falls,
    /// The interval contains 0.
    NoEvidence,
    /// There is no interval.
    NotEstimable,
}

impl Change {
    /// What the interval says.
    pub fn verdict(&self) -> Verdict {
        match (self.change.lo, self.change.hi) {
            (Some(lo), _) if lo > 0.0 => Verdict::Rises,
            (_, Some(hi)) if hi < 0.0 => Verdict::Falls,
            (Some(_), Some(_)) => Verdict::NoEvidence,
            _ => Verdict::NotEstimable,
        }
    }

    /// The change as a share of the largest first-order change at a divergence of `kl` nats a reply, sd·√(2 KL): that of
    /// a tilt by the score itself (Theorem 3 with r = S). `None` without a positive divergence or spread.
    pub fn of_largest(&self, kl: f64) -> Option<f64> {
        let largest = self.sd? * (2.0 * kl).sqrt();
        (kl > 0.0 && largest > 0.0).then(|| self.change.estimate / largest)
    }
}

/// The change over prompts with replies on both sides, all prompts counting alike; `None` without any.
pub fn change(prompts: &[Paired]) -> Option<Change> {
    let both: Vec<&Paired> = prompts.iter().filter(|p| !p.before.is_empty() && !p.after.is_empty()).collect();
    let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
    let over = |of: &dyn Fn(&Paired) -> f64| both.iter().map(|p| of(p)).sum::<f64>() / both.len() as f64;
    let found = mean_by_block(both.iter().map(|p| (p.block, mean(&p.after) - mean(&p.before))))?;
    let (mut squares, mut free) = (0.0, 0.0);
    for p in &both {
        let centre = mean(&p.before);
        squares += p.before.iter().map(|s| (s - centre).powi(2)).sum::<f64>();
        free += p.before.len() as f64 - 1.0;
    }
    Some(Change {
        before: over(&|p| mean(&p.before)),
        after: over(&|p| mean(&p.after)),
        change: Figure::from(&found),
        sd: (free > 0.0).then(|| (squares / free).sqrt()),
    })
}

/// Kullback–Leibler divergence of the policy after from that before, E[log P_after(y) − log P_before(y)] over replies of
/// the policy after, in nats a reply: the mean over prompts of the mean over their replies. `None` without any.
pub fn divergence(prompts: &[(i32, Vec<f64>)]) -> Option<Figure> {
    let filled = prompts.iter().filter(|(_, ratios)| !ratios.is_empty());
    let means = filled.map(|(block, ratios)| (*block, ratios.iter().sum::<f64>() / ratios.len() as f64));
    mean_by_block(means).as_ref().map(Figure::from)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// Prompts with their own level, and replies around it, moved by `shift` after.
    fn prompts(seed: u64, count: usize, replies: usize, shift: f64) -> Vec<Paired> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count)
            .map(|block| {
                let level: f64 = 5.0 * rng.random::<f64>();
                // The effect differs between prompts.
                let own = shift + 0.3 * Distribution::<f64>::sample(&StandardNormal, &mut rng);
                let mut draw = |at: f64| -> Vec<f64> {
                    (0..replies)
                        .map(|_| at + Distribution::<f64>::sample(&StandardNormal, &mut rng))
                        .collect()
                };
                Paired { before: draw(level), after: draw(level + own), block: block as i32 }
            })
            .collect()
    }

    #[test]
    fn a_planted_change_is_covered_and_no_change_is_seldom_seen() {
        const SEEDS: u64 = 400;
        for shift in [0.4, 0.0] {
            let (mut covered, mut signs) = (0, [0, 0]);
            for seed in 0..SEEDS {
                let found = change(&prompts(seed, 60, 4, shift)).expect("a change");
                let (lo, hi) = (found.change.lo.expect("an end"), found.change.hi.expect("an end"));
                covered += usize::from(lo <= shift && shift <= hi);
                signs[0] += usize::from(found.verdict() == Verdict::Rises);
                signs[1] += usize::from(found.verdict() == Verdict::Falls);
                assert!((found.sd.expect("a spread") - 1.0).abs() < 0.3);
            }
            let share = covered as f64 / SEEDS as f64;
            // Four standard errors around .95.
            assert!((0.906..=0.994).contains(&share), "{share} at a change of {shift}");
            if shift > 0.0 {
                assert!(signs[0] > 350 && signs[1] == 0, "{signs:?}");
            } else {
                assert!(signs[0] + signs[1] < 38, "{signs:?}");
            }
        }
    }

    #[test]
    fn the_sides_change_places_with_the_sign_and_levels_do_not_matter() {
        let all = prompts(3, 20, 3, 0.5);
        let found = change(&all).expect("a change");
        let swapped: Vec<Paired> = all
            .iter()
            .map(|p| Paired { before: p.after.clone(), after: p.before.clone(), block: p.block })
            .collect();
        let back = change(&swapped).expect("a change");
        assert!((found.change.estimate + back.change.estimate).abs() < 1e-12);
        let moved: Vec<Paired> = all
            .iter()
            .enumerate()
            .map(|(i, p)| {
                let by = |scores: &[f64]| scores.iter().map(|s| s + 100.0 * i as f64).collect();
                Paired { before: by(&p.before), after: by(&p.after), block: p.block }
            })
            .collect();
        let moved = change(&moved).expect("a change");
        assert!((found.change.estimate - moved.change.estimate).abs() < 1e-9);
        assert!((found.sd.expect("sd") - moved.sd.expect("sd")).abs() < 1e-9);
    }

    #[test]
    fn a_tilt_by_the_score_itself_is_the_largest_change() {
        // Scores of a standard Gaussian, tilted by λ: mean λ, KL λ²/2.
        let lambda = 0.3;
        let all: Vec<Paired> = prompts(5, 4000, 4, 0.0)
            .into_iter()
            .map(|p| Paired { after: p.before.iter().map(|s| s + lambda).collect(), ..p })
            .collect();
        let share = change(&all).expect("a change").of_largest(lambda * lambda / 2.0).expect("a share");
        assert!((share - 1.0).abs() < 0.03, "{share}");
        assert_eq!(change(&all).expect("a change").of_largest(-0.1), None);
    }

    #[test]
    fn one_block_has_no_interval_and_nothing_is_no_change() {
        assert_eq!(change(&[]), None);
        let one = [Paired { before: vec![1.0], after: vec![2.0], block: 0 }];
        let found = change(&one).expect("a change");
        assert_eq!((found.verdict(), found.sd, found.change.lo), (Verdict::NotEstimable, None, None));
        let half = [Paired { before: vec![1.0], after: vec![], block: 0 }];
        assert_eq!(change(&half), None);
    }

    #[test]
    fn the_divergence_of_a_known_pair_of_policies_is_covered() {
        // log ratio of N(m, 1) and N(0, 1) at y ~ N(m, 1): m·y − m²/2, mean m²/2.
        let m = 0.8;
        let mut covered = 0;
        for seed in 0..300 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let ratios: Vec<(i32, Vec<f64>)> = (0..50)
                .map(|block| {
                    let mut ratio = || {
                        let y: f64 = m + Distribution::<f64>::sample(&StandardNormal, &mut rng);
                        m * y - m * m / 2.0
                    };
                    (block, (0..3).map(|_| ratio()).collect())
                })
                .collect();
            let found = divergence(&ratios).expect("a divergence");
            covered += usize::from(found.lo <= Some(m * m / 2.0) && Some(m * m / 2.0) <= found.hi);
        }
        assert!((273..=297).contains(&covered), "{covered} of 300");
    }
}
