//! Notes on a value's tables: units, the geometry null, the placebo arm, expected signs.

use super::overall::{Generation, ValueSummary};
use super::{counted, tables};
use crate::theory::base::arm::DRAWS_NEEDED;
use crate::theory::reading::index::Index;
use crate::theory::reading::outcome::{Outcome, Z95};
use crate::theory::reading::quote;
use crate::theory::reading::verdict::{Tables, Verdict, placebo_texts};
use crate::theory::{Flag, Quantity};

/// Notes on the main table.
pub(super) fn main(
    index: &Index<'_>,
    verdicts: &[Verdict],
    value: &str,
    summary: &ValueSummary,
) -> Vec<String> {
    let own: Vec<&Verdict> = verdicts.iter().filter(|v| v.value == value).collect();
    let mut notes = vec![
        "Intervals are 95 %. Slopes are in units of the value times nats of log-odds, position bias in nats of \
         log-odds. p is adjusted for all constitutions and values of the report. Share of the best: the slope over the best \
         possible one of a reward as loud as the loudest here; below 5 % nothing is called a change. The gap is under length \
         control where token counts are known. n.i.: not identifiable (it failed its gate; the figure is in estimates.csv). \
         Rows run from the largest rise to the largest fall, the placebo arm last."
            .to_owned(),
    ];
    if own.iter().any(|v| v.slope == Quantity::OwnSlope) {
        notes.push(
            "Beyond the placebos: the interval is over prompts, for the placebo texts that were run; p counts the choice of these \
             texts too, so that an interval beside 0 may have a p above .05."
                .into(),
        );
    }
    if own.iter().any(|v| counted::deciding(index, v).is_some_and(|e| e.has(Flag::ResolvedPart))) {
        notes.push(
            "There are fewer than 1.5 contrasts a dimension: slopes are of the part of the residual stream that these resolve, as a \
             rule smaller than the whole, and have no interval; whether they are 0 can be told, how large they are cannot. Angles \
             are of that part too."
                .into(),
        );
    }
    notes.push(match summary.ordinary_below {
        None => "Geometry null: not identifiable, so no alignment can be compared with unrelated directions.".into(),
        Some(limit) => {
            let with: Vec<_> = own.iter().filter(|v| !v.placebo).filter_map(|v| v.ordinary).collect();
            let ordinary = with.iter().filter(|o| **o).count();
            let verdict = match (ordinary, with.len()) {
                (_, 0) => "no alignment here is identifiable".to_owned(),
                (o, all) => format!(
                    "{o} of the {} here {} ordinary for unrelated directions in this geometry",
                    quote::counted(all as u64, "alignment"),
                    if o == 1 { "is" } else { "are" }
                ),
            };
            format!(
                "Geometry null: 95 % of unrelated directions have |cos| ≤ {} with v* ({Z95:.2} sd over 200 random directions); {verdict}.",
                quote::number(limit, None)
            )
        }
    });
    notes.push(arm_note(index, &own, value));
    let one_value: Vec<Verdict> = own.into_iter().cloned().collect();
    if let Some((held, failed, undecided)) = tables::guesses(index, &one_value) {
        notes.push(format!(
            "The authors' guesses about signs: {held} right, {failed} wrong, {undecided} undecided by these data."
        ));
    }
    notes
}

/// Explains the placebo arm, its band, and its effects.
fn arm_note(index: &Index<'_>, own: &[&Verdict], value: &str) -> String {
    let moved: Vec<f64> = own
        .iter()
        .filter(|v| v.verdict == Outcome::PlaceboEffect)
        .map(|v| v.share.unwrap_or(f64::NAN).abs())
        .collect();
    let largest = |shares: &[f64]| shares.iter().copied().filter(|s| s.is_finite()).reduce(f64::max);
    let size = |share: Option<f64>| {
        share.map_or_else(String::new, |s| format!(" ({} of the best possible slope at most", quote::size(s)))
    };
    let real: Vec<f64> = own.iter().filter(|v| !v.placebo).filter_map(|v| v.share).map(f64::abs).collect();
    let beside = match (moved.len(), size(largest(&moved))) {
        (0, _) => String::new(),
        (n, size) => {
            let compared = match (size.is_empty(), largest(&real)) {
                (false, Some(real)) => {
                    format!("{size}; the largest slope of a constitution is {})", quote::size(real))
                }
                (false, None) => format!("{size})"),
                (true, _) => String::new(),
            };
            match n {
                1 => format!(" 1 of its texts moves the value by itself{compared}."),
                n => format!(" {n} of its texts move the value by themselves{compared}."),
            }
        }
    };
    match (Tables::new(index).arm(value), placebo_texts(index)) {
        (Some(arm), _) => match arm.band {
            Some((lo, hi)) => {
                let off = |x: f64| quote::number(x - arm.mean, Some(hi - lo));
                format!(
                    "Placebo arm ({}): verdicts are on the difference from its mean slope, {}, which is the judge’s own. One \
                     more text without content is expected within {} to {} of it (95 %, {} degrees of freedom).{beside}",
                    quote::counted(arm.draws as u64, "independent text"),
                    quote::number(arm.mean, arm.sd),
                    off(lo),
                    off(hi),
                    arm.draws - 1
                )
            }
            None => format!(
                "Placebo arm: {}. With fewer than {DRAWS_NEEDED} it is not known what texts without content do, and no \
                 verdict goes beyond “differs from 0”.{beside}",
                quote::counted(arm.draws as u64, "independent text")
            ),
        },
        (None, 0) => format!(
            "No placebo arm was run: what the form of a constitution does by itself is not known, and no verdict goes beyond \
             “differs from 0”. Add {DRAWS_NEEDED} constitutions that name no value (family `placebo`, or `--placebo NAME`)."
        ),
        (None, n) => format!(
            "Placebo arm: {}, on no rows in common; no verdict goes beyond “differs from 0”.{beside}",
            quote::counted(n as u64, "text")
        ),
    }
}

/// Notes on the model's table.
pub(super) fn model(summary: &ValueSummary) -> Vec<String> {
    let control =
        if summary.generation_length_controlled { "length controlled" } else { "length not controlled" };
    let generation = match summary.generation {
        Generation::Favours => format!("Generation by itself favours the value ({control})."),
        Generation::Opposes => format!("Generation by itself works against the value ({control})."),
        Generation::Neither => {
            format!(
                "Generation by itself neither favours nor opposes the value within the interval ({control})."
            )
        }
        Generation::NotIdentifiable => {
            "Whether generation by itself favours the value is not identifiable.".to_owned()
        }
    };
    let mut notes = vec![generation];
    if summary.lower_estimate {
        notes.push(
            "With fewer than 1.5 contrasts a dimension the ridge sees part of the value only: its ρ² is a lower \
             estimate with a one-sided bound (95 %), the least regret has no lower bound, and the model-based one assumes that v* is spread evenly. The truth may lie between or \
             outside; neither is to be quoted alone."
                .into(),
        );
    }
    notes
}
