//! Block influences on an estimate, keyed by the block's number in the data so that estimates from different rows
//! stay comparable.

use std::collections::BTreeMap;

use crate::probe::Influence;
use crate::theory::base::bench::Bench;

/// An estimate with the influence of each block, keyed by the block's number in the data.
pub(crate) struct BlockInfluence {
    pub(crate) value: f64,
    pub(crate) by_block: BTreeMap<i32, f64>,
}

pub(crate) fn moved(bench: &Bench, influence: &Influence) -> BlockInfluence {
    let centred = influence.centred(bench.contrasts.blocks());
    BlockInfluence {
        value: influence.value,
        by_block: bench.contrasts.block_names().iter().copied().zip(centred).collect(),
    }
}
