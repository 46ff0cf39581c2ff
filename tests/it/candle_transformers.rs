//! Cross-check: candle-transformers' own models give the same logits for the last token.
//!
//! Unsupported fixtures are listed with the reason; `parity` compares every fixture with transformers itself.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models as theirs;
use serde_json::{Value, json};
use vstar::model::config::FAMILIES;
use vstar::model::decoder::NoHook;
use vstar::model::weights::Checkpoint;
use vstar::model::{Config, Decoder, Packing};
use vstar::units::Layer;

use crate::stories::fixture;

/// Supported fixtures: the maximum number of tokens, and overrides for its config.
///
/// Not among them:
/// - GPT-2 and GPT-NeoX, which it does not have; Granite, of which it leaves out the multipliers.
/// - Llama with a bias, an explicit `head_dim`, linear or yarn scaling, and Qwen 2 with yarn or with windows in
///   some blocks, which its configs cannot say.
/// - Phi 3's longrope: it multiplies the frequencies by the factors that should divide them, leaves out the
///   attention factor, and changes tables in the middle of a sequence.
fn computed() -> Vec<(&'static str, usize, Value)> {
    let all = usize::MAX;
    vec![
        ("llama", all, json!({})),
        ("llama_chat", all, json!({})),
        ("llama_sharded", all, json!({})),
        ("stories260K", all, json!({})),
        // With a window of w, its tokens see w + 1.
        ("mistral", all, json!({"sliding_window": 4})),
        ("mistral_full", all, json!({})),
        ("qwen2", all, json!({"sliding_window": 64})),
        ("qwen3", all, json!({"max_window_layers": 28})),
        // It takes the "gelu" of early files literally.
        ("gemma", all, json!({"hidden_act": "gelu_pytorch_tanh"})),
        // No longer than the window, which it leaves out of the mask.
        ("gemma2", 5, json!({})),
        ("gemma2_nocap", 3, json!({"rope_theta": 10000.0})),
        ("gemma3_text", all, json!({})),
        // No longer than the window, which it does not have.
        ("phi3", 6, json!({})),
        ("olmo2", all, json!({})),
        ("smollm3", all, json!({})),
    ]
}

/// Gemma 2 and 3 divide scores by √query_pre_attn_scalar; candle-transformers divides by √head_dim, so the queries
/// are scaled by the quotient.
fn rescale_queries(config: &Value, tensors: &mut HashMap<String, Tensor>) -> Result<()> {
    let Some(scalar) = config.get("query_pre_attn_scalar").and_then(Value::as_f64) else { return Ok(()) };
    let factor = (config["head_dim"].as_f64().expect("a width") / scalar).sqrt();
    for (name, tensor) in tensors.iter_mut() {
        if name.ends_with("self_attn.q_norm.weight") {
            *tensor = tensor.affine(factor, factor - 1.0)?;
        } else if name.ends_with("self_attn.q_proj.weight") && config["model_type"] == "gemma2" {
            *tensor = tensor.affine(factor, 0.0)?;
        }
    }
    Ok(())
}

fn config_of(folder: &Path) -> Value {
    // It reads the flat keys of transformers 4.
    let legacy = folder.join("config.legacy.json");
    let path = if legacy.is_file() { legacy } else { folder.join("config.json") };
    serde_json::from_str(&std::fs::read_to_string(path).expect("a config")).expect("JSON")
}

fn tensors_of(folder: &Path) -> HashMap<String, Tensor> {
    let mut tensors = HashMap::new();
    for entry in std::fs::read_dir(folder).expect("a fixture") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name.starts_with("model") && name.ends_with(".safetensors") {
            tensors.extend(candle_core::safetensors::load(&path, &Device::Cpu).expect("tensors"));
        }
    }
    // Some of its models do not support tied heads.
    if let (None, Some(embedding)) = (tensors.get("lm_head.weight"), tensors.get("model.embed_tokens.weight"))
    {
        let embedding = embedding.clone();
        tensors.insert("lm_head.weight".into(), embedding);
    }
    tensors
}

