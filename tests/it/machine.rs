//! `--json`: standard output is one JSON value, messages go to standard error.

use serde_json::Value as Json;

use crate::cli::ready;

#[test]
fn every_command_with_a_result_gives_it_as_one_value() {
    let place = ready();
    let json = |args: &[&str]| -> Json {
        let (ok, out, err) = place.vstar(&[args, &["--json", "--quiet"]].concat());
        assert!(ok, "{args:?}: {out}\n{err}");
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?}: {e}\n{out}"))
    };
    let length = |of: &Json| of.as_array().map_or(0, Vec::len);
    assert!(
        json(&["models"])["families"]
            .as_array()
            .is_some_and(|f| f.iter().any(|f| f["model_type"] == "llama"))
    );
    assert!(length(&json(&["constitutions"])) > 20 && length(&json(&["judges"])) > 3);
    assert!(length(&json(&["formats"])) > 5 && length(&json(&["simulate"])) > 3);
    assert!(length(&json(&["explain"])) > 50);
    assert_eq!(json(&["explain", "rho2"])["quantity"], "rho2");
    let plan = json(&["run", "run.toml", "--dry-run"]);
    assert!(length(&plan["steps"]) >= 2 && plan["steps"][0]["sequences"].as_u64() > Some(0), "{plan}");
    assert!(!place.path("out/report.json").exists());

    let run = json(&["run", "run.toml"]);
    assert!(length(&run["verdicts"]) > 0 && run["finding"].as_str().is_some_and(|f| !f.is_empty()), "{run}");
    assert!(run.get("estimates").is_none() && run["folder"] == "out", "{run}");
    let fit = json(&["fit", "--observations", "out/observations.safetensors", "--out", "again"]);
    assert_eq!(fit["verdicts"], run["verdicts"]);
    let compared = json(&["compare", "out", "again", "--out", "both"]);
    assert!(compared.is_object(), "{compared}");
    let files = json(&["export", "out", "--format", "tables"]);
    assert!(length(&files) > 4, "{files}");
    let (model, data) = (&crate::cli::model()[..], "items.jsonl");
    let preview =
        json(&["preview", "--model", model, "--data", data, "--constitution", "none", "c", "--show", "1"]);
    assert!(length(&preview["rows"]) > 0 && preview["counts"]["refused"] == 0, "{preview}");
    assert_eq!(json(&["check", model])["passed"], true);
    let bench = json(&["bench", "--shape", "tiny", "--constitutions", "2", "--prompts", "2", "--naive", "2"]);
    assert!(length(&bench) > 0, "{bench}");

    // Commands without a JSON result fail before doing anything, and failures print nothing that resembles a result.
    let err = place.refused(&["completions", "bash", "--json"]);
    assert!(err.contains("--json"), "{err}");
    let (ok, out, _) = place.vstar(&["export", "nowhere", "--format", "npz", "--json"]);
    assert!(!ok && out.is_empty(), "{out}");
}

#[test]
fn a_preview_shows_what_the_judge_is_asked() {
    let place = ready();
    let model = crate::cli::model();
    let common = ["preview", "--model", &model, "--data", "items.jsonl", "--show", "1"];
    let (ok, out, err) =
        place.vstar(&[&common[..], &["--constitution", "c", "--judge", "judge.toml"]].concat());
    assert!(ok, "{out}\n{err}");
    assert!(
        out.contains("the judge's question · constitution") && out.contains("then the log-odds of"),
        "{out}"
    );
    let (ok, out, err) = place.vstar(&[&common[..], &["--constitution", "c", "--mode", "implicit"]].concat());
    assert!(
        ok && out.contains("implicit judging asks nothing") && !out.contains("the log-odds of"),
        "{out}\n{err}"
    );
    // Without a constitution there is no judge.
    let (ok, out, err) = place.vstar(&common);
    assert!(ok && !out.contains("the judge"), "{out}\n{err}");
}
