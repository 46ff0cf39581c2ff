//! The judge's choices as preference data: in the right order, consistent in both orders, from the judged data.

use std::fs;

use serde_json::Value as Json;
use vstar::observations::{Observations, read_rows};

use crate::cli::{items, ready};

#[test]
fn exported_preferences_are_the_judges_choices_and_read_back_as_items() {
    let place = ready();
    let (ok, out, err) = place.vstar(&["run", "run.toml"]);
    assert!(ok, "{out}\n{err}");
    let export = ["export", "out", "--format", "trl", "--constitution", "kind"];
    let (ok, out, err) = place.vstar(&[&export[..], &["--json"]].concat());
    assert!(ok, "{out}\n{err}");
    let told: Json = serde_json::from_str(&out).expect("JSON");
    let text = fs::read_to_string(place.path("out/preferences-kind.jsonl")).expect("the file");
    let rows: Vec<Json> = text.lines().map(|l| serde_json::from_str(l).expect("a row")).collect();
    let observations = Observations::open(&place.path("out/observations.safetensors")).expect("observations");
    let records = read_rows(&place.path("out/observations.jsonl")).expect("rows");
    let given = &observations.columns().judgments["kind"];
    let ba = given.ba.as_ref().expect("both orders");
    let mut agreed = 0;
    for (i, pair) in given.pairs.iter().enumerate() {
        let (first, second) = (&records[pair[0]], &records[pair[1]]);
        let of_pair = |r: &&Json| {
            let both = [r["chosen_response"].as_u64(), r["rejected_response"].as_u64()];
            r["item"] == first.id
                && both.contains(&Some(first.response as u64))
                && both.contains(&Some(second.response as u64))
        };
        let row = rows.iter().find(of_pair);
        if given.ab[i] * -ba[i] <= 0.0 {
            assert!(row.is_none(), "the orders disagree: {row:?}");
            continue;
        }
        agreed += 1;
        let row = row.expect("both orders agree");
        let better = if given.ab[i] > 0.0 { first.response } else { second.response };
        assert_eq!(row["chosen_response"], better, "{row}");
        let margin = ((given.ab[i] - ba[i]) / 2.0).abs();
        assert!((row["margin"].as_f64().expect("nats") - margin).abs() < 1e-9, "{row}");
        assert_eq!(
            (&row["prompt"][0]["role"], &row["chosen"][0]["role"]),
            (&"user".into(), &"assistant".into())
        );
    }
    assert!(agreed > 0 && agreed == rows.len(), "{agreed} {}", rows.len());
    let count = |key: &str| told[key].as_u64().expect("a count") as usize;
    assert_eq!(
        (count("pairs"), count("pairs") + count("disagree") + count("ties")),
        (agreed, given.pairs.len())
    );
    let (ok, out, err) = place.vstar(&[&export[..], &["--either-order", "--out", "all.jsonl"]].concat());
    assert!(ok, "{out}\n{err}");
    let all = fs::read_to_string(place.path("all.jsonl")).expect("the file").lines().count();
    assert_eq!(all, given.pairs.len() - count("ties"));

    // The export can be read as data: the chosen response is the better one of its value.
    let files = [place.path("out/preferences-kind.jsonl")];
    let options = vstar::input::ReadOptions { value_name: Some("kind".into()), ..Default::default() };
    let read = vstar::input::read_items(&files, &options).expect("items");
    let pairs: usize = read.items.iter().map(|i| i.preferences.len()).sum();
    assert_eq!(pairs, agreed);
    for item in &read.items {
        for p in &item.preferences {
            let [better, worse] = [p.better, p.worse].map(|r| &item.responses[r].text);
            let same =
                |r: &&Json| r["chosen"][0]["content"] == **better && r["rejected"][0]["content"] == **worse;
            assert!(rows.iter().any(|r| same(&r)), "{better} over {worse}");
        }
    }

    let err = place.refused(&["export", "out", "--format", "trl", "--constitution", "cruel"]);
    assert!(err.contains("`cruel`") && err.contains("kind") && err.contains("blue"), "{err}");
    assert!(place.refused(&["export", "out", "--format", "trl"]).contains("--constitution"));
    place.write("items.jsonl", &items(71));
    let err = place.refused(&export);
    assert!(err.contains("the data are not those of the run") && err.contains("--data"), "{err}");
    // Other data given by name are not accepted as the judged data, in a run or beside a judged capture.
    place.write("other.jsonl", &items(70).replace("yes to", "never to"));
    let err = place.refused(&[&export[..], &["--data", "other.jsonl"]].concat());
    assert!(err.contains("the data are not those of the run"), "{err}");
    place.write("items.jsonl", &items(70));
    for file in ["manifest.json", "experiment.toml"] {
        fs::remove_file(place.path("out").join(file)).expect("a file of the run");
    }
    let err = place.refused(&[&export[..], &["--data", "other.jsonl"]].concat());
    assert!(err.contains("no response as it was judged"), "{err}");
    let (ok, text, err) = place.vstar(&[&export[..], &["--data", "items.jsonl"]].concat());
    assert!(ok, "{text}\n{err}");
    // No input of the export is overwritten.
    for (format, out) in
        [("trl", "items.jsonl"), ("npz", "out/report.json"), ("csv", "out/observations.safetensors")]
    {
        let of_trl = ["--constitution", "kind", "--data", "items.jsonl"];
        let more = if format == "trl" { &of_trl[..] } else { &[] };
        let args = [&["export", "out", "--format", format, "--out", out], more].concat();
        assert!(place.refused(&args).contains("--out"), "{out}");
    }
}
