//! Observations files from other programs: tolerant where nothing is lost, and errors for hostile ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use vstar::error::{Error, Kind};
use vstar::observations::{Observations, PromptSource, append_judgments};
use vstar::units::Layer;

use crate::observations::{diagnostic, judged, saved};

type Tensor<'a> = (&'a str, Dtype, &'a [usize], Vec<u8>);

/// A file with these tensors, written by the standard library for the format.
fn foreign(folder: &Path, entries: &[(&str, &str)], tensors: &[Tensor<'_>]) -> PathBuf {
    let path = folder.join("foreign.safetensors");
    let entries = entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let views = tensors.iter().map(|(n, d, s, b)| (*n, TensorView::new(*d, s.to_vec(), b).expect("a view")));
    std::fs::write(&path, safetensors::serialize(views, Some(entries)).expect("serialised"))
        .expect("written");
    path
}

fn le<const B: usize, T: Copy>(values: &[T], bytes: impl Fn(T) -> [u8; B]) -> Vec<u8> {
    values.iter().flat_map(|v| bytes(*v)).collect()
}

#[test]
fn a_bare_file_from_elsewhere_is_read_with_its_defaults_said() {
    let folder = tempfile::tempdir().expect("folder");
    let resid = le(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], f64::to_le_bytes);
    let path = foreign(
        folder.path(),
        &[],
        &[
            ("resid", Dtype::F64, &[4, 2], resid),
            ("value.S", Dtype::BOOL, &[4], vec![1, 0, 0, 1]),
            ("pair.S", Dtype::I64, &[1, 2], le(&[3, 1], i64::to_le_bytes)),
            ("my.own", Dtype::U8, &[3], vec![1, 2, 3]),
        ],
    );
    let read = Observations::open(&path).expect("readable");
    assert_eq!(read.layers(), [Layer(0)]);
    assert_eq!(read.meta().constitutions, ["none"]);
    assert_eq!(
        read.layer(Layer(0)).expect("layer"),
        ndarray::array![[1.0f32, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]
    );
    assert_eq!(read.columns().values["S"], [1.0, 0.0, 0.0, 1.0]);
    assert_eq!(read.prompt_source(), PromptSource::Pairs);
    assert_eq!(read.prompt(), Some(&[0, 1, 2, 1][..]));
    let warnings = read.warnings().join("\n");
    for said in ["`format`", "`layers`", "my.own", "`prompt`"] {
        assert!(warnings.contains(said), "{said} in {warnings}");
    }
    append_judgments(
        &path,
        &BTreeMap::from([("c".to_owned(), judged(&[[1, 3]]))]),
        &BTreeMap::new(),
        &BTreeMap::new(),
    )
    .expect("appended");
    let bytes = std::fs::read(&path).expect("bytes");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    assert_eq!(file.tensor("my.own").expect("kept").data(), [1, 2, 3]);
    assert_eq!(file.tensor("resid").expect("kept").dtype(), Dtype::F64);
}

#[test]
fn without_prompts_or_pairs_the_rows_are_read_and_contrasts_are_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let resid = le(&[1.0, 2.0], f32::to_le_bytes);
    let path = foreign(folder.path(), &[], &[("resid", Dtype::F32, &[2, 1, 1], resid)]);
    let read = Observations::open(&path).expect("readable");
    assert_eq!((read.prompt(), read.prompt_source()), (None, PromptSource::Unknown));
    let (kind, text) = diagnostic(read.require_prompt());
    assert!(kind == Kind::NotEstimable && text.contains("foreign.safetensors"), "{text}");
}

