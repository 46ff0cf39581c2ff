//! Exports, read back at the byte level.

use std::collections::BTreeMap;
use std::fs;

use safetensors::SafeTensors;
use vstar::error::{Kind, Place};
use vstar::report::export::{Directions, from_safetensors, to_csv, to_gguf, to_npz, to_safetensors};
use vstar::units::Layer;

use crate::cli::ready;

/// Layers 0, 2 and 5 of width 3, with names that are difficult for file names.
fn directions() -> Directions {
    let array = |from: f32| (0..9).map(|i| from + i as f32 * 0.1).collect();
    Directions {
        model: "tiny".into(),
        model_type: "llama".into(),
        model_sha256: String::new(),
        layers: vec![Layer(0), Layer(2), Layer(5)],
        width: 3,
        arrays: BTreeMap::from([("v_star.a, \"b\"".into(), array(1.0)), ("w".into(), array(-4.0))]),
    }
}

/// Reads numbers and texts from the front of a byte slice.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(n);
        self.0 = rest;
        head
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take(2).try_into().expect("2 bytes"))
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().expect("4 bytes"))
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().expect("8 bytes"))
    }

    fn text(&mut self) -> String {
        let n = self.u64() as usize;
        String::from_utf8(self.take(n).to_vec()).expect("UTF-8")
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes"))).collect()
}

#[test]
fn directions_come_back_from_safetensors_and_the_same_ones_give_the_same_bytes() {
    let file = to_safetensors(&directions());
    assert_eq!(from_safetensors(&file, &Place::default()).expect("read"), directions());
    assert_eq!(file, to_safetensors(&directions()));
    let tensors = SafeTensors::deserialize(&file).expect("an ordinary reader reads it");
    assert_eq!(tensors.tensor("w").expect("w").shape(), [3, 3]);
    let cut = from_safetensors(&file[..file.len() - 1], &Place::default()).expect_err("cut");
    assert_eq!(cut.kind(), Some(Kind::Malformed));
}

#[test]
fn the_npz_archive_holds_each_direction_as_an_array() {
    let file = to_npz(&directions()).expect("an archive");
    let mut at = Bytes(&file);
    let mut found = BTreeMap::new();
    while at.0.starts_with(b"PK\x03\x04") {
        at.take(4);
        let head: Vec<u16> = (0..5).map(|_| at.u16()).collect();
        assert_eq!((head[1], head[2]), (1 << 11, 0), "UTF-8, stored");
        let (crc, packed, size) = (at.u32(), at.u32() as usize, at.u32() as usize);
        assert_eq!(packed, size);
        let (name, extra) = (at.u16() as usize, at.u16() as usize);
        let name = String::from_utf8(at.take(name).to_vec()).expect("UTF-8");
        at.take(extra);
        let data = at.take(size);
        let mut sum = flate2::Crc::new();
        sum.update(data);
        assert_eq!(sum.sum(), crc, "{name}");
        let mut npy = Bytes(data);
        assert_eq!(npy.take(8), b"\x93NUMPY\x01\x00");
        let n = npy.u16() as usize;
        assert_eq!((10 + n) % 64, 0);
        let header = String::from_utf8(npy.take(n).to_vec()).expect("ASCII");
        found.insert(name, (header.trim_end().to_owned(), npy.0.to_vec()));
    }
    assert_eq!(found.len(), 3);
    let (header, data) = &found["v_star.a, \"b\".npy"];
    assert_eq!(header, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3,), }");
    assert_eq!(floats(data), directions().arrays["v_star.a, \"b\""]);
    assert_eq!(found["layers.npy"].0, "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }");
    // The directory at the end points to the first entry.
    let end = file.len() - 22;
    assert_eq!(&file[end..end + 4], b"PK\x05\x06");
    let start = u32::from_le_bytes(file[end + 16..end + 20].try_into().expect("4 bytes")) as usize;
    assert_eq!(&file[start..start + 4], b"PK\x01\x02");
    assert_eq!(file.len() - at.0.len(), start);
}

