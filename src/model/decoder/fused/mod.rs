//! The same forward for f32 on the CPU, with buffers reused and everything around the products fused.
//!
//! It reads the weights of the plain decoder in place and is tested equal to it on random models and
//! random forests. What it saves: temporaries, scalar activations, copies of ancestors' keys and values,
//! a pass over the residual stream for each sum, and matrices of logits.

mod attention;
mod logprob;
mod product;
mod simd;

use candle_core::{CpuStorage, DType, Storage, Tensor};
use candle_nn::Linear;
use rayon::prelude::*;

use super::attention::Attention;
use super::block::Block;
use super::mlp::Mlp;
use super::norm::Norm;
use super::{Decoder, Tap};
use crate::error::Result;
use crate::model::config::{Activation, Mlp as MlpKind};
use crate::model::packing::Packing;
use crate::units::Layer;
use attention::Shape;
pub(super) use logprob::log_probs;
use product::{Threads, View, times_transposed};

/// Rows of the MLP computed together, so that its inner activations stay in the cache.
const MLP_ROWS: usize = 512;

/// Rows that one thread normalises or rotates at a time.
const ROWS: usize = 16;

/// Whether this decoder can run here: f32 weights on the CPU.
pub(super) fn serves(decoder: &Decoder) -> bool {
    decoder.dtype == DType::F32 && decoder.device.is_cpu()
}

/// Calls `f` with the elements of a contiguous f32 tensor on the CPU.
fn with<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(CpuStorage::F32(data)) = &*storage else {
        return Err(candle_core::Error::Msg("an f32 tensor on the CPU was expected".into()).into());
    };
    let Some((start, end)) = layout.contiguous_offsets() else {
        return Err(candle_core::Error::Msg("a contiguous tensor was expected".into()).into());
    };
    Ok(f(&data[start..end]))
}

impl Attention {
    fn shape(&self) -> Shape {
        Shape {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            scale: self.scale as f32,
            softcap: self.softcap.map(|c| c as f32),
            window: self.window,
        }
    }
}

/// Buffers of one forward, `[T, width]` each.
#[derive(Default)]
struct Buffers {
    x: Vec<f32>,
    normed: Vec<f32>,
    qkv: Vec<f32>,
    attended: Vec<f32>,
    inner: Vec<f32>,
    /// What a block adds, where it has to be normalised, scaled or kept apart before it is added.
    apart: Vec<f32>,
}

