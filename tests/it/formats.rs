//! `docs/formats.md` documents the contents of the files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ndarray::Array3;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use vstar::observations::{Columns, Judgments, Meta, Observations};
use vstar::theory::reading::outcome::Outcome;
use vstar::units::Layer;

use crate::cli::Place;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/formats.md");
    std::fs::read_to_string(path).expect("the page")
}

/// The names in backquotes of the first column of the table under a heading.
fn first_column(page: &str, heading: &str) -> BTreeSet<String> {
    let at = page.find(heading).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = page[at + heading.len()..].split("\n## ").next().expect("a section");
    let rows = section.lines().filter(|l| l.starts_with("| `")).filter_map(|l| l.split(" | ").next());
    rows.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// An observations file with every optional part.
fn full(folder: &Path) -> PathBuf {
    let mut meta = Meta::new(vec![Layer(1)]);
    meta.constitutions = vec!["none".into(), "kind".into()];
    let judgments = Judgments { pairs: vec![[0, 1]], ab: vec![0.5], ba: Some(vec![-0.25]) };
    let columns = Columns {
        prompt: Some(vec![0, 0, 0, 0]),
        constitution: Some(vec![0, 0, 1, 1]),
        cluster: Some(vec![0, 0, 0, 0]),
        response: Some(vec![0, 1, 0, 1]),
        logprob: Some(vec![-1.0, -2.0, -1.0, -2.0]),
        logq: Some(vec![-1.0, -2.0, -1.0, -2.0]),
        ntok: Some(vec![1, 2, 1, 2]),
        values: BTreeMap::from([("NAME".to_owned(), vec![1.0, 0.0, 1.0, 0.0])]),
        preferences: BTreeMap::from([("NAME".to_owned(), vec![[0, 1]])]),
        judgments: BTreeMap::from([("NAME".to_owned(), judgments)]),
        scores: BTreeMap::from([("NAME".to_owned(), vec![0.5, 1.0, 0.0, 2.0])]),
    };
    meta.constitutions.push("NAME".into());
    let path = folder.join("full.safetensors");
    let resid = Array3::from_shape_fn((4, 1, 3), |(r, _, j)| (r * 3 + j) as f32);
    Observations::new(meta, columns, resid).expect("observations").write(&path).expect("written");
    path
}

#[test]
fn every_tensor_and_key_that_is_written_is_described_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = std::fs::read(full(folder.path())).expect("the file");
    let written: BTreeSet<String> = SafeTensors::deserialize(&bytes)
        .expect("safetensors")
        .names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let page = page();
    let told = first_column(&page, "## `observations.safetensors`");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("metadata");
    let keys: BTreeSet<String> = metadata.metadata().iter().flatten().map(|(k, _)| k.clone()).collect();
    for name in written.iter().chain(&keys) {
        assert!(told.contains(name), "{name} is not described");
    }
    let kinds = ["resid", "prompt", "cluster", "constitution", "response", "logprob", "logq", "ntok"];
    let tensor = |name: &&String| kinds.contains(&name.as_str()) || name.contains(".NAME");
    for name in told.iter().filter(tensor) {
        assert!(written.contains(name), "{name} is described and never written");
    }
}

#[test]
fn a_file_as_small_as_the_one_on_the_page_is_fitted() {
    let page = page();
    let code = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("code");
    assert!(code.lines().count() <= 6, "{code}");
    for name in ["\"resid\"", "\"value.mine\"", "\"prompt\"", "size=(400, 1, 64)", "// 4"] {
        assert!(code.contains(name), "{name}: {code}");
    }
    let place = Place::new();
    let number = |i: usize| (((i * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5) * (1.0 + (i % 7) as f32);
    let resid: Vec<f32> = (0..400 * 64).map(number).collect();
    let label: Vec<f32> = (0..400).map(|r| resid[r * 64..r * 64 + 8].iter().sum()).collect();
    let le = |v: &[f32]| v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let prompt: Vec<u8> = (0..400i32).flat_map(|i| (i / 4).to_le_bytes()).collect();
    let (resid, label) = (le(&resid), le(&label));
    let view = |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.to_vec(), bytes).expect("a view");
    let tensors = [
        ("resid", view(Dtype::F32, &[400, 1, 64], &resid)),
        ("value.mine", view(Dtype::F32, &[400], &label)),
        ("prompt", view(Dtype::I32, &[400], &prompt)),
    ];
    let file = safetensors::serialize(tensors, None).expect("a file");
    std::fs::write(place.path("mine.safetensors"), file).expect("written");
    let (ok, _, said) = place.vstar(&["fit", "--observations", "mine.safetensors", "--out", "runs/mine"]);
    assert!(ok, "{said}");
    let text = std::fs::read_to_string(place.path("runs/mine/report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let rho2 = report["estimates"]
        .as_array()
        .expect("estimates")
        .iter()
        .find(|e| e["quantity"] == "rho2" && e["value"] == "mine")
        .expect("ρ²");
    // The label is a sum of coordinates.
    assert!(rho2["estimate"].as_f64().expect("a figure") > 0.95, "{rho2}");
    let told = first_column(&page, "## `report.json`");
    for key in report.as_object().expect("an object").keys() {
        assert!(told.contains(key), "{key} is not described");
    }
}

#[test]
fn every_verdict_is_named() {
    let page = page();
    for outcome in Outcome::ALL {
        let name = serde_json::to_value(outcome).expect("a name");
        let name = name.as_str().expect("a text");
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
