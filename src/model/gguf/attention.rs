//! Sliding windows, factors and soft caps in the metadata of a GGUF file.

use serde_json::Value;

use super::config::{Sizes, Translation};
use crate::error::Result;

impl Translation<'_> {
    pub(super) fn windows(&mut self, sizes: &Sizes) -> Result<()> {
        const WINDOW: &str = "attention.sliding_window";
        const PATTERN: &str = "attention.sliding_window_pattern";
        let window = self.keys.usize_opt(WINDOW)?.filter(|w| *w > 0);
        let listed = self.keys.flags_opt(PATTERN)?;
        let period = if self.keys.is_list(PATTERN) { None } else { self.keys.usize_opt(PATTERN)? };
        let local = self.keys.f64_opt("rope.freq_base_swa")?;
        let arch = self.keys.arch();
        let slides: Option<Vec<bool>> = match (listed, period, arch) {
            (Some(list), ..) if list.len() == sizes.blocks => Some(list),
            (Some(list), ..) => {
                let found = format!("{} entries", list.len());
                return Err(self.keys.invalid(
                    PATTERN,
                    format!("{} entries, one a block", sizes.blocks),
                    found,
                ));
            }
            (None, Some(period), _) => Some(every(sizes.blocks, period)),
            (None, None, "gemma2") => Some(every(sizes.blocks, 2)),
            (None, None, "gemma3") => Some(every(sizes.blocks, 6)),
            (None, None, "llama" | "phi3") => Some(vec![true; sizes.blocks]),
            (None, None, _) => None,
        };
        // Gemma 2 has a window even if the file omits its usual width.
        let window = if arch == "gemma2" && !self.keys.has(WINDOW) { Some(4096) } else { window };
        let rotary = if arch == "gemma3" { None } else { local };
        let theta = self.map.get("rope_theta").and_then(Value::as_f64);
        if let Some(other) = rotary.filter(|l| Some(*l) != theta) {
            let expected = "one rotary base for all blocks";
            return Err(self.keys.unsupported("rope.freq_base_swa", expected, other.to_string()));
        }
        if arch == "gemma3" {
            self.set("rope_local_base_freq", "rope.freq_base_swa", local.unwrap_or(10_000.0));
        }
        let Some(window) = window else {
            if arch == "gemma3" {
                self.put("layer_types", vec!["full_attention"; sizes.blocks].into());
            }
            return Ok(());
        };
        match (arch, slides) {
            ("llama", Some(slides)) => {
                // This family has windows and is otherwise a Llama, except for biases.
                if self.map.get("attention_bias") == Some(&true.into())
                    || self.map.get("mlp_bias") == Some(&true.into())
                {
                    return Err(self.keys.unsupported(
                        WINDOW,
                        "no window in a model with biases",
                        window.to_string(),
                    ));
                }
                self.put("model_type", "mistral".into());
                self.slide(window, &slides);
            }
            ("qwen2" | "qwen3", Some(slides)) => {
                self.put("use_sliding_window", true.into());
                self.slide(window, &slides);
            }
            ("gemma2" | "gemma3" | "phi3", Some(slides)) => self.slide(window, &slides),
            _ => return Err(self.keys.unsupported(WINDOW, "no sliding window", window.to_string())),
        }
        Ok(())
    }

    fn slide(&mut self, window: usize, slides: &[bool]) {
        let kinds: Vec<&str> =
            slides.iter().map(|s| if *s { "sliding_attention" } else { "full_attention" }).collect();
        self.set("sliding_window", "attention.sliding_window", window);
        self.set("layer_types", "attention.sliding_window_pattern", kinds);
    }

    /// Factors on scores, logits, embeddings and the residual stream, and soft caps.
    pub(super) fn scales(&mut self, sizes: &Sizes) -> Result<()> {
        let keys = &self.keys;
        let natural = (sizes.head_dim as f64).powf(-0.5);
        let attention = keys.f64_opt("attention.scale")?.filter(|s| *s != 0.0);
        let [embedding, residual, logit] = ["embedding_scale", "residual_scale", "logit_scale"]
            .map(|key| keys.f64_opt(key).map(|v| v.filter(|v| *v != 0.0)));
        let [embedding, residual, logit] = [embedding?, residual?, logit?];
        let caps = ["attn_logit_softcapping", "final_logit_softcapping"].map(|key| keys.f64_opt(key));
        let [attention_cap, final_cap] = caps;
        let (attention_cap, final_cap) = (attention_cap?, final_cap?);
        match keys.arch() {
            "granite" => {
                self.set("attention_multiplier", "attention.scale", attention.unwrap_or(natural));
                self.set("embedding_multiplier", "embedding_scale", embedding.unwrap_or(1.0));
                self.set("residual_multiplier", "residual_scale", residual.unwrap_or(1.0));
                self.set("logits_scaling", "logit_scale", logit.unwrap_or(1.0));
                return Ok(());
            }
            "gemma2" | "gemma3" => {
                // Only the 27B models divide by the width that a head would have without key_length.
                let largest = if keys.arch() == "gemma2" { 46 } else { 62 };
                let usual = if sizes.blocks == largest { sizes.hidden / sizes.heads } else { sizes.head_dim };
                let scalar = attention.map_or(usual as f64, |scale| 1.0 / (scale * scale));
                let (default, cap) = if keys.arch() == "gemma2" { (50.0, 30.0) } else { (0.0, 0.0) };
                let cap = final_cap.unwrap_or(cap);
                let attention_cap = attention_cap.unwrap_or(default);
                let of = |cap: f64| if cap == 0.0 { Value::Null } else { cap.into() };
                self.set("query_pre_attn_scalar", "attention.scale", scalar);
                self.set("attn_logit_softcapping", "attn_logit_softcapping", of(attention_cap));
                self.set("final_logit_softcapping", "final_logit_softcapping", of(cap));
            }
            _ => {
                if let Some(scale) = attention.filter(|s| (s / natural - 1.0).abs() > 1e-6) {
                    let expected = format!("{natural}, as the width of a head gives it");
                    return Err(keys.unsupported("attention.scale", &expected, scale.to_string()));
                }
                for (key, cap) in
                    [("attn_logit_softcapping", attention_cap), ("final_logit_softcapping", final_cap)]
                {
                    if let Some(cap) = cap.filter(|c| *c != 0.0) {
                        return Err(keys.unsupported(key, "no soft cap", cap.to_string()));
                    }
                }
            }
        }
        let keys = &self.keys;
        for (key, scale) in
            [("embedding_scale", embedding), ("residual_scale", residual), ("logit_scale", logit)]
        {
            if let Some(scale) = scale.filter(|s| *s != 1.0) {
                return Err(keys.unsupported(key, "1", scale.to_string()));
            }
        }
        Ok(())
    }
}

/// Every block slides except each `period`-th; all blocks if `period` is 0, none if it is 1.
fn every(blocks: usize, period: usize) -> Vec<bool> {
    (0..blocks).map(|i| period == 0 || !(i + 1).is_multiple_of(period)).collect()
}
