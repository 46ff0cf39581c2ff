//! Did training change the values? Replies of a policy before and after, to the same prompts: how every score of them
//! changed, and how far the policies diverge.

pub mod change;
mod page;
mod side;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::artifact;
use crate::config::scope::{LogprobOf, Under};
use crate::config::{CaptureSettings, DataSettings, JudgeMode, ModelSettings};
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::fit::named::Named;
use crate::generation::Choice;
use crate::generation::batches::Size;
use crate::input::{Constitution, ReadOptions, cluster};
use crate::model::chat::TemplateName;
use crate::model::hub::Downloads;
use crate::run::capture::{CaptureOptions, Prepared, captured};
use crate::run::labelling::{self, Labelling};
use crate::run::progress::Progress;
use crate::run::sampling::{self, Sampling};
use crate::units::{Layer, LayerList};
use change::{Change, Figure, Paired, Verdict, change, divergence};
use side::Side;

/// Replies of a policy, or the model that gives them.
#[derive(Debug, Clone)]
pub enum Policy {
    /// A file of items, such as `vstar sample` writes.
    Samples(PathBuf),
    /// A model to sample from.
    Model(Box<ModelSettings>),
}

/// A model that scores every reply on its own.
#[derive(Debug, Clone)]
pub struct Labeller {
    /// The model.
    pub model: ModelSettings,
    /// The constitution that says what is better.
    pub constitution: Constitution,
    /// Name of the score.
    pub value: String,
}

/// What to verify.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The policy before.
    pub before: Policy,
    /// The policy after.
    pub after: Policy,
    /// The model before, which reads the replies of both sides, if `before` is a file; `None`: neither probes nor the
    /// divergence.
    pub reader: Option<ModelSettings>,
    /// Template of the models; `None`: their default.
    pub template: Option<TemplateName>,
    /// Prompts, for policies that are models.
    pub data: Vec<PathBuf>,
    /// Most prompts of a file.
    pub limit: Option<usize>,
    /// Replies to each prompt, and their greatest length.
    pub size: Size,
    /// Seed of the samples before; the one after is another.
    pub seed: u64,
    /// Directions in the model before, `RUN:v_star.VALUE`: the score of a reply is h · v.
    pub probes: Vec<String>,
    /// A model that scores the replies.
    pub labeller: Option<Labeller>,
    /// Folder for samples and findings.
    pub out: PathBuf,
}

/// How replies were scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Scored {
    /// By labels in the data, of people or of an oracle.
    Labels,
    /// By a model's judgments.
    Judgments {
        /// The model.
        model: String,
    },
    /// By a direction in the residual stream of the model before.
    Probe {
        /// The direction, as given.
        direction: String,
        /// The layer.
        layer: Layer,
    },
    /// By the number of tokens.
    Length,
}

/// The change of one score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Name of the value.
    pub value: String,
    /// How replies were scored.
    pub scored: Scored,
    /// The change.
    #[serde(flatten)]
    pub change: Change,
    /// What its interval says.
    pub verdict: Verdict,
    /// The change as a share of the largest first-order change at the divergence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_largest: Option<f64>,
}

/// Findings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verified {
    /// Format name, `vstar-verify/1`.
    pub format: &'static str,
    /// Files of the replies before and after.
    pub files: [PathBuf; 2],
    /// Prompts with replies on both sides.
    pub prompts: usize,
    /// Replies to them before and after.
    pub replies: [usize; 2],
    /// Divergence of the policy after from that before, in nats a reply.
    pub kl: Option<Figure>,
    /// Replies after that are left out of the divergence, because their text is read as other tokens than were generated.
    pub reread: usize,
    /// Changes of the scores.
    pub changes: Vec<Row>,
    /// What the reader should know.
    pub warnings: Vec<String>,
}

