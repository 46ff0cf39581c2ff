//! Parameters of a simulated data set: sizes, spectrum, directions, noise and confounds.

use serde::{Deserialize, Serialize};

use super::texts::Texts;
use crate::error::{Diagnostic, Kind, Place, Result};

/// Distribution of v* (and of every other direction), before scaling to v'Σv = 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loading {
    /// Standard normal in raw coordinates: most of its variance lies in the top components.
    Isotropic,
    /// Standard normal in the top tenth of the components, zero elsewhere.
    Top,
    /// Standard normal in the lower half of the components, zero elsewhere.
    Tail,
    /// Standard normal in whitened coordinates: every component carries the same variance on average.
    Flat,
}

/// Distribution of the part of a constitution's direction that is orthogonal to v*.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remainder {
    /// Drawn like v*, then made Σ-orthogonal to it.
    Independent,
    /// Built from v* itself: its top components keep their sign, the others are negated, balanced to be Σ-orthogonal to
    /// v*. A fit that resolves only the top components finds a different cosine.
    TailOpposes,
}

/// Components of massive variance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Massive {
    /// Number of massive components.
    pub count: usize,
    /// Their variance, as a multiple of the mean variance of the others.
    pub variance: f64,
    /// Degrees of freedom of their t distribution, more than 4; infinite means Gaussian.
    #[serde(with = "infinite")]
    pub df: f64,
    /// Their share of v'Σv, for every direction.
    pub share: f64,
}

/// JSON has no infinity: it is written as null.
mod infinite {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(value).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(from)?.unwrap_or(f64::INFINITY))
    }
}

/// A constitution's judge, whose reward is R = ⟨x, v_c⟩ + noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    /// The constitution's name.
    pub name: String,
    /// cos(v_c, v*) in the metric of Σ.
    pub cos: f64,
    /// Standard deviation of ⟨x, v_c⟩, in nats of log-odds.
    pub sd: f64,
    /// Share of the reward's variance that ⟨x, v_c⟩ explains, in (0, 1].
    pub rho2: f64,
    /// Correlation of the reward's noise with the noise of S on the same response.
    pub noise_corr: f64,
    /// Change of the reward per unit of log(tokens).
    pub length: f64,
    /// Standard deviation of the cosine over data sets, around `cos` and truncated at ±.95: the effect of a text
    /// without content differs from draw to draw.
    #[serde(default)]
    pub cos_sd: f64,
    /// Whether the constitution belongs to the placebo arm.
    #[serde(default)]
    pub placebo: bool,
}

/// A reward common to all judges: of the same form, added to that of each constitution, noise included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Common {
    /// cos of its direction and v* in the metric of Σ.
    pub cos: f64,
    /// Standard deviation of its encoded part, in nats of log-odds.
    pub sd: f64,
    /// Share of its variance that is encoded, in (0, 1].
    pub rho2: f64,
}

/// A second objective: T = ⟨x, v_T⟩ + noise, with v_T'Σv_T = 1, optionally non-monotone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// The value's name.
    pub name: String,
    /// cos(v_T, v*) in the metric of Σ.
    pub cos: f64,
    /// If set, the value is not monotone: with q = ⟨x, v_T⟩, the signal is 2·optimum·q − (q² − 1), that is −(q −
    /// optimum)² up to a constant.
    pub optimum: Option<f64>,
    /// Variance of the noise.
    pub noise_var: f64,
    /// Correlation of its noise with the noise of S.
    pub noise_corr: f64,
}

/// log P = offset of the prompt + ⟨x, w⟩ + noise + nats per token · tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LogProb {
    /// cos(w, v*) in the metric of Σ.
    pub cos: f64,
    /// Standard deviation of ⟨x, w⟩, in nats.
    pub sd: f64,
    /// Share of the within-prompt variance (excluding length) that ⟨x, w⟩ explains, in (0, 1].
    pub rho2: f64,
    /// Correlation of its noise with the noise of S.
    pub noise_corr: f64,
    /// Change per token, in nats; at most 0.
    pub per_token: f64,
}

/// Lengths of responses: log(tokens) = mean + prompt effect + t, all normal, t within the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Length {
    /// Mean of log(tokens).
    pub mean_log: f64,
    /// Standard deviation between prompts.
    pub between: f64,
    /// Standard deviation of t, within prompts.
    pub within: f64,
    /// Change of S per unit of t.
    pub on_value: f64,
    /// Length of the change of h per unit of t, in units of the root mean variance of a component.
    pub on_resid: f64,
}

