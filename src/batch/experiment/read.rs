//! Reads an experiment's file into its checked settings.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::{
    CaptureSettings, DataSettings, DeviceName, Dtype, Experiment, FitSettings, JudgeMode, JudgeSettings,
    JudgeTemplateName, ModelName, ModelSettings, Pool, TemplateName,
};
use crate::error::{Kind, Refusal, Result};
use crate::input::constitution::BARE;
use crate::input::name::{check_name, nearest};
use crate::input::settings::{Document, Section, number, whole};
use crate::input::{ReadOptions, read_constitutions};
use crate::units::Layer;

impl Experiment {
    /// Reads and checks an experiment: all keys, and that all files it names are there and its
    /// constitutions can be read.
    ///
    /// # Errors
    /// One refusal that shows all problems, each with its line: keys that are unknown (with the nearest one
    /// known), missing or of the wrong type; files that are missing; settings that contradict one another.
    pub fn read(path: &Path) -> Result<Self> {
        let document = Document::open(path)?;
        let sha256 = document.sha256().to_owned();
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        document.read(|top| {
            let model = required(top, "model", "a table [model] with `path`, `hub` or `embedded`", model);
            let data = required(top, "data", "a table [data] with `files`", data);
            let bare = !top.has("constitutions");
            let chosen = top.section("constitutions", constitutions).flatten().unwrap_or_default();
            let names = chosen.names.as_slice();
            let capture = top.section("capture", capture).unwrap_or(Some(CaptureSettings::default()));
            let judge = match top.section("judge", judge) {
                Some(Some(_)) if bare => {
                    let refusal = Refusal::new(Kind::Missing, "there is a judge and no constitution")
                        .expected("a table [constitutions]")
                        .remedy("add constitutions, or drop [judge]");
                    top.problem("judge", refusal);
                    None
                }
                Some(judge) => judge,
                None => (!bare).then(JudgeSettings::default),
            };
            let layers = capture.as_ref().and_then(|c| c.layers.as_deref());
            let fit = top.section("fit", |section| fit(section, names, layers));
            let out = top.text("out").map_or_else(|| Path::new("runs").join(&name), PathBuf::from);
            let seed = top.count("seed").unwrap_or(0);
            Some(Self {
                path: path.to_owned(),
                sha256,
                model: model?,
                data: data?,
                constitutions: chosen.paths,
                only: chosen.only,
                capture: capture?,
                judge,
                fit: fit.unwrap_or_default(),
                out,
                seed,
                name,
            })
        })
    }
}

fn required<T>(
    top: &mut Section,
    key: &'static str,
    expected: &str,
    read: impl FnOnce(&mut Section) -> Option<T>,
) -> Option<T> {
    if !top.has(key) {
        top.missing(key, expected);
    }
    top.section(key, read).flatten()
}

fn model(section: &mut Section) -> Option<ModelSettings> {
    let dtypes = [("f32", Dtype::F32), ("bf16", Dtype::Bf16), ("f16", Dtype::F16)];
    let dtype = section.one_of("dtype", &dtypes).unwrap_or(Dtype::F32);
    let device = section
        .typed("device", "`cpu`, `cuda` or `cuda:N`", |value| value.as_str().and_then(DeviceName::parse));
    let stream = section.flag("stream").unwrap_or(false);
    let quantize = section
        .text("quantize")
        .and_then(|name| name.parse().map_err(|refusal| section.problem("quantize", refusal)).ok());
    let revision = section.text("revision");
    let (path, hub) = (section.text("path"), section.text("hub"));
    let embedded = section.text("embedded");
    if revision.is_some() && hub.is_none() {
        let refusal = Refusal::new(Kind::Invalid, "`revision` goes with `hub` alone")
            .remedy("drop it; a folder is known by the hashes of its files");
        section.problem("revision", refusal);
    }
    let source = match (path, hub, embedded) {
        (Some(path), None, None) => {
            let folder = section.resolve(&path);
            if !folder.is_dir() {
                section.problem("path", not_there("folder", &folder));
            }
            ModelName::Folder(folder)
        }
        (None, Some(id), None) => {
            let part = |part: &str| {
                let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
                !part.is_empty() && part.chars().all(allowed)
            };
            if !id.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name)) {
                let refusal = Refusal::new(Kind::Invalid, "`hub` cannot be used")
                    .expected("an id on the hub: owner/name")
                    .found(format!("`{id}`"))
                    .remedy("for a folder on this machine use `path`");
                section.problem("hub", refusal);
            }
            ModelName::Hub { id, revision }
        }
        (None, None, Some(name)) => ModelName::Embedded(name),
        (None, None, None) => {
            // A key that is there with the wrong type is already blamed.
            if !(section.has("path") || section.has("hub") || section.has("embedded")) {
                section.missing("path", "one of `path`, `hub` and `embedded`");
            }
            return None;
        }
        _ => {
            let refusal =
                Refusal::new(Kind::Invalid, "more than one of `path`, `hub` and `embedded` is given")
                    .expected("one of them");
            section.problem("", refusal);
            return None;
        }
    };
    Some(ModelSettings { source, dtype, device, stream, quantize })
}

