//! Rotary scalings compared with transformers 5.23: which `original_max_position_embeddings` applies, and the
//! behaviour without one.

use std::path::Path;

use vstar::error::Result;
use vstar::model::Config;

fn config(family: &str, more: &str) -> Result<Config> {
    let text = format!(
        "{{\"model_type\": \"{family}\", \"hidden_size\": 32, \"num_attention_heads\": 4, \"intermediate_size\": 8, \
         \"vocab_size\": 10, \"num_hidden_layers\": 2, \"max_position_embeddings\": 128, {more}}}"
    );
    Config::from_json(&text, Path::new("config.json"))
}

fn scaled(
    family: &str,
    kind: &str,
    top: Option<usize>,
    inside: Option<usize>,
    factor: Option<f64>,
) -> Config {
    let mut scaling = serde_json::json!({"rope_type": kind});
    match kind {
        "llama3" => {
            scaling["low_freq_factor"] = 1.0.into();
            scaling["high_freq_factor"] = 4.0.into();
        }
        "longrope" => {
            scaling["short_factor"] = vec![1.0; 4].into();
            scaling["long_factor"] = vec![2.0; 4].into();
        }
        _ => {}
    }
    if let Some(inside) = inside {
        scaling["original_max_position_embeddings"] = inside.into();
    }
    if let Some(factor) = factor {
        scaling["factor"] = factor.into();
    }
    let top = top.map_or(String::new(), |t| format!("\"original_max_position_embeddings\": {t}, "));
    config(family, &format!("{top}\"rope_theta\": 10000.0, \"rope_scaling\": {scaling}")).expect("a config")
}

/// The second inverse frequency of four, which the blend of both scalings decides.
#[test]
fn the_configs_own_original_context_wins_and_the_context_stands_in() {
    for (kind, attention, cases) in [
        (
            "llama3",
            1.0,
            [
                (None, None, 0.042_751_178),
                (None, Some(64), 0.013_042_256),
                (Some(32), None, 0.0125),
                (Some(32), Some(64), 0.0125),
            ],
        ),
        (
            "yarn",
            1.207_944_154,
            [
                (None, None, 0.056_25),
                (None, Some(64), 0.056_25),
                (Some(32), None, 0.0125),
                (Some(32), Some(64), 0.0125),
            ],
        ),
    ] {
        for (top, inside, second) in cases {
            let table = scaled("llama", kind, top, inside, Some(8.0)).ropes[0].tables[0].clone();
            let what = format!("{kind} {top:?} {inside:?}: {table:?}");
            assert!((table.inv_freq[1] - second).abs() < 1e-8, "{what}");
            assert!((table.inv_freq[3] - 0.000_125).abs() < 1e-9, "{what}");
            assert!((table.attention_factor - attention).abs() < 1e-8, "{what}");
        }
    }
}

#[test]
fn phi3_has_a_default_that_wins_over_the_one_inside() {
    for (top, inside, factor, up_to, attention) in [
        (None, None, None, 4096, 1.0),
        (None, Some(64), None, 4096, 1.0),
        (None, Some(64), Some(3.0), 4096, 1.063_992_579),
        (Some(32), None, None, 32, 1.183_215_957),
        (Some(32), Some(64), None, 32, 1.183_215_957),
        (Some(32), Some(64), Some(3.0), 32, 1.147_602_937),
    ] {
        let table = scaled("phi3", "longrope", top, inside, factor).ropes[0].tables[0].clone();
        assert_eq!(table.up_to, up_to, "{top:?} {inside:?}");
        assert!(
            (table.attention_factor - attention).abs() < 1e-8,
            "{top:?} {inside:?} {factor:?}: {table:?}"
        );
    }
}

#[test]
fn a_scaling_without_what_it_needs_is_refused_by_key() {
    for (scaling, key) in [
        (r#"{"rope_type": "linear"}"#, "factor"),
        (r#"{"rope_type": "llama3", "low_freq_factor": 1, "high_freq_factor": 4}"#, "factor"),
        (r#"{"rope_type": "llama3", "factor": 8, "high_freq_factor": 4}"#, "low_freq_factor"),
        (r#"{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1}"#, "high_freq_factor"),
        (r#"{"rope_type": "longrope", "long_factor": [1, 1, 1, 1]}"#, "short_factor"),
    ] {
        let text = config("llama", &format!("\"rope_scaling\": {scaling}")).expect_err("refused").to_string();
        assert!(text.contains(&format!("rope_scaling.{key}")), "{scaling}: {text}");
    }
}

#[test]
fn of_two_objects_the_older_name_counts_unless_it_is_empty() {
    let both = |scaling: &str| {
        let newer = r#""rope_parameters": {"rope_type": "default", "rope_theta": 500.0}"#;
        let config = config("llama", &format!("{newer}, \"rope_scaling\": {scaling}")).expect("a config");
        config.ropes[0].tables[0].inv_freq[1]
    };
    let plain = |theta: f64| theta.powf(-0.25);
    assert!((both(r#"{"rope_type": "linear", "factor": 2.0}"#) - plain(10_000.0) / 2.0).abs() < 1e-12);
    assert!((both("{}") - plain(500.0)).abs() < 1e-12);
    assert!((both("null") - plain(500.0)).abs() < 1e-12);
}
