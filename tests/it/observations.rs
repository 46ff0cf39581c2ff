//! The observations file: round trips, consistency of its columns, and matching of rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ndarray::{Array3, s};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors};
use vstar::error::{Error, Kind, Result};
use vstar::observations::{
    Columns, Judgments, Meta, Observations, RowRecord, append_judgments, read_rows, write_rows,
    write_streaming,
};
use vstar::units::Layer;

/// Two prompts with two responses each, under `none` and `gentle`: 8 rows, layers 0 and 3, d = 5.
fn small() -> (Meta, Columns, Array3<f32>) {
    let mut meta = Meta::new(vec![Layer(0), Layer(3)]);
    meta.constitutions = vec!["none".to_owned(), "gentle".to_owned()];
    meta.model = "tiny".to_owned();
    meta.extra.insert("note".to_owned(), "kept".to_owned());
    let twice = |v: &[f64]| v.iter().chain(v).copied().collect::<Vec<_>>();
    let columns = Columns {
        prompt: Some(vec![7, 7, 9, 9, 7, 7, 9, 9]),
        constitution: Some(vec![0, 0, 0, 0, 1, 1, 1, 1]),
        cluster: Some(vec![1, 1, 1, 1, 1, 1, 1, 1]),
        response: None,
        logprob: Some(twice(&[-1.0, -2.0, -3.5, -4.0])),
        logq: Some(twice(&[-1.5, -2.0, -3.0, -4.5])),
        ntok: Some(vec![3, 4, 5, 6, 3, 4, 5, 6]),
        values: BTreeMap::from([("harmless".to_owned(), twice(&[1.0, 0.0, f64::NAN, 0.5]))]),
        preferences: BTreeMap::from([("kind".to_owned(), vec![[0, 1], [3, 2]])]),
        judgments: BTreeMap::from([("gentle".to_owned(), judged(&[[0, 1], [2, 3]]))]),
        scores: BTreeMap::from([("gentle".to_owned(), twice(&[0.5, f64::NAN, 2.0, -1.0]))]),
    };
    let resid = Array3::from_shape_fn((8, 2, 5), |(r, l, j)| (r * 100 + l * 10 + j) as f32 / 8.0);
    (meta, columns, resid)
}

pub fn judged(pairs: &[[usize; 2]]) -> Judgments {
    let ab = (0..pairs.len()).map(|i| 1.5 + i as f64).collect();
    Judgments { pairs: pairs.to_vec(), ab, ba: Some(vec![-0.5; pairs.len()]) }
}

pub fn saved(folder: &Path) -> PathBuf {
    let (meta, columns, resid) = small();
    let path = folder.join("observations.safetensors");
    Observations::new(meta, columns, resid).expect("valid").write(&path).expect("written");
    path
}

pub fn diagnostic<T: std::fmt::Debug>(result: Result<T>) -> (Kind, String) {
    match result.expect_err("a refusal") {
        Error::Diagnostic(diagnostic) => (diagnostic.kind, diagnostic.to_string()),
        other => panic!("not a refusal: {other}"),
    }
}

/// Text with NaN equal to NaN.
fn shown(columns: &Columns) -> String {
    format!("{columns:?}")
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().expect("folder");
    let path = saved(folder.path());
    let (meta, columns, resid) = small();
    let read = Observations::open(&path).expect("readable");
    assert_eq!(read.meta(), &meta);
    assert_eq!(shown(read.columns()), shown(&columns));
    assert_eq!(read.warnings(), Vec::<String>::new());
    assert_eq!((read.rows(), read.hidden_size()), (8, 5));
    for (at, layer) in [(0, Layer(0)), (1, Layer(3))] {
        assert_eq!(read.layer(layer).expect("layer"), resid.slice(s![.., at, ..]));
    }
    assert_eq!(
        read.layer_rows(Layer(3), &[6, 1]).expect("rows"),
        resid.select(ndarray::Axis(0), &[6, 1]).slice(s![.., 1, ..])
    );
    assert_eq!(diagnostic(read.layer(Layer(1))).0, Kind::Missing);
    assert_eq!(diagnostic(read.layer_rows(Layer(0), &[8])).0, Kind::Invalid);
}

