//! Constitutions and experiments: valid files, and every error in them.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use vstar::config::{
    DeviceName, Dtype, Experiment, FitSettings, JudgeMode, JudgeTemplateName, Pool, TemplateName,
};
use vstar::error::Kind;
use vstar::input::settings::{Document, Setting};
use vstar::input::{Constitution, Family, Sign, read_constitutions};
use vstar::model::ModelSource;
use vstar::units::{ByteSize, Layer, LayerList};

/// A folder of files with a model, data, a template and two constitutions.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [
        ("data.jsonl", ""),
        ("chat.jinja", ""),
        ("judge.toml", ""),
        ("model/config.json", "{}"),
        ("constitutions/kind.toml", &constitution("kind", "expect = { harmless = \"+\", \"*\" = \"0\" }")),
        ("constitutions/cruel.toml", &constitution("cruel", "opposite = \"kind\"\nexpect = \"-\"")),
        ("constitutions/notes.txt", "not a constitution"),
    ] {
        write(folder.path(), name, text);
    }
    folder
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    std::fs::write(&path, text).expect("written");
    path
}

fn constitution(name: &str, more: &str) -> String {
    format!("name = \"{name}\"\ntext = \"Prefer the {name} one.\"\nfamily = \"subtle\"\n{more}\n")
}

fn read_one(text: &str) -> Result<Vec<Constitution>, (Option<Kind>, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = write(folder.path(), "one.toml", text);
    read_constitutions(&[path]).map_err(|e| (e.kind(), e.to_string()))
}

#[test]
fn a_folder_of_constitutions_is_read_in_the_order_of_its_names() {
    let folder = folder();
    let all = read_constitutions(&[folder.path().join("constitutions")]).expect("reads");
    let names: Vec<_> = all.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["cruel", "kind"]);
    assert_eq!(all[1].text, "Prefer the kind one.");
    assert_eq!((all[1].family, all[1].held_out), (Family::Subtle, false));
    assert_eq!(all[0].opposite.as_deref(), Some("kind"));
    // SHA-256 of the file on disk, from another program.
    let other = write(folder.path(), "other.toml", "name = \"a\"\nfamily = \"placebo\"\ntext = \"b\"\n");
    let digest = read_constitutions(&[other]).expect("reads").remove(0).sha256;
    assert_eq!(digest, "bacfad646a077cbba2f36547e32bf512ada241ad7561872489f0084a5dad05c7");
    // A file that is given in addition to its folder is read once.
    let twice = [folder.path().join("constitutions/kind.toml"), folder.path().join("constitutions")];
    let names: Vec<_> = read_constitutions(&twice).expect("reads").into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["kind", "cruel"]);
}

#[test]
fn a_guess_holds_for_its_value_and_one_without_a_name_for_all() {
    let folder = folder();
    let all = read_constitutions(&[folder.path().join("constitutions")]).expect("reads");
    assert_eq!(all[0].expected("anything"), Some(Sign::Minus));
    assert_eq!(all[1].expected("harmless"), Some(Sign::Plus));
    assert_eq!(all[1].expected("honest"), Some(Sign::Zero));
    let bare = read_one(&constitution("bare", "")).expect("reads");
    assert_eq!(bare[0].expected("harmless"), None);
}

#[test]
fn the_shipped_constitutions_are_in_order_and_no_relation_is_one_sided() {
    let all =
        read_constitutions(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("constitutions")]).expect("reads");
    assert!(all.len() >= 40);
    for family in Family::ALL {
        assert!(all.iter().any(|c| c.family == family), "{family}");
    }
    let named = |name: &str| all.iter().find(|c| c.name == name).expect("relations are checked");
    for constitution in &all {
        let stem = constitution.place.file.as_deref().and_then(Path::file_stem);
        assert_eq!(stem.and_then(|s| s.to_str()), Some(constitution.name.as_str()));
        if let Some(other) = &constitution.opposite {
            assert_eq!(named(other).opposite.as_ref(), Some(&constitution.name), "{}", constitution.name);
        }
        if let Some(other) = &constitution.paraphrase_of {
            assert_eq!(named(other).family, constitution.family, "{}", constitution.name);
        }
    }
}

