//! Reads an experiment's file and overriding settings, and validates them.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::{
    CaptureSettings, DataSettings, DeviceName, Experiment, FitSettings, JudgeMode, JudgeSettings,
    JudgeTemplateName, ModelSettings, TemplateName,
};
use crate::config::scope::{StateLayers, Under};
use crate::error::{Diagnostic, Error, Kind, Result};
use crate::input::constitution::BARE;
use crate::input::is_named;
use crate::input::name::{check_name, nearest};
use crate::input::settings::{Document, Section, Setting, number, whole};
use crate::input::{ReadOptions, embedded, read_constitutions};
use crate::judge::JudgeTemplate;
use crate::model::{ModelSource, hub};
use crate::units::{ByteSize, Layer, LayerList, OneOf};

/// File name of a run's experiment, in its folder.
pub const OWN: &str = "experiment.toml";

/// File name of a run's manifest, beside [`OWN`].
pub const MANIFEST: &str = "manifest.json";

impl Experiment {
    /// Reads and validates an experiment: all keys must be valid, all files that it refers to must exist, and its
    /// constitutions must be readable.
    ///
    /// # Errors
    /// One error that shows all problems, each with its line: keys that are unknown (with the closest known one),
    /// missing or of the wrong type; missing files; contradictory settings.
    pub fn read(path: &Path) -> Result<Self> {
        Self::compose(Some(path), &[])
    }

    /// Composes the experiment from a file with overriding settings, or from settings alone.
    ///
    /// # Errors
    /// As [`Experiment::read`]; a problem with a setting names the setting.
    pub fn compose(file: Option<&Path>, settings: &[Setting]) -> Result<Self> {
        let document = file.map_or_else(|| Ok(Document::empty()), Document::open)?.with(settings);
        document.read(|top| {
            if top.has("sweep") {
                let diagnostic = Diagnostic::new(Kind::Invalid, "the file is a sweep, not one experiment")
                    .remedy("run it with `vstar sweep`");
                top.problem("sweep", diagnostic);
                top.leave_rest();
                return None;
            }
            let model = required(top, "model", "a table [model] with `path`, `hub` or `embedded`", model);
            let data = required(top, "data", "a table [data] with `files`", data);
            let bare = !top.has("constitutions");
            let chosen = top.section("constitutions", constitutions).flatten().unwrap_or_default();
            let names = chosen.names.as_slice();
            let capture = top
                .section("capture", |section| capture(section, names))
                .unwrap_or(Some(CaptureSettings::default()));
            let judge = match top.section("judge", judge) {
                Some(Some(_)) if bare => {
                    let diagnostic = Diagnostic::new(Kind::Missing, "there is a judge and no constitution")
                        .expected("a table [constitutions]")
                        .remedy("add constitutions, or drop [judge]");
                    top.problem("judge", diagnostic);
                    None
                }
                Some(judge) => judge,
                None => (!bare).then(JudgeSettings::default),
            };
            let layers = capture.as_ref().map(|c| &c.layers);
            let fit = top.section("fit", |section| fit(section, names, layers));
            let out = top.text("out").map(PathBuf::from);
            let seed = top.typed("seed", "a whole number from 0 to 2^63 - 1", |value| {
                whole(value).filter(|n| i64::try_from(*n).is_ok())
            });
            let model = model?;
            Some(Self {
                out: out.unwrap_or_else(|| folder(file, &model.name)),
                model,
                data: data?,
                constitutions: chosen.paths,
                only: chosen.only,
                capture: capture?,
                judge,
                fit: fit.unwrap_or_default(),
                seed: seed.unwrap_or(0),
            })
        })
    }
}

/// The default folder of a run: that of the run whose experiment is read; otherwise `runs/` and the name of the file,
/// or of the model.
fn folder(file: Option<&Path>, model: &str) -> PathBuf {
    let Some(file) = file else { return Path::new("runs").join(short_name(model)) };
    let own = file.parent().filter(|folder| folder.join(MANIFEST).is_file());
    match own {
        Some(folder) if file.file_name().is_some_and(|name| name == OWN) => folder.to_owned(),
        _ => Path::new("runs").join(file.file_stem().unwrap_or_default()),
    }
}

