//! A run in parts gives what one process gives, whatever becomes of a part on the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use vstar::config::Experiment;
use vstar::model::hub::Unwatched;
use vstar::run::Loaded;
use vstar::run::parts::{Done, Inventory, PartState, Phase, Record};
use vstar::store::Store;
use vstar::units::Part;

use crate::cli::{Place, items};
use crate::stories::fixture;

/// Prompts of two responses, of the world of the known-answer model, and six shards of rows and eight of choices.
const HEARTH: &str = "out = \"out\"\nseed = 5\n[model]\nembedded = \"hearth-xs\"\n\
                      [data]\nfiles = [\"embedded:hearth\"]\nlimit = 120\n\
                      [constitutions]\nfiles = [\"embedded:hearth\"]\nonly = [\"kind\", \"mean\", \"placebo-blue\"]\n";

fn hearth() -> Place {
    let place = Place::new();
    place.write("run.toml", HEARTH);
    place
}

/// As [`hearth`], on a model of stories in ordinary layout, with two kinds of judges.
fn stories(model: &str) -> Place {
    let place = Place::new();
    place.write("items.jsonl", &items(100));
    for (name, family) in [("kind", "prosocial"), ("blue", "placebo")] {
        let text = format!("name = \"{name}\"\nfamily = \"{family}\"\ntext = \"Take the {name} answer.\"\n");
        place.write(&format!("c/{name}.toml"), &text);
    }
    let experiment = format!(
        "out = \"out\"\n[model]\npath = {model:?}\n[data]\nfiles = [\"items.jsonl\"]\n\
         [constitutions]\nfiles = [\"c\"]\n\
         [judge]\ntemplate = \"base-short\"\nmode = [\"pairwise\", \"implicit\"]\n"
    );
    place.write("run.toml", &experiment);
    place
}

fn stories260k() -> String {
    fixture("models/stories260K").to_string_lossy().into_owned()
}

