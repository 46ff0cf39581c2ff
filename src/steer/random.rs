//! Random control directions for interventions: isotropic, or with the covariance of h.
//!
//! In d dimensions an isotropic direction lies almost surely outside the few directions that the model uses, so it is a
//! weak null. A direction drawn with the within-prompt covariance, u ∝ Xᵀg with g ~ N(0, I), moves h along the
//! directions in which h itself varies: the stronger null.

use ndarray::ArrayView2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Distribution of the random directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Law {
    /// N(0, I), scaled to length 1.
    Isotropic,
    /// N(0, Σ_w), scaled to length 1.
    Covariance,
}

impl Law {
    /// Description for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Isotropic => "isotropic",
            Self::Covariance => "covariance of h",
        }
    }
}

/// Unit direction `i` of a seed, `[d]`.
pub fn isotropic(seed: u64, i: usize, d: usize) -> Vec<f64> {
    unit(normals(seed, i, d))
}

/// Unit direction `i` of a seed with the covariance of `h [rows, d]` within prompts. The same random numbers are
/// assigned to the rows at every layer. Zero if h does not vary within prompts.
pub fn with_covariance(seed: u64, i: usize, h: ArrayView2<'_, f32>, prompt: &[i32]) -> Vec<f64> {
    let mut weights = normals(seed, i, h.nrows());
    // Xᵀg for centred X equals Hᵀ times the centred g.
    let mut sums = std::collections::BTreeMap::<i32, (f64, f64)>::new();
    for (g, p) in weights.iter().zip(prompt) {
        let cell = sums.entry(*p).or_default();
        (cell.0, cell.1) = (cell.0 + g, cell.1 + 1.0);
    }
    for (g, p) in weights.iter_mut().zip(prompt) {
        *g -= sums[p].0 / sums[p].1;
    }
    let mut u = vec![0.0; h.ncols()];
    for (row, g) in h.rows().into_iter().zip(&weights) {
        u.iter_mut().zip(row).for_each(|(u, v)| *u += g * f64::from(*v));
    }
    // A residue of sums that cancel is rounding error, not a direction.
    let size = h.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    if u.iter().map(|u| u * u).sum::<f64>().sqrt() <= 1e-9 * size {
        return vec![0.0; u.len()];
    }
    unit(u)
}

fn normals(seed: u64, i: usize, n: usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(i as u64);
    (0..n).map(|_| StandardNormal.sample(&mut rng)).collect()
}

fn unit(mut v: Vec<f64>) -> Vec<f64> {
    let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
    if norm > 0.0 {
        v.iter_mut().for_each(|v| *v /= norm);
    }
    v
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn directions_have_length_one_and_differ_by_number_alone() {
        let (a, b) = (isotropic(1, 0, 50), isotropic(1, 1, 50));
        assert!((a.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(a, isotropic(1, 0, 50));
        assert_ne!(a, b);
    }

    #[test]
    fn the_covariance_decides_where_a_direction_points() {
        // Column 0 varies within prompts, column 1 between them, column 2 barely.
        let prompt: Vec<i32> = (0..200).map(|r| r / 4).collect();
        let h = Array2::from_shape_fn((200, 3), |(r, j)| match j {
            0 => 5.0 * (r as f32 * 12.9898).sin(),
            1 => 100.0 * (r / 4) as f32,
            _ => 0.01 * (r as f32 * 78.233).sin(),
        });
        for i in 0..20 {
            let u = with_covariance(3, i, h.view(), &prompt);
            assert!(u[1].abs() < 1e-9 && u[2].abs() < 0.2, "{u:?}");
        }
        let flat = Array2::<f32>::ones((200, 3));
        assert!(with_covariance(3, 0, flat.view(), &prompt).iter().all(|v| *v == 0.0));
    }
}