/// A folder name for a model: the last part of a path or id, without `.gguf`.
pub(super) fn short_name(model: &str) -> String {
    let path = Path::new(model);
    let full = path.canonicalize().ok().filter(|p| p.is_dir()).unwrap_or_else(|| path.to_owned());
    let last = full.file_name().map_or_else(|| model.to_owned(), |n| n.to_string_lossy().into_owned());
    let last = last.strip_suffix(".gguf").unwrap_or(&last);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    last.chars().map(|c| if allowed(c) { c } else { '-' }).collect()
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
    let dtype = section.one_of("dtype").unwrap_or_default();
    let device = section.typed("device", DeviceName::GRAMMAR, |value| value.as_str()?.parse().ok());
    let stream = section.flag("stream").unwrap_or(false);
    let tokenizer = section.text("tokenizer").map(|name| {
        let path = section.resolve("tokenizer", &name);
        if !path.exists() {
            section.problem("tokenizer", not_there("tokenizer", &path));
        }
        path
    });
    let quantize = section
        .text("quantize")
        .and_then(|name| name.parse().map_err(|diagnostic| section.problem("quantize", diagnostic)).ok());
    let adapter = section.text("adapter").map(|name| {
        let path = section.resolve("adapter", &name);
        if !path.is_dir() {
            section.problem("adapter", not_there("folder of an adapter", &path));
        }
        path
    });
    let revision = section.text("revision");
    let (path, hub) = (section.text("path"), section.text("hub"));
    let embedded = section.text("embedded");
    if revision.is_some() && hub.is_none() {
        let diagnostic = Diagnostic::new(Kind::Invalid, "`revision` goes with `hub` alone")
            .remedy("drop it; a folder is known by the hashes of its files");
        section.problem("revision", diagnostic);
    }
    let (source, name) = match (path, hub, embedded) {
        (Some(path), None, None) => {
            let path = section.resolve("path", &path);
            let name = path.to_string_lossy().into_owned();
            match ModelSource::parse(&name, None) {
                Ok(source) if path.exists() => (source, name),
                Ok(_) => {
                    section.problem("path", not_there("folder or GGUF file", &path));
                    return None;
                }
                Err(error) => {
                    section.problem("path", diagnostic(error));
                    return None;
                }
            }
        }
        (None, Some(name), None) => {
            let (id, gguf) = match hub::gguf_id(&name) {
                Some((id, file)) => (id.to_owned(), Some(file.to_owned())),
                None => (name.clone(), None),
            };
            if !hub::is_id(&id) {
                let diagnostic = Diagnostic::new(Kind::Invalid, "`hub` cannot be used")
                    .expected("an id on the hub: owner/name, or owner/name:FILE.gguf")
                    .found(format!("`{id}`"))
                    .remedy("for a folder or file on this machine use `path`");
                section.problem("hub", diagnostic);
            }
            (ModelSource::Hub { id, revision, gguf }, name)
        }
        (None, None, Some(name)) => {
            let full = format!("embedded:{name}");
            (ModelSource::Embedded(name), full)
        }
        (None, None, None) => {
            // A key of the wrong type has already been reported.
            if !(section.has("path") || section.has("hub") || section.has("embedded")) {
                section.missing("path", "one of `path`, `hub` and `embedded`");
            }
            return None;
        }
        _ => {
            let diagnostic =
                Diagnostic::new(Kind::Invalid, "more than one of `path`, `hub` and `embedded` is given")
                    .expected("one of them");
            section.problem("", diagnostic);
            return None;
        }
    };
    Some(ModelSettings { source, name, dtype, device, stream, tokenizer, quantize, adapter })
}

/// The diagnostic of a check's error; other errors are converted to text.
fn diagnostic(error: Error) -> Diagnostic {
    match error {
        Error::Diagnostic(diagnostic) => *diagnostic,
        other => Diagnostic::new(Kind::Invalid, other.to_string()),
    }
}

fn data(section: &mut Section) -> Option<DataSettings> {
    let files = existing(section, "files", "file");
    if !section.has("files") {
        section.missing("files", "a list of files of items");
    } else if files.as_ref().is_some_and(Vec::is_empty) {
        section.problem(
            "files",
            Diagnostic::new(Kind::Missing, "`files` is empty").expected("at least one file"),
        );
    }
    let limit = section.positive("limit");
    let value_name = section.text("value_name");
    if let Some(name) = &value_name
        && let Err(diagnostic) = check_name("`value_name`", name)
    {
        section.problem("value_name", diagnostic);
    }
    let skip_bad = section.flag("skip_bad").unwrap_or(false);
    Some(DataSettings { files: files?, read: ReadOptions { skip_bad, limit, value_name } })
}

/// Contents of the table [constitutions].
#[derive(Default)]
struct ConstitutionSelection {
    paths: Vec<PathBuf>,
    only: Option<Vec<String>>,
    /// Names of the selected constitutions; empty if they cannot be read.
    names: Vec<String>,
}