fn start(place: &Place, shard: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_vstar"))
        .args(["run", "run.toml", "--shard", shard])
        .current_dir(place.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

fn does(place: &Place, args: &[&str]) -> String {
    let (ok, out, err) = place.vstar(args);
    assert!(ok, "{args:?}: {out}\n{err}");
    out
}

type Files = BTreeMap<String, Vec<u8>>;

/// Every file of a run that is not about its parts, without the time at which it ended.
fn results(place: &Place) -> Files {
    let out = place.path("out");
    let report = fs::read_to_string(out.join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let time = report["provenance"]["time_unix"].as_u64().expect("a time").to_string();
    let mut all = Files::new();
    let mut folders = vec![out.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(&out).expect("inside").to_string_lossy().into_owned();
            if name == "parts" || name.ends_with(".lock") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut bytes = fs::read(&path).expect("bytes");
            if name.starts_with("report.") {
                bytes = String::from_utf8(bytes).expect("text").replace(&time, "TIME").into_bytes();
            }
            if name == "experiment.toml" {
                let text = String::from_utf8(bytes).expect("text");
                bytes = text.replace(&*place.path("").to_string_lossy(), "HERE/").into_bytes();
            }
            all.insert(name, bytes);
        }
    }
    all
}

/// The single process's results, shards included.
fn whole(place: &Place) -> Files {
    does(place, &["run", "run.toml"]);
    let all = results(place);
    for name in ["report.json", "report.md", "report.html", "observations.safetensors", "observations.jsonl"]
    {
        assert!(all.contains_key(name), "{name}");
    }
    assert!(all.keys().filter(|name| name.starts_with("shards/")).count() >= 10);
    all
}

fn assert_same(expected: &Files, found: &Files, when: &str) {
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(expected), names(found), "{when}");
    for (name, bytes) in expected {
        assert!(found[name] == *bytes, "{name} differs after {when}");
    }
}

fn status(place: &Place) -> Value {
    serde_json::from_str(&does(place, &["status", "out", "--json"])).expect("JSON")
}

fn missing(place: &Place) -> String {
    does(place, &["status", "out", "--missing"]).trim().to_owned()
}

#[test]
fn parts_in_any_order_and_twice_are_merged_to_what_one_process_writes() {
    let (one, place) = (hearth(), hearth());
    let expected = whole(&one);
    for shard in ["3/5", "1/5", "3/5", "5/5", "2/5"] {
        does(&place, &["run", "run.toml", "--shard", shard]);
        assert!(!place.path("out/observations.safetensors").exists(), "a part assembles nothing");
    }
    assert_eq!(missing(&place), "4");
    // Twice at once, beside each other.
    let twins = [start(&place, "4/5"), start(&place, "4/5")];
    for mut twin in twins {
        assert!(twin.wait().expect("an end").success());
    }
    assert_eq!(missing(&place), "");
    let table = does(&place, &["status", "out"]);
    assert!(table.contains("finished") && table.contains("vstar merge out"), "{table}");
    does(&place, &["merge", "run.toml"]);
    assert_same(&expected, &results(&place), "five parts");
    assert_eq!(status(&place)["reported"], true);
    // Again, from the folder: nothing is computed, the report is the same but for paths.
    let out = does(&place, &["merge", "out", "--json"]);
    let summary: Value = serde_json::from_str(&out).expect("one JSON value");
    assert!(summary["finding"].is_string());
    // And a single process goes on from parts.
    does(&place, &["run", "run.toml"]);
    assert_same(&expected, &results(&place), "a single process after the parts");
}

#[test]
fn two_kinds_of_judges_and_more_parts_than_shards_change_nothing() {
    let (one, place) = (stories(&stories260k()), stories(&stories260k()));
    let expected = whole(&one);
    // 6 shards of rows and 10 of choices: parts 17 to 20 have nothing to do. All at once, four at a time.
    let mut order: Vec<usize> = (1..=20).map(|i| i * 7 % 20 + 1).collect();
    while !order.is_empty() {
        let batch: Vec<Child> =
            order.drain(..order.len().min(4)).map(|i| start(&place, &format!("{i}/20"))).collect();
        for mut child in batch {
            assert!(child.wait().expect("an end").success());
        }
    }
    let out = does(&place, &["run", "run.toml", "--shard", "20/20"]);
    assert!(out.contains("0 of 16 shards") && out.contains("nothing to do"), "{out}");
    does(&place, &["merge", "run.toml"]);
    assert_same(&expected, &results(&place), "twenty parts");
}

#[test]
fn a_killed_a_terminated_a_missing_and_a_damaged_part_are_named_and_done_again() {
    let (one, place) = (stories(&stories260k()), stories(&stories260k()));
    let expected = whole(&one);
    does(&place, &["run", "run.toml", "--shard", "1/4"]);
    // Killed in the middle: after its first shard.
    let before = shards(&place);
    let mut killed = start(&place, "2/4");
    wait_for(&mut killed, || shards(&place) > before);
    killed.kill().expect("a signal");
    killed.wait().expect("an end");
    // Asked to stop.
    let before = shards(&place);
    let mut stopped = start(&place, "3/4");
    wait_for(&mut stopped, || shards(&place) > before);
    let sent = Command::new("kill").args(["-TERM", &stopped.id().to_string()]).status().expect("kill");
    assert!(sent.success());
    assert_eq!(stopped.wait().expect("an end").code(), Some(130));
    let parts = status(&place)["parts"].clone();
    assert_eq!(parts[0]["state"], "finished");
    // Its last beat is young: that it is gone is seen when the next one fails to come.
    assert_eq!(parts[1]["state"], "running");
    assert_eq!(parts[2]["state"], "interrupted");
    assert_eq!(parts[3]["state"], "missing");
    assert_eq!(missing(&place), "3-4");
    let before = results_of_parts(&place);
    let err = place.refused(&["merge", "out"]);
    for said in [
        "part 2: still runs",
        "part 3: was interrupted",
        "part 4: never began",
        "--array=2-4",
        "nothing is written",
    ] {
        assert!(err.contains(said), "{said}: {err}");
    }
    assert_eq!(results_of_parts(&place), before, "nothing is written");
    // A process that has been silent for long is lost.
    age(&place, 2, 4);
    assert_eq!(status(&place)["parts"][1]["state"], "lost");
    assert_eq!(missing(&place), "2-4");
    for shard in ["4/4", "2/4", "3/4"] {
        does(&place, &["run", "run.toml", "--shard", shard]);
    }
    assert_eq!(missing(&place), "");
    // A damaged byte is found by the merge, which takes the mark of that part away.
    let victim = mark(&place, 4, 4)["files"][0].as_str().expect("a file").to_owned();
    let path = place.path(&format!("out/shards/{victim}"));
    let mut bytes = fs::read(&path).expect("bytes");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&path, bytes).expect("damage");
    let err = place.refused(&["merge", "out"]);
    assert!(err.contains("part 4: had finished") && err.contains("does not verify"), "{err}");
    assert!(!place.path("out/report.json").exists() && !place.path("out/observations.jsonl").exists());
    assert_eq!(missing(&place), "4");
    does(&place, &["run", "run.toml", "--shard", "4/4"]);
    // A shard that somebody removed is seen without reading any.
    fs::remove_file(&path).expect("removed");
    assert_eq!(missing(&place), "4");
    does(&place, &["run", "run.toml", "--shard", "4/4"]);
    does(&place, &["merge", "run.toml"]);
    assert_same(&expected, &without_litter(results(&place)), "four parts with mishaps");
}

