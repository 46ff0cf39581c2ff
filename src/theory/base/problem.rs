//! The input of an analysis in plain numbers: labels, choices, lengths and likelihoods of responses.

use std::collections::{HashMap, HashSet};

use ndarray::Array2;

use crate::error::{Diagnostic, Kind, Result};
use crate::probe::rewards::{Rewards, rewards};
use crate::sets::DisjointSets;
use crate::theory::base::estimate::{Estimate, Mode};
use crate::units::Layer;

/// A source of residual streams, one layer at a time.
pub trait LayerSource: Sync {
    /// Available layers, ascending.
    fn layers(&self) -> &[Layer];

    /// The residual stream at a layer, `[rows, d]`.
    ///
    /// # Errors
    /// If it cannot be read, or is not finite.
    fn resid(&self, layer: Layer) -> Result<Array2<f32>>;

    /// Constitutions under which the same responses were also read; none by default.
    fn texts(&self) -> &[StateText] {
        &[]
    }

    /// Residual stream of the same responses at a layer, read under the constitution at this index in
    /// [`LayerSource::texts`]: `[rows, d]` in row order; 0 for rows that were not read under it.
    ///
    /// # Errors
    /// If there is no such arm, or it cannot be read, or is not finite.
    fn text_resid(&self, arm: usize, _layer: Layer) -> Result<Array2<f32>> {
        Err(Diagnostic::new(Kind::Missing, format!("there is no arm {arm}")).into())
    }

    /// Count of each token kind in each response, `[rows, kinds]` in row order; none by default.
    ///
    /// # Errors
    /// If it cannot be read.
    fn words(&self) -> Result<Option<Array2<f32>>> {
        Ok(None)
    }

    /// States of the judge at its answers about the same responses; none by default.
    fn verdicts(&self) -> Option<&dyn VerdictSource> {
        None
    }
}

/// A source of verdict states: for each response, the residual stream at the position of the judge's answer,
/// antisymmetric in the order of a pair.
pub trait VerdictSource {
    /// Available layers, ascending.
    fn layers(&self) -> &[Layer];

    /// Constitutions under which the judge answered.
    fn texts(&self) -> &[VerdictText];

    /// Verdict states at a layer of the constitution at this index in [`VerdictSource::texts`]: `[rows, d]` in row
    /// order; 0 for rows that were not judged.
    ///
    /// # Errors
    /// If there is no such text or layer, or it cannot be read, or is not finite.
    fn resid(&self, text: usize, layer: Layer) -> Result<Array2<f32>>;
}

/// A constitution with verdict states.
#[derive(Debug, Clone, PartialEq)]
pub struct VerdictText {
    /// The constitution's name.
    pub name: String,
    /// How the judge was asked.
    pub mode: Mode,
    /// Whether each row has a state.
    pub present: Vec<bool>,
    /// Verdict read out by the unembedding at each layer, in nats: one vector per layer, with one entry per row; NaN
    /// where a row has none.
    pub lens: Vec<Vec<f64>>,
}

/// A constitution under which the responses were read. Describes captured states, not judgments.
#[derive(Debug, Clone, PartialEq)]
pub struct StateText {
    /// The constitution's name.
    pub name: String,
    /// Whether it belongs to the placebo arm.
    pub placebo: bool,
    /// Whether each row was read under it.
    pub present: Vec<bool>,
    /// log P(response | constitution, prompt) in nats, NaN where a row was not read.
    pub logprob: Option<Vec<f64>>,
}

/// Labels of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// One score per row, NaN where a row has none.
    Scores(Vec<f64>),
    /// (better row, worse row).
    Preferences(Vec<(usize, usize)>),
}

/// A value to be tested.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Name of the value.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
}

/// Forced choices under a constitution, or per-response scores.
#[derive(Debug, Clone, PartialEq)]
pub enum Choices {
    /// Pairs of rows with the log-odds of the answer shown first: first row first, second row first.
    Pairs {
        /// The pairs.
        pairs: Vec<(usize, usize)>,
        /// First row of the pair in first place.
        ab: Vec<f64>,
        /// Second row of the pair in first place.
        ba: Vec<f64>,
    },
    /// One score per row, NaN where a row has none.
    Scores(Vec<f64>),
}

/// A constitution and the choices the model made under it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The constitution's name.
    pub name: String,
    /// Whether it belongs to the placebo arm.
    pub placebo: bool,
    /// How the rewards were obtained.
    pub mode: Mode,
    /// Whether they are an additional estimator beside forced choices under the same constitution.
    pub beside: bool,
    /// Choices of the model.
    pub choices: Choices,
    /// One reward per row, NaN where a row has none.
    pub reward: Vec<f64>,
    /// The fit of rewards to choices, for pairs.
    pub fit: Option<Rewards>,
}

