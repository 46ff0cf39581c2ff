//! System limits are reported as errors.

use std::process::Command;

use crate::cli::{Place, items, model};

/// `ulimit -f` ends a program that does not handle the signal.
#[test]
#[cfg(unix)]
fn a_limit_on_the_size_of_files_is_an_error_with_advice() {
    let place = Place::new();
    place.write("rows.jsonl", &items(40));
    let program = assert_cmd::cargo::cargo_bin("vstar");
    let line = format!(
        "ulimit -f 8; exec '{}' capture --model '{}' --data rows.jsonl --constitution none --out a",
        program.display(),
        model()
    );
    let output =
        Command::new("bash").args(["-c", &line]).current_dir(place.path(".")).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("free some space"), "{said}");
}

/// A pipe would block, a device never ends.
#[test]
#[cfg(unix)]
fn what_is_no_file_is_refused_where_a_file_is_needed() {
    let place = Place::new();
    place.write("rows.jsonl", &items(2));
    std::fs::create_dir(place.path("m")).expect("a folder");
    for file in ["model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(std::path::Path::new(&model()).join(file), place.path("m").join(file)).expect("copied");
    }
    std::os::unix::fs::symlink("/dev/zero", place.path("m/config.json")).expect("a link");
    let err = place.refused(&["capture", "--model", "m", "--data", "rows.jsonl", "--out", "o"]);
    assert!(err.contains("not a file") && err.contains("a pipe or a device"), "{err}");
    let err = place.refused(&[
        "capture",
        "--model",
        &model(),
        "--data",
        "rows.jsonl",
        "--constitution",
        "/dev/zero",
        "--out",
        "o",
    ]);
    assert!(err.contains("/dev/zero"), "{err}");
}

/// SIGTERM ends a run as Ctrl-C does; SIGHUP too, but not under `nohup`.
#[test]
#[cfg(target_os = "linux")]
fn a_run_that_is_ended_stops_cleanly_and_one_under_nohup_outlives_its_terminal() {
    let place = Place::new();
    let program = assert_cmd::cargo::cargo_bin("vstar");
    for (before, signal, ends) in [("", "TERM", true), ("", "HUP", true), ("trap '' HUP; ", "HUP", false)] {
        let temporary = place.path("tmp");
        std::fs::create_dir_all(&temporary).expect("a folder");
        let line = format!(
            "{before}rm -rf hearth runs; TMPDIR='{}' '{}' run > /dev/null 2> said & p=$!; \
             for i in $(seq 500); do grep -q estimate said 2> /dev/null && break; sleep 0.02; done; \
             kill -{signal} $p; wait $p; exit $?",
            temporary.display(),
            program.display()
        );
        let status =
            Command::new("bash").args(["-c", &line]).current_dir(place.path(".")).status().expect("it runs");
        assert_eq!(status.code(), Some(if ends { 130 } else { 0 }), "{before}{signal}");
        assert_eq!(
            std::fs::read_dir(&temporary).expect("a folder").count(),
            0,
            "{signal} leaves nothing behind"
        );
        assert_eq!(place.path("runs/hearth/report.json").exists(), !ends);
    }
}
