//! Sweeps: an experiment whose table `[sweep]` varies models, data, constitutions, dtype and quantization. Each
//! combination is a cell, an experiment with a folder of its own.
//!
//! ```toml
//! out = "runs/sizes"                       # cells go to runs/sizes/CELL
//! [data]                                   # everything but [sweep] is an experiment, which all cells share
//! files = ["items.jsonl"]
//! [sweep]
//! models = ["owner/small", "owner/large", "../models/mine"]
//! dtype = ["f32", "bf16"]
//! quantize = ["none", "Q4_K"]
//! data = { chat = ["chat.jsonl"], code = ["code.jsonl"] }
//! constitutions = { all = ["../constitutions"], two = ["embedded:honest", "embedded:helpful"] }
//! ```

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::read::short_name;
use super::{Dtype, Experiment, Given, defaults};
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::input::is_named;
use crate::input::settings::{Document, Section, Setting, quoted, quoted_list};
use crate::model::{ModelSource, Quantization};
use crate::units::OneOf;

/// The cells of a sweep.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Folder of the sweep: that of its comparison, and where its cells have theirs.
    pub out: PathBuf,
    /// The cells: models, then data, constitutions, dtype and quantization, the last varying fastest.
    pub cells: Vec<Cell>,
}

/// One experiment of a sweep.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Name of the cell, a folder's name.
    pub name: String,
    /// Its experiment, with its own folder.
    pub experiment: Experiment,
}

/// One value of what is varied: its name, and the settings that stand for it.
type Choice = (String, Vec<Setting>);

/// Keys that name a model.
const MODEL: &[&str] = &["model.path", "model.hub", "model.embedded", "model.revision"];

/// What a file says besides its experiment.
struct Axes {
    axes: Vec<Vec<Choice>>,
    out: Option<PathBuf>,
    given: Given,
    swept: bool,
}

impl Sweep {
    /// Reads a sweep, or an experiment as a sweep of one cell, and validates every cell.
    ///
    /// # Errors
    /// As [`Experiment::read`]; [`Kind::Invalid`] for two cells of one name.
    pub fn read(path: &Path) -> Result<Self> {
        let axes = Document::open(path)?.read(axes)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !axes.swept {
            let experiment = Experiment::read(path)?;
            return Ok(Self { out: experiment.out.clone(), cells: vec![Cell { name: stem, experiment }] });
        }
        let out = axes.out.unwrap_or_else(|| Path::new("runs").join(&stem));
        let mut combined: Vec<Choice> = vec![(String::new(), Vec::new())];
        for axis in &axes.axes {
            let with = |(name, settings): &Choice| {
                let name = name.clone();
                let settings = settings.clone();
                axis.iter().map(move |(own, more)| {
                    // What does not vary does not name a cell, except its model.
                    let joined = match (name.as_str(), axis.len()) {
                        ("", _) => own.clone(),
                        (_, 1) => name.clone(),
                        _ => format!("{name}-{own}"),
                    };
                    (joined, settings.iter().chain(more).cloned().collect())
                })
            };
            combined = combined.iter().flat_map(with).collect::<Vec<Choice>>();
        }
        let mut cells: Vec<Cell> = Vec::with_capacity(combined.len());
        for (name, settings) in combined {
            let name = if name.is_empty() { stem.clone() } else { name };
            if cells.iter().any(|cell| cell.name == name) {
                return Err(Diagnostic::new(Kind::Invalid, "two cells of the sweep have one name")
                    .at(Place::file(path).id(name))
                    .expected("models whose last parts differ, and nothing twice in a list")
                    .into());
            }
            let folder = out.join(&name);
            let mut all = vec![Setting::removing("[sweep]", &["sweep"])];
            let own = Setting::new("out", "out", &quoted(&folder.to_string_lossy()));
            let source = model_of(&settings)?;
            if let Some(source) = source {
                all.extend(defaults(&source, axes.given));
            }
            all.extend(settings);
            all.push(own);
            cells.push(Cell { name, experiment: Experiment::compose(Some(path), &all)? });
        }
        Ok(Self { out, cells })
    }
}

/// The model that settings name.
fn model_of(settings: &[Setting]) -> Result<Option<ModelSource>> {
    let named = settings.iter().find_map(|s| s.origin.strip_prefix(MODELS));
    named.map(|name| ModelSource::parse(name, None)).transpose()
}

/// Origin of the settings of a model, before its name.
const MODELS: &str = "sweep.models ";

