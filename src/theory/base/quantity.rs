//! Names of the quantities in `report.json` and their explanations, shared by the docs and `vstar explain`.

use serde::{Deserialize, Serialize};

/// Declares the quantities: `Variant => "name"`, documented by `docs/quantities/name.md`.
macro_rules! quantities {
    ($($variant:ident => $name:literal,)*) => {
        /// Names of the quantities in `report.json` (snake case).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Quantity {
            $(
                #[doc = include_str!(concat!("../../../docs/quantities/", $name, ".md"))]
                $variant,
            )*
        }

        impl Quantity {
            /// Every quantity, in the order of the report's documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Name in `report.json`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Explanation in Markdown: a summary sentence, then the formula, the estimator, its assumptions, when it
            /// is undefined, what would refute it, and the source.
            pub fn explanation(self) -> &'static str {
                match self {
                    $(Self::$variant => include_str!(concat!("../../../docs/quantities/", $name, ".md")),)*
                }
            }
        }
    };
}

quantities! {
    Alignment => "alignment",
    GenerationAlignment => "generation_alignment",
    Gap => "gap",
    ImpliedEta => "implied_eta",
    EncodedSlope => "encoded_slope",
    TotalSlope => "total_slope",
    SlopeShare => "slope_share",
    OwnSlope => "own_slope",
    OwnAlignment => "own_alignment",
    OwnShare => "own_share",
    JudgeSlope => "judge_slope",
    JudgeAlignment => "judge_alignment",
    JudgeShare => "judge_share",
    PolicySlope => "policy_slope",
    EssRatio => "ess_ratio",
    Rho2 => "rho2",
    Rho2Embeddings => "rho2_embeddings",
    Rho2Words => "rho2_words",
    Rho => "rho",
    Rho2Latent => "rho2_latent",
    Rho2Model => "rho2_model",
    JudgeRho2 => "judge_rho2",
    LogprobRho2 => "logprob_rho2",
    NonlinearGain => "nonlinear_gain",
    Auc => "auc",
    PairAccuracy => "pair_accuracy",
    JudgeAccuracy => "judge_accuracy",
    JudgeOverconfidence => "judge_overconfidence",
    JudgeInconsistency => "judge_inconsistency",
    OrderAgreement => "order_agreement",
    JudgeSpread => "judge_spread",
    ConstitutionShare => "constitution_share",
    PlaceboShare => "placebo_share",
    PositionBias => "position_bias",
    PositionBiasSd => "position_bias_sd",
    DEff => "d_eff",
    DEffNaive => "d_eff_naive",
    DEffUncentred => "d_eff_uncentred",
    DEffBetween => "d_eff_between",
    ValueConcentration => "value_concentration",
    ValueShare => "value_share",
    ValueShareNull => "value_share_null",
    GradientCos => "gradient_cos",
    HalvesTransfer => "halves_transfer",
    ValueCos => "value_cos",
    ValueCone => "value_cone",
    WeightedSlope => "weighted_slope",
    WeightedAlignment => "weighted_alignment",
    ConstrainedShare => "constrained_share",
    BestAlignment => "best_alignment",
    MeanAlignment => "mean_alignment",
    EnsembleAlignment => "ensemble_alignment",
    EnsembleEffect => "ensemble_effect",
    WordingSd => "wording_sd",
    ConstitutionCos => "constitution_cos",
    TiltGain => "tilt_gain",
    TiltPredicted => "tilt_predicted",
    TiltKl => "tilt_kl",
    CeilingRegret => "ceiling_regret",
    AttainedRegret => "attained_regret",
    MeasuredRegret => "measured_regret",
    BestOfCeiling => "best_of_ceiling",
    BestOfRegret => "best_of_regret",
    OracleShare => "oracle_share",
    ExplainedByJudge => "explained_by_judge",
    ExplainedBeyondJudge => "explained_beyond_judge",
    ExplainedByBoth => "explained_by_both",
    Unexplained => "unexplained",
    GeometryNull => "geometry_null",
    ActivationNorm => "activation_norm",
    ActivationAlignment => "activation_alignment",
    ActivationGain => "activation_gain",
    RetrievalGain => "retrieval_gain",
    ValueTurn => "value_turn",
    ConditionedGap => "conditioned_gap",
    ResponseShare => "response_share",
    VerdictRho2 => "verdict_rho2",
    LensShare => "lens_share",
    VerdictTransfer => "verdict_transfer",
    VerdictValueRho2 => "verdict_value_rho2",
    VerdictAlignment => "verdict_alignment",
    SteerLogprob => "steer_logprob",
    SteerJudge => "steer_judge",
    DirectionAuc => "direction_auc",
    DirectionCos => "direction_cos",
    ShiftRank => "shift_rank",
    ShiftShare => "shift_share",
    FunctionCos => "function_cos",
}

