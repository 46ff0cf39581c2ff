//! The null distribution of a constitution's figure: the same figure for texts that name no value.
//!
//! Placebo texts are a sample of texts of the same form. Under the null a constitution is one more of them, so that
//! (a − ā)/(s√(1 + 1/m)), with a its figure and ā and s the mean and standard deviation of the placebos', is
//! t-distributed with m − 1 degrees of freedom, and ā ± t s√(1 + 1/m) is a 95 % prediction band. A cosine's sign has
//! no meaning under the null (the placebos' cosines are of differences among them), so that its band is ± t·rms of
//! theirs.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Smallest number of placebo texts for a verdict.
pub const ENOUGH: usize = 4;

/// 95 % prediction band for the figure of a further placebo text.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Lower end.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
    /// Number of placebo texts.
    pub texts: usize,
    /// Two-sided p of the constitution's figure under the hypothesis that it is another placebo text.
    pub p: f64,
}

/// The band of a figure on a scale without a fixed zero; `None` with fewer than two placebos.
pub fn band(figure: f64, placebos: &[f64]) -> Option<Band> {
    let m = placebos.len() as f64;
    let t = StudentsT::new(0.0, 1.0, m - 1.0).ok().filter(|_| placebos.len() >= 2)?;
    let mean = placebos.iter().sum::<f64>() / m;
    let sd = (placebos.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / (m - 1.0)).sqrt();
    Some(around(&t, figure, mean, sd * (1.0 + 1.0 / m).sqrt(), placebos.len()))
}

/// The band of a figure whose null is symmetric about 0, such as a cosine, clipped at ±1; `None` with fewer than two
/// placebos.
pub fn band_about_zero(figure: f64, placebos: &[f64]) -> Option<Band> {
    let m = placebos.len() as f64;
    let t = StudentsT::new(0.0, 1.0, m - 1.0).ok().filter(|_| placebos.len() >= 2)?;
    let rms = (placebos.iter().map(|a| a * a).sum::<f64>() / m).sqrt();
    let band = around(&t, figure, 0.0, rms, placebos.len());
    Some(Band { lo: band.lo.max(-1.0), hi: band.hi.min(1.0), ..band })
}

fn around(t: &StudentsT, figure: f64, centre: f64, scale: f64, texts: usize) -> Band {
    let half = t.inverse_cdf(0.975) * scale;
    // If the placebos agree exactly, any other figure is outside the band.
    let p = match (scale > 0.0, figure == centre) {
        (true, _) => 2.0 * t.sf(((figure - centre) / scale).abs()),
        (false, same) => f64::from(u8::from(same)),
    };
    Band { lo: centre - half, hi: centre + half, texts, p }
}

/// p-values adjusted for their number (Holm 1979), in input order.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut out, mut least) = (vec![1.0; p.len()], 0.0f64);
    for (rank, &i) in order.iter().enumerate() {
        least = least.max(p[i] * (p.len() - rank) as f64).min(1.0);
        out[i] = least;
    }
    out
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::StandardNormal;

    use super::*;

    #[test]
    fn a_further_placebo_lies_outside_its_band_one_time_in_twenty() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for texts in [3usize, 4, 8] {
            let (mut outside, mut small) = (0, 0);
            for _ in 0..4000 {
                let draws: Vec<f64> = (0..=texts)
                    .map(|_| 7.0 + 0.3 * rng.sample::<f64, _>(StandardNormal))
                    .collect::<Vec<f64>>();
                let found = band(draws[0], &draws[1..]).expect("a band");
                outside += usize::from(draws[0] < found.lo || draws[0] > found.hi);
                small += usize::from(found.p < 0.05);
            }
            assert_eq!(outside, small);
            assert!((150..=250).contains(&outside), "{texts}: {outside} of 4000");
        }
        assert_eq!(band(1.0, &[0.5]), None);
    }

    #[test]
    fn holm_is_what_it_is_in_a_worked_case() {
        assert_eq!(holm(&[0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02]);
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }
}