#[test]
fn a_bad_constitution_is_refused_with_its_line() {
    let head = "name = \"x\"\ntext = \"t\"\nfamily = \"subtle\"\n";
    let cases = [
        (format!("{head}oposite = \"y\""), Kind::UnknownKey, "one.toml:4", "did you mean `opposite`?"),
        (head.replace("subtle", "subtel"), Kind::Invalid, "one.toml:3", "did you mean `subtle`?"),
        (head.replace("\"t\"", "\" \\n\""), Kind::Invalid, "one.toml:2", "`text` is empty"),
        (head.replace("\"t\"", "3"), Kind::Invalid, "one.toml:2", "a whole number: 3"),
        (head.replace("\"x\"", "\"none\""), Kind::Invalid, "one.toml:1", "reserved"),
        (head.replace("\"x\"", "\"a b\""), Kind::Invalid, "one.toml:1", "A-Z a-z 0-9"),
        (head.replace("\"x\"", &format!("\"{}\"", "x".repeat(65))), Kind::Invalid, "one.toml:1", "1 to 64"),
        (head.replace("name = \"x\"\n", ""), Kind::Missing, "one.toml:1", "no `name`"),
        (head.replace("family", "#"), Kind::Missing, "one.toml", "no `family`"),
        (format!("{head}expect = \"plus\""), Kind::Invalid, "one.toml:4", "`plus`"),
        (format!("{head}expect = {{ honest = 1 }}"), Kind::Invalid, "one.toml:4", "a table of 1 keys"),
        (format!("{head}expect = {{ \"a b\" = \"+\" }}"), Kind::Invalid, "one.toml:4", "tensor"),
        (format!("{head}held_out = \"yes\""), Kind::Invalid, "one.toml:4", "true or false"),
        (format!("{head}opposite = \"x\""), Kind::Invalid, "one.toml:4", "own name"),
        (format!("{head}opposite = \"y\""), Kind::Invalid, "one.toml", "not there"),
        (format!("{head}name = \"y\""), Kind::Malformed, "one.toml:4", "not TOML"),
        ("name = ".to_owned(), Kind::Malformed, "one.toml:1", "not TOML"),
    ];
    for (text, kind, place, what) in cases {
        let (found, shown) = read_one(&text).expect_err(&text);
        assert_eq!(found, Some(kind), "{text}\n{shown}");
        assert!(shown.contains(place) && shown.contains(what), "{text}\n{shown}");
    }
}

#[test]
fn two_constitutions_of_one_name_a_missing_file_and_an_empty_folder_are_refused() {
    let folder = folder();
    let again = write(folder.path(), "again.toml", &constitution("kind", ""));
    let error = read_constitutions(&[folder.path().join("constitutions"), again]).expect_err("taken");
    assert!(
        error.to_string().contains("`kind` is taken") && error.to_string().contains("kind.toml"),
        "{error}"
    );
    let error = read_constitutions(&[folder.path().join("absent.toml")]).expect_err("absent");
    assert_eq!(error.kind(), Some(Kind::Missing));
    let error = read_constitutions(&[folder.path().join("model")]).expect_err("no .toml");
    assert_eq!(error.kind(), Some(Kind::Missing));
    let bytes = folder.path().join("bytes.toml");
    std::fs::write(&bytes, b"name = \"\xff\"").expect("written");
    assert!(read_constitutions(&[bytes]).expect_err("not UTF-8").to_string().contains("UTF-8"));
}

const WHOLE: &str = r#"seed = 7
out = "elsewhere"
[model]
path = "model"
dtype = "bf16"
device = "cuda:1"
[data]
files = ["data.jsonl"]
limit = 5
value_name = "harmless"
skip_bad = true
[constitutions]
files = ["constitutions"]
only = ["kind"]
[capture]
template = "chat.jinja"
layers = [3, 0]
pool = "last"
memory = "1.5 GB"
[judge]
template = "judge.toml"
max_pairs_per_prompt = 3
[fit]
layer = 3
values = ["harmless"]
reference = "kind"
"#;

