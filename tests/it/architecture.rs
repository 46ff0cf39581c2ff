//! Data flows one way: a module imports only from those before it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Module order, as documented in `src/lib.rs`.
const FLOW: &[&str] = &[
    "input",
    "model",
    "forest",
    "generation",
    "check",
    "observations",
    "capture",
    "judge",
    "config",
    "probe",
    "document",
    "theory",
    "report",
    "simulate",
    "steer",
    "organism",
    "fit",
    "coverage",
    "run",
    "commands",
];

/// Small modules that any module may import; among themselves, in this order.
const SHARED: &[&str] = &["error", "guard", "json", "source", "units", "artifact", "store", "sets", "linalg"];

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
        if matches!(module.as_str(), "lib" | "main" | "prelude") {
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
fn theory_names_no_model_no_tensor_library_and_no_file() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/theory");
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

/// The files of `src`, by module path (`theory/base/bench`).
fn modules() -> BTreeMap<String, String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let named = files.into_iter().map(|file| {
        let inside = file.strip_prefix(&src).expect("under src").with_extension("");
        let name = inside.to_string_lossy().replace('\\', "/");
        let name = name.strip_suffix("/mod").unwrap_or(&name).to_owned();
        let text = std::fs::read_to_string(&file).expect("source");
        // Tests may import anything.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let code: Vec<&str> = code.lines().map(|l| l.split("//").next().unwrap_or_default()).collect();
        (name, code.join("\n"))
    });
    named.collect()
}

/// Every path in the code that begins with `crate::` or `super::`, with groups expanded.
fn paths(code: &str) -> Vec<String> {
    fn expand(prefix: &str, text: &str, out: &mut Vec<String>) {
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
        let path = format!("{prefix}{}", &text[..end]);
        let Some(group) = text[end..].strip_prefix('{').filter(|_| path.ends_with("::")) else {
            return out.push(path);
        };
        let (mut depth, mut part) = (0, String::new());
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&path, std::mem::take(&mut part).trim(), out);
                    continue;
                }
                _ => {}
            }
            part.push(c);
        }
        if !part.trim().is_empty() {
            expand(&path, part.trim(), out);
        }
    }
    let mut out = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                expand("", &code[at..], &mut out);
            }
        }
    }
    out
}

/// The file that a path in the file `from` refers to: the longest prefix that names one.
fn target(path: &str, from: &str, modules: &BTreeMap<String, String>) -> Option<String> {
    let mut base: Vec<&str> = from.split('/').collect();
    let mut rest = path;
    if let Some(inside) = path.strip_prefix("crate::") {
        (base, rest) = (Vec::new(), inside);
    }
    while let Some(up) = rest.strip_prefix("super::") {
        base.pop();
        rest = up;
    }
    let whole: Vec<&str> = base.into_iter().chain(rest.split("::").filter(|p| !p.is_empty())).collect();
    (1..=whole.len()).rev().map(|n| whole[..n].join("/")).find(|name| modules.contains_key(name))
}

#[test]
fn no_circle_of_files_remains_inside_a_module() {
    let modules = modules();
    for top in [
        "document",
        "theory",
        "report",
        "judge",
        "steer",
        "probe",
        "observations",
        "config",
        "fit",
        "coverage",
        "run",
        "commands",
    ] {
        let inside = |name: &str| name.split('/').next() == Some(top);
        let mut left: BTreeMap<&str, BTreeSet<String>> = modules
            .iter()
            .filter(|(name, _)| inside(name))
            .map(|(name, code)| {
                let all = paths(code).into_iter().filter_map(|p| target(&p, name, &modules));
                (name.as_str(), all.filter(|to| inside(to) && to != name).collect())
            })
            .collect();
        assert!(left.len() > 1, "{top} has no files");
        // Repeatedly remove modules without remaining imports; what is left contains a cycle.
        loop {
            let free: Vec<&str> = left
                .iter()
                .filter(|(_, to)| to.iter().all(|t| !left.contains_key(t.as_str())))
                .map(|(name, _)| *name)
                .collect();
            if free.is_empty() {
                break;
            }
            free.iter().for_each(|name| drop(left.remove(name)));
        }
        assert!(left.is_empty(), "a circle among, or behind it: {left:#?}");
    }
}

#[test]
fn the_test_of_circles_sees_one() {
    let modules = BTreeMap::from(
        [("a/x", "use crate::a::{y, z::One};"), ("a/y", "fn f(_: super::x::Two) {}"), ("a/z", "")]
            .map(|(name, code)| (name.to_owned(), code.to_owned())),
    );
    let to = |name: &str| -> Vec<String> {
        paths(&modules[name]).iter().filter_map(|p| target(p, name, &modules)).collect()
    };
    assert_eq!((to("a/x"), to("a/y")), (vec!["a/y".to_owned(), "a/z".to_owned()], vec!["a/x".to_owned()]));
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