#[test]
fn a_control_vector_has_what_llama_cpp_looks_for() {
    let one = directions().only(&["w".to_owned()]).expect("w");
    let file = to_gguf(&one).expect("a control vector");
    let mut at = Bytes(&file);
    assert_eq!((at.take(4), at.u32()), (b"GGUF".as_slice(), 3));
    let (tensors, notes) = (at.u64(), at.u64());
    assert_eq!(tensors, 2, "layer 0 cannot be steered");
    let mut meta = BTreeMap::new();
    for _ in 0..notes {
        let key = at.text();
        let value = match at.u32() {
            8 => at.text(),
            5 => at.u32().to_string(),
            other => panic!("type {other}"),
        };
        meta.insert(key, value);
    }
    assert_eq!(meta["general.architecture"], "controlvector");
    assert_eq!(meta["controlvector.model_hint"], "llama");
    assert_eq!(meta["controlvector.layer_count"], "2");
    assert!(
        meta["vstar.operation"].contains("not scaled for adding")
            && meta["vstar.hook"].contains("final norm")
    );
    let mut found = Vec::new();
    for _ in 0..tensors {
        let (name, dimensions, width, dtype, offset) = (at.text(), at.u32(), at.u64(), at.u32(), at.u64());
        assert_eq!((dimensions, width, dtype, offset % 32), (1, 3, 0, 0));
        found.push((name, offset as usize));
    }
    let data = (file.len() - at.0.len()).next_multiple_of(32);
    for ((name, offset), layer) in found.iter().zip([2, 5]) {
        assert_eq!(*name, format!("direction.{layer}"));
        let row = if layer == 2 { 3..6 } else { 6..9 };
        assert_eq!(floats(&file[data + offset..data + offset + 12]), one.arrays["w"][row]);
    }
    assert_eq!(to_gguf(&directions()).expect_err("two").kind(), Some(Kind::Invalid));
    let bare =
        Directions { layers: vec![Layer(0)], arrays: BTreeMap::from([("w".into(), vec![1.0; 3])]), ..one };
    assert_eq!(to_gguf(&bare).expect_err("layer 0 alone").kind(), Some(Kind::Missing));
}

#[test]
fn the_table_has_a_line_a_number_that_reads_back_exactly() {
    let text = to_csv(&directions());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines.len()), ("direction,layer,index,value", 1 + 2 * 9));
    assert!(lines[4].starts_with("\"v_star.a, \"\"b\"\"\",2,0,"), "{}", lines[4]);
    let w: Vec<f32> =
        lines[10..].iter().map(|l| l.rsplit(',').next().expect("a value").parse().expect("f32")).collect();
    assert_eq!(w, directions().arrays["w"]);
}

#[test]
fn a_finished_run_exports_in_every_format_and_refuses_what_it_does_not_have() {
    let place = ready();
    let (ok, out, err) = place.vstar(&["run", "run.toml"]);
    assert!(ok, "{out}\n{err}");
    for format in ["npz", "csv", "safetensors"] {
        let (ok, out, err) = place.vstar(&["export", "out", "--format", format]);
        assert!(ok, "{out}\n{err}");
        assert!(place.path(&format!("out/export.{format}")).is_file(), "{out}");
    }
    assert_eq!(
        fs::read(place.path("out/export.safetensors")).expect("a copy"),
        fs::read(place.path("out/directions.safetensors")).expect("the original")
    );
    let estimates = fs::read_to_string(place.path("out/export.estimates.csv")).expect("estimates");
    assert!(estimates.lines().any(|l| l.starts_with("alignment,harmless,,kind,,,")), "{estimates}");
    let (ok, out, err) = place.vstar(&["export", "out", "--format", "gguf", "--direction", "v_c.kind"]);
    assert!(ok, "{out}\n{err}");
    for told in ["layer 0, the embeddings, is left out", "one block later", "norms run from"] {
        assert!(out.contains(told), "{told}: {out}");
    }
    let vector = fs::read(place.path("out/v_c.kind.gguf")).expect("a control vector");
    assert!(vector.windows(5).any(|w| w == b"llama"), "the model's type is its hint");
    let err = place.refused(&["export", "out", "--format", "gguf"]);
    assert!(err.contains("--direction") && err.contains("v_star.harmless"), "{err}");
    let err = place.refused(&["export", "out", "--format", "npz", "--direction", "v_c.cruel"]);
    assert!(err.contains("v_c.cruel") && err.contains("v_c.kind"), "{err}");
    for (format, flag) in [("svg", "--direction"), ("npz", "--constitution"), ("tables", "--data")] {
        let err = place.refused(&["export", "out", "--format", format, flag, "w"]);
        assert!(err.contains(&format!("{flag} with this format")), "{err}");
    }
    let err = place.refused(&["export", "c", "--format", "npz"]);
    assert!(err.contains("directions.safetensors") && err.contains("vstar run"), "{err}");
}