fn constitutions(section: &mut Section) -> Option<ConstitutionSelection> {
    if !section.has("files") {
        section.missing("files", "a list of files, or of folders that hold them");
    }
    let paths = existing(section, "files", "file or folder");
    let only = section.texts("only");
    let paths = paths?;
    if paths.is_empty() {
        let diagnostic =
            Diagnostic::new(Kind::Missing, "`files` is empty").expected("at least one file or folder");
        section.problem("files", diagnostic);
        return None;
    }
    if !paths.iter().all(|path| there(path)) {
        return None;
    }
    let mut names: Vec<_> = match read_constitutions(&paths) {
        Ok(all) => all.into_iter().map(|c| c.name).collect(),
        Err(error) => {
            let what = format!("the constitutions cannot be read: {error}");
            section.problem("", Diagnostic::new(error.kind().unwrap_or(Kind::Invalid), what));
            return None;
        }
    };
    if let Some(only) = &only {
        if only.is_empty() {
            let diagnostic = Diagnostic::new(Kind::Invalid, "`only` names no constitution")
                .expected("at least one name")
                .remedy("drop [constitutions] to capture the bare context alone");
            section.problem("only", diagnostic);
        }
        for name in only.iter().filter(|name| !names.contains(name)) {
            let mut diagnostic =
                Diagnostic::new(Kind::Invalid, "`only` names a constitution that is not in `files`")
                    .expected("names of constitutions in `files`")
                    .found(format!("`{name}`"));
            if let Some(near) = nearest(name, names.iter().map(String::as_str)) {
                diagnostic = diagnostic.remedy(format!("did you mean `{near}`?"));
            }
            section.problem("only", diagnostic);
        }
        names.retain(|name| only.contains(name));
    }
    Some(ConstitutionSelection { paths, only, names })
}

fn capture(section: &mut Section, constitutions: &[String]) -> Option<CaptureSettings> {
    let template = section.text("template").map(|name| match name.parse() {
        Ok(TemplateName::File(_)) | Err(_) => {
            let file = section.resolve("template", &name);
            if !file.is_file() {
                let diagnostic = not_there("template", &file).expected("`none`, `chat` or a Jinja file");
                section.problem("template", diagnostic);
            }
            TemplateName::File(file)
        }
        Ok(named) => named,
    });
    let layers = section.typed("layers", LAYERS, layers).unwrap_or_default();
    let pool = section.one_of("pool").unwrap_or_default();
    let memory = section.typed("memory", ByteSize::GRAMMAR, |value| match value.as_str() {
        Some(text) => text.parse().ok(),
        None => whole(value).filter(|n| *n > 0).map(ByteSize),
    });
    let under = section.texts("under").map_or(Under::All, Under::of);
    if let Err(Error::Diagnostic(diagnostic)) = under.check(constitutions.iter().map(String::as_str)) {
        section.problem("under", *diagnostic);
    }
    let logprob = section.one_of("logprob").unwrap_or_default();
    Some(CaptureSettings { template, layers, pool, memory, under, logprob })
}

fn judge(section: &mut Section) -> Option<JudgeSettings> {
    let enabled = section.flag("enabled").unwrap_or(true);
    let modes = section.typed("mode", MODES, modes).unwrap_or_default();
    let template = section.text("template").map(|name| {
        if JudgeTemplate::built_in().any(|known| known == name) {
            return JudgeTemplateName::Shipped(name);
        }
        let file = section.resolve("template", &name);
        if !file.is_file() {
            let known: Vec<&str> = JudgeTemplate::built_in().collect();
            let mut diagnostic =
                not_there("judge template", &file).expected(format!("{}, or a file", known.join(", ")));
            if let Some(near) = nearest(&name, known) {
                diagnostic = diagnostic.remedy(format!("did you mean `{near}`?"));
            }
            section.problem("template", diagnostic);
        }
        JudgeTemplateName::File(file)
    });
    let max_pairs_per_prompt = section.positive("max_pairs_per_prompt");
    let layers = section
        .typed("layers", StateLayers::GRAMMAR, |value| match value.as_str() {
            Some(text) => text.parse().ok(),
            None => layers(value).map(StateLayers::These),
        })
        .unwrap_or_default();
    enabled.then_some(JudgeSettings { modes, template, max_pairs_per_prompt, layers })
}

const MODES: &str = "`pairwise`, `pointwise` or `implicit`, or a list of `pairwise` and one of the others";

