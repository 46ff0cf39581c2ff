//! Theorem 3 on a known answer: trained on its own judgments, the model moves as predicted.

use candle_core::{DType, Device};
use vstar::model::{LoadOptions, Model, ModelSource};
use vstar::organism::folder;
use vstar::organism::rlaif::{Change, Settings, rlaif};

fn trained_under(rule: &str) -> Vec<Change> {
    let options =
        LoadOptions { dtype: DType::F32, device: Device::Cpu, stream: false, quantize: None, adapter: None };
    let source = ModelSource::parse("embedded:hearth", None).expect("an embedded model");
    let base = Model::load(&source, "hearth", &options).expect("a model");
    let place = tempfile::tempdir().expect("a folder");
    let load = |shape: &vstar::organism::net::Shape, parameters: &[f32]| {
        folder::write(place.path(), shape, parameters)?;
        Model::load(&ModelSource::Folder(place.path().to_owned()), "trained", &options)
    };
    let settings = Settings {
        rule: rule.to_owned(),
        lambda_sd: 0.5,
        pairs: 1_500,
        steps: 300,
        prompts: 160,
        replies: 4,
        seed: 3,
    };
    let outcome = rlaif(&base, &settings, &load, &mut |_| Ok(())).expect("a training").outcome;
    // Large enough for an effect, small enough for the first order to apply.
    assert!((0.02..0.3).contains(&outcome.kl.mean), "{:?}", outcome.kl);
    outcome.changes
}

#[test]
fn training_on_its_own_judgments_moves_the_value_as_theorem_3_predicts() {
    for (rule, sign) in [("be kind", 1.0), ("be mean", -1.0)] {
        let changes = trained_under(rule);
        let harmless = &changes[0];
        assert_eq!(harmless.value, "harmless");
        let (predicted, measured) = (harmless.predicted_at_kl, harmless.measured);
        assert!(sign * predicted.mean > 5.0 * predicted.se, "{rule}: {harmless:?}");
        assert!(sign * measured.mean > 3.0 * measured.se, "{rule}: {harmless:?}");
        // To first order the prediction is an upper bound: the gain of the tilted policy saturates, and a short
        // training spends divergence on changes that the judge did not ask for.
        let share = measured.mean / predicted.mean;
        assert!((0.15..1.3).contains(&share), "{rule}: {harmless:?}");
        for other in &changes[1..] {
            assert!(other.measured.mean.abs() < 0.5 * measured.mean.abs(), "{rule}: {other:?}");
        }
    }
}
