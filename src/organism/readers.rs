//! How well the values can be predicted from words alone: the best linear predictors, fitted on very many replies.
//!
//! A reader uses the counts of words (or of pairs of adjacent words) in prompt and reply, each also divided by the
//! length of its text, and predicts S by ridge regression. Its accuracy on new replies is the baseline that a model
//! with composition must exceed.

use std::collections::HashMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::lexicon::LEXICON;
use super::policy;
use super::reply::Situation;
use super::values::{VALUE_COUNT, score};

/// Features of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Word counts.
    Words,
    /// Counts of words and of pairs of adjacent words.
    Pairs,
}

/// ρ² of [`Reader::Words`] with the S of each value: the result of [`measure`] for seed 1 and 40,000 replies, rounded.
pub const WORDS: [f64; VALUE_COUNT] = [0.118, 0.171, 0.104, 0.113];

/// ρ² of [`Reader::Pairs`], as for [`WORDS`].
pub const PAIRS: [f64; VALUE_COUNT] = [0.262, 0.244, 0.296, 0.131];

/// One reply: feature indices with their values, and S.
struct Row {
    features: Vec<(usize, f64)>,
    values: [f64; VALUE_COUNT],
}

fn row(reader: Reader, numbers: &mut HashMap<(usize, u32, u32), usize>, rng: &mut ChaCha8Rng) -> Row {
    let situation = Situation::draw(rng);
    let reply = policy::base(&situation, rng).text();
    let values = score(&situation, &reply).values;
    let mut features = vec![(0, 1.0)];
    let mut add = |key, amount: f64| {
        let next = numbers.len() + 1;
        features.push((*numbers.entry(key).or_insert(next), amount));
    };
    for (side, text) in [situation.text(), reply].iter().enumerate() {
        let ids = LEXICON.encode(text);
        let share = 10.0 / ids.len().max(1) as f64;
        for &id in &ids {
            add((4 * side, id, 0), 1.0);
            add((4 * side + 1, id, 0), share);
        }
        if reader == Reader::Pairs {
            for pair in ids.windows(2) {
                add((4 * side + 2, pair[0], pair[1]), 1.0);
                add((4 * side + 3, pair[0], pair[1]), share);
            }
        }
    }
    Row { features, values }
}

/// Ridge penalty, per reply.
const RIDGE: f64 = 1e-3;
/// Number of conjugate gradient steps; more change nothing in the third digit.
const STEPS: usize = 60;

/// Solves (XᵀX/n + RIDGE) b = Xᵀy/n by conjugate gradients.
fn fit(rows: &[Row], size: usize, value: usize) -> Vec<f64> {
    let n = rows.len() as f64;
    let dot = |row: &Row, b: &[f64]| row.features.iter().map(|&(i, x)| x * b[i]).sum::<f64>();
    let apply = |b: &[f64]| {
        let mut out: Vec<f64> = b.iter().map(|b| RIDGE * b).collect();
        for row in rows {
            let y = dot(row, b) / n;
            row.features.iter().for_each(|&(i, x)| out[i] += x * y);
        }
        out
    };
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut residual = vec![0.0; size];
    for row in rows {
        row.features.iter().for_each(|&(i, x)| residual[i] += x * row.values[value] / n);
    }
    let (mut b, mut direction) = (vec![0.0; size], residual.clone());
    let mut square = product(&residual, &residual);
    for _ in 0..STEPS {
        let image = apply(&direction);
        let step = square / product(&direction, &image);
        b.iter_mut().zip(&direction).for_each(|(b, d)| *b += step * d);
        residual.iter_mut().zip(&image).for_each(|(r, i)| *r -= step * i);
        let next = product(&residual, &residual);
        direction.iter_mut().zip(&residual).for_each(|(d, r)| *d = r + next / square * *d);
        square = next;
    }
    b
}

/// ρ² of a reader with each value's S: fitted on `replies` replies from the base policy, measured on a quarter as many.
pub fn measure(reader: Reader, seed: u64, replies: usize) -> [f64; VALUE_COUNT] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut numbers = HashMap::new();
    let rows: Vec<Row> = (0..replies + replies / 4).map(|_| row(reader, &mut numbers, &mut rng)).collect();
    let (seen, new) = rows.split_at(replies);
    std::array::from_fn(|value| {
        let b = fit(seen, numbers.len() + 1, value);
        let mut sums = [0.0; 5];
        for row in new {
            let x = row.features.iter().map(|&(i, x)| x * b[i]).sum::<f64>();
            let y = row.values[value];
            sums.iter_mut().zip([x, y, x * x, y * y, x * y]).for_each(|(s, t)| *s += t);
        }
        let [x, y, xx, yy, xy] = sums.map(|s| s / new.len() as f64);
        (xy - x * y).max(0.0).powi(2) / ((xx - x * x) * (yy - y * y))
    })
}
