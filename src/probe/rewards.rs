//! Converts pairwise log-odds to a reward for each response, by least squares on the comparison graph.
//!
//! In each prompt the rewards r minimise Σ (r_a − r_b − ℓ_ab)² over its judged pairs and have mean 0 (HodgeRank: Jiang,
//! Lim, Yao and Ye 2011). The residual share of Σ ℓ² is the judge's inconsistency.

use std::collections::BTreeMap;

use faer::Mat;

use crate::linalg::solve_all;

/// Rewards and how well they explain the choices.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewards {
    /// Rewards, one per row; NaN for rows without one.
    pub reward: Vec<f64>,
    /// Residual share Σ (ℓ − fitted)² / Σ ℓ²; NaN if every ℓ is 0.
    pub inconsistency: f64,
    /// Residual and total sum of squares of the pairs of each prompt: (prompt, residual, total).
    pub squares: Vec<(i32, f64, f64)>,
    /// Number of judged rows that are not connected to the largest component of their prompt.
    pub disconnected: usize,
}

/// Fits rewards to `log_odds` (that the first row of each of `pairs` is better). If the pairs of a prompt form several
/// components that are not compared with each other, the largest is used (the first of equals) and the others get no
/// reward.
pub fn rewards(prompt: &[i32], pairs: &[(usize, usize)], log_odds: &[f64]) -> Rewards {
    let mut by_prompt: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (i, &(a, _)) in pairs.iter().enumerate() {
        by_prompt.entry(prompt[a]).or_default().push(i);
    }
    let mut reward = vec![f64::NAN; prompt.len()];
    let (mut squares, mut disconnected) = (Vec::new(), 0);
    for (&p, members) in &by_prompt {
        let own: Vec<(usize, usize)> = members.iter().map(|&i| pairs[i]).collect();
        let ranking = Ranking::new(&own);
        let all: std::collections::BTreeSet<usize> = own.iter().flat_map(|&(a, b)| [a, b]).collect();
        disconnected += all.len() - ranking.rows.len();
        let odds: Vec<f64> = members.iter().map(|&i| log_odds[i]).collect();
        let r: Vec<f64> = (0..ranking.rows.len())
            .map(|row| odds.iter().enumerate().map(|(m, l)| ranking.map[(row, m)] * l).sum())
            .collect();
        let (mut residual, mut total) = (0.0, 0.0);
        let place = |row: usize| ranking.rows.binary_search(&row).ok();
        for (&(a, b), l) in own.iter().zip(&odds) {
            if let (Some(a), Some(b)) = (place(a), place(b)) {
                residual += (l - (r[a] - r[b])).powi(2);
                total += l * l;
            }
        }
        squares.push((p, residual, total));
        for (&row, r) in ranking.rows.iter().zip(r) {
            reward[row] = r;
        }
    }
    let (residual, total) = squares.iter().fold((0.0, 0.0), |(r, t), s| (r + s.1, t + s.2));
    let inconsistency = if total > 0.0 { residual / total } else { f64::NAN };
    Rewards { reward, inconsistency, squares, disconnected }
}

/// The least-squares map from the comparisons of one prompt to a value per response.
///
/// The map is linear: it turns log-odds into rewards, and likewise any other quantity that is read for pairs and
/// changes sign with their order into a part per response.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// Rows of the largest component of the prompt's comparison graph (the first of equals), in increasing order.
    pub rows: Vec<usize>,
    /// Map `[rows, pairs]`; 0 for pairs outside the component.
    pub map: Mat<f64>,
}

impl Ranking {
    /// Builds the map for the pairs of a prompt.
    pub fn new(pairs: &[(usize, usize)]) -> Self {
        let rows = largest_part(pairs.iter().copied());
        let place = |row: usize| rows.binary_search(&row).ok();
        let k = rows.len();
        // The Laplacian plus a constant: this fixes its null space, the level of the prompt, at mean 0.
        let mut laplacian = Mat::from_fn(k, k, |_, _| 1.0);
        let mut flows = Mat::zeros(k, pairs.len());
        for (m, &(a, b)) in pairs.iter().enumerate() {
            if let (Some(a), Some(b)) = (place(a), place(b)) {
                laplacian[(a, a)] += 1.0;
                laplacian[(b, b)] += 1.0;
                laplacian[(a, b)] -= 1.0;
                laplacian[(b, a)] -= 1.0;
                flows[(a, m)] += 1.0;
                flows[(b, m)] -= 1.0;
            }
        }
        let map = solve_all(laplacian.as_ref(), &flows);
        Self { rows, map }
    }
}

/// The rows of the largest connected component, sorted.
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
