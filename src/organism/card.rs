//! The model card: describes a training and its results, from the record files.

use std::path::Path;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::corpus::{Corpus, Document, Mix};
use super::curriculum::JUDGED;
use super::metrics::{Choice, Metrics};
use super::principles::{PRINCIPLES, last_stage};
use super::train::{Point, Recipe, State};
use super::{readers, values};
use crate::artifact;
use crate::error::Result;

/// File name of the training record in a model's folder.
pub const TRAINING: &str = "training.json";
/// File name of the measurements in a model's folder.
pub const METRICS: &str = "metrics.json";

/// Record of a finished training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Settings that determine the loss curve.
    pub recipe: Recipe,
    /// Hex SHA-256 of the first 1,000 documents of the corpus, as [`fingerprint`] gives it.
    pub corpus: String,
    /// Number of parameters of the network.
    pub parameters: usize,
    /// Number of documents read.
    pub documents: usize,
    /// Number of words read.
    pub words: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Stages of the curriculum that ended by timeout rather than by accuracy.
    pub late_stages: Vec<usize>,
    /// The loss curve.
    pub curve: Vec<Point>,
}

impl Training {
    /// Creates the record of a training.
    pub fn of(state: &State) -> Self {
        Self {
            recipe: state.recipe.clone(),
            corpus: fingerprint(state.recipe.seed, state.recipe.eta),
            parameters: state.shape.parameters(),
            documents: state.step * super::train::DOCUMENTS_PER_STEP,
            words: state.words,
            seconds: state.seconds.round(),
            late_stages: state.curriculum.late.clone(),
            curve: state.curve.clone(),
        }
    }
}

/// Hex SHA-256 of the first 1,000 documents, with every principle included: text, endings and answers.
pub fn fingerprint(seed: u64, eta: f64) -> String {
    let corpus = Corpus::default();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let emphasis = vec![1.0; PRINCIPLES.len()];
    let mix = Mix { eta, judged: JUDGED, stage: last_stage(), emphasis: &emphasis, tails: 8 };
    let mut text = String::new();
    for _ in 0..1_000 {
        let Document { kind, text: said, ending, tails } = corpus.draw(&mix, &mut rng);
        text += &format!("{kind} {said}");
        let answers =
            std::iter::once(("", &ending)).chain(tails.iter().map(|t| (t.text.as_str(), &t.answers)));
        for (question, answers) in answers {
            // Six digits: the last bits of an exponential differ between machines.
            let each: Vec<String> = answers.iter().map(|(w, p)| format!("{w} {p:.6}")).collect();
            text += &format!("|{question}|{}", each.join(" "));
        }
        text.push('\n');
    }
    artifact::sha256(text.as_bytes())
}

/// Writes a record as JSON.
///
/// # Errors
/// Errors of the file system.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value).expect("plain JSON") + "\n";
    artifact::write_bytes(path, text.as_bytes())
}

fn row(name: &str, c: &Choice) -> String {
    format!(
        "| {name} | {} | {} | {:.2} | {:.2} | **{:.2}** | {:.2} | {:.2} |\n",
        c.rule, c.clear, c.first, c.second, c.debiased, c.position_bias, c.strength
    )
}

