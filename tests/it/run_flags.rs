//! `vstar run` without a file: settings from flags, checks before any computation, and output.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use serde_json::Value;

use crate::cli::{Place, items, model, ready, report};
use crate::stories::fixture;

/// Estimates by quantity, value, constitution and control.
fn estimates(path: &Path) -> BTreeMap<String, Option<f64>> {
    let report = report(path);
    let all = report["estimates"].as_array().expect("estimates").clone();
    all.iter()
        .map(|e| {
            let part = |key: &str| e[key].to_string();
            let key = ["quantity", "value", "constitution", "control", "k", "judge"].map(part).join(" ");
            (key, e["estimate"].as_f64())
        })
        .collect()
}

/// Modification time of each shard.
fn shards(folder: &Path) -> BTreeMap<String, SystemTime> {
    let entries = fs::read_dir(folder.join("shards")).expect("shards");
    let files = entries.map(|e| e.expect("an entry")).filter(|e| e.path().extension().is_some());
    files
        .map(|e| {
            let modified = e.metadata().and_then(|m| m.modified()).expect("a time");
            (e.file_name().to_string_lossy().into_owned(), modified)
        })
        .collect()
}

fn judged() -> Vec<String> {
    let model = model();
    let args =
        ["run", "--model", &model, "--data", "items.jsonl", "--constitution", "c", "--judge", "judge.toml"];
    args.map(str::to_owned).to_vec()
}

fn run(place: &Place, more: &[&str]) -> (bool, String, String) {
    let args = judged();
    let args: Vec<&str> = args.iter().map(String::as_str).chain(more.iter().copied()).collect();
    place.vstar(&args)
}

#[test]
fn a_model_alone_gives_a_report_on_what_the_program_carries() {
    let place = Place::new();
    let model = fixture("models/stories260K").to_string_lossy().into_owned();
    let (ok, out, err) = place.vstar(&["run", "--model", &model, "--limit", "24", "--seed", "3"]);
    assert!(ok, "{out}\n{err}");
    // The estimate of time and memory comes before the report, whose page is named.
    let at = |what: &str| out.find(what).unwrap_or_else(|| panic!("no {what}: {out}"));
    assert!(at("memory: about") < at("in all, from short samples"));
    assert!(at("in all, from short samples") < at("report in runs/stories260K/report.html"));
    let folder = place.path("runs/stories260K");
    let first = report(&folder.join("report.json"));
    let families: BTreeMap<String, usize> = first["constitutions"].as_array().expect("cards").iter().fold(
        BTreeMap::new(),
        |mut families, card| {
            *families.entry(card["family"].as_str().expect("a family").to_owned()).or_default() += 1;
            families
        },
    );
    let expected = [("prosocial", 5), ("adversarial", 3), ("subtle", 3), ("neutral", 2), ("placebo", 6)];
    assert_eq!(families, expected.map(|(f, n)| (f.to_owned(), n)).into_iter().collect());
    // A limit of 24 leaves 8 prompts of each of the three files.
    let rows = fs::read_to_string(folder.join("observations.jsonl")).expect("rows");
    let mut prompts: BTreeMap<String, std::collections::BTreeSet<String>> = BTreeMap::new();
    for row in rows.lines().map(|l| serde_json::from_str::<Value>(l).expect("JSON")) {
        let id = row["id"].as_str().expect("an id").to_owned();
        prompts.entry(id[..4].to_owned()).or_default().insert(id);
    }
    assert_eq!(
        prompts.values().map(std::collections::BTreeSet::len).collect::<Vec<_>>(),
        [8, 8, 8],
        "{prompts:?}"
    );
    // The experiment in the folder is the same run, regardless of the working directory.
    let before = shards(&folder);
    let file = folder.join("experiment.toml").to_string_lossy().into_owned();
    let elsewhere = Place::new();
    let (ok, out, err) = elsewhere.vstar(&["run", &file]);
    assert!(ok, "{out}\n{err}");
    assert_eq!(estimates(&folder.join("report.json")), {
        let path = place.write("first.json", &{
            let mut first = first.clone();
            first["provenance"]["time_unix"] = 0.into();
            first.to_string()
        });
        estimates(&path)
    });
    assert_eq!(shards(&folder), before, "nothing is computed again");
    assert!(!elsewhere.path("runs").exists());
}

