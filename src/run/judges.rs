//! Which judges are asked, and what became of it: forced choices, questions about one response, and the
//! likelihoods that the capture already holds.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::capture::Job;
use crate::config::{JudgeMode, JudgeSettings, JudgeTemplateName};
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::forest::Request;
use crate::judge::pointwise::{Answer, questions};
use crate::judge::{JudgeTemplate, Mode, Pair, judge_batch, ring};
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

/// What a judge will be asked.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The judge.
    pub mode: JudgeMode,
    /// Number of layers at which the state at its answers is kept.
    pub layers: usize,
    /// Everything.
    pub requests: Vec<Request>,
    /// Numbers of those that are not answered yet.
    pub left: Vec<usize>,
}

/// Judges, checked against the model.
#[derive(Debug, Default)]
pub struct Judges {
    pairwise: Option<JudgeTemplate>,
    pointwise: Option<JudgeTemplate>,
    implicit: bool,
    most_pairs: Option<usize>,
    /// Layers at which the state is kept where an answer is given.
    layers: Vec<Layer>,
}

impl Judges {
    /// The judges of these modes. A template that is named serves the mode it is written in; without modes it
    /// says what is asked, and without either forced choices are.
    ///
    /// # Errors
    /// `Invalid` for a template of a mode that is not asked, or for two kinds of scores, of which observations
    /// hold one; what the template refuses.
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

    /// Whether one reads the likelihood of responses under constitutions.
    pub fn implicit(&self) -> bool {
        self.implicit
    }

    /// What decides their numbers, for the manifest.
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

    /// What they will be asked about the rows of a capture, by judge, which may be nothing; and what of it the shards
    /// in a folder do not answer. As in [`Judges::ask_into`].
    ///
    /// # Errors
    /// What the templates refuse.
    pub fn requests(&self, prepared: &Prepared, job: &Job, shards: &Path) -> Result<Vec<Planned>> {
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
            let left = asked.cells(&recipe(prepared, template), &self.layers).outstanding(shards);
            out.push(Planned {
                mode: JudgeMode::Pairwise,
                layers: self.layers.len(),
                requests: asked.requests,
                left,
            });
        }
        if let Some(template) = &self.pointwise {
            let of = |(&item, own): (&usize, &Vec<usize>)| {
                own.iter().map(|&response| Answer { item, response }).collect::<Vec<_>>()
            };
            let answers: Vec<Answer> = there.iter().flat_map(of).collect();
            let asked = questions(&prepared.model, template, chat, items, &constitutions, &answers, skip)?;
            let left = asked.cells(&recipe(prepared, template), &self.layers).outstanding(shards);
            out.push(Planned {
                mode: JudgeMode::Pointwise,
                layers: self.layers.len(),
                requests: asked.requests,
                left,
            });
        }
        Ok(out)
    }

    /// Asks all of them about the observations in `out`, one after the other, and adds their answers.
    ///
    /// # Errors
    /// What the judges refuse. The store keeps every finished shard.
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

    /// Asks those that need the model, one after the other; `done` takes the answers of each.
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

    /// Asks all of them about rows in memory; the states at their answers are not kept. `logprob` is by row.
    ///
    /// # Errors
    /// What the judges refuse.
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
