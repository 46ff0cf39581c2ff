//! Rotary positions in the metadata of a GGUF file: base, width, scaling, and factors stored as tensors.

use candle_core::DType;
use serde_json::{Value, json};

use super::config::{Sizes, Translation};
use crate::error::{Diagnostic, Error, Kind, Result};

/// Tensors that hold settings: factors of rotary frequencies.
pub(super) const BUFFERS: &[&str] =
    &["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];

impl Translation<'_> {
    pub(super) fn rope(&mut self, sizes: &Sizes) -> Result<()> {
        let head_dim = sizes.head_dim;
        let theta = self.keys.f64_opt("rope.freq_base")?.unwrap_or(10_000.0);
        let rotated = self.keys.usize_opt("rope.dimension_count")?.unwrap_or(head_dim);
        let partial = matches!(self.keys.arch(), "phi3" | "gptneox");
        if rotated == 0 || rotated > head_dim || !(partial || rotated == head_dim) {
            let expected = format!("a rotation over the whole head, {head_dim}");
            return Err(self.keys.unsupported("rope.dimension_count", &expected, rotated.to_string()));
        }
        // The config stores a fraction, whose product with head_dim is rounded down; half a dimension more guards
        // against rounding errors.
        let fraction = if rotated == head_dim { 1.0 } else { (rotated as f64 + 0.5) / head_dim as f64 };
        if self.keys.arch() == "gptneox" {
            self.set("rotary_emb_base", "rope.freq_base", theta);
            self.set("rotary_pct", "rope.dimension_count", fraction);
        } else {
            self.set("rope_theta", "rope.freq_base", theta);
            self.set("partial_rotary_factor", "rope.dimension_count", fraction);
        }
        if let Some(scaling) = self.scaling(rotated)? {
            self.set("rope_scaling", "rope.scaling.type", scaling);
        }
        Ok(())
    }

    /// Builds the object `rope_scaling`.
    fn scaling(&mut self, rotated: usize) -> Result<Option<Value>> {
        let keys = &self.keys;
        let context = keys.usize("context_length")?;
        let original = keys.usize_opt("rope.scaling.original_context_length")?;
        let factor = match keys.f64_opt("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => keys.f64_opt("rope.scale_linear")?,
        };
        // llama.cpp interprets a factor without a type as linear, and 0 as none.
        let factor = factor.filter(|f| *f != 0.0);
        let kind = keys.str_opt("rope.scaling.type")?.unwrap_or("linear");
        let total = keys.f64_opt("rope.scaling.attn_factor")?;
        let yarn = self.yarn()?;
        let long = self.factors("rope_factors_long.weight", rotated)?;
        let short = self.factors("rope_factors_short.weight", rotated)?;
        let freqs = self.factors("rope_freqs.weight", rotated)?;
        let one = |value: Option<f64>, key: &str| match value {
            Some(value) if value != 1.0 => Err(self.keys.unsupported(key, "1", value.to_string())),
            _ => Ok(()),
        };
        if kind != "yarn" && !yarn.is_empty() {
            let (name, _) = &yarn[0];
            let key = format!("rope.scaling.yarn_{}", name.replace("attention_", "attn_"));
            return Err(self.keys.unsupported(&key, "yarn settings with yarn alone", kind));
        }
        if let (Some(long), Some(short)) = (long, short) {
            self.no_buffers(&["rope_factors_long.weight", "rope_factors_short.weight"])?;
            if !matches!(kind, "longrope" | "su" | "linear") || self.keys.arch() != "phi3" {
                return Err(self.keys.unsupported("rope.scaling.type", "longrope, in phi3", kind));
            }
            one(factor, "rope.scaling.factor")?;
            let original = original.ok_or_else(|| {
                let expected = "the context from which on the long factors hold";
                self.keys.invalid("rope.scaling.original_context_length", expected, "nothing")
            })?;
            self.put("original_max_position_embeddings", original.into());
            let mut object = json!({"rope_type": "longrope", "long_factor": long, "short_factor": short});
            if let Some(total) = total {
                object["attention_factor"] = total.into();
            }
            return Ok(Some(object));
        }
        one(total, "rope.scaling.attn_factor")?;
        if let Some(freqs) = freqs {
            self.no_buffers(&["rope_freqs.weight"])?;
            if !matches!(self.keys.arch(), "llama" | "granite" | "smollm3")
                || !matches!(kind, "linear" | "none")
            {
                return Err(self.buffer("rope_freqs.weight"));
            }
            one(factor, "rope.scaling.factor")?;
            // Llama 3's scaling stored as frequency factors: longrope with a single set of them computes the same.
            return Ok(Some(json!({
                "rope_type": "longrope",
                "long_factor": freqs,
                "short_factor": freqs,
                "attention_factor": 1.0,
                "original_max_position_embeddings": context,
            })));
        }
        self.no_buffers(&[])?;
        match (kind, factor) {
            ("none", _) | ("linear", None) => Ok(None),
            ("longrope" | "su", _) => {
                Err(self.keys.unsupported("rope.scaling.type", "longrope with its tensors of factors", kind))
            }
            ("linear", Some(factor)) => Ok(Some(json!({"rope_type": "linear", "factor": factor}))),
            ("yarn", Some(factor)) => {
                let mut object = json!({
                    "rope_type": "yarn",
                    "factor": factor,
                    "original_max_position_embeddings": original.unwrap_or(context),
                });
                for (key, value) in yarn {
                    object[key] = value.into();
                }
                Ok(Some(object))
            }
            (kind, _) => {
                Err(self.keys.unsupported("rope.scaling.type", "none, linear, yarn or longrope", kind))
            }
        }
    }

    /// yarn's settings under the config's names.
    fn yarn(&self) -> Result<Vec<(&'static str, f64)>> {
        let extrapolation = self.keys.f64_opt("rope.scaling.yarn_ext_factor")?;
        if let Some(other) = extrapolation.filter(|v| *v != 1.0) {
            return Err(self.keys.unsupported("rope.scaling.yarn_ext_factor", "1", other.to_string()));
        }
        let mut settings = Vec::new();
        for (name, key) in [
            ("attention_factor", "rope.scaling.yarn_attn_factor"),
            ("beta_fast", "rope.scaling.yarn_beta_fast"),
            ("beta_slow", "rope.scaling.yarn_beta_slow"),
        ] {
            if let Some(value) = self.keys.f64_opt(key)? {
                settings.push((name, value));
            }
        }
        Ok(settings)
    }

    /// A tensor with one factor per rotary frequency.
    fn factors(&self, name: &str, rotated: usize) -> Result<Option<Vec<f64>>> {
        let Some(shape) = self.file.shape(name) else { return Ok(None) };
        if shape != [rotated / 2] {
            return Err(Diagnostic::new(Kind::Weights, "a tensor is not what the metadata promises")
                .at(self.file.place(name))
                .expected(format!("shape [{}], half the rotary width", rotated / 2))
                .found(format!("shape {shape:?}"))
                .into());
        }
        let factors: Vec<f64> = self.file.read(name, DType::F64)?.to_vec1()?;
        if let Some(bad) = factors.iter().find(|f| !(f.is_finite() && **f > 0.0)) {
            return Err(Diagnostic::new(Kind::Weights, "a rotary factor that cannot be one")
                .at(self.file.place(name))
                .expected("positive numbers")
                .found(bad.to_string())
                .into());
        }
        Ok(Some(factors))
    }

    /// Refuses tensors of factors other than those in `but`.
    pub(super) fn no_buffers(&self, but: &[&str]) -> Result<()> {
        match BUFFERS.iter().find(|name| self.has(name) && !but.contains(name)) {
            Some(name) => Err(self.buffer(name)),
            None => Ok(()),
        }
    }

    fn buffer(&self, name: &str) -> Error {
        Diagnostic::new(Kind::Unsupported, "rotary factors that are not implemented for this architecture")
            .at(self.file.place(name))
            .expected("rope_freqs in llama, granite and smollm3; long and short factors together in phi3")
            .found(format!("{name} in {}", self.keys.arch()))
            .remedy("use another model; a forward that ignored them would give wrong residual streams")
            .into()
    }
}