/// A mode, or a list of distinct modes; a file of observations holds one kind of score.
fn modes(value: &toml::de::DeValue) -> Option<Vec<JudgeMode>> {
    let one = JudgeMode::of_word;
    if let Some(name) = value.as_str() {
        return one(name).map(|mode| vec![mode]);
    }
    let list: Vec<JudgeMode> =
        value.as_array()?.iter().map(|v| v.get_ref().as_str().and_then(one)).collect::<Option<_>>()?;
    let scores = list.iter().filter(|m| **m != JudgeMode::Pairwise).count();
    (!list.is_empty() && scores <= 1 && list.len() - scores <= 1).then_some(list)
}

fn fit(section: &mut Section, constitutions: &[String], captured: Option<&LayerList>) -> FitSettings {
    let chosen = section
        .typed("layer", "\"auto\" or a layer's number", |value| match value.as_str() {
            Some("auto") => Some(None),
            Some(text) => text.parse().ok().map(|n| Some(Layer(n))),
            None => layer(value).map(Some),
        })
        .flatten();
    if let (Some(chosen), Some(LayerList::These(captured))) = (chosen, captured)
        && !captured.contains(&chosen)
    {
        let list: Vec<_> = captured.iter().map(Layer::to_string).collect();
        let diagnostic = Diagnostic::new(Kind::Invalid, "`layer` is not among the layers that are captured")
            .expected(format!("one of {}", list.join(", ")))
            .found(chosen.to_string());
        section.problem("layer", diagnostic);
    }
    let values = section.texts("values").unwrap_or_default();
    for value in &values {
        if let Err(diagnostic) = check_name("a value's name", value) {
            section.problem("values", diagnostic);
        }
    }
    let reference = section.text("reference");
    if let Some(reference) = reference.as_ref().filter(|r| *r != BARE && !constitutions.contains(r)) {
        let known = constitutions.iter().map(String::as_str).chain([BARE]);
        let mut diagnostic =
            Diagnostic::new(Kind::Invalid, "`reference` names no constitution of this experiment")
                .expected(format!("`{BARE}`, or the name of a constitution in [constitutions]"))
                .found(format!("`{reference}`"));
        if let Some(near) = nearest(reference, known) {
            diagnostic = diagnostic.remedy(format!("did you mean `{near}`?"));
        }
        section.problem("reference", diagnostic);
    }
    let ensemble = section.texts("ensemble").unwrap_or_default();
    if let Some(unknown) = ensemble.iter().find(|name| !constitutions.contains(name)) {
        let mut diagnostic =
            Diagnostic::new(Kind::Invalid, "`ensemble` names no constitution of this experiment")
                .expected("names of constitutions in [constitutions]")
                .found(format!("`{unknown}`"));
        if let Some(near) = nearest(unknown, constitutions.iter().map(String::as_str)) {
            diagnostic = diagnostic.remedy(format!("did you mean `{near}`?"));
        }
        section.problem("ensemble", diagnostic);
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

/// Paths given by a key; reports each missing file (or folder, if `what` allows it).
fn existing(section: &mut Section, key: &'static str, what: &str) -> Option<Vec<PathBuf>> {
    let paths: Vec<_> = section.texts(key)?.iter().map(|path| section.resolve(key, path)).collect();
    for path in &paths {
        let folders = what == "file or folder";
        // Unknown names of constitutions are reported when they are read.
        if !folders && let Some(Err(error)) = embedded::prompts_text(path) {
            section.problem(key, diagnostic(error));
        } else if !(is_named(path) || path.is_file() || folders && path.is_dir()) {
            section.problem(key, not_there(what, path));
        }
    }
    Some(paths)
}

fn there(path: &Path) -> bool {
    is_named(path) || path.exists()
}

fn not_there(what: &str, path: &Path) -> Diagnostic {
    Diagnostic::new(Kind::Missing, format!("no such {what}: {}", path.display()))
        .remedy("check the path; in a file it is relative to the file's folder")
}

fn layer(value: &DeValue) -> Option<Layer> {
    whole(value).and_then(|n| usize::try_from(n).ok()).map(Layer)
}

const LAYERS: &str =
    "\"all\", numbers and ranges such as \"0,4-8\", or a list of numbers, none of them twice";

fn layers(value: &DeValue) -> Option<LayerList> {
    if let Some(text) = value.as_str() {
        return text.parse().ok();
    }
    let Some(list) = value.as_array() else { return LayerList::these([layer(value)?.0]) };
    let numbers: Vec<usize> = list.iter().map(|v| layer(v.get_ref()).map(|l| l.0)).collect::<Option<_>>()?;
    let given = numbers.len();
    LayerList::these(numbers).filter(|l| matches!(l, LayerList::These(each) if each.len() == given))
}
