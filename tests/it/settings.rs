//! Constitutions and experiments: what is read, and what is said about what is not.

use std::path::{Path, PathBuf};

use vstar::batch::experiment::{
    DeviceName, Dtype, Experiment, JudgeMode, JudgeTemplateName, ModelName, Pool, TemplateName,
};
use vstar::error::{Error, Kind};
use vstar::input::{Constitution, Family, Sign, read_constitutions};
use vstar::units::Layer;

/// A folder of files by name.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    }
    folder
}

fn constitutions(files: &[(&str, &str)]) -> Result<Vec<Constitution>, Error> {
    let folder = folder(files);
    read_constitutions(&[folder.path().to_owned()])
}

const KIND: &str = "name = \"kind\"\nfamily = \"prosocial\"\ntext = \"Be kind.\"\n";

#[test]
fn the_shipped_constitutions_read_and_their_opposites_are_mutual() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("constitutions");
    let all = read_constitutions(std::slice::from_ref(&folder)).expect("reads");
    let files = std::fs::read_dir(&folder).expect("there").flatten();
    assert_eq!(all.len(), files.filter(|f| f.path().extension().is_some_and(|e| e == "toml")).count());
    let named = |name: &str| all.iter().find(|c| c.name == name).expect("there");
    let honest = named("honest");
    assert_eq!((honest.family, honest.expected("honest")), (Family::Prosocial, Some(Sign::Plus)));
    assert_eq!(honest.expected("tidy"), None);
    assert_eq!(honest.sha256, vstar::artifact::sha256_file(&folder.join("honest.toml")).expect("read"));
    for constitution in &all {
        if let Some(opposite) = &constitution.opposite {
            assert_eq!(named(opposite).opposite.as_ref(), Some(&constitution.name));
        }
    }
    // Alone, it may point to a neighbour that is not read.
    let alone = read_constitutions(&[folder.join("honest.toml")]).expect("reads");
    assert_eq!(alone[0].opposite.as_deref(), Some("deceptive"));
}

#[test]
fn a_constitution_keeps_its_order_and_its_guess_for_any_value() {
    let other = "name = \"a.1_-\"\nfamily = \"placebo\"\ntext = \"x\"\nexpect = \"0\"\nheld_out = true\nopposite = \"kind\"\n";
    let folder = folder(&[("b.toml", KIND), ("c.toml", other), ("d.md", "no"), (".hidden.toml", "no")]);
    let all = read_constitutions(&[folder.path().join("c.toml"), folder.path().to_owned()]).expect("reads");
    let names: Vec<_> = all.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["a.1_-", "kind"], "a file that is reached twice is read once");
    assert_eq!((all[0].expected("anything"), all[0].held_out), (Some(Sign::Zero), true));
    assert_eq!((all[1].expected("anything"), all[1].held_out), (None, false));
}

#[test]
fn a_bad_constitution_is_refused_with_its_line() {
    let cases: &[(&str, Kind, &[&str])] = &[
        ("", Kind::Missing, &["3 problems", "`name`", "`text`", "`family`"]),
        (
            "name = \"x\"\nfamly = \"placebo\"\nfamily = \"placebo\"\ntext = \"t\"",
            Kind::UnknownKey,
            &["x.toml:2", "did you mean `family`?"],
        ),
        (
            "name = \"x\"\nfamily = \"prosocal\"\ntext = \"t\"",
            Kind::Invalid,
            &["x.toml:2", "did you mean `prosocial`"],
        ),
        ("name = \"x y\"\nfamily = \"placebo\"\ntext = \"t\"", Kind::Invalid, &["x.toml:1", "tensor"]),
        ("name = \"none\"\nfamily = \"placebo\"\ntext = \"t\"", Kind::Invalid, &["reserved"]),
        ("name = \"x\"\nfamily = \"placebo\"\ntext = \" \\n\"", Kind::Invalid, &["x.toml:3", "empty"]),
        ("name = 3\nfamily = \"placebo\"\ntext = \"t\"", Kind::Invalid, &["x.toml:1", "whole number: 3"]),
        (
            "name = \"x\"\nfamily = \"placebo\"\ntext = \"t\"\nexpect = {v = \"plus\"}",
            Kind::Invalid,
            &["x.toml:4"],
        ),
        ("name = \"x\"\nfamily = \"placebo\"\ntext = \"t\"\nopposite = \"x\"", Kind::Invalid, &["own name"]),
        (
            "name = \"x\"\nfamily = \"placebo\"\ntext = \"t\"\nopposite = \"kinda\"",
            Kind::Invalid,
            &["not there", "did you mean `kind`?"],
        ),
        ("name = \"kind\"\nfamily = \"placebo\"\ntext = \"t\"", Kind::Invalid, &["is taken", "kind.toml"]),
        ("name = \"x\nfamily", Kind::Malformed, &["x.toml:1", "not TOML"]),
    ];
    for (text, kind, shown) in cases {
        let error = constitutions(&[("kind.toml", KIND), ("x.toml", text)]).expect_err(text);
        assert_eq!(error.kind(), Some(*kind), "{text}: {error}");
        for part in *shown {
            assert!(error.to_string().contains(part), "{text}: no {part} in {error}");
        }
    }
    assert_eq!(constitutions(&[("readme.md", "")]).expect_err("no file").kind(), Some(Kind::Missing));
}

