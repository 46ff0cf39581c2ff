//! Order in which principles are introduced: by sign and attribute, gated on the accuracy of every principle.

use serde::{Deserialize, Serialize};

use super::corpus::{Mix, Weights};
use super::principles::{PRINCIPLES, last_stage};

/// Choices with |c·Δf| above this threshold count.
pub const CLEAR: f64 = 0.3;
/// Accuracy required to introduce the next principles.
const GATE: f64 = 0.8;
/// Averaging window of the running accuracy, in choices.
const MEMORY: f64 = 400.0;

/// Weight of a rule that names no value, relative to 1 for a learned principle: answering "no difference" must be
/// learned as well.
const PLACEBO: f64 = 1.5;

/// Nominal share of documents that judge and name values.
pub const JUDGED: f64 = 0.5;

/// The first 1/`BEFORE_RULES` of the training, in which single replies are marked and nothing is compared yet.
const BEFORE_RULES: usize = 3;

/// State of the curriculum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curriculum {
    /// Total number of training steps.
    pub steps: usize,
    /// Share of replies drawn from the tilted policy.
    pub eta: f64,
    /// Current stage, from 0.
    pub stage: usize,
    /// Step at which the stage started.
    pub since: usize,
    /// Running accuracy on clear choices, by principle.
    pub accuracy: Vec<f64>,
    /// Number of choices counted, by principle.
    pub counted: Vec<usize>,
    /// Stages that ended by timeout rather than by accuracy.
    pub late: Vec<usize>,
}

impl Curriculum {
    /// State before the first step.
    pub fn new(steps: usize, eta: f64) -> Self {
        let n = PRINCIPLES.len();
        Self { steps, eta, stage: 0, since: 0, accuracy: vec![0.5; n], counted: vec![0; n], late: Vec::new() }
    }

    /// Whether the last part has started, in which the corpus has its nominal mixture.
    pub fn nominal(&self, step: usize) -> bool {
        3 * step >= 2 * self.steps
    }

    /// Share of documents that judge and name values: above nominal until the last third.
    pub fn judged(&self, step: usize) -> f64 {
        if self.nominal(step) { JUDGED } else { 0.85 }
    }

    /// Document mixture of a step.
    pub fn mix<'a>(&self, step: usize, emphasis: &'a [f64]) -> Mix<'a> {
        Mix { eta: self.eta, judged: self.judged(step), stage: self.stage, emphasis, tails: 8 }
    }

    /// Weights of the principles: those with lower accuracy are asked more often.
    pub fn emphasis(&self) -> Vec<f64> {
        let weight = |(i, p): (usize, &super::principles::Principle)| {
            if p.prefers.iter().all(|c| *c == 0.0) {
                return PLACEBO;
            }
            let behind = (0.97 - self.accuracy[i]).clamp(0.0, 0.5);
            1.0 + 4.0 * behind
        };
        PRINCIPLES.iter().enumerate().map(weight).collect()
    }

    /// Weights of the loss at a step.
    pub fn weights(&self, step: usize) -> Weights {
        // Lower at first, so that the encoding of a reply is driven by the judgments about it.
        let text = if self.nominal(step) { 1.0 } else { 0.3 };
        Weights { answer: 4.0, text }
    }

    /// Counts a choice.
    pub fn count(&mut self, principle: usize, right: bool) {
        self.counted[principle] += 1;
        let memory = MEMORY.min(self.counted[principle] as f64);
        self.accuracy[principle] += (f64::from(u8::from(right)) - self.accuracy[principle]) / memory;
    }

    /// Ends the stage if its principles are learned, or if it has lasted an eighth of the training.
    pub fn advance(&mut self, step: usize) {
        if self.stage == last_stage() {
            return;
        }
        let of_stage = |i: &usize| PRINCIPLES[*i].stage <= self.stage;
        let learned = (0..PRINCIPLES.len())
            .filter(of_stage)
            .all(|i| self.accuracy[i] > GATE && self.counted[i] > MEMORY as usize / 2);
        let lasted = step - self.since;
        // Before the first rule there are no choices to count.
        let (over, late) = if self.stage == 0 {
            (lasted >= self.steps / BEFORE_RULES, false)
        } else {
            (learned || lasted >= self.steps / 8, !learned)
        };
        if over {
            if late {
                self.late.push(self.stage);
            }
            self.stage += 1;
            self.since = step;
        }
    }

    /// Learning rate: warm-up, constant, then a cosine to 5 % over the last half.
    pub fn rate(&self, step: usize) -> f32 {
        let peak = 2.5e-3;
        let warm = ((step + 1) as f64 / 150.0).min(1.0);
        let half = self.steps as f64 / 2.0;
        let through = ((step as f64 - half) / half).clamp(0.0, 1.0);
        let cosine = 0.05 + 0.95 * (1.0 + (std::f64::consts::PI * through).cos()) / 2.0;
        (peak * warm * cosine) as f32
    }
}
