//! The verdict on a constitution and a value: the initial effect of training on the constitution's preferences, in
//! one word.
//!
//! The effect attributed to a constitution is its difference from the placebo arm, paired on the same rows: with at
//! least four independent placebo texts, *slope*, *alignment* and *share* below are `own_slope`, `own_alignment` and
//! `own_share`, and *total* is the difference of total slopes. With fewer, they are `encoded_slope`, `alignment`,
//! `slope_share` and `total_slope`, and the strongest word is "differs from 0". For each value and constitution, the
//! first rule that applies decides, in this order:
//!
//! 1. **too little data**: fewer than [`MIN_GROUPS`](super::outcome::MIN_GROUPS) independent groups of answers.
//! 2. **judge not valid**: the judge fails its gate ([`super::validity`]), or gives all answers to a prompt the same reward
//!    under this constitution, or no other rule gives evidence and the judge is at chance for this value.
//! 3. **not identifiable**: the slope has no figure or no standard error, or the alignment fails its gate (θ̂_SS or
//!    θ̂_cc not above 1.645 standard errors): v* or v_c is then not detectable in this residual stream. If the total
//!    slope is significant nevertheless, the verdict says so.
//! 4. **no evidence**: p of the slope, adjusted for all constitutions and values of the report, is not below .05;
//!    *(within the placebo arm)* where p over prompts would exclude 0 but p over the choice of placebo texts does not.
//! 5. **no evidence (total slope disagrees)**: the total slope, which needs no direction, is missing or does not have
//!    the sign of the slope.
//! 6. **placebo effect** for a placebo: its effect is a warning, not a finding, and is given with its size.
//! 7. **no evidence (too small to matter)**: the share of the best possible slope is below
//!    [`MATTERS`](super::outcome::MATTERS).
//! 8. **no evidence (ordinary direction)**, with fewer than four placebo texts: |cos| ≤ 1.96 sd of the geometry null.
//! 9. **no evidence (length explains it)**: under length control the slope has the other sign, or no figure.
//! 10. **differs from 0** with fewer than four placebo texts; else **improves** / **degrades**, by the sign.
//!     *(length-confounded)*: under length control the sign stays but the 95 % interval reaches 0 or the alignment fails
//!     its gate; *(length not controlled)*: the observations hold no token counts.
//!
//! With four placebo texts, whether the cosine is larger than that of unrelated directions changes no verdict, because
//! the slope alone decides the first-order effect (Theorem 3); it is noted.

use serde::Serialize;

use crate::input::Sign;
use crate::input::roster::original;
use crate::theory::base::analysis::{PLACEBO, PlaceboContrast};
use crate::theory::base::arm::{self, Arm, DRAWS_NEEDED};
use crate::theory::base::estimate::{Control, Quantity};
use crate::theory::reading::index::{Index, Named};
use crate::theory::reading::outcome::{LEVEL, Outcome, Qualifier, Z95};
use crate::theory::reading::quote::{quotable, size};
use crate::theory::reading::rules::{DECIDES, Decision, Facts, decide};
use crate::theory::reading::validity::{JudgeValidity, has_preference};

/// Verdict on the effect of a constitution on a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The value.
    pub value: String,
    /// The constitution.
    pub constitution: String,
    /// Whether it belongs to the placebo arm.
    pub placebo: bool,
    /// Outcome.
    pub verdict: Outcome,
    /// Qualification of the outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qualifier: Option<Qualifier>,
    /// Direction of the effect, where the outcome implies one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign: Option<Sign>,
    /// The deciding rule, in words.
    pub reason: String,
    /// The slope used: the constitution's own where there is a placebo arm of four texts.
    pub slope: Quantity,
    /// Effect size, where identifiable: the slope over the best possible one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Whether |cos(v_c, v*)| is no larger than that of unrelated directions here; absent where either is
    /// not identifiable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordinary: Option<bool>,
    /// Whether the sign expected by the author was correct; absent where no sign was expected, "0" was expected, or
    /// the verdict has no sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guess_held: Option<bool>,
}

impl Verdict {
    /// The outcome with its sign, size and qualifier: `improves (length-confounded)`, `placebo effect, + (1 % of the
    /// best)`.
    pub fn label(&self) -> String {
        self.worded(Qualifier::as_str)
    }

    /// Shorter form of [`label`](Self::label): `no evidence (placebo)`.
    pub fn short_label(&self) -> String {
        match self.verdict {
            // Where space is short, the size has its own column.
            Outcome::PlaceboEffect => Self { share: None, qualifier: None, ..self.clone() }.label(),
            _ => self.worded(Qualifier::short),
        }
    }

    /// The quantity for the share of the best possible slope that matches the deciding slope.
    pub fn share_quantity(&self) -> Quantity {
        if self.slope == Quantity::OwnSlope { Quantity::OwnShare } else { Quantity::SlopeShare }
    }

    /// Whether the verdict is that a constitution outside the placebo arm raises or lowers the value.
    pub fn is_signed(&self) -> bool {
        matches!(self.verdict, Outcome::Improves | Outcome::Degrades)
    }

    fn worded(&self, spell: fn(Qualifier) -> &'static str) -> String {
        let mut word = self.verdict.as_str().to_owned();
        if let (Outcome::PlaceboEffect | Outcome::DiffersFromZero, Some(sign)) = (self.verdict, self.sign) {
            word += if sign == Sign::Plus { ", +" } else { ", −" };
        }
        match (self.verdict, self.share, self.qualifier) {
            (Outcome::PlaceboEffect, Some(share), _) => format!("{word} ({} of best)", size(share)),
            (_, _, Some(qualifier)) => format!("{word} ({})", spell(qualifier)),
            _ => word,
        }
    }
}

