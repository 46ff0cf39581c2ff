//! One block over one forest, in place.

use candle_core::Tensor;
use rayon::prelude::*;

use super::product::{View, Weights};
use super::{Angles, Buffers, ROWS, attention, floats, norm_rows, open, simd};
use crate::error::Result;
use crate::model::config::{Activation, Mlp as MlpKind};
use crate::model::decoder::attention::Attention;
use crate::model::decoder::block::Block;
use crate::model::decoder::cache::Kept;
use crate::model::decoder::dense::Dense;
use crate::model::decoder::mlp::Mlp;
use crate::model::decoder::norm::Norm;
use crate::model::packing::Packing;
use attention::{Keys, Shape};

/// MLP rows computed together, so that the inner activations stay in the cache.
const MLP_ROWS: usize = 512;

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

/// Operations between a product and the residual stream that it is added to.
#[derive(Clone, Copy)]
struct Epilogue<'a> {
    bias: Option<&'a [f32]>,
    norm: Option<&'a Norm>,
    multiplier: f32,
}

/// x ← block(x), `[fresh, hidden]`; `kept` holds keys and values of the tokens before the fresh ones.
pub(super) fn run(
    block: &Block,
    packing: &Packing,
    angles: &[Angles],
    x: &mut [f32],
    b: &mut Buffers,
    kept: Option<&mut Kept>,
) -> Result<()> {
    let total = packing.fresh().len();
    let hidden = x.len() / total.max(1);
    let attention = &block.attention;
    let shape = attention.shape();
    let bias = |dense: &Dense| dense.bias.as_ref().map(floats).transpose();
    let [packed, other] = &mut b.packed;
    let whole = |dense: &Dense| -> Result<(usize, usize)> { Ok((0, rows_of(dense)?)) };

    normalise(block.before_attention.as_ref(), x, hidden, &mut b.normed)?;
    let width = shape.qkv_width();
    b.qkv.resize(total * width, 0.0);
    let biases = bias(&attention.qkv)?;
    open(&attention.qkv.weight, whole(&attention.qkv)?, packed, |w| {
        linear(w, biases.as_deref(), View::new(&b.normed, total, hidden, hidden), &mut b.qkv);
    })?;
    prepare_heads(attention, packing, block.rope.map(|r| &angles[r]), &mut b.qkv)?;
    b.attended.resize(total * shape.out_width(), 0.0);
    let keys = match kept {
        Some(kept) => Keys::alone(kept.append_rows(&b.qkv, width, shape.out_width()), &shape),
        None => Keys::beside(&b.qkv, &shape),
    };
    attention::attend(&b.qkv, keys, packing, &shape, &mut b.attended);
    // In a parallel block the MLP reads x as it was before attention was added.
    if block.parallel {
        normalise(block.before_mlp.as_ref(), x, hidden, &mut b.normed)?;
    }
    let biases = bias(&attention.out)?;
    let epilogue = Epilogue {
        bias: biases.as_deref(),
        norm: block.after_attention.as_ref(),
        multiplier: block.multiplier as f32,
    };
    let attended = View::new(&b.attended, total, shape.out_width(), shape.out_width());
    open(&attention.out.weight, whole(&attention.out)?, packed, |w| {
        add(w, epilogue, attended, x, hidden, &mut b.apart)
    })??;

    if !block.parallel {
        normalise(block.before_mlp.as_ref(), x, hidden, &mut b.normed)?;
    }
    let (up_bias, down_bias) = (bias(&block.mlp.up)?, bias(&block.mlp.down)?);
    let epilogue = Epilogue { bias: down_bias.as_deref(), norm: block.after_mlp.as_ref(), ..epilogue };
    let (normed, inner, apart) = (&b.normed, &mut b.inner, &mut b.apart);
    open(&block.mlp.up.weight, whole(&block.mlp.up)?, packed, |up| {
        open(&block.mlp.down.weight, whole(&block.mlp.down)?, other, |down| -> Result<()> {
            for start in (0..total).step_by(MLP_ROWS) {
                let rows = MLP_ROWS.min(total - start);
                let span = start * hidden..(start + rows) * hidden;
                let input = View::new(&normed[span.clone()], rows, hidden, hidden);
                inner.resize(rows * up.n(), 0.0);
                linear(up, up_bias.as_deref(), input, inner);
                activate(&block.mlp, up.n(), inner);
                let input = View::new(inner, rows, block.mlp.intermediate, up.n());
                add(down, epilogue, input, &mut x[span], hidden, apart)?;
            }
            Ok(())
        })
    })???;
    Ok(())
}