const ROWS: &str = "{\"prompt\": \"q\", \"responses\": [\"a\"]}\n";

/// Writes an experiment beside some inputs, and reads it.
fn experiment(text: &str) -> (tempfile::TempDir, Result<Experiment, Error>) {
    let folder = folder(&[
        ("experiments/first.toml", text),
        ("data/rows.jsonl", ROWS),
        ("model/config.json", "{}"),
        ("constitutions/kind.toml", KIND),
        ("mine.toml", "answers = []"),
        ("mine.jinja", "{{ messages }}"),
    ]);
    let read = Experiment::read(&folder.path().join("experiments/first.toml"));
    (folder, read)
}

#[test]
fn a_short_experiment_has_defaults() {
    let (folder, read) =
        experiment("[model]\nembedded = \"hearth\"\n[data]\nfiles = \"../data/rows.jsonl\"\n");
    let experiment = read.expect("reads");
    assert_eq!(experiment.name, "first");
    assert_eq!(experiment.out, PathBuf::from("runs/first"));
    assert_eq!((experiment.seed, experiment.judge.as_ref(), experiment.constitutions.len()), (0, None, 0));
    assert_eq!(experiment.model.source, ModelName::Embedded("hearth".into()));
    assert_eq!((experiment.model.dtype, experiment.model.device), (Dtype::F32, None));
    assert_eq!((experiment.capture.layers, experiment.capture.pool), (None, Pool::Mean));
    assert_eq!((experiment.fit.layer, experiment.fit.reference.as_str()), (None, "none"));
    let file = &experiment.data.files[0];
    assert_eq!(file, &folder.path().join("experiments").join("../data/rows.jsonl"));
    assert_eq!(experiment.sha256.len(), 64);
}

#[test]
fn a_full_experiment_says_everything() {
    let text = r#"
        out = "elsewhere/run"
        seed = 7
        [model]
        path = "../model"
        dtype = "bf16"
        device = "cuda:1"
        [data]
        files = ["../data/rows.jsonl"]
        limit = 5
        value_name = "harmless"
        skip_bad = true
        [constitutions]
        folders = "../constitutions"
        [capture]
        template = "../mine.jinja"
        layers = [8, 0, 4]
        pool = "last"
        memory = "1.5GiB"
        [judge]
        mode = "pairwise"
        template = "../mine.toml"
        max_pairs_per_prompt = 3
        [fit]
        layer = 4
        values = ["harmless"]
        reference = "kind"
    "#;
    let (folder, read) = experiment(text);
    let experiment = read.expect("reads");
    let beside = |name: &str| folder.path().join("experiments").join(name);
    assert_eq!((experiment.out, experiment.seed), (PathBuf::from("elsewhere/run"), 7));
    assert_eq!(experiment.model.source, ModelName::Folder(beside("../model")));
    assert_eq!((experiment.model.dtype, experiment.model.device), (Dtype::Bf16, Some(DeviceName::Cuda(1))));
    assert_eq!(experiment.data.read.limit, Some(5));
    assert_eq!(
        (experiment.data.read.skip_bad, experiment.data.read.value_name.as_deref()),
        (true, Some("harmless"))
    );
    assert_eq!(experiment.constitutions, [beside("../constitutions")]);
    assert_eq!(experiment.capture.template, Some(TemplateName::File(beside("../mine.jinja"))));
    assert_eq!(experiment.capture.layers, Some(vec![Layer(0), Layer(4), Layer(8)]));
    assert_eq!((experiment.capture.pool, experiment.capture.memory), (Pool::Last, Some(3 << 29)));
    let judge = experiment.judge.expect("a judge");
    assert_eq!((judge.mode, judge.max_pairs_per_prompt), (JudgeMode::Pairwise, Some(3)));
    assert_eq!(judge.template, Some(JudgeTemplateName::File(beside("../mine.toml"))));
    assert_eq!((experiment.fit.layer, experiment.fit.reference.as_str()), (Some(Layer(4)), "kind"));
    assert_eq!(experiment.fit.values, ["harmless"]);
}

