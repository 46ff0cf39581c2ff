//! `vstar bench`: measures the capture speed of this machine on a synthetic model of a given shape, with and without
//! shared prefixes.

use super::args::one_of;
use super::terminal::memory::{mebibytes, peak_resident};
use super::terminal::out::result;
use crate::error::{Diagnostic, Kind, Result};
use crate::forest::{self, Pool, Request, Settings};
use crate::model::decoder::product_rate;
use crate::model::weights::TensorSource;
use crate::model::{Config, Decoder};
use crate::model::{DeviceName, Dtype};
use crate::units::{Layer, OneOf, TokenSpan};
use candle_core::{DType, Device, Tensor};
use clap::Args;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Shape of the model
    #[arg(long, default_value = "smollm2-135m")]
    pub shape: String,
    /// dtypes of the computation, measured in order
    #[arg(long, value_parser = one_of::<Dtype>(), value_delimiter = ',', default_value = "f32,bf16")]
    pub dtype: Vec<Dtype>,
    /// cpu, cuda or cuda:N [default: cuda:0 if built for it, else cpu]
    #[arg(long)]
    pub device: Option<DeviceName>,
    /// Number of constitutions
    #[arg(long, default_value_t = 2)]
    pub constitutions: usize,
    /// Number of prompts
    #[arg(long, default_value_t = 16)]
    pub prompts: usize,
    /// Responses per prompt
    #[arg(long, default_value_t = 4)]
    pub responses: usize,
    /// Number of tokens in a constitution, a prompt and a response
    #[arg(long, value_delimiter = ',', num_args = 3, default_values_t = [150, 40, 50])]
    pub tokens: Vec<usize>,
    /// Number of sequences computed without sharing; their rate is extrapolated to all
    #[arg(long, default_value_t = 32)]
    pub naive: usize,
    /// Maximum number of packed tokens in a chunk [default: as in a capture on this device]
    #[arg(long)]
    pub chunk_tokens: Option<usize>,
}

/// Prints rates, their ratio and their share of the matrix product's peak rate.
pub fn run(args: &BenchArgs) -> Result<()> {
    let [long, prompt, response] = args.tokens[..] else {
        return Err(Diagnostic::new(Kind::Invalid, "--tokens")
            .expected("three numbers: of a constitution, a prompt and a response")
            .found(format!("{:?}", args.tokens))
            .into());
    };
    let mut results = Vec::new();
    for dtype in &args.dtype {
        let name = dtype.as_str();
        let options = BenchOptions {
            shape: args.shape.clone(),
            dtype: dtype.candle(),
            device: DeviceName::open(args.device)?,
            job: [args.constitutions, args.prompts, args.responses],
            tokens: [long, prompt, response],
            naive: args.naive,
            chunk_tokens: args.chunk_tokens,
        };
        let found = bench(&options, &mut |what| {
            tracing::info!(dtype = name, "{what}");
            Ok(())
        })?;
        results.push(json!({"shape": args.shape, "dtype": name, "bench": found, "gain": found.gain(),
            "peak_resident_bytes": peak_resident()}));
        println!(
            "{}, {name}, {:.0} M parameters, {} threads; matrix product at best {:.0} GFLOP/s",
            args.shape,
            found.parameters as f64 / 1e6,
            rayon::current_num_threads(),
            found.peak / 1e9
        );
        let line = |what: &str, rate: &Rate| {
            println!(
                "  {what:<24} {:>9} tokens, {:>9} computed, {:>8.2} s {:>9.0} tokens/s {:>5.0} % of the peak",
                rate.tokens,
                rate.computed,
                rate.seconds,
                rate.tokens_per_second(),
                100.0 * rate.rate() / found.peak
            );
        };
        line("each sequence whole", &found.naive);
        line("shared prefixes once", &found.forest);
        println!("  shared prefixes: {:.2} times as fast", found.gain());
        if let Some(bytes) = peak_resident() {
            println!("  peak resident memory so far: {}", mebibytes(bytes));
        }
    }
    result(|| Value::Array(results));
    Ok(())
}

