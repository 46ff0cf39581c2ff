//! Compares decoders layer by layer, each token on its own scale.
//!
//! Trained models have massive activations: single tokens with fifty times the norm of the others. A deviation relative
//! to the layer's RMS is insensitive to all other tokens, so every token is compared on the scale of its own RMS in
//! f64.

use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use crate::error::Result;
use crate::forest::Forest;
use crate::model::decoder::{Hook, Target};
use crate::model::packing::Segment;
use crate::model::{Decoder, Packing};
use crate::units::Layer;

/// Deviation of a residual stream `[T, hidden]` from another, in units of each token's own RMS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Deviation {
    /// Root mean square over tokens and coordinates.
    pub rms: f64,
    /// Largest deviation of one coordinate of one token.
    pub largest: f64,
}

/// The token with the largest norm in a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Peak {
    /// RMS over the token's coordinates.
    pub rms: f64,
    /// The token's share of the sum of squares over all tokens of its text.
    pub share: f64,
    /// Index of the text, from 0.
    pub text: usize,
    /// Position in the text, from 0.
    pub position: usize,
    /// Index of its largest coordinate, from 0.
    pub coordinate: usize,
    /// That coordinate's share of the token's sum of squares.
    pub coordinate_share: f64,
}

/// Deviations at one layer, for the same texts computed in several ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct LayerCheck {
    /// RMS over coordinates of the median token, in f64.
    pub typical: f64,
    /// The largest token, in f64.
    pub peak: Peak,
    /// The run, with each text alone, against f64.
    pub run: Deviation,
    /// Plain operations in the run's dtype against f64: the precision attainable with this dtype on this model.
    pub plain: Deviation,
    /// The run's block applied to the previous layer in f64, against f64: its own error without propagated error.
    pub block: Deviation,
    /// The same for a block in plain operations.
    pub plain_block: Deviation,
    /// The run with the texts packed side by side, against each text alone.
    pub packed: Deviation,
    /// The run with the texts in a forest of shared prefixes, against each text alone.
    pub forest: Deviation,
}

/// Deviations of all layers and of log P.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Compared {
    /// Relative rounding error of the run's dtype, 2⁻²⁴ for f32.
    pub unit: f64,
    /// Deviations by layer, from the embeddings on.
    pub layers: Vec<LayerCheck>,
    /// Largest |log P − log P in f64| of a token, in nats: of the run, and of plain operations.
    pub logprob: (f64, f64),
}

/// Maximum relative error of rounding to a dtype.
pub fn unit_roundoff(dtype: DType) -> f64 {
    0.5f64.powi(match dtype {
        DType::F64 => 53,
        DType::F32 => 24,
        DType::F16 => 11,
        _ => 8,
    })
}

/// Rows of one layer, by token.
type Rows = Vec<Vec<f64>>;

/// Residual streams at every layer.
#[derive(Default)]
struct Record(Vec<Rows>);

impl Hook for Record {
    fn residual(&mut self, _: Layer, x: Tensor) -> Result<Tensor> {
        self.0.push(rows(&x)?);
        Ok(x)
    }
}

fn rows(x: &Tensor) -> Result<Rows> {
    Ok(x.to_dtype(DType::F64)?.to_device(&Device::Cpu)?.to_vec2()?)
}

/// Hook that compares each layer with a record, token t of the record with row `at[t]`; with `forced`, the next block
/// gets the record's numbers instead.
struct Against<'a> {
    record: &'a [Rows],
    scales: &'a [Vec<f64>],
    at: &'a [usize],
    forced: bool,
    found: Vec<Deviation>,
}

impl Hook for Against<'_> {
    fn residual(&mut self, layer: Layer, x: Tensor) -> Result<Tensor> {
        let record = &self.record[layer.0];
        let got = rows(&x)?;
        let at = |t: usize| &got[self.at[t]];
        self.found.push(deviation(&self.scales[layer.0], record, at));
        if !self.forced {
            return Ok(x);
        }
        let flat: Vec<f64> = record.iter().flatten().copied().collect();
        Ok(Tensor::from_vec(flat, x.dims2()?, &Device::Cpu)?.to_dtype(x.dtype())?.to_device(x.device())?)
    }
}

/// Deviation of the rows `got(t)` from a record's.
fn deviation<'a>(scales: &[f64], record: &Rows, got: impl Fn(usize) -> &'a Vec<f64>) -> Deviation {
    let (mut square, mut count, mut largest) = (0.0, 0, 0f64);
    for (t, (want, &scale)) in record.iter().zip(scales).enumerate() {
        for (a, b) in got(t).iter().zip(want) {
            // A token of zeros has no scale; any non-zero value there counts as infinite.
            let off = if a == b { 0.0 } else { (a - b).abs() / scale };
            square += off * off;
            // `max` would ignore NaN.
            largest = if off.is_nan() || off > largest { off } else { largest };
        }
        count += want.len();
    }
    Deviation { rms: (square / count as f64).sqrt(), largest }
}

fn mean_square(row: &[f64]) -> f64 {
    row.iter().map(|v| v * v).sum::<f64>() / row.len() as f64
}