/// Binary labels S_bin = 1{S > threshold}.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Binary {
    /// Share of ones.
    pub prevalence: f64,
}

/// Labels of few levels S_lev: the number of cuts below S.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// Cuts in increasing order, in total standard deviations of S.
    pub cuts: Vec<f64>,
}

/// All planted parameters. [`Design::default`] is the standard data set of the estimators' specification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Design {
    /// d, the width of the residual stream.
    pub hidden_size: usize,
    /// Number of prompts, copies included.
    pub prompts: usize,
    /// Range of the number of responses per prompt: uniform on least..=most.
    pub responses: [usize; 2],
    /// α: component j has variance ∝ j^−α; the trace is d.
    pub alpha: f64,
    /// Whether components are rotated away from the coordinate axes.
    pub rotate: bool,
    /// Components of massive variance, if any.
    pub massive: Option<Massive>,
    /// Distribution of the directions.
    pub loading: Loading,
    /// Relation of the constitutions' directions to v*.
    pub remainder: Remainder,
    /// ρ²_S in [0, 1): S = ⟨x, v*⟩ + noise with v*'Σv* = 1; at 0, S is noise of variance 1.
    pub rho2: f64,
    /// Share of Var S between prompts, in [0, 1).
    pub prompt_icc: f64,
    /// Strength with which prompts with high S are shifted in h (along Σv*, in its sd) and in the opposite direction in
    /// log P, which misleads a fit that pools prompts.
    pub prompt_confound: f64,
    /// sd of the log of the prompts' variance factors, whose mean is 1; 0 is homoscedastic.
    pub heteroscedastic: f64,
    /// Share of prompts that are copies of others, [0, 1).
    pub duplicates: f64,
    /// Share of labels withheld at random, [0, 1).
    pub unlabelled: f64,
    /// The judges.
    pub judges: Vec<Judge>,
    /// Reward common to all judges.
    #[serde(default)]
    pub common: Option<Common>,
    /// Mean and between-prompt standard deviation of the position bias, in nats.
    pub position_bias: [f64; 2],
    /// Standard deviation of the noise on each single log-odds, in nats.
    pub judge_noise: f64,
    /// Parameters of log P.
    pub logprob: LogProb,
    /// Other values.
    pub objectives: Vec<Objective>,
    /// Lengths of the responses.
    pub length: Length,
    /// Binary labels, if any.
    pub binary: Option<Binary>,
    /// Labels of few levels, if any.
    #[serde(default)]
    pub levels: Option<Levels>,
    /// Whether preferences by S between responses (0,1), (2,3), … are given.
    pub pairwise: bool,
    /// Variance of the noise in stated preferences, as a multiple of the within-prompt variance of S: more noise makes
    /// more of them wrong.
    #[serde(default)]
    pub preference_noise: f64,
    /// Degrees of freedom of the t distribution of all ordinary components, more than 4; `None`: Gaussian.
    #[serde(default)]
    pub tails: Option<f64>,
    /// Log-odds (nats) at which judges saturate: each answer is c·tanh(log-odds/c).
    #[serde(default)]
    pub saturation: Option<f64>,
    /// Whether judges also reward moderation: 1 − ⟨x, v_c⟩²/Var is added to the reward, in nats.
    #[serde(default)]
    pub bent_judges: bool,
    /// Whether S itself is given as a label.
    pub graded: bool,
    /// One entry per layer: layer l stores a·x + √(1 − a²)·x′ with x′ drawn independently, so that ρ² is a² times the
    /// nominal value.
    pub layers: Vec<f64>,
    /// Texts under which the responses are read again, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub texts: Option<Texts>,
}

impl Default for Design {
    fn default() -> Self {
        Self {
            hidden_size: 256,
            prompts: 200,
            responses: [4, 4],
            alpha: 1.0,
            rotate: true,
            massive: None,
            loading: Loading::Isotropic,
            remainder: Remainder::Independent,
            rho2: 0.4,
            prompt_icc: 0.3,
            prompt_confound: 0.0,
            heteroscedastic: 0.0,
            duplicates: 0.0,
            unlabelled: 0.0,
            judges: vec![Judge::new("good", 0.6)],
            common: None,
            position_bias: [0.0, 1.5],
            judge_noise: 0.1,
            logprob: LogProb { cos: 0.1, sd: 4.0, rho2: 0.8, noise_corr: 0.0, per_token: 0.0 },
            objectives: Vec::new(),
            length: Length { mean_log: 4.5, between: 0.3, within: 0.3, on_value: 0.0, on_resid: 0.0 },
            binary: None,
            levels: None,
            pairwise: false,
            preference_noise: 0.0,
            tails: None,
            saturation: None,
            bent_judges: false,
            graded: true,
            layers: vec![1.0],
            texts: None,
        }
    }
}

