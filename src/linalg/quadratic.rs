//! Minimises α'Θα over cones and simplices of few dimensions by enumerating supports.

use faer::Mat;

use super::solve_regular;

/// Maximum number of dimensions for enumerating all supports.
pub const MOST: usize = 12;

/// Minimiser and minimum.
pub type Minimum = (Vec<f64>, f64);

/// The α on the simplex (α ≥ 0, Σα = 1) that minimises α'Θα, and the minimum. `None` if Θ has no rows, or more than
/// [`MOST`].
pub fn on_simplex(theta: &[Vec<f64>]) -> Option<Minimum> {
    let all: Vec<usize> = (0..theta.len()).collect();
    // On a support, Θα is constant at the minimum subject to Σα = 1.
    smallest(
        theta,
        &all,
        |_| 1.0,
        |members, x| {
            let total: f64 = x.iter().sum();
            let outside =
                total.is_nan() || total.abs() < f64::MIN_POSITIVE || x.iter().any(|v| v / total < 0.0);
            if members.is_empty() || outside {
                return None;
            }
            let mut alpha = vec![0.0; theta.len()];
            members.iter().zip(x).for_each(|(&i, v)| alpha[i] = v / total);
            Some(alpha)
        },
    )
}

/// The α ≥ 0 with α_first = 1 that minimises α'Θα, and the minimum. With Θ the inner products of vectors v, V α is the
/// projection of v_first on the cone {u : ⟨u, v_i⟩ ≥ 0}: what remains of it without a negative product with any of the
/// others. `None` if `first` is not a row of Θ, or Θ has more than [`MOST`] rows.
pub fn on_cone(theta: &[Vec<f64>], first: usize) -> Option<Minimum> {
    if first >= theta.len() {
        return None;
    }
    let others: Vec<usize> = (0..theta.len()).filter(|&i| i != first).collect();
    // Θ_SS α = −Θ_S,first at a stationary point.
    smallest(
        theta,
        &others,
        |i| -theta[i][first],
        |members, x| {
            if x.iter().any(|&a| a < 0.0) {
                return None;
            }
            let mut alpha = vec![0.0; theta.len()];
            alpha[first] = 1.0;
            members.iter().zip(x).for_each(|(&i, &a)| alpha[i] = a);
            Some(alpha)
        },
    )
}

/// The best α over the subsets S of `free`: each solves Θ_SS x = right, and `alpha` converts x to a point if it is
/// feasible.
fn smallest(
    theta: &[Vec<f64>],
    free: &[usize],
    right: impl Fn(usize) -> f64,
    alpha: impl Fn(&[usize], &[f64]) -> Option<Vec<f64>>,
) -> Option<Minimum> {
    let m = theta.len();
    if m > MOST {
        return None;
    }
    // A small ridge on the diagonal, so that parallel and opposite vectors have a solution too.
    let hair = 1e-10 * (0..m).fold(0.0f64, |most, i| most.max(theta[i][i].abs()));
    let form = |a: &[f64]| -> f64 {
        (0..m).flat_map(|i| (0..m).map(move |j| (i, j))).map(|(i, j)| a[i] * theta[i][j] * a[j]).sum()
    };
    let mut best: Option<Minimum> = None;
    for support in 0u32..(1 << free.len()) {
        let members: Vec<usize> =
            free.iter().enumerate().filter(|(i, _)| support >> i & 1 == 1).map(|(_, &o)| o).collect();
        let face = Mat::from_fn(members.len(), members.len(), |i, j| {
            theta[members[i]][members[j]] + if i == j { hair } else { 0.0 }
        });
        let right: Vec<f64> = members.iter().map(|&i| right(i)).collect();
        let Some(point) = solve_regular(face.as_ref(), &right).and_then(|x| alpha(&members, &x)) else {
            continue;
        };
        let value = form(&point);
        if best.as_ref().is_none_or(|b| value < b.1) {
            best = Some((point, value));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Θ of unit vectors at these angles in a plane.
    fn plane(degrees: &[f64]) -> Vec<Vec<f64>> {
        let cos = |a: f64, b: f64| (a - b).to_radians().cos();
        degrees.iter().map(|&a| degrees.iter().map(|&b| cos(a, b)).collect()).collect()
    }

    #[test]
    fn what_remains_of_a_vector_is_the_sine_of_an_obtuse_angle() {
        let share = |degrees: &[f64]| on_cone(&plane(degrees), 0).expect("a minimum").1.max(0.0).sqrt();
        // No conflict: nothing is lost.
        assert!((share(&[0.0, 80.0]) - 1.0).abs() < 1e-9);
        // Two vectors at 120°: cos 30° remains, along the edge of the other's half-plane.
        assert!((share(&[0.0, 120.0]) - 30f64.to_radians().cos()).abs() < 1e-9);
        assert!(share(&[0.0, 180.0]) < 1e-4);
        // Between two others that both oppose it nothing remains; of two on one side the stricter one decides.
        assert!(share(&[0.0, 120.0, 240.0]) < 1e-4);
        assert!((share(&[0.0, 120.0, 100.0]) - 30f64.to_radians().cos()).abs() < 1e-9);
        assert_eq!(on_cone(&plane(&[0.0]), 1), None);
    }

    #[test]
    fn the_smallest_combination_is_the_nearest_point_of_the_hull_to_zero() {
        // Two unit vectors: half of each, at distance cos of half the angle.
        let (alpha, value) = on_simplex(&plane(&[0.0, 120.0])).expect("a minimum");
        assert!((alpha[0] - 0.5).abs() < 1e-12 && (value - 60f64.to_radians().cos().powi(2)).abs() < 1e-12);
        // Three at 120°: zero lies in the hull, and the cone is empty.
        let (alpha, value) = on_simplex(&plane(&[0.0, 120.0, 240.0])).expect("a minimum");
        assert!(
            value.abs() < 1e-12 && alpha.iter().all(|a| (a - 1.0 / 3.0).abs() < 1e-9),
            "{alpha:?} {value}"
        );
        // Opposite vectors.
        let (alpha, value) = on_simplex(&plane(&[0.0, 180.0])).expect("a minimum");
        assert!(value.abs() < 1e-9 && (alpha[0] - 0.5).abs() < 1e-6, "{alpha:?} {value}");
        // A third vector inside the cone of the others has weight 0.
        let (alpha, _) = on_simplex(&plane(&[0.0, 100.0, 50.0])).expect("a minimum");
        assert!(alpha[2].abs() < 1e-12, "{alpha:?}");
        assert_eq!(on_simplex(&[]), None);
        assert_eq!(on_simplex(&plane(&[0.0; MOST + 1])), None);
    }
}
