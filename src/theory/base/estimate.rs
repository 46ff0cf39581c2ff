//! A measured quantity as stored in `report.json`: value, interval, test, gate and warnings.

use serde::{Deserialize, Serialize};

use crate::units::Layer;

pub use crate::theory::base::quantity::Quantity;

/// How a constitution's rewards were obtained from the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Forced choices between two responses, both orders.
    #[default]
    Pairwise,
    /// Log-odds of yes against no for one response.
    Pointwise,
    /// log P(response | constitution, prompt) − log P(response | prompt).
    Implicit,
    /// Scores of unknown origin.
    Scores,
}

impl Mode {
    /// Name of the mode in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pairwise => "pairwise",
            Self::Pointwise => "pointwise",
            Self::Implicit => "implicit",
            Self::Scores => "given",
        }
    }
}

/// What was projected out before estimating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Nothing.
    None,
    /// Response length, within prompts.
    Length,
}

/// Machine-readable caveats of a figure; `warnings` holds the same in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// One coordinate of the residual stream contributes a quarter or more of the figure.
    DominantCoordinate,
    /// The responses of one prompt contribute a tenth or more of the figure.
    DominantPrompt,
    /// The components' tails are heavy enough that the interval was widened by 40 % or more.
    HeavyTails,
    /// One principal component carries more than a tenth of the variance, where the figure's model assumes equal
    /// shares.
    LeadingComponent,
    /// Fewer than 1.5 contrasts per dimension: the estimate is a lower bound.
    LowerEstimate,
    /// Fewer than 1.5 contrasts per dimension: figure and interval describe only the part of the residual stream that
    /// the contrasts resolve.
    ResolvedPart,
}

/// Fewest blocks for which an estimate has an error.
pub const FEWEST_BLOCKS: usize = 10;
/// Fewest blocks for which ρ² of a value has an interval: with fewer, only the largest estimates pass the gate, and
/// their intervals cover the truth in only .7 of the cases.
pub const FEWEST_BLOCKS_GATED: usize = 20;

/// One estimate. Keys that do not apply are absent from the JSON; an `estimate` that could not be computed is `null`,
/// with a warning that gives the reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Estimated quantity.
    pub quantity: Quantity,
    /// Value (label) it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Second value, for `value_cos`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value2: Option<String>,
    /// Constitution it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constitution: Option<String>,
    /// Second constitution, for `constitution_cos`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constitution2: Option<String>,
    /// How the rewards were obtained, if they are reported beside forced choices under the same constitution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Mode>,
    /// Layer; `null` for quantities that need none.
    pub layer: Option<Layer>,
    /// What was projected out.
    pub control: Control,
    /// Number of principal components, for `value_concentration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k: Option<usize>,
    /// λ·sd(r_c), for `tilt_gain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lambda_sd: Option<f64>,
    /// Point estimate.
    pub estimate: Option<f64>,
    /// Lower end of the 95 % interval; without `hi` a one-sided 95 % bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lo: Option<f64>,
    /// Upper end of the 95 % interval; without `lo` a one-sided 95 % bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hi: Option<f64>,
    /// Standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub se: Option<f64>,
    /// Test statistic for the hypothesis that the quantity is zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub z: Option<f64>,
    /// Two-sided p, adjusted for all constitutions and values of the report; in exploratory sections (ensembles,
    /// wordings), for the false discovery rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_adjusted: Option<f64>,
    /// Number of contrasts (or pairs) used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<usize>,
    /// Number of blocks (clusters of prompts).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<usize>,
    /// Whether the figure passed its gate and may be reported.
    pub reportable: bool,
    /// Method of computation.
    pub method: String,
    /// Caveats, in words.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Caveats for programs, where a rule of this program found one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
}

impl Estimate {
    /// A figure with its standard error, 95 % interval and z = figure / SE; reportable unless a warning is added
    /// through [`Estimate::withheld`]. If the figure or its error is not finite, the estimate stays `null`, with a
    /// warning.
    pub fn figure(
        quantity: Quantity,
        method: impl Into<String>,
        value: f64,
        se: f64,
        (lo, hi): (f64, f64),
    ) -> Self {
        let blank = Self::new(quantity, method);
        if !value.is_finite() {
            return blank.warn("the figure is not a finite number");
        }
        if !(se.is_finite() && lo.is_finite() && hi.is_finite()) {
            return Self { estimate: Some(value), ..blank }.warn("too few blocks for a standard error");
        }
        let z = (se > 0.0).then(|| value / se);
        Self { estimate: Some(value), se: Some(se), lo: Some(lo), hi: Some(hi), z, reportable: true, ..blank }
    }

    /// Keeps only the lower end, as a one-sided bound.
    #[must_use]
    pub fn at_least(mut self, bound: f64) -> Self {
        (self.lo, self.hi) = (self.se.map(|_| bound), None);
        self
    }

