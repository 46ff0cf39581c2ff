//! A model's judgments under one constitution as labels of a value, in the format of items.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::artifact;
use crate::config::scope::{LogprobOf, StateLayers, Under};
use crate::config::{
    CaptureSettings, DataSettings, JudgeMode, JudgeSettings, JudgeTemplateName, ModelSettings,
};
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::input::name::check_name;
use crate::input::{Constitution, Item, Items, read_items, write};
use crate::model::chat::{Template, TemplateName};
use crate::model::hub::{Downloads, local_data};
use crate::probe::rewards::rewards;
use crate::run::capture::{CaptureOptions, Prepared, records};
use crate::run::judges::Judges;
use crate::run::progress::Progress;
use crate::run::rows::{Answers, Rows};
use crate::source;
use crate::store::Store;
use crate::units::{ByteSize, Layer, LayerList, OneOf};

/// What to label.
#[derive(Debug, Clone)]
pub struct Labelling {
    /// The model that judges.
    pub model: ModelSettings,
    /// The template; `None`: the model's default.
    pub template: Option<TemplateName>,
    /// The items.
    pub data: DataSettings,
    /// The constitution that says what is better.
    pub constitution: Constitution,
    /// Name of the value that the labels are of.
    pub value: String,
    /// Labels of the data to compare with, by the name of their value.
    pub against: Option<String>,
    /// Forced choices, or a score of each response.
    pub mode: JudgeMode,
    /// Judge template; `None`: one that suits model and mode.
    pub judge: Option<JudgeTemplateName>,
    /// Most pairs of a prompt.
    pub max_pairs: Option<usize>,
    /// Memory of the forward pass.
    pub memory: Option<ByteSize>,
    /// Whether labels of a labeller that fails the checks are written.
    pub force: bool,
    /// The file of items to write.
    pub out: PathBuf,
}

/// What was labelled.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Labelled {
    /// Items with a label.
    pub items: usize,
    /// Responses with a label.
    pub responses: usize,
    /// Responses without one.
    pub unlabelled: usize,
    /// Standard deviation of the labels within prompts, in nats of log-odds.
    pub spread: f64,
    /// Pairwise: pairs, and those with the same preference in both orders.
    pub orders: Option<[usize; 2]>,
    /// Pairwise: mean of the log-odds for the first place, in nats.
    pub position_bias: Option<f64>,
    /// Pairwise: residual share of the squared log-odds that no label per response explains.
    pub inconsistency: Option<f64>,
    /// Pointwise: share of responses of which the answer yes is the likelier.
    pub yes: Option<f64>,
    /// Pairs of responses to a prompt with different labels in the data, and those that the new labels order alike.
    pub agreement: Option<[usize; 2]>,
    /// What failed, in words; empty for a labeller that passes.
    pub problems: Vec<String>,
}

