//! Definition 8: the effective dimension of the residual stream, within and between prompts, and whether one
//! coordinate or prompt dominates it.

use std::rc::Rc;

use crate::error::Result;

use crate::theory::base::analysis::Analysis;
use crate::theory::base::bench::Bench;
use crate::theory::base::estimate::Quantity;
use crate::theory::base::layers::LAYER_DIMENSIONS;
use crate::theory::base::stage::Stage;
use crate::theory::statement::{Measure, Rests, Statement};

pub mod dominance;
pub mod effective;
mod section;

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "dimension",
    title: "What one coordinate or one prompt carries",
    source: "Definition 8",
    quantities: &[Quantity::DEff, Quantity::DEffUncentred, Quantity::DEffBetween, Quantity::DEffNaive],
    tables: &[dominance::TABLE, LAYER_DIMENSIONS],
    rests: Rests::Otherwise,
    measures: &[
        Measure::Shared { gives: &[Quantity::DEff], of: shared },
        Measure::Uncontrolled(dominance::measure),
    ],
    section: Some(section::section),
};

/// `d_eff` and `d_eff_naive` within prompts, and their dominating entries.
fn shared(stage: &mut Stage<'_>, bench: &Rc<Bench>, out: &mut Analysis) -> Result<()> {
    let dominant = dominance::within(bench)?;
    for estimate in effective::estimates(bench) {
        stage.push(out, Some(bench), None, dominance::mark(estimate, &dominant));
    }
    if !stage.length {
        out.dominance.extend(dominant);
    }
    Ok(())
}