    /// Keeps only the upper end, as a one-sided bound.
    #[must_use]
    pub fn at_most(mut self, bound: f64) -> Self {
        (self.lo, self.hi) = (None, self.se.map(|_| bound));
        self
    }

    /// A figure without an error of its own.
    pub fn bare(quantity: Quantity, method: impl Into<String>, value: f64) -> Self {
        let blank = Self::new(quantity, method);
        if value.is_finite() {
            Self { estimate: Some(value), reportable: true, ..blank }
        } else {
            blank.warn("the figure is not a finite number")
        }
    }

    /// An estimate that could not be computed, with the reason.
    pub fn missing(quantity: Quantity, why: impl Into<String>) -> Self {
        Self::new(quantity, "not computed").warn(why)
    }

    /// Adds a warning.
    #[must_use]
    pub fn warn(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }

    /// Adds a flag; the matching words are added by [`Estimate::warn`] or [`Estimate::withheld`].
    #[must_use]
    pub fn flag(mut self, flag: Flag) -> Self {
        self.flags.push(flag);
        self
    }

    /// Keeps the figure but marks it as not reportable, with the reason.
    #[must_use]
    pub fn withheld(mut self, why: impl Into<String>) -> Self {
        self.reportable = false;
        self.warn(why)
    }

    /// Whether the estimate carries this flag.
    pub fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    /// Fewest blocks for which this estimate has an error.
    fn fewest_blocks(&self) -> usize {
        let two_sided = self.lo.is_some() && self.hi.is_some();
        match self.quantity {
            Quantity::Rho2
            | Quantity::Rho2Latent
            | Quantity::Rho
            | Quantity::CeilingRegret
            | Quantity::BestOfCeiling
                if two_sided =>
            {
                FEWEST_BLOCKS_GATED
            }
            _ => FEWEST_BLOCKS,
        }
    }

    /// Withholds the estimate and drops its error, interval and test if it rests on fewer than [`FEWEST_BLOCKS`]
    /// blocks, whose spread says little about their mean. ρ² of a value and figures derived from it need
    /// [`FEWEST_BLOCKS_GATED`].
    #[must_use]
    pub(crate) fn unless_too_few_blocks(mut self) -> Self {
        let needed = self.fewest_blocks();
        let Some(blocks) = self.blocks.filter(|&b| b < needed && self.estimate.is_some()) else {
            return self;
        };
        (self.se, self.lo, self.hi, self.z, self.p_adjusted) = (None, None, None, None, None);
        self.withheld(format!(
            "{blocks} independent groups of answers are too few for an error ({needed} needed)"
        ))
    }

    /// Sets the constitution.
    #[must_use]
    pub fn under(mut self, constitution: &str) -> Self {
        self.constitution = Some(constitution.to_owned());
        self
    }

    /// An empty estimate: not computed, not reportable.
    pub fn new(quantity: Quantity, method: impl Into<String>) -> Self {
        Self {
            quantity,
            value: None,
            value2: None,
            constitution: None,
            constitution2: None,
            judge: None,
            layer: None,
            control: Control::None,
            k: None,
            lambda_sd: None,
            estimate: None,
            lo: None,
            hi: None,
            se: None,
            z: None,
            p_adjusted: None,
            n: None,
            blocks: None,
            reportable: false,
            method: method.into(),
            warnings: Vec::new(),
            flags: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(blocks: usize) -> Estimate {
        Estimate { blocks: Some(blocks), ..Estimate::figure(Quantity::Rho2, "m", 0.5, 0.05, (0.4, 0.6)) }
    }

    #[test]
    fn a_two_sided_interval_of_an_encoded_value_needs_twice_as_many_blocks() {
        let kept = encoded(FEWEST_BLOCKS_GATED).unless_too_few_blocks();
        assert!(kept.reportable && kept.hi.is_some(), "{kept:?}");
        let withheld = encoded(FEWEST_BLOCKS_GATED - 1).unless_too_few_blocks();
        assert!(!withheld.reportable && withheld.lo.is_none() && withheld.se.is_none(), "{withheld:?}");
        assert!(
            withheld.warnings[0].contains("19 independent groups")
                && withheld.warnings[0].contains("20 needed")
        );
        // Estimates that fail the gate satisfy a lower bound as well, and the judge's ρ² has no such gate.
        let bound = encoded(FEWEST_BLOCKS).at_least(0.42).unless_too_few_blocks();
        assert!(bound.reportable && bound.lo == Some(0.42), "{bound:?}");
        let judge = Estimate { quantity: Quantity::JudgeRho2, ..encoded(FEWEST_BLOCKS) };
        assert!(judge.clone().unless_too_few_blocks().reportable);
        let few = Estimate { blocks: Some(FEWEST_BLOCKS - 1), ..judge };
        assert!(!few.unless_too_few_blocks().reportable);
    }
}