/// Cosines and sines by position, `[longest, half]`.
struct Angles {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

/// As [`Decoder::residual_stream`]; the packing has been checked.
pub(super) fn residual_stream(
    decoder: &Decoder,
    packing: &Packing,
    last: Layer,
    tap: &mut dyn Tap,
) -> Result<Tensor> {
    let config = &decoder.config;
    let (total, hidden) = (packing.len(), config.hidden_size);
    let regime = config.rope_regime(packing.longest());
    let angles: Vec<Angles> = config
        .ropes
        .iter()
        .map(|rope| {
            let table = rope.table(regime);
            let angle = |p: usize, f: &f64| p as f64 * f;
            let all = |g: fn(f64) -> f64| -> Vec<f32> {
                (0..packing.longest())
                    .flat_map(|p| {
                        table.inv_freq.iter().map(move |f| (g(angle(p, f)) * table.attention_factor) as f32)
                    })
                    .collect()
            };
            Angles { half: rope.dim / 2, cos: all(f64::cos), sin: all(f64::sin) }
        })
        .collect();
    let mut buffers = Buffers { x: vec![0.0; total * hidden], ..Buffers::default() };
    let embedded = tap.residual(Layer(0), decoder.embed(packing)?)?;
    with(&embedded.contiguous()?, |e| buffers.x.copy_from_slice(e))?;
    let mut out = embedded;
    for (i, block) in decoder.blocks.iter().enumerate().take(last.0) {
        run_block(block, packing, &angles, hidden, &mut buffers)?;
        let layer = Layer(i + 1);
        if !tap.wants(layer) && i + 1 < last.0 {
            continue;
        }
        let before = Tensor::from_slice(&buffers.x, (total, hidden), &candle_core::Device::Cpu)?;
        out = tap.residual(layer, before.clone())?;
        // A tap that changed the stream returns another tensor.
        if out.id() != before.id() {
            with(&out.contiguous()?, |o| buffers.x.copy_from_slice(o))?;
        }
    }
    Ok(out)
}

fn run_block(
    block: &Block,
    packing: &Packing,
    angles: &[Angles],
    hidden: usize,
    b: &mut Buffers,
) -> Result<()> {
    let total = packing.len();
    // In a parallel block the MLP reads x as it was before attention was added.
    let mlp_first = block.parallel;
    normalise(block.before_attention.as_ref(), &b.x, hidden, &mut b.normed)?;
    let shape = block.attention.shape();
    project(&block.attention.qkv, &b.normed, total, &mut b.qkv, &block.attention)?;
    prepare_heads(&block.attention, packing, block.rope.map(|r| &angles[r]), &mut b.qkv)?;
    b.attended.resize(total * shape.out_width(), 0.0);
    attention::attend(&b.qkv, packing, &shape, &mut b.attended);
    let direct = |after: Option<&Norm>| after.is_none() && block.multiplier == 1.0;
    if mlp_first {
        normalise(block.before_mlp.as_ref(), &b.x, hidden, &mut b.normed)?;
    }
    add_product(
        &block.attention.out,
        &b.attended,
        shape.out_width(),
        hidden,
        &mut b.x,
        &mut b.apart,
        block.after_attention.as_ref(),
        block.multiplier,
        direct(block.after_attention.as_ref()),
    )?;
    if !mlp_first {
        normalise(block.before_mlp.as_ref(), &b.x, hidden, &mut b.normed)?;
    }
    for start in (0..total).step_by(MLP_ROWS) {
        let rows = MLP_ROWS.min(total - start);
        let input = &b.normed[start * hidden..(start + rows) * hidden];
        let width = mlp_inner(&block.mlp, input, rows, hidden, &mut b.inner)?;
        let x = &mut b.x[start * hidden..(start + rows) * hidden];
        let after = block.after_mlp.as_ref();
        let inner = Strided { data: &b.inner, stride: width.1 };
        add_strided(
            &block.mlp.down,
            inner,
            width.0,
            rows,
            hidden,
            x,
            &mut b.apart,
            after,
            block.multiplier,
            direct(after),
        )?;
    }
    Ok(())
}

/// `out ← norm(x)`, or a copy where there is no norm.
fn normalise(norm: Option<&Norm>, x: &[f32], hidden: usize, out: &mut Vec<f32>) -> Result<()> {
    out.resize(x.len(), 0.0);
    match norm {
        None => out.copy_from_slice(x),
        Some(norm) => norm_rows(norm, x, hidden, out)?,
    }
    Ok(())
}

fn norm_rows(norm: &Norm, x: &[f32], width: usize, out: &mut [f32]) -> Result<()> {
    let eps = norm.eps as f32;
    let weight = with(&norm.weight, <[f32]>::to_vec)?;
    let bias = norm.bias.as_ref().map(|b| with(b, <[f32]>::to_vec)).transpose()?;
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

/// `out ← x Wᵀ + b`.
fn project(linear: &Linear, x: &[f32], rows: usize, out: &mut Vec<f32>, attention: &Attention) -> Result<()> {
    let width = attention.shape().qkv_width();
    out.resize(rows * width, 0.0);
    linear_into(
        linear,
        Strided { data: x, stride: x.len() / rows.max(1) },
        x.len() / rows.max(1),
        rows,
        out,
        width,
    )
}

/// Rows of data `stride` apart.
#[derive(Clone, Copy)]
struct Strided<'a> {
    data: &'a [f32],
    stride: usize,
}

/// `out[rows, n] ← x[rows, k] Wᵀ + b`.
fn linear_into(
    linear: &Linear,
    x: Strided<'_>,
    k: usize,
    rows: usize,
    out: &mut [f32],
    n: usize,
) -> Result<()> {
    let bias = fill_bias(linear, out, n, false)?;
    with(linear.weight(), |w| {
        let w = View::new(w, n, k, k);
        times_transposed(
            View::new(x.data, rows, k, x.stride),
            w,
            &mut out[..rows * n],
            n,
            bias,
            Threads::All,
        );
    })
}

/// Writes (or adds) the bias to every row; whether there was one.
fn fill_bias(linear: &Linear, out: &mut [f32], n: usize, add: bool) -> Result<bool> {
    let Some(bias) = linear.bias() else { return Ok(false) };
    with(bias, |b| {
        out.par_chunks_exact_mut(n).for_each(|row| {
            if add {
                simd::add_scaled(row, b, 1.0);
            } else {
                row.copy_from_slice(b);
            }
        });
    })?;
    Ok(true)
}

/// Norms and rotations of queries and keys, in place.
fn prepare_heads(
    attention: &Attention,
    packing: &Packing,
    angles: Option<&Angles>,
    qkv: &mut [f32],
) -> Result<()> {
    let shape = attention.shape();
    let (width, dim) = (shape.qkv_width(), shape.head_dim);
    let (q_width, kv_width) = (shape.heads * dim, shape.kv_heads * dim);
    let weights = |norm: &Option<Norm>| -> Result<Option<(Vec<f32>, f32)>> {
        norm.as_ref().map(|n| Ok((with(&n.weight, <[f32]>::to_vec)?, n.eps as f32))).transpose()
    };
    let (query_norm, key_norm) = (weights(&attention.query_norm)?, weights(&attention.key_norm)?);
    let whole = attention.whole_norm;
    qkv.par_chunks_mut(ROWS * width).enumerate().for_each(|(chunk, rows)| {
        let mut copy = Vec::new();
        for (i, row) in rows.chunks_exact_mut(width).enumerate() {
            let position = packing.positions()[chunk * ROWS + i] as usize;
            let (queries, rest) = row.split_at_mut(q_width);
            for (part, norm) in [(queries, &query_norm), (&mut rest[..kv_width], &key_norm)] {
                if let Some((weight, eps)) = norm {
                    let span = if whole { part.len() } else { dim };
                    for head in part.chunks_exact_mut(span) {
                        copy.clear();
                        copy.extend_from_slice(head);
                        simd::rms_norm(&copy, weight, *eps, head);
                    }
                }
                if let Some(a) = angles {
                    let at = position * a.half..(position + 1) * a.half;
                    for head in part.chunks_exact_mut(dim) {
                        simd::rotate(head, &a.cos[at.clone()], &a.sin[at.clone()]);
                    }
                }
            }
        }
    });
    Ok(())
}

#[allow(clippy::too_many_arguments)]
fn add_product(
    linear: &Linear,
    input: &[f32],
    k: usize,
    hidden: usize,
    x: &mut [f32],
    apart: &mut Vec<f32>,
    after: Option<&Norm>,
    multiplier: f64,
    direct: bool,
) -> Result<()> {
    let rows = x.len() / hidden;
    add_strided(
        linear,
        Strided { data: input, stride: k },
        k,
        rows,
        hidden,
        x,
        apart,
        after,
        multiplier,
        direct,
    )
}

/// x ← x + multiplier · after(input Wᵀ + b); straight into x where nothing stands between.
#[allow(clippy::too_many_arguments)]
fn add_strided(
    linear: &Linear,
    input: Strided<'_>,
    k: usize,
    rows: usize,
    hidden: usize,
    x: &mut [f32],
    apart: &mut Vec<f32>,
    after: Option<&Norm>,
    multiplier: f64,
    direct: bool,
) -> Result<()> {
    if direct {
        fill_bias(linear, x, hidden, true)?;
        return with(linear.weight(), |w| {
            let w = View::new(w, hidden, k, k);
            times_transposed(View::new(input.data, rows, k, input.stride), w, x, hidden, true, Threads::All);
        });
    }
    // The first half holds the product, the second its norm.
    let size = rows * hidden;
    apart.resize(2 * size, 0.0);
    let (product, normed) = apart.split_at_mut(size);
    linear_into(linear, input, k, rows, product, hidden)?;
    let added: &[f32] = match after {
        Some(norm) => {
            norm_rows(norm, product, hidden, &mut normed[..size])?;
            &normed[..size]
        }
        None => product,
    };
    x.par_chunks_mut(ROWS * hidden)
        .zip(added.par_chunks(ROWS * hidden))
        .for_each(|(x, y)| simd::add_scaled(x, y, multiplier as f32));
    Ok(())
}

/// Fills `inner` with the activations that `down` reads; returns their width and row stride.
fn mlp_inner(
    mlp: &Mlp,
    input: &[f32],
    rows: usize,
    hidden: usize,
    inner: &mut Vec<f32>,
) -> Result<(usize, usize)> {
    let width = mlp.intermediate;
    let (stride, act, gated) = match mlp.kind {
        MlpKind::Gated(act) => (2 * width, act, true),
        MlpKind::Plain(act) => (width, act, false),
    };
    inner.resize(rows * stride, 0.0);
    linear_into(&mlp.up, Strided { data: input, stride: hidden }, hidden, rows, inner, stride)?;
    inner.par_chunks_exact_mut(stride).for_each(|row| {
        let (gate, up) = row.split_at_mut(width);
        match act {
            Activation::Silu if gated => return simd::silu_gate(gate, up),
            Activation::Silu => simd::silu(gate),
            Activation::Gelu => simd::gelu(gate),
            Activation::GeluTanh => simd::gelu_tanh(gate),
            Activation::Relu => gate.iter_mut().for_each(|v| *v = v.max(0.0)),
        }
        if gated {
            simd::multiply(gate, up);
        }
    });
    Ok((width, stride))
}