#[test]
fn a_part_that_fails_says_why_and_does_not_hide_what_is_with_the_others() {
    let place = stories(&stories260k());
    // Too long for the model: every part fails, before anything is computed.
    let long = format!(
        "{{\"id\": \"long\", \"prompt\": \"{}\", \"responses\": [{{\"text\": \"a\", \
                        \"values\": {{\"harmless\": 0}}}}, {{\"text\": \"b\", \"values\": {{\"harmless\": 1}}}}]}}\n",
        "word ".repeat(900)
    );
    place.write("items.jsonl", &(items(100) + &long));
    for shard in ["2/3", "1/3"] {
        let err = place.refused(&["run", "run.toml", "--shard", shard]);
        assert!(err.contains("longer than the model's context"), "{err}");
    }
    let parts = status(&place)["parts"].clone();
    let reason = parts[1]["reason"].as_str().expect("a reason");
    assert!(reason.contains("[long, response 0") && reason.contains("--skip-bad"), "{reason}");
    assert_eq!(parts[2]["state"], "missing");
    assert_eq!(missing(&place), "1-3");
    let table = does(&place, &["status", "out"]);
    assert!(table.contains("failed") && table.contains("longer than the model's context"), "{table}");
    let err = place.refused(&["merge", "out"]);
    assert!(err.contains("no experiment.toml") && err.contains("vstar status out"), "{err}");
    // The same parts succeed once the data are mended.
    place.write("items.jsonl", &items(100));
    for shard in ["1/3", "2/3", "3/3"] {
        does(&place, &["run", "run.toml", "--shard", shard]);
    }
    does(&place, &["merge", "run.toml"]);
    let one = stories(&stories260k());
    assert_same(&whole(&one), &results(&place), "parts that had failed");
}

