//! Damaged files of items: read or refused, never a panic.

use proptest::prelude::*;
use vstar::input::ReadOptions;

use super::input::{fixture, gzip, read_bytes};

/// What happens to a file on its way.
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
