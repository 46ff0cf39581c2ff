//! A run killed at any moment resumes and gives the same report.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::cli::{Place, items};
use crate::stories::fixture;

const SIGKILL: i32 = 9;

/// A run that takes a few seconds: six shards of rows, ten of choices.
fn ready() -> Place {
    let place = Place::new();
    place.write("items.jsonl", &items(100));
    for (name, family) in [("kind", "prosocial"), ("blue", "placebo")] {
        let text = format!("name = \"{name}\"\nfamily = \"{family}\"\ntext = \"Take the {name} answer.\"\n");
        place.write(&format!("c/{name}.toml"), &text);
    }
    let experiment = format!(
        "out = \"out\"\n[model]\npath = {:?}\n[data]\nfiles = [\"items.jsonl\"]\n\
         [constitutions]\nfiles = [\"c\"]\n\
         [judge]\ntemplate = \"base-short\"\nmode = [\"pairwise\", \"implicit\"]\n",
        fixture("models/stories260K")
    );
    place.write("run.toml", &experiment);
    place
}

fn start(place: &Place) -> Child {
    Command::new(env!("CARGO_BIN_EXE_vstar"))
        .args(["run", "run.toml"])
        .current_dir(place.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

fn finish(place: &Place) -> Results {
    let (ok, out, err) = place.vstar(&["run", "run.toml"]);
    assert!(ok, "{out}\n{err}");
    results(place)
}

type Results = BTreeMap<&'static str, Vec<u8>>;

/// Results of a run, without the time at which it ended.
fn results(place: &Place) -> Results {
    let out = place.path("out");
    let read = |name: &str| fs::read(out.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let report: serde_json::Value = serde_json::from_slice(&read("report.json")).expect("JSON");
    let time = report["provenance"]["time_unix"].as_u64().expect("a time").to_string();
    let mut all = Results::new();
    for name in ["report.json", "report.md", "report.html"] {
        let text = String::from_utf8(read(name)).expect("UTF-8");
        assert!(text.contains(&time), "{name}");
        all.insert(name, text.replace(&time, "TIME").into_bytes());
    }
    for name in ["manifest.json", "observations.jsonl", "observations.safetensors", "directions.safetensors"]
    {
        all.insert(name, read(name));
    }
    all
}

fn assert_same(expected: &Results, found: &Results, when: &str) {
    for (name, bytes) in expected {
        assert!(found[name] == *bytes, "{name} differs after {when}");
    }
}

/// Leftovers of interrupted writes.
fn litter(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            out.extend(litter(&path));
        } else if path.extension().is_some_and(|e| e == "tmp") {
            out.push(path);
        }
    }
    out
}

/// Random numbers, the same in every run of the tests.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Evidence that a run has reached a stage.
#[derive(Clone, Copy)]
enum Sign {
    /// A file that the process has written.
    File(&'static str),
    /// This many shards with this prefix; they persist between processes.
    Shards(&'static str, usize),
    /// This many output files being written.
    Temporaries(usize),
}

impl Sign {
    /// Whether the evidence exists; a file must be newer than `from`.
    fn seen(self, place: &Place, from: SystemTime) -> bool {
        match self {
            Self::File(name) => {
                fs::metadata(place.path(name)).and_then(|meta| meta.modified()).is_ok_and(|at| at >= from)
            }
            Self::Temporaries(count) => {
                let entries = fs::read_dir(place.path("out")).into_iter().flatten().flatten();
                let own = |e: &fs::DirEntry| {
                    let name = e.file_name().to_string_lossy().into_owned();
                    name.starts_with(".vstar-")
                        && e.metadata().and_then(|m| m.modified()).is_ok_and(|at| at >= from)
                };
                entries.filter(own).count() >= count
            }
            Self::Shards(head, count) => {
                let Ok(entries) = fs::read_dir(place.path("out/shards")) else { return false };
                let named = |e: &fs::DirEntry| e.file_name().to_string_lossy().starts_with(head);
                entries.filter_map(Result::ok).filter(named).count() >= count
            }
        }
    }
}

#[test]
fn killed_at_any_moment_a_run_goes_on_to_the_same_report() {
    let reference = ready();
    let began = Instant::now();
    let expected = finish(&reference);
    let whole = began.elapsed().as_millis() as u64;
    let mut dice = Dice(7);
    let mut kills: BTreeMap<&str, usize> = BTreeMap::new();
    // Evidence in the course of a run; a kill follows it by a few milliseconds.
    let moments = [
        ("start", Sign::File("run.toml")),
        ("capture", Sign::File("out/manifest.json")),
        ("capture", Sign::Shards("rows-", 1)),
        ("capture", Sign::Shards("rows-", 4)),
        ("judge", Sign::File("out/observations.safetensors")),
        ("judge", Sign::Shards("judge-", 1)),
        ("fit", Sign::Shards("judge-", 10)),
        // Only the files of a report are written concurrently.
        ("report", Sign::Temporaries(2)),
        ("report", Sign::Temporaries(2)),
        ("report", Sign::Temporaries(2)),
        ("report", Sign::File("out/directions.safetensors")),
        ("report", Sign::File("out/report.json")),
    ];
    for round in 0..2 {
        let place = ready();
        // Leftover of a kill in the middle of a write.
        place.write("out/.vstar-cut.tmp", "half");
        place.write("out/shards/.vstar-off.tmp", "half");
        let mut kill = |name, child: &mut Child| {
            child.kill().expect("a signal");
            if child.wait().expect("an end").signal() == Some(SIGKILL) {
                *kills.entry(name).or_default() += 1;
            }
        };
        for (name, sign) in moments {
            let from = SystemTime::now() - Duration::from_millis(if name == "start" { 1 << 40 } else { 0 });
            let mut child = start(&place);
            while !sign.seen(&place, from) && child.try_wait().expect("a state").is_none() {
                std::thread::sleep(Duration::from_micros(100));
            }
            std::thread::sleep(Duration::from_micros(dice.below(match sign {
                Sign::Temporaries(_) => 500,
                _ if name == "report" => 4_000,
                _ => 20_000,
            })));
            kill(name, &mut child);
        }
        for _ in 0..6 {
            let mut child = start(&place);
            std::thread::sleep(Duration::from_millis(dice.below(whole / 4)));
            kill("any", &mut child);
        }
        assert_same(&expected, &finish(&place), &format!("the kills of round {round}"));
        assert_eq!(litter(&place.path("out")), Vec::<PathBuf>::new(), "cut-off files are cleared away");
    }
    let total: usize = kills.values().sum();
    println!("{total} kills: {kills:?}, a whole run takes {whole} ms");
    assert!(total >= 20, "{kills:?}");
    for phase in ["start", "capture", "judge", "fit", "report"] {
        assert!(kills.get(phase).is_some_and(|n| *n > 0), "no kill in {phase}: {kills:?}");
    }
}

#[test]
fn a_damaged_shard_is_computed_again() {
    let place = ready();
    let expected = finish(&place);
    let mut damaged = 0;
    for (i, entry) in fs::read_dir(place.path("out/shards")).expect("shards").enumerate() {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "safetensors") {
            continue;
        }
        let mut bytes = fs::read(&path).expect("bytes");
        match i % 3 {
            0 => bytes.truncate(bytes.len() / 2),
            1 => bytes.clear(),
            _ => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x10;
            }
        }
        fs::write(&path, bytes).expect("damage");
        damaged += 1;
    }
    // Rows, judgments, and the states at the judge's answers.
    assert_eq!(damaged, 26);
    fs::write(place.path("out/observations.safetensors"), b"half").expect("damage");
    fs::write(place.path("out/report.json"), b"{").expect("damage");
    assert_same(&expected, &finish(&place), "damage to every shard");
}

fn signal(child: &Child, name: &str) {
    let done = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill");
    assert!(done.success());
}

#[test]
fn a_second_process_on_the_same_run_is_refused_and_does_no_harm() {
    let place = ready();
    let expected = finish(&ready());
    let mut first = start(&place);
    while !place.path("out/manifest.json").exists() {
        assert!(first.try_wait().expect("a state").is_none(), "it ended early");
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(&first, "-STOP");
    let err = place.refused(&["run", "run.toml"]);
    signal(&first, "-CONT");
    assert!(err.contains("in use by another process") && err.contains("wait"), "{err}");
    assert!(first.wait().expect("an end").success());
    assert_same(&expected, &results(&place), "a second process");
}

#[test]
fn a_full_disk_leaves_a_run_that_can_go_on() {
    let expected = finish(&ready());
    let place = ready();
    // Limit on file sizes in kilobytes: too small for a shard of rows, then for all observations.
    for (limit, file) in [("200", "shards"), ("700", "observations.safetensors")] {
        let script =
            format!("trap '' XFSZ; ulimit -f {limit}; exec '{}' run run.toml", env!("CARGO_BIN_EXE_vstar"));
        let output =
            Command::new("bash").args(["-c", &script]).current_dir(place.path("")).output().expect("bash");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains("cannot write") && err.contains(file), "{err}");
        assert!(err.contains("free") && err.contains("run the same command again"), "{err}");
        assert_eq!(litter(&place.path("out")), Vec::<PathBuf>::new());
        assert!(!place.path("out/report.json").exists());
    }
    assert_same(&expected, &finish(&place), "a full disk");
}
