//! Effect of an intervention on the difference between better and worse responses to a prompt, against random
//! directions.
//!
//! For a value, every pair of responses to a prompt with different labels (or every preference) is a comparison. For a
//! quantity y_r of response r (log P in nats), the effect on prompt p is the mean over its comparisons of (y_better −
//! y_worse) with the intervention minus the same without it; the estimate is the mean over prompts, with its error over
//! blocks. Random directions give the null distribution of the effect, and the p-value is its rank: (1 + #{|random| ≥
//! |effect|}) / (1 + number of random directions), two-sided.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::random::Law;
use crate::document::Document;
use crate::document::table::Table;
use crate::theory::base::dominant::{Largest, percent};
use crate::theory::base::mean::mean_by_block;
use crate::theory::reading::quote::{number, optional, p, with_interval};
use crate::theory::{Estimate, Labels, Quantity};

/// A pair of a better and a worse response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// Block number of the prompt.
    pub block: i32,
    /// Prompt number.
    pub prompt: i32,
    /// Row of the better response.
    pub better: usize,
    /// Row of the worse response.
    pub worse: usize,
}

/// All comparisons implied by the labels. `prompt` and `block` have one entry per row.
pub fn comparisons(labels: &Labels, prompt: &[i32], block: &[i32]) -> Vec<Comparison> {
    let pair = |better: usize, worse: usize| Comparison {
        block: block[better],
        prompt: prompt[better],
        better,
        worse,
    };
    match labels {
        Labels::Preferences(pairs) => pairs.iter().map(|&(b, w)| pair(b, w)).collect(),
        Labels::Scores(s) => {
            let mut prompts: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
            for row in (0..prompt.len()).filter(|&r| s[r].is_finite()) {
                prompts.entry(prompt[row]).or_default().push(row);
            }
            let mut out = Vec::new();
            for rows in prompts.values() {
                for (i, &a) in rows.iter().enumerate() {
                    for &b in &rows[i + 1..] {
                        if s[a] > s[b] {
                            out.push(pair(a, b));
                        } else if s[b] > s[a] {
                            out.push(pair(b, a));
                        }
                    }
                }
            }
            out
        }
    }
}

/// A mean over prompts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// Its standard error over blocks.
    pub se: f64,
    /// Its 95 % interval.
    pub interval: (f64, f64),
    /// Number of comparisons.
    pub n: usize,
    /// Number of blocks.
    pub blocks: usize,
}

/// Mean over prompts of the mean of `change` over a prompt's comparisons; comparisons without a value are skipped.
/// `None` if none remain.
pub fn mean(comparisons: &[Comparison], change: impl Fn(&Comparison) -> Option<f64>) -> Option<Mean> {
    let mut prompts: BTreeMap<(i32, i32), (f64, usize)> = BTreeMap::new();
    for c in comparisons {
        if let Some(x) = change(c) {
            let cell = prompts.entry((c.block, c.prompt)).or_default();
            *cell = (cell.0 + x, cell.1 + 1);
        }
    }
    let n = prompts.values().map(|(_, n)| n).sum();
    let cells = prompts.iter().map(|((block, _), (sum, n))| (*block, sum / *n as f64));
    let found = mean_by_block(cells)?;
    Some(Mean { value: found.mean, se: found.se, interval: found.interval(), n, blocks: found.blocks() })
}

/// Effects of random directions of equal length.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Null {
    /// Distribution of the random directions.
    pub law: Law,
    /// Effect of each random direction.
    pub effects: Vec<f64>,
    /// Root mean square of the effects.
    pub rms: f64,
    /// Rank of the direction's effect among the random ones, two-sided p-value.
    pub p: f64,
}

impl Null {
    /// Compares an effect with those of random directions; `None` without any.
    pub fn new(law: Law, effect: f64, effects: Vec<f64>) -> Option<Self> {
        let n = effects.len() as f64;
        let reached = effects.iter().filter(|e| e.abs() >= effect.abs()).count() as f64;
        let rms = (effects.iter().map(|e| e * e).sum::<f64>() / n).sqrt();
        (!effects.is_empty()).then_some(Self { law, effects, rms, p: (1.0 + reached) / (1.0 + n) })
    }

    fn largest(&self) -> f64 {
        self.effects.iter().fold(0.0, |most, e| f64::max(most, e.abs()))
    }
}

