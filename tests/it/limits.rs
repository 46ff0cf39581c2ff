//! What the system takes away is said, not suffered.

use std::process::Command;

use crate::cli::{Place, items, model};

/// `ulimit -f` ends a program that does not listen for the signal.
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

/// A pipe would be waited for, a device never ends.
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
