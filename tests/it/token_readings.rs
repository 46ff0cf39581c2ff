//! Readings of single tokens: their average is the pooled reading, and choices have the right orientation.

use std::fs;

use serde_json::Value as Json;
use vstar::observations::Observations;
use vstar::report::export::from_safetensors;
use vstar::units::Layer;

use crate::cli::ready;

#[test]
fn tokens_average_to_what_their_response_reads_and_choices_are_for_it() {
    let place = ready();
    let (ok, out, err) = place.vstar(&["run", "run.toml"]);
    assert!(ok, "{out}\n{err}");
    let text = fs::read_to_string(place.path("out/report.json")).expect("a report");
    let report: Json = serde_json::from_str(&text).expect("JSON");
    let table = &report["tables"]["token_readings"];
    let layer: Layer = serde_json::from_value(table["layer"].clone()).expect("a layer");
    let file = place.path("out/directions.safetensors");
    let directions = from_safetensors(&fs::read(&file).expect("a file"), &vstar::error::Place::file(&file))
        .expect("directions");
    let at = directions.layers.iter().position(|l| *l == layer).expect("its layer");
    let observations = Observations::open(&place.path("out/observations.safetensors")).expect("observations");
    let records = vstar::observations::read_rows(&place.path("out/observations.jsonl")).expect("rows");
    let h = observations.layer(layer).expect("the layer");
    let responses = table["responses"].as_array().expect("a list");
    assert!(!responses.is_empty(), "{table}");
    let (mut read, mut chosen) = (0, 0);
    for r in responses {
        let (item, number) = (r["item"].as_str().expect("an id"), r["response"].as_u64().expect("a number"));
        let of_prompt: Vec<usize> = (0..records.len())
            .filter(|&i| records[i].id == item && records[i].constitution == "none")
            .collect();
        let row = *of_prompt.iter().find(|&&i| records[i].response as u64 == number).expect("its row");
        assert_eq!(r["left_out"], 0, "{r}");
        let pieces = r["pieces"].as_array().expect("pieces");
        assert_eq!(pieces.len(), records[row].span[1] - records[row].span[0]);
        assert!(!r["prompt"].as_str().expect("a prompt").is_empty());
        for (name, scores) in r["scores"].as_object().expect("scores") {
            let scores: Vec<f64> =
                scores.as_array().expect("a list").iter().filter_map(Json::as_f64).collect();
            assert_eq!(scores.len(), pieces.len(), "{name}");
            let v = &directions.arrays[name][at * directions.width..(at + 1) * directions.width];
            let reads =
                |i: usize| h.row(i).iter().zip(v).map(|(h, v)| f64::from(*h) * f64::from(*v)).sum::<f64>();
            let mean = of_prompt.iter().map(|&i| reads(i)).sum::<f64>() / of_prompt.len() as f64;
            let (told, pooled) = (scores.iter().sum::<f64>() / scores.len() as f64, reads(row) - mean);
            let size = scores.iter().fold(0.0f64, |m, s| m.max(s.abs()));
            // Scores are stored with three digits.
            assert!((told - pooled).abs() < 0.006 * size + 1e-6, "{item} {number} {name}: {told} {pooled}");
            read += 1;
        }
        for choice in r["choices"].as_array().expect("choices") {
            let given = &observations.columns().judgments[choice["constitution"].as_str().expect("a name")];
            let against = choice["against"].as_u64().expect("a number");
            let other = *of_prompt.iter().find(|&&i| records[i].response as u64 == against).expect("its row");
            let debiased = given.debiased().expect("both orders");
            let i =
                given.pairs.iter().position(|p| p.contains(&row) && p.contains(&other)).expect("the pair");
            let odds = if given.pairs[i][0] == row { debiased[i] } else { -debiased[i] };
            let figure = |key: &str| choice[key].as_f64().expect("nats");
            let told = (figure("first") + figure("second")) / 2.0;
            assert!(
                (told - odds).abs() < 0.01 * odds.abs().max(figure("first").abs()) + 1e-6,
                "{choice} {odds}"
            );
            chosen += 1;
        }
    }
    assert!(read > 0 && chosen > 0, "{read} {chosen}");
    let page = fs::read_to_string(place.path("out/report.html")).expect("a page");
    assert!(page.contains("<div class=\"deck\">") && page.contains("data-s0=\""), "the page shows them");

    // A fit alone has no model: texts are shown without colours.
    let (ok, out, err) =
        place.vstar(&["fit", "--observations", "out/observations.safetensors", "--out", "again"]);
    assert!(ok, "{out}\n{err}");
    let page = fs::read_to_string(place.path("again/report.html")).expect("a page");
    assert!(page.contains("<div class=\"deck\">") && !page.contains("data-s0=\""), "no colours");
}