#[test]
fn an_experiment_says_all_that_its_file_says_with_paths_relative_to_it() {
    let folder = folder();
    let path = write(folder.path(), "whole.toml", WHOLE);
    let experiment = Experiment::read(&path).expect("reads");
    let at = |name: &str| folder.path().join(name);
    assert_eq!(experiment.seed, 7);
    assert_eq!(experiment.out, Path::new("elsewhere"), "relative to the current folder");
    assert_eq!(experiment.model.source, ModelSource::Folder(at("model")));
    assert_eq!(experiment.model.name, at("model").to_string_lossy());
    assert_eq!((experiment.model.dtype, experiment.model.device), (Dtype::Bf16, Some(DeviceName::Cuda(1))));
    assert_eq!(experiment.data.files, [at("data.jsonl")]);
    assert_eq!((experiment.data.read.limit, experiment.data.read.skip_bad), (Some(5), true));
    assert_eq!(experiment.data.read.value_name.as_deref(), Some("harmless"));
    assert_eq!(experiment.constitutions, [at("constitutions")]);
    let names: Vec<_> = experiment.constitutions().expect("reads").into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["kind"]);
    assert_eq!(experiment.capture.template, Some(TemplateName::File(at("chat.jinja"))));
    assert_eq!(experiment.capture.layers, LayerList::These(vec![Layer(0), Layer(3)]));
    assert_eq!(
        (experiment.capture.pool, experiment.capture.memory),
        (Pool::Last, Some(ByteSize(1_500_000_000)))
    );
    let judge = experiment.judge.expect("enabled");
    assert_eq!(judge.template, Some(JudgeTemplateName::File(at("judge.toml"))));
    assert_eq!(judge.max_pairs_per_prompt, Some(3));
    assert_eq!((experiment.fit.layer, experiment.fit.reference.as_deref()), (Some(Layer(3)), Some("kind")));
    assert_eq!(experiment.fit.values, ["harmless"]);
}

#[test]
fn an_experiment_of_a_model_and_data_has_the_documented_defaults() {
    let folder = folder();
    let short = "model.path = \"model\"\ndata.files = \"data.jsonl\"\n";
    let experiment = Experiment::read(&write(folder.path(), "short.toml", short)).expect("reads");
    assert_eq!((experiment.out.as_path(), experiment.seed), (Path::new("runs/short"), 0));
    assert_eq!((experiment.model.dtype, experiment.model.device), (Dtype::F32, None));
    assert_eq!((&experiment.capture.template, &experiment.capture.layers), (&None, &LayerList::All));
    assert_eq!((experiment.capture.pool, experiment.capture.memory), (Pool::Mean, None));
    assert_eq!((experiment.fit.layer, experiment.fit.reference.as_deref()), (None, None));
    assert!(experiment.judge.is_none() && experiment.constitutions().expect("none").is_empty());
    // With constitutions the judge is on, unless disabled.
    for (more, judged) in [("", true), ("judge.enabled = false\n", false), ("judge.enabled = true\n", true)] {
        let text = format!("{short}constitutions.files = [\"constitutions\"]\n{more}");
        let experiment = Experiment::read(&write(folder.path(), "judged.toml", &text)).expect("reads");
        assert_eq!(experiment.judge.is_some(), judged, "{more}");
        assert_eq!(experiment.constitutions().expect("reads").len(), 2);
    }
}

#[test]
fn an_experiment_may_name_a_tokenizer_relative_to_it() {
    let folder = folder();
    let text = "[data]\nfiles = \"data.jsonl\"\n[model]\npath = \"model\"\ntokenizer = \"model\"\n";
    let experiment = Experiment::read(&write(folder.path(), "own.toml", text)).expect("reads");
    assert_eq!(experiment.model.tokenizer, Some(folder.path().join("model")));
    let absent = text.replace("tokenizer = \"model\"", "tokenizer = \"absent.json\"");
    let error = Experiment::read(&write(folder.path(), "bad.toml", &absent)).expect_err("absent");
    let shown = error.to_string();
    assert!(error.kind() == Some(Kind::Missing) && shown.contains("bad.toml:5"), "{shown}");
    assert!(shown.contains("absent.json"), "{shown}");
}

