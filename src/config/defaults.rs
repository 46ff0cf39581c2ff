//! Default settings of an experiment without a file.

use crate::input::settings::{Setting, quoted_list};
use crate::model::ModelSource;

/// Which tables are set by the user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Given {
    /// Whether files of items are given.
    pub data: bool,
    /// Whether constitutions are given, or explicitly none.
    pub constitutions: bool,
}

/// The labelled prompts of this repository, whose values differ within prompts.
const PROMPTS: [&str; 3] = ["embedded:harmless", "embedded:honest", "embedded:helpful"];

/// Constitutions of all families; each value with its opposite and one paraphrase; every placebo, so that their spread
/// is a null; the two controls for length.
const CONSTITUTIONS: [&str; 19] = [
    "do-no-harm",
    "honest",
    "honest-b",
    "helpful",
    "good",
    "careless-of-harm",
    "deceptive",
    "unhelpful",
    "edgy",
    "authentic",
    "not-preachy",
    "longer",
    "shorter",
    "placebo-blue",
    "placebo-letters",
    "placebo-nonsense",
    "placebo-parity",
    "placebo-teapot",
    "placebo-weather",
];

/// Default settings of an experiment without a file: embedded prompts and constitutions, or those of its own world for
/// a known-answer model. Prompts too long for the model are skipped.
pub fn defaults(source: &ModelSource, given: Given) -> Vec<Setting> {
    let hearth = matches!(source, ModelSource::Embedded(_));
    let set = |key: &str, value: &str| Setting::new("default", key, value);
    let mut all = Vec::new();
    if !given.data {
        let files = if hearth { quoted_list(["embedded:hearth"]) } else { quoted_list(PROMPTS) };
        all.extend([set("data.files", &files), set("data.skip_bad", "true")]);
    }
    if !given.constitutions {
        if hearth {
            all.push(set("constitutions.files", &quoted_list(["embedded:hearth"])));
        } else {
            all.push(set("constitutions.files", &quoted_list(["embedded:all"])));
            all.push(set("constitutions.only", &quoted_list(CONSTITUTIONS)));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::Experiment;
    use crate::input::Family;

    #[test]
    fn the_defaults_are_an_experiment_of_all_families_and_six_placebos() {
        let mut settings = defaults(&ModelSource::Folder(PathBuf::from("x")), Given::default());
        settings.push(Setting::new("--model", "model.embedded", "\"hearth-xs\""));
        let experiment = Experiment::compose(None, &settings).expect("an experiment");
        let constitutions = experiment.constitutions().expect("they read");
        let count = |family: Family| constitutions.iter().filter(|c| c.family == family).count();
        assert!(Family::ALL.iter().all(|f| count(*f) >= 2));
        assert_eq!((constitutions.len(), count(Family::Placebo)), (19, 6));
        for wanted in ["edgy", "authentic", "not-preachy"] {
            assert!(constitutions.iter().any(|c| c.name == wanted), "Remark 2 names {wanted}");
        }
        assert!(experiment.data.read.skip_bad && experiment.data.files.len() == 3);
        let hearth = ModelSource::Embedded("hearth-xs".into());
        let mut settings = defaults(&hearth, Given::default());
        settings.push(Setting::new("--model", "model.embedded", "\"hearth-xs\""));
        let experiment = Experiment::compose(None, &settings).expect("its own world's");
        assert_eq!(experiment.constitutions().expect("they read").len(), 15);
        let own =
            defaults(&ModelSource::Embedded("hearth".into()), Given { data: true, constitutions: false });
        assert_eq!(own.len(), 1);
    }
}