fn axes(top: &mut Section) -> Option<Axes> {
    let mut given = Given { data: top.has("data"), constitutions: top.has("constitutions") };
    let out = top.text("out").map(PathBuf::from);
    let swept = top.has("sweep");
    let axes = top.section("sweep", |section| {
        given.data |= section.has("data");
        given.constitutions |= section.has("constitutions");
        [models(section), data(section), constitutions(section), dtypes(section), quantized(section)]
    });
    top.leave_rest();
    let axes = axes.into_iter().flatten().filter(|axis| !axis.is_empty()).collect();
    Some(Axes { axes, out, given, swept })
}

fn models(section: &mut Section) -> Vec<Choice> {
    let mut out = Vec::new();
    for name in section.texts("models").unwrap_or_default() {
        // A folder is meant relative to the file, an id of the hub is no path.
        let local = section.resolve("models", &name);
        let local = local.exists().then(|| local.to_string_lossy().into_owned());
        let full = local.unwrap_or_else(|| name.clone());
        match ModelSource::parse(&full, None) {
            Ok(source) => {
                let (key, value) = match &source {
                    ModelSource::Hub { .. } => ("model.hub", full.as_str()),
                    ModelSource::Embedded(name) => ("model.embedded", name.as_str()),
                    ModelSource::Folder(_) | ModelSource::Gguf(_) => ("model.path", full.as_str()),
                };
                let setting = Setting::new(format!("{MODELS}{full}"), key, &quoted(value));
                let short = short_name(name.strip_prefix("embedded:").unwrap_or(&name));
                out.push((short, vec![setting.replacing(MODEL)]));
            }
            Err(error) => {
                let diagnostic = Diagnostic::new(Kind::Invalid, format!("`{name}` is no model: {error}"));
                section.problem("models", diagnostic);
            }
        }
    }
    out
}

/// Lists of files by name: `NAME = ["file", …]`, with paths relative to the file.
fn named_files(section: &mut Section, key: &'static str) -> Vec<(String, Vec<PathBuf>)> {
    let texts = |value: &DeValue| -> Option<Vec<String>> {
        match value.as_array() {
            Some(list) => list.iter().map(|v| v.get_ref().as_str().map(str::to_owned)).collect(),
            None => Some(vec![value.as_str()?.to_owned()]),
        }
    };
    let all = section.typed(key, "a table of lists of files by name: { a = [\"a.jsonl\"] }", |value| {
        let table = value.as_table()?;
        table.iter().map(|(name, v)| Some((name.get_ref().to_string(), texts(v.get_ref())?))).collect()
    });
    let all: Vec<(String, Vec<String>)> = all.unwrap_or_default();
    for (name, _) in all.iter().filter(|(name, _)| short_name(name) != *name) {
        let diagnostic = Diagnostic::new(Kind::Invalid, format!("`{name}` cannot name a folder"))
            .expected("letters, digits, `.`, `_` and `-`");
        section.problem(key, diagnostic);
    }
    let absolute = |path: &String| {
        let path = section.resolve(key, path);
        // A setting's path would be relative to the current folder, as this one is.
        if is_named(&path) { path } else { std::path::absolute(&path).unwrap_or(path) }
    };
    all.iter().map(|(name, files)| (name.clone(), files.iter().map(absolute).collect())).collect()
}

fn files(key: &'static str, of: &str, name: &str, files: &[PathBuf]) -> Setting {
    let list = quoted_list(files.iter().map(|f| f.to_string_lossy().into_owned()));
    Setting::new(format!("sweep.{of}.{name}"), key, &list)
}

fn data(section: &mut Section) -> Vec<Choice> {
    let all = named_files(section, "data").into_iter();
    all.map(|(name, own)| (name.clone(), vec![files("data.files", "data", &name, &own)])).collect()
}

fn constitutions(section: &mut Section) -> Vec<Choice> {
    let all = named_files(section, "constitutions").into_iter();
    let choice = |(name, own): (String, Vec<PathBuf>)| {
        let setting = files("constitutions.files", "constitutions", &name, &own);
        (name, vec![setting.replacing(&["constitutions"])])
    };
    all.map(choice).collect()
}

fn dtypes(section: &mut Section) -> Vec<Choice> {
    let mut out = Vec::new();
    for word in section.texts("dtype").unwrap_or_default() {
        if Dtype::of_word(&word).is_none() {
            let known: Vec<&str> = Dtype::WORDS.iter().map(|(word, ..)| *word).collect();
            let diagnostic = Diagnostic::new(Kind::Invalid, "`dtype` cannot be used")
                .expected(format!("of `{}`", known.join("`, `")))
                .found(format!("`{word}`"));
            section.problem("dtype", diagnostic);
        }
        let setting = Setting::new(format!("sweep.dtype {word}"), "model.dtype", &quoted(&word));
        out.push((word, vec![setting]));
    }
    out
}

