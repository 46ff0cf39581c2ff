//! Sizes of the network, and the range of each matrix in the parameter vector.

use std::ops::Range;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::organism::draw::gaussian;

/// Width of a head.
pub const HEAD: usize = 16;

/// Sizes of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Number of words.
    pub vocab: usize,
    /// Width of the residual stream, a multiple of [`HEAD`].
    pub hidden: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Width of the MLP.
    pub mlp: usize,
}

/// Ranges of one block's parameters.
#[derive(Debug, Clone)]
pub struct Slots {
    /// `[hidden]`: weights of the norm before attention.
    pub norm1: Range<usize>,
    /// `[3·hidden, hidden]`: queries, keys, values.
    pub qkv: Range<usize>,
    /// `[hidden, hidden]`: attention output.
    pub out: Range<usize>,
    /// `[hidden]`: weights of the norm before the MLP.
    pub norm2: Range<usize>,
    /// `[2·mlp, hidden]`: gate, up.
    pub gate_up: Range<usize>,
    /// `[hidden, mlp]`: down projection.
    pub down: Range<usize>,
}

impl Shape {
    /// Number of heads.
    pub fn heads(&self) -> usize {
        self.hidden / HEAD
    }

    fn block_size(&self) -> usize {
        let d = self.hidden;
        2 * d + 4 * d * d + 3 * d * self.mlp
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.vocab * self.hidden + self.layers * self.block_size() + self.hidden
    }

    /// `[vocab, hidden]`, used as embedding and head.
    pub fn embedding(&self) -> Range<usize> {
        0..self.vocab * self.hidden
    }

    /// `[hidden]`: weights of the final norm.
    pub fn final_norm(&self) -> Range<usize> {
        self.parameters() - self.hidden..self.parameters()
    }

    /// Parameters of a block, counted from 0.
    pub fn block(&self, index: usize) -> Slots {
        let d = self.hidden;
        let mut at = self.vocab * d + index * self.block_size();
        let mut take = |n: usize| {
            at += n;
            at - n..at
        };
        Slots {
            norm1: take(d),
            qkv: take(3 * d * d),
            out: take(d * d),
            norm2: take(d),
            gate_up: take(2 * self.mlp * d),
            down: take(d * self.mlp),
        }
    }

    /// Ranges of the norms' weights, which are excluded from weight decay.
    pub fn norms(&self) -> Vec<Range<usize>> {
        let mut out = vec![self.final_norm()];
        for i in 0..self.layers {
            let b = self.block(i);
            out.extend([b.norm1, b.norm2]);
        }
        out
    }

    /// Initial parameters: norms 1, embedding sd .1, matrices sd .8/√columns; matrices that write to the residual
    /// stream are smaller by √(2·layers).
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut p = vec![1f32; self.parameters()];
        let mut fill = |range: Range<usize>, sd: f64| {
            for x in &mut p[range] {
                *x = (sd * gaussian(&mut rng)) as f32;
            }
        };
        fill(self.embedding(), 0.1);
        let residual = 1.0 / (2.0 * self.layers as f64).sqrt();
        let (d, m) = ((self.hidden as f64).sqrt(), (self.mlp as f64).sqrt());
        for i in 0..self.layers {
            let b = self.block(i);
            fill(b.qkv, 0.8 / d);
            fill(b.out, 0.8 * residual / d);
            fill(b.gate_up, 0.8 / d);
            fill(b.down, 0.8 * residual / m);
        }
        p
    }
}
