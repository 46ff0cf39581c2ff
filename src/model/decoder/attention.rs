//! Grouped-query attention over a packed forest: segment by segment in plain differentiable operations, or batched.

use candle_core::{D, DType, Device, Tensor};

use super::cache::Kept;
use super::dense::Dense;
use super::grouped::{Group, Plan};
use super::norm::Norm;
use super::rotary::Rotary;
use crate::error::Result;
use crate::model::config::{Config, NormKind, QkNorm};
use crate::model::packing::Packing;
use crate::model::weights::{BlockNames, TensorSource};

/// softmax(scale · q kᵀ + mask) v, heads concatenated, projected.
///
/// Queries, keys and values come from one matrix `[(heads + 2·kv_heads)·head_dim, hidden]`, so that
/// they cost one product. A query head h reads key head ⌊h / (heads / kv_heads)⌋.
#[derive(Debug, Clone)]
pub struct Attention {
    pub(super) qkv: Dense,
    pub(super) out: Dense,
    pub(super) query_norm: Option<Norm>,
    pub(super) key_norm: Option<Norm>,
    pub(super) whole_norm: bool,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) scale: f64,
    pub(super) softcap: Option<f64>,
    pub(super) window: Option<usize>,
}

impl Attention {
    /// Reads the projections (and norms) of block `index`, counted from 0.
    ///
    /// # Errors
    /// If the checkpoint lacks them or has other shapes.
    pub fn load(
        source: &dyn TensorSource,
        names: &BlockNames,
        config: &Config,
        index: usize,
    ) -> Result<Self> {
        let (heads, kv_heads, head_dim) = (config.heads, config.kv_heads, config.head_dim);
        let norm = |prefix: &str, heads: usize| -> Result<Option<Norm>> {
            let width = match config.qk_norm {
                QkNorm::None => return Ok(None),
                QkNorm::PerHead => head_dim,
                QkNorm::Whole => heads * head_dim,
            };
            let kind = if config.norm == NormKind::Layer { NormKind::Rms } else { config.norm };
            Norm::load(source, prefix, width, kind, config.norm_eps).map(Some)
        };
        let divisor = if config.inverse_layer_scale { (index + 1) as f64 } else { 1.0 };
        Ok(Self {
            qkv: Dense::load(
                source,
                &names.qkv,
                (heads + 2 * kv_heads) * head_dim,
                config.hidden_size,
                config.biases.qkv,
            )?,
            out: Dense::load(
                source,
                &names.out,
                config.hidden_size,
                heads * head_dim,
                config.biases.attention_out,
            )?,
            query_norm: norm(&names.query_norm, heads)?,
            key_norm: norm(&names.key_norm, kv_heads)?,
            whole_norm: config.qk_norm == QkNorm::Whole,
            heads,
            kv_heads,
            head_dim,
            scale: config.attention_scale / divisor,
            softcap: config.attention_softcap,
            window: config.blocks[index].window,
        })
    }

