//! Fused forward pass on the CPU: buffers are reused, and everything around the products is fused.
//!
//! It reads the weights of the plain decoder in place and is tested equal to it on random models and random forests. It
//! avoids temporaries, scalar activations, copies of ancestors' keys and values, a pass over the residual stream per
//! sum, and matrices of logits.

mod attention;
mod block;
mod kernel;
mod logprob;
mod panels;
mod product;
mod rate;
mod simd;

use std::cell::RefCell;

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::Decoder;
use super::block::Block;
use super::cache::Kept;
use super::dense::Weight;
use super::norm::Norm;
use crate::error::Result;
use crate::model::packing::Packing;
use kernel::Level;
pub(super) use logprob::{log_probs, logits};
pub(super) use panels::{Panels, available as panels_serve};
use product::{Packed, View, Weights, transpose_panel};
pub use rate::product_rate;

/// Number of rows that one thread normalises or rotates at a time.
const ROWS: usize = 16;

/// Whether this processor multiplies bf16 in hardware (AVX-512 BF16); otherwise bf16 weights are widened and multiplied
/// in f32.
pub fn bf16_instructions() -> bool {
    panels::available()
}

/// Whether the fused engine supports this decoder here.
pub(super) fn serves(decoder: &Decoder) -> bool {
    decoder.device.is_cpu() && matches!(decoder.dtype, DType::F32 | DType::BF16 | DType::F16)
}

/// Buffers of one block, `[T, width]` each.
#[derive(Default)]
pub(super) struct Buffers {
    normed: Vec<f32>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    inner: Vec<f32>,
    /// A block's update, if it must be normalised, scaled or kept separate before it is added.
    apart: Vec<f32>,
    /// Packed f32 weights.
    packed: [Vec<f32>; 2],
}

/// Cosines and sines by position, `[longest, half]`.
struct Angles {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

/// The residual stream `[T, hidden]` of one forest, with the rotary angles of its positions.
pub(super) struct Stream {
    x: Vec<f32>,
    angles: Vec<Angles>,
}

impl Stream {
    /// Starts from the embeddings' output; assumes that the packing has been checked.
    pub(super) fn begin(decoder: &Decoder, packing: &Packing) -> Result<Self> {
        let config = &decoder.config;
        let regime = config.rope_regime(packing.longest());
        let angles = config
            .ropes
            .iter()
            .map(|rope| {
                let table = rope.table(regime);
                let angle = |p: usize, f: &f64| p as f64 * f;
                let all = |g: fn(f64) -> f64| -> Vec<f32> {
                    (0..packing.longest())
                        .flat_map(|p| {
                            table
                                .inv_freq
                                .iter()
                                .map(move |f| (g(angle(p, f)) * table.attention_factor) as f32)
                        })
                        .collect()
                };
                Angles { half: rope.dim / 2, cos: all(f64::cos), sin: all(f64::sin) }
            })
            .collect();
        let x = floats(&decoder.embed(packing, DType::F32)?)?;
        Ok(Self { x, angles })
    }

    /// Runs one block.
    pub(super) fn step(
        &mut self,
        block: &Block,
        packing: &Packing,
        buffers: &mut Buffers,
        kept: Option<&mut Kept>,
    ) -> Result<()> {
        block::run(block, packing, &self.angles, &mut self.x, buffers, kept)
    }

    pub(super) fn tensor(&self, hidden: usize) -> Result<Tensor> {
        Ok(Tensor::from_slice(&self.x, (self.x.len() / hidden, hidden), &Device::Cpu)?)
    }

    pub(super) fn rows(&self, indices: &[u32], hidden: usize) -> Result<Tensor> {
        let mut rows = Vec::with_capacity(indices.len() * hidden);
        for &i in indices {
            rows.extend_from_slice(&self.x[i as usize * hidden..][..hidden]);
        }
        Ok(Tensor::from_vec(rows, (indices.len(), hidden), &Device::Cpu)?)
    }

    pub(super) fn replace(&mut self, x: &Tensor) -> Result<()> {
        let x = floats(x)?;
        if x.len() != self.x.len() {
            return Err(
                candle_core::Error::Msg("a tap changed the shape of the residual stream".into()).into()
            );
        }
        self.x = x;
        Ok(())
    }
}

/// The elements of a CPU tensor as f32.
fn floats(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

fn unexpected(what: &str) -> crate::error::Error {
    candle_core::Error::Msg(format!("{what} on the CPU was expected")).into()
}

/// Calls `f` with rows `[from, to)` of weights, ready for multiplication; `packed` is the buffer for weights that are
/// not stored in the layout of the products. `from` is a multiple of a bf16 panel's rows.
fn open<R>(
    weight: &Weight,
    (from, to): (usize, usize),
    packed: &mut Vec<f32>,
    f: impl FnOnce(Weights<'_>) -> R,
) -> Result<R> {
    let matrix = match weight {
        Weight::Panels(panels) => return Ok(f(Weights::Panels { panels, first: from, n: to - from })),
        Weight::Matrix(matrix) => matrix,
    };
    let (n, k) = (to - from, matrix.dim(1)?);
    let (storage, layout) = matrix.storage_and_layout();
    let Some((start, _)) = layout.contiguous_offsets() else {
        return Err(unexpected("a contiguous matrix"));
    };
    let range = start + from * k..start + to * k;
    let (Storage::Cpu(data), true) = (&*storage, to <= matrix.dim(0)?) else {
        return Err(unexpected("a matrix"));
    };
    let level = Level::best();
    // Rows of a narrower dtype are widened a panel at a time.
    let widen = |first: usize, rows: usize, width, panel: &mut [f32], convert: &dyn Fn(usize, &mut [f32])| {
        let mut widened = WIDENED.take();
        widened.resize(widened.len().max(rows * k), 0.0);
        convert(range.start + first * k, &mut widened[..rows * k]);
        transpose_panel(level, View::new(&widened, rows, k, k), width, panel);
        WIDENED.set(widened);
    };
    let shape = (k, n);
    let packed = match data {
        CpuStorage::F32(data) => {
            Packed::transposed(level, View::new(&data[range.clone()], n, k, k), packed, true)
        }
        CpuStorage::BF16(data) => Packed::fill(level, shape, packed, true, |first, rows, width, panel| {
            widen(first, rows, width, panel, &|at, to| data[at..at + to.len()].convert_to_f32_slice(to));
        }),
        CpuStorage::F16(data) => Packed::fill(level, shape, packed, true, |first, rows, width, panel| {
            widen(first, rows, width, panel, &|at, to| data[at..at + to.len()].convert_to_f32_slice(to));
        }),
        _ => return Err(unexpected("a matrix of floats")),
    };
    Ok(f(Weights::Packed(packed)))
}

thread_local! {
    /// Weights of one panel, while they are widened from a narrower dtype.
    static WIDENED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

fn norm_rows(norm: &Norm, x: &[f32], width: usize, out: &mut [f32]) -> Result<()> {
    let eps = norm.eps as f32;
    let weight = floats(&norm.weight)?;
    let bias = norm.bias.as_ref().map(floats).transpose()?;
    out.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width)).for_each(|(out, x)| {
        for (y, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            match &bias {
                Some(bias) => simd::layer_norm(x, &weight, bias, eps, y),
                None => simd::rms_norm(x, &weight, eps, y),
            }
        }
    });
    Ok(())
}