#[test]
fn flags_give_what_a_file_gives_and_stand_on_top_of_one() {
    let place = ready();
    let (ok, out, err) = run(&place, &["--out", "flags"]);
    assert!(ok, "{out}\n{err}");
    let (ok, out, err) = place.vstar(&["run", "run.toml"]);
    assert!(ok, "{out}\n{err}");
    let figures = |name: &str| estimates(&place.path(name).join("report.json"));
    assert_eq!(figures("flags"), figures("out"));
    let (ok, out, err) = place.vstar(&[
        "run",
        "run.toml",
        "--layer",
        "1",
        "--out",
        "one",
        "--set",
        "judge.max_pairs_per_prompt=1",
    ]);
    assert!(ok, "{out}\n{err}");
    let one = report(&place.path("one/report.json"));
    // Every ρ² has the token embeddings beside it as a baseline.
    let layers: Vec<&Value> = one["estimates"]
        .as_array()
        .expect("estimates")
        .iter()
        .filter(|e| e["quantity"] != "rho2_embeddings")
        .map(|e| &e["layer"])
        .collect();
    assert!(layers.iter().any(|l| **l == 1) && layers.iter().all(|l| l.is_null() || **l == 1));
    let experiment = fs::read_to_string(place.path("one/experiment.toml")).expect("the experiment");
    assert!(
        experiment.contains("max_pairs_per_prompt = 1") && experiment.contains("layer = 1"),
        "{experiment}"
    );
    let (ok, out, err) = place.vstar(&["run", "run.toml", "--constitution", "none", "--out", "bare"]);
    assert!(ok, "{out}\n{err}");
    assert!(report(&place.path("bare/report.json"))["constitutions"].as_array().expect("cards").is_empty());
}

#[test]
fn a_changed_fit_is_made_anew_and_a_changed_capture_or_judge_is_refused() {
    let place = ready();
    let (ok, out, err) = run(&place, &["--out", "o"]);
    assert!(ok, "{out}\n{err}");
    let folder = place.path("o");
    let (first, before) = (estimates(&folder.join("report.json")), shards(&folder));
    let differ = |more: &[&str]| -> Vec<String> {
        let (ok, out, err) = run(&place, &[&["--out", "o"], more].concat());
        assert!(ok, "{out}\n{err}");
        assert_eq!(shards(&folder), before, "{more:?} computes shards");
        let now = estimates(&folder.join("report.json"));
        assert_eq!(now.keys().collect::<Vec<_>>(), first.keys().collect::<Vec<_>>());
        let moved: Vec<String> =
            now.iter().filter(|(k, v)| first[*k] != **v).map(|(k, _)| k.clone()).collect();
        let manifest: Value =
            serde_json::from_slice(&fs::read(folder.join("manifest.json")).expect("a manifest"))
                .expect("JSON");
        assert!(!manifest["fit"].is_null());
        moved
    };
    assert_eq!(differ(&[]), Vec::<String>::new());
    // Only randomly drawn figures depend on the seed.
    let moved = differ(&["--seed", "5"]);
    assert!(moved.iter().any(|k| k.contains("geometry_null")), "{moved:?}");
    assert!(moved.iter().all(|k| k.contains("null")), "{moved:?}");
    let manifest = |key: &str| -> Value {
        let bytes = fs::read(folder.join("manifest.json")).expect("a manifest");
        serde_json::from_slice::<Value>(&bytes).expect("JSON")["fit"][key].clone()
    };
    assert_eq!(manifest("seed"), 5);
    differ(&["--set", "fit.weights={harmless=5}"]);
    assert_eq!((manifest("seed"), manifest("weights")), (0.into(), serde_json::json!({"harmless": 5.0})));
    assert_eq!(differ(&[]), Vec::<String>::new(), "back to the first figures");
    for more in [
        &["--set", "judge.mode=[\"pairwise\", \"implicit\"]"][..],
        &["--layers", "0,1"],
        &["--limit", "40"],
        &["--dtype", "bf16"],
        &["--max-pairs", "1"],
    ] {
        let (ok, out, err) = run(&place, &[&["--out", "o"], more].concat());
        assert!(!ok && err.contains("another experiment") && err.contains("--out"), "{more:?}: {out}\n{err}");
    }
}

/// Asserts that figures of two runs agree up to rounding from different batching.
fn assert_near(a: &BTreeMap<String, Option<f64>>, b: &BTreeMap<String, Option<f64>>) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (key, x) in a {
        match (x, b[key]) {
            (Some(x), Some(y)) => assert!((x - y).abs() < 1e-3 * (1.0 + x.abs()), "{key}: {x} {y}"),
            (x, y) => assert_eq!(*x, y, "{key}"),
        }
    }
}

