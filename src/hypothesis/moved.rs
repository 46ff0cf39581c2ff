//! What each block moved an estimate, by the block's number in the data: differences between estimates that
//! were made on different rows.

use std::collections::BTreeMap;

use super::bench::Bench;
use crate::probe::Influence;

/// An estimate, and what each block (by its number in the data) moved it.
pub(super) struct Moved {
    pub(super) value: f64,
    pub(super) by_block: BTreeMap<i32, f64>,
}

pub(super) fn moved(bench: &Bench, influence: &Influence) -> Moved {
    let centred = influence.centred(bench.contrasts.blocks());
    Moved {
        value: influence.value,
        by_block: bench.contrasts.block_names().iter().copied().zip(centred).collect(),
    }
}

impl Moved {
    /// The difference to the mean of others, with its standard error; `None` without others.
    pub(super) fn less_mean_of(&self, others: &[&Self]) -> Option<(f64, f64)> {
        if others.is_empty() {
            return None;
        }
        let share = 1.0 / others.len() as f64;
        let mut by_block = self.by_block.clone();
        for other in others {
            for (block, v) in &other.by_block {
                *by_block.entry(*block).or_insert(0.0) -= share * v;
            }
        }
        let g = by_block.len() as f64;
        let se = (g / (g - 1.0) * by_block.values().map(|v| v * v).sum::<f64>()).sqrt();
        Some((self.value - share * others.iter().map(|o| o.value).sum::<f64>(), se))
    }
}
