//! Attention over packed documents: a token sees the run that its tail follows, and its own tail up to itself.

use super::forward::Span;
use super::kernels::{dispatch, dot, exp};
use super::shape::HEAD;

/// Calls `f(token, keys)` for each token in order; `keys` are two ranges of packed indices.
#[inline(always)]
fn visible(spans: &[Span], mut f: impl FnMut(usize, [(usize, usize); 2])) {
    for span in spans {
        let shared = span.parent.map_or((0, 0), |p| (spans[p].start, spans[p].start + spans[p].len));
        for i in 0..span.len {
            f(span.start + i, [shared, (span.start, span.start + i + 1)]);
        }
    }
}

/// Number of (token, key) pairs.
pub fn pairs(spans: &[Span]) -> usize {
    let mut n = 0;
    visible(spans, |_, keys| n += keys.iter().map(|k| k.1 - k.0).sum::<usize>());
    n
}

fn head(row: &[f32], at: usize) -> &[f32; HEAD] {
    row[at..at + HEAD].try_into().expect("a head")
}

dispatch! {
    /// `out[t, d]` from `qkv[t, 3d]`; `weights` stores the softmax, `[heads, pairs]`.
    attend = attend_body(qkv: &[f32], d: usize, spans: &[Span], weights: &mut [f32], out: &mut [f32])
}

#[inline(always)]
fn attend_body(qkv: &[f32], d: usize, spans: &[Span], weights: &mut [f32], out: &mut [f32]) {
    let scale = 1.0 / (HEAD as f32).sqrt();
    let mut at = 0;
    for h in 0..d / HEAD {
        visible(spans, |t, keys| {
            let q = head(qkv, t * 3 * d + h * HEAD);
            let n: usize = keys.iter().map(|k| k.1 - k.0).sum();
            let w = &mut weights[at..at + n];
            at += n;
            let mut top = f32::NEG_INFINITY;
            for (w, j) in w.iter_mut().zip(keys.iter().flat_map(|k| k.0..k.1)) {
                *w = dot(q, head(qkv, j * 3 * d + d + h * HEAD)) * scale;
                top = top.max(*w);
            }
            let mut sum = 0.0;
            for w in w.iter_mut() {
                *w = exp(*w - top);
                sum += *w;
            }
            let mut mixed = [0f32; HEAD];
            for (w, j) in w.iter_mut().zip(keys.iter().flat_map(|k| k.0..k.1)) {
                *w /= sum;
                let v = head(qkv, j * 3 * d + 2 * d + h * HEAD);
                for i in 0..HEAD {
                    mixed[i] += *w * v[i];
                }
            }
            out[t * d + h * HEAD..t * d + (h + 1) * HEAD].copy_from_slice(&mixed);
        });
    }
}

dispatch! {
    /// Backward pass: `dqkv` (zeroed by the caller) from `dout`.
    attend_back = attend_back_body(
        qkv: &[f32], d: usize, spans: &[Span], weights: &[f32], dout: &[f32], dqkv: &mut [f32],
    )
}

#[inline(always)]
fn attend_back_body(qkv: &[f32], d: usize, spans: &[Span], weights: &[f32], dout: &[f32], dqkv: &mut [f32]) {
    let scale = 1.0 / (HEAD as f32).sqrt();
    let mut at = 0;
    let mut pulls: Vec<f32> = Vec::new();
    for h in 0..d / HEAD {
        visible(spans, |t, keys| {
            let n: usize = keys.iter().map(|k| k.1 - k.0).sum();
            let w = &weights[at..at + n];
            at += n;
            let q = head(qkv, t * 3 * d + h * HEAD);
            let g = head(dout, t * d + h * HEAD);
            pulls.clear();
            let mut mean = 0.0;
            for (w, j) in w.iter().zip(keys.iter().flat_map(|k| k.0..k.1)) {
                let pull = dot(g, head(qkv, j * 3 * d + 2 * d + h * HEAD));
                mean += w * pull;
                pulls.push(pull);
            }
            let mut dq = [0f32; HEAD];
            for ((w, pull), j) in w.iter().zip(&pulls).zip(keys.iter().flat_map(|k| k.0..k.1)) {
                let ds = w * (pull - mean) * scale;
                let k = head(qkv, j * 3 * d + d + h * HEAD);
                for i in 0..HEAD {
                    dq[i] += ds * k[i];
                }
                let at = j * 3 * d + d + h * HEAD;
                let dk: &mut [f32; HEAD] = (&mut dqkv[at..at + HEAD]).try_into().expect("a head");
                for i in 0..HEAD {
                    dk[i] += ds * q[i];
                }
                let dv: &mut [f32; HEAD] = (&mut dqkv[at + d..at + d + HEAD]).try_into().expect("a head");
                for i in 0..HEAD {
                    dv[i] += w * g[i];
                }
            }
            let at = t * 3 * d + h * HEAD;
            for i in 0..HEAD {
                dqkv[at + i] += dq[i];
            }
        });
    }
}
