//! Whether a model's numbers can be trusted on this machine: the same texts computed in several ways.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use serde::Serialize;

use super::capture::CHUNK_TOKENS;
use crate::error::Result;
use crate::forest::{self, Forest, Memory, Pool, Settings};
use crate::input::{Message, Prompt, Role};
use crate::model::chat::Template;
use crate::model::decoder::{Engine, Tap};
use crate::model::weights::Count;
use crate::model::{Decoder, LoadOptions, Model, ModelFiles, Packing};
use crate::units::Layer;

/// Texts that share beginnings, so that a forest has something to share.
const TEXTS: [&str; 4] = [
    "The harbour was quiet when the boat came in, and nobody on the pier knew whose it was.",
    "The harbour was quiet when the boat came in, but three men were waiting with lanterns.",
    "The harbour was full of noise that evening.",
    "She measured twice, cut once, and still the shelf was a finger too short.",
];

/// Largest deviation at a layer, in units of the layer's RMS in f64.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct LayerCheck {
    /// Root mean square of the residual stream in f64.
    pub rms: f64,
    /// The run's dtype and engine, each text alone, against f64.
    pub dtype: f64,
    /// Each text packed beside the others, against alone.
    pub packed: f64,
    /// Each text in a forest of shared prefixes, against alone.
    pub forest: f64,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Check {
    /// By layer, from the embeddings on.
    pub layers: Vec<LayerCheck>,
    /// What the deviations must stay below: against f64, and between ways of packing.
    pub limits: (f64, f64),
    /// Largest |log P − log P in f64| of a token, in nats.
    pub logprob: f64,
    /// Tensors of the checkpoint that the decoder does not use.
    pub unused: Vec<String>,
    /// Matrices that were rounded at load, by type.
    pub rounded: BTreeMap<&'static str, Count>,
    /// Bits in which the weights are stored, after rounding, over their number.
    pub bits_per_weight: Option<f64>,
    /// Whether the output head is the embedding matrix.
    pub tied: bool,
    /// Longest sequence, in tokens.
    pub context: usize,
    /// What a chunk of [`CHUNK_TOKENS`] tokens takes in memory, with the weights.
    pub memory: Memory,
    /// Whether the first text begins with two beginning-of-sequence tokens under the default template.
    pub double_bos: bool,
    /// Whether the default template refuses (or drops) a system message.
    pub system_refused: bool,
    /// A sample as the model reads it, with the response's characters.
    pub sample: String,
    /// Its response.
    pub response: std::ops::Range<usize>,
    /// Its tokens, and which are the response.
    pub tokens: Vec<String>,
    /// First and one past the last token of the response.
    pub span: (usize, usize),
}

impl Check {
    /// Whether every figure is inside its limit, and nothing was read twice.
    pub fn passed(&self) -> bool {
        let fine = |l: &LayerCheck| {
            l.dtype <= self.limits.0
                && l.packed <= self.limits.1
                && l.forest <= self.limits.1
                && l.rms.is_finite()
        };
        self.layers.iter().all(fine) && !self.double_bos && self.logprob.is_finite()
    }
}

/// Residual streams at every layer, rows by packed token.
#[derive(Default)]
struct Record(Vec<Vec<Vec<f64>>>);

impl Tap for Record {
    fn residual(&mut self, _: Layer, x: Tensor) -> Result<Tensor> {
        self.0.push(x.to_dtype(DType::F64)?.to_device(&candle_core::Device::Cpu)?.to_vec2()?);
        Ok(x)
    }
}

fn record(decoder: &Decoder, packing: &Packing) -> Result<(Vec<Vec<Vec<f64>>>, Tensor)> {
    let mut record = Record::default();
    let last = Layer(decoder.config().num_blocks());
    let x = decoder.residual_stream(packing, last, &mut record)?;
    Ok((record.0, x))
}