fn data(section: &mut Section) -> Option<DataSettings> {
    let files = existing(section, "files", "file");
    if !section.has("files") {
        section.missing("files", "a list of files of items");
    } else if files.as_ref().is_some_and(Vec::is_empty) {
        section
            .problem("files", Refusal::new(Kind::Missing, "`files` is empty").expected("at least one file"));
    }
    let limit = section.positive("limit");
    let value_name = section.text("value_name");
    if let Some(name) = &value_name
        && let Err(refusal) = check_name("`value_name`", name)
    {
        section.problem("value_name", refusal);
    }
    let skip_bad = section.flag("skip_bad").unwrap_or(false);
    Some(DataSettings { files: files?, read: ReadOptions { skip_bad, limit, value_name } })
}

/// What [constitutions] says.
#[derive(Default)]
struct Chosen {
    paths: Vec<PathBuf>,
    only: Option<Vec<String>>,
    /// Names of those that take part; empty where they cannot be read.
    names: Vec<String>,
}

fn constitutions(section: &mut Section) -> Option<Chosen> {
    if !section.has("files") {
        section.missing("files", "a list of files, or of folders that hold them");
    }
    let paths = existing(section, "files", "file or folder");
    let only = section.texts("only");
    let paths = paths?;
    if paths.is_empty() {
        let refusal = Refusal::new(Kind::Missing, "`files` is empty").expected("at least one file or folder");
        section.problem("files", refusal);
        return None;
    }
    if !paths.iter().all(|path| path.exists()) {
        return None;
    }
    let mut names: Vec<_> = match read_constitutions(&paths) {
        Ok(all) => all.into_iter().map(|c| c.name).collect(),
        Err(error) => {
            let what = format!("the constitutions cannot be read: {error}");
            section.problem("", Refusal::new(error.kind().unwrap_or(Kind::Invalid), what));
            return None;
        }
    };
    if let Some(only) = &only {
        if only.is_empty() {
            let refusal = Refusal::new(Kind::Invalid, "`only` names no constitution")
                .expected("at least one name")
                .remedy("drop [constitutions] to capture the bare context alone");
            section.problem("only", refusal);
        }
        for name in only.iter().filter(|name| !names.contains(name)) {
            let mut refusal =
                Refusal::new(Kind::Invalid, "`only` names a constitution that is not in `files`")
                    .expected("names of constitutions in `files`")
                    .found(format!("`{name}`"));
            if let Some(near) = nearest(name, names.iter().map(String::as_str)) {
                refusal = refusal.remedy(format!("did you mean `{near}`?"));
            }
            section.problem("only", refusal);
        }
        names.retain(|name| only.contains(name));
    }
    Some(Chosen { paths, only, names })
}

fn capture(section: &mut Section) -> Option<CaptureSettings> {
    let template = section.text("template").map(|name| match name.as_str() {
        "none" => TemplateName::Plain,
        "chat" => TemplateName::Chat,
        _ => {
            let file = section.resolve(&name);
            if !file.is_file() {
                let refusal = not_there("template", &file).expected("`none`, `chat` or a Jinja file");
                section.problem("template", refusal);
            }
            TemplateName::File(file)
        }
    });
    let layers = section
        .typed("layers", "\"all\" or a list of layers' numbers, none of them twice", |value| {
            if value.as_str() == Some("all") {
                return Some(None);
            }
            let list: Option<Vec<_>> = value.as_array()?.iter().map(|v| layer(v.get_ref())).collect();
            let mut list = list.filter(|list| !list.is_empty())?;
            list.sort_unstable();
            list.windows(2).all(|pair| pair[0] != pair[1]).then_some(Some(list))
        })
        .flatten();
    let pool = section.one_of("pool", &[("mean", Pool::Mean), ("last", Pool::Last)]).unwrap_or(Pool::Mean);
    let memory = section.typed("memory", "bytes, as a number or as a text such as \"8GB\"", |value| {
        whole(value).filter(|n| *n > 0).or_else(|| bytes(value.as_str()?))
    });
    Some(CaptureSettings { template, layers, pool, memory })
}

fn judge(section: &mut Section) -> Option<JudgeSettings> {
    let enabled = section.flag("enabled").unwrap_or(true);
    let modes = section.typed("mode", MODES, modes).unwrap_or_default();
    let template = section.text("template").map(|name| {
        if !name.ends_with(".toml") {
            return JudgeTemplateName::Shipped(name);
        }
        let file = section.resolve(&name);
        if !file.is_file() {
            section.problem("template", not_there("template", &file));
        }
        JudgeTemplateName::File(file)
    });
    let max_pairs_per_prompt = section.positive("max_pairs_per_prompt");
    enabled.then_some(JudgeSettings { modes, template, max_pairs_per_prompt })
}

