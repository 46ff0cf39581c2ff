//! Negative controls of the whole program: an untrained model gives no findings.

use vstar::model::hub::Unwatched;
use vstar::organism::folder;
use vstar::organism::lexicon::LEXICON;
use vstar::organism::net::Shape;
use vstar::run::Loaded;
use vstar::run::progress::Silent;
use vstar::theory::reading::outcome::Outcome;

/// Verdicts of the quick start's experiment on models with random weights: (signed, all), outside the placebo arm.
fn on_random_weights(seeds: std::ops::Range<u64>) -> (usize, usize, Vec<String>) {
    let root = env!("CARGO_MANIFEST_DIR");
    let (mut signed, mut all, mut which) = (0, 0, Vec::new());
    for seed in seeds {
        let place = tempfile::tempdir().expect("a folder");
        let shape = Shape { vocab: LEXICON.size(), hidden: 32, layers: 2, mlp: 80 };
        folder::write(&place.path().join("model"), &shape, &shape.initial(seed)).expect("a model");
        let out = place.path().join("run").display().to_string();
        let experiment = format!(
            "out = \"{out}\"\nseed = 1\n[model]\npath = \"model\"\n[data]\nfiles = [\"{root}/prompts/hearth.jsonl\"]\nlimit = 200\n\
             [constitutions]\nfiles = [\"{root}/constitutions/hearth\"]\n\
             only = [\"kind\", \"honest\", \"mean\", \"evil\", \"formal\", \"placebo-blue\", \"placebo-round\", \
             \"placebo-blue-phrase\", \"placebo-round-phrase\"]\n\
             [judge]\ntemplate = \"{root}/prompts/judge/hearth.toml\"\n"
        );
        let path = place.path().join("experiment.toml");
        std::fs::write(&path, experiment).expect("an experiment");
        let loaded = Loaded::read(&path, &mut Unwatched).expect("an experiment");
        let report = loaded.run(&mut Silent).expect("a report").report;
        for verdict in report.verdicts().iter().filter(|v| !v.placebo) {
            all += 1;
            if matches!(verdict.verdict, Outcome::Improves | Outcome::Degrades) {
                signed += 1;
                which.push(format!(
                    "seed {seed}: {} {} {}",
                    verdict.value,
                    verdict.constitution,
                    verdict.label()
                ));
            }
        }
    }
    (signed, all, which)
}

#[test]
fn models_with_random_weights_give_no_evidence_at_the_nominal_rate() {
    let (signed, all, which) = on_random_weights(1..7);
    assert!(all >= 6 * 15, "{all} verdicts");
    assert!(signed * 20 <= all, "{signed} of {all}: {which:#?}");
}
