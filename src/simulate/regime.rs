//! Named regimes: data sets that are difficult for estimators, each in its own way.

use super::design::{
    Binary, Common, Design, Judge, Length, Levels, Loading, LogProb, Massive, Objective, Remainder,
};
use super::texts::{Effect, Texts};
use crate::error::{Diagnostic, Kind, Result};

/// A preset of [`Design`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Regime {
    /// d = 256, 600 contrasts, one judge at cosine .6, noise correlation .5.
    Standard,
    /// More contrasts than dimensions, independent noise, three judges, binary labels as well.
    Tall,
    /// Fewer contrasts than dimensions.
    Wide,
    /// Fewer contrasts than dimensions, heavy-tailed massive dimensions, correlated noise.
    WideMassive,
    /// Prompts of varying size with copies, length and prompt confounds, two objectives, one of them non-monotone, and
    /// missing labels.
    Ragged,
    /// S is encoded; the judge is orthogonal to v*, with noise correlation .9.
    Null,
    /// The judge is orthogonal to v*, with noise correlation −.9.
    NullNegative,
    /// S is not encoded at all.
    Unencoded,
    /// Binary labels of prevalence .3 only.
    Binary,
    /// Preferences between two responses only.
    Pairwise,
    /// Massive heavy-tailed dimensions, many contrasts.
    Massive,
    /// The judge agrees with v* in the top components and opposes it in the others.
    TailOpposes,
    /// v* in the lower half of the components, few contrasts.
    Tail,
    /// v* in the top tenth of the components, few contrasts.
    Top,
    /// Every component carries an equal share of v*, few contrasts.
    Flat,
    /// The spread of the responses differs between prompts.
    Heteroscedastic,
    /// 30 % of the prompts are copies.
    Duplicates,
    /// Length affects S, the judge, log P and h.
    Length,
    /// S and h shift together between prompts, and log P and h in the opposite direction.
    Confounded,
    /// Twelve layers, of which the ninth encodes most.
    Layers,
    /// Four constitutions without content, beside four placebos of the same distribution and a common direction.
    ContentFree,
    /// As `ContentFree`, with one constitution that raises S.
    Improver,
    /// Two constitutions without content, four placebos, and eight values.
    NullValues,
    /// Responses read under texts, none with a larger effect on the state than a placebo.
    StateNothing,
    /// A constitution that adds v* to every state.
    StateShift,
    /// A constitution that amplifies the component encoding the value, and generates along it.
    StateGain,
    /// A constitution that amplifies a component that does not encode the value.
    StateGainElsewhere,
    /// A constitution that rotates v*.
    StateRotation,
    /// Labels of four levels with uneven cuts.
    Levels,
    /// Binary labels of prevalence .1 for a value that is encoded almost entirely.
    BinaryRare,
    /// Preferences between two responses, many of them wrong.
    PreferenceErrors,
    /// Two responses per prompt.
    Pairs,
    /// Every component has a t distribution with 5 degrees of freedom.
    HeavyTails,
    /// Massive heavy-tailed dimensions that carry none of the value.
    MassiveOff,
    /// The judge answers with near certainty: its log-odds saturate.
    Saturated,
    /// The judge also rewards moderation: its reward is not linear in h.
    BentJudge,
    /// Ten contrasts per dimension, v* in the lower half of the components.
    TallTail,
    /// A hundred contrasts per dimension.
    Huge,
    /// A hundred contrasts per dimension, v* in the lower half of the components.
    HugeTail,
    /// Layer 0, the token embeddings, encodes more than any other.
    Embeddings,
    /// Twelve layers that encode equally, each with independent noise.
    LayersAlike,
}

impl Regime {
    /// All regimes.
    pub const ALL: [Self; 41] = [
        Self::Standard,
        Self::Tall,
        Self::Wide,
        Self::WideMassive,
        Self::Ragged,
        Self::Null,
        Self::NullNegative,
        Self::Unencoded,
        Self::Binary,
        Self::Pairwise,
        Self::Massive,
        Self::TailOpposes,
        Self::Tail,
        Self::Top,
        Self::Flat,
        Self::Heteroscedastic,
        Self::Duplicates,
        Self::Length,
        Self::Confounded,
        Self::Layers,
        Self::ContentFree,
        Self::Improver,
        Self::NullValues,
        Self::StateNothing,
        Self::StateShift,
        Self::StateGain,
        Self::StateGainElsewhere,
        Self::StateRotation,
        Self::Levels,
        Self::BinaryRare,
        Self::PreferenceErrors,
        Self::Pairs,
        Self::HeavyTails,
        Self::MassiveOff,
        Self::Saturated,
        Self::BentJudge,
        Self::TallTail,
        Self::Huge,
        Self::HugeTail,
        Self::Embeddings,
        Self::LayersAlike,
    ];

