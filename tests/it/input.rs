//! Items in every format and container, valid and damaged.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use vstar::error::{Diagnostic, Error, Kind};
use vstar::input::{Items, Prompt, ReadOptions, Role, read_items};

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/input").join(name)
}

pub fn read(name: &str) -> Items {
    read_items(&[fixture(name)], &ReadOptions::default()).expect("the fixture reads")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Reads bytes as a file of that name.
pub fn read_bytes(name: &str, bytes: &[u8], options: &ReadOptions) -> Result<Items, Error> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    read_items(&[path], options)
}

fn diagnostic(text: impl AsRef<[u8]>) -> Diagnostic {
    match read_bytes("data.jsonl", text.as_ref(), &ReadOptions::default()) {
        Err(Error::Diagnostic(diagnostic)) => *diagnostic,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(text.as_ref())),
    }
}

/// A valid row with an id.
fn good(id: &str) -> String {
    format!("{{\"id\": \"{id}\", \"prompt\": \"q {id}\", \"responses\": [{{\"text\": \"a\"}}]}}\n")
}

#[test]
fn native_rows_keep_labels_preferences_messages_and_groups() {
    let items = read("native.jsonl");
    let [tea, moon, sky] = items.items.as_slice() else { panic!("three rows") };
    assert_eq!(tea.prompt, Prompt::Text("How long should I steep green tea?".into()));
    assert_eq!(tea.responses[0].values["helpful"], 1.0);
    assert_eq!(tea.responses[0].values["honest"], 1.0);
    assert_eq!(tea.responses[1].values.len(), 1, "a null label is no label");
    assert_eq!(moon.prompt.messages().len(), 4);
    assert_eq!(moon.prompt.messages()[0].role, Role::System);
    assert_eq!(
        moon.prompt.plain_text(),
        "Be brief.\n\nHuman: Is the moon a star?\n\nAssistant: No.\n\nHuman: What is it?\n\nAssistant: "
    );
    let pairs: Vec<_> = moon.preferences.iter().map(|p| (p.value.as_str(), p.better, p.worse)).collect();
    assert_eq!(pairs, [("honest", 0, 2), ("honest", 0, 1)]);
    assert_eq!((sky.id.as_str(), sky.responses.len()), ("7", 1));
    assert_eq!(sky.place.line, Some(3));
    assert_eq!(items.groups(), [0, 1, 1]);
    assert_eq!(items.prompt_numbers(), [0, 1, 2]);
    assert_eq!(items.value_names().into_iter().collect::<Vec<_>>(), ["helpful", "honest"]);
    assert_eq!((items.response_count(), items.notes.len()), (6, 0));
}

#[test]
fn transcripts_give_back_their_bytes() {
    let items = read("transcripts.jsonl");
    let text = std::fs::read_to_string(fixture("transcripts.jsonl")).expect("the fixture");
    for (item, line) in items.items.iter().zip(text.lines()) {
        let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
        for (response, key) in item.responses.iter().zip(["chosen", "rejected"]) {
            assert_eq!(row[key], item.prompt.plain_text() + &response.text);
        }
        assert_eq!(item.preferences.len(), 1);
        assert_eq!((item.preferences[0].value.as_str(), item.preferences[0].better), ("preferred", 0));
    }
    assert_eq!(items.items[0].responses[1].text, "Guess!");
    assert_eq!(items.items[0].prompt.messages().len(), 3);
    assert_eq!(items.items[0].id, "transcripts:1");
    assert_eq!(items.items[1].responses[0].text, " La.\n\nAssistant: La la.");
    assert_eq!(items.notes.len(), 1, "{:?}", items.notes);
}

