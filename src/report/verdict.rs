//! What training on a constitution's preferences would do to a value at first, in one word.
//!
//! For each value and constitution, in this order; the first rule that applies decides:
//!
//! 1. **not identifiable**: the encoded slope ⟨Σ_w v_c, v*⟩ has no figure or no standard error, or the
//!    alignment fails its gate (θ̂_SS or θ̂_cc not above 1.645 standard errors): then v* or v_c is not seen
//!    in this residual stream. If the total slope is significant all the same, the verdict says so.
//! 2. **no evidence**: p of the encoded slope, adjusted for the number of constitutions, is not below .05.
//! 3. **no evidence (total slope disagrees)**: the total slope, which needs no direction, is not there or
//!    does not have the sign of the encoded slope.
//! 4. **no evidence (within the placebo arm)**: the slope lies inside the band of the placebo
//!    constitutions' ([`placebo_band`]), or the paired difference to their mean is not significant
//!    (|z| ≤ 1.96) or has the other sign. Placebos themselves are not compared.
//! 5. **no evidence (length explains it)**: under length control the encoded slope has the other sign, or
//!    no figure.
//! 6. **improves** / **degrades**, by the sign. *(length-confounded)*: under length control the sign stays
//!    but the 95 % interval reaches 0 or the alignment fails its gate; *(length not controlled)*: the
//!    observations hold no token counts.
//!
//! Whether the cosine is larger than that of unrelated directions (|cos| > 1.96 sd of the geometry null)
//! changes no verdict, because the slope alone decides the first-order effect (Theorem 3); it is noted.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::format::quotable;
use super::rows::{Index, Named};
use super::{PLACEBO, Report};
use crate::hypothesis::{Control, Estimate, Quantity};
use crate::input::Sign;

/// Level at which an adjusted p is called significant.
pub const LEVEL: f64 = 0.05;
/// Two-sided 5 % of the standard normal.
pub const Z95: f64 = 1.96;
/// Placebo constitutions from which a prediction interval is formed.
const BAND_FROM: usize = 4;

/// The verdict's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The value would at first rise.
    Improves,
    /// The value would at first fall.
    Degrades,
    /// Nothing beyond chance, the placebos or length.
    NoEvidence,
    /// v*, v_c or a standard error is missing: the data cannot say.
    NotIdentifiable,
}

/// What must be said with the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Qualifier {
    /// Under length control the interval reaches zero or the alignment fails its gate.
    LengthConfounded,
    /// No token counts.
    LengthNotControlled,
    /// Under length control the sign turns or nothing is left.
    LengthExplains,
    /// No further than the placebo constitutions.
    WithinPlacebo,
    /// The total slope is missing or has the other sign.
    TotalDisagrees,
    /// The encoded slope says nothing, the total slope is significantly positive.
    TotalPositive,
    /// The encoded slope says nothing, the total slope is significantly negative.
    TotalNegative,
}

impl Outcome {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Improves => "improves",
            Self::Degrades => "degrades",
            Self::NoEvidence => "no evidence",
            Self::NotIdentifiable => "not identifiable",
        }
    }
}

impl Qualifier {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LengthConfounded => "length-confounded",
            Self::LengthNotControlled => "length not controlled",
            Self::LengthExplains => "length explains it",
            Self::WithinPlacebo => "within the placebo arm",
            Self::TotalDisagrees => "total slope disagrees",
            Self::TotalPositive => "total slope positive",
            Self::TotalNegative => "total slope negative",
        }
    }
}

impl Qualifier {
    /// In a word.
    fn short(self) -> &'static str {
        match self {
            Self::LengthConfounded => "length?",
            Self::LengthNotControlled => "no lengths",
            Self::LengthExplains => "length",
            Self::WithinPlacebo => "placebo",
            Self::TotalDisagrees => "total",
            Self::TotalPositive => "total +",
            Self::TotalNegative => "total −",
        }
    }
}

/// What a constitution would do to a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The value.
    pub value: String,
    /// The constitution.
    pub constitution: String,
    /// Whether it belongs to the placebo arm.
    pub placebo: bool,
    /// The word.
    pub verdict: Outcome,
    /// What must be said with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qualifier: Option<Qualifier>,
    /// Which rule decided, in words.
    pub reason: String,
    /// Whether |cos(v_c, v*)| is no larger than that of unrelated directions here; absent where either is
    /// not identifiable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordinary: Option<bool>,
    /// Whether the author's guess about the sign came true; absent where none was made, the guess was
    /// "0", or the verdict has no sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guess_held: Option<bool>,
}

impl Verdict {
    /// The word with its qualifier: `improves (length-confounded)`. A placebo names no value that training could be
    /// after: what it moves is a warning, not a finding.
    pub fn label(&self) -> String {
        self.worded(Qualifier::as_str)
    }