/// One measured effect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// The change, with its interval.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// Mean difference, better minus worse, without the intervention.
    pub before: Option<f64>,
    /// Comparisons with random directions, per law.
    pub random: Vec<Null>,
    /// The change caused by the direction without its dominant coordinates, at equal length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_coordinate: Option<Estimate>,
}

/// Estimate of a change; `change` is `None` if the data contain no comparison.
pub fn estimate(quantity: Quantity, what: &str, change: Option<Mean>) -> Estimate {
    let Some(m) = change else {
        return Estimate::missing(quantity, "no prompt has two responses of which one is better");
    };
    let mut e = Estimate::figure(quantity, what, m.value, m.se, m.interval);
    (e.n, e.blocks) = (Some(m.n), Some(m.blocks));
    e
}

/// Settings and results of an intervention.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Steered {
    /// Format name, `vstar-steer/1`.
    pub format: &'static str,
    /// Name of the model.
    pub model: String,
    /// The direction as given by the user.
    pub direction: String,
    /// `add` or `ablate`.
    pub action: &'static str,
    /// α, for `add`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// Unit of α: `rms` or `norm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<&'static str>,
    /// Affected tokens: `all`, or those of the `response`.
    pub tokens: &'static str,
    /// Layers, with the length of the added vector and √(mean ‖h‖²) of the responses there.
    pub layers: Vec<Layered>,
    /// Number of random directions per law.
    pub random: usize,
    /// Seed of the random directions.
    pub seed: u64,
    /// Measured effects.
    pub outcomes: Vec<Outcome>,
    /// Change of log P per token over all responses, better or worse: how much the intervention disturbs the model.
    pub disturbance: Option<Disturbance>,
    /// Warnings for the reader.
    pub warnings: Vec<String>,
}

/// One layer of an intervention.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Layered {
    /// Index of the layer.
    pub layer: crate::units::Layer,
    /// ‖α v‖; absent for an ablation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<f64>,
    /// √(mean over responses of ‖h‖²) without the intervention, h pooled over the response's tokens.
    pub rms: f64,
    /// The coordinate with the largest share of ‖v‖².
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction_coordinate: Option<Largest>,
    /// The coordinate with the largest share of the mean of ‖h‖².
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_coordinate: Option<Largest>,
}

impl Layered {
    /// Notes on a coordinate that dominates the direction, or the unit in which its length is measured.
    fn notes(&self, in_rms: bool) -> Vec<String> {
        let mut out = Vec::new();
        if let Some(c) = self.direction_coordinate.filter(Largest::dominates) {
            out.push(format!(
                "layer {}: coordinate {} holds {} of the direction's squared length; the rest of it is moved by {} \
                 of the length that is given",
                self.layer,
                c.index,
                percent(c.share),
                percent((1.0 - c.share).max(0.0).sqrt())
            ));
        }
        if let Some(c) = self.stream_coordinate.filter(|c| in_rms && c.dominates()) {
            out.push(format!(
                "layer {}: coordinate {} holds {} of the mean of ‖h‖², which --scale rms measures by; without it the \
                 RMS length is {}",
                self.layer,
                c.index,
                percent(c.share),
                number(self.rms * (1.0 - c.share).max(0.0).sqrt(), None)
            ));
        }
        out
    }
}

/// Mean change of log P per token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Disturbance {
    /// Mean change, in nats per token.
    pub mean: f64,
    /// Lower end of the 95 % interval.
    pub lo: f64,
    /// Upper end of the 95 % interval.
    pub hi: f64,
    /// Root mean square of the mean change over the random directions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_rms: Option<f64>,
}

impl Steered {
    /// Describes the intervention.
    fn done(&self) -> String {
        let layers: Vec<String> = self.layers.iter().map(|l| l.layer.to_string()).collect();
        let place = match &layers[..] {
            [one] => format!("at layer {one}"),
            many => format!("at layers {}", many.join(", ")),
        };
        match (self.alpha, self.scale) {
            (Some(alpha), Some("rms")) => {
                format!("adding {alpha} × the residual stream's RMS length along {} {place}", self.direction)
            }
            (Some(alpha), _) => format!("adding {alpha} × {} {place}", self.direction),
            (None, _) => format!("projecting {} out {place}", self.direction),
        }
    }