#[test]
fn pairs_are_read_as_texts_and_as_messages() {
    let items = read("pairs.jsonl");
    let said: Vec<_> = items
        .items
        .iter()
        .map(|item| {
            let last = item.prompt.messages().pop().expect("a message").content;
            (last, item.responses[0].text.clone(), item.responses[1].text.clone())
        })
        .collect();
    let expected = [
        ("Name a fruit.", "A pear.", "A stone."),
        ("Name a tree.", "An oak.", "A lamp post."),
        ("Name a bird.", "A wren.", "A trout."),
        ("Name a fish.", "A trout.", "A wren."),
        ("Name a day.", "Monday.", "May."),
    ];
    assert_eq!(said, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
    assert_eq!(items.items[1].prompt.plain_text(), "\n\nHuman: Name a tree.\n\nAssistant: ");
}

#[test]
fn safety_labels_and_behaviours_become_values_and_preferences() {
    let items = read("safety.jsonl");
    assert_eq!(items.items[0].responses[0].values["safe"], 0.0);
    assert_eq!(items.items[0].responses[1].values["safe"], 1.0);
    let named = |n: usize| -> Vec<_> {
        items.items[n].preferences.iter().map(|p| (p.value.as_str(), p.better, p.worse)).collect()
    };
    assert_eq!(named(0), [("safer", 1, 0), ("better", 1, 0)]);
    assert_eq!(named(1), [("better", 0, 1)]);
    assert_eq!(items.notes.len(), 1);

    let items = read("evals.jsonl");
    assert_eq!(items.items[0].responses[0].text, " (A)");
    assert_eq!(items.items[0].preferences[0].value, "matching");
    let options = ReadOptions { value_name: Some("corrigible".into()), ..ReadOptions::default() };
    let items = read_items(&[fixture("evals.jsonl"), fixture("transcripts.jsonl")], &options).expect("reads");
    assert_eq!(items.value_names().into_iter().collect::<Vec<_>>(), ["corrigible"]);
    let items = read_items(&[fixture("safety.jsonl")], &options).expect("reads");
    assert!(items.notes.iter().any(|note| note.contains("`corrigible` was not used")), "{:?}", items.notes);
}

/// Rows without the places they were read from.
fn content(items: &Items) -> Vec<impl PartialEq + std::fmt::Debug + use<>> {
    let parts = items.items.iter().map(|i| (i.prompt.clone(), i.responses.clone(), i.preferences.clone()));
    parts.collect()
}

#[test]
fn every_container_gives_the_same_items() {
    let options = ReadOptions::default();
    for name in ["native", "transcripts", "pairs", "safety"] {
        let text = std::fs::read_to_string(fixture(&format!("{name}.jsonl"))).expect("the fixture");
        let plain = content(&read(&format!("{name}.jsonl")));
        let same = |what: &str, bytes: &[u8]| {
            let items = read_bytes(what, bytes, &options).unwrap_or_else(|e| panic!("{name} {what}: {e}"));
            assert_eq!(content(&items), plain, "{name} {what}");
        };
        same("a.jsonl.gz", &gzip(text.as_bytes()));
        same("no-ending", &gzip(text.as_bytes()));
        same("windows.jsonl", format!("\u{feff}{}\r\n\r\n", text.replace('\n', "\r\n")).as_bytes());
        same("unterminated.jsonl", text.trim_end().as_bytes());
        let (first, rest) = text.split_once('\n').expect("lines");
        let members = [gzip(format!("{first}\n").as_bytes()), gzip(rest.as_bytes())].concat();
        same("two-members.gz", &members);
        let rows: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        same("a.json", &serde_json::to_vec(&rows).expect("JSON"));
        same("pretty.json", &serde_json::to_vec_pretty(&rows).expect("JSON"));
        same("pretty.json.gz", &gzip(&serde_json::to_vec_pretty(&rows).expect("JSON")));
    }
}

#[test]
fn parquet_written_elsewhere_gives_the_same_items() {
    for name in ["native", "transcripts"] {
        let parquet = read(&format!("{name}.parquet"));
        assert_eq!(content(&parquet), content(&read(&format!("{name}.jsonl"))), "{name}");
        assert_eq!(parquet.items[1].place.line, Some(2));
    }
    let notes = read("native.parquet").notes;
    assert!(notes.len() == 1 && notes[0].starts_with("3 rows with the unknown key `annotator`"), "{notes:?}");
    assert_eq!(read("native.parquet").items[1].group.as_deref(), Some("sky"));
}

#[test]
fn a_bad_row_is_refused_with_its_file_line_and_id() {
    let cases: &[(&str, Kind, &str)] = &[
        ("{\"id\": \"x\", ", Kind::Malformed, "not JSON"),
        ("[1]\n", Kind::Malformed, "not a JSON object"),
        ("null", Kind::Malformed, "not a JSON object"),
        ("{}", Kind::Missing, "no format"),
        ("{\"prompt\": \"q\", \"response\": []}", Kind::Missing, "no format"),
        ("{\"prompt\": \"q\", \"responses\": []}", Kind::Missing, "no response"),
        ("{\"prompt\": \"q\", \"responses\": {}}", Kind::Invalid, "`responses`"),
        ("{\"prompt\": \"q\", \"responses\": [1]}", Kind::Invalid, "`responses[0]`"),
        ("{\"responses\": [\"a\"]}", Kind::Missing, "`prompt`"),
        ("{\"prompt\": null, \"responses\": [\"a\"]}", Kind::Missing, "`prompt`"),
        ("{\"prompt\": \" \\n\", \"responses\": [\"a\"]}", Kind::Invalid, "prompt is empty"),
        ("{\"prompt\": 1, \"responses\": [\"a\"]}", Kind::Invalid, "`prompt`"),
        ("{\"prompt\": \"q\", \"messages\": [], \"responses\": [\"a\"]}", Kind::Invalid, "both"),
        ("{\"messages\": [], \"responses\": [\"a\"]}", Kind::Invalid, "empty"),
        (
            "{\"messages\": [{\"role\": \"critic\", \"content\": \"\"}], \"responses\": [\"a\"]}",
            Kind::Invalid,
            "role",
        ),
        ("{\"messages\": [{\"role\": \"user\"}], \"responses\": [\"a\"]}", Kind::Missing, "`messages[0]`"),
        (
            "{\"messages\": [{\"role\": \"assistant\", \"content\": \"x\"}], \"responses\": [\"a\"]}",
            Kind::Invalid,
            "user's message",
        ),
        ("{\"prompt\": \"q\", \"responses\": [\"a\", \" \"]}", Kind::EmptyResponse, "response 1"),
        ("{\"prompt\": \"q\", \"responses\": [{\"values\": {}}]}", Kind::Missing, "`text`"),
        (
            "{\"prompt\": \"q\", \"responses\": [{\"text\": \"a\", \"values\": {\"v\": \"1\"}}]}",
            Kind::Invalid,
            "values.v",
        ),
        (
            "{\"prompt\": \"q\", \"responses\": [{\"text\": \"a\", \"values\": {\"v\": 1e39}}]}",
            Kind::NotFinite,
            "`v`",
        ),
        (
            "{\"prompt\": \"q\", \"responses\": [{\"text\": \"a\", \"values\": {\"v\": 1e999}}]}",
            Kind::Malformed,
            "JSON",
        ),
        (
            "{\"prompt\": \"q\", \"responses\": [{\"text\": \"a\", \"values\": {\"v\": NaN}}]}",
            Kind::NotFinite,
            "is NaN",
        ),
        (
            "{\"prompt\": \"q\", \"responses\": [{\"text\": \"a\", \"values\": {\"v w\": 1}}]}",
            Kind::Invalid,
            "tensor",
        ),
        (
            "{\"prompt\": \"q\", \"responses\": [\"a\"], \"preferences\": [{\"value\": \"v\", \"better\": 0, \"worse\": 1}]}",
            Kind::Invalid,
            "not there",
        ),
        (
            "{\"prompt\": \"q\", \"responses\": [\"a\", \"b\"], \"preferences\": [{\"value\": \"v\", \"better\": 1, \"worse\": 1}]}",
            Kind::Invalid,
            "itself",
        ),
        (
            "{\"prompt\": \"q\", \"responses\": [\"a\", \"b\"], \"preferences\": [{\"value\": \"v\", \"better\": -1, \"worse\": 1}]}",
            Kind::Invalid,
            "better",
        ),
        ("{\"chosen\": \"a\", \"rejected\": \"b\"}", Kind::Invalid, "no prompt"),
        ("{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"a\"}", Kind::Invalid, "same text"),
        ("{\"chosen\": [], \"rejected\": []}", Kind::Invalid, "`chosen`"),
        (
            "{\"prompt\": \"q\", \"response_0\": \"a\", \"response_1\": \"b\", \"safer_response_id\": 2}",
            Kind::Invalid,
            "safer_response_id",
        ),
        ("{\"id\": \"first\", \"prompt\": \"q\", \"responses\": [\"a\"]}", Kind::Invalid, "id is taken"),
        ("{\"id\": \"n\u{0}\"}", Kind::Malformed, "JSON"),
    ];
    for (row, kind, what) in cases {
        let text = format!("{}\n{row}\n{}", good("first"), good("last"));
        let refused = diagnostic(&text);
        assert_eq!((refused.kind, refused.place.line), (*kind, Some(3)), "{row}: {refused}");
        let shown = refused.to_string();
        assert!(shown.contains(what) && shown.contains("data.jsonl:3"), "{row}: {shown}");
        assert!(shown.contains("--skip-bad"), "{shown}");
        let skip = ReadOptions { skip_bad: true, ..ReadOptions::default() };
        let items = read_bytes("data.jsonl", text.as_bytes(), &skip).expect("the good rows");
        let ids: Vec<_> = items.items.iter().map(|item| item.id.as_str()).collect();
        assert_eq!(ids, ["first", "last"], "{row}");
        assert_eq!((items.skipped.len(), items.skipped[0].kind), (1, *kind));
    }
    let refused = diagnostic("{\"id\": \"p9\", \"prompt\": \"q\", \"responses\": []}");
    assert_eq!(refused.place.id.as_deref(), Some("p9"));
    let refused = diagnostic([good("a").as_bytes(), b"{\"id\": \"\xff\"}"].concat());
    assert!(refused.what.contains("UTF-8") && refused.found.as_deref().is_some_and(|f| f.contains("byte 9")));
}

#[test]
fn a_misspelled_key_is_refused_or_remarked_on_with_the_nearest_known_one() {
    let refused = diagnostic("{\"promt\": \"q\", \"chosen\": \"a\", \"rejectd\": \"b\"}");
    assert!(refused.to_string().contains("did you mean"), "{refused}");
    let text =
        "{\"prompt\": \"q\", \"responses\": [{\"text\": \"a\", \"value\": {\"v\": 1}}], \"gruop\": 1}\n"
            .repeat(3);
    let items = read_bytes("x.jsonl", text.as_bytes(), &ReadOptions::default()).expect("reads");
    assert_eq!(items.notes.len(), 2, "{:?}", items.notes);
    assert!(items.notes[0].starts_with("3 rows with the unknown key `gruop`"), "{:?}", items.notes);
    assert!(items.notes[0].contains("`group`?") && items.notes[1].contains("`values`?"), "{:?}", items.notes);
}

#[test]
fn what_loses_the_rest_of_a_file_is_refused_even_if_bad_rows_are_skipped() {
    let skip = ReadOptions { skip_bad: true, ..ReadOptions::default() };
    let rows: String = (0..3000).map(|n| good(&n.to_string())).collect();
    let whole = gzip(rows.as_bytes());
    let refused = |name: &str, bytes: &[u8]| match read_bytes(name, bytes, &skip) {
        Err(error) => error.to_string(),
        Ok(items) => panic!("{name} gave {} items", items.items.len()),
    };
    for cut in [12, whole.len() / 2, whole.len() - 4] {
        let text = refused("data.jsonl.gz", &whole[..cut]);
        assert!(text.contains("ends early") && text.contains("data.jsonl.gz:"), "{text}");
    }
    assert!(
        refused("data.json", b"[{\"prompt\": \"q\", \"responses\": [\"a\"]},").contains("inside its array")
    );
    assert!(
        refused("x.parquet", &std::fs::read(fixture("native.parquet")).expect("there")[..900])
            .contains("parquet")
    );
    assert!(refused("empty.jsonl", b"").contains("no item"));
    assert!(refused("blank.jsonl", b"\n \n").contains("no item"));
    assert!(refused("bad.jsonl", b"{}\n{}\n").contains("2 bad rows"));
    assert!(refused("utf16.jsonl", b"\xff\xfe{\0}\0").contains("UTF-16"));
    assert!(refused("x.jsonl.zst", b"\x28\xb5\x2f\xfd....").contains("zstd"));
    let folder = tempfile::tempdir().expect("a folder");
    let error = read_items(&[folder.path().join("absent.jsonl")], &skip).expect_err("no file");
    assert_eq!(error.kind(), Some(Kind::Missing));
    let error = read_items(&[folder.path().to_owned()], &skip).expect_err("a folder");
    assert!(error.to_string().contains("folder"), "{error}");
    assert!(read_items(&[], &skip).is_err());
}

#[test]
fn ids_are_unique_over_files_of_the_same_name_and_a_file_counts_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut paths = Vec::new();
    for part in ["train", "test"] {
        std::fs::create_dir(folder.path().join(part)).expect("made");
        let path = folder.path().join(part).join("pairs.jsonl");
        std::fs::copy(fixture("pairs.jsonl"), &path).expect("copied");
        paths.push(path);
    }
    let items = read_items(&paths, &ReadOptions::default()).expect("reads");
    assert_eq!((items.items[0].id.as_str(), items.items[5].id.as_str()), ("pairs:1", "pairs~2:1"));
    // Equal prompts share a group regardless of their position.
    let groups = items.groups();
    assert_eq!(groups[..5], groups[5..]);
    let twice = [paths[0].clone(), folder.path().join("test/../train/pairs.jsonl")];
    let error = read_items(&twice, &ReadOptions::default()).expect_err("twice the same");
    assert!(error.to_string().contains("given twice"), "{error}");
    let limited = ReadOptions { limit: Some(6), ..ReadOptions::default() };
    assert_eq!(read_items(&paths, &limited).expect("reads").items.len(), 6);
}