#[test]
fn the_header_is_the_contract_and_the_bytes_are_the_same_every_time() {
    let folder = tempfile::tempdir().expect("folder");
    let path = saved(folder.path());
    let bytes = std::fs::read(&path).expect("bytes");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("a safetensors file");
    let entries = header.metadata().clone().expect("metadata");
    assert_eq!(entries["format"], "vstar-observations/1");
    assert_eq!(entries["layers"], "[0,3]");
    assert_eq!(entries["constitutions"], r#"["none","gentle"]"#);
    assert_eq!(entries["note"], "kept");
    for (name, dtype, shape) in [
        ("resid", Dtype::F32, vec![8, 2, 5]),
        ("logprob", Dtype::F32, vec![8]),
        ("ntok", Dtype::I32, vec![8]),
        ("prompt", Dtype::I32, vec![8]),
        ("constitution", Dtype::I32, vec![8]),
        ("cluster", Dtype::I32, vec![8]),
        ("value.harmless", Dtype::F32, vec![8]),
        ("pair.kind", Dtype::I32, vec![2, 2]),
        ("judge.gentle.pair", Dtype::I32, vec![2, 2]),
        ("judge.gentle.ab", Dtype::F32, vec![2]),
        ("judge.gentle.ba", Dtype::F32, vec![2]),
        ("score.gentle", Dtype::F32, vec![8]),
    ] {
        let info = header.info(name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!((info.dtype, &info.shape), (dtype, &shape), "{name}");
    }
    let again = tempfile::tempdir().expect("folder");
    assert_eq!(std::fs::read(saved(again.path())).expect("bytes"), bytes);
}

#[test]
fn an_opened_file_written_again_is_the_same_file() {
    let folder = tempfile::tempdir().expect("folder");
    let path = saved(folder.path());
    let copy = folder.path().join("copy.safetensors");
    Observations::open(&path).expect("readable").write(&copy).expect("written");
    assert_eq!(std::fs::read(&copy).expect("copy"), std::fs::read(&path).expect("original"));
}

#[test]
fn blocks_of_rows_give_the_file_that_one_array_gives() {
    let folder = tempfile::tempdir().expect("folder");
    let whole = std::fs::read(saved(folder.path())).expect("bytes");
    let (meta, columns, resid) = small();
    let path = folder.path().join("streamed.safetensors");
    write_streaming(&path, &meta, &columns, 8, 5, |sink| {
        sink.push(resid.slice(s![..3, .., ..]))?;
        sink.push(resid.slice(s![3..3, .., ..]))?;
        sink.push(resid.slice(s![3.., .., ..]))
    })
    .expect("written");
    assert_eq!(std::fs::read(&path).expect("bytes"), whole);

    let missing = folder.path().join("missing.safetensors");
    let short =
        write_streaming(&missing, &meta, &columns, 8, 5, |sink| sink.push(resid.slice(s![..7, .., ..])));
    let (kind, text) = diagnostic(short);
    assert!(kind == Kind::Invalid && text.contains('7'), "{text}");
    let narrow =
        write_streaming(&missing, &meta, &columns, 8, 5, |sink| sink.push(resid.slice(s![.., .., ..4])));
    assert_eq!(diagnostic(narrow).0, Kind::Invalid);
    let mut bad = resid.clone();
    bad[[6, 1, 2]] = f32::INFINITY;
    let (kind, text) =
        diagnostic(write_streaming(&missing, &meta, &columns, 8, 5, |sink| sink.push(bad.view())));
    assert!(kind == Kind::NotFinite && text.contains("row 6 of layer 3"), "{text}");
    assert!(!missing.exists());
}

#[test]
fn judgments_are_added_and_replaced_and_nothing_else_moves() {
    let folder = tempfile::tempdir().expect("folder");
    let path = saved(folder.path());
    let one_order = Judgments { pairs: vec![[5, 4]], ab: vec![0.25], ba: None };
    let judgments =
        BTreeMap::from([("gentle".to_owned(), one_order.clone()), ("stern".to_owned(), judged(&[[0, 1]]))]);
    let scores = BTreeMap::from([("stern".to_owned(), vec![1.0; 8])]);
    let extra = BTreeMap::from([("score.stern".to_owned(), "pointwise".to_owned())]);
    append_judgments(&path, &judgments, &scores, &extra).expect("appended");

    let (mut meta, mut columns, resid) = small();
    meta.extra.extend(extra);
    columns.judgments = judgments;
    columns.scores.extend(scores);
    let read = Observations::open(&path).expect("readable");
    assert_eq!(read.meta(), &meta);
    assert_eq!(shown(read.columns()), shown(&columns));
    assert_eq!(read.columns().judgments["gentle"].debiased(), None);
    assert_eq!(read.columns().judgments["stern"].debiased(), Some(vec![1.0]));
    assert_eq!(read.columns().judgments["stern"].position_bias(), Some(vec![0.5]));
    assert_eq!(read.layer(Layer(0)).expect("layer"), resid.slice(s![.., 0, ..]));

    let before = std::fs::read(&path).expect("bytes");
    let outside = BTreeMap::from([("stern".to_owned(), judged(&[[0, 8]]))]);
    let none = BTreeMap::new();
    assert_eq!(diagnostic(append_judgments(&path, &outside, &BTreeMap::new(), &none)).0, Kind::Invalid);
    let owned = BTreeMap::from([("layers".to_owned(), "[0]".to_owned())]);
    assert_eq!(
        diagnostic(append_judgments(&path, &BTreeMap::new(), &BTreeMap::new(), &owned)).0,
        Kind::Invalid
    );
    assert_eq!(std::fs::read(&path).expect("bytes"), before);
}

#[test]
fn what_the_columns_say_of_each_other_is_checked() {
    let broken = |change: &dyn Fn(&mut Columns)| {
        let (meta, mut columns, resid) = small();
        change(&mut columns);
        diagnostic(Observations::new(meta, columns, resid)).1
    };
    let across_prompts = broken(&|c| c.preferences.get_mut("kind").expect("there")[1] = [1, 2]);
    assert!(across_prompts.contains("pair.kind") && across_prompts.contains("pair 1"), "{across_prompts}");
    let across_kinds = broken(&|c| c.preferences.get_mut("kind").expect("there")[0] = [0, 5]);
    assert!(across_kinds.contains("different constitutions"), "{across_kinds}");
    let two_kinds = broken(&|c| c.judgments.get_mut("gentle").expect("there").pairs[1] = [6, 7]);
    assert!(two_kinds.contains("judge.gentle.pair"), "{two_kinds}");
    let split = broken(&|c| c.cluster = Some(vec![1, 2, 1, 1, 1, 1, 1, 1]));
    assert!(split.contains("prompt 7 lies in two clusters"), "{split}");
    let repeated = broken(&|c| c.response = Some(vec![0, 0, 1, 2, 0, 1, 2, 3]));
    assert!(repeated.contains("repeats response 0"), "{repeated}");
    let moved = broken(&|c| c.response = Some(vec![0, 1, 2, 3, 2, 3, 0, 1]));
    assert!(moved.contains("two prompts"), "{moved}");
    let nameless = broken(&|c| drop(c.values.insert(String::new(), vec![0.0; 8])));
    assert!(nameless.contains("without a name"), "{nameless}");
}

#[test]
fn a_selection_sees_its_rows_and_what_was_said_of_the_same_responses() {
    let (meta, columns, resid) = small();
    let all = Observations::new(meta, columns, resid.clone()).expect("valid");
    assert_eq!(all.default_reference(), "none");
    let none = all.select_constitution("none").expect("rows");
    assert_eq!(none.rows(), [0, 1, 2, 3]);
    assert_eq!(none.pick(all.columns().ntok.as_ref().expect("ntok")), [3, 4, 5, 6]);
    assert_eq!(all.selected_judgments("gentle", &none).expect("direct").mapped_from, None);

    let gentle = all.select_constitution("gentle").expect("rows");
    assert_eq!(gentle.rows(), [4, 5, 6, 7]);
    assert_eq!((gentle.position(5), gentle.position(1)), (Some(1), None));
    assert_eq!(all.selected_layer(Layer(3), &gentle).expect("layer"), resid.slice(s![4.., 1, ..]));
    let judged = all.selected_judgments("gentle", &gentle).expect("mapped");
    assert_eq!(judged.mapped_from.as_deref(), Some("none"));
    assert_eq!(judged.data.pairs, [[0, 1], [2, 3]]);
    assert_eq!(judged.data.ab, [1.5, 2.5]);
    let preferred = all.selected_preferences("kind", &gentle).expect("mapped");
    assert_eq!((preferred.data, preferred.mapped_from.as_deref()), (vec![[0, 1], [3, 2]], Some("none")));
    assert_eq!(diagnostic(all.select_constitution("stern")).0, Kind::Missing);
    let (_, text) = diagnostic(all.selected_value("kindness", &none));
    assert!(text.contains("harmless"), "{text}");
}

#[test]
fn rows_that_cannot_be_matched_are_refused_and_a_response_column_matches_them() {
    // Row 4 is missing, so prompt 7 has one row under `gentle` and two under `none`.
    let less = |change: &dyn Fn(&mut Columns)| {
        let (meta, mut c, resid) = small();
        let keep = [0, 1, 2, 3, 5, 6, 7];
        let ints = |v: &Option<Vec<i32>>| v.as_ref().map(|v| keep.map(|r| v[r]).to_vec());
        c.prompt = ints(&c.prompt);
        c.cluster = ints(&c.cluster);
        c.constitution = Some(vec![0, 0, 0, 0, 1, 1, 1]);
        (c.logprob, c.logq, c.ntok) = (None, None, None);
        c.scores.clear();
        let labels = c.values["harmless"].clone();
        c.values.insert("harmless".to_owned(), keep.map(|r| labels[r]).to_vec());
        change(&mut c);
        Observations::new(meta, c, resid.select(ndarray::Axis(0), &keep)).expect("valid")
    };
    let judged_on_two = |c: &mut Columns| drop(c.judgments.insert("gentle".to_owned(), judged(&[[2, 3]])));
    let unmatched = less(&|_| {});
    let gentle = unmatched.select_constitution("gentle").expect("rows");
    let (_, text) = diagnostic(unmatched.selected_judgments("gentle", &gentle));
    assert!(text.contains("row 0 under `none`") && text.contains("2 rows there and 1 here"), "{text}");
    // Only the requested rows have to match.
    let partly = less(&judged_on_two);
    assert_eq!(partly.selected_judgments("gentle", &gentle).expect("mapped").data.pairs, [[1, 2]]);

    let named = less(&|c| {
        judged_on_two(c);
        c.response = Some(vec![0, 1, 2, 3, 1, 3, 2]);
        c.values.clear();
    });
    assert_eq!(named.selected_judgments("gentle", &gentle).expect("mapped").data.pairs, [[2, 1]]);
    // Without the column, another order is visible in the labels.
    let swapped = less(&|c| {
        judged_on_two(c);
        c.values.insert("harmless".to_owned(), vec![1.0, 0.0, 0.25, 0.5, 0.0, 0.5, 0.25]);
    });
    let (_, text) = diagnostic(swapped.selected_judgments("gentle", &gentle));
    assert!(text.contains("same order"), "{text}");
}

#[test]
fn labels_of_another_constitution_are_matched_where_the_selection_has_none() {
    let (meta, mut columns, resid) = small();
    let gone = f64::NAN;
    columns.values.insert("late".to_owned(), vec![gone, gone, gone, gone, 1.0, 2.0, gone, 4.0]);
    let all = Observations::new(meta, columns, resid).expect("valid");
    let none = all.select_constitution("none").expect("rows");
    let late = all.selected_value("late", &none).expect("mapped");
    assert_eq!(late.mapped_from.as_deref(), Some("gentle"));
    assert_eq!(format!("{:?}", late.data), "[1.0, 2.0, NaN, 4.0]");
    let own = all.selected_value("harmless", &none).expect("direct");
    assert_eq!((format!("{:?}", own.data), own.mapped_from), ("[1.0, 0.0, NaN, 0.5]".to_owned(), None));
    let score = all.selected_score("gentle", &none).expect("direct");
    assert_eq!(format!("{:?}", score.data), "[0.5, NaN, 2.0, -1.0]");
}

#[test]
fn row_records_come_back_line_by_line() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("observations.jsonl");
    let row = |id: &str, response| RowRecord {
        id: id.to_owned(),
        response,
        constitution: "none".to_owned(),
        span: [3, 9],
        pooled: None,
        tokens: (response == 0).then(|| vec![5, 0, 77]),
        sequence_sha256: None,
    };
    let rows = [row("a\nb", 0), row("ü", 1)];
    write_rows(&path, &rows).expect("written");
    let text = std::fs::read_to_string(&path).expect("text");
    assert_eq!(
        text.lines().next(),
        Some(r#"{"id":"a\nb","response":0,"constitution":"none","span":[3,9],"tokens":[5,0,77]}"#)
    );
    assert_eq!(read_rows(&path).expect("read"), rows);
    std::fs::write(&path, text + "{\"id\": 3}\n").expect("written");
    assert!(diagnostic(read_rows(&path)).1.contains("observations.jsonl:3"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Damage anywhere gives an error or observations that answer every question without a panic.
    #[test]
    fn no_damaged_byte_makes_it_panic(at in 0usize..4096, byte in any::<u8>()) {
        let folder = tempfile::tempdir().expect("folder");
        let path = saved(folder.path());
        let mut bytes = std::fs::read(&path).expect("bytes");
        let at = at % bytes.len();
        bytes[at] = byte;
        std::fs::write(&path, &bytes).expect("written");
        if let Ok(read) = Observations::open(&path) {
            for &layer in read.layers() {
                let _ = read.layer(layer);
            }
            for name in &read.meta().constitutions {
                if let Ok(selection) = read.select_constitution(name) {
                    let _ = read.selected_judgments("gentle", &selection);
                    let _ = read.selected_preferences("kind", &selection);
                    let _ = read.selected_value("harmless", &selection);
                }
            }
        }
    }
}