/// Available shapes, as (name, `config.json`).
fn shapes() -> Vec<(&'static str, serde_json::Value)> {
    let llama = |hidden: usize, inner: usize, blocks: usize, heads: usize, kv: usize, vocab: usize| {
        json!({"model_type": "llama", "hidden_size": hidden, "intermediate_size": inner,
        "num_hidden_layers": blocks, "num_attention_heads": heads, "num_key_value_heads": kv,
        "vocab_size": vocab, "max_position_embeddings": 8192, "tie_word_embeddings": true})
    };
    let qwen = |hidden: usize, inner: usize, blocks: usize, heads: usize, kv: usize| {
        let mut config = llama(hidden, inner, blocks, heads, kv, 151_936);
        config["model_type"] = json!("qwen2");
        config
    };
    let untied = |mut config: serde_json::Value| {
        config["tie_word_embeddings"] = json!(false);
        config
    };
    vec![
        ("tiny", llama(128, 352, 4, 4, 2, 512)),
        ("small", llama(256, 704, 6, 4, 2, 2048)),
        ("smollm2-135m", llama(576, 1536, 30, 9, 3, 49_152)),
        ("smollm2-360m", llama(960, 2560, 32, 15, 5, 49_152)),
        ("qwen2.5-0.5b", qwen(896, 4864, 24, 14, 2)),
        ("llama-3.2-1b", llama(2048, 8192, 16, 32, 8, 128_256)),
        ("qwen2.5-1.5b", qwen(1536, 8960, 28, 12, 2)),
        ("qwen2.5-7b", untied(qwen(3584, 18_944, 28, 28, 4))),
    ]
}

/// Names of the shapes.
pub fn shape_names() -> Vec<&'static str> {
    shapes().into_iter().map(|(name, _)| name).collect()
}

/// Options of a benchmark.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// Name of a shape.
    pub shape: String,
    /// dtype of the computation.
    pub dtype: DType,
    /// Device.
    pub device: Device,
    /// Number of constitutions, prompts, and responses per prompt.
    pub job: [usize; 3],
    /// Number of tokens in a constitution, a prompt and a response.
    pub tokens: [usize; 3],
    /// Maximum number of sequences computed without sharing; their rate is extrapolated to all.
    pub naive: usize,
    /// Maximum number of packed tokens in a chunk; `None` uses the default of a capture on this device.
    pub chunk_tokens: Option<usize>,
}

/// Measured rate of one method.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// Tokens of all sequences; shared tokens count every time.
    pub tokens: usize,
    /// Tokens actually computed.
    pub computed: usize,
    /// Wall time in seconds.
    pub seconds: f64,
    /// Floating-point operations of the matrix products, attention and output head.
    pub operations: f64,
}

impl Rate {
    /// Tokens of sequences per second.
    pub fn tokens_per_second(&self) -> f64 {
        self.tokens as f64 / self.seconds
    }

    /// Operations per second.
    pub fn rate(&self) -> f64 {
        self.operations / self.seconds
    }
}

/// Results of a benchmark; the methods run in one process, one after the other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bench {
    /// Number of parameters of the model.
    pub parameters: usize,
    /// Best rate of a 2048 × 2048 × 2048 matrix product in this dtype, in operations per second.
    pub peak: f64,
    /// Without shared prefixes.
    pub naive: Rate,
    /// With each shared prefix computed once.
    pub forest: Rate,
}

impl Bench {
    /// Speed-up per sequence from shared prefixes.
    pub fn gain(&self) -> f64 {
        self.forest.tokens_per_second() / self.naive.tokens_per_second()
    }
}

/// Random parameters, determined by their names; untrained, all finite.
struct Synthetic {
    dtype: DType,
    device: Device,
}