    /// The regime's name for users.
    pub fn name(self) -> &'static str {
        self.described().0
    }

    /// One-line description of the difficulty.
    pub fn about(self) -> &'static str {
        self.described().1
    }

    fn described(self) -> (&'static str, &'static str) {
        match self {
            Self::Standard => ("standard", "d = 256, 600 contrasts, cosine .6, shared noise .5"),
            Self::Tall => {
                ("tall", "d = 64, 1500 contrasts, independent noise, three judges, binary labels too")
            }
            Self::Wide => ("wide", "d = 256, 150 contrasts"),
            Self::WideMassive => {
                ("wide_massive", "fewer contrasts than dimensions, massive heavy tails, shared noise")
            }
            Self::Ragged => {
                ("ragged", "1 to 8 responses, copies, length and prompt confounds, a bent objective, gaps")
            }
            Self::Null => ("null", "cosine 0, noise shared .9"),
            Self::NullNegative => ("null_negative", "cosine 0, noise shared -.9"),
            Self::Unencoded => ("unencoded", "S is not encoded: no direction exists"),
            Self::Binary => ("binary", "binary labels of prevalence .3 only"),
            Self::Pairwise => ("pairwise", "preferences between two responses only"),
            Self::Massive => ("massive", "massive heavy-tailed dimensions, 600 contrasts"),
            Self::TailOpposes => ("tail_opposes", "the judge opposes v* in the lower components"),
            Self::Tail => ("tail", "v* in the lower half of the components, 150 contrasts"),
            Self::Top => ("top", "v* in the top tenth of the components, 150 contrasts"),
            Self::Flat => ("flat", "all components carry as much of v*, 150 contrasts"),
            Self::Heteroscedastic => ("heteroscedastic", "prompts differ in the spread of their responses"),
            Self::Duplicates => ("duplicates", "30 % of the prompts are copies, cosine 0"),
            Self::Length => ("length", "length moves S, the judge, log P and h"),
            Self::Confounded => ("confounded", "prompt effects oppose what holds inside prompts"),
            Self::Layers => ("layers", "12 layers, of which the ninth encodes most"),
            Self::ContentFree => {
                ("content_free", "4 texts without content, 4 placebos, and a direction common to all")
            }
            Self::Improver => ("improver", "the same, and one constitution that raises S"),
            Self::NullValues => ("null_values", "2 texts without content, 4 placebos, 8 values"),
            Self::StateNothing => {
                ("state_nothing", "read under a constitution that does what placebo texts do")
            }
            Self::StateShift => ("state_shift", "read under a constitution that adds v* to every state"),
            Self::StateGain => ("state_gain", "read under a constitution that amplifies the value by 1.6"),
            Self::StateGainElsewhere => (
                "state_gain_elsewhere",
                "read under a constitution that amplifies what is not the value by 1.6",
            ),
            Self::StateRotation => {
                ("state_rotation", "read under a constitution that turns v* by .9 radians")
            }
            Self::Levels => ("levels", "labels of four levels, unevenly cut"),
            Self::BinaryRare => {
                ("binary_rare", "binary labels of prevalence .1 of a value that is encoded almost entirely")
            }
            Self::PreferenceErrors => {
                ("preference_errors", "preferences between two responses, a good share of them wrong")
            }
            Self::Pairs => ("pairs", "two responses to a prompt"),
            Self::HeavyTails => {
                ("heavy_tails", "every component has t-distributed tails, 5 degrees of freedom")
            }
            Self::MassiveOff => {
                ("massive_off", "massive heavy-tailed dimensions that carry nothing of the value")
            }
            Self::Saturated => {
                ("saturated", "the judge answers with all but certainty: its log-odds level off")
            }
            Self::BentJudge => {
                ("bent_judge", "the judge also rewards a middle: its reward is not linear in h")
            }
            Self::TallTail => {
                ("tall_tail", "ten contrasts a dimension, v* in the lower half of the components")
            }
            Self::Huge => ("huge", "a hundred contrasts a dimension"),
            Self::HugeTail => {
                ("huge_tail", "a hundred contrasts a dimension, v* in the lower half of the components")
            }
            Self::Embeddings => ("embeddings", "layer 0, the token embeddings, encodes more than any other"),
            Self::LayersAlike => ("layers_alike", "12 layers that encode alike, each with noise of its own"),
        }
    }

    /// Finds a regime by name.
    ///
    /// # Errors
    /// [`Kind::Invalid`] with the list of names.
    pub fn by_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|r| r.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|r| r.name()).collect();
            Diagnostic::new(Kind::Invalid, "no such regime").expected(names.join(", ")).found(name).into()
        })
    }

    /// The planted design.
    pub fn design(self) -> Design {
        let standard = Design::default();
        let shared = |cos: f64, corr: f64| vec![Judge { noise_corr: corr, ..Judge::new("good", cos) }];
        let massive = Massive { count: 3, variance: 60.0, df: 5.0, share: 0.2 };
        let few = 50;
        let state = |effect, strength: f64, logprob: f64| Design {
            hidden_size: 32,
            prompts: 120,
            rho2: 0.6,
            judges: Vec::new(),
            texts: Some(Texts { effect, strength, logprob, ..Texts::default() }),
            ..Design::default()
        };
        match self {
            Self::Standard => standard,
            Self::Tall => {
                let judge = |name, cos| Judge { rho2: 0.8, noise_corr: 0.0, ..Judge::new(name, cos) };
                Design {
                    hidden_size: 64,
                    prompts: 500,
                    judges: vec![judge("good", 0.8), judge("neutral", 0.0), judge("adversarial", -0.5)],
                    binary: Some(Binary { prevalence: 0.4 }),
                    ..standard
                }
            }
            Self::Wide => Design { prompts: few, ..standard },
            Self::WideMassive => {
                Design { prompts: 60, massive: Some(massive), judges: shared(0.6, 0.7), ..standard }
            }
            Self::Ragged => Design {
                hidden_size: 128,
                prompts: 400,
                responses: [1, 8],
                prompt_icc: 0.5,
                prompt_confound: 2.0,
                duplicates: 0.2,
                unlabelled: 0.1,
                judges: vec![
                    Judge { length: 3.0, ..Judge::new("good", 0.6) },
                    Judge { length: 3.0, ..Judge::new("longer", 0.0) },
                ],
                position_bias: [0.5, 1.5],
                judge_noise: 0.3,
                logprob: LogProb { cos: 0.3, noise_corr: 0.2, per_token: -0.05, ..standard.logprob },
                objectives: vec![
                    Objective {
                        name: "second".into(),
                        cos: 0.4,
                        optimum: None,
                        noise_var: 1.0,
                        noise_corr: 0.3,
                    },
                    Objective {
                        name: "bent".into(),
                        cos: 0.0,
                        optimum: Some(0.0),
                        noise_var: 0.5,
                        noise_corr: 0.0,
                    },
                ],
                length: Length { on_value: 1.0, on_resid: 3.0, ..standard.length },
                ..standard
            },
            Self::Null => Design { judges: shared(0.0, 0.9), ..standard },
            Self::NullNegative => Design { judges: shared(0.0, -0.9), ..standard },
            Self::Unencoded => Design { rho2: 0.0, ..standard },
            Self::Binary => Design { binary: Some(Binary { prevalence: 0.3 }), graded: false, ..standard },
            Self::Pairwise => {
                Design { responses: [2, 2], prompts: 600, pairwise: true, graded: false, ..standard }
            }
            Self::Massive => Design { massive: Some(massive), ..standard },
            Self::TailOpposes => Design { remainder: Remainder::TailOpposes, ..standard },
            Self::Tail => Design { loading: Loading::Tail, prompts: few, ..standard },
            Self::Top => Design { loading: Loading::Top, prompts: few, ..standard },
            Self::Flat => Design { loading: Loading::Flat, prompts: few, ..standard },
            Self::Heteroscedastic => Design { heteroscedastic: 0.8, prompts: 100, alpha: 0.5, ..standard },
            Self::Duplicates => Design { duplicates: 0.3, judges: shared(0.0, 0.9), ..standard },
            Self::Length => Design {
                judges: vec![Judge { length: 5.0, ..Judge::new("good", 0.3) }],
                logprob: LogProb { cos: 0.0, per_token: -0.1, ..standard.logprob },
                length: Length { on_value: 2.0, on_resid: 4.0, ..standard.length },
                ..standard
            },
            Self::Confounded => Design { prompt_icc: 0.7, prompt_confound: 3.0, ..standard },
            Self::ContentFree => without_content(4, 4),
            Self::Improver => {
                let mut design = without_content(4, 4);
                design.judges.insert(0, Judge { sd: 2.0, noise_corr: 0.0, ..Judge::new("improver", 0.8) });
                design
            }
            Self::NullValues => {
                let objective = |i: usize| Objective {
                    name: format!("V{i}"),
                    cos: 0.0,
                    optimum: None,
                    noise_var: 1.5,
                    noise_corr: 0.0,
                };
                Design { objectives: (2..=8).map(objective).collect(), ..without_content(2, 4) }
            }
            Self::Layers => Design {
                hidden_size: 96,
                layers: (0..12).map(|l: i32| 1.0 - 0.1 * f64::from((l - 8).abs())).collect(),
                ..standard
            },
            Self::StateNothing => state(Effect::Nothing, 0.0, 0.0),
            Self::StateShift => state(Effect::Shift, 0.7, 0.0),
            Self::StateGain => state(Effect::Gain, 1.6, 3.0),
            Self::StateGainElsewhere => state(Effect::GainElsewhere, 1.6, 0.0),
            Self::StateRotation => state(Effect::Rotation, 0.9, 0.0),
            Self::Levels => {
                Design { levels: Some(Levels { cuts: vec![-1.0, 0.2, 1.2] }), graded: false, ..standard }
            }
            Self::BinaryRare => Design {
                hidden_size: 64,
                prompts: 400,
                rho2: 0.98,
                binary: Some(Binary { prevalence: 0.1 }),
                graded: false,
                ..standard
            },
            Self::PreferenceErrors => Design {
                responses: [2, 2],
                prompts: 600,
                pairwise: true,
                preference_noise: 0.5,
                graded: false,
                ..standard
            },
            Self::Pairs => Design { responses: [2, 2], prompts: 600, ..standard },
            Self::HeavyTails => Design { hidden_size: 64, tails: Some(5.0), ..standard },
            Self::MassiveOff => Design { massive: Some(Massive { share: 0.0, ..massive }), ..standard },
            Self::Saturated => Design { hidden_size: 64, saturation: Some(2.0), ..standard },
            Self::BentJudge => Design { hidden_size: 64, bent_judges: true, ..standard },
            Self::TallTail => {
                Design { hidden_size: 64, prompts: 214, loading: Loading::Tail, rho2: 0.8, ..standard }
            }
            Self::Huge => Design { hidden_size: 32, prompts: 1067, rho2: 0.8, ..standard },
            Self::HugeTail => {
                Design { hidden_size: 32, prompts: 1067, rho2: 0.8, loading: Loading::Tail, ..standard }
            }
            Self::Embeddings => Design { hidden_size: 64, layers: vec![1.0, 0.6, 0.8, 0.7], ..standard },
            Self::LayersAlike => Design { hidden_size: 64, prompts: 100, layers: vec![0.8; 12], ..standard },
        }
    }
}

/// Constitutions and placebos whose cosines with v* are drawn from one distribution, in addition to a common direction
/// that agrees with v*.
pub(super) fn without_content(texts: usize, placebos: usize) -> Design {
    let judge = |name: String, placebo| Judge {
        sd: 1.0,
        noise_corr: 0.0,
        cos_sd: 0.3,
        placebo,
        ..Judge::new(&name, 0.0)
    };
    let texts = (1..=texts).map(|i| judge(format!("text-{i}"), false));
    let placebos = (1..=placebos).map(|i| judge(format!("placebo-{i}"), true));
    Design {
        hidden_size: 32,
        prompts: 120,
        judges: texts.chain(placebos).collect(),
        common: Some(Common { cos: 0.6, sd: 3.0, rho2: 0.8 }),
        logprob: LogProb { noise_corr: 0.0, ..Design::default().logprob },
        ..Design::default()
    }
}
