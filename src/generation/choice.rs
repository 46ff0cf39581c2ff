//! How the next token is chosen.

use candle_transformers::generation::{LogitsProcessor, Sampling};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Diagnostic, Kind, Result};

/// Distribution from which the next token is drawn, given its logits.
///
/// P(token) ∝ exp(logit / T), restricted to the k likeliest tokens and to the smallest set of likeliest tokens whose
/// probabilities sum to at least p, where they are given. T = 0 chooses the likeliest token. With T = 1, p = 1 and no k,
/// replies are samples of the model's own distribution, which is what a covariance under the base policy needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Temperature T, at least 0.
    pub temperature: f64,
    /// Share p of the probability that is kept, in (0, 1]. With `top_k`, a share of the whole probability, not of that
    /// of the k tokens.
    pub top_p: f64,
    /// Number k of likeliest tokens that are kept, at least 1; `None` keeps all.
    pub top_k: Option<usize>,
}

impl Choice {
    /// Samples of the model's own distribution: T = 1, p = 1, all tokens.
    pub const OWN: Self = Self { temperature: 1.0, top_p: 1.0, top_k: None };

    /// The likeliest token.
    pub const GREEDY: Self = Self { temperature: 0.0, ..Self::OWN };

    /// Whether replies are samples of the model's own distribution.
    pub fn is_own(self) -> bool {
        self == Self::OWN
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a setting out of its range.
    pub fn check(self) -> Result<()> {
        let invalid = |what: &str, expected: &str, found: String| {
            Err(Diagnostic::new(Kind::Invalid, what).expected(expected).found(found).into())
        };
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return invalid("the temperature", "a number that is not negative", self.temperature.to_string());
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return invalid("top-p", "a share above 0 and at most 1", self.top_p.to_string());
        }
        if self.top_k == Some(0) {
            return invalid("top-k", "at least 1 token", "0".to_owned());
        }
        Ok(())
    }

    /// A sampler with this distribution.
    pub fn processor(self, seed: u64) -> LogitsProcessor {
        let (temperature, p) = (self.temperature, self.top_p);
        let sampling = match self.top_k {
            _ if temperature == 0.0 => Sampling::ArgMax,
            None if p == 1.0 => Sampling::All { temperature },
            None => Sampling::TopP { p, temperature },
            Some(k) if p == 1.0 => Sampling::TopK { k, temperature },
            Some(k) => Sampling::TopKThenTopP { k, p, temperature },
        };
        LogitsProcessor::from_sampling(seed, sampling)
    }
}

/// Seed of one reply, from the seed of the whole job, the prompt's id and the reply's number: a reply does not depend on
/// which others are sampled with it.
pub fn seed_of(seed: u64, id: &str, reply: usize) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    hasher.update((reply as u64).to_le_bytes());
    hasher.update(id.as_bytes());
    let digest = hasher.finalize();
    digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    fn shares(choice: Choice, logits: &[f32]) -> Vec<f64> {
        const DRAWS: usize = 20_000;
        let logits = Tensor::new(logits, &Device::Cpu).expect("logits");
        let mut counts = vec![0.0; logits.elem_count()];
        let mut processor = choice.processor(3);
        for _ in 0..DRAWS {
            counts[processor.sample(&logits).expect("a token") as usize] += 1.0 / DRAWS as f64;
        }
        counts
    }

    #[test]
    fn each_setting_gives_its_distribution() {
        let logits = [0.4f32.ln(), 0.3f32.ln(), 0.2f32.ln(), 0.1f32.ln()];
        let cases = [
            (Choice::OWN, [0.4, 0.3, 0.2, 0.1]),
            (Choice::GREEDY, [1.0, 0.0, 0.0, 0.0]),
            (Choice { top_k: Some(2), ..Choice::OWN }, [4.0 / 7.0, 3.0 / 7.0, 0.0, 0.0]),
            (Choice { top_p: 0.85, ..Choice::OWN }, [4.0 / 9.0, 3.0 / 9.0, 2.0 / 9.0, 0.0]),
            (Choice { top_p: 0.65, top_k: Some(3), ..Choice::OWN }, [4.0 / 7.0, 3.0 / 7.0, 0.0, 0.0]),
            // Squares of the probabilities.
            (Choice { temperature: 0.5, ..Choice::OWN }, [16.0 / 30.0, 9.0 / 30.0, 4.0 / 30.0, 1.0 / 30.0]),
        ];
        for (choice, expected) in cases {
            for (found, expected) in shares(choice, &logits).into_iter().zip::<[f64; 4]>(expected) {
                // Four standard deviations of a share of 20,000 draws.
                let sd = (expected * (1.0 - expected) / 20_000.0).sqrt();
                assert!((found - expected).abs() <= 4.0 * sd + 1e-9, "{choice:?}: {found} for {expected}");
            }
        }
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let own = Choice::OWN;
        assert!(own.check().is_ok() && Choice::GREEDY.check().is_ok());
        for bad in [
            Choice { temperature: -1.0, ..own },
            Choice { temperature: f64::NAN, ..own },
            Choice { top_p: 0.0, ..own },
            Choice { top_p: 1.5, ..own },
            Choice { top_p: f64::NAN, ..own },
            Choice { top_k: Some(0), ..own },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn replies_have_seeds_of_their_own() {
        let seeds = [seed_of(0, "a", 0), seed_of(0, "a", 1), seed_of(1, "a", 0), seed_of(0, "b", 0)];
        let distinct: std::collections::BTreeSet<u64> = seeds.into_iter().collect();
        assert_eq!(distinct.len(), seeds.len());
        assert_eq!(seed_of(5, "x", 2), seed_of(5, "x", 2));
    }
}