impl Judged {
    /// Labels an estimate from these rewards with the constitution and, unless they come from forced choices, with
    /// the mode.
    pub(crate) fn mark(&self, estimate: Estimate) -> Estimate {
        let mut estimate = estimate.under(&self.name);
        if self.mode != Mode::Pairwise {
            estimate.method = format!("{}; {} rewards", estimate.method, self.mode.as_str());
        }
        estimate.judge = self.beside.then_some(self.mode);
        estimate
    }

    /// Name of the constitution, with the mode if the rewards are reported beside forced choices.
    pub fn label(&self) -> String {
        if self.beside { format!("{} ({})", self.name, self.mode.as_str()) } else { self.name.clone() }
    }

    /// `v_c.CONSTITUTION`, or `v_c.CONSTITUTION.MODE` for rewards beside forced choices.
    pub(crate) fn direction_name(&self) -> String {
        if self.beside {
            format!("v_c.{}.{}", self.name, self.mode.as_str())
        } else {
            format!("v_c.{}", self.name)
        }
    }
}

/// A constitution's choices before checking.
#[derive(Debug, Clone, PartialEq)]
pub struct RawChoices {
    /// The constitution's name.
    pub name: String,
    /// Whether it belongs to the placebo arm.
    pub placebo: bool,
    /// How the choices were obtained.
    pub mode: Mode,
    /// Choices of the model.
    pub choices: Choices,
}

/// A checked problem. Columns have one entry per row.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Prompt of each row; contrasts are taken within prompts.
    pub prompt: Vec<i32>,
    /// Whether prompts are known. If not, every row counts as its own prompt, and contrasts are rows minus their
    /// overall mean.
    pub grouped: bool,
    /// Block of each row: its prompt, or its cluster of near-duplicate prompts.
    pub block: Vec<i32>,
    /// Number of response tokens.
    pub tokens: Option<Vec<f64>>,
    /// log P of the response, in nats.
    pub logprob: Option<Vec<f64>>,
    /// log-probability of the response under the policy that sampled it, in nats.
    pub logq: Option<Vec<f64>>,
    /// Values.
    pub values: Vec<Value>,
    /// Constitutions.
    pub judged: Vec<Judged>,
}

/// The unchecked parts of a [`Problem`].
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Prompt of each row.
    pub prompt: Vec<i32>,
    /// Whether the prompts are unknown; `prompt` then only numbers the rows.
    pub ungrouped: bool,
    /// Block of each row; `None` uses the prompt.
    pub block: Option<Vec<i32>>,
    /// Number of response tokens.
    pub tokens: Option<Vec<f64>>,
    /// log P of the response.
    pub logprob: Option<Vec<f64>>,
    /// log q of the response.
    pub logq: Option<Vec<f64>>,
    /// Values by name.
    pub values: Vec<Value>,
    /// Constitutions. One may appear twice: with forced choices, and with scores, which are then reported beside them
    /// as a separate estimator.
    pub judged: Vec<RawChoices>,
}

