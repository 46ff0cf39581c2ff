//! Interprets the comparisons: which deviations exceed the precision of the dtype on this model.

use serde::Serialize;

use super::compare::{Compared, Deviation, LayerCheck};

/// A deviation beyond its limit; layers count from the embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Finding {
    /// A block, given f64's inputs, is further from f64 than plain operations: a kernel of this program is wrong.
    Block(Excess),
    /// The whole run is further from f64 than plain operations, although each single block is not.
    Run(Excess),
    /// Texts packed side by side give other numbers than alone.
    Packed(Excess),
    /// Texts in a forest give other numbers than alone.
    Forest(Excess),
    /// Plain operations deviate as much as the run: the dtype is too coarse for this model.
    Coarse(Excess),
    /// log P is further from f64 than that of plain operations.
    LogProb {
        /// |Δ| in nats.
        found: f64,
        /// Upper limit, in nats.
        limit: f64,
    },
}

/// A deviation outside its limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Excess {
    /// First layer beyond the limit.
    pub layer: usize,
    /// Number of layers beyond the limit.
    pub layers: usize,
    /// Deviation at the first such layer.
    pub found: Deviation,
    /// Upper limit of the deviation.
    pub limit: Deviation,
}

/// Maximum ratio of a run's deviation from f64 to that of plain operations, by RMS and by the largest coordinate. On
/// real models the ratios are between 0.3 and 1.1 by RMS; the largest of thousands of coordinates varies more.
const TIMES: (f64, f64) = (3.0, 6.0);

/// Deviations below this many roundings of the dtype are accepted whatever plain operations give: on a small model
/// those may be exact.
const ROUNDINGS: (f64, f64) = (2.0, 16.0);

/// RMS deviation of plain operations, in roundings, beyond which the dtype counts as too coarse: 2e-3 of a token's RMS
/// in f32.
const COARSE: f64 = 32_768.0;

/// RMS deviation beyond which a token's numbers are meaningless, whatever the dtype.
const USELESS: f64 = 0.3;

/// Accepted error of log P, in roundings, whatever plain operations give: logits are sums of tens.
const LOGPROB_ROUNDINGS: f64 = 512.0;

fn limit(unit: f64, plain: Deviation) -> Deviation {
    Deviation {
        rms: (TIMES.0 * plain.rms).max(ROUNDINGS.0 * unit),
        largest: (TIMES.1 * plain.largest).max(ROUNDINGS.1 * unit),
    }
}

/// Written such that NaN counts as outside.
fn inside(found: Deviation, limit: Deviation) -> bool {
    found.rms <= limit.rms && found.largest <= limit.largest
}

/// Deviations beyond their limits, worst kind first.
pub fn findings(compared: &Compared) -> Vec<Finding> {
    let unit = compared.unit;
    let excess = |found: fn(&LayerCheck) -> Deviation, limit: &dyn Fn(&LayerCheck) -> Deviation| {
        let outside = |(_, l): &(usize, &LayerCheck)| !inside(found(l), limit(l));
        let mut all = compared.layers.iter().enumerate().filter(outside);
        let (layer, first) = all.next()?;
        Some(Excess { layer, layers: 1 + all.count(), found: found(first), limit: limit(first) })
    };
    let run_limit = |l: &LayerCheck| limit(unit, l.plain);
    let coarse = Deviation { rms: (COARSE * unit).min(USELESS), largest: f64::INFINITY };
    let mut out = Vec::new();
    out.extend(excess(|l| l.block, &|l| limit(unit, l.plain_block)).map(Finding::Block));
    out.extend(excess(|l| l.packed, &run_limit).map(Finding::Packed));
    out.extend(excess(|l| l.forest, &run_limit).map(Finding::Forest));
    out.extend(excess(|l| l.run, &run_limit).map(Finding::Run));
    // Based on the plain path: a run that is worse than it is reported above.
    out.extend(excess(|l| l.plain, &|_| coarse).map(Finding::Coarse));
    let (found, plain) = compared.logprob;
    let limit = (TIMES.1 * plain).max(LOGPROB_ROUNDINGS * unit);
    let fine = found <= limit;
    if !fine {
        out.push(Finding::LogProb { found, limit });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(rms: f64) -> Deviation {
        Deviation { rms, largest: 5.0 * rms }
    }

    /// Two layers as a healthy model has them.
    fn healthy() -> Compared {
        let layer = LayerCheck {
            run: both(1e-6),
            plain: both(2e-6),
            block: both(1e-7),
            plain_block: both(2e-7),
            ..LayerCheck::default()
        };
        Compared { unit: 0.5f64.powi(24), layers: vec![layer; 2], logprob: (1e-6, 2e-6) }
    }

    #[test]
    fn each_kind_of_fault_is_told_from_the_others() {
        assert_eq!(findings(&healthy()), []);
        type Plant = fn(&mut Compared);
        type Kind = fn(&Finding) -> bool;
        let cases: [(Plant, Kind); 6] = [
            (
                |c| c.layers[1].block = both(1e-5),
                |f| matches!(f, Finding::Block(e) if e.layer == 1 && e.layers == 1),
            ),
            (|c| c.layers[0].block.largest = 1e-2, |f| matches!(f, Finding::Block(e) if e.layer == 0)),
            (|c| c.layers[1].run = both(7e-6), |f| matches!(f, Finding::Run(e) if e.layer == 1)),
            (|c| c.layers[1].packed = both(0.1), |f| matches!(f, Finding::Packed(_))),
            (|c| c.layers[1].forest = both(0.1), |f| matches!(f, Finding::Forest(_))),
            (|c| c.logprob.0 = 1e-3, |f| matches!(f, Finding::LogProb { .. })),
        ];
        for (i, (plant, kind)) in cases.into_iter().enumerate() {
            let mut compared = healthy();
            plant(&mut compared);
            let found = findings(&compared);
            assert!(found.len() == 1 && kind(&found[0]), "case {i}: {found:?}");
        }
    }

    #[test]
    fn a_run_as_bad_as_plain_operations_is_the_dtype_or_nobody() {
        let mut compared = healthy();
        for rms in [1e-4, 1e-3] {
            compared.layers[1].run = both(rms);
            compared.layers[1].plain = both(rms);
            assert_eq!(findings(&compared), []);
        }
        compared.layers[1].run = both(0.01);
        compared.layers[1].plain = both(0.01);
        assert!(matches!(findings(&compared)[..], [Finding::Coarse(e)] if e.layer == 1));
    }

    #[test]
    fn what_is_no_number_is_outside() {
        let mut compared = healthy();
        compared.layers[1].run.rms = f64::NAN;
        compared.logprob.0 = f64::NAN;
        assert!(matches!(findings(&compared)[..], [Finding::Run(_), Finding::LogProb { .. }]));
        compared.layers[1].plain.largest = f64::NAN;
        assert!(findings(&compared).len() >= 2);
    }
}