/// A copy of the model of stories whose embedding of a backslash is no number; its head is its own and whole.
fn without_backslash(place: &Place) -> String {
    const BACKSLASH: usize = 500;
    let (from, to) = (fixture("models/stories260K"), place.path("model"));
    fs::create_dir_all(&to).expect("a folder");
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        if from.join(name).is_file() {
            fs::copy(from.join(name), to.join(name)).expect("a copy");
        }
    }
    let mut config = json(&from.join("config.json"));
    config["tie_word_embeddings"] = false.into();
    fs::write(to.join("config.json"), config.to_string()).expect("a config");
    let bytes = fs::read(from.join("model.safetensors")).expect("weights");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("tensors");
    let embedding = tensors.tensor("model.embed_tokens.weight").expect("an embedding");
    let mut poisoned = embedding.data().to_vec();
    let width = 4 * embedding.shape()[1];
    poisoned[BACKSLASH * width..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let view = |data| {
        safetensors::tensor::TensorView::new(embedding.dtype(), embedding.shape().to_vec(), data)
            .expect("a view")
    };
    let mut all: Vec<(String, safetensors::tensor::TensorView<'_>)> = tensors.tensors();
    all.retain(|(name, _)| name != "model.embed_tokens.weight");
    all.push(("model.embed_tokens.weight".into(), view(&poisoned)));
    all.push(("lm_head.weight".into(), view(embedding.data())));
    fs::write(to.join("model.safetensors"), safetensors::serialize(all, None).expect("bytes"))
        .expect("weights");
    to.to_string_lossy().into_owned()
}

#[test]
fn one_shard_that_cannot_be_computed_fails_its_part_alone() {
    let elsewhere = Place::new();
    let place = stories(&without_backslash(&elsewhere));
    // In the second shard of the bare rows: item 90, rows 270 to 272.
    let text = items(100).replace("number 270", "number \\\\ 270");
    assert_ne!(text, items(100));
    place.write("items.jsonl", &text);
    let mut failed = Vec::new();
    for part in 1..=16 {
        let (ok, _, err) = place.vstar(&["run", "run.toml", "--shard", &format!("{part}/16")]);
        if !ok {
            assert!(err.contains("p90") && err.contains("items.jsonl:91"), "{err}");
            failed.push(part.to_string());
        }
    }
    // Rows under each of three contexts, and the choices of units 270 and its neighbours.
    assert_eq!(failed, ["2", "4", "6", "15"]);
    assert_eq!(missing(&place), "2,4,6,15");
    let err = place.refused(&["merge", "out"]);
    for said in ["part 2: failed", "part 15: failed", "p90", "12 of 16 shards", "--array=2,4,6,15"] {
        assert!(err.contains(said), "{said}: {err}");
    }
    assert!(!err.contains("part 1:") && !place.path("out/report.json").exists());
}

#[test]
fn a_scheduler_says_which_part_a_task_is() {
    let place = hearth();
    let run = |variables: &[(&str, &str)], more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_vstar"))
            .args(["run", "run.toml"])
            .args(more)
            .current_dir(place.path(""))
            .env_remove("SLURM_ARRAY_TASK_ID")
            .env_remove("JOB_COMPLETION_INDEX")
            .envs(variables.iter().copied())
            .output()
            .expect("it runs");
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let (ok, text) = run(&[("SLURM_ARRAY_TASK_ID", "2"), ("SLURM_ARRAY_TASK_MIN", "2")], &["--shards", "3"]);
    assert!(ok && text.contains("part 2/3 is done"), "{text}");
    let (ok, text) = run(&[("JOB_COMPLETION_INDEX", "2")], &["--shards", "3"]);
    assert!(ok && text.contains("part 3/3 is done"), "{text}");
    assert_eq!(missing(&place), "1");
    let (ok, text) = run(&[], &["--shards", "3"]);
    assert!(!ok && text.contains("--shard I/3"), "{text}");
    let (ok, text) = run(&[("SLURM_ARRAY_TASK_ID", "0")], &["--shards", "3"]);
    assert!(!ok && text.contains("--array=1-3"), "{text}");
    let (ok, text) = run(&[], &["--shard", "4/3"]);
    assert!(!ok && text.contains("I from 1 to N"), "{text}");
    // The plan tells a part's share, and begins nothing.
    let (ok, text) = run(&[], &["--shard", "1/3", "--dry-run"]);
    assert!(ok && text.contains("part 1/3: ") && text.contains("in all, from short samples"), "{text}");
    assert_eq!(status(&place)["parts"][0]["state"], "missing");
}

#[test]
fn a_run_that_is_not_in_parts_keeps_parts_out_and_parts_keep_it_out() {
    let place = stories(&stories260k());
    let mut part = start(&place, "1/2");
    wait_for(&mut part, || shards(&place) > 0);
    let pid = part.id().to_string();
    let signal =
        |name: &str| assert!(Command::new("kill").args([name, &pid]).status().expect("kill").success());
    signal("-STOP");
    let err = place.refused(&["run", "run.toml"]);
    does(&place, &["run", "run.toml", "--shard", "2/2"]);
    signal("-CONT");
    assert!(err.contains("in use by another process"), "{err}");
    assert!(part.wait().expect("an end").success());
    does(&place, &["merge", "out"]);
    // No parts at all.
    let err = hearth().refused(&["status", "."]);
    assert!(err.contains("no part of a run has begun") && err.contains("--shard I/N"), "{err}");
}

fn shards(place: &Place) -> usize {
    let entries = fs::read_dir(place.path("out/shards")).into_iter().flatten().flatten();
    entries.filter(|e| e.file_name().to_string_lossy().ends_with(".safetensors")).count()
}

/// Waits until something is seen while a process runs.
fn wait_for(child: &mut Child, seen: impl Fn() -> bool) {
    let began = Instant::now();
    while !seen() {
        assert!(child.try_wait().expect("a state").is_none(), "it ended early");
        assert!(began.elapsed() < Duration::from_secs(120), "it takes too long");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON")
}

fn mark(place: &Place, part: usize, of: usize) -> Value {
    json(&place.path(&format!("out/parts/{part:05}-of-{of:05}.done.json")))
}

/// Moves the last beat of a part ten minutes back.
fn age(place: &Place, part: usize, of: usize) {
    let path = place.path(&format!("out/parts/{part:05}-of-{of:05}.json"));
    let mut record = json(&path);
    record["beat"] = (record["beat"].as_u64().expect("a beat") - 600).into();
    fs::write(path, record.to_string()).expect("written");
}

/// What lies in the folder while parts are missing, by name and time of the last change.
fn results_of_parts(place: &Place) -> BTreeMap<String, std::time::SystemTime> {
    let entries = ["out", "out/shards"].map(|f| fs::read_dir(place.path(f)).expect("a folder"));
    let files = entries.into_iter().flatten().map(|e| e.expect("an entry")).filter(|e| e.path().is_file());
    files
        .map(|e| {
            (
                e.file_name().to_string_lossy().into_owned(),
                e.metadata().and_then(|m| m.modified()).expect("a time"),
            )
        })
        .collect()
}

/// Without what a killed process was writing: it is cleared when no other process can be writing it.
fn without_litter(files: Files) -> Files {
    files.into_iter().filter(|(name, _)| !name.ends_with(".tmp")).collect()
}

/// Measures status and verification where there are many shards; the work in them is empty.
#[test]
#[ignore = "a minute, 100 MB: cargo test --release --test it -- --ignored --nocapture ten_thousand_shards"]
fn ten_thousand_shards_are_looked_over_in_seconds() {
    const SHARDS: usize = 10_000;
    let place = Place::new();
    place.write("items.jsonl", &items(8));
    for i in 1..SHARDS {
        let text = format!("name = \"c{i}\"\nfamily = \"neutral\"\ntext = \"Take answer {i}.\"\n");
        place.write(&format!("c/{i:05}.toml"), &text);
    }
    place.write(
        "run.toml",
        &format!(
            "out = {:?}\n[model]\npath = {:?}\n[data]\nfiles = [\"items.jsonl\"]\n[constitutions]\nfiles = [\"c\"]\n\
             [capture]\nlayers = [5]\n[judge]\nenabled = false\n[fit]\nlayer = 5\n",
            place.path("out"),
            stories260k()
        ),
    );
    let clock = |what: &str, began: Instant| println!("{what}: {:.2} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    let experiment = Experiment::read(&place.path("run.toml")).expect("an experiment");
    let loaded = Loaded::of(experiment, &mut Unwatched).expect("it loads");
    clock("loading and encoding", began);
    let inventory = Inventory::of(&loaded).expect("an inventory");
    assert_eq!(inventory.len(), SHARDS);
    let store = Store::share(&loaded.shards()).expect("a store");
    let began = Instant::now();
    for range in vstar::capture::shards(&loaded.job.rows) {
        let (key, fingerprint) =
            vstar::capture::named(&loaded.job.rows, &loaded.prepared.shard_recipe(), &range);
        let array = |shape: &[usize]| ndarray::ArrayD::<f32>::zeros(shape.to_vec());
        let shard = [
            ("resid".to_owned(), array(&[range.len(), 1, 64])),
            ("logprob".to_owned(), array(&[range.len()])),
        ];
        store.put(&key, &fingerprint, &shard.into_iter().collect()).expect("written");
    }
    clock("writing 10,000 shards", began);
    let out = place.path("out");
    loaded.claim(&loaded.manifest()).expect("claimed");
    let run = vstar::run::parts::digest(&loaded.manifest());
    let began = Instant::now();
    for number in 1..=SHARDS {
        let part = Part::new(number, SHARDS).expect("a part");
        let record = Record { phase: Phase::Finished, ..Record::begin(part) };
        record.write(&out, part).expect("written");
        Done::new(part, run.clone(), inventory.files(part)).write(&out, part).expect("written");
    }
    clock("writing 10,000 records and marks", began);
    let began = Instant::now();
    let status = vstar::run::parts::status(&out).expect("a status");
    clock("status", began);
    assert_eq!(status.count(|s| *s == PartState::Finished), SHARDS);
    let began = Instant::now();
    assert_eq!(inventory.lacks(&store), []);
    clock("verification", began);
    fs::remove_file(out.join("shards").join(&inventory.files(Part::new(77, SHARDS).expect("a part"))[0]))
        .expect("removed");
    assert_eq!(vstar::run::parts::status(&out).expect("a status").open(), [77]);
    assert_eq!(inventory.lacks(&store).iter().map(|lack| lack.index).collect::<Vec<_>>(), [76]);
}
