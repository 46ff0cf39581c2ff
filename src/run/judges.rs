//! The judges of a run: forced choices, questions about single responses, and likelihoods that are already in the
//! capture.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::capture::Job;
use crate::config::{JudgeMode, JudgeSettings, JudgeTemplateName};
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::forest::Request;
use crate::judge::pointwise::{Answer, Questions, questions};
use crate::judge::{Cells, JudgeBatch, JudgeTemplate, Mode, Pair, judge_batch, ring};
use crate::run::capture::Prepared;
use crate::run::hashes;
use crate::run::joined;
use crate::run::judged::Judged;
use crate::run::pairwise::{pairwise, recipe};
use crate::run::progress::Progress;
use crate::run::rows::{Answers, Rows};
use crate::run::scores::{implicit, implicit_into, pointwise};
use crate::store::Store;
use crate::units::{Layer, OneOf};

/// The questions to a judge.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Mode of the judge.
    pub mode: JudgeMode,
    /// Number of layers at which the state at the judge's answers is kept.
    pub layers: usize,
    /// All requests.
    pub requests: Vec<Request>,
    /// Indices of the unanswered requests.
    pub left: Vec<usize>,
}

/// Judges, validated against the model.
#[derive(Debug, Default)]
pub struct Judges {
    pairwise: Option<JudgeTemplate>,
    pointwise: Option<JudgeTemplate>,
    implicit: bool,
    most_pairs: Option<usize>,
    /// Layers at which the state at an answer is kept.
    layers: Vec<Layer>,
}

/// The questions of one judge about the rows of a capture.
pub struct Asked {
    recipe: String,
    batch: Batch,
}

enum Batch {
    Pairs(JudgeBatch),
    Singles(Questions),
}

impl Asked {
    /// Mode of the judge.
    pub fn mode(&self) -> JudgeMode {
        match self.batch {
            Batch::Pairs(_) => JudgeMode::Pairwise,
            Batch::Singles(_) => JudgeMode::Pointwise,
        }
    }

    /// The questions as cells, with the states at `layers`.
    pub fn cells<'a>(&'a self, layers: &'a [Layer]) -> Cells<'a> {
        match &self.batch {
            Batch::Pairs(pairs) => pairs.cells(&self.recipe, layers),
            Batch::Singles(singles) => singles.cells(&self.recipe, layers),
        }
    }

    /// Index of the item that a request is about.
    pub fn item(&self, request: usize) -> usize {
        match &self.batch {
            Batch::Pairs(pairs) => pairs.pairs[request / (2 * pairs.constitutions.max(1))].item,
            Batch::Singles(singles) => singles.answers[request / singles.constitutions.max(1)].item,
        }
    }

    fn into_requests(self) -> Vec<Request> {
        match self.batch {
            Batch::Pairs(pairs) => pairs.requests,
            Batch::Singles(singles) => singles.requests,
        }
    }

    /// Refuses a judge that has nothing to judge.
    ///
    /// # Errors
    /// [`Kind::NotEstimable`].
    pub fn must_ask(&self) -> Result<()> {
        let requests = match &self.batch {
            Batch::Pairs(pairs) => &pairs.requests,
            Batch::Singles(singles) => &singles.requests,
        };
        if !requests.is_empty() {
            return Ok(());
        }
        Err(Diagnostic::new(Kind::NotEstimable, format!("nothing can be judged ({})", self.mode().as_str()))
            .expected("prompts with two responses that fit the model's context with the judge's question")
            .remedy("use a shorter judge template, shorter items, or a model with a longer context")
            .into())
    }
}

