//! Whether a model's numbers can be trusted on this machine: the same texts computed in several ways.

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

/// Texts that share beginnings, so that a forest has something to share.
const TEXTS: [&str; 4] = [
    "The harbour was quiet when the boat came in, and nobody on the pier knew whose it was.",
    "The harbour was quiet when the boat came in, but three men were waiting with lanterns.",
    "The harbour was full of noise that evening.",
    "She measured twice, cut once, and still the shelf was a finger too short.",
];

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Check {
    /// The sample texts' numbers, computed in several ways.
    pub compared: Compared,
    /// Which of them are outside what this dtype can do on this model.
    pub findings: Vec<Finding>,
    /// Tokens of the sample texts.
    pub texts: Vec<Vec<String>>,
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
    /// Most packed tokens of a chunk.
    pub chunk_tokens: usize,
    /// What such a chunk takes in memory, with the weights.
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
        self.findings.is_empty() && !self.double_bos
    }
}

/// Computes the sample texts in f64, by plain operations in the run's dtype, and as a run computes them: alone, packed,
/// in a forest, and block by block.
///
/// # Errors
/// What loading or the forward refuses.
pub fn check(files: &ModelFiles, name: &str, options: &LoadOptions) -> Result<Check> {
    let model = Model::open(files, name, options)?;
    // Read as they are used: in f64 a model takes four times what it takes in bf16.
    let streamed = |dtype| -> Result<_> {
        let options =
            LoadOptions { dtype, device: candle_core::Device::Cpu, stream: true, quantize: options.quantize };
        Ok(Model::open(files, name, &options)?.decoder.with_engine(Engine::Plain))
    };
    let exact = streamed(DType::F64)?;
    // On another device the run itself may consist of plain operations: the yardstick is the CPU's.
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

/// One item as the model reads it, under the default template, with a constitution.
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
