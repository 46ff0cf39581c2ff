//! The judge's state at its answers, stored as observations beside those of the responses: written while judging, and
//! read by the fit.
//!
//! The file has the format of observations. A row is a response under a constitution that judged it; `resid` holds its
//! verdict state: for forced choices, the part that least squares assigns to the response of the half differences (h_ab
//! − h_ba)/2 over its pairs, as rewards are computed from log-odds; for questions about one response, the state itself.
//! The score `lens.LAYER` is the logit lens reading of the same at a layer, in nats.

use std::ops::Range;
use std::path::Path;

use faer::Mat;
use ndarray::{Array3, ArrayD};

use crate::artifact;
use crate::config::JudgeMode;
use crate::error::Result;
use crate::fit::verdicts::file;
use crate::input::Constitution;
use crate::judge::{Cells, JudgeTemplate};
use crate::observations::{Columns, Meta, Observations, ResidSink, write_streaming};
use crate::probe::rewards::Ranking;
use crate::run::capture::Prepared;
use crate::store::Store;
use crate::units::{Layer, OneOf};

/// Metadata key: the judge's mode.
const MODE: &str = "verdicts";

/// The questions of a judge, unit by unit.
pub struct Questions<'a> {
    /// Mode of the judge.
    pub mode: JudgeMode,
    /// Judge template.
    pub template: &'a JudgeTemplate,
    /// Item and responses of each unit: two for a pair, otherwise one.
    pub units: Vec<(usize, Vec<usize>)>,
    /// Logit lens readings, by constitution, `[units, layers]`.
    pub lens: Vec<&'a [f32]>,
}

/// Adjacent units of one item.
struct Group {
    units: Range<usize>,
    item: usize,
    /// The responses that get a row.
    responses: Vec<usize>,
    /// Least-squares map from units to responses, `[responses, units]`.
    map: Mat<f64>,
}

impl Group {
    fn all(units: &[(usize, Vec<usize>)]) -> Vec<Self> {
        let mut out = Vec::new();
        let mut start = 0;
        for own in units.chunk_by(|a, b| a.0 == b.0) {
            let end = start + own.len();
            let pairs: Option<Vec<(usize, usize)>> = own
                .iter()
                .map(|(_, responses)| match responses[..] {
                    [a, b] => Some((a, b)),
                    _ => None,
                })
                .collect();
            let (responses, map) = match pairs {
                Some(pairs) => {
                    let Ranking { rows, map } = Ranking::new(&pairs);
                    (rows, map)
                }
                None => {
                    let responses: Vec<usize> = own.iter().flat_map(|u| u.1.first().copied()).collect();
                    let n = responses.len();
                    (responses, Mat::identity(n, n))
                }
            };
            out.push(Self { units: start..end, item: own[0].0, responses, map });
            start = end;
        }
        out
    }

    /// The part assigned to a response of a quantity read for each unit.
    fn of(&self, response: usize, read: impl Fn(usize) -> f32) -> f64 {
        self.units.clone().enumerate().map(|(m, unit)| self.map[(response, m)] * f64::from(read(unit))).sum()
    }
}

/// Writes the states of these questions to `out`; does nothing if none are kept.
///
/// # Errors
/// Errors of the store and of the file system.
pub fn write(
    prepared: &Prepared,
    asked: &Questions<'_>,
    constitutions: &[&Constitution],
    cells: &Cells<'_>,
    store: &Store,
    out: &Path,
) -> Result<()> {
    let Some(path) = file(asked.mode).map(|name| out.join(name)) else { return Ok(()) };
    if cells.layers.is_empty() {
        // An existing file belongs to other judgments.
        return artifact::remove_file(&path);
    }
    let mut meta = Meta::new(cells.layers.to_vec());
    meta.model.clone_from(&prepared.model.identity.name);
    meta.revision.clone_from(&prepared.model.identity.revision);
    meta.pool = "answer".into();
    meta.template = format!("{} sha256:{}", asked.template.path.display(), asked.template.sha256);
    meta.constitutions = constitutions.iter().map(|c| c.name.clone()).collect();
    meta.extra.insert(MODE.into(), asked.mode.as_str().into());
    meta.extra.insert("recipe".into(), serde_json::to_string(&prepared.recipe()).unwrap_or_default());
    for layer in cells.layers {
        meta.extra.insert(format!("score.lens.{layer}"), "lens".into());
    }
    let groups = Group::all(&asked.units);
    let mut columns = columns(prepared, asked, &groups, cells.layers);
    let kept = EarlierStates::read(&path, &meta);
    kept.append(&mut meta, &mut columns);
    let rows = columns.constitution.as_ref().map_or(0, Vec::len);
    let (width, hidden) = (cells.layers.len(), prepared.model.decoder.config().hidden_size);
    write_streaming(&path, &meta, &columns, rows, hidden, |sink| {
        // States of units already read whose item is incomplete, by constitution.
        let mut waiting: Vec<Vec<f32>> = vec![Vec::new(); constitutions.len()];
        let (mut first, mut next) = (0, 0);
        cells.states(store, &mut |units: Range<usize>, parts: &[ArrayD<f32>]| {
            for (kept, part) in waiting.iter_mut().zip(parts) {
                kept.extend(part.iter());
            }
            while let Some(group) = groups.get(next).filter(|g| g.units.end <= units.end) {
                for kept in &waiting {
                    let mut block = Array3::zeros((group.responses.len(), width, hidden));
                    for ((response, layer, j), cell) in block.indexed_iter_mut() {
                        let at = |unit: usize| kept[((unit - first) * width + layer) * hidden + j];
                        *cell = group.of(response, at) as f32;
                    }
                    sink.push(block.view())?;
                }
                next += 1;
            }
            let done = groups.get(next).map_or(units.end, |g| g.units.start);
            for kept in &mut waiting {
                kept.drain(..(done - first) * width * hidden);
            }
            first = done;
            Ok(())
        })?;
        kept.push(sink)
    })
}

