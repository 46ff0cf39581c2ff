//! Rotary positions: inverse frequencies under every scaling that the families use.
//!
//! With rotary width r and base θ, the unscaled inverse frequencies are f_i = θ^(−2i/r),
//! i = 0 … r/2 − 1; at position p the pair (x_i, x_{i+r/2}) is rotated by p·f_i, and the cosines and
//! sines are multiplied by the attention factor. Scalings follow Hugging Face transformers.

use std::f64::consts::PI;

use super::raw::Raw;
use crate::error::Result;

/// One rotary embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Rotated width of a head, even, at most `head_dim`.
    pub dim: usize,
    /// Frequency tables, by increasing sequence length: most models have one, `longrope` two.
    pub tables: Vec<RopeTable>,
}

/// Frequencies for sequences of up to `up_to` tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeTable {
    /// Longest sequence, in tokens, that uses this table.
    pub up_to: usize,
    /// `[dim / 2]` inverse frequencies, in radians per position.
    pub inv_freq: Vec<f64>,
    /// Factor on cosines and sines.
    pub attention_factor: f64,
}

impl Rope {
    /// Index of the table for a sequence of `len` tokens.
    pub fn regime(&self, len: usize) -> usize {
        self.tables.iter().position(|t| len <= t.up_to).unwrap_or(self.tables.len() - 1)
    }

    /// The table of a regime; a rope with a single table uses it in every regime.
    pub fn table(&self, regime: usize) -> &RopeTable {
        &self.tables[regime.min(self.tables.len() - 1)]
    }

    /// Unscaled frequencies.
    pub(super) fn plain(dim: usize, theta: f64) -> Self {
        Self::single(frequencies(dim, theta), 1.0, dim)
    }

    fn single(inv_freq: Vec<f64>, attention_factor: f64, dim: usize) -> Self {
        Self { dim, tables: vec![RopeTable { up_to: usize::MAX, inv_freq, attention_factor }] }
    }

    /// Reads `rope_scaling` (or the newer `rope_parameters`), given as `scaling`. `pretrained` is the config's (or its
    /// class's) own `original_max_position_embeddings`: transformers prefers it to the one inside `scaling`, and falls
    /// back to the context.
    pub(super) fn scaled(
        dim: usize,
        theta: f64,
        scaling: &Raw,
        pretrained: Option<usize>,
        context: usize,
    ) -> Result<Self> {
        let kind = match scaling.str_opt("rope_type")? {
            Some(kind) => kind,
            None => scaling.str_opt("type")?.unwrap_or("default"),
        };
        let inside = scaling.usize_opt("original_max_position_embeddings")?;
        let original = pretrained.or(inside).unwrap_or(context);
        if original == 0 {
            return Err(scaling.invalid(
                "original_max_position_embeddings",
                "at least 1".into(),
                original.to_string(),
            ));
        }
        let original = original as f64;
        let factor = match scaling.f64_opt("factor")? {
            Some(factor) => factor,
            // As transformers does for yarn.
            None if kind == "yarn" => context as f64 / original,
            None if matches!(kind, "linear" | "llama3") => return Err(scaling.missing("factor")),
            None => 1.0,
        };
        if !(factor.is_finite() && factor > 0.0) {
            return Err(scaling.invalid("factor", "a positive number".into(), factor.to_string()));
        }
        let base = frequencies(dim, theta);
        match kind {
            "default" => Ok(Self::plain(dim, theta)),
            "linear" => Ok(Self::single(base.iter().map(|f| f / factor).collect(), 1.0, dim)),
            "llama3" => {
                let (low, high) = (scaling.f64("low_freq_factor")?, scaling.f64("high_freq_factor")?);
                Ok(Self::single(llama3(&base, factor, low, high, original), 1.0, dim))
            }
            "yarn" => {
                let attention = match scaling.f64_opt("attention_factor")? {
                    Some(given) => given,
                    None => {
                        yarn_attention(factor, scaling.f64_opt("mscale")?, scaling.f64_opt("mscale_all_dim")?)
                    }
                };
                let range = YarnRange {
                    fast: scaling.f64_or("beta_fast", 32.0)?,
                    slow: scaling.f64_or("beta_slow", 1.0)?,
                    truncate: scaling.bool_or("truncate", true)?,
                };
                Ok(Self::single(yarn(&base, theta, factor, original, &range), attention, dim))
            }
            "longrope" | "su" => Self::longrope(&base, scaling, original, context),
            other => Err(scaling.unsupported(
                "rope_type",
                other.to_owned(),
                "default, linear, llama3, yarn or longrope",
            )),
        }
    }