/// Judges and writes the items with labels. `downloads` and `progress` receive the progress; finished judgments of an
/// interrupted job are kept beside the file until it is written.
///
/// # Errors
/// Errors of the items, the model and the judge; [`Kind::Invalid`] for a value of which the data have labels already;
/// [`Kind::RunConflict`] for an existing file; [`Kind::NotEstimable`] for a labeller that says the same of every
/// response to a prompt, and, without `force`, for one whose choices do not survive a change of the order.
pub fn label(
    job: &Labelling,
    downloads: &mut dyn Downloads,
    progress: &mut dyn Progress,
) -> Result<Labelled> {
    check_name("the value's name", &job.value)?;
    if job.out.exists() {
        return Err(Diagnostic::new(Kind::RunConflict, "the file exists")
            .at(Place::file(&job.out))
            .expected("a new file for the labelled items")
            .remedy("remove it, or choose another --out")
            .into());
    }
    let items = read_items(&local_data(&job.data.files, downloads)?, &job.data.read)?;
    check(&items, job)?;
    let files = items.files.clone();
    let options = CaptureOptions {
        model: job.model.clone(),
        data: job.data.clone(),
        capture: CaptureSettings {
            template: job.template.clone(),
            layers: LayerList::These(vec![Layer(0)]),
            memory: job.memory,
            under: Under::None,
            logprob: LogprobOf::Bare,
            ..CaptureSettings::default()
        },
        constitutions: vec![job.constitution.clone()],
        bare: true,
    };
    let prepared = Prepared::with_items(items, &options, downloads)?;
    let settings = JudgeSettings {
        modes: vec![job.mode],
        template: job.judge.clone(),
        max_pairs_per_prompt: job.max_pairs,
        layers: StateLayers::None,
    };
    let judges = Judges::new(&settings, &prepared)?;
    let rows = Rows::new(records(&prepared, &prepared.job()?));
    let name = job.out.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let store = Store::open(&job.out.with_file_name(format!(".{name}.shards")))?;
    let answers = judges.answers_from(&prepared, &rows, &store, progress)?;
    let mut found = Labelled::default();
    let labels = match labels(job, &prepared, &rows, &answers, &mut found) {
        Ok(labels) => labels,
        // Its judgments are of no further use; those of a labeller that --force accepts are.
        Err(e) => {
            store.remove()?;
            return Err(e);
        }
    };
    compare(job, &prepared.items.items, &labels, &mut found);
    refuse(job, &found)?;
    let provenance = provenance(job, &prepared, &answers, &files);
    let chat = matches!(prepared.template, Template::Jinja(_));
    let sampled = sampled(&files)?;
    let mut text = String::new();
    for (i, item) in prepared.items.items.iter().enumerate() {
        let of = |r: usize| labels.get(&(i, r)).copied();
        let count = (0..item.responses.len()).filter(|r| of(*r).is_some()).count();
        found.items += usize::from(count > 0);
        found.responses += count;
        found.unlabelled += item.responses.len() - count;
        let mut row = write::item(&labelled(item, &job.value, &of), chat);
        row.insert("labelled".to_owned(), provenance.clone());
        if let Some(source) = sampled.get(&item.id) {
            keep(source, &mut row);
        }
        text += &format!("{}\n", Value::Object(row));
    }
    artifact::write_bytes(&job.out, text.as_bytes())?;
    store.remove()?;
    Ok(found)
}

/// Refuses data in which the value has labels, or that lack those to compare with.
fn check(items: &Items, job: &Labelling) -> Result<()> {
    let names = items.value_names();
    let place = || Place::file(job.data.files.first().cloned().unwrap_or_default());
    if names.contains(job.value.as_str()) {
        return Err(Diagnostic::new(Kind::Invalid, format!("the data have labels of `{}`", job.value))
            .at(place())
            .expected("a name of its own for what a model says")
            .remedy(format!(
                "--value {0}-judged --against {0} writes both and says how far they agree",
                job.value
            ))
            .into());
    }
    match &job.against {
        Some(against) if !names.contains(against.as_str()) => {
            let known: Vec<&str> = names.into_iter().collect();
            Err(Diagnostic::new(Kind::Missing, format!("the data have no labels of `{against}`"))
                .at(place())
                .expected(if known.is_empty() { "labelled data".to_owned() } else { known.join(", ") })
                .into())
        }
        _ => Ok(()),
    }
}

/// Rows of sampled responses, by id: what a row says of how a model gave its responses is kept.
fn sampled(files: &[(PathBuf, String)]) -> Result<BTreeMap<String, Value>> {
    let mut rows = BTreeMap::new();
    for (file, _) in files.iter().filter(|(file, _)| file.extension().is_some_and(|e| e == "jsonl")) {
        let text = source::read_text(file, source::LARGE)?;
        for row in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if let Some(id) = row["id"].as_str().filter(|_| row["sampled"].is_object()) {
                rows.insert(id.to_owned(), row);
            }
        }
    }
    Ok(rows)
}

