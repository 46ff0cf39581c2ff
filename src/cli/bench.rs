//! `vstar bench`.

use clap::Args;

use super::memory::{mebibytes, peak_resident};
use crate::batch::bench::{BenchOptions, Rate, bench as run};
use crate::error::{Kind, Refusal, Result};
use crate::model::{device, dtype};

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Shape of the model
    #[arg(long, default_value = "smollm2-135m")]
    pub shape: String,
    /// dtypes of the computation, one after the other
    #[arg(long, value_delimiter = ',', default_value = "f32,bf16")]
    pub dtype: Vec<String>,
    /// cpu, cuda or cuda:N [default: cuda:0 if built for it, else cpu]
    #[arg(long)]
    pub device: Option<String>,
    /// Constitutions
    #[arg(long, default_value_t = 2)]
    pub constitutions: usize,
    /// Prompts
    #[arg(long, default_value_t = 16)]
    pub prompts: usize,
    /// Responses a prompt
    #[arg(long, default_value_t = 4)]
    pub responses: usize,
    /// Tokens of a constitution, a prompt and a response
    #[arg(long, value_delimiter = ',', num_args = 3, default_values_t = [150, 40, 50])]
    pub tokens: Vec<usize>,
    /// Sequences computed without sharing, whose rate stands for all
    #[arg(long, default_value_t = 32)]
    pub naive: usize,
    /// Most packed tokens in a chunk [default: as in a capture on this device]
    #[arg(long)]
    pub chunk_tokens: Option<usize>,
    /// Print JSON, a line a dtype
    #[arg(long)]
    pub json: bool,
}

/// Prints rates, their ratio and their share of the matrix product's peak.
pub fn bench(args: &BenchArgs) -> Result<()> {
    let [long, prompt, response] = args.tokens[..] else {
        return Err(Refusal::new(Kind::Invalid, "--tokens")
            .expected("three numbers: of a constitution, a prompt and a response")
            .found(format!("{:?}", args.tokens))
            .into());
    };
    for name in &args.dtype {
        let options = BenchOptions {
            shape: args.shape.clone(),
            dtype: dtype(name)?,
            device: device(args.device.as_deref())?,
            job: [args.constitutions, args.prompts, args.responses],
            tokens: [long, prompt, response],
            naive: args.naive,
            chunk_tokens: args.chunk_tokens,
        };
        let found = run(&options, &mut |what| {
            tracing::info!(dtype = name, "{what}");
            Ok(())
        })?;
        if args.json {
            let line = serde_json::json!({"shape": args.shape, "dtype": name, "bench": found,
                "gain": found.gain(), "peak_resident_bytes": peak_resident()});
            println!("{line}");
            continue;
        }
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
    Ok(())
}