impl Judge {
    /// A judge with this cosine: rewards of sd 3 nats, ρ² = .7, noise correlated .5 with that of S.
    pub fn new(name: &str, cos: f64) -> Self {
        Self {
            name: name.to_owned(),
            cos,
            sd: 3.0,
            rho2: 0.7,
            noise_corr: 0.5,
            length: 0.0,
            cos_sd: 0.0,
            placebo: false,
        }
    }
}

impl Design {
    /// Whether h, S and rewards are jointly Gaussian within prompts, so that thresholded labels have closed-form
    /// population figures.
    pub fn is_gaussian(&self) -> bool {
        self.heteroscedastic == 0.0 && self.tails.is_none() && self.massive.is_none_or(|m| m.df.is_infinite())
    }

    /// Number of components of ordinary variance.
    pub(super) fn ordinary(&self) -> usize {
        self.hidden_size - self.massive.map_or(0, |m| m.count)
    }

    /// Refuses invalid parameters.
    pub(super) fn check(&self) -> Result<()> {
        let mut rules = vec![
            (
                "hidden_size",
                self.ordinary_or_none().is_some_and(|n| n >= 20),
                "20 ordinary components or more",
            ),
            ("prompts", (2..=1 << 24).contains(&self.prompts), "2 to 2^24"),
            (
                "responses",
                self.responses[0] >= 1 && self.responses[0] <= self.responses[1],
                "1 <= least <= most",
            ),
            ("responses", (2..=64).contains(&self.responses[1]), "2 to 64 responses at most"),
            ("alpha", (0.0..=4.0).contains(&self.alpha), "0 to 4"),
            ("rho2", (0.0..1.0).contains(&self.rho2), "[0, 1)"),
            ("prompt_icc", (0.0..1.0).contains(&self.prompt_icc), "[0, 1)"),
            ("prompt_confound", self.prompt_confound.is_finite(), "a finite number"),
            ("heteroscedastic", (0.0..=1.5).contains(&self.heteroscedastic), "[0, 1.5]"),
            ("duplicates", (0.0..1.0).contains(&self.duplicates), "[0, 1)"),
            ("unlabelled", (0.0..1.0).contains(&self.unlabelled), "[0, 1)"),
            ("position_bias", self.position_bias[0].is_finite(), "a finite mean"),
            ("position_bias", nonnegative(self.position_bias[1]), "a standard deviation"),
            ("judge_noise", nonnegative(self.judge_noise), "a standard deviation"),
            ("length.mean_log", (2.0..=12.0).contains(&self.length.mean_log), "2 to 12"),
            ("length.between", (0.0..=1.0).contains(&self.length.between), "0 to 1"),
            ("length.within", (0.0..=1.0).contains(&self.length.within), "0 to 1"),
            ("length.on_value", self.length.on_value.is_finite(), "a finite number"),
            ("length.on_resid", nonnegative(self.length.on_resid), "0 or more"),
            ("logprob.cos", cosine(self.logprob.cos), "[-1, 1]"),
            ("logprob.noise_corr", cosine(self.logprob.noise_corr), "[-1, 1]"),
            ("logprob.rho2", share(self.logprob.rho2), "(0, 1]"),
            ("logprob.sd", nonnegative(self.logprob.sd), "0 or more"),
            (
                "logprob.per_token",
                self.logprob.per_token <= 0.0 && self.logprob.per_token.is_finite(),
                "0 or less",
            ),
            ("layers", !self.layers.is_empty(), "one layer or more"),
            ("layers", self.layers.iter().all(|a| (0.0..=1.0).contains(a)), "shares in [0, 1]"),
            (
                "graded, binary, levels, pairwise",
                self.graded || self.binary.is_some() || self.levels.is_some() || self.pairwise,
                "labels of some kind",
            ),
            ("preference_noise", nonnegative(self.preference_noise), "0 or more"),
            ("tails", self.tails.is_none_or(|df| df > 4.0), "more than 4, so that fourth moments exist"),
            (
                "saturation",
                self.saturation.is_none_or(|c| c > 0.0 && c.is_finite()),
                "a positive number of nats",
            ),
            (
                "levels.cuts",
                self.levels.as_ref().is_none_or(|l| {
                    !l.cuts.is_empty()
                        && l.cuts.windows(2).all(|w| w[0] < w[1])
                        && l.cuts.iter().all(|c| c.is_finite())
                }),
                "one or more rising numbers",
            ),
        ];
        if let Some(m) = self.massive {
            rules.push(("massive.count", m.count >= 1, "1 or more"));
            rules.push(("massive.variance", m.variance > 0.0 && m.variance.is_finite(), "a positive number"));
            rules.push(("massive.df", m.df > 4.0, "more than 4, so that fourth moments exist"));
            rules.push(("massive.share", (0.0..1.0).contains(&m.share), "[0, 1)"));
        }
        if let Some(c) = self.common {
            rules.push(("common.cos", cosine(c.cos), "[-1, 1]"));
            rules.push(("common.rho2", share(c.rho2), "(0, 1]"));
            rules.push(("common.sd", nonnegative(c.sd), "0 or more"));
        }
        if let Some(b) = self.binary {
            rules.push(("binary.prevalence", b.prevalence > 0.0 && b.prevalence < 1.0, "(0, 1)"));
        }
        if let Some(t) = self.texts {
            rules.push(("texts.placebos", (2..=64).contains(&t.placebos), "2 to 64"));
            rules.push(("texts.strength", t.strength.is_finite(), "a finite number"));
            rules.push(("texts.shift", nonnegative(t.shift), "0 or more"));
            rules.push(("texts.stretch", nonnegative(t.stretch), "a standard deviation"));
            rules.push(("texts.noise", nonnegative(t.noise), "a variance"));
            rules.push(("texts.logprob", t.logprob.is_finite(), "a finite number"));
        }
        for j in &self.judges {
            rules.push(("judges.cos", cosine(j.cos), "[-1, 1]"));
            rules.push(("judges.noise_corr", cosine(j.noise_corr), "[-1, 1]"));
            rules.push(("judges.rho2", share(j.rho2), "(0, 1]"));
            rules.push(("judges.sd", nonnegative(j.sd), "0 or more"));
            rules.push(("judges.length", j.length.is_finite(), "a finite number"));
            rules.push(("judges.cos_sd", nonnegative(j.cos_sd), "0 or more"));
        }
        for o in &self.objectives {
            rules.push((
                "objectives.name",
                !["S", "S_bin", "S_lev", "S_pref"].contains(&o.name.as_str()),
                "a name of its own",
            ));
            rules.push(("objectives.cos", cosine(o.cos), "[-1, 1]"));
            rules.push(("objectives.noise_corr", cosine(o.noise_corr), "[-1, 1]"));
            rules.push(("objectives.noise_var", nonnegative(o.noise_var), "0 or more"));
            rules.push(("objectives.optimum", o.optimum.is_none_or(f64::is_finite), "a finite number"));
        }
        let mut names: Vec<&str> = self.judges.iter().map(|j| j.name.as_str()).collect();
        names.sort_unstable();
        rules.push(("judges.name", names.windows(2).all(|w| w[0] != w[1]), "distinct names"));
        let mut names: Vec<&str> = self.objectives.iter().map(|o| o.name.as_str()).collect();
        names.sort_unstable();
        rules.push(("objectives.name", names.windows(2).all(|w| w[0] != w[1]), "distinct names"));
        match rules.into_iter().find(|rule| !rule.1) {
            None => Ok(()),
            Some((key, _, allowed)) => {
                Err(Diagnostic::new(Kind::Invalid, format!("`{key}` cannot be planted"))
                    .at(Place::default().id(key))
                    .expected(allowed)
                    .into())
            }
        }
    }

    fn ordinary_or_none(&self) -> Option<usize> {
        self.hidden_size.checked_sub(self.massive.map_or(0, |m| m.count))
    }
}

fn nonnegative(v: f64) -> bool {
    v >= 0.0 && v.is_finite()
}

fn cosine(v: f64) -> bool {
    (-1.0..=1.0).contains(&v)
}

fn share(v: f64) -> bool {
    v > 0.0 && v <= 1.0
}