#[test]
fn plots_stand_alone_as_files_and_a_comparison_writes_its_own() {
    let place = ready();
    let (ok, out, err) = place.vstar(&["run", "run.toml"]);
    assert!(ok, "{out}\n{err}");
    let (ok, out, err) = place.vstar(&["export", "out", "--format", "svg"]);
    assert!(ok, "{out}\n{err}");
    let page = fs::read_to_string(place.path("out/report.html")).expect("a page");
    let files: Vec<&str> = out.lines().collect();
    assert_eq!(files.len(), page.matches("<svg").count(), "{out}");
    assert!(files.iter().any(|f| f.ends_with("harmless-encoding-by-layer.svg")), "{out}");
    for file in files {
        let text = fs::read_to_string(place.path(file)).expect("an image");
        // One XML element with its own style and a caption; nothing is fetched.
        assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"), "{file}");
        assert!(text.contains("<style>svg ") && text.contains("<desc>") && !text.contains("href"), "{file}");
        assert_eq!(text.matches("<g").count(), text.matches("</g>").count(), "{file}");
        // Print software supports neither CSS variables nor dark mode.
        assert!(!text.contains("var(") && !text.contains("@media"), "{file}");
    }
    let (ok, out, err) = place.vstar(&["export", "out", "--format", "tables"]);
    assert!(ok, "{out}\n{err}");
    let main = place.path("out/tables/constitutions-and-harmless.tex");
    let latex = fs::read_to_string(&main).unwrap_or_else(|e| panic!("{}: {e}\n{out}", main.display()));
    assert!(latex.starts_with("\\begin{tabular}{") && latex.contains("kind & "), "{latex}");
    let sheet = fs::read_to_string(main.with_extension("csv")).expect("the same as CSV");
    assert_eq!(sheet.lines().count() + 5, latex.lines().count(), "{sheet}\n{latex}");
    // Without a font, an error instead of pictures without text.
    let (ok, out, err) = place.vstar(&["export", "out", "--format", "png", "--out", "pictures"]);
    if ok {
        let file = out.lines().next().expect("a file");
        let bytes = fs::read(place.path(file)).expect("a picture");
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 4000, "{} bytes", bytes.len());
    } else {
        assert!(err.contains("no font") && err.contains("--format svg"), "{err}");
    }
    let (ok, out, err) = place.vstar(&["run", "run.toml", "--quantize", "Q4_0", "--out", "rounded"]);
    assert!(ok, "{out}\n{err}");
    let (ok, out, err) = place.vstar(&["compare", "out", "rounded", "--svg", "--out", "both"]);
    assert!(ok, "{out}\n{err}");
    let page = fs::read_to_string(place.path("both/compare.html")).expect("a page");
    let plots = fs::read_dir(place.path("both/plots")).expect("a folder").count();
    assert_eq!(plots, page.matches("<svg").count());
    assert!(plots > 0, "{page}");
    let err = place.refused(&["export", "nowhere", "--format", "svg"]);
    assert!(err.contains("nowhere"), "{err}");
}
