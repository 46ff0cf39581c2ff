//! Data flows one way: a module imports only from those before it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The flow, as `src/lib.rs` gives it.
const FLOW: &[&str] = &[
    "input",
    "model",
    "forest",
    "observations",
    "capture",
    "judge",
    "probe",
    "document",
    "hypothesis",
    "simulate",
    "report",
    "steer",
    "organism",
    "batch",
    "cli",
];

/// Small modules that anyone may import; among themselves, in this order.
const SHARED: &[&str] = &["error", "units", "artifact", "store", "sets", "linalg"];

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("src") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Names of top-level modules after `crate::` in a line of code, `crate::{a, b::c}` included.
fn imports(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            names.extend(group.split(',').map(|part| head(part.trim())));
        } else {
            names.push(head(rest));
        }
    }
    names
}

fn head(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn a_module_imports_only_from_those_before_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for file in files {
        let inside = file.strip_prefix(&src).expect("under src");
        let first = inside.components().next().expect("a name").as_os_str().to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        if module == "lib" || module == "main" {
            continue;
        }
        let place = |name: &str| FLOW.iter().position(|m| *m == name);
        let shared = |name: &str| SHARED.iter().position(|m| *m == name);
        assert!(place(&module).is_some() || shared(&module).is_some(), "{module} has no place in the flow");
        seen.insert(module.clone());
        let text = std::fs::read_to_string(&file).expect("source");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for name in imports(code).into_iter().filter(|n| *n != module) {
                let allowed = match (place(&module), place(&name), shared(&module), shared(&name)) {
                    (Some(own), Some(other), ..) => other < own,
                    (Some(_), _, _, Some(_)) => true,
                    (_, _, Some(own), Some(other)) => other < own,
                    // A macro or type of the crate root.
                    (_, None, _, None) => true,
                    _ => false,
                };
                if !allowed {
                    wrong.push(format!("{}:{}: {line}", inside.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the flow:\n{}", wrong.join("\n"));
    assert_eq!(seen.len(), FLOW.len() + SHARED.len(), "modules that are gone: {seen:?}");
}

#[test]
fn hypothesis_names_no_model_no_tensor_library_and_no_file() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/hypothesis");
    let mut files = Vec::new();
    sources(&src, &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("source");
        for forbidden in ["candle", "safetensors", "tokenizers", "std::fs", "std::path"] {
            let found =
                text.lines().find(|l| l.split("//").next().is_some_and(|code| code.contains(forbidden)));
            assert!(found.is_none(), "{}: {forbidden}: {found:?}", file.display());
        }
    }
}

#[test]
fn every_source_file_says_what_it_owns() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("source");
        assert!(text.starts_with("//! "), "{} does not begin with a //! line", file.display());
    }
}