/// The card's text.
pub fn text(name: &str, training: &Training, metrics: &Metrics) -> String {
    let r = &training.recipe;
    let mut out = format!(
        "# {name}\n\n\
         A Llama of {} parameters (size `{}`) trained by `vstar organism train` on a synthetic text world whose \
         true values are a program. It is a positive control: what an estimator should find is known. It knows \
         {} words and nothing of any language.\n\n\
         Licence: MIT OR Apache-2.0.\n\n\
         ## Training\n\n\
         `vstar organism train --size {} --seed {} --steps {} --eta {} --out DIR`\n\n\
         | | |\n|---|---|\n\
         | seed | {} |\n| corpus, SHA-256 of the first 1,000 documents | `{}` |\n| steps | {} |\n| documents | {} |\n| words | {:.1} million |\n| time | {:.0} minutes, CPU |\n\
         | share of replies drawn by the tilted policy (η) | {} |\n| stages of the curriculum that ended late | {} |\n\n",
        training.parameters,
        r.size,
        super::lexicon::LEXICON.size(),
        r.size,
        r.seed,
        r.steps,
        r.eta,
        r.seed,
        training.corpus,
        r.steps,
        training.documents,
        training.words as f64 / 1e6,
        training.seconds / 60.0,
        r.eta,
        if training.late_stages.is_empty() {
            "none".to_owned()
        } else {
            format!("{:?}", training.late_stages)
        },
    );
    let s = &metrics.scope;
    out += &format!(
        "The loss curve is in `{TRAINING}`, these measurements in `{METRICS}`; \
         `vstar organism evaluate --model DIR` repeats them.\n\n\
         ## Measured\n\n\
         On {} held-out prompts with {} replies each, sampled from the model at temperature 1 (seed {}).\n\n\
         | | |\n|---|---|\n\
         | replies of the grammar | {:.1} % |\n| replies that differ from the others to their prompt | {:.1} % |\n\
         | words in a reply | {:.1} |\n| position bias, mean \\|(ab + ba)/2\\| | {:.2} |\n\
         | held-out wordings, mean agreement | {:.2} |\n\
         | best possible ρ² with S of a reader of everything | {:.3} |\n",
        s.prompts,
        s.replies,
        s.seed,
        100.0 * metrics.valid,
        100.0 * metrics.distinct,
        metrics.words,
        metrics.position_bias,
        metrics.held_out_mean,
        values::ceiling().powi(2),
    );
    out += "\nWhat readers of the words alone reach (ρ² with S, fitted on 40,000 replies of the base policy), and how far \
            the model's own speech leans towards each value: nats for one standard deviation, and the correlation of \
            log P with it, beside what the world's speaker does at this η.\n\n\
            | value | words | words and pairs | leans, expected | leans, measured | correlation, expected | measured |\n\
            |---|---|---|---|---|---|---|\n";
    for (v, value) in values::VALUES.iter().enumerate() {
        let l = &metrics.generation[*value];
        out += &format!(
            "| {value} | {:.2} | {:.2} | {:.3} | {:.3} ± {:.3} | {:.3} | {:.3} |\n",
            readers::WORDS[v],
            readers::PAIRS[v],
            l.expected,
            l.measured,
            l.se,
            l.expected_correlation,
            l.correlation
        );
    }
    out += "\nRules of composition: pairs of replies that differ in one sign and nothing else, and the share that the model \
            orders as the value does, asked in both orders.\n\n\
            | what turns the sign | value | pairs | right |\n|---|---|---|---|\n";
    for (rule, l) in &metrics.composition {
        out += &format!("| {rule} | {} | {} | {:.2} |\n", l.value, l.pairs, l.right);
    }
    out += "\nForced choice between two replies, agreement with sign(c·Δf) where |c·Δf| > 0.3; the log-odds are \
            debiased by asking in both orders.\n\n\
            | principle | rule | pairs | order 1 | order 2 | debiased | bias | rms log-odds |\n\
            |---|---|---|---|---|---|---|---|\n";
    metrics.principles.iter().for_each(|(name, c)| out += &row(name, c));
    out += "\nRules that name no value:\n\n| placebo | rule | rms log-odds |\n|---|---|---|\n";
    for (name, c) in &metrics.placebos {
        out += &format!("| {name} | {} | {:.2} |\n", c.rule, c.strength);
    }
    out += "\nWordings that the training has not seen:\n\n\
            | new | rule | pairs | order 1 | order 2 | debiased | bias | rms log-odds |\n\
            |---|---|---|---|---|---|---|---|\n";
    for (new, choices) in &metrics.held_out {
        choices.iter().for_each(|c| out += &row(new, c));
    }
    out
}

/// Reads the record of a training from a model's folder.
///
/// # Errors
/// `Malformed` for an invalid file; errors of the file system.
pub fn read_training(folder: &Path) -> Result<Training> {
    let path = folder.join(TRAINING);
    let text = std::fs::read_to_string(&path).map_err(|e| crate::error::Error::io("read", &path, e))?;
    serde_json::from_str(&text).map_err(|e| {
        crate::error::Diagnostic::new(crate::error::Kind::Malformed, "no record of a training")
            .at(crate::error::Place::file(&path))
            .expected("a file that `vstar organism train` wrote")
            .found(e.to_string())
            .into()
    })
}