#[test]
fn all_problems_of_an_experiment_are_reported_together_in_the_order_of_their_lines() {
    let text = "sed = 1\n[model]\nhub = \"gpt2\"\ndtype = \"fp16\"\ndevice = \"gpu\"\n[data]\nfiles = [\"../data/rows.jsonl\", \"absent.jsonl\"]\nlimit = 0\n[captur]\n[judge]\nmode = \"pairwse\"\n[fit]\nlayer = -1\nreference = \"kin\"\n";
    let (_folder, read) = experiment(text);
    let shown = read.expect_err("nearly everything is wrong").to_string();
    assert!(shown.contains("11 problems"), "{shown}");
    let parts = [
        (1, "did you mean `seed`?"),
        (3, "owner/name"),
        (4, "did you mean `f16`?"),
        (5, "`cuda:N`"),
        (7, "absent.jsonl"),
        (8, "1 or more"),
        (9, "did you mean `capture`?"),
        (10, "no constitution"),
        (11, "did you mean `pairwise`?"),
        (13, "layer's number"),
        (14, "`kin`"),
    ];
    let mut from = 0;
    for (line, part) in parts {
        let at = shown[from..]
            .find(&format!("first.toml:{line} "))
            .unwrap_or_else(|| panic!("line {line}: {shown}"));
        from += at;
        let rest = &shown[from + 1..];
        let own = &rest[..rest.find("first.toml:").unwrap_or(rest.len())];
        assert!(own.contains(part), "line {line}: no {part} in {own}");
    }
}

#[test]
fn contradictions_in_an_experiment_are_refused() {
    let rest = "[data]\nfiles = \"../data/rows.jsonl\"\n";
    let model = "[model]\nembedded = \"hearth\"\n";
    let cases = [
        (String::new(), "2 problems"),
        (format!("[model]\n{rest}"), "one of `path`, `hub` and `embedded`"),
        (format!("[model]\npath = \"../model\"\nhub = \"a/b\"\n{rest}"), "more than one"),
        (format!("[model]\npath = \"../model\"\nrevision = \"a\"\n{rest}"), "goes with `hub`"),
        (format!("[model]\npath = \"../no\"\n{rest}"), "no such folder"),
        (format!("model = 3\n{rest}"), "[model]"),
        (format!("{model}[data]\nfiles = []\n"), "at least one file"),
        (format!("{model}{rest}[constitutions]\n"), "`files` or `folders`"),
        (format!("{model}{rest}[constitutions]\nfolders = \"../data\"\n"), "no constitution in the folder"),
        (format!("{model}{rest}[constitutions]\nfiles = \"../mine.toml\"\n"), "unknown key `answers`"),
        (format!("{model}{rest}[capture]\nlayers = [1, 1]\n"), "none of them twice"),
        (format!("{model}{rest}[capture]\nlayers = []\n"), "none of them twice"),
        (format!("{model}{rest}[capture]\nmemory = \"8 Gb\"\n"), "8GB"),
        (format!("{model}{rest}[capture]\nlayers = [1, 2]\n[fit]\nlayer = 3\n"), "one of 1, 2"),
        (format!("{model}{rest}[fit]\nvalues = [\"a b\"]\n"), "tensor"),
        (format!("{model}{rest}seed = \"x\"\n"), "unknown key `seed`"),
        ("[model]\n[model]\n".to_owned(), "not TOML"),
    ];
    for (text, part) in cases {
        let (_folder, read) = experiment(&text);
        let shown = read.expect_err(&text).to_string();
        assert!(shown.contains(part), "{text}\nno {part} in {shown}");
    }
}

#[test]
fn a_file_that_is_absent_or_no_text_is_refused() {
    let folder = folder(&[("x.toml", "")]);
    std::fs::write(folder.path().join("x.toml"), b"a = \"\xff\"").expect("written");
    let error = Experiment::read(&folder.path().join("x.toml")).expect_err("no UTF-8");
    assert!(error.to_string().contains("UTF-8"), "{error}");
    let error = Experiment::read(&folder.path().join("y.toml")).expect_err("no file");
    assert_eq!(error.kind(), Some(Kind::Missing));
}