/// Sequences of a plan's step that an earlier run has finished.
fn there(plan: &str, step: &str) -> String {
    let lines = plan.lines().skip_while(|l| !l.starts_with(step)).skip(1).take_while(|l| l.starts_with(' '));
    lines.filter_map(|l| l.trim().strip_suffix(" of the sequences are there already")).collect()
}

#[test]
fn a_constitution_that_is_added_later_leaves_what_is_there() {
    for mode in [&["pairwise"][..], &["pointwise"]] {
        let place = ready();
        place.write("point.toml", crate::modes::POINT);
        let model = model();
        let args = |constitutions: &[&'static str], out: &'static str| -> Vec<String> {
            let judge = if mode == ["pairwise"] { "judge.toml" } else { "point.toml" };
            [
                "run",
                "--model",
                &model,
                "--data",
                "items.jsonl",
                "--out",
                out,
                "--judge",
                judge,
                "--constitution",
            ]
            .iter()
            .chain(constitutions)
            .map(|s| (*s).to_owned())
            .collect()
        };
        let go = |constitutions: &[&'static str], out: &'static str| {
            let args = args(constitutions, out);
            let (ok, text, err) = place.vstar(&args.iter().map(String::as_str).collect::<Vec<_>>());
            assert!(ok, "{text}\n{err}");
            (text, estimates(&place.path(out).join("report.json")))
        };
        go(&["c/kind.toml"], "o");
        let before = shards(&place.path("o"));
        // The new one comes first: rows and pairs of the others have other indices in the job.
        let (text, both) = go(&["c/blue.toml", "c/kind.toml"], "o");
        let after = shards(&place.path("o"));
        let rows = |name: &&String| name.starts_with("rows-");
        assert!(
            before.keys().filter(rows).count() == 2 && after.keys().filter(rows).count() == 3,
            "{after:?}"
        );
        for name in before.keys().filter(rows) {
            assert_eq!(before[name], after[name], "{name} is computed again");
        }
        // 420 of 630 rows, and one of two constitutions' judgments.
        assert_eq!(
            (there(&text, "capture, bare"), there(&text, "capture, under 2")),
            ("210".into(), "210".into()),
            "{text}"
        );
        assert_eq!(there(&text, "judge"), if mode == ["pairwise"] { "420" } else { "210" }, "{text}");
        let (_, fresh) = go(&["c/blue.toml", "c/kind.toml"], "fresh");
        assert_near(&both, &fresh);
        // Without it again, nothing is computed.
        let (text, one) = go(&["c/kind.toml"], "o");
        assert_eq!(there(&text, "capture, bare") + &there(&text, "capture, under 1"), "210210", "{text}");
        assert_eq!(shards(&place.path("o")), after);
        let (_, alone) = go(&["c/kind.toml"], "alone");
        assert_eq!(one, alone);
    }
}

#[test]
fn what_the_end_needs_is_refused_before_anything_is_computed_and_in_a_dry_run() {
    let place = ready();
    place.write("one.jsonl", &items(1));
    place.write("labels.jsonl", &items(70).replace("\"values\"", "\"labels\""));
    let twice = items(70).replacen("\"harmless\"", "\"harmles\"", 1);
    place.write("twice.jsonl", &twice);
    for (more, what) in [
        (&["--layer", "99"][..], "`fit.layer` is 99"),
        (&["--value", "harmles"], "did you mean `harmless`?"),
        (&["--set", "fit.weights={honest=2}"], "`fit.weights` names `honest`"),
        (&["--set", "fit.labels=[\"harmless\"]"], "did you mean `values`?"),
        (&["--set", "fit.ensemble=[\"knid\"]"], "did you mean `kind`?"),
        (&["--set", "constitutions.only=[\"bleu\"]"], "did you mean `blue`?"),
        (&["--reference", "kidn"], "did you mean `kind`?"),
        (&["--data", "one.jsonl"], "at least 8 prompts"),
        (&["--limit", "5"], "harmless: 5"),
        (&["--data", "labels.jsonl"], "did you mean `values`?"),
        (&["--data", "embedded:honst"], "did you mean `embedded:honest`?"),
        (&["--judge", "caht"], "did you mean `chat`?"),
        (&["--memory", "8GBs"], "GiB"),
        (&["--layers", "4-1"], "0,4-8"),
    ] {
        for dry in [&["--dry-run"][..], &[]] {
            let data = more.contains(&"--data") || more.contains(&"--judge");
            let args: Vec<String> = judged();
            // A flag may be given once: the one under test replaces the default.
            let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
            if data {
                let at = args.iter().position(|a| *a == more[0]).expect("given");
                args.drain(at..at + 2);
            }
            let (ok, out, err) = place.vstar(&[&args[..], more, dry, &["--out", "o"]].concat());
            assert!(!ok && err.contains(what) && !err.contains("panicked"), "{more:?}: {out}\n{err}");
            assert!(!place.path("o").exists(), "{more:?}");
        }
    }
    let model = model();
    let args =
        ["run", "--model", &model, "--data", "twice.jsonl", "--constitution", "c", "--judge", "judge.toml"];
    let (ok, out, err) = place.vstar(&[&args[..], &["--dry-run"]].concat());
    assert!(ok, "{out}\n{err}");
    let first = out.lines().next().unwrap_or_default();
    assert!(first.starts_with("warning: "), "warnings come first: {out}");
    assert!(
        out.contains("`harmles` (1 responses, first at twice.jsonl:1") && out.contains("beside `harmless`"),
        "{out}"
    );
    assert!(out.contains("memory: about") && out.contains("in all, from short samples"), "{out}");
    assert!(!place.path("runs").exists());
}

#[test]
fn progress_speaks_from_the_start_where_there_is_no_terminal_and_quiet_is_quiet() {
    let place = ready();
    let (ok, out, err) = run(&place, &["--out", "o"]);
    assert!(ok, "{out}\n{err}");
    let at = |what: &str| {
        err.lines().position(|l| l.starts_with(what)).unwrap_or_else(|| panic!("no {what}: {err}"))
    };
    let order =
        ["load the model", "estimate the time", "capture: ", "judge: ", "fit: ", "read tokens: "].map(at);
    assert!(order.is_sorted(), "{err}");
    assert!(err.lines().any(|l| l.starts_with("capture: ") && l.ends_with(" tokens")), "{err}");
    let (ok, out, err) = run(&place, &["--out", "quiet", "--quiet"]);
    assert!(ok && err.is_empty(), "{out}\n{err}");
}

/// Runs the program with a given standard output; returns exit code and standard error.
fn with_stdout(place: &Place, args: &[&str], stdout: Stdio) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vstar"))
        .args(args)
        .current_dir(place.path(""))
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // Closes the pipe, if it is one, at once.
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().expect("standard error").read_to_string(&mut err).expect("text");
    (child.wait().expect("an end").code(), err)
}

#[test]
fn a_reader_that_goes_away_costs_no_run() {
    let place = ready();
    let args = judged();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (code, err) = with_stdout(&place, &[&args[..], &["--out", "closed"]].concat(), Stdio::piped());
    assert_eq!(code, Some(0), "{err}");
    assert!(!err.contains("panicked") && place.path("closed/report.html").is_file(), "{err}");
    let model = model();
    let preview = ["preview", "--model", &model, "--data", "items.jsonl"];
    for args in [&["models"][..], &["explain"], &["--help"], &preview] {
        let (code, err) = with_stdout(&place, args, Stdio::piped());
        assert!(code == Some(0) && !err.contains("panicked"), "{args:?}: {code:?} {err}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_said_and_the_run_is_there() {
    let place = ready();
    let full = || Stdio::from(fs::OpenOptions::new().write(true).open("/dev/full").expect("the device"));
    let args = judged();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (code, err) = with_stdout(&place, &[&args[..], &["--out", "full"]].concat(), full());
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("cannot write to standard output") && !err.contains("panicked"), "{err}");
    assert!(place.path("full/report.html").is_file());
    let (code, err) = with_stdout(&place, &["models"], full());
    assert!(code == Some(1) && !err.contains("panicked"), "{err}");
    // Standard error may be full as well.
    let status = Command::new(env!("CARGO_BIN_EXE_vstar"))
        .args(["capture", "--model", "nope", "--data", "x", "--out", "y"])
        .current_dir(place.path(""))
        .stderr(full())
        .status();
    assert_eq!(status.expect("it runs").code(), Some(1));
}

#[test]
fn check_takes_the_model_as_other_commands_do() {
    let place = Place::new();
    let model = model();
    let (ok, out, err) = place.vstar(&["check", "--model", &model]);
    assert!(ok && out.contains("passed"), "{out}\n{err}");
    let err = place.refused(&["check"]);
    assert!(err.contains("--model") || err.contains("DIR|FILE|ID"), "{err}");
    place.refused(&["check", &model, "--model", &model]);
}