/// Samples what is missing, scores, compares, and writes `verify.json` and `verify.md`.
///
/// # Errors
/// [`Kind::RunConflict`] for sides without a common prompt, or samples of another job in the folder; [`Kind::Missing`]
/// for a probe without the model that it is in; errors of the models and the files.
pub fn verify(
    job: &Verification,
    downloads: &mut dyn Downloads,
    progress: &mut dyn Progress,
) -> Result<Verified> {
    let probes = job.probes.iter().map(|spec| Named::read(spec)).collect::<Result<Vec<_>>>()?;
    let reader = match (&job.before, &job.reader) {
        (Policy::Model(model), _) => Some(model.as_ref().clone()),
        (Policy::Samples(_), reader) => reader.clone(),
    };
    if reader.is_none() && !probes.is_empty() {
        return Err(Diagnostic::new(Kind::Missing, "a probe without the model that it is in")
            .expected("--model MODEL, the model before")
            .into());
    }
    // Another seed: the same draws on both sides would correlate the replies of equal policies.
    let before = replies(job, &job.before, "before", job.seed, downloads, progress)?;
    let after = replies(job, &job.after, "after", job.seed.wrapping_add(1), downloads, progress)?;
    let labelled = [
        scored(job, &before, "before", downloads, progress)?,
        scored(job, &after, "after", downloads, progress)?,
    ];
    let files = [before, after];
    let sides = [Side::read(&files[0], &labelled[0])?, Side::read(&files[1], &labelled[1])?];
    let matched = sides[0].matched(&sides[1])?;
    let blocks = cluster(&sides[0].items).of_item;
    let mut found = Verified {
        format: "vstar-verify/1",
        files,
        prompts: matched.len(),
        replies: [0, 1]
            .map(|s| matched.iter().map(|&(b, a)| sides[s].items.items[[b, a][s]].responses.len()).sum()),
        kl: None,
        reread: 0,
        changes: Vec::new(),
        warnings: Vec::new(),
    };
    warn(&sides, &matched, &mut found);
    labels(&sides, &matched, &blocks, &mut found);
    if let Some(reader) = &reader {
        read(job, reader, &probes, &sides, &matched, &blocks, &mut found, downloads, progress)?;
    } else {
        found.warnings.push("no divergence: it needs the model before (--model)".to_owned());
    }
    if found.changes.iter().all(|row| row.scored == Scored::Length) {
        found.warnings.push(
            "no value is scored: give labels in both files, --probe, or --labeller with --constitution"
                .to_owned(),
        );
    }
    if let Some(kl) = found.kl {
        for row in &mut found.changes {
            row.of_largest = row.change.of_largest(kl.estimate);
        }
    }
    let json = serde_json::to_string_pretty(&found).expect("plain data serialises") + "\n";
    let page = found.page().to_markdown();
    artifact::write_together(&job.out, &[("verify.md", page.as_bytes()), ("verify.json", json.as_bytes())])?;
    Ok(found)
}

/// The file of a policy's replies, sampled if need be.
fn replies(
    job: &Verification,
    policy: &Policy,
    name: &str,
    seed: u64,
    downloads: &mut dyn Downloads,
    progress: &mut dyn Progress,
) -> Result<PathBuf> {
    let model = match policy {
        Policy::Samples(file) => return Ok(file.clone()),
        Policy::Model(model) => model.as_ref().clone(),
    };
    if job.data.is_empty() {
        return Err(Diagnostic::new(Kind::Missing, "no prompts to sample replies to")
            .expected("--data FILE, unless both sides are files of samples")
            .into());
    }
    let out = job.out.join(format!("{name}.jsonl"));
    let sampling = Sampling {
        model,
        template: job.template.clone(),
        data: job.data.clone(),
        limit: job.limit,
        constitution: None,
        choice: Choice::OWN,
        size: job.size,
        stop: Vec::new(),
        seed,
        out: out.clone(),
    };
    sampling::sample_unless_there(&sampling, downloads, progress)?;
    Ok(out)
}

/// The file of a side's replies with the labeller's scores, if there is a labeller.
fn scored(
    job: &Verification,
    file: &Path,
    name: &str,
    downloads: &mut dyn Downloads,
    progress: &mut dyn Progress,
) -> Result<PathBuf> {
    let Some(labeller) = &job.labeller else { return Ok(file.to_owned()) };
    let out = job.out.join(format!("{name}.labelled.jsonl"));
    artifact::remove_file(&out)?;
    let labelling = Labelling {
        model: labeller.model.clone(),
        template: job.template.clone(),
        data: DataSettings { files: vec![file.to_owned()], read: ReadOptions::default() },
        constitution: labeller.constitution.clone(),
        value: labeller.value.clone(),
        against: None,
        mode: JudgeMode::Pointwise,
        judge: None,
        max_pairs: None,
        memory: job.size.memory.map(|bytes| crate::units::ByteSize(bytes as u64)),
        force: false,
        out: out.clone(),
    };
    labelling::label(&labelling, downloads, progress)?;
    Ok(out)
}

/// Notes on what the samples are.
fn warn(sides: &[Side; 2], matched: &[(usize, usize)], found: &mut Verified) {
    for (side, name) in sides.iter().zip(["before", "after"]) {
        if !side.own {
            found.warnings.push(format!(
                "the replies {name} are not all samples of the model's own distribution (temperature 1, whole replies): \
                 the divergence is not that of the policies"
            ));
        }
        let alone = side.items.items.len() - matched.len();
        if alone > 0 {
            found.warnings.push(format!("{alone} prompts have replies {name} alone, and are left out"));
        }
    }
}

