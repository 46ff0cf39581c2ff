//! Writes an experiment's settings to a file that `vstar run` can read.

use std::path::Path;

use toml::{Table, Value};

use super::{CaptureSettings, DataSettings, Experiment, FitSettings, JudgeSettings, ModelSettings};
use crate::config::scope::Under;
use crate::error::{Error, Result};
use crate::input::{ReadOptions, is_named};
use crate::model::ModelSource;
use crate::units::{LayerList, OneOf};

impl Experiment {
    /// The experiment as TOML, with absolute paths, so that it is valid from any folder on this machine. `out` is
    /// omitted: read from the run's folder, the experiment resumes there.
    ///
    /// # Errors
    /// Errors of the system, if the current folder is unknown.
    pub fn to_toml(&self) -> Result<String> {
        // Destructures every field, so that a new field must be handled here.
        let Self { model, data, constitutions, only, capture, judge, fit, out: _, seed } = self;
        let mut top = Table::new();
        top.insert("seed".into(), count(*seed));
        top.insert("model".into(), Value::Table(self::model(model)?));
        top.insert("data".into(), Value::Table(self::data(data)?));
        if !constitutions.is_empty() {
            let mut table = Table::new();
            let files = constitutions.iter().map(|p| path(p)).collect::<Result<_>>()?;
            table.insert("files".into(), Value::Array(files));
            put(&mut table, "only", only.as_ref().map(|only| texts(only)));
            top.insert("constitutions".into(), Value::Table(table));
        }
        top.insert("capture".into(), Value::Table(self::capture(capture)?));
        match judge {
            Some(judge) => put(&mut top, "judge", Some(Value::Table(self::judge(judge)?))),
            None if constitutions.is_empty() => {}
            None => put(
                &mut top,
                "judge",
                Some(Value::Table(Table::from_iter([("enabled".into(), false.into())]))),
            ),
        }
        top.insert("fit".into(), Value::Table(self::fit(fit)));
        Ok(format!(
            "# The experiment of this run, with every setting. `vstar run` on this file resumes the run.\n{top}"
        ))
    }
}

fn put(table: &mut Table, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        table.insert(key.to_owned(), value);
    }
}

fn texts<S: AsRef<str>>(texts: &[S]) -> Value {
    Value::Array(texts.iter().map(|t| Value::String(t.as_ref().to_owned())).collect())
}

/// A count; above 2⁶³ − 1, which TOML cannot represent, it is written as text.
fn count(n: u64) -> Value {
    i64::try_from(n).map_or_else(|_| Value::String(n.to_string()), Value::Integer)
}

fn path(path: &Path) -> Result<Value> {
    let absolute = if is_named(path) {
        path.to_owned()
    } else {
        std::path::absolute(path).map_err(|e| Error::io("resolve", path, e))?
    };
    Ok(Value::String(absolute.to_string_lossy().into_owned()))
}

fn model(settings: &ModelSettings) -> Result<Table> {
    let ModelSettings { source, name, dtype, device, stream, tokenizer, quantize, adapter } = settings;
    let mut table = Table::new();
    match source {
        ModelSource::Folder(at) | ModelSource::Gguf(at) => put(&mut table, "path", Some(path(at)?)),
        ModelSource::Hub { id: _, revision, gguf: _ } => {
            put(&mut table, "hub", Some(Value::String(name.clone())));
            put(&mut table, "revision", revision.clone().map(Value::String));
        }
        ModelSource::Embedded(name) => put(&mut table, "embedded", Some(Value::String(name.clone()))),
    }
    table.insert("dtype".into(), Value::String(dtype.as_str().to_owned()));
    put(&mut table, "device", device.map(|d| Value::String(d.to_string())));
    table.insert("stream".into(), Value::Boolean(*stream));
    put(&mut table, "tokenizer", tokenizer.as_deref().map(path).transpose()?);
    put(&mut table, "adapter", adapter.as_deref().map(path).transpose()?);
    put(&mut table, "quantize", quantize.map(|q| Value::String(q.name().to_owned())));
    Ok(table)
}

fn data(settings: &DataSettings) -> Result<Table> {
    let DataSettings { files, read: ReadOptions { skip_bad, limit, value_name } } = settings;
    let mut table = Table::new();
    let files = files.iter().map(|p| path(p)).collect::<Result<_>>()?;
    table.insert("files".into(), Value::Array(files));
    put(&mut table, "limit", limit.map(|n| count(n as u64)));
    put(&mut table, "value_name", value_name.clone().map(Value::String));
    table.insert("skip_bad".into(), Value::Boolean(*skip_bad));
    Ok(table)
}

fn capture(settings: &CaptureSettings) -> Result<Table> {
    let CaptureSettings { template, layers, pool, memory, under, logprob } = settings;
    let mut table = Table::new();
    let template = template.as_ref().map(|t| match t {
        super::TemplateName::File(file) => path(file),
        named => Ok(Value::String(named.name())),
    });
    put(&mut table, "template", template.transpose()?);
    let layers = match layers {
        LayerList::All => Value::String("all".into()),
        LayerList::These(list) => Value::Array(list.iter().map(|l| count(l.0 as u64)).collect()),
    };
    table.insert("layers".into(), layers);
    table.insert("pool".into(), Value::String(pool.as_str().into()));
    put(&mut table, "memory", memory.map(|m| count(m.0)));
    let under = match under {
        Under::All => Value::String("all".into()),
        Under::None => Value::String("none".into()),
        Under::These(names) => texts(names),
    };
    table.insert("under".into(), under);
    table.insert("logprob".into(), Value::String(logprob.as_str().into()));
    Ok(table)
}

fn judge(settings: &JudgeSettings) -> Result<Table> {
    let JudgeSettings { modes, template, max_pairs_per_prompt, layers } = settings;
    let mut table = Table::new();
    let names: Vec<&str> = modes.iter().map(|m| m.as_str()).collect();
    put(&mut table, "mode", (!names.is_empty()).then(|| texts(&names)));
    let template = template.as_ref().map(|t| match t {
        super::JudgeTemplateName::File(file) => path(file),
        super::JudgeTemplateName::Shipped(name) => Ok(Value::String(name.clone())),
    });
    put(&mut table, "template", template.transpose()?);
    put(&mut table, "max_pairs_per_prompt", max_pairs_per_prompt.map(|n| count(n as u64)));
    table.insert("layers".into(), Value::String(layers.to_string()));
    Ok(table)
}

fn fit(settings: &FitSettings) -> Table {
    let FitSettings { layer, values, reference, ensemble, weights } = settings;
    let mut table = Table::new();
    let layer = layer.map_or_else(|| Value::String("auto".into()), |l| count(l.0 as u64));
    table.insert("layer".into(), layer);
    put(&mut table, "values", (!values.is_empty()).then(|| texts(values)));
    put(&mut table, "reference", reference.clone().map(Value::String));
    put(&mut table, "ensemble", (!ensemble.is_empty()).then(|| texts(ensemble)));
    let weights: Table = weights.iter().map(|(name, w)| (name.clone(), Value::Float(*w))).collect();
    put(&mut table, "weights", (!weights.is_empty()).then_some(Value::Table(weights)));
    table
}