fn rows_of(dense: &Dense) -> Result<usize> {
    use crate::model::decoder::dense::Weight;
    Ok(match &dense.weight {
        Weight::Matrix(matrix) => Tensor::dim(matrix, 0)?,
        Weight::Panels(panels) => panels.rows(),
    })
}

/// `out ← norm(x)`, or a copy if there is no norm.
fn normalise(norm: Option<&Norm>, x: &[f32], hidden: usize, out: &mut Vec<f32>) -> Result<()> {
    out.resize(x.len(), 0.0);
    match norm {
        None => out.copy_from_slice(x),
        Some(norm) => norm_rows(norm, x, hidden, out)?,
    }
    Ok(())
}

/// `out[rows, n] ← x Wᵀ + b`.
fn linear(weights: Weights<'_>, bias: Option<&[f32]>, x: View<'_>, out: &mut [f32]) {
    let n = weights.n();
    if let Some(bias) = bias {
        out.par_chunks_exact_mut(n).for_each(|row| row.copy_from_slice(bias));
    }
    weights.times(x, out, n, bias.is_some());
}

/// x ← x + multiplier · norm(input Wᵀ + b); added directly to x if there is neither norm nor factor.
fn add(
    weights: Weights<'_>,
    epilogue: Epilogue<'_>,
    input: View<'_>,
    x: &mut [f32],
    hidden: usize,
    apart: &mut Vec<f32>,
) -> Result<()> {
    if epilogue.norm.is_none() && epilogue.multiplier == 1.0 {
        if let Some(bias) = epilogue.bias {
            x.par_chunks_exact_mut(hidden).for_each(|row| simd::add_scaled(row, bias, 1.0));
        }
        weights.times(input, x, hidden, true);
        return Ok(());
    }
    // The first half holds the product, the second its norm.
    apart.resize(apart.len().max(2 * x.len()), 0.0);
    let (product, rest) = apart.split_at_mut(x.len());
    linear(weights, epilogue.bias, input, product);
    let added: &[f32] = match epilogue.norm {
        Some(norm) => {
            norm_rows(norm, product, hidden, &mut rest[..x.len()])?;
            &rest[..x.len()]
        }
        None => product,
    };
    x.par_chunks_mut(ROWS * hidden)
        .zip(added.par_chunks(ROWS * hidden))
        .for_each(|(x, y)| simd::add_scaled(x, y, epilogue.multiplier));
    Ok(())
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
        norm.as_ref().map(|n| Ok((floats(&n.weight)?, n.eps as f32))).transpose()
    };
    let (query_norm, key_norm) = (weights(&attention.query_norm)?, weights(&attention.key_norm)?);
    let whole = attention.whole_norm;
    let positions = &packing.positions()[packing.fresh()];
    qkv.par_chunks_mut(ROWS * width).enumerate().for_each(|(chunk, rows)| {
        let mut copy = Vec::new();
        for (i, row) in rows.chunks_exact_mut(width).enumerate() {
            let position = positions[chunk * ROWS + i] as usize;
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

/// Applies the activation: turns the output of `up` into the input of `down`, in the first columns of each row.
fn activate(mlp: &Mlp, stride: usize, inner: &mut [f32]) {
    let width = mlp.intermediate;
    let (act, gated) = match mlp.kind {
        MlpKind::Gated(act) => (act, true),
        MlpKind::Plain(act) => (act, false),
    };
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
}