/// The median token and the largest one of a layer; `starts` are the start indices of the texts.
fn sizes(record: &Rows, starts: &[usize]) -> (f64, Peak) {
    let squares: Vec<f64> = record.iter().map(|row| mean_square(row)).collect();
    let mut sorted = squares.clone();
    sorted.sort_by(f64::total_cmp);
    let typical = sorted[sorted.len() / 2].sqrt();
    let token = (0..squares.len()).max_by(|&a, &b| squares[a].total_cmp(&squares[b])).unwrap_or_default();
    let text = starts.partition_point(|&s| s <= token) - 1;
    let own = starts[text]..starts.get(text + 1).copied().unwrap_or(squares.len());
    let row = &record[token];
    let coordinate =
        (0..row.len()).max_by(|&a, &b| row[a].abs().total_cmp(&row[b].abs())).unwrap_or_default();
    let peak = Peak {
        rms: squares[token].sqrt(),
        share: squares[token] / squares[own].iter().sum::<f64>(),
        text,
        position: token - starts[text],
        coordinate,
        coordinate_share: row[coordinate].powi(2) / (squares[token] * row.len() as f64),
    };
    (typical, peak)
}

/// Packs the texts one after the other without sharing; also returns the start of each.
fn beside(texts: &[Vec<u32>]) -> Result<(Packing, Vec<usize>)> {
    let (mut tokens, mut segments, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    for text in texts {
        starts.push(tokens.len());
        segments.push(Segment { start: tokens.len(), len: text.len(), parent: None });
        tokens.extend_from_slice(text);
    }
    Ok((Packing::new(tokens, segments)?, starts))
}

/// Computes texts with the `run`'s decoder (alone, packed, in a forest, block by block), with `plain` operations in the
/// same dtype and with an `exact` decoder in f64.
///
/// # Errors
/// Errors of the forward pass.
pub fn compare(run: &Decoder, plain: &Decoder, exact: &Decoder, texts: &[Vec<u32>]) -> Result<Compared> {
    let last = Layer(run.config().num_blocks());
    let (side, starts) = beside(texts)?;
    let targets: Vec<Target> = texts
        .iter()
        .zip(&starts)
        .flat_map(|(text, &start)| {
            (1..text.len()).map(move |t| Target { previous: start + t - 1, token: text[t] })
        })
        .collect();

    let mut truth = Record::default();
    let x = exact.residual_stream(&side, last, &mut truth)?;
    let log_probs = exact.log_probs(&x, &targets)?;
    let truth = truth.0;
    let scales: Vec<Vec<f64>> =
        truth.iter().map(|rows| rows.iter().map(|row| mean_square(row).sqrt()).collect()).collect();
    let straight: Vec<usize> = (0..side.len()).collect();
    let against = |decoder: &Decoder, packing: &Packing, record: &[Rows], at: &[usize], forced: bool| {
        let mut tap = Against { record, scales: &scales, at, forced, found: Vec::new() };
        let x = decoder.residual_stream(packing, last, &mut tap)?;
        Ok::<_, crate::error::Error>((tap.found, x))
    };
    let off = |values: Vec<f64>| -> f64 {
        let far = |worst: f64, off: f64| if off.is_nan() || off > worst { off } else { worst };
        values.iter().zip(&log_probs).map(|(a, b)| (a - b).abs()).fold(0.0, far)
    };

    let mut alone: Vec<Rows> = vec![Vec::new(); truth.len()];
    let mut streams = Vec::new();
    for text in texts {
        let mut record = Record::default();
        streams.push(run.residual_stream(&Packing::single(text), last, &mut record)?);
        for (all, own) in alone.iter_mut().zip(record.0) {
            all.extend(own);
        }
    }
    let logprob_of_run = off(run.log_probs(&Tensor::cat(&streams, 0)?, &targets)?);
    let (plain_found, x) = against(plain, &side, &truth, &straight, false)?;
    let logprob_of_plain = off(plain.log_probs(&x, &targets)?);
    let (blocks, _) = against(run, &side, &truth, &straight, true)?;
    let (plain_blocks, _) = against(plain, &side, &truth, &straight, true)?;
    let (packed, _) = against(run, &side, &alone, &straight, false)?;
    let forest = Forest::build(texts)?;
    let at: Vec<usize> =
        texts.iter().enumerate().flat_map(|(i, text)| forest.indices(i, 0, text.len())).collect();
    let (shared, _) = against(run, forest.packing(), &alone, &at, false)?;

    let layers = (0..truth.len())
        .map(|l| {
            let (typical, peak) = sizes(&truth[l], &starts);
            LayerCheck {
                typical,
                peak,
                run: deviation(&scales[l], &truth[l], |t| &alone[l][t]),
                plain: plain_found[l],
                block: blocks[l],
                plain_block: plain_blocks[l],
                packed: packed[l],
                forest: shared[l],
            }
        })
        .collect();
    Ok(Compared { unit: unit_roundoff(run.dtype()), layers, logprob: (logprob_of_run, logprob_of_plain) })
}
