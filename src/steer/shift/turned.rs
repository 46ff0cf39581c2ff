//! Rotation between directions of the same name at two checkpoints.

use ndarray::ArrayView2;
use serde::Serialize;

use super::less_mean;
use crate::linalg::dot;

/// Rotation of a direction that both checkpoints have, computed from exported vectors; without an interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turned {
    /// Name of the direction.
    pub direction: String,
    /// cos(v̂_A, v̂_B) in the metric of the covariance of H_A's rows; absent if one of them does not vary.
    pub cos: Option<f64>,
    /// The cosine in raw coordinates.
    pub cos_raw: f64,
}

/// Cosines between directions `[d]` of the same name at the first and second checkpoint; `a` `[rows, d]` of the first.
pub fn turned(
    a: ArrayView2<'_, f32>,
    first: &[(String, Vec<f64>)],
    second: &[(String, Vec<f64>)],
) -> Vec<Turned> {
    let rows = less_mean(&a.mapv(f64::from));
    let read = |v: &[f64]| -> Vec<f64> {
        rows.rows().into_iter().map(|r| r.iter().zip(v).map(|(x, v)| x * v).sum()).collect()
    };
    let cos = |u: &[f64], v: &[f64]| dot(u, v) / (dot(u, u) * dot(v, v)).sqrt();
    let of = |(name, u): &(String, Vec<f64>)| {
        let (_, v) = second.iter().find(|(other, v)| other == name && v.len() == u.len())?;
        let in_metric = Some(cos(&read(u), &read(v))).filter(|c| c.is_finite());
        let cos_raw = Some(cos(u, v)).filter(|c| c.is_finite())?;
        Some(Turned { direction: name.clone(), cos: in_metric, cos_raw })
    };
    first.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_of_one_name_are_compared_in_both_metrics() {
        // Component 0 varies twice as much as component 1.
        let a = ndarray::arr2(&[[2.0f32, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]]);
        let named = |name: &str, v: [f64; 2]| (name.to_owned(), v.to_vec());
        let first = [named("v", [1.0, 1.0]), named("only", [1.0, 0.0]), named("zero", [0.0, 0.0])];
        let second = [named("v", [1.0, -1.0]), named("zero", [1.0, 0.0])];
        let found = turned(a.view(), &first, &second);
        assert_eq!(found.len(), 1);
        // (4 − 1)/(4 + 1) in the metric, 0 in raw coordinates.
        assert!((found[0].cos.expect("a cosine") - 0.6).abs() < 1e-12 && found[0].cos_raw.abs() < 1e-12);
    }
}