/// Damage to a file.
#[derive(Debug, Clone)]
enum Damage {
    Cut(usize),
    Replace(usize, u8),
    Insert(usize, Vec<u8>),
    Drop(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = 0usize..6000;
    prop_oneof![
        at.clone().prop_map(Damage::Cut),
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (
            at.clone(),
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 1..6),
                Just(b"\0".to_vec()),
                Just(b"\n".to_vec()),
                Just(b"\"".to_vec()),
                Just("\u{feff}".as_bytes().to_vec()),
                Just(vec![b'['; 300]),
            ]
        )
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (at, 1usize..40).prop_map(|(at, n)| Damage::Drop(at, n)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let length = bytes.len().max(1);
    match damage {
        Damage::Cut(at) => bytes.truncate(at % length),
        Damage::Replace(at, byte) => {
            if let Some(b) = bytes.get_mut(at % length) {
                *b = *byte;
            }
        }
        Damage::Insert(at, new) => {
            let at = (at % length).min(bytes.len());
            bytes.splice(at..at, new.iter().copied());
        }
        Damage::Drop(at, n) => {
            let at = (at % length).min(bytes.len());
            bytes.drain(at..(at + n).min(bytes.len()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_is_read_or_refused_and_nothing_panics(
        source in 0usize..6,
        container in 0usize..4,
        damages in proptest::collection::vec(damage(), 1..4),
        skip_bad in any::<bool>(),
    ) {
        let names = ["native.jsonl", "transcripts.jsonl", "pairs.jsonl", "safety.jsonl", "evals.jsonl"];
        let mut bytes = match names.get(source) {
            Some(name) => std::fs::read(fixture(name)).expect("the fixture"),
            None => std::fs::read(fixture("native.parquet")).expect("the fixture"),
        };
        if source < names.len() && container == 1 {
            bytes = gzip(&bytes);
        }
        if source < names.len() && container == 2 {
            let text = String::from_utf8(bytes).expect("UTF-8");
            bytes = format!("[{}]", text.lines().collect::<Vec<_>>().join(",\n")).into_bytes();
        }
        for one in &damages {
            apply(&mut bytes, one);
        }
        if source < names.len() && container == 3 {
            // Damage inside an intact compressed stream.
            bytes = gzip(&bytes);
        }
        let options = ReadOptions { skip_bad, ..ReadOptions::default() };
        match read_bytes("damaged", &bytes, &options) {
            Ok(items) => {
                for item in &items.items {
                    prop_assert!(!item.responses.is_empty() && item.place.line.is_some());
                    for p in &item.preferences {
                        prop_assert!(p.better != p.worse && p.better.max(p.worse) < item.responses.len());
                    }
                }
                prop_assert!(skip_bad || items.skipped.is_empty());
            }
            Err(error) => {
                let shown = error.to_string();
                prop_assert!(shown.contains("damaged") && shown.len() < 4000, "{}", shown);
            }
        }
    }
}