/// Changes of the labels that both sides have, and of the length.
fn labels(sides: &[Side; 2], matched: &[(usize, usize)], blocks: &[i32], found: &mut Verified) {
    let paired = |score: &dyn Fn(&Side, usize, usize) -> Option<f64>| -> Vec<Paired> {
        let of = |side: &Side, item: usize| -> Vec<f64> {
            (0..side.items.items[item].responses.len()).filter_map(|r| score(side, item, r)).collect()
        };
        matched
            .iter()
            .map(|&(b, a)| Paired { before: of(&sides[0], b), after: of(&sides[1], a), block: blocks[b] })
            .collect()
    };
    let others = sides[1].items.value_names();
    for value in sides[0].items.value_names().into_iter().filter(|v| others.contains(v)) {
        if sides.iter().any(|side| side.relative.iter().any(|v| v == value)) {
            found.warnings.push(format!(
                "labels of {value} compare responses to one prompt with each other (pairwise), and say nothing of a \
                 change: label with --mode pointwise"
            ));
            continue;
        }
        let scores = paired(&|side, item, r| side.items.items[item].responses[r].values.get(value).copied());
        let model = sides.iter().find_map(|side| side.labeller.get(value));
        let scored = model.map_or(Scored::Labels, |model| Scored::Judgments { model: model.clone() });
        push(found, value, scored, &scores);
    }
    let lengths = paired(&|side, item, r| side.log_probs.get(&(item, r)).map(|(_, tokens)| *tokens as f64));
    push(found, "length", Scored::Length, &lengths);
}

fn push(found: &mut Verified, value: &str, scored: Scored, scores: &[Paired]) {
    if let Some(change) = change(scores) {
        let verdict = change.verdict();
        found.changes.push(Row { value: value.to_owned(), scored, change, verdict, of_largest: None });
    }
}

/// Reads the replies of both sides through the model before: scores along the probes, and the divergence.
#[allow(clippy::too_many_arguments)]
fn read(
    job: &Verification,
    reader: &ModelSettings,
    probes: &[Named],
    sides: &[Side; 2],
    matched: &[(usize, usize)],
    blocks: &[i32],
    found: &mut Verified,
    downloads: &mut dyn Downloads,
    progress: &mut dyn Progress,
) -> Result<()> {
    let mut at = Vec::new();
    for probe in probes {
        let Some(layer) = probe.pinned.or(probe.reported) else {
            return Err(Diagnostic::new(Kind::Missing, "nothing says at which layer the probe reads")
                .at(Place::default().id(&probe.spec))
                .expected("RUN:NAME@LAYER, or a report.json beside the directions")
                .into());
        };
        at.push(layer);
    }
    let mut layers: Vec<Layer> = if at.is_empty() { vec![Layer(0)] } else { at.clone() };
    layers.sort_unstable();
    layers.dedup();
    let mut along: Vec<Vec<Paired>> = probes
        .iter()
        .map(|_| {
            let none = |&(b, _): &(usize, usize)| Paired { before: vec![], after: vec![], block: blocks[b] };
            matched.iter().map(none).collect()
        })
        .collect();
    let mut ratios: Vec<(i32, Vec<f64>)> = matched.iter().map(|&(b, _)| (blocks[b], Vec::new())).collect();
    for (s, side) in sides.iter().enumerate() {
        // Only the replies after are needed for the divergence.
        if s == 0 && probes.is_empty() {
            continue;
        }
        let options = CaptureOptions {
            model: reader.clone(),
            data: DataSettings { files: vec![side.file.clone()], read: ReadOptions::default() },
            capture: CaptureSettings {
                template: job.template.clone(),
                layers: LayerList::These(layers.clone()),
                under: Under::None,
                logprob: LogprobOf::Bare,
                ..CaptureSettings::default()
            },
            constitutions: Vec::new(),
            bare: true,
        };
        let prepared = Prepared::with_items(side.items.clone(), &options, downloads)?;
        for probe in probes {
            probe.check_model(&prepared.model.identity)?;
        }
        let capture = prepared.job()?;
        let (_, columns, resid, _) = captured(&prepared, &capture, progress)?;
        for (p, &(b, a)) in matched.iter().enumerate() {
            let item = [b, a][s];
            for (n, row) in capture.rows.iter().enumerate().filter(|(_, row)| row.item == item) {
                for ((probe, layer), scores) in probes.iter().zip(&at).zip(&mut along) {
                    let slot = layers.binary_search(layer).unwrap_or(0);
                    let v = probe.at(*layer)?;
                    let score: f64 = resid
                        .slice(ndarray::s![n, slot, ..])
                        .iter()
                        .zip(&v)
                        .map(|(h, v)| f64::from(*h) * v)
                        .sum();
                    let own = &mut scores[p];
                    if s == 0 { own.before.push(score) } else { own.after.push(score) }
                }
                let span = row.request.response.map_or(0, |span| span.end - span.start);
                let was = columns.logprob.as_ref().map(|l| l[n]);
                if s == 1
                    && let (Some(was), Some(&(now, tokens))) =
                        (was, side.log_probs.get(&(item, row.response)))
                {
                    if tokens == span { ratios[p].1.push(now - was) } else { found.reread += 1 }
                }
            }
        }
    }
    found.kl = divergence(&ratios);
    if found.kl.is_none() {
        found
            .warnings
            .push("no divergence: the replies after have no log P, which `vstar sample` writes".to_owned());
    }
    for ((probe, layer), scores) in probes.iter().zip(at).zip(&along) {
        let value = probe.name.strip_prefix("v_star.").unwrap_or(&probe.name);
        push(found, value, Scored::Probe { direction: probe.spec.clone(), layer }, scores);
    }
    Ok(())
}
