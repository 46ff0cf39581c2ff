//! Rows as in published data sets, with their key names and layouts, and the items read from them.

use std::io::Write;

use serde_json::{Value, json};
use vstar::error::Error;
use vstar::input::{Items, ReadOptions, read_items};

use crate::input::{fixture, read_bytes};

/// The items as JSON: prompt, responses with labels, and preferences.
fn told(items: &Items) -> Value {
    let item = |item: &vstar::input::Item| {
        let asked: Vec<String> =
            item.prompt.messages().iter().map(|m| format!("{}: {}", m.role, m.content)).collect();
        let responses: Vec<Value> = item
            .responses
            .iter()
            .map(|r| if r.values.is_empty() { json!(r.text) } else { json!([r.text, r.values]) })
            .collect();
        let better: Vec<Value> =
            item.preferences.iter().map(|p| json!([p.value, p.better, p.worse])).collect();
        json!({"asked": asked, "responses": responses, "better": better})
    };
    items.items.iter().map(item).collect()
}

fn read(name: &str, text: &str) -> Items {
    read_bytes(name, text.as_bytes(), &ReadOptions::default()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn pair(asked: &[&str], chosen: &str, rejected: &str) -> Value {
    json!([{"asked": asked, "responses": [chosen, rejected], "better": [["preferred", 0, 1]]}])
}

#[test]
fn pairs_under_the_names_that_data_sets_give_them() {
    let hi = &["user: Hi"][..];
    for (row, expected) in [
        // TRL: explicit and implicit, texts and conversations.
        (r#"{"prompt": "Hi", "chosen": "Hello", "rejected": "Go"}"#, pair(hi, "Hello", "Go")),
        (
            r#"{"prompt": [{"role": "user", "content": "Hi"}], "chosen": [{"role": "assistant", "content": "Hello"}], "rejected": [{"role": "assistant", "content": "Go"}]}"#,
            pair(hi, "Hello", "Go"),
        ),
        (
            r#"{"chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}], "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Go"}]}"#,
            pair(hi, "Hello", "Go"),
        ),
        // Orca: a system message and a question.
        (
            r#"{"system": "Explain.", "question": "What is 2+2?", "chosen": "It is 4.", "rejected": "It is 5."}"#,
            pair(&["system: Explain.", "user: What is 2+2?"], "It is 4.", "It is 5."),
        ),
        (r#"{"system": "", "question": "Hi", "chosen": "Hello", "rejected": "Go"}"#, pair(hi, "Hello", "Go")),
        // Alpaca: the input of an instruction is a separate field.
        (
            r#"{"instruction": "Add.", "input": "2 and 3", "chosen": "5", "rejected": "6"}"#,
            pair(&["user: Add.\n2 and 3"], "5", "6"),
        ),
        (
            r#"{"instruction": "Hi", "input": "", "history": [["a", "b"]], "chosen": "Hello", "rejected": "Go"}"#,
            pair(&["user: a", "assistant: b", "user: Hi"], "Hello", "Go"),
        ),
        // ShareGPT.
        (
            r#"{"conversations": [{"from": "human", "value": "Hi"}], "chosen": {"from": "gpt", "value": "Hello"}, "rejected": {"from": "gpt", "value": "Go"}}"#,
            pair(hi, "Hello", "Go"),
        ),
        // UltraFeedback, binarized: the prompt, and the chosen conversation once more.
        (
            r#"{"prompt": "Hi", "prompt_id": "x", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}], "chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}], "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Go"}], "score_chosen": 8.0, "score_rejected": 3.5}"#,
            pair(hi, "Hello", "Go"),
        ),
        // Content in parts, tools.
        (
            r#"{"prompt": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f"}}]}, {"role": "tool", "content": "3"}], "chosen": "Three", "rejected": "Four"}"#,
            pair(&["user: Hi", "assistant: ", "tool: 3"], "Three", "Four"),
        ),
        // SHP, HelpSteer3, the arena.
        (
            r#"{"post_id": "x1", "history": "Hi", "human_ref_A": "Go", "human_ref_B": "Hello", "labels": 0, "score_A": 2}"#,
            pair(hi, "Hello", "Go"),
        ),
        (
            r#"{"domain": "general", "context": [{"role": "user", "content": "Hi"}], "response1": "Hello", "response2": "Go", "overall_preference": -3}"#,
            pair(hi, "Hello", "Go"),
        ),
        (
            r#"{"conversation_a": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Go"}], "conversation_b": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}], "winner": "model_b"}"#,
            pair(hi, "Hello", "Go"),
        ),
    ] {
        assert_eq!(told(&read("a.jsonl", row)), expected, "{row}");
        // An array, and an object around it.
        for text in [format!("[{row}]"), format!("{{\"version\": 1,\n \"data\": [\n{row}\n]}}")] {
            assert_eq!(told(&read("a.json", &text)), expected, "{text}");
        }
    }
    let ties = r#"{"context": [{"role": "user", "content": "Hi"}], "response1": "a", "response2": "b", "overall_preference": 0}"#;
    let items = read("a.jsonl", ties);
    assert!(
        items.items[0].preferences.is_empty() && items.notes[0].contains("without a preference"),
        "{:?}",
        items.notes
    );
}

#[test]
fn one_response_a_row_is_joined_by_its_prompt_and_its_numbers_are_values() {
    let helpsteer = "{\"prompt\": \"Hi\", \"response\": \"Hello\", \"helpfulness\": 4, \"verbosity\": 1}\n{\"prompt\": \"Bye\", \"response\": \"So long\", \"helpfulness\": 3, \"verbosity\": null}\n{\"prompt\": \"Hi\", \"response\": \"Go\", \"helpfulness\": 0, \"verbosity\": 1}\n";
    let expected = json!([
        {"asked": ["user: Hi"], "responses": [["Hello", {"helpfulness": 4.0, "verbosity": 1.0}], ["Go", {"helpfulness": 0.0, "verbosity": 1.0}]], "better": []},
        {"asked": ["user: Bye"], "responses": [["So long", {"helpfulness": 3.0}]], "better": []},
    ]);
    let items = read("a.jsonl", helpsteer);
    assert_eq!(told(&items), expected);
    assert!(
        items.notes.iter().any(|n| n.contains("`helpfulness`") && n.contains("read as values")),
        "{:?}",
        items.notes
    );
    assert_eq!(items.items[0].id, "a:1");
    // A limit counts prompts; later responses to them still count.
    let options = ReadOptions { limit: Some(1), ..ReadOptions::default() };
    let first = read_bytes("a.jsonl", helpsteer.as_bytes(), &options).expect("read");
    assert_eq!(told(&first), json!([expected[0]]));
    // The same as a table with commas and with tabs, and compressed.
    let csv = "prompt,response,helpfulness,verbosity\nHi,Hello,4,1\nBye,So long,3,\nHi,Go,0,1\n";
    assert_eq!(told(&read("a.csv", csv)), expected);
    assert_eq!(told(&read("a.tsv", &csv.replace(',', "\t"))), expected);

    // TRL's unpaired preferences: texts, and conversations.
    for row in [
        r#"{"prompt": "Hi", "completion": "Hello", "label": true}"#,
        r#"{"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": "Hello"}], "label": true}"#,
        r#"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}], "label": true}"#,
        r#"{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}], "label": 1}"#,
    ] {
        let expected =
            json!([{"asked": ["user: Hi"], "responses": [["Hello", {"label": 1.0}]], "better": []}]);
        assert_eq!(told(&read("a.jsonl", row)), expected, "{row}");
    }
    let named = ReadOptions { value_name: Some("kind".into()), ..ReadOptions::default() };
    let row = br#"{"prompt": "Hi", "completion": "Hello", "label": false, "prompt_id": 7, "num_tokens": 3}"#;
    let items = read_bytes("a.jsonl", row, &named).expect("read");
    assert_eq!(told(&items)[0]["responses"], json!([["Hello", {"kind": 0.0}]]));

    let ultra = r#"{"instruction": "Hi", "completions": [{"response": "Hello", "overall_score": 8.5, "model": "x"}, {"response": "Go", "overall_score": 2}]}"#;
    assert_eq!(
        told(&read("a.jsonl", ultra)),
        json!([{"asked": ["user: Hi"], "responses": [["Hello", {"overall_score": 8.5}], ["Go", {"overall_score": 2.0}]], "better": []}])
    );
}

#[test]
fn true_and_false_are_labels() {
    let row = r#"{"prompt": "Hi", "responses": [{"text": "Hello", "values": {"good": true}}, {"text": "Go", "values": {"good": false}}]}"#;
    let items = read("a.jsonl", row);
    assert_eq!(
        (items.items[0].responses[0].values["good"], items.items[0].responses[1].values["good"]),
        (1.0, 0.0)
    );
}

fn published() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture("published.json")).expect("the fixture"))
        .expect("JSON")
}

#[test]
fn texts_without_a_prompt_are_parted_where_trl_parts_them() {
    for case in published()["implicit"].as_array().expect("cases") {
        let row = json!({"chosen": case["chosen"], "rejected": case["rejected"]}).to_string();
        let items = read("a.jsonl", &row);
        let expected = &case["expected"];
        assert_eq!(items.items[0].prompt.plain_text(), expected["prompt"], "{row}");
        assert_eq!(items.items[0].responses[0].text, expected["chosen"], "{row}");
        assert_eq!(items.items[0].responses[1].text, expected["rejected"], "{row}");
        assert!(items.notes[0].contains("without a prompt"), "{:?}", items.notes);
    }
    for row in
        [r#"{"chosen": "Yes.", "rejected": "No."}"#, r#"{"chosen": "It is.", "rejected": "It is. Not."}"#]
    {
        let error = read_bytes("a.jsonl", row.as_bytes(), &ReadOptions::default()).expect_err("refused");
        assert!(error.to_string().contains("there is no prompt"), "{error}");
    }
}

#[test]
fn parquet_is_read_in_every_codec_and_layout_as_datasets_reads_it() {
    let rows = published()["parquet"].clone();
    for (name, rows) in rows.as_object().expect("files") {
        let items = read_items(&[fixture(&format!("{name}.parquet"))], &ReadOptions::default())
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let text: String = rows.as_array().expect("rows").iter().map(|row| format!("{row}\n")).collect();
        assert_eq!(told(&items), told(&read("a.jsonl", &text)), "{name}");
    }
    let rated = read_items(&[fixture("rated.parquet")], &ReadOptions::default()).expect("read");
    assert_eq!(rated.items.len(), 2);
    assert_eq!(
        rated.items[0].responses[1].values.iter().map(|(k, v)| (k.as_str(), *v)).collect::<Vec<_>>(),
        [("helpfulness", 0.0), ("toxic", 1.0)]
    );
}

#[test]
fn what_cannot_be_read_is_named_for_what_it_is() {
    let refused = |row: &str| -> String {
        match read_bytes("a.jsonl", row.as_bytes(), &ReadOptions::default()) {
            Err(Error::Diagnostic(diagnostic)) => diagnostic.to_string(),
            other => panic!("{row}: {other:?}"),
        }
    };
    for (row, words) in [
        (
            r#"{"id":"a","prompt":"Hi","responses":[{"text":"ok","values":{"good":NaN}}]}"#,
            &["`responses[0].values.good` is NaN", ":1 [a]", "leave the key out"][..],
        ),
        (r#"{"prompt":"Hi","response":"ok","good":-Infinity}"#, &["`good` is -Infinity"]),
        (r#"{"prompt":"Hi \ud83d","responses":["ok"]}"#, &["lone surrogate, \\ud83d", "column 15"]),
        (
            r#"{"id":"a","prompt":"one","prompt":"two","responses":["ok"]}"#,
            &["the key \"prompt\" stands twice"],
        ),
        (
            r#"{"prompt":"Hi","responses":[{"text":"a","values":{"h":1,"h":0}}]}"#,
            &["the key \"h\" stands twice"],
        ),
        (
            r#"{"prompt":[{"role":"user","content":[{"type":"image"}]}],"chosen":"a","rejected":"b"}"#,
            &["a part that is no text", "`image`"],
        ),
        (
            r#"{"prompt":[{"role":"critic","content":"x"}],"chosen":"a","rejected":"b"}"#,
            &["a role that is not known", "`critic`"],
        ),
    ] {
        let said = refused(row);
        for word in words {
            assert!(said.contains(word), "{row}: {word}\n{said}");
        }
    }
    // An answer that is called so is an answer.
    let row = r#"{"prompt":"Infinity","response":"NaN","score":1}"#;
    assert_eq!(told(&read("a.jsonl", row))[0]["responses"], json!([["NaN", {"score": 1.0}]]));
    // Unused fields do not matter.
    let row = r#"{"prompt":"Hi","responses":["ok"],"score":NaN}"#;
    assert_eq!(read("a.jsonl", row).items.len(), 1);
}

#[test]
fn padding_behind_a_gzip_file_is_none_of_it() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"{\"prompt\":\"Hi\",\"responses\":[\"ok\"]}\n").expect("written");
    let mut bytes = encoder.finish().expect("ended");
    bytes.extend([0; 512]);
    assert_eq!(read_bytes("a.jsonl.gz", &bytes, &ReadOptions::default()).expect("read").items.len(), 1);
}