    /// Renders the page.
    pub fn page(&self) -> Document {
        let mut rows = Vec::new();
        for o in &self.outcomes {
            let e = &o.estimate;
            let mut row = vec![
                match e.quantity {
                    Quantity::SteerJudge => format!("judge's log-odds under {}", text(&e.constitution)),
                    _ => "log P, nats".to_owned(),
                },
                text(&e.value),
                optional(o.before, e.se),
                with_interval(e),
            ];
            for law in [Law::Isotropic, Law::Covariance] {
                let null = o.random.iter().find(|n| n.law == law);
                row.push(optional(null.map(|n| n.rms), None));
                row.push(p(null.map(|n| n.p)));
            }
            row.push(e.n.map_or_else(|| "–".to_owned(), |n| n.to_string()));
            rows.push(row);
        }
        let head = [
            "better − worse",
            "value",
            "without",
            "change [95 %]",
            "random rms",
            "p",
            "random (cov. of h) rms",
            "p",
            "n",
        ];
        let mut notes = vec![
            "change: mean over prompts of (better − worse) with the intervention less the same without it; intervals \
             over blocks of prompts"
                .to_owned(),
            format!(
                "p: rank among {} random directions of equal length, two-sided; the least they can give is {:.2}",
                self.random,
                1.0 / (1.0 + self.random as f64)
            ),
        ];
        if let Some(d) = &self.disturbance {
            let random =
                d.random_rms.map_or_else(String::new, |r| format!(" (random directions: {r:.3} rms)"));
            notes.push(format!(
                "log P of all responses, better or worse, changed by {:.3} [{:.3}, {:.3}] nats a token{random}",
                d.mean, d.lo, d.hi
            ));
        }
        for l in &self.layers {
            let length = l.length.map_or_else(String::new, |v| format!("; added: {v:.3}"));
            notes.push(format!("layer {}: RMS length of h {:.3}{length}", l.layer, l.rms));
            notes.extend(l.notes(self.scale == Some("rms")));
        }
        notes.extend(self.warnings.iter().cloned());
        Document::of_finding(
            format!("{}: {}", self.model, self.done()),
            self.finding(),
            vec![("Effects".to_owned(), Table::of(head, 2, rows))],
            notes,
        )
    }

    /// Summary of the results, one sentence per outcome.
    fn finding(&self) -> String {
        let dominated = self.layers.iter().filter_map(|l| {
            let c = l.direction_coordinate.filter(Largest::dominates)?;
            Some(format!(
                "Coordinate {} holds {} of the squared length of the direction at layer {}: what follows is mostly \
                 the effect of that coordinate.",
                c.index,
                percent(c.share),
                l.layer
            ))
        });
        let sentences: Vec<String> =
            dominated.chain(self.outcomes.iter().map(|o| self.sentence(o))).collect();
        sentences.join(" ")
    }

    fn sentence(&self, o: &Outcome) -> String {
        let e = &o.estimate;
        let what = match e.quantity {
            Quantity::SteerJudge => format!("the judge's log-odds under {}", text(&e.constitution)),
            _ => "log P".to_owned(),
        };
        let value = text(&e.value);
        let (Some(effect), Some(lo), Some(hi)) = (e.estimate, e.lo, e.hi) else {
            return format!("Nothing can be said on {what} ({value}): {}.", e.warnings.join("; "));
        };
        let excludes = lo > 0.0 || hi < 0.0;
        let direction = if effect > 0.0 { "towards" } else { "away from" };
        let most = o.random.iter().map(Null::largest).fold(0.0, f64::max);
        let tried: usize = o.random.iter().map(|n| n.effects.len()).sum();
        let within: Vec<&str> = o.random.iter().filter(|n| n.p >= 0.05).map(|n| n.law.as_str()).collect();
        let verdict = if !excludes {
            "which cannot be told from no change".to_owned()
        } else if o.random.is_empty() {
            "random directions were not tried".to_owned()
        } else if effect.abs() > most {
            format!(
                "more than any of {tried} random directions of equal length (largest {})",
                number(most, e.se)
            )
        } else if within.is_empty() {
            "more than all but a few random directions of equal length".to_owned()
        } else {
            format!("no more than random directions of equal length may do ({})", within.join(", "))
        };
        let mut done = self.done();
        if let Some(first) = done.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let rest =
            o.without_coordinate.as_ref().filter(|r| r.estimate.is_some()).map_or_else(String::new, |rest| {
                format!(" The rest of the direction, at equal length, moved it by {}.", with_interval(rest))
            });
        format!(
            "{done} moved {what} {direction} the better responses ({value}) by {}, {verdict}.{rest}",
            with_interval(e)
        )
    }

