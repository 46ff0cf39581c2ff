//! Checks whether a model's numbers are reliable on this machine, by computing the same texts in several ways.

mod compare;
mod verdict;

use std::collections::BTreeMap;

use candle_core::DType;
use serde::Serialize;

use crate::error::Result;
use crate::forest::{self, Memory, Pool, Settings};
use crate::input::{Message, Prompt, Role};
use crate::model::chat::Template;
use crate::model::decoder::Engine;
use crate::model::weights::Count;
use crate::model::{LoadOptions, Model, ModelFiles};

pub use compare::{Compared, Deviation, LayerCheck, Peak, compare};
pub use verdict::{Excess, Finding, findings};

/// Texts with common beginnings, so that a forest has prefixes to share.
const TEXTS: [&str; 4] = [
    "The harbour was quiet when the boat came in, and nobody on the pier knew whose it was.",
    "The harbour was quiet when the boat came in, but three men were waiting with lanterns.",
    "The harbour was full of noise that evening.",
    "She measured twice, cut once, and still the shelf was a finger too short.",
];

/// Results of the check.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Check {
    /// Deviations between the ways of computing the sample texts.
    pub compared: Compared,
    /// Deviations beyond the precision of this dtype on this model.
    pub findings: Vec<Finding>,
    /// Tokens of the sample texts.
    pub texts: Vec<Vec<String>>,
    /// Tensors of the checkpoint that the decoder does not use.
    pub unused: Vec<String>,
    /// Number of matrices rounded at load, by type.
    pub rounded: BTreeMap<&'static str, Count>,
    /// Mean number of bits per weight, after rounding.
    pub bits_per_weight: Option<f64>,
    /// Whether the output head is the embedding matrix.
    pub tied: bool,
    /// Maximum sequence length, in tokens.
    pub context: usize,
    /// Maximum number of packed tokens in a chunk.
    pub chunk_tokens: usize,
    /// Memory needed for such a chunk, including the weights.
    pub memory: Memory,
    /// Whether the first text starts with two beginning-of-sequence tokens under the default template.
    pub double_bos: bool,
    /// Whether the default template refuses (or drops) a system message.
    pub system_refused: bool,
    /// A sample as read by the model.
    pub sample: String,
    /// Byte range of the response in `sample`.
    pub response: std::ops::Range<usize>,
    /// Tokens of the sample.
    pub tokens: Vec<String>,
    /// Index of the response's first token, and one past its last.
    pub span: (usize, usize),
}

impl Check {
    /// Whether every deviation is within its limit, and no beginning-of-sequence token is doubled.
    pub fn passed(&self) -> bool {
        self.findings.is_empty() && !self.double_bos
    }
}

/// Computes the sample texts in f64, with plain operations in the run's dtype, and as in a run: alone, packed, in a
/// forest, and block by block.
///
/// # Errors
/// Errors of loading and of the forward pass.
pub fn check(files: &ModelFiles, name: &str, options: &LoadOptions) -> Result<Check> {
    let model = Model::open(files, name, options)?;
    // Weights are read on use: in f64 a model takes four times the memory of bf16.
    let streamed = |dtype| -> Result<_> {
        let options = LoadOptions {
            dtype,
            device: candle_core::Device::Cpu,
            stream: true,
            quantize: options.quantize,
            adapter: options.adapter.clone(),
        };
        Ok(Model::open(files, name, &options)?.decoder.with_engine(Engine::Plain))
    };
    let exact = streamed(DType::F64)?;
    // On another device the run itself may consist of plain operations, so the reference is the CPU.
    let plain = if options.device.is_cpu() {
        model.decoder.clone().with_engine(Engine::Plain)
    } else {
        streamed(options.dtype)?
    };
    let texts: Vec<Vec<u32>> = TEXTS.iter().map(|t| model.encoder.encode(t)).collect::<Result<_>>()?;
    let compared = compare(&model.decoder, &plain, &exact, &texts)?;
    let settings = Settings {
        layers: Vec::new(),
        pool: Pool::Mean,
        chunk_tokens: forest::chunk_tokens(&model.decoder, None),
        memory: None,
        steering: Default::default(),
    };
    let piece = |&id: &u32| model.encoder.token(id).unwrap_or_default();
    let mut out = Check {
        findings: findings(&compared),
        compared,
        texts: texts.iter().map(|ids| ids.iter().map(piece).collect()).collect(),
        unused: model.unused.clone(),
        rounded: model.rounded.clone(),
        bits_per_weight: model.identity.bits_per_weight,
        tied: model.decoder.config().tied,
        context: model.decoder.config().context,
        chunk_tokens: settings.chunk_tokens,
        memory: forest::memory(&model.decoder, &settings, settings.chunk_tokens, 0),
        ..Check::default()
    };
    sample(&model, &mut out)?;
    Ok(out)
}

/// Renders one item with a constitution under the default template.
fn sample(model: &Model, out: &mut Check) -> Result<()> {
    let (template, _) = model.template(None)?;
    let prompt = Prompt::Messages(vec![Message::new(Role::User, "What is in the box?")]);
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