impl Quantity {
    /// Looks up a quantity by its name in `report.json`; `None` if there is no such quantity.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|q| q.name() == name)
    }

    /// Whether the quantity concerns the activations captured under a constitution, which needs no judge.
    pub fn is_of_the_state(self) -> bool {
        matches!(
            self,
            Self::ActivationNorm
                | Self::ActivationAlignment
                | Self::ActivationGain
                | Self::RetrievalGain
                | Self::ValueTurn
                | Self::ConditionedGap
                | Self::ResponseShare
        )
    }

    /// Whether a ridge fit that resolves only part of v* reports the quantity for that part alone: angles and slopes
    /// in the metric of Σ.
    pub(crate) fn is_of_the_resolved_part(self) -> bool {
        matches!(
            self,
            Self::Alignment
                | Self::GenerationAlignment
                | Self::Gap
                | Self::EncodedSlope
                | Self::OwnSlope
                | Self::OwnAlignment
                | Self::JudgeSlope
                | Self::JudgeAlignment
                | Self::WeightedSlope
                | Self::WeightedAlignment
                | Self::EnsembleAlignment
                | Self::EnsembleEffect
                | Self::MeanAlignment
                | Self::BestAlignment
                | Self::ValueCos
                | Self::ValueCone
                | Self::ConstrainedShare
                | Self::VerdictAlignment
        )
    }

    /// Whether the quantity is a slope through the residual stream. A slope measures size, so a resolved part
    /// understates the whole.
    pub(crate) fn is_slope(self) -> bool {
        matches!(self, Self::EncodedSlope | Self::OwnSlope | Self::JudgeSlope | Self::WeightedSlope)
    }

    /// Whether the quantity is computed from labels, rewards and log-probabilities alone.
    pub(crate) fn needs_no_layer(self) -> bool {
        matches!(
            self,
            Self::TotalSlope
                | Self::Rho2Words
                | Self::TiltGain
                | Self::TiltPredicted
                | Self::TiltKl
                | Self::AttainedRegret
                | Self::PolicySlope
                | Self::BestOfRegret
                | Self::OracleShare
                | Self::EssRatio
                | Self::JudgeAccuracy
                | Self::JudgeOverconfidence
                | Self::JudgeInconsistency
                | Self::OrderAgreement
                | Self::JudgeSpread
                | Self::ConstitutionShare
                | Self::PlaceboShare
                | Self::PositionBias
                | Self::PositionBiasSd
        )
    }

    /// First sentence of the explanation.
    pub fn summary(self) -> &'static str {
        self.explanation().lines().next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_report_spells() {
        for &quantity in Quantity::ALL {
            let spelled = serde_json::to_value(quantity).expect("a name");
            assert_eq!(spelled, quantity.name());
            assert_eq!(Quantity::from_name(quantity.name()), Some(quantity));
        }
        assert_eq!(Quantity::from_name("alignement"), None);
    }

    #[test]
    fn every_explanation_has_every_part() {
        for &quantity in Quantity::ALL {
            let text = quantity.explanation();
            let parts =
                ["Formula", "Estimated by", "Assumes", "Undefined when", "Would be refuted by", "Source"];
            let mut from = 0;
            for part in parts {
                let heading = format!("\n\n**{part}");
                let at = text[from..].find(&heading);
                from += at.unwrap_or_else(|| panic!("{}: no `{part}`, or out of order", quantity.name()));
            }
            assert!(quantity.summary().ends_with('.'), "{}: {}", quantity.name(), quantity.summary());
        }
    }
}
