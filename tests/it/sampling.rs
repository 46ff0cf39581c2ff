//! `vstar sample` and `vstar label` as commands: the files that they write, what is kept of an interruption, and what is
//! refused.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use vstar::input::{ReadOptions, read_items};
use vstar::observations::Observations;

use crate::cli::Place;

const MODEL: [&str; 2] = ["--model", "embedded:hearth-xs"];

fn place() -> Place {
    let place = Place::new();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("constitutions/hearth/helpful.toml");
    place.write("c/helpful.toml", &fs::read_to_string(own).expect("a constitution"));
    place
}

/// Runs a command that succeeds, and returns its JSON value.
fn told(place: &Place, args: &[&str]) -> Json {
    told_by(place, args, &MODEL)
}

fn told_by(place: &Place, args: &[&str], model: &[&str]) -> Json {
    let (ok, out, err) = place.vstar(&[args, model, &["--json"]].concat());
    assert!(ok, "{args:?}\n{out}\n{err}");
    serde_json::from_str(&out).expect("JSON")
}

fn rows(place: &Place, name: &str) -> Vec<Json> {
    let text = fs::read_to_string(place.path(name)).expect("the file");
    text.lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
}

const SAMPLE: [&str; 8] =
    ["sample", "--data", "embedded:hearth", "--limit", "30", "--max-new-tokens", "40", "-n"];

fn sample<'a>(n: &'a str, out: &'a str) -> Vec<&'a str> {
    [&SAMPLE[..], &[n, "--out", out]].concat()
}