impl Judges {
    /// The judges of these modes. A named template serves the mode that it is written for; without modes it determines
    /// the mode, and without either, forced choices are used.
    ///
    /// # Errors
    /// `Invalid` for a template of a mode that is not requested, or for two kinds of scores, since observations hold
    /// one; errors of the template.
    pub fn new(settings: &JudgeSettings, prepared: &Prepared) -> Result<Self> {
        let JudgeSettings { modes, template, max_pairs_per_prompt, layers } = settings;
        let model = &prepared.model;
        let find = |name: &JudgeTemplateName| JudgeTemplate::find(Some(&name.name()), model);
        let mut named = template.as_ref().map(find).transpose()?;
        let own = |t: &JudgeTemplate| match t.mode {
            Mode::Pairwise => JudgeMode::Pairwise,
            Mode::Pointwise => JudgeMode::Pointwise,
        };
        let default = [named.as_ref().map_or(JudgeMode::Pairwise, own)];
        let modes = if modes.is_empty() { &default[..] } else { &modes[..] };
        if let Some(named) = named.as_ref().filter(|t| !modes.contains(&own(t))) {
            return Err(Diagnostic::new(Kind::Invalid, "the judge template is for a mode that is not asked")
                .at(Place::file(&named.path))
                .expected(format!(
                    "one of {}",
                    modes.iter().map(|m| m.as_str()).collect::<Vec<_>>().join(", ")
                ))
                .found(own(named).as_str())
                .remedy("choose another template, or its mode")
                .into());
        }
        if modes.contains(&JudgeMode::Pointwise) && modes.contains(&JudgeMode::Implicit) {
            return Err(Diagnostic::new(Kind::Invalid, "two kinds of scores at once")
                .expected("pairwise and one of pointwise and implicit")
                .remedy("judge twice, into two folders")
                .into());
        }
        if modes.contains(&JudgeMode::Implicit) {
            prepared.supports_likelihoods()?;
        }
        let mut of = |mode: Mode, asked: JudgeMode| -> Result<Option<JudgeTemplate>> {
            if !modes.contains(&asked) {
                return Ok(None);
            }
            match named.take_if(|t| t.mode == mode) {
                Some(template) => Ok(Some(template)),
                None => JudgeTemplate::of_mode(mode, model).map(Some),
            }
        };
        Ok(Self {
            pairwise: of(Mode::Pairwise, JudgeMode::Pairwise)?,
            pointwise: of(Mode::Pointwise, JudgeMode::Pointwise)?,
            implicit: modes.contains(&JudgeMode::Implicit),
            most_pairs: *max_pairs_per_prompt,
            layers: layers.among(&prepared.settings.layers)?,
        })
    }

    /// Whether any judge uses the likelihood of responses under constitutions.
    pub fn implicit(&self) -> bool {
        self.implicit
    }

    /// Everything that determines their results, for the manifest.
    pub fn describe(&self) -> Value {
        let Self { pairwise, pointwise, implicit, most_pairs, layers } = self;
        let sha256 = |t: &Option<JudgeTemplate>| t.as_ref().map(|t| t.sha256.clone());
        json!({
            "pairwise": sha256(pairwise),
            "pointwise": sha256(pointwise),
            "implicit": implicit,
            "max_pairs_per_prompt": most_pairs,
            "layers": layers,
        })
    }

    /// Layers at which the state at an answer is kept.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The questions of the judges that need the model about the rows of a capture, as in [`Judges::ask_into`].
    ///
    /// # Errors
    /// Errors of the templates.
    pub fn questions(&self, prepared: &Prepared, job: &Job) -> Result<Vec<Asked>> {
        let reference = job.rows.first().map_or(0, |row| row.constitution);
        let mut there: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for row in job.rows.iter().filter(|row| row.constitution == reference) {
            there.entry(row.item).or_default().push(row.response);
        }
        let (items, constitutions) = (&prepared.items.items, prepared.judged());
        let (chat, skip) = (&prepared.template, prepared.skips_bad());
        let mut out = Vec::new();
        if let Some(template) = &self.pairwise {
            let most = self.most_pairs.unwrap_or(usize::MAX);
            let pairs: Vec<Pair> =
                there.iter().flat_map(|(&item, own)| ring(item, own).into_iter().take(most)).collect();
            let asked = judge_batch(&prepared.model, template, chat, items, &constitutions, &pairs, skip)?;
            out.push(Asked { recipe: recipe(prepared, template), batch: Batch::Pairs(asked) });
        }
        if let Some(template) = &self.pointwise {
            let of = |(&item, own): (&usize, &Vec<usize>)| {
                own.iter().map(|&response| Answer { item, response }).collect::<Vec<_>>()
            };
            let answers: Vec<Answer> = there.iter().flat_map(of).collect();
            let asked = questions(&prepared.model, template, chat, items, &constitutions, &answers, skip)?;
            out.push(Asked { recipe: recipe(prepared, template), batch: Batch::Singles(asked) });
        }
        Ok(out)
    }