fn their_logits(config: &Value, mut tensors: HashMap<String, Tensor>, ids: &[u32]) -> Result<Vec<f32>> {
    rescale_queries(config, &mut tensors)?;
    let device = Device::Cpu;
    let input = Tensor::new(ids, &device)?.unsqueeze(0)?;
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &device);
    fn read<T: serde::de::DeserializeOwned>(config: &Value) -> T {
        serde_json::from_value(config.clone()).unwrap_or_else(|e| panic!("{e}: {config}"))
    }
    let logits = match config["model_type"].as_str().expect("a family") {
        "llama" => {
            let config = read::<theirs::llama::LlamaConfig>(config).into_config(false);
            let mut cache = theirs::llama::Cache::new(false, DType::F32, &config, &device)?;
            theirs::llama::Llama::load(vb, &config)?.forward(&input, 0, &mut cache)?
        }
        "mistral" => theirs::mistral::Model::new(&read(config), vb)?.forward(&input, 0)?,
        "qwen2" => theirs::qwen2::ModelForCausalLM::new(&read(config), vb)?.forward(&input, 0)?,
        "qwen3" => theirs::qwen3::ModelForCausalLM::new(&read(config), vb)?.forward(&input, 0)?,
        "gemma" => theirs::gemma::Model::new(false, &read(config), vb)?.forward(&input, 0)?,
        "gemma2" => theirs::gemma2::Model::new(false, &read(config), vb)?.forward(&input, 0)?,
        // One token at a time: its cache does not accept longer text with several key heads.
        "gemma3_text" => {
            let mut model = theirs::gemma3::Model::new(false, &read(config), vb)?;
            let mut logits = model.forward(&input.narrow(1, 0, 1)?, 0)?;
            for i in 1..ids.len() {
                logits = model.forward(&input.narrow(1, i, 1)?, i)?;
            }
            logits
        }
        "phi3" => theirs::phi3::Model::new(&read(config), vb)?.forward(&input, 0)?,
        "olmo2" => theirs::olmo2::Model::new(&read(config), vb)?.forward(&input, 0)?,
        "smollm3" => theirs::smol::smollm3::ModelForCausalLM::new(&read(config), vb)?.forward(&input, 0)?,
        other => panic!("no such model: {other}"),
    };
    logits.flatten_all()?.to_vec1()
}

fn our_logits(folder: &Path, ids: &[u32]) -> Vec<f32> {
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).expect("a config");
    let config = Config::from_json(&text, &path).expect("a config");
    let checkpoint = Checkpoint::open(folder, DType::F32, &Device::Cpu).expect("weights");
    let decoder = Decoder::load(config, &checkpoint).expect("a decoder");
    let last = Layer(decoder.config().num_blocks());
    let x = decoder.residual_stream(&Packing::single(ids), last, &mut NoHook).expect("forward");
    let row = x.narrow(0, ids.len() - 1, 1).expect("the last token");
    decoder.logits(&row).and_then(|l| Ok(l.flatten_all()?.to_vec1()?)).expect("logits")
}

#[test]
fn candle_transformers_gives_the_same_logits_where_it_has_the_model() {
    let mut wrong = Vec::new();
    let mut families = BTreeSet::new();
    for (name, most, change) in computed() {
        let folder = fixture("models").join(name);
        let mut config = config_of(&folder);
        for (key, value) in change.as_object().expect("an object") {
            config[key] = value.clone();
        }
        let vocab = config["vocab_size"].as_u64().expect("a size") as u32;
        families.insert(config["model_type"].as_str().expect("a family").to_owned());
        let length = most.min(23);
        let ids: Vec<u32> = (0..length as u32).map(|i| (i * 29 + 3) % vocab).collect();
        let ours = our_logits(&folder, &ids);
        let theirs = match their_logits(&config, tensors_of(&folder), &ids) {
            Ok(logits) => logits,
            Err(e) => {
                wrong.push(format!("{name}: {e}"));
                continue;
            }
        };
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let scale = theirs.iter().fold(0f32, |m, v| m.max(v.abs()));
        let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        if !(scale > 0.01 && worst < 2e-5 * scale.max(1.0)) {
            wrong.push(format!("{name}: {worst:.1e} of {scale:.1e}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let without = ["gpt2", "gpt_neox", "granite"];
    for (_, family, _) in FAMILIES {
        assert!(families.contains(*family) != without.contains(family), "{family}");
    }
}
