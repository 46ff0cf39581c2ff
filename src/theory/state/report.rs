//! Converts findings to estimates, for readers of the report by quantity, and to entries of the table.

use super::TABLE;
use super::figure::Figure;
use super::finding::{Finding, Outcome, Reading};
use crate::theory::base::analysis::Analysis;
use crate::theory::base::estimate::{Estimate, Quantity};
use crate::units::Layer;

/// Adds a finding to the analysis.
pub fn add(finding: Finding, out: &mut Analysis) {
    for shifted in &finding.shifts {
        let name = shifted.constitution.as_str();
        if let Some(norm) = shifted.norm {
            let e = of(Quantity::ActivationNorm, "mean difference to placebo texts, across blocks", norm);
            out.estimates.push(placed(e, &finding, None, name));
        }
        if let Some(shares) = shifted.shares
            && let Some(share) = Figure::new(shares.response, shares.response_se)
        {
            let e =
                of(Quantity::ResponseShare, "mean square of contrasts of h_c − h_0 over that of all", share);
            out.estimates.push(placed(e, &finding, None, name));
        }
    }
    for cell in &finding.cells {
        let readings = [
            (
                Quantity::ActivationAlignment,
                "mean difference as a reading; error of it removed",
                &cell.alignment,
            ),
            (Quantity::ActivationGain, "leave-block-out directions, random signs, jackknife", &cell.gain),
            (Quantity::RetrievalGain, "leave-block-out twicing ridge, paired", &cell.retrieval),
            (Quantity::ValueTurn, "directions of one state read in the other", &cell.turn),
            (Quantity::ConditionedGap, "difference of cosines, influences subtracted", &cell.conditioned),
        ];
        for (quantity, method, reading) in readings {
            let Some(figure) = reading.figure else { continue };
            let e = gated(of(quantity, method, figure), reading);
            out.estimates.push(placed(e, &finding, Some(&cell.value), &cell.constitution));
        }
    }
    out.add_to_table(TABLE, &finding);
}

fn of(quantity: Quantity, method: &str, figure: Figure) -> Estimate {
    Estimate::figure(quantity, method, figure.value, figure.se, (figure.lo, figure.hi))
}

/// Notes the position relative to the placebos; drops z, which does not test against this null.
fn gated(estimate: Estimate, reading: &Reading) -> Estimate {
    let estimate = Estimate { z: None, p_adjusted: reading.p_adjusted, ..estimate };
    match reading.outcome {
        Outcome::TooFewPlacebos => {
            estimate.warn("fewer than four independent placebo texts: no verdict against them")
        }
        _ => estimate,
    }
}

fn placed(estimate: Estimate, finding: &Finding, value: Option<&str>, constitution: &str) -> Estimate {
    Estimate {
        value: value.map(str::to_owned),
        layer: Some(Layer(finding.layer.0)),
        control: finding.control,
        blocks: Some(finding.blocks),
        ..estimate
    }
    .under(constitution)
}