#[test]
fn a_model_may_be_a_gguf_file_here_or_on_the_hub() {
    let folder = folder();
    std::fs::write(folder.path().join("m.gguf"), b"GGUF").expect("written");
    let read = |model: &str| {
        let text = format!("[model]\n{model}\n[data]\nfiles = [\"data.jsonl\"]\n");
        Experiment::read(&write(folder.path(), "gguf.toml", &text)).expect("reads").model
    };
    let at = |name: &str| folder.path().join(name);
    assert_eq!(read("path = \"m.gguf\"").source, ModelSource::Gguf(at("m.gguf")));
    let hub = |gguf: Option<&str>| ModelSource::Hub {
        id: "owner/name".into(),
        revision: Some("v1".into()),
        gguf: gguf.map(str::to_owned),
    };
    assert_eq!(read("hub = \"owner/name:Q4_K_M\"\nrevision = \"v1\"").source, hub(Some("Q4_K_M")));
    assert_eq!(read("hub = \"owner/name:a/m.gguf\"\nrevision = \"v1\"").source, hub(Some("a/m.gguf")));
    assert_eq!(read("hub = \"owner/name\"\nrevision = \"v1\"").source, hub(None));
    let given = read("path = \"m.gguf\"\ntokenizer = \"model\"");
    assert_eq!(given.tokenizer, Some(at("model")), "relative to the experiment");
}

#[test]
fn a_bad_experiment_is_refused_with_the_line_of_the_key() {
    let folder = folder();
    let cases = [
        ("seed = 7", "sed = 7", Kind::UnknownKey, ":1", "did you mean `seed`?"),
        ("seed = 7", "seed = -7", Kind::Invalid, ":1", "from 0 to 2^63"),
        ("[model]", "[modl]", Kind::UnknownKey, ":3", "did you mean `model`?"),
        ("dtype = ", "dytpe = ", Kind::UnknownKey, ":5", "did you mean `dtype`?"),
        ("\"bf16\"", "\"bf61\"", Kind::Invalid, ":5", "did you mean `bf16`?"),
        ("\"cuda:1\"", "\"gpu\"", Kind::Invalid, ":6", "cuda:N"),
        ("path = \"model\"", "path = \"absent\"", Kind::Missing, ":4", "absent"),
        ("path = \"model\"", "path = \"absent.gguf\"", Kind::Missing, ":4", "absent.gguf"),
        ("path = \"model\"", "path = \"model\"\ntokenizer = \"absent\"", Kind::Missing, ":5", "absent"),
        ("path = \"model\"", "hub = \"no-owner\"", Kind::Invalid, ":4", "owner/name"),
        ("path = \"model\"", "hub = \"no-owner:Q4_K_M\"", Kind::Invalid, ":4", "owner/name"),
        ("path = \"model\"", "", Kind::Missing, ":3", "one of `path`, `hub` and `embedded`"),
        ("[\"data.jsonl\"]", "[\"dtaa.jsonl\"]", Kind::Missing, ":8", "dtaa.jsonl"),
        ("[\"data.jsonl\"]", "[]", Kind::Missing, ":8", "empty"),
        ("[\"data.jsonl\"]", "[1]", Kind::Invalid, ":8", "a list of texts"),
        ("limit = 5", "limit = 0", Kind::Invalid, ":9", "1 or more"),
        ("limit = 5", "limit = \"5\"", Kind::Invalid, ":9", "`5`"),
        ("\"harmless\"\nskip", "\"harm less\"\nskip", Kind::Invalid, ":10", "tensor"),
        ("skip_bad = true", "skip_bad = 1", Kind::Invalid, ":11", "true or false"),
        ("[\"constitutions\"]", "[\"absent\"]", Kind::Missing, ":13", "absent"),
        ("only = [\"kind\"]", "only = [\"kidn\"]", Kind::Invalid, ":14", "did you mean `kind`?"),
        ("only = [\"kind\"]", "only = []", Kind::Invalid, ":14", "names no constitution"),
        ("\"chat.jinja\"", "\"caht\"", Kind::Missing, ":16", "`chat`"),
        ("layers = [3, 0]", "layers = [3, 3]", Kind::Invalid, ":17", "none of them twice"),
        ("layers = [3, 0]", "layers = [1]", Kind::Invalid, ":24", "not among the layers"),
        ("\"last\"", "\"first\"", Kind::Invalid, ":18", "`mean`"),
        ("\"1.5 GB\"", "\"much\"", Kind::Invalid, ":19", "8GB"),
        ("\"judge.toml\"", "\"absent.toml\"", Kind::Missing, ":21", "absent.toml"),
        ("pairs_per_prompt = 3", "pairs_per_prompt = 0", Kind::Invalid, ":22", "1 or more"),
        ("layer = 3", "layer = \"best\"", Kind::Invalid, ":24", "auto"),
        ("layer = 3", "layer = 3\nlayer = 4", Kind::Malformed, ":25", "not TOML"),
        ("reference = \"kind\"", "reference = \"cruel\"", Kind::Invalid, ":26", "`cruel`"),
    ];
    Experiment::read(&write(folder.path(), "bad.toml", WHOLE)).expect("in order before the change");
    for (from, to, kind, place, what) in cases {
        assert_eq!(WHOLE.matches(from).count(), 1, "{from}");
        let path = write(folder.path(), "bad.toml", &WHOLE.replace(from, to));
        let error = Experiment::read(&path).expect_err(to);
        let shown = error.to_string();
        let line = format!("bad.toml{place}");
        let at_line = |end: &str| shown.contains(&format!("{line}{end}"));
        assert!((at_line(" [") || at_line(":")) && shown.contains(what), "{to}\n{shown}");
        assert!(
            shown.contains("problems") || error.kind() == Some(kind),
            "{to}: {:?}\n{shown}",
            error.kind()
        );
    }
    let error = Experiment::read(&folder.path().join("absent.toml")).expect_err("absent");
    assert_eq!(error.kind(), Some(Kind::Missing));
}