    /// The same in less room: `no evidence (placebo)`.
    pub fn short_label(&self) -> String {
        self.worded(Qualifier::short)
    }

    fn worded(&self, spell: fn(Qualifier) -> &'static str) -> String {
        let moved = match self.verdict {
            Outcome::Improves => "+",
            Outcome::Degrades => "−",
            _ => "",
        };
        if self.placebo && !moved.is_empty() {
            return format!("placebo effect, {moved}");
        }
        match self.qualifier {
            Some(qualifier) => format!("{} ({})", self.verdict.as_str(), spell(qualifier)),
            None => self.verdict.as_str().to_owned(),
        }
    }
}

/// The interval in which a further placebo constitution's figure is expected: mean ± t·sd·√(1 + 1/m),
/// t the 97.5 % point of Student's t with m − 1 degrees of freedom (95 % prediction interval), from four
/// placebos on; with fewer, the range of their figures and 0. `None` without placebos.
pub fn placebo_band(figures: &[f64]) -> Option<(f64, f64)> {
    let m = figures.len();
    if m == 0 || figures.iter().any(|f| !f.is_finite()) {
        return None;
    }
    let range = figures.iter().fold((0f64, 0f64), |(lo, hi), &f| (lo.min(f), hi.max(f)));
    if m < BAND_FROM {
        return Some(range);
    }
    let n = m as f64;
    let mean = figures.iter().sum::<f64>() / n;
    let sd = (figures.iter().map(|f| (f - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    let Ok(student) = StudentsT::new(0.0, 1.0, n - 1.0) else { return Some(range) };
    let reach = student.inverse_cdf(0.975) * sd * (1.0 + 1.0 / n).sqrt();
    Some((mean - reach, mean + reach))
}

/// The band of a quantity over the placebo arm of a value, uncontrolled.
pub(super) fn band_of(index: &Index<'_>, value: &str, quantity: Quantity) -> Option<(f64, f64)> {
    let value = index.values.iter().copied().find(|v| *v == value)?;
    let figures: Vec<f64> = index
        .constitutions
        .iter()
        .filter(|c| c.is_placebo())
        .filter_map(|c| index.cell(quantity, value, c.name, Control::None))
        .filter(|e| quotable(e))
        .filter_map(|e| e.estimate)
        .collect();
    placebo_band(&figures)
}

/// The verdicts of a report: value by value, constitutions in the order of showing.
pub fn verdicts(report: &Report) -> Vec<Verdict> {
    verdicts_of(report, &Index::new(report))
}

pub(super) fn verdicts_of(report: &Report, index: &Index<'_>) -> Vec<Verdict> {
    let mut out = Vec::new();
    for &value in &index.values {
        let band = band_of(index, value, Quantity::EncodedSlope);
        for named in &index.constitutions {
            // Position bias and the like stand under no value; a value that was never set against this
            // constitution has no verdict.
            let judged = [Quantity::EncodedSlope, Quantity::TotalSlope, Quantity::Alignment]
                .iter()
                .any(|&q| index.cell(q, value, named.name, Control::None).is_some());
            if judged {
                out.push(verdict(report, index, value, named, band));
            }
        }
    }
    out
}

fn significant(estimate: &Estimate) -> bool {
    estimate.p_adjusted.is_some_and(|p| p < LEVEL) && estimate.estimate.is_some_and(|v| v != 0.0)
}

fn verdict<'a>(
    report: &Report,
    index: &Index<'a>,
    value: &'a str,
    named: &Named<'a>,
    band: Option<(f64, f64)>,
) -> Verdict {
    let at = |quantity, control| index.cell(quantity, value, named.name, control);
    let encoded = at(Quantity::EncodedSlope, Control::None);
    let alignment = at(Quantity::Alignment, Control::None);
    let total = at(Quantity::TotalSlope, Control::None);
    let paired = paired_z(report, value, named.name);
    let twin = Twin {
        measured: index.length,
        encoded: at(Quantity::EncodedSlope, Control::Length),
        alignment: at(Quantity::Alignment, Control::Length),
    };
    let placebo = named.is_placebo();
    let arm = if placebo { None } else { band };
    let (verdict, qualifier, reason) = decide(encoded, alignment, total, &twin, arm, paired);
    let null = index.get(Quantity::GeometryNull, Some(value), None, Control::None);
    let ordinary = match (alignment.filter(|e| quotable(e)), null.filter(|e| quotable(e))) {
        (Some(cos), Some(null)) => cos.estimate.zip(null.estimate).map(|(c, sd)| c.abs() <= Z95 * sd),
        _ => None,
    };
    let sign = match verdict {
        Outcome::Improves => Some(Sign::Plus),
        Outcome::Degrades => Some(Sign::Minus),
        _ => None,
    };
    let guess = named.card.and_then(|c| c.expected(value)).filter(|g| *g != Sign::Zero);
    Verdict {
        value: value.to_owned(),
        constitution: named.name.to_owned(),
        placebo,
        verdict,
        qualifier,
        reason,
        ordinary,
        guess_held: guess.zip(sign).map(|(g, s)| g == s),
    }
}

/// What length control leaves.
struct Twin<'a> {
    measured: bool,
    encoded: Option<&'a Estimate>,
    alignment: Option<&'a Estimate>,
}

/// The rules of this module, in order.
fn decide(
    encoded: Option<&Estimate>,
    alignment: Option<&Estimate>,
    total: Option<&Estimate>,
    twin: &Twin<'_>,
    band: Option<(f64, f64)>,
    paired: Option<f64>,
) -> (Outcome, Option<Qualifier>, String) {
    let total_alone = total
        .filter(|t| significant(t))
        .and_then(|t| t.estimate)
        .map(|v| if v > 0.0 { Qualifier::TotalPositive } else { Qualifier::TotalNegative });
    let but_total = match total_alone {
        Some(_) => "; the total slope, which needs no direction, is significant",
        None => "",
    };
    let not_identifiable = |why: String| (Outcome::NotIdentifiable, total_alone, why + but_total);
    let first_warning = |e: Option<&Estimate>, otherwise: &str| {
        e.and_then(|e| e.warnings.first().cloned()).unwrap_or_else(|| otherwise.to_owned())
    };
    let Some((slope, Some(_))) = encoded.and_then(|e| e.estimate.map(|v| (v, e.z.or(e.se)))) else {
        return not_identifiable(first_warning(encoded, "the encoded slope was not computed"));
    };
    if !alignment.is_some_and(quotable) {
        return not_identifiable(first_warning(alignment, "the alignment was not computed"));
    }
    let no_evidence = |qualifier, why: &str| (Outcome::NoEvidence, qualifier, why.to_owned());
    if !encoded.is_some_and(significant) {
        let p = super::format::p(encoded.and_then(|e| e.p_adjusted));
        return no_evidence(
            total_alone,
            &format!("the encoded slope is within chance (adjusted p {p}){but_total}"),
        );
    }
    match total.and_then(|t| t.estimate) {
        Some(t) if t * slope > 0.0 => {}
        Some(_) => {
            return no_evidence(
                Some(Qualifier::TotalDisagrees),
                "the total slope has the other sign than the encoded slope",
            );
        }
        None => return no_evidence(Some(Qualifier::TotalDisagrees), "the total slope was not computed"),
    }
    if let Some((lo, hi)) = band {
        if (lo..=hi).contains(&slope) || (slope > 0.0 && slope < lo) || (slope < 0.0 && slope > hi) {
            return no_evidence(
                Some(Qualifier::WithinPlacebo),
                "constitutions that name no value move it as far",
            );
        }
        if paired.is_some_and(|z| z * slope.signum() <= Z95) {
            return no_evidence(
                Some(Qualifier::WithinPlacebo),
                "its difference to the placebo constitutions is within chance",
            );
        }
    }
    let outcome = if slope > 0.0 { Outcome::Improves } else { Outcome::Degrades };
    if !twin.measured {
        return (outcome, Some(Qualifier::LengthNotControlled), "response length is not known".into());
    }
    let Some((held, lo, hi)) = twin.encoded.and_then(|e| Some((e.estimate?, e.lo?, e.hi?))) else {
        return no_evidence(Some(Qualifier::LengthExplains), "nothing is left when length is controlled");
    };
    if held * slope <= 0.0 {
        return no_evidence(Some(Qualifier::LengthExplains), "the sign turns when length is controlled");
    }
    let clear = if slope > 0.0 { lo > 0.0 } else { hi < 0.0 };
    if !clear || !twin.alignment.is_some_and(quotable) {
        return (
            outcome,
            Some(Qualifier::LengthConfounded),
            "not clear any more when length is controlled".into(),
        );
    }
    (outcome, None, "clear with and without length control, and the total slope agrees".into())
}

/// z of the encoded slope less the placebos' mean, from the report's table.
fn paired_z(report: &Report, value: &str, constitution: &str) -> Option<f64> {
    let rows = report.tables.get(PLACEBO)?.as_array()?;
    let is =
        |row: &serde_json::Value, key: &str, text: &str| row.get(key).and_then(|v| v.as_str()) == Some(text);
    let row = rows.iter().find(|row| {
        is(row, "value", value)
            && is(row, "constitution", constitution)
            && is(row, "control", "none")
            && is(row, "quantity", "encoded_slope")
            && row.get("judge").is_none()
    })?;
    row.get("z")?.as_f64()
}