/// Tables that verdicts are based on, read from a report. A table of an older or foreign report that does not parse
/// counts as absent; verdicts are then at most "differs from 0".
pub(crate) struct Tables {
    contrasts: Vec<PlaceboContrast>,
    arms: Vec<Arm>,
}

impl Tables {
    pub(crate) fn new(index: &Index<'_>) -> Self {
        let contrasts = index.table(PLACEBO).unwrap_or_default();
        Self { contrasts, arms: index.table(arm::TABLE).unwrap_or_default() }
    }

    fn contrast(&self, value: &str, constitution: &str, quantity: Quantity) -> Option<&PlaceboContrast> {
        self.contrasts.iter().find(|c| {
            c.value == value
                && c.constitution == constitution
                && c.quantity == quantity
                && c.control == DECIDES
                && c.judge.is_none()
        })
    }

    /// The arm of a value, without control.
    pub(crate) fn arm(&self, value: &str) -> Option<&Arm> {
        self.arms.iter().find(|a| {
            a.value == value
                && a.quantity == Quantity::EncodedSlope
                && a.control == DECIDES
                && a.judge.is_none()
        })
    }
}

/// Number of independent placebo texts among the constitutions of a report; paraphrases of one text count once.
pub(crate) fn placebo_texts(index: &Index<'_>) -> usize {
    let paraphrases = index
        .constitutions
        .iter()
        .filter_map(|c| Some((c.name.to_owned(), c.card?.paraphrase_of.clone()?)))
        .collect();
    let placebos = index.constitutions.iter().filter(|c| c.is_placebo());
    let texts: std::collections::BTreeSet<&str> = placebos.map(|c| original(&paraphrases, c.name)).collect();
    texts.len()
}

/// The verdicts of a report: by value, with constitutions in display order.
pub fn verdicts(index: &Index<'_>) -> Vec<Verdict> {
    let (tables, judge) = (Tables::new(index), JudgeValidity::new(index));
    let mut out = Vec::new();
    for &value in &index.values {
        for named in &index.constitutions {
            // Estimates without a value, such as position bias, have no verdict; nor does a value that was never
            // compared with this constitution.
            let judged = [Quantity::EncodedSlope, Quantity::TotalSlope, Quantity::Alignment]
                .iter()
                .any(|&q| index.cell(q, value, named.name, DECIDES).is_some());
            if judged {
                out.push(verdict(&tables, &judge, index, value, named));
            }
        }
    }
    out
}

fn verdict<'a>(
    tables: &Tables,
    judge: &JudgeValidity,
    index: &Index<'a>,
    value: &'a str,
    named: &Named<'a>,
) -> Verdict {
    let at = |quantity, control| index.cell(quantity, value, named.name, control);
    let placebo = named.is_placebo();
    let contrast = tables.contrast(value, named.name, Quantity::EncodedSlope);
    let draws = contrast.map(|c| c.draws).or_else(|| tables.arm(value).map(|a| a.draws));
    let draws = draws.unwrap_or_else(|| placebo_texts(index).min(DRAWS_NEEDED - 1));
    let own = !placebo && draws >= DRAWS_NEEDED;
    let (slope, alignment, share) = if own {
        (Quantity::OwnSlope, Quantity::OwnAlignment, Quantity::OwnShare)
    } else {
        (Quantity::EncodedSlope, Quantity::Alignment, Quantity::SlopeShare)
    };
    let total = if own {
        tables
            .contrast(value, named.name, Quantity::TotalSlope)
            .map(|c| (c.difference, c.p_texts.is_some_and(|p| p.max(c.p_prompts) < LEVEL)))
    } else {
        let total = at(Quantity::TotalSlope, DECIDES);
        total.and_then(|t| Some((t.estimate?, t.p_adjusted.is_some_and(|p| p < LEVEL))))
    };
    let null = index.get(Quantity::GeometryNull, Some(value), None, DECIDES).filter(|e| quotable(e));
    let cos = at(alignment, DECIDES).filter(|e| quotable(e));
    let limit = null.and_then(|e| e.estimate).map(|sd| Z95 * sd);
    let ordinary = cos.and_then(|e| e.estimate).zip(limit).map(|(c, limit)| c.abs() <= limit);
    let share = at(share, DECIDES).filter(|e| quotable(e));
    let Decision { outcome, qualifier, sign, reason } = decide(&Facts {
        placebo,
        draws,
        slope: at(slope, DECIDES),
        alignment: at(alignment, DECIDES),
        share,
        total,
        contrast,
        ordinary,
        length: index.length,
        slope_length: at(slope, Control::Length),
        alignment_length: at(alignment, Control::Length),
        constant: has_preference(index, value, named.name) == Some(false),
        judge: judge.complaint(),
        at_chance: judge.at_chance.iter().any(|v| v == value),
    });
    let guess = named.card.and_then(|c| c.expected(value)).filter(|g| *g != Sign::Zero);
    let signed = matches!(outcome, Outcome::Improves | Outcome::Degrades);
    Verdict {
        value: value.to_owned(),
        constitution: named.name.to_owned(),
        placebo,
        verdict: outcome,
        qualifier,
        sign,
        reason,
        slope,
        share: share.and_then(|e| e.estimate),
        ordinary,
        guess_held: guess.zip(sign.filter(|_| signed)).map(|(g, s)| g == s),
    }
}