    /// Phi-3's longrope: each frequency is divided by its own factor; sequences longer than the original context use a
    /// second set of factors.
    fn longrope(base: &[f64], scaling: &Raw, original: f64, context: usize) -> Result<Self> {
        let dim = 2 * base.len();
        let factors = |key: &str| -> Result<Vec<f64>> {
            let list = scaling.f64_list(key)?.unwrap_or_default();
            if list.len() != base.len() || list.iter().any(|f| !(f.is_finite() && *f > 0.0)) {
                return Err(scaling.invalid(
                    key,
                    format!("{} positive numbers, half the rotary width", base.len()),
                    format!("{} numbers", list.len()),
                ));
            }
            Ok(base.iter().zip(&list).map(|(f, by)| f / by).collect())
        };
        let (short, long) = (factors("short_factor")?, factors("long_factor")?);
        let stretch = match scaling.f64_opt("factor")? {
            Some(factor) => factor,
            None => context as f64 / original,
        };
        let attention_factor = match scaling.f64_opt("attention_factor")? {
            Some(given) => given,
            None if stretch <= 1.0 => 1.0,
            None => (1.0 + stretch.ln() / original.ln()).sqrt(),
        };
        Ok(Self {
            dim,
            tables: vec![
                RopeTable { up_to: original as usize, inv_freq: short, attention_factor },
                RopeTable { up_to: usize::MAX, inv_freq: long, attention_factor },
            ],
        })
    }
}

fn frequencies(dim: usize, theta: f64) -> Vec<f64> {
    (0..dim / 2).map(|i| theta.powf(-((2 * i) as f64) / dim as f64)).collect()
}

/// Llama 3.1: wavelengths longer than original/low are stretched by the factor, those shorter than original/high are
/// unchanged, and between them the two are blended linearly in original/wavelength.
fn llama3(base: &[f64], factor: f64, low: f64, high: f64, original: f64) -> Vec<f64> {
    base.iter()
        .map(|&f| {
            let wavelength = 2.0 * PI / f;
            if wavelength > original / low {
                f / factor
            } else if wavelength < original / high {
                f
            } else {
                let smooth = (original / wavelength - low) / (high - low);
                (1.0 - smooth) * f / factor + smooth * f
            }
        })
        .collect()
}

struct YarnRange {
    fast: f64,
    slow: f64,
    truncate: bool,
}

/// `YaRN` (Peng et al. 2023): frequencies with many turns within the original context are kept, slow ones are
/// stretched, with a linear ramp over the index between them.
fn yarn(base: &[f64], theta: f64, factor: f64, original: f64, range: &YarnRange) -> Vec<f64> {
    let dim = 2.0 * base.len() as f64;
    let index_of = |turns: f64| dim * (original / (turns * 2.0 * PI)).ln() / (2.0 * theta.ln());
    let (mut low, mut high) = (index_of(range.fast), index_of(range.slow));
    if range.truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    low = low.max(0.0);
    high = high.min(dim - 1.0);
    if low == high {
        high += 0.001;
    }
    base.iter()
        .enumerate()
        .map(|(i, &f)| {
            let ramp = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
            f / factor * ramp + f * (1.0 - ramp)
        })
        .collect()
}

fn yarn_attention(factor: f64, mscale: Option<f64>, mscale_all_dim: Option<f64>) -> f64 {
    let get = |by: f64| if factor <= 1.0 { 1.0 } else { 0.1 * by * factor.ln() + 1.0 };
    match (mscale, mscale_all_dim) {
        (Some(a), Some(b)) if a != 0.0 && b != 0.0 => get(a) / get(b),
        _ => get(1.0),
    }
}