/// States of an earlier judge in the same file, under constitutions that are not asked now.
#[derive(Default)]
struct EarlierStates {
    old: Option<Observations>,
    rows: Vec<usize>,
}

impl EarlierStates {
    /// Contents of the file; empty if it is for another model, template or layers, or cannot be read.
    fn read(path: &Path, meta: &Meta) -> Self {
        let Some(old) = path.is_file().then(|| Observations::open(path).ok()).flatten() else {
            return Self::default();
        };
        let there = old.meta();
        let same = there.layers == meta.layers
            && there.template == meta.template
            && there.extra.get("recipe") == meta.extra.get("recipe")
            && [&old.columns().prompt, &old.columns().cluster, &old.columns().response]
                .iter()
                .all(|c| c.is_some());
        let Some(constitution) = old.columns().constitution.as_ref().filter(|_| same) else {
            return Self::default();
        };
        let other = |row: &usize| !meta.constitutions.contains(&there.constitutions[constitution[*row]]);
        let rows = (0..old.rows()).filter(other).collect();
        Self { old: Some(old), rows }
    }

    /// Appends their rows after the current ones.
    fn append(&self, meta: &mut Meta, columns: &mut Columns) {
        let Some(old) = &self.old else { return };
        let theirs = old.columns();
        let add = |to: &mut Option<Vec<i32>>, from: &Option<Vec<i32>>| {
            if let (Some(to), Some(from)) = (to, from) {
                to.extend(self.rows.iter().map(|&row| from[row]));
            }
        };
        add(&mut columns.prompt, &theirs.prompt);
        add(&mut columns.cluster, &theirs.cluster);
        add(&mut columns.response, &theirs.response);
        for &row in &self.rows {
            let name = &old.meta().constitutions[theirs.constitution.as_ref().map_or(0, |c| c[row])];
            let at = meta.constitutions.iter().position(|n| n == name).unwrap_or_else(|| {
                meta.constitutions.push(name.clone());
                meta.constitutions.len() - 1
            });
            columns.constitution.get_or_insert_default().push(at);
        }
        for (name, column) in &mut columns.scores {
            let from = theirs.scores.get(name);
            column.extend(self.rows.iter().map(|&row| from.map_or(f64::NAN, |f| f[row])));
        }
    }

    fn push(&self, sink: &mut ResidSink<'_>) -> Result<()> {
        let Some(old) = &self.old else { return Ok(()) };
        self.rows.iter().try_for_each(|&row| sink.push(old.row(row)?.view()))
    }
}

fn columns(prepared: &Prepared, asked: &Questions<'_>, groups: &[Group], layers: &[Layer]) -> Columns {
    // Responses are numbered as in the observations.
    let (prompt, first) = (prepared.items.prompt_numbers(), prepared.items.first_responses());
    let mut columns = Columns::default();
    let (mut prompts, mut clusters, mut responses, mut constitution) = (vec![], vec![], vec![], vec![]);
    let mut lens: Vec<Vec<f64>> = vec![Vec::new(); layers.len()];
    for group in groups {
        for (c, read) in asked.lens.iter().enumerate() {
            for (at, &response) in group.responses.iter().enumerate() {
                prompts.push(prompt[group.item]);
                clusters.push(prepared.clusters.of_item[group.item]);
                responses.push((first[group.item] + response) as i32);
                constitution.push(c);
                for (l, column) in lens.iter_mut().enumerate() {
                    column.push(group.of(at, |unit| read[unit * layers.len() + l]));
                }
            }
        }
    }
    columns.prompt = Some(prompts);
    columns.cluster = Some(clusters);
    columns.response = Some(responses);
    columns.constitution = Some(constitution);
    columns.scores = layers.iter().zip(lens).map(|(layer, l)| (format!("lens.{layer}"), l)).collect();
    columns
}