    /// Contents of `steer.json`.
    pub fn to_json(&self) -> serde_json::Value {
        json!(self)
    }
}

fn text(name: &Option<String>) -> String {
    name.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_counts_once_however_many_pairs_it_has() {
        let prompt = [0, 0, 0, 1, 1];
        let labels = Labels::Scores(vec![2.0, 1.0, 0.0, 1.0, 0.0]);
        let cs = comparisons(&labels, &prompt, &prompt);
        assert_eq!(cs.len(), 4);
        // 3 for each pair of prompt 0, 1 for the pair of prompt 1: the mean over prompts is 2.
        let m = mean(&cs, |c| Some(if c.prompt == 0 { 3.0 } else { 1.0 })).expect("a mean");
        assert_eq!((m.value, m.n, m.blocks), (2.0, 4, 2));
        assert!((m.se - 1.0).abs() < 1e-12);
    }

    #[test]
    fn ties_and_missing_labels_compare_nothing() {
        let labels = Labels::Scores(vec![1.0, 1.0, f64::NAN, 0.0]);
        let cs = comparisons(&labels, &[0, 0, 0, 1], &[0, 0, 0, 1]);
        assert!(cs.is_empty() && mean(&cs, |_| Some(1.0)).is_none());
        let e = estimate(Quantity::SteerLogprob, "method", None);
        assert!(e.estimate.is_none() && !e.reportable);
    }

    #[test]
    fn a_page_says_first_that_one_coordinate_is_steered_and_says_nothing_where_none_dominates() {
        let page = |direction: &[f64], stream: f64| {
            let layer = crate::units::Layer(5);
            let estimate = |value: f64| {
                Estimate::figure(Quantity::SteerLogprob, "m", value, 0.1, (value - 0.2, value + 0.2))
            };
            let largest = Largest::coordinate(direction);
            let dominated = largest.is_some_and(|l| l.dominates());
            let steered = Steered {
                format: "vstar-steer/1",
                model: "m".to_owned(),
                direction: "d:refusal".to_owned(),
                action: "add",
                alpha: Some(1.0),
                scale: Some("rms"),
                tokens: "all",
                layers: vec![Layered {
                    layer,
                    length: Some(2.0),
                    rms: 2.0,
                    direction_coordinate: largest,
                    stream_coordinate: Some(Largest { index: 9, share: stream, of: 64 }),
                }],
                random: 0,
                seed: 0,
                outcomes: vec![Outcome {
                    estimate: estimate(0.9),
                    before: Some(0.0),
                    random: Vec::new(),
                    without_coordinate: dominated.then(|| estimate(0.1)),
                }],
                disturbance: None,
                warnings: Vec::new(),
            };
            steered.page().to_markdown()
        };
        let level: Vec<f64> = (0..64).map(|i| f64::from(i % 7) - 3.0).collect();
        let text = page(&level, 0.1);
        assert!(!text.contains("oordinate"), "{text}");
        let mut massive = level;
        massive[17] = 60.0;
        let text = page(&massive, 0.1);
        let (first, effect) = (text.find("Coordinate 17 holds 93 %"), text.find("moved log P"));
        assert!(first.zip(effect).is_some_and(|(a, b)| a < b), "{text}");
        assert!(text.contains("The rest of the direction, at equal length, moved it by 0.10"), "{text}");
        assert!(!text.contains("coordinate 9"), "{text}");
        assert!(page(&massive, 0.64).contains("coordinate 9 holds 64 %"));
        assert!(page(&massive, 0.64).contains("without it the RMS length is 1.2"));
    }

    #[test]
    fn the_p_value_is_the_rank() {
        let null = |effect| Null::new(Law::Isotropic, effect, vec![0.1, -0.5, 0.2]).expect("a null").p;
        assert_eq!((null(1.0), null(-0.3), null(0.0)), (0.25, 0.5, 1.0));
        assert!(Null::new(Law::Isotropic, 1.0, Vec::new()).is_none());
    }
}