    /// `x [T, hidden] → [T, hidden]`; each token attends to its own segment up to itself and to its ancestors. With a
    /// plan, segments are computed together, in operations without gradients. `kept` holds keys and values of the tokens
    /// before the fresh ones, if only these are in `x`.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        packing: &Packing,
        rotary: Option<&Rotary>,
        plan: Option<&Plan>,
        kept: Option<&mut Kept>,
    ) -> Result<Tensor> {
        let total = x.dim(0)?;
        let (q_width, kv_width) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let qkv = self.qkv.forward(x)?;
        let split = |start: usize, width: usize, heads: usize, norm: Option<&Norm>| -> Result<Tensor> {
            let flat = qkv.narrow(D::Minus1, start, width)?.contiguous()?;
            let by_head = |t: &Tensor| t.reshape((total, heads, self.head_dim));
            Ok(match norm {
                None => by_head(&flat)?,
                Some(norm) if self.whole_norm => {
                    by_head(&norm.apply(&flat, flat.dtype(), plan.is_some())?)?
                }
                Some(norm) => norm.apply(&by_head(&flat)?, flat.dtype(), plan.is_some())?,
            })
        };
        let mut q = split(0, q_width, self.heads, self.query_norm.as_ref())?;
        let mut k = split(q_width, kv_width, self.kv_heads, self.key_norm.as_ref())?;
        let v = split(q_width + kv_width, kv_width, self.kv_heads, None)?;
        if let Some(rotary) = rotary {
            let turn = |t: &Tensor| if plan.is_some() { rotary.apply_at_once(t) } else { rotary.apply(t) };
            q = turn(&q)?;
            k = turn(&k)?;
        }
        let q = (q * self.scale)?;
        let (k, v) = match kept {
            Some(kept) => kept.append(k, v)?,
            None => (k, v),
        };
        if let Some(plan) = plan {
            let parts = plan.groups.iter().map(|g| self.group(&q, &k, &v, g)).collect::<Result<Vec<_>>>()?;
            return self.out.forward(&Tensor::cat(&parts, 0)?.index_select(&plan.place, 0)?);
        }
        let segments = packing.fresh_segments();
        let mut parts = Vec::with_capacity(segments.len());
        for segment in segments {
            parts.push(self.segment(&q, &k, &v, packing, segment)?);
        }
        self.out.forward(&Tensor::cat(&parts, 0)?)
    }

    /// Attention for a group's queries, padding included: `[pieces · queries, heads·head_dim]`.
    fn group(&self, q: &Tensor, k: &Tensor, v: &Tensor, group: &Group) -> Result<Tensor> {
        let &Group { pieces, queries: n, keys: m, .. } = group;
        let (kv, share, width) = (self.kv_heads, self.heads / self.kv_heads, self.head_dim);
        let reached = |t: &Tensor| -> Result<Tensor> {
            // [pieces·m, kv_heads, head_dim] → [pieces·kv_heads, m, head_dim]
            let t = t.index_select(&group.key_index, 0)?.reshape((pieces, m, kv, width))?;
            Ok(t.transpose(1, 2)?.contiguous()?.reshape((pieces * kv, m, width))?)
        };
        let (keys, values) = (reached(k)?, reached(v)?);
        // [pieces·n, heads, head_dim] → [pieces·kv_heads, share·n, head_dim]
        let queries = q.index_select(&group.query_index, 0)?.reshape((pieces, n, self.heads, width))?;
        let queries = queries.transpose(1, 2)?.contiguous()?.reshape((pieces * kv, share * n, width))?;
        let mut scores = queries.matmul(&keys.transpose(1, 2)?)?;
        if let Some(cap) = self.softcap {
            scores = ((scores / cap)?.tanh()? * cap)?;
        }
        let scores = scores.reshape((pieces, self.heads, n, m))?.broadcast_add(&group.mask)?;
        let wide = if scores.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let weights = candle_nn::ops::softmax_last_dim(&scores.to_dtype(wide)?)?.to_dtype(values.dtype())?;
        let mixed = weights.reshape((pieces * kv, share * n, m))?.matmul(&values)?;
        let mixed = mixed.reshape((pieces, self.heads, n, width))?.transpose(1, 2)?.contiguous()?;
        Ok(mixed.reshape((pieces * n, self.heads * width))?)
    }

    /// Attention of one segment's n queries over its m = ancestors + n keys: `[n, heads·head_dim]`.
    fn segment(&self, q: &Tensor, k: &Tensor, v: &Tensor, packing: &Packing, index: usize) -> Result<Tensor> {
        let own = packing.segments()[index];
        let mut chain = packing.ancestors(index);
        chain.push(index);
        let offset = packing.offset(index);
        let reached = |t: &Tensor| -> Result<Tensor> {
            let parts = chain
                .iter()
                .map(|&s| t.narrow(0, packing.segments()[s].start, packing.segments()[s].len))
                .collect::<candle_core::Result<Vec<_>>>()?;
            // [m, kv_heads, head_dim] → [kv_heads, m, head_dim]
            Ok(Tensor::cat(&parts, 0)?.transpose(0, 1)?.contiguous()?)
        };
        let (keys, values) = (reached(k)?, reached(v)?);
        let (n, m, group) = (own.len, offset + own.len, self.heads / self.kv_heads);
        // [n, heads, head_dim] → [kv_heads, group·n, head_dim]: queries that share a key head are adjacent.
        let queries = q
            .narrow(0, own.start - packing.fresh().start, n)?
            .transpose(0, 1)?
            .contiguous()?
            .reshape((self.kv_heads, group * n, self.head_dim))?;
        let mut scores = queries.matmul(&keys.transpose(1, 2)?.contiguous()?)?;
        if let Some(cap) = self.softcap {
            scores = ((scores / cap)?.tanh()? * cap)?;
        }
        let scores = scores.reshape((self.heads, n, m))?;
        let scores = match mask(n, m, self.window, scores.dtype(), scores.device())? {
            Some(mask) => scores.broadcast_add(&mask)?,
            None => scores,
        };
        let wide = if scores.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let weights =
            candle_nn::ops::softmax(&scores.to_dtype(wide)?, D::Minus1)?.to_dtype(values.dtype())?;
        let mixed = weights.reshape((self.kv_heads, group * n, m))?.matmul(&values)?;
        let mixed = mixed.reshape((self.heads, n, self.head_dim))?.transpose(0, 1)?.contiguous()?;
        Ok(mixed.reshape((n, self.heads * self.head_dim))?)
    }
}

/// 0 where query i (at position m − n + i) sees key j (at position j), −∞ elsewhere; `None` if every query sees every
/// key.
fn mask(n: usize, m: usize, window: Option<usize>, dtype: DType, device: &Device) -> Result<Option<Tensor>> {
    if n == 1 && window.is_none_or(|w| m <= w) {
        return Ok(None);
    }
    let offset = m - n;
    let mut cells = vec![0f32; n * m];
    for (i, row) in cells.chunks_exact_mut(m).enumerate() {
        let position = offset + i;
        for (j, cell) in row.iter_mut().enumerate() {
            if j > position || window.is_some_and(|w| position - j >= w) {
                *cell = f32::NEG_INFINITY;
            }
        }
    }
    Ok(Some(Tensor::from_vec(cells, (1, n, m), device)?.to_dtype(dtype)?))
}