/// Copies what a row says of how its responses were sampled.
fn keep(source: &Value, row: &mut Map<String, Value>) {
    row.insert("sampled".to_owned(), source["sampled"].clone());
    let theirs = source["responses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let own = row.get_mut("responses").and_then(Value::as_array_mut);
    for (own, theirs) in own.into_iter().flatten().zip(theirs) {
        for key in ["logprob", "tokens", "end"] {
            if let (Some(object), Some(value)) = (own.as_object_mut(), theirs.get(key)) {
                object.insert(key.to_owned(), value.clone());
            }
        }
    }
}

type Labels = BTreeMap<(usize, usize), f64>;

/// Labels by (item, response), and how they came about.
fn labels(
    job: &Labelling,
    prepared: &Prepared,
    rows: &Rows,
    answers: &Answers,
    found: &mut Labelled,
) -> Result<Labels> {
    let index: BTreeMap<&str, usize> =
        prepared.items.items.iter().enumerate().map(|(i, item)| (item.id.as_str(), i)).collect();
    let place_of = |row: usize| {
        let record = &rows.records[row];
        index.get(record.id.as_str()).map(|item| (*item, record.response))
    };
    let prompt: Vec<i32> = (0..rows.records.len())
        .map(|row| place_of(row).map_or(-1, |(item, _)| i32::try_from(item).unwrap_or(-1)))
        .collect();
    let name = &job.constitution.name;
    let by_row = if let Some(given) = answers.judgments.get(name) {
        let debiased = given.debiased().unwrap_or_else(|| given.ab.clone());
        let pairs: Vec<(usize, usize)> = given.pairs.iter().map(|[a, b]| (*a, *b)).collect();
        let fitted = rewards(&prompt, &pairs, &debiased);
        if let Some(ba) = &given.ba {
            let agree = given.ab.iter().zip(ba).filter(|(ab, ba)| *ab * -*ba > 0.0).count();
            found.orders = Some([pairs.len(), agree]);
            let bias: f64 = given.ab.iter().zip(ba).map(|(ab, ba)| (ab + ba) / 2.0).sum();
            found.position_bias = Some(bias / pairs.len().max(1) as f64);
        }
        found.inconsistency = Some(fitted.inconsistency).filter(|i| i.is_finite());
        fitted.reward
    } else {
        let scores = answers.scores.get(name).cloned().unwrap_or_default();
        let said: Vec<f64> = scores.iter().copied().filter(|s| s.is_finite()).collect();
        found.yes = Some(said.iter().filter(|s| **s > 0.0).count() as f64 / said.len().max(1) as f64);
        scores
    };
    let labels: Labels = by_row
        .iter()
        .enumerate()
        .filter(|(_, label)| label.is_finite())
        .filter_map(|(row, label)| Some((place_of(row)?, *label)))
        .collect();
    found.spread = spread(&labels);
    if found.spread == 0.0 || labels.is_empty() {
        return Err(Diagnostic::new(
            Kind::NotEstimable,
            "the labeller says the same of every response to a prompt",
        )
        .at(Place::file(&job.out))
        .expected("labels that differ between the responses to a prompt")
        .found(format!("{} labels with no spread within prompts", labels.len()))
        .remedy("use a larger model, another --mode or judge template, or prompts with several responses")
        .into());
    }
    Ok(labels)
}

/// Standard deviation within prompts: √(Σ (s − mean of its prompt)² / Σ (n − 1)) over prompts with n ≥ 2 labels; 0
/// without any.
fn spread(labels: &Labels) -> f64 {
    let mut by_item: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (&(item, _), &label) in labels {
        by_item.entry(item).or_default().push(label);
    }
    let (mut squares, mut free) = (0.0, 0.0);
    for own in by_item.values().filter(|own| own.len() > 1) {
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        squares += own.iter().map(|s| (s - mean).powi(2)).sum::<f64>();
        free += own.len() as f64 - 1.0;
    }
    if free > 0.0 { (squares / free).sqrt() } else { 0.0 }
}

/// Counts the pairs that the new labels order as those of the data.
fn compare(job: &Labelling, items: &[Item], labels: &Labels, found: &mut Labelled) {
    let Some(against) = &job.against else { return };
    let (mut pairs, mut alike) = (0, 0);
    let mut count = |new: f64, old: f64| {
        if old != 0.0 && new != 0.0 {
            pairs += 1;
            alike += usize::from(new * old > 0.0);
        }
    };
    for (i, item) in items.iter().enumerate() {
        for a in 0..item.responses.len() {
            for b in a + 1..item.responses.len() {
                let old = |r: usize| item.responses[r].values.get(against).copied();
                if let (Some(na), Some(nb), Some(oa), Some(ob)) =
                    (labels.get(&(i, a)), labels.get(&(i, b)), old(a), old(b))
                {
                    count(na - nb, oa - ob);
                }
            }
        }
        for preference in item.preferences.iter().filter(|p| &p.value == against) {
            if let (Some(better), Some(worse)) =
                (labels.get(&(i, preference.better)), labels.get(&(i, preference.worse)))
            {
                count(better - worse, 1.0);
            }
        }
    }
    found.agreement = Some([pairs, alike]);
}

/// One-sided 5 % of the normal distribution.
const CHANCE: f64 = 1.645;

/// How far a share of n lies above one half, in standard deviations of chance.
fn above_half([n, k]: [usize; 2]) -> f64 {
    (k as f64 - n as f64 / 2.0) / (n as f64 / 4.0).sqrt()
}

/// Refuses a labeller whose choices are those of the order.
fn refuse(job: &Labelling, found: &Labelled) -> Result<()> {
    let Some(orders) = found.orders.filter(|orders| above_half(*orders) <= CHANCE) else { return Ok(()) };
    if job.force {
        return Ok(());
    }
    Err(Diagnostic::new(Kind::NotEstimable, "the labeller's choices change with the order of the responses")
        .at(Place::file(&job.out))
        .expected("both orders of a pair to agree more often than chance")
        .found(format!(
            "{} of {} pairs on which they agree, and a bias of {:+.2} nats for the first place",
            orders[1],
            orders[0],
            found.position_bias.unwrap_or(f64::NAN)
        ))
        .remedy("use a larger model, or --mode pointwise; --force writes the labels all the same")
        .into())
}

/// Where the labels come from, as written beside each item.
fn provenance(job: &Labelling, prepared: &Prepared, answers: &Answers, files: &[(PathBuf, String)]) -> Value {
    let identity = &prepared.model.identity;
    let template = ["judge_template", "pointwise_template"].iter().find_map(|key| answers.extra.get(*key));
    json!({
        "value": job.value,
        "model": identity.name,
        "model_sha256": identity.fingerprint(),
        "constitution": job.constitution.name,
        "constitution_sha256": artifact::sha256(job.constitution.text.as_bytes()),
        "mode": job.mode.as_str(),
        "judge_template": template,
        "data_sha256": files.iter().map(|(_, sha256)| sha256).collect::<Vec<_>>(),
    })
}

/// The item with its new labels.
fn labelled(item: &Item, value: &str, of: &dyn Fn(usize) -> Option<f64>) -> Item {
    let mut item = item.clone();
    for (r, response) in item.responses.iter_mut().enumerate() {
        response.values.extend(of(r).map(|label| (value.to_owned(), label)));
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_within_prompts() {
        let labels: Labels =
            [((0, 0), 5.0), ((0, 1), 7.0), ((1, 0), -3.0), ((1, 1), -1.0), ((2, 0), 90.0)].into();
        // Each pair has squares of 2 and one degree of freedom.
        assert!((spread(&labels) - 2f64.sqrt()).abs() < 1e-12);
        assert_eq!(spread(&[((0, 0), 1.0), ((1, 0), 5.0)].into()), 0.0);
    }

    #[test]
    fn chance_is_one_half() {
        assert!(above_half([100, 50]).abs() < 1e-12);
        assert!(above_half([100, 59]) > CHANCE && above_half([100, 58]) < CHANCE);
    }
}