fn quantized(section: &mut Section) -> Vec<Choice> {
    let mut out = Vec::new();
    for word in section.texts("quantize").unwrap_or_default() {
        let origin = format!("sweep.quantize {word}");
        if word == "none" {
            out.push(("plain".to_owned(), vec![Setting::removing(origin, &["model.quantize"])]));
            continue;
        }
        if let Err(diagnostic) = word.parse::<Quantization>() {
            section.problem("quantize", diagnostic);
        }
        out.push((word.clone(), vec![Setting::new(origin, "model.quantize", &quoted(&word))]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Sweep> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sizes.toml");
        std::fs::write(&path, text).expect("a file");
        std::fs::write(folder.path().join("a.jsonl"), "").expect("a file");
        Sweep::read(&path)
    }

    const BASE: &str = "seed = 3\n[fit]\nlayer = \"auto\"\n";

    #[test]
    fn every_combination_is_an_experiment_with_a_folder_of_its_own() {
        let sweep = read(&format!(
            "out = \"o\"\n{BASE}[sweep]\nmodels = [\"embedded:hearth-xs\", \"owner/name\"]\n\
             dtype = [\"f32\", \"bf16\"]\nquantize = [\"none\", \"Q8_0\"]\n\
             data = {{ one = [\"a.jsonl\"], two = \"embedded:honest\" }}\n\
             constitutions = {{ all = [\"embedded:all\"] }}\n"
        ))
        .expect("a sweep");
        assert_eq!(sweep.cells.len(), 16);
        let names: Vec<&str> = sweep.cells.iter().map(|c| c.name.as_str()).collect();
        assert_eq!((names[0], names[15]), ("hearth-xs-one-f32-plain", "name-two-bf16-Q8_0"));
        let last = &sweep.cells[15].experiment;
        assert_eq!(last.out, Path::new("o/name-two-bf16-Q8_0"));
        assert_eq!((last.seed, last.model.dtype), (3, Dtype::Bf16));
        assert_eq!(last.model.quantize.map(|q| q.name().to_owned()).as_deref(), Some("Q8_0"));
        assert!(sweep.cells[14].experiment.model.quantize.is_none());
        assert!(sweep.cells[0].experiment.data.files[0].is_absolute());
        assert_eq!(sweep.cells[15].experiment.data.files, [Path::new("embedded:honest")]);
    }

    #[test]
    fn what_is_not_given_has_the_defaults_of_a_model_without_a_file() {
        let sweep =
            read("[sweep]\nmodels = [\"embedded:hearth-xs\", \"embedded:hearth-s\"]\n").expect("a sweep");
        assert_eq!(sweep.out, Path::new("runs/sizes"));
        assert_eq!(sweep.cells[1].name, "hearth-s");
        assert_eq!(sweep.cells[1].experiment.constitutions().expect("they read").len(), 15);
    }

    #[test]
    fn an_experiment_is_a_sweep_of_one_cell() {
        let sweep =
            read("out = \"o\"\n[model]\nembedded = \"hearth-xs\"\n[data]\nfiles = [\"embedded:hearth\"]\n")
                .expect("a sweep");
        assert_eq!((sweep.cells.len(), sweep.cells[0].name.as_str()), (1, "sizes"));
        assert_eq!(sweep.cells[0].experiment.out, sweep.out);
    }

    #[test]
    fn problems_are_refused_with_their_line() {
        for (text, said) in [
            ("[sweep]\nmodels = [\"embedded:hearth-xs\"]\ndtype = [\"f31\"]\n", "f31"),
            ("[sweep]\nmodels = [\"embedded:hearth-xs\"]\nquantize = [\"Q99\"]\n", "Q99"),
            ("[sweep]\nmodel = [\"embedded:hearth-xs\"]\n", "did you mean `models`?"),
            ("[sweep]\nmodels = [\"a/x\", \"b/x\"]\n", "one name"),
            ("[sweep]\nmodels = [\"embedded:hearth-xs\"]\ndata = [\"a.jsonl\"]\n", "by name"),
            ("[sweep]\nmodels = [\"embedded:hearth-xs\"]\n[fit]\nlayr = 3\n", "layr"),
            ("[sweep]\ndtype = [\"f32\"]\n", "model"),
        ] {
            let refused = read(text).expect_err(text).to_string();
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }
}