#[test]
fn all_problems_of_a_file_are_reported_together_in_the_order_of_their_lines() {
    let folder = folder();
    let text = WHOLE.replace("seed", "sed").replace("\"bf16\"", "16").replace("pool", "pol");
    let shown = Experiment::read(&write(folder.path(), "bad.toml", &text)).expect_err("bad").to_string();
    let at: Vec<_> = ["3 problems", "bad.toml:1", "bad.toml:5", "bad.toml:18"]
        .iter()
        .map(|part| shown.find(part).unwrap_or_else(|| panic!("{part} in {shown}")))
        .collect();
    assert!(at.is_sorted(), "{shown}");
}

/// Every key with a non-default value.
const EVERYTHING: &str = r#"seed = 7
[model]
path = "model"
dtype = "bf16"
device = "cuda:1"
stream = true
[data]
files = ["data.jsonl", "embedded:honest"]
limit = 5
value_name = "harmless"
skip_bad = true
[constitutions]
files = ["constitutions", "embedded:all"]
only = ["kind", "cruel", "honest"]
[capture]
template = "chat.jinja"
layers = "0,3-4"
pool = "last"
memory = "1.5 GiB"
[judge]
mode = ["pairwise", "implicit"]
template = "judge.toml"
max_pairs_per_prompt = 3
[fit]
layer = 3
values = ["harmless"]
reference = "kind"
ensemble = ["kind", "cruel"]
weights = { harmless = 2.5 }
"#;

#[test]
fn the_reference_of_all_keys_is_an_experiment_and_lacks_none() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/reference.toml");
    let experiment = Experiment::read(&path).unwrap_or_else(|e| panic!("{e}"));
    let written: toml::Table = experiment.to_toml().expect("TOML").parse().expect("TOML");
    let text = std::fs::read_to_string(&path).expect("the file");
    let named = |key: &str| {
        let line = |l: &str| l.trim_start_matches("# ").split('=').next().is_some_and(|k| k.trim() == key);
        text.lines().any(line)
    };
    let mut keys = 0;
    for (table, entries) in &written {
        for key in entries.as_table().into_iter().flat_map(toml::Table::keys).chain([table]) {
            assert!(
                named(key) || text.contains(&format!("[{key}]")),
                "{table}.{key} is not in the reference"
            );
            keys += 1;
        }
    }
    assert!(keys > 28, "{keys}");
    for key in ["path", "hub", "revision", "tokenizer", "out"] {
        assert!(named(key), "{key}");
    }
}

