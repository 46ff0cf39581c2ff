//! From pairwise log-odds to a reward for each response: least squares on the comparison graph.
//!
//! In each prompt the rewards r minimise Σ (r_a − r_b − ℓ_ab)² over its judged pairs and have mean 0
//! (HodgeRank: Jiang, Lim, Yao and Ye 2011). What they leave of Σ ℓ² is the judge's inconsistency.

use std::collections::BTreeMap;

use faer::Mat;

use crate::linalg::solve;

/// Rewards and how well they explain the choices.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewards {
    /// One a row; NaN where a row has none.
    pub reward: Vec<f64>,
    /// Σ (ℓ − fitted)² / Σ ℓ²; NaN if every ℓ is 0.
    pub inconsistency: f64,
    /// Residual and total sum of squares of each block of pairs, by prompt.
    pub squares: Vec<(i32, f64, f64)>,
    /// Rows that were judged but not connected to the largest part of their prompt.
    pub disconnected: usize,
}

/// Fits rewards to `log_odds` (that the first row of `pairs` is better). Where the pairs of a prompt
/// fall into parts that were never compared with each other, the largest part counts (the first of
/// equals) and the rest has no reward.
pub fn rewards(prompt: &[i32], pairs: &[(usize, usize)], log_odds: &[f64]) -> Rewards {
    let mut by_prompt: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (i, &(a, _)) in pairs.iter().enumerate() {
        by_prompt.entry(prompt[a]).or_default().push(i);
    }
    let mut reward = vec![f64::NAN; prompt.len()];
    let (mut squares, mut disconnected) = (Vec::new(), 0);
    for (&p, members) in &by_prompt {
        let part = largest_part(members.iter().map(|&i| pairs[i]));
        let all: std::collections::BTreeSet<usize> =
            members.iter().flat_map(|&i| [pairs[i].0, pairs[i].1]).collect();
        disconnected += all.len() - part.len();
        let place = |row: usize| part.binary_search(&row).ok();
        let k = part.len();
        // The Laplacian plus a constant: its null space, the level of the prompt, is fixed at mean 0.
        let mut laplacian = Mat::from_fn(k, k, |_, _| 1.0);
        let mut flow = vec![0.0; k];
        let used: Vec<(usize, usize, f64)> = members
            .iter()
            .filter_map(|&i| Some((place(pairs[i].0)?, place(pairs[i].1)?, log_odds[i])))
            .collect();
        for &(a, b, l) in &used {
            laplacian[(a, a)] += 1.0;
            laplacian[(b, b)] += 1.0;
            laplacian[(a, b)] -= 1.0;
            laplacian[(b, a)] -= 1.0;
            flow[a] += l;
            flow[b] -= l;
        }
        let r = solve(laplacian.as_ref(), &flow);
        let (mut residual, mut total) = (0.0, 0.0);
        for &(a, b, l) in &used {
            residual += (l - (r[a] - r[b])).powi(2);
            total += l * l;
        }
        squares.push((p, residual, total));
        for (row, r) in part.into_iter().zip(r) {
            reward[row] = r;
        }
    }
    let (residual, total) = squares.iter().fold((0.0, 0.0), |(r, t), s| (r + s.1, t + s.2));
    let inconsistency = if total > 0.0 { residual / total } else { f64::NAN };
    Rewards { reward, inconsistency, squares, disconnected }
}

/// The rows of the largest connected part, sorted.
fn largest_part(edges: impl Iterator<Item = (usize, usize)>) -> Vec<usize> {
    let mut neighbours: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (a, b) in edges {
        neighbours.entry(a).or_default().push(b);
        neighbours.entry(b).or_default().push(a);
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut best: Vec<usize> = Vec::new();
    for &start in neighbours.keys() {
        let (mut part, mut stack) = (Vec::new(), vec![start]);
        while let Some(row) = stack.pop() {
            if seen.insert(row) {
                part.push(row);
                stack.extend(&neighbours[&row]);
            }
        }
        if part.len() > best.len() {
            best = part;
        }
    }
    best.sort_unstable();
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consistent_choices_give_back_the_rewards_that_made_them() {
        let truth = [0.3, -1.2, 0.9, 2.0, -2.0];
        let prompt = [0, 0, 0, 1, 1];
        let pairs = [(0, 1), (1, 2), (2, 0), (4, 3)];
        let odds: Vec<f64> = pairs.iter().map(|&(a, b)| truth[a] - truth[b]).collect();
        let fit = rewards(&prompt, &pairs, &odds);
        for (r, t) in fit.reward.iter().zip(truth) {
            assert!((r - t).abs() < 1e-12);
        }
        assert!(fit.inconsistency < 1e-24 && fit.disconnected == 0);
    }

    #[test]
    fn a_cycle_is_pure_inconsistency() {
        let fit = rewards(&[0, 0, 0], &[(0, 1), (1, 2), (2, 0)], &[1.0, 1.0, 1.0]);
        assert!((fit.inconsistency - 1.0).abs() < 1e-12);
        assert!(fit.reward.iter().all(|r| r.abs() < 1e-12));
    }

    #[test]
    fn parts_that_were_never_compared_are_not_ranked_against_each_other() {
        let fit = rewards(&[0; 6], &[(0, 1), (2, 3), (3, 4)], &[1.0, 2.0, 2.0]);
        assert_eq!(fit.disconnected, 2);
        assert!(fit.reward[0].is_nan() && fit.reward[1].is_nan() && fit.reward[5].is_nan());
        assert!((fit.reward[2] - 2.0).abs() < 1e-12 && fit.reward[3].abs() < 1e-12);
    }
}