#[test]
fn samples_are_items_whose_log_p_is_that_of_a_capture() {
    let place = place();
    let told = told(&place, &sample("3", "s.jsonl"));
    let rows = rows(&place, "s.jsonl");
    assert_eq!(told["sampled"]["prompts"], rows.len());
    let replies: usize = rows.iter().map(|r| r["responses"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(told["sampled"]["replies"], replies);
    assert!(replies > 60, "{replies}");
    assert!(rows.iter().all(|r| r["sampled"]["temperature"] == 1.0 && r["sampled"]["template"] == "chat"));
    let items = read_items(&[place.path("s.jsonl")], &ReadOptions::default()).expect("items");
    assert!(items.notes.is_empty(), "{:?}", items.notes);
    let (ok, out, err) =
        place.vstar(&[&["capture", "--data", "s.jsonl", "--layers", "1", "--out", "o"][..], &MODEL].concat());
    assert!(ok, "{out}\n{err}");
    let observations = Observations::open(&place.path("o/observations.safetensors")).expect("observations");
    let read = observations.columns().logprob.as_ref().expect("log P");
    let sampled: Vec<&Json> = rows.iter().flat_map(|r| r["responses"].as_array().expect("a list")).collect();
    assert_eq!((read.len(), &told["sampled"]["reread"]), (sampled.len(), &Json::from(0)));
    for (sampled, read) in sampled.iter().zip(read) {
        let own = sampled["logprob"].as_f64().expect("nats");
        assert!((own - read).abs() < 2e-3, "{own} for {read}: {sampled}");
    }
}

#[test]
fn a_seed_gives_the_same_samples_and_another_gives_others() {
    let place = place();
    let (a, b) = (sample("2", "a.jsonl"), sample("2", "b.jsonl"));
    told(&place, &a);
    told(&place, &[&b[..], &["--memory", "1KB"]].concat());
    assert_eq!(fs::read(place.path("a.jsonl")).expect("a"), fs::read(place.path("b.jsonl")).expect("b"));
    told(&place, &[&sample("2", "c.jsonl")[..], &["--seed", "1"]].concat());
    let texts = |name: &str| -> Vec<String> {
        let of = |r: &Json| r["responses"].to_string();
        rows(&place, name).iter().map(of).collect()
    };
    let same = texts("a.jsonl").iter().zip(texts("c.jsonl")).filter(|(a, c)| **a == *c).count();
    assert_eq!(same, 0);
}

#[test]
fn a_killed_job_is_continued_and_writes_what_an_uninterrupted_one_does() {
    let place = place();
    // Many prompts, and one reply at a time, so that the job takes long enough to be killed.
    let sample = |n: &'static str, out: &'static str| {
        let mut args = sample(n, out);
        args[4] = "150";
        args
    };
    let args = |out: &'static str| [&sample("4", out)[..], &["--memory", "1KB", "--quiet"], &MODEL].concat();
    let (ok, out, err) = place.vstar(&args("whole.jsonl"));
    assert!(ok, "{out}\n{err}");
    let mut child = Command::new(env!("CARGO_BIN_EXE_vstar"))
        .args(args("cut.jsonl"))
        .current_dir(place.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let partial = place.path(".cut.jsonl.partial");
    let begun = Instant::now();
    let lines = || fs::read_to_string(&partial).map_or(0, |text| text.lines().count());
    while lines() < 4 && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("killed");
    child.wait().expect("it ended");
    assert!(!place.path("cut.jsonl").exists(), "the job ended before it was killed");
    let refused =
        place.refused(&[&sample("4", "cut.jsonl")[..], &["--seed", "9", "--quiet"], &MODEL].concat());
    assert!(refused.contains("unfinished job with other settings"), "{refused}");
    let told = told(&place, &[&sample("4", "cut.jsonl")[..], &["--memory", "1KB"]].concat());
    assert!(told["sampled"]["resumed"].as_u64().expect("a count") >= 3, "{told}");
    let read = |name: &str| fs::read(place.path(name)).expect("a file");
    assert_eq!(read("cut.jsonl"), read("whole.jsonl"));
    assert!(!partial.exists());
}

#[test]
fn a_text_can_end_a_reply_and_is_not_part_of_it() {
    let place = place();
    told(&place, &sample("4", "free.jsonl"));
    told(&place, &[&sample("4", "cut.jsonl")[..], &["--stop", " the"]].concat());
    let texts = |name: &str| -> Vec<(String, Json)> {
        let mut all = Vec::new();
        for row in rows(&place, name) {
            for r in row["responses"].as_array().expect("a list") {
                all.push((format!("{} {}", row["id"], r["text"].as_str().expect("text")), r["end"].clone()));
            }
        }
        all
    };
    let (free, cut) = (texts("free.jsonl"), texts("cut.jsonl"));
    let mut stopped = 0;
    for (text, end) in &cut {
        assert!(!text.contains(" the"), "{text}");
        assert!(free.iter().any(|(whole, _)| whole.starts_with(text.as_str())), "{text}");
        stopped += usize::from(end == "stop");
    }
    assert!(stopped > 20, "{stopped}");
}

#[test]
fn samples_that_would_be_lost_or_cannot_be_made_are_refused() {
    let place = place();
    place.write("s.jsonl", "{}\n");
    let refused = |args: &[&str]| place.refused(&[args, &MODEL, &["--quiet"]].concat());
    assert!(refused(&sample("1", "s.jsonl")).contains("the file exists"));
    let with = |more: &[&'static str]| refused(&[&sample("1", "t.jsonl")[..], more].concat());
    assert!(with(&["--temperature=-1"]).contains("temperature"));
    assert!(with(&["--top-p", "0"]).contains("top-p"));
    assert!(with(&["--max-new-tokens", "100000"]).contains("--max-new-tokens"));
    assert!(with(&["--stop", ""]).contains("empty text"));
    assert!(refused(&sample("0", "t.jsonl")).contains("no reply is asked for"));
    let none = refused(&["sample", "--data", "missing.jsonl", "--out", "t.jsonl"]);
    assert!(none.contains("missing.jsonl"), "{none}");
    assert!(!place.path("t.jsonl").exists() && !place.path(".t.jsonl.partial").exists());
}

const LABEL: [&str; 10] = [
    "label",
    "--data",
    "embedded:hearth",
    "--limit",
    "40",
    "--constitution",
    "c/helpful.toml",
    "--value",
    "judged",
    "--out",
];

#[test]
fn labels_are_the_judges_preferences_and_their_file_says_whose_they_are() {
    let place = place();
    let large = ["--model", "embedded:hearth"];
    let told = told_by(&place, &[&LABEL[..], &["l.jsonl", "--against", "helpful"]].concat(), &large);
    let (ok, out, err) = place.vstar(
        &[
            &["judge", "--data", "embedded:hearth", "--limit", "40", "--constitution", "c/helpful.toml"][..],
            &["--layers", "1", "--out", "o"],
            &large,
        ]
        .concat(),
    );
    assert!(ok, "{out}\n{err}");
    let observations = Observations::open(&place.path("o/observations.safetensors")).expect("observations");
    let given = &observations.columns().judgments["helpful"];
    let debiased = given.debiased().expect("both orders");
    let labels: Vec<f64> = rows(&place, "l.jsonl")
        .iter()
        .flat_map(|r| r["responses"].as_array().expect("a list").clone())
        .map(|r| r["values"]["judged"].as_f64().expect("a label"))
        .collect();
    // Least squares over a ring: residuals are orthogonal to the labels' differences.
    let (mut cross, mut squares) = (0.0, 0.0);
    for (pair, odds) in given.pairs.iter().zip(&debiased) {
        let fitted = labels[pair[0]] - labels[pair[1]];
        cross += fitted * (odds - fitted);
        squares += odds * odds;
    }
    assert!(squares > 1.0 && cross.abs() < 1e-4 * squares, "{cross} of {squares}");
    let [pairs, alike] = [0, 1].map(|i| told["labelled"]["agreement"][i].as_u64().expect("a count"));
    assert!(pairs > 100 && alike * 2 > pairs, "{alike} of {pairs}");
    let items = read_items(&[place.path("l.jsonl")], &ReadOptions::default()).expect("items");
    let note = items.notes.join("\n");
    assert!(note.contains("`judged`") && note.contains("not of people"), "{note}");
    assert!(!place.path(".l.jsonl.shards").exists());
}

#[test]
fn labelled_samples_are_still_samples() {
    let place = place();
    told(&place, &sample("2", "s.jsonl"));
    let args = ["label", "--data", "s.jsonl", "--constitution", "c/helpful.toml", "--value", "judged"];
    told(&place, &[&args[..], &["--mode", "pointwise", "--out", "l.jsonl"]].concat());
    let (before, after) = (rows(&place, "s.jsonl"), rows(&place, "l.jsonl"));
    assert_eq!(before.len(), after.len());
    for (sampled, labelled) in before.iter().zip(&after) {
        assert_eq!(sampled["sampled"], labelled["sampled"]);
        let of = |row: &Json| row["responses"].as_array().expect("a list").clone();
        for (sampled, labelled) in of(sampled).iter().zip(of(labelled)) {
            assert!(labelled["values"]["judged"].is_f64(), "{labelled}");
            for key in ["text", "logprob", "tokens", "end"] {
                assert_eq!(sampled[key], labelled[key]);
            }
        }
    }
}

#[test]
fn a_labeller_without_an_opinion_and_names_that_are_taken_are_refused() {
    let place = place();
    let refused = |args: &[&str]| place.refused(&[args, &MODEL, &["--quiet"]].concat());
    // The smallest model takes a place, not a reply.
    let place_taken = refused(&[&LABEL[..], &["x.jsonl"]].concat());
    assert!(place_taken.contains("change with the order"), "{place_taken}");
    told(&place, &[&LABEL[..], &["forced.jsonl", "--force"]].concat());
    // One response to each prompt: no label can differ within a prompt.
    place.write(
        "one.jsonl",
        "{\"prompt\": \"my oven is cold .\", \"responses\": [\"check the oven .\"]}\n\
         {\"prompt\": \"my son is sad .\", \"responses\": [\"greet the son .\"]}\n",
    );
    let one = ["label", "--data", "one.jsonl", "--constitution", "c/helpful.toml", "--value", "v"];
    let alone = refused(&[&one[..], &["--mode", "pointwise", "--out", "x.jsonl"]].concat());
    assert!(alone.contains("says the same of every response"), "{alone}");
    let taken = ["label", "--data", "embedded:hearth", "--constitution", "c/helpful.toml", "--value"];
    let taken = refused(&[&taken[..], &["helpful", "--out", "x.jsonl"]].concat());
    assert!(taken.contains("--value helpful-judged --against helpful"), "{taken}");
    let unknown = refused(&[&LABEL[..], &["x.jsonl", "--against", "kindness"]].concat());
    assert!(unknown.contains("no labels of `kindness`") && unknown.contains("helpful"), "{unknown}");
    assert!(!place.path("x.jsonl").exists());
}