#[test]
fn an_experiment_that_is_written_reads_as_the_same() {
    let folder = folder();
    let rename = |text: &str| text.replace("[\"kind\", \"cruel\", \"honest\"]", "[\"kind\", \"cruel\"]");
    let short = "model.path = \"model\"\ndata.files = \"data.jsonl\"\n".to_owned();
    let mute = format!("{short}constitutions.files = \"constitutions\"\njudge.enabled = false\n");
    let named = |dtype: &str| EVERYTHING.replace("\"bf16\"", dtype).replace("\"cuda:1\"", "\"cpu\"");
    for text in [rename(&named("\"f16\"")), rename(EVERYTHING), short, mute] {
        // The embedded kind would take the folder's name.
        let text = text.replace(", \"embedded:all\"", "");
        let path = write(folder.path(), "one.toml", &text);
        let experiment = Experiment::read(&path).expect("reads");
        let written = experiment.to_toml().expect("writes");
        let again = Experiment::read(&write(&folder.path().join("elsewhere"), "two.toml", &written));
        let again = again.unwrap_or_else(|e| panic!("{e}\n{written}"));
        let mut expected = Experiment::read(&path).expect("reads");
        expected.out = again.out.clone();
        assert_eq!(again, expected, "{written}");
    }
    let own = "model.embedded = \"hearth-xs\"\ndata.files = \"embedded:hearth\"\n\
               constitutions.files = \"embedded:hearth\"\n";
    let experiment = Experiment::read(&write(folder.path(), "own.toml", own)).expect("reads");
    let written = experiment.to_toml().expect("writes");
    assert!(written.contains("embedded:hearth") && !written.contains("/embedded"), "{written}");
}

#[test]
fn settings_stand_on_top_of_the_file_and_alone() {
    let folder = folder();
    let path = write(folder.path(), "whole.toml", WHOLE);
    let set = |list: &[&str]| -> Vec<Setting> {
        list.iter().map(|text| Setting::parse(text).expect("a setting")).collect()
    };
    let settings = set(&[
        "seed=8",
        "judge.mode=implicit",
        "judge.template=chat",
        "capture.layers=0,2-3",
        "fit.weights={harmless=2}",
        "data.limit = 9",
        "model.dtype=\"f32\"",
    ]);
    let found = Experiment::compose(Some(&path), &settings).expect("reads");
    let before = Experiment::read(&path).expect("reads");
    assert_eq!((found.seed, found.data.read.limit, found.model.dtype), (8, Some(9), Dtype::F32));
    assert_eq!(found.capture.layers.numbers(), Some(vec![0, 2, 3]));
    let judge = found.judge.expect("a judge");
    assert_eq!(judge.modes, [JudgeMode::Implicit]);
    assert_eq!(judge.template, Some(JudgeTemplateName::Shipped("chat".into())));
    assert_eq!(judge.max_pairs_per_prompt, Some(3), "keys beside it stay");
    assert_eq!(found.fit.weights["harmless"], 2.0);
    assert_eq!(FitSettings { weights: before.fit.weights.clone(), ..found.fit }, before.fit);
    assert_eq!(found.data.files, before.data.files);
    // Paths of a setting are relative to the current folder; later settings win.
    let files = format!("data.files=[{:?}]", folder.path().join("data.jsonl"));
    let alone = set(&["model.embedded=hearth-xs", &files, "seed=1", "seed=2", "out=here"]);
    let found = Experiment::compose(None, &alone).expect("reads");
    assert_eq!((found.seed, found.out.as_path()), (2, Path::new("here")));
    assert_eq!(found.model.source, ModelSource::Embedded("hearth-xs".into()));
    let error = Experiment::compose(Some(&path), &set(&["data.files=data.jsonl"])).expect_err("not here");
    assert!(error.to_string().contains("--set data.files=data.jsonl"), "{error}");
    // A table in braces replaces the file's.
    let text = WHOLE.replace("[fit]", "[fit]\nweights = { harmless = 3, honest = 4 }");
    let path = write(folder.path(), "weights.toml", &text);
    let found = Experiment::compose(Some(&path), &set(&["fit.weights={honest=2}"])).expect("reads");
    assert_eq!(found.fit.weights.into_iter().collect::<Vec<_>>(), [("honest".to_owned(), 2.0)]);
    let found = Experiment::compose(Some(&path), &set(&["fit.weights.honest=2"])).expect("reads");
    assert_eq!(found.fit.weights.len(), 2);
}