impl TensorSource for Synthetic {
    fn contains(&self, name: &str) -> bool {
        // An output head only if the config has one; none with tied embeddings.
        !name.contains("lm_head")
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let salt = name.bytes().fold(7u64, |h, b| h.wrapping_mul(0x100_0000_01b3) ^ u64::from(b));
        let (centre, spread) = match shape {
            [_] if name.ends_with("norm.weight") => (1.0f32, 0.1f32),
            [_] => (0.0, 0.1),
            [_, columns] => (0.0, 1.7 / (*columns as f32).sqrt()),
            _ => (0.0, 0.1),
        };
        const PART: usize = 1 << 16;
        let mut values = vec![0f32; shape.iter().product()];
        values.par_chunks_mut(PART).enumerate().for_each(|(part, values)| {
            let mut rng = ChaCha8Rng::seed_from_u64(salt.wrapping_add(part as u64));
            values.fill_with(|| centre + spread * rng.random_range(-1f32..1.0));
        });
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(self.dtype)?.to_device(&self.device)?)
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

/// Builds the model, then times both methods.
///
/// # Errors
/// `Invalid` for an unknown shape, or a sequence longer than the model's context.
pub fn bench(options: &BenchOptions, progress: &mut dyn FnMut(&str) -> Result<()>) -> Result<Bench> {
    let Some((_, config)) = shapes().into_iter().find(|(name, _)| *name == options.shape) else {
        return Err(Diagnostic::new(Kind::Invalid, format!("no shape `{}`", options.shape))
            .expected(format!("one of {}", shape_names().join(", ")))
            .into());
    };
    let config = Config::from_json(&config.to_string(), Path::new(&options.shape))?;
    let length: usize = options.tokens.iter().sum();
    if length > config.context || options.tokens[2] == 0 || options.job.contains(&0) {
        return Err(Diagnostic::new(Kind::Invalid, "a job that cannot be computed")
            .expected(format!(
                "at least one of everything, and sequences of at most {} tokens",
                config.context
            ))
            .found(format!(
                "{:?} constitutions, prompts, responses of {:?} tokens",
                options.job, options.tokens
            ))
            .into());
    }
    progress("measuring the matrix product")?;
    let peak = product_rate(options.dtype, &options.device)?;
    progress("making the model")?;
    let decoder = Decoder::load(config, &Synthetic { dtype: options.dtype, device: options.device.clone() })?;
    let shared = job(options, decoder.config().vocab_size, true);
    let mut alone = job(options, decoder.config().vocab_size, false);
    alone.truncate(options.naive.max(1));
    let settings = Settings {
        layers: (0..=decoder.config().num_blocks()).map(Layer).collect(),
        pool: Pool::Mean,
        chunk_tokens: options.chunk_tokens.unwrap_or_else(|| forest::chunk_tokens(&decoder, None)),
        memory: None,
        steering: Default::default(),
    };
    // Warm-up: the first run allocates memory and starts threads.
    time(&decoder, &alone[..1], &settings)?;
    progress("without shared prefixes")?;
    let naive = time(&decoder, &alone, &settings)?;
    progress("with shared prefixes")?;
    let forest = time(&decoder, &shared, &settings)?;
    Ok(Bench { parameters: parameters(decoder.config()), peak, naive, forest })
}

/// Sequences of the job. Without `shared` every token of every sequence is drawn anew, and first tokens are distinct
/// as far as the vocabulary allows, so that sequences share no prefix.
fn job(options: &BenchOptions, vocab: usize, shared: bool) -> Vec<Request> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut words = |n: usize| -> Vec<u32> { (0..n).map(|_| rng.random_range(0..vocab as u32)).collect() };
    let [constitutions, prompts, responses] = options.job;
    let [long, middle, short] = options.tokens;
    let texts: Vec<Vec<u32>> = (0..prompts).map(|_| words(middle)).collect();
    let answers: Vec<Vec<u32>> = (0..prompts * responses).map(|_| words(short)).collect();
    let mut requests = Vec::new();
    for _ in 0..constitutions {
        let head = words(long);
        for (p, text) in texts.iter().enumerate() {
            for answer in &answers[p * responses..(p + 1) * responses] {
                let mut tokens = [&head[..], text, answer].concat();
                if !shared {
                    tokens = words(tokens.len());
                    tokens[0] = (requests.len() % vocab) as u32;
                }
                let response = TokenSpan { start: long + middle, end: tokens.len() };
                requests.push(Request { tokens, response: Some(response), logprob: true, answers: None });
            }
        }
    }
    requests
}

fn time(decoder: &Decoder, requests: &[Request], settings: &Settings) -> Result<Rate> {
    let began = Instant::now();
    let place = |_| crate::error::Place::default();
    forest::run(decoder, requests, settings, &place, &mut |_| Ok(()))?;
    let seconds = began.elapsed().as_secs_f64();
    let plan = forest::plan_requests(decoder, requests, settings.chunk_tokens);
    let operations = forest::operations(decoder.config(), requests, &plan)?.total();
    Ok(Rate { tokens: plan.naive_tokens, computed: plan.packed_tokens, seconds, operations })
}

fn parameters(config: &Config) -> usize {
    let vocabulary = config.vocab_size * config.hidden_size * if config.tied { 1 } else { 2 };
    config.num_blocks() * forest::block_parameters(config) + vocabulary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tiny_bench_counts_tokens_and_gains_from_sharing() {
        let options = BenchOptions {
            shape: "tiny".into(),
            dtype: DType::F32,
            device: Device::Cpu,
            job: [2, 3, 2],
            tokens: [20, 5, 4],
            naive: 100,
            chunk_tokens: None,
        };
        let bench = bench(&options, &mut |_| Ok(())).expect("a bench");
        assert_eq!(bench.naive.tokens, 2 * 3 * 2 * 29);
        assert_eq!(bench.naive.computed, bench.naive.tokens);
        assert_eq!(bench.forest.tokens, bench.naive.tokens);
        assert_eq!(bench.forest.computed, 2 * (20 + 3 * (5 + 2 * 4)));
        assert!(bench.forest.operations < bench.naive.operations && bench.peak > 0.0);
    }

    #[test]
    fn every_named_shape_is_a_config_and_an_unknown_one_is_refused() {
        for (name, config) in shapes() {
            Config::from_json(&config.to_string(), Path::new(name)).expect("a config");
        }
        let options = BenchOptions {
            shape: "huge".into(),
            dtype: DType::F32,
            device: Device::Cpu,
            job: [1, 1, 1],
            tokens: [1, 1, 1],
            naive: 1,
            chunk_tokens: Some(64),
        };
        assert!(bench(&options, &mut |_| Ok(())).expect_err("no such shape").to_string().contains("tiny"));
    }
}
