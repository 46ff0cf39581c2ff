//! Every family against Hugging Face transformers in float64, on tiny random models.
//!
//! `scripts/fixtures/make_models.py` writes the models and the references.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use vstar::error::Result;
use vstar::model::config::FAMILIES;
use vstar::model::decoder::{Tap, Target};
use vstar::model::weights::Checkpoint;
use vstar::model::{Config, Decoder, Packing};
use vstar::units::Layer;

use crate::stories::fixture;

/// The residual stream at every layer, in f64.
#[derive(Default)]
struct Record(Vec<Vec<Vec<f64>>>);

impl Tap for Record {
    fn residual(&mut self, layer: Layer, x: Tensor) -> Result<Tensor> {
        assert_eq!(layer.0, self.0.len(), "layers come in order");
        self.0.push(x.to_dtype(DType::F64)?.to_vec2()?);
        Ok(x)
    }
}

struct Deviation {
    /// Largest |difference| at a layer over the layer's RMS.
    resid: f64,
    /// Largest root mean square difference at a layer over the layer's RMS.
    spread: f64,
    /// Largest |difference| of a token's log-probability.
    logprob: f64,
}

fn reference(folder: &Path) -> BTreeMap<String, Tensor> {
    candle_core::safetensors::load(folder.join("reference.safetensors"), &Device::Cpu)
        .expect("the reference")
        .into_iter()
        .collect()
}

fn decoder(folder: &Path, config: &str, dtype: DType) -> Decoder {
    let path = folder.join(config);
    let text = std::fs::read_to_string(&path).expect("config.json");
    let config = Config::from_json(&text, &path).expect("a supported config");
    let checkpoint = Checkpoint::open(folder, dtype, &Device::Cpu).expect("a checkpoint");
    let decoder = Decoder::load(config, &checkpoint).expect("weights");
    let unused: Vec<_> = checkpoint.unused().into_iter().filter(|n| n != "lm_head.weight").collect();
    assert_eq!(unused, Vec::<String>::new(), "unused tensors in {}", folder.display());
    decoder
}

fn deviation(folder: &Path, config: &str, dtype: DType) -> Deviation {
    let decoder = decoder(folder, config, dtype);
    let reference = reference(folder);
    let mut worst = Deviation { resid: 0.0, spread: 0.0, logprob: 0.0 };
    let sequences = reference.keys().filter(|k| k.starts_with("tokens.")).count();
    assert!(sequences >= 2, "{}: at least two sequences", folder.display());
    for i in 0..sequences {
        let tokens: Vec<u32> = reference[&format!("tokens.{i}")]
            .to_dtype(DType::U32)
            .and_then(|t| t.to_vec1())
            .expect("token ids");
        let hidden: Vec<Vec<Vec<f64>>> = reference[&format!("hidden.{i}")].to_vec3().expect("hidden states");
        let logprob: Vec<f64> = reference[&format!("logprob.{i}")].to_vec1().expect("log-probabilities");
        let blocks = decoder.config().num_blocks();
        let mut record = Record::default();
        let x =
            decoder.residual_stream(&Packing::single(&tokens), Layer(blocks), &mut record).expect("forward");
        assert_eq!(record.0.len(), hidden.len(), "number of layers");
        for (layer, (ours, theirs)) in record.0.iter().zip(&hidden).enumerate() {
            let square: f64 = theirs.iter().flatten().map(|v| v * v).sum();
            let rms = (square / theirs.iter().map(Vec::len).sum::<usize>() as f64).sqrt();
            assert!(
                rms > 1e-3,
                "{} layer {layer}: a reference that is nearly zero tests nothing",
                folder.display()
            );
            let pairs = || ours.iter().flatten().zip(theirs.iter().flatten());
            let squares: f64 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
            worst.spread = worst.spread.max((squares / pairs().count() as f64).sqrt() / rms);
            for (a, b) in ours.iter().flatten().zip(theirs.iter().flatten()) {
                worst.resid = worst.resid.max((a - b).abs() / rms);
            }
        }
        let targets: Vec<_> =
            (1..tokens.len()).map(|t| Target { previous: t - 1, token: tokens[t] }).collect();
        let ours = decoder.log_probs(&x, &targets).expect("log-probabilities");
        assert_eq!(ours.len(), logprob.len());
        for (a, b) in ours.iter().zip(&logprob) {
            worst.logprob = worst.logprob.max((a - b).abs());
        }
    }
    worst
}

/// Folders under `tests/fixtures/models` that hold a reference.
fn folders() -> Vec<std::path::PathBuf> {
    let mut folders: Vec<_> = std::fs::read_dir(fixture("models"))
        .expect("the fixtures")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.join("reference.safetensors").is_file())
        .collect();
    folders.sort();
    folders
}

#[test]
fn every_family_agrees_with_transformers_in_f32() {
    let mut seen = BTreeMap::new();
    for folder in folders() {
        let config = folder.join("config.json");
        let text = std::fs::read_to_string(&config).expect("config.json");
        let family = Config::from_json(&text, &config).expect("a supported config").family;
        let mut configs = vec!["config.json"];
        if folder.join("config.legacy.json").is_file() {
            configs.push("config.legacy.json");
        }
        for config in configs {
            let worst = deviation(&folder, config, DType::F32);
            assert!(
                worst.resid < 2e-5 && worst.logprob < 1e-4,
                "{} {config}: residual {:.1e} of the RMS, log P {:.1e}",
                folder.display(),
                worst.resid,
                worst.logprob
            );
        }
        *seen.entry(family.model_type()).or_insert(0) += 1;
    }
    for (_, name, _) in FAMILIES {
        assert!(seen.contains_key(name), "no fixture of family {name}: seen {seen:?}");
    }
}

#[test]
fn the_same_code_in_f64_agrees_to_the_rounding_of_the_rotary_tables() {
    // transformers computes rotary angles in f32 whatever the model's dtype; nothing else may differ.
    for folder in folders() {
        let worst = deviation(&folder, "config.json", DType::F64);
        assert!(worst.resid < 5e-6, "{}: {:.1e}", folder.display(), worst.resid);
    }
}

#[test]
fn bf16_stays_within_its_own_rounding() {
    for folder in folders() {
        let worst = deviation(&folder, "config.json", DType::BF16);
        assert!(worst.spread < 3e-2, "{}: {:.1e}", folder.display(), worst.spread);
    }
}