#[test]
fn a_residual_that_is_no_number_is_named_by_row_and_layer() {
    let folder = tempfile::tempdir().expect("folder");
    let mut values = vec![0.5f32; 12];
    values[7] = f32::NAN;
    let path = foreign(
        folder.path(),
        &[("layers", "[4,9]")],
        &[("resid", Dtype::F32, &[3, 2, 2], le(&values, f32::to_le_bytes))],
    );
    let read = Observations::open(&path).expect("readable");
    read.layer(Layer(4)).expect("the other layer is whole");
    let (kind, text) = diagnostic(read.layer(Layer(9)));
    assert!(
        kind == Kind::NotFinite && text.contains("row 1 of layer 9") && text.contains("dimension 1"),
        "{text}"
    );
    // An f64 that overflows f32 is not finite.
    let path =
        foreign(folder.path(), &[], &[("resid", Dtype::F64, &[1, 1, 1], le(&[1e300], f64::to_le_bytes))]);
    assert_eq!(diagnostic(Observations::open(&path).expect("readable").layer(Layer(0))).0, Kind::NotFinite);
}

#[test]
fn wrong_shapes_and_dtypes_are_refused_by_the_tensors_name() {
    let folder = tempfile::tempdir().expect("folder");
    let resid = || ("resid", Dtype::F32, &[2usize, 1, 2][..], le(&[1.0, 2.0, 3.0, 4.0], f32::to_le_bytes));
    let floats = || le(&[0.0, 1.0], f32::to_le_bytes);
    let cases: Vec<(&str, Vec<Tensor<'_>>)> = vec![
        ("resid", vec![("value.S", Dtype::F32, &[2], floats())]),
        ("resid", vec![("resid", Dtype::I32, &[2, 1, 1], floats())]),
        ("resid", vec![("resid", Dtype::F32, &[2], floats())]),
        ("resid", vec![("resid", Dtype::F32, &[0, 1, 2], vec![])]),
        ("resid", vec![("resid", Dtype::F32, &[2, 0, 2], vec![])]),
        ("prompt", vec![resid(), ("prompt", Dtype::F32, &[2], floats())]),
        ("prompt", vec![resid(), ("prompt", Dtype::I64, &[2], le(&[1, 1 << 40], i64::to_le_bytes))]),
        ("prompt", vec![resid(), ("prompt", Dtype::I32, &[3], le(&[1, 1, 1], i32::to_le_bytes))]),
        ("constitution", vec![resid(), ("constitution", Dtype::I32, &[2], le(&[0, -1], i32::to_le_bytes))]),
        ("constitution", vec![resid(), ("constitution", Dtype::I32, &[2], le(&[0, 1], i32::to_le_bytes))]),
        ("ntok", vec![resid(), ("ntok", Dtype::I32, &[2], le(&[4, 0], i32::to_le_bytes))]),
        ("value.S", vec![resid(), ("value.S", Dtype::F32, &[2, 1], floats())]),
        (
            "value.S",
            vec![resid(), ("value.S", Dtype::F32, &[2], le(&[1.0, f32::INFINITY], f32::to_le_bytes))],
        ),
        ("logprob", vec![resid(), ("logprob", Dtype::F32, &[2], le(&[1.0, f32::NAN], f32::to_le_bytes))]),
        ("pair.S", vec![resid(), ("pair.S", Dtype::I32, &[1, 2], le(&[1, 1], i32::to_le_bytes))]),
        ("pair.S", vec![resid(), ("pair.S", Dtype::I32, &[1, 2], le(&[0, 2], i32::to_le_bytes))]),
        ("pair.S", vec![resid(), ("pair.S", Dtype::I32, &[2], le(&[0, 1], i32::to_le_bytes))]),
        ("judge.c.ab", vec![resid(), ("judge.c.pair", Dtype::I32, &[1, 2], le(&[0, 1], i32::to_le_bytes))]),
        ("judge.c.pair", vec![resid(), ("judge.c.ab", Dtype::F32, &[2], floats())]),
    ];
    for (tensor, tensors) in cases {
        let (_, text) = diagnostic(Observations::open(&foreign(folder.path(), &[], &tensors)));
        assert!(text.contains(&format!("foreign.safetensors [{tensor}]")), "{tensor}: {text}");
    }
    for (key, value) in [
        ("format", "vstar-observations/2"),
        ("layers", "0,1"),
        ("layers", "[0,1]"),
        ("constitutions", "none"),
        ("constitutions", "[]"),
        ("constitutions", r#"["a","a"]"#),
        ("constitutions", r#"["a","b"]"#),
    ] {
        diagnostic(Observations::open(&foreign(folder.path(), &[(key, value)], &[resid()])));
    }
}

/// A header and `data` bytes of data.
fn raw(folder: &Path, header: &str, data: usize) -> PathBuf {
    let path = folder.join("raw.safetensors");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(vec![0u8; data]);
    std::fs::write(&path, bytes).expect("written");
    path
}

#[test]
fn hostile_headers_are_refused_without_reading_what_they_promise() {
    let folder = tempfile::tempdir().expect("folder");
    let resid = r#""resid":{"dtype":"F32","shape":[2,1,1],"data_offsets":[0,8]}"#;
    Observations::open(&raw(folder.path(), &format!("{{{resid}}}"), 8))
        .expect("the file that the others spoil");
    let cases = [
        (
            "overlap",
            format!(r#"{{{resid},"logprob":{{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}}}"#),
            12,
        ),
        (
            "hole",
            format!(r#"{{{resid},"logprob":{{"dtype":"F32","shape":[2],"data_offsets":[12,20]}}}}"#),
            20,
        ),
        ("twice", format!("{{{resid},{resid}}}"), 8),
        (
            "twice, in disguise",
            format!(r#"{{{resid},"res\u0069d":{{"dtype":"I32","shape":[2,1,1],"data_offsets":[0,8]}}}}"#),
            8,
        ),
        ("too short", format!("{{{resid}}}"), 7),
        ("too long", format!("{{{resid}}}"), 9),
        (
            "size against shape",
            r#"{"resid":{"dtype":"F32","shape":[3,1,1],"data_offsets":[0,8]}}"#.to_owned(),
            8,
        ),
        (
            "overflow",
            format!(
                r#"{{"resid":{{"dtype":"F32","shape":[{0},{0},4],"data_offsets":[0,0]}}}}"#,
                u64::MAX / 2
            ),
            0,
        ),
        ("backwards", r#"{"resid":{"dtype":"F32","shape":[2,1,1],"data_offsets":[8,0]}}"#.to_owned(), 8),
        ("unknown dtype", r#"{"resid":{"dtype":"Q4","shape":[2,1,1],"data_offsets":[0,8]}}"#.to_owned(), 8),
        ("no JSON", "{resid".to_owned(), 8),
        ("no object", "[1,2]".to_owned(), 8),
        ("nothing", "{}".to_owned(), 0),
    ];
    for (name, header, data) in cases {
        let (kind, text) = diagnostic(Observations::open(&raw(folder.path(), &header, data)));
        assert!(
            matches!(kind, Kind::Malformed | Kind::Missing) && text.contains("raw.safetensors"),
            "{name}: {text}"
        );
    }
    let path = folder.path().join("raw.safetensors");
    for bytes in
        [vec![], vec![1, 2, 3], u64::MAX.to_le_bytes().to_vec(), 90_000_000u64.to_le_bytes().to_vec()]
    {
        std::fs::write(&path, &bytes).expect("written");
        assert_eq!(diagnostic(Observations::open(&path)).0, Kind::Malformed, "{bytes:?}");
    }
    assert!(matches!(Observations::open(&folder.path().join("gone")), Err(Error::Io { .. })));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let path = saved(folder.path());
    let whole = std::fs::read(&path).expect("bytes");
    for end in (0..whole.len()).step_by(7) {
        std::fs::write(&path, &whole[..end]).expect("written");
        assert_eq!(diagnostic(Observations::open(&path)).0, Kind::Malformed, "cut at {end}");
    }
}