    /// Their requests for the rows of a capture, by judge, and those not answered by the shards in a folder.
    ///
    /// # Errors
    /// Errors of the templates; [`Kind::NotEstimable`] for a judge that has nothing to judge.
    pub fn requests(&self, prepared: &Prepared, job: &Job, shards: &Path) -> Result<Vec<Planned>> {
        let asked = self.questions(prepared, job)?.into_iter();
        let planned = asked.map(|asked| {
            asked.must_ask()?;
            let left = asked.cells(&self.layers).outstanding(shards);
            Ok(Planned {
                mode: asked.mode(),
                layers: self.layers.len(),
                requests: asked.into_requests(),
                left,
            })
        });
        planned.collect()
    }

    /// Asks all judges about the observations in `out`, one after the other, and adds their answers.
    ///
    /// # Errors
    /// Errors of the judges. The store keeps every finished shard.
    pub fn ask_into(
        &self,
        prepared: &Prepared,
        store: &Store,
        out: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Judged>> {
        let rows = Rows::read(out)?;
        let constitutions = serde_json::json!(joined::check(prepared, &rows, out)?).to_string();
        let mut done = Vec::new();
        self.ask(prepared, &rows, store, Some(out), progress, &mut |mut answers| {
            answers.extra.insert(hashes::CONSTITUTIONS.to_owned(), constitutions.clone());
            done.push(answers.append(out)?);
            Ok(())
        })?;
        if self.implicit {
            let names: Vec<&str> = prepared.judged().iter().map(|c| c.name.as_str()).collect();
            done.push(implicit_into(&names, out)?);
        }
        Ok(done)
    }

    /// Asks the judges that need the model, one after the other; `done` receives the answers of each.
    fn ask(
        &self,
        prepared: &Prepared,
        rows: &Rows,
        store: &Store,
        out: Option<&Path>,
        progress: &mut dyn Progress,
        done: &mut dyn FnMut(Answers) -> Result<()>,
    ) -> Result<()> {
        if let Some(template) = &self.pairwise {
            let most = self.most_pairs;
            done(pairwise(prepared, template, most, &self.layers, rows, store, out, progress)?)?;
        }
        if let Some(template) = &self.pointwise {
            done(pointwise(prepared, template, &self.layers, rows, store, out, progress)?)?;
        }
        Ok(())
    }

    /// Asks the only judge, which needs the model, about rows in memory; the store keeps every finished shard.
    ///
    /// # Errors
    /// Errors of the judge; [`Kind::Missing`] without one that needs the model.
    pub fn answers_from(
        &self,
        prepared: &Prepared,
        rows: &Rows,
        store: &Store,
        progress: &mut dyn Progress,
    ) -> Result<Answers> {
        let mut given = None;
        self.ask(prepared, rows, store, None, progress, &mut |answers| {
            given = Some(answers);
            Ok(())
        })?;
        given.ok_or_else(|| Diagnostic::new(Kind::Missing, "no judge that asks the model").into())
    }

    /// Asks all judges about rows in memory; the states at their answers are not kept. `logprob` is by row.
    ///
    /// # Errors
    /// Errors of the judges.
    pub fn answers(
        &self,
        prepared: &Prepared,
        rows: &Rows,
        logprob: Option<&[f64]>,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Answers>> {
        let mut all = Vec::new();
        self.ask(prepared, rows, &Store::in_memory(), None, progress, &mut |answers| {
            all.push(answers);
            Ok(())
        })?;
        if self.implicit {
            let names: Vec<&str> = prepared.judged().iter().map(|c| c.name.as_str()).collect();
            all.push(implicit(&names, rows, logprob, &Place::default())?);
        }
        Ok(all)
    }
}
