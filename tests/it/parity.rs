//! Every family compared with Hugging Face transformers in float64, on tiny random models.
//!
//! `scripts/fixtures/make_models.py` writes the models and the references.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use vstar::error::Result;
use vstar::model::config::FAMILIES;
use vstar::model::decoder::{Hook, Target};
use vstar::model::weights::{Checkpoint, TensorSource, WeightFiles};
use vstar::model::{Config, Decoder, Packing};
use vstar::units::Layer;

use crate::stories::fixture;

/// The residual stream at every layer, in f64.
#[derive(Default)]
struct Record(Vec<Vec<Vec<f64>>>);

impl Hook for Record {
    fn residual(&mut self, layer: Layer, x: Tensor) -> Result<Tensor> {
        assert_eq!(layer.0, self.0.len(), "layers come in order");
        self.0.push(x.to_dtype(DType::F64)?.to_vec2()?);
        Ok(x)
    }
}

pub struct Deviation {
    /// Largest |difference| at a layer over the layer's RMS.
    pub resid: f64,
    /// Largest root mean square difference at a layer over the layer's RMS.
    pub spread: f64,
    /// Largest |difference| of a token's log-probability.
    pub logprob: f64,
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
    compare(&decoder(folder, config, dtype), folder)
}

/// Deviation of a decoder from the reference in a folder.
pub fn compare(decoder: &Decoder, folder: &Path) -> Deviation {
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
fn the_same_code_in_f64_agrees_to_nine_digits() {
    for folder in folders() {
        let worst = deviation(&folder, "config.json", DType::F64);
        assert!(worst.resid < 1e-9, "{}: {:.1e}", folder.display(), worst.resid);
    }
}

/// A checkpoint in f64 with every weight rounded to bf16.
struct Rounded(Checkpoint);

impl TensorSource for Rounded {
    fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        Ok(self.0.tensor(name, shape)?.to_dtype(DType::BF16)?.to_dtype(DType::F64)?)
    }

    fn dtype(&self) -> DType {
        DType::F64
    }

    fn device(&self) -> &Device {
        self.0.device()
    }
}

/// Against f64 on the same rounded weights, since models of this size in f32 lose as much by rounding their
/// weights as by computing with them; those stored in bf16 lose nothing, and are held to transformers too.
#[test]
fn bf16_stays_within_its_own_rounding() {
    let mut stored = 0;
    for folder in folders() {
        let path = folder.join("config.json");
        let text = std::fs::read_to_string(&path).expect("config.json");
        let config = Config::from_json(&text, &path).expect("a supported config");
        let exact = Checkpoint::open(&folder, DType::F64, &Device::Cpu).expect("a checkpoint");
        if exact.stored_dtypes().keys().all(|d| d == "BF16") {
            stored += 1;
            let worst = deviation(&folder, "config.json", DType::BF16);
            assert!(worst.spread < 2e-2, "{}: {:.1e}", folder.display(), worst.spread);
        }
        let exact = Decoder::load(config, &Rounded(exact)).expect("weights");
        let ours = decoder(&folder, "config.json", DType::BF16);
        let reference = reference(&folder);
        let tokens: Vec<u32> =
            reference["tokens.0"].to_dtype(DType::U32).and_then(|t| t.to_vec1()).expect("token ids");
        let (packing, last) = (Packing::single(&tokens), Layer(ours.config().num_blocks()));
        let (mut a, mut b) = (Record::default(), Record::default());
        ours.residual_stream(&packing, last, &mut a).expect("forward");
        exact.residual_stream(&packing, last, &mut b).expect("forward");
        for (layer, (a, b)) in a.0.iter().zip(&b.0).enumerate() {
            let square = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>();
            let pairs = a.iter().flatten().zip(b.iter().flatten());
            let spread =
                (square(&mut pairs.map(|(a, b)| a - b)) / square(&mut b.iter().flatten().copied())).sqrt();
            assert!(spread < 2e-2, "{} layer {layer}: {spread:.1e}", folder.display());
        }
    }
    assert!(stored > 0, "no fixture is stored in bf16");
}