#[test]
fn a_bad_setting_is_reported_with_the_setting_and_a_bad_line_beside_it_with_its_line() {
    let folder = folder();
    let path = write(folder.path(), "whole.toml", WHOLE);
    for (setting, what) in [
        ("judge.mdoe=implicit", "did you mean `mode`?"),
        ("judge.mode=implict", "`implict`"),
        ("fit.labels=[\"x\"]", "did you mean `values`?"),
        ("fit.layer=9", "not among the layers"),
        ("data.limit=0", "1 or more"),
        ("model=3", "a table"),
        ("capture.memory=8 GBs", "GiB"),
    ] {
        let error = Experiment::compose(Some(&path), &[Setting::parse(setting).expect("parses")]);
        let shown = error.expect_err(setting).to_string();
        assert!(shown.contains(&format!("[--set {setting}]")) && shown.contains(what), "{shown}");
        assert!(!shown.contains("whole.toml:"), "{shown}");
    }
    let bad = write(folder.path(), "bad.toml", &WHOLE.replace("seed = 7", "seed = -7"));
    let shown = Experiment::compose(Some(&bad), &[Setting::parse("fit.layre=3").expect("parses")]);
    let shown = shown.expect_err("bad").to_string();
    assert!(shown.contains("bad.toml:1") && shown.contains("[--set fit.layre=3]"), "{shown}");
    for bad in ["judge.mode", "=x", "a b=3", "a\nb=3", "[a]=3"] {
        let shown = Setting::parse(bad).expect_err(bad).to_string();
        assert!(shown.contains("KEY=VALUE"), "{shown}");
    }
    // A value cannot end its line and start another key.
    let sneaky = Setting::parse("out=\"x\"\nseed = 5").expect("a text");
    let read = Document::empty().with(&[sneaky]).read(|top| {
        let seed = top.has("seed");
        top.text("out").map(|out| (out, seed))
    });
    assert_eq!(read.expect("reads"), ("\"x\"\nseed = 5".to_owned(), false));
    // Without a file, a missing key is reported without a place.
    let shown = Experiment::compose(None, &[Setting::parse("seed=3").expect("parses")]);
    let shown = shown.expect_err("no model").to_string();
    assert!(
        shown.contains("no `model`") && shown.contains("no `data`") && !shown.contains("--set"),
        "{shown}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_experiment_or_constitution_is_read_or_refused_and_nothing_panics(
        edits in proptest::collection::vec((0usize..600, 0usize..8, proptest::collection::vec(any::<u8>(), 0..5)), 1..4),
        experiment in any::<bool>(),
    ) {
        let folder = folder();
        let text = if experiment { WHOLE.to_owned() } else { constitution("x", "expect = { a = \"+\" }") };
        let mut bytes = text.into_bytes();
        for (at, drop, new) in edits {
            let at = at % (bytes.len() + 1);
            let end = (at + drop).min(bytes.len());
            bytes.splice(at..end, new);
        }
        let path = folder.path().join("damaged.toml");
        std::fs::write(&path, bytes).expect("written");
        let outcome = if experiment {
            Experiment::read(&path).map(drop)
        } else {
            read_constitutions(&[path]).map(drop)
        };
        if let Err(error) = outcome {
            prop_assert!(error.to_string().contains("damaged.toml"), "{}", error);
        }
    }
}