impl Problem {
    /// Checks lengths, indices and finiteness, and fits rewards to the choices.
    ///
    /// Blocks that share a prompt are merged.
    ///
    /// # Errors
    /// `Invalid` for columns of unequal length, indices out of range, pairs across prompts or numbers
    /// that are not finite; [`Kind::NotEstimable`] without any value.
    pub fn new(parts: Parts) -> Result<Self> {
        let rows = parts.prompt.len();
        let invalid =
            |what: String, expected: String| Diagnostic::new(Kind::Invalid, what).expected(expected);
        let length = |name: &str, n: usize| -> Result<()> {
            if n == rows {
                return Ok(());
            }
            Err(invalid(format!("column `{name}` has {n} rows"), format!("{rows} rows")).into())
        };
        if parts.values.is_empty() {
            return Err(Diagnostic::new(Kind::NotEstimable, "no value to test")
                .expected("labels (`value.NAME`) or preferences (`pair.NAME`)")
                .remedy("add `values` or `preferences` to the data and capture again")
                .into());
        }
        let pairs_ok = |name: &str, pairs: &[(usize, usize)]| -> Result<()> {
            for (i, &(a, b)) in pairs.iter().enumerate() {
                if a >= rows || b >= rows || a == b || parts.prompt[a] != parts.prompt[b] {
                    let what = format!("pair {i} of `{name}` is ({a}, {b})");
                    return Err(
                        invalid(what, format!("two different rows below {rows} of one prompt")).into()
                    );
                }
            }
            Ok(())
        };
        let finite = |name: &str, column: &[f64], gaps: bool| -> Result<()> {
            match column.iter().position(|v| v.is_infinite() || (v.is_nan() && !gaps)) {
                None => Ok(()),
                Some(row) => Err(invalid(
                    format!("`{name}` is {} at row {row}", column[row]),
                    "a finite number".into(),
                )
                .into()),
            }
        };
        if let Some(tokens) = &parts.tokens {
            length("ntok", tokens.len())?;
            finite("ntok", tokens, false)?;
        }
        if let Some(logprob) = &parts.logprob {
            length("logprob", logprob.len())?;
            finite("logprob", logprob, false)?;
        }
        if let Some(logq) = &parts.logq {
            length("logq", logq.len())?;
            finite("logq", logq, false)?;
        }
        for value in &parts.values {
            match &value.labels {
                Labels::Scores(s) => {
                    length(&value.name, s.len())?;
                    finite(&value.name, s, true)?;
                }
                Labels::Preferences(pairs) => pairs_ok(&value.name, pairs)?,
            }
        }
        let block = parts.block.unwrap_or_else(|| parts.prompt.clone());
        length("cluster", block.len())?;
        let block = joined(&parts.prompt, &block);
        let mut judged = Vec::with_capacity(parts.judged.len());
        let paired: HashSet<String> =
            parts.judged.iter().filter(|a| a.mode == Mode::Pairwise).map(|a| a.name.clone()).collect();
        for RawChoices { name, placebo, mode, choices } in parts.judged {
            let beside = mode != Mode::Pairwise && paired.contains(&name);
            let (reward, fit) = match &choices {
                Choices::Pairs { pairs, ab, ba } => {
                    pairs_ok(&name, pairs)?;
                    if ab.len() != pairs.len() || ba.len() != pairs.len() {
                        let what = format!(
                            "`{name}` has {} pairs, {} and {} log-odds",
                            pairs.len(),
                            ab.len(),
                            ba.len()
                        );
                        return Err(invalid(what, "as many of each".into()).into());
                    }
                    finite(&name, ab, false)?;
                    finite(&name, ba, false)?;
                    let debiased: Vec<f64> = ab.iter().zip(ba).map(|(ab, ba)| (ab - ba) / 2.0).collect();
                    let fit = rewards(&parts.prompt, pairs, &debiased);
                    (fit.reward.clone(), Some(fit))
                }
                Choices::Scores(scores) => {
                    length(&name, scores.len())?;
                    finite(&name, scores, true)?;
                    (scores.clone(), None)
                }
            };
            judged.push(Judged { name, placebo, mode, beside, choices, reward, fit });
        }
        Ok(Self {
            prompt: parts.prompt,
            grouped: !parts.ungrouped,
            block,
            tokens: parts.tokens,
            logprob: parts.logprob,
            logq: parts.logq,
            values: parts.values,
            judged,
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.prompt.len()
    }
}

/// Blocks after merging those that share a prompt; a merged block takes the smallest name.
pub(crate) fn joined(prompt: &[i32], block: &[i32]) -> Vec<i32> {
    let mut named = block.to_vec();
    named.sort_unstable();
    named.dedup();
    let at = |b: i32| named.partition_point(|n| *n < b);
    let mut sets = DisjointSets::new(named.len());
    let mut first: HashMap<i32, i32> = HashMap::new();
    for (&p, &b) in prompt.iter().zip(block) {
        sets.join(at(*first.entry(p).or_insert(b)), at(b));
    }
    // Sets are numbered by their smallest member, because names ascend.
    let numbers = sets.numbers();
    let mut smallest: Vec<i32> = Vec::new();
    for (number, name) in numbers.iter().zip(&named) {
        if *number as usize == smallest.len() {
            smallest.push(*name);
        }
    }
    block.iter().map(|&b| smallest[numbers[at(b)] as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_share_a_prompt_become_one() {
        assert_eq!(joined(&[0, 0, 1, 1, 2], &[7, 8, 8, 9, 3]), [7, 7, 7, 7, 3]);
        assert_eq!(joined(&[0, 1, 2], &[5, 5, 6]), [5, 5, 6]);
    }

    #[test]
    fn a_pair_across_prompts_is_refused() {
        let values = vec![Value { name: "v".into(), labels: Labels::Preferences(vec![(0, 1)]) }];
        let parts = Parts { prompt: vec![0, 1], values, ..Parts::default() };
        assert_eq!(Problem::new(parts).expect_err("refused").kind(), Some(Kind::Invalid));
        let none = Parts { prompt: vec![0, 0], ..Parts::default() };
        assert_eq!(Problem::new(none).expect_err("refused").kind(), Some(Kind::NotEstimable));
    }
}