const MODES: &str = "`pairwise`, `pointwise` or `implicit`, or a list of `pairwise` and one of the others";

/// A mode, or a list of them without repetition; a file of observations holds one kind of score.
fn modes(value: &toml::de::DeValue) -> Option<Vec<JudgeMode>> {
    let one = |name: &str| match name {
        "pairwise" => Some(JudgeMode::Pairwise),
        "pointwise" => Some(JudgeMode::Pointwise),
        "implicit" => Some(JudgeMode::Implicit),
        _ => None,
    };
    if let Some(name) = value.as_str() {
        return one(name).map(|mode| vec![mode]);
    }
    let list: Vec<JudgeMode> =
        value.as_array()?.iter().map(|v| v.get_ref().as_str().and_then(one)).collect::<Option<_>>()?;
    let scores = list.iter().filter(|m| **m != JudgeMode::Pairwise).count();
    (!list.is_empty() && scores <= 1 && list.len() - scores <= 1).then_some(list)
}

fn fit(section: &mut Section, constitutions: &[String], captured: Option<&[Layer]>) -> FitSettings {
    let chosen = section
        .typed("layer", "\"auto\" or a layer's number", |value| match value.as_str() {
            Some("auto") => Some(None),
            _ => layer(value).map(Some),
        })
        .flatten();
    if let (Some(chosen), Some(captured)) = (chosen, captured)
        && !captured.contains(&chosen)
    {
        let list: Vec<_> = captured.iter().map(Layer::to_string).collect();
        let refusal = Refusal::new(Kind::Invalid, "`layer` is not among the layers that are captured")
            .expected(format!("one of {}", list.join(", ")))
            .found(chosen.to_string());
        section.problem("layer", refusal);
    }
    let values = section.texts("values").unwrap_or_default();
    for value in &values {
        if let Err(refusal) = check_name("a value's name", value) {
            section.problem("values", refusal);
        }
    }
    let reference = section.text("reference").unwrap_or_else(|| BARE.to_owned());
    if reference != BARE && !constitutions.contains(&reference) {
        let known = constitutions.iter().map(String::as_str).chain([BARE]);
        let mut refusal = Refusal::new(Kind::Invalid, "`reference` names no constitution of this experiment")
            .expected(format!("`{BARE}`, or the name of a constitution in [constitutions]"))
            .found(format!("`{reference}`"));
        if let Some(near) = nearest(&reference, known) {
            refusal = refusal.remedy(format!("did you mean `{near}`?"));
        }
        section.problem("reference", refusal);
    }
    let ensemble = section.texts("ensemble").unwrap_or_default();
    if let Some(unknown) = ensemble.iter().find(|name| !constitutions.contains(name)) {
        let refusal = Refusal::new(Kind::Invalid, "`ensemble` names no constitution of this experiment")
            .expected("names of constitutions in [constitutions]")
            .found(format!("`{unknown}`"));
        section.problem("ensemble", refusal);
    }
    let weights = section
        .typed("weights", "a table of numbers above 0 by the value's name", |value| {
            let pairs = value.as_table()?.iter();
            let weight = |v: &DeValue| number(v).filter(|w| *w > 0.0 && w.is_finite());
            pairs.map(|(name, v)| Some((name.get_ref().to_string(), weight(v.get_ref())?))).collect()
        })
        .unwrap_or_default();
    FitSettings { layer: chosen, values, reference, ensemble, weights }
}

/// Paths of a key, each blamed if there is no such file (or, where `what` allows it, folder).
fn existing(section: &mut Section, key: &'static str, what: &str) -> Option<Vec<PathBuf>> {
    let paths: Vec<_> = section.texts(key)?.iter().map(|path| section.resolve(path)).collect();
    for path in &paths {
        if !(path.is_file() || what == "file or folder" && path.is_dir()) {
            section.problem(key, not_there(what, path));
        }
    }
    Some(paths)
}

fn not_there(what: &str, path: &Path) -> Refusal {
    Refusal::new(Kind::Missing, format!("no such {what}: {}", path.display()))
        .remedy("check the path; it is relative to the experiment's folder")
}

fn layer(value: &toml::de::DeValue) -> Option<Layer> {
    whole(value).and_then(|n| usize::try_from(n).ok()).map(Layer)
}

/// Bytes from a text such as `8GB` (10⁹) or `8 GiB` (2³⁰).
fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim() {
        "B" => 1,
        "KB" | "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    // A size in bytes is well below 2⁵³, where f64 counts exactly.
    number.parse::<f64>().ok().map(|n| n * unit as f64).filter(|n| *n >= 1.0 && *n < 9e15).map(|n| n as u64)
}