/// Computes the sample texts in f64 and in the run's dtype: alone, packed, and in a forest.
///
/// # Errors
/// What loading or the forward refuses.
pub fn check(files: &ModelFiles, name: &str, options: &LoadOptions) -> Result<Check> {
    let model = Model::open(files, name, options)?;
    // Read as it is used: in f64 a model takes four times what it takes in bf16.
    let exact = LoadOptions {
        dtype: DType::F64,
        device: candle_core::Device::Cpu,
        stream: true,
        quantize: options.quantize,
    };
    let exact = Model::open(files, name, &exact)?.decoder.with_engine(Engine::Plain);
    let texts: Vec<Vec<u32>> = TEXTS.iter().map(|t| model.encoder.encode(t)).collect::<Result<_>>()?;
    let blocks = model.decoder.config().num_blocks();
    let limits = match options.dtype {
        DType::F32 => (1e-4, 2e-5),
        DType::F64 => (1e-9, 1e-9),
        // The largest of thousands of entries, each with eight bits of mantissa behind it.
        _ => (0.3, 0.3),
    };
    let settings = Settings {
        layers: Vec::new(),
        pool: Pool::Mean,
        logprob: true,
        chunk_tokens: CHUNK_TOKENS,
        memory: None,
        steering: Default::default(),
    };
    let mut out = Check {
        layers: vec![LayerCheck::default(); blocks + 1],
        limits,
        unused: model.unused.clone(),
        rounded: model.rounded.clone(),
        bits_per_weight: model.identity.bits_per_weight,
        tied: model.decoder.config().tied,
        context: model.decoder.config().context,
        memory: forest::memory(&model.decoder, &settings, CHUNK_TOKENS, 0),
        ..Check::default()
    };
    let forest = Forest::build(&texts)?;
    let (shared, _) = record(&model.decoder, forest.packing())?;
    let (side_by_side, starts) = beside(&texts)?;
    let (packed, _) = record(&model.decoder, &side_by_side)?;
    for (i, tokens) in texts.iter().enumerate() {
        let single = Packing::single(tokens);
        let (ours, x) = record(&model.decoder, &single)?;
        let (truth, x64) = record(&exact, &single)?;
        for (layer, check) in out.layers.iter_mut().enumerate() {
            let square: f64 = truth[layer].iter().flatten().map(|v| v * v).sum();
            let rms = (square / truth[layer].iter().map(Vec::len).sum::<usize>() as f64).sqrt();
            check.rms = check.rms.max(rms);
            let worst = |a: &mut dyn Iterator<Item = (&Vec<f64>, &Vec<f64>)>| -> f64 {
                a.flat_map(|(a, b)| a.iter().zip(b)).map(|(a, b)| (a - b).abs() / rms).fold(0.0, f64::max)
            };
            check.dtype = check.dtype.max(worst(&mut ours[layer].iter().zip(&truth[layer])));
            let rows = &packed[layer][starts[i]..starts[i] + tokens.len()];
            check.packed = check.packed.max(worst(&mut rows.iter().zip(&ours[layer])));
            let rows: Vec<&Vec<f64>> =
                forest.indices(i, 0, tokens.len()).map(|t| &shared[layer][t]).collect();
            check.forest = check.forest.max(worst(&mut rows.into_iter().zip(&ours[layer])));
        }
        let targets: Vec<_> = (1..tokens.len())
            .map(|t| crate::model::decoder::Target { previous: t - 1, token: tokens[t] })
            .collect();
        let (a, b) = (model.decoder.log_probs(&x, &targets)?, exact.log_probs(&x64, &targets)?);
        out.logprob = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(out.logprob, f64::max);
    }
    sample(&model, &mut out)?;
    Ok(out)
}

/// The texts one after the other, sharing nothing.
fn beside(texts: &[Vec<u32>]) -> Result<(Packing, Vec<usize>)> {
    let (mut tokens, mut segments, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    for text in texts {
        starts.push(tokens.len());
        segments.push(crate::model::packing::Segment { start: tokens.len(), len: text.len(), parent: None });
        tokens.extend_from_slice(text);
    }
    Ok((Packing::new(tokens, segments)?, starts))
}

/// One item as the model reads it, under the default template, with a constitution.
fn sample(model: &Model, out: &mut Check) -> Result<()> {
    let (template, _) = model.template(None)?;
    let prompt = Prompt::Messages(vec![Message { role: Role::User, content: "What is in the box?".into() }]);
    let rendered = template.render(Some("Answer honestly."), &prompt, "Three old letters.")?;
    let encoded = model.encoder.encode_response(&rendered.text, rendered.response.clone())?;
    if let (Some(bos), [first, second, ..]) = (model.encoder.bos(), &encoded.ids[..]) {
        out.double_bos = *first == bos && *second == bos;
    }
    out.system_refused = matches!(template, Template::Jinja(_)) && rendered.folded;
    out.tokens = encoded.ids.iter().map(|&id| model.encoder.token(id).unwrap_or_default()).collect();
    out.span = (encoded.response.start, encoded.response.end);
    (out.sample, out.response) = (rendered.text, rendered.response);
    Ok(())
}
