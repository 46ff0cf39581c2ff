//! Family and role of each constitution, from the metadata of observations, files and options.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Diagnostic, Kind, Result};
use crate::input::{Constitution, Roster};
use crate::observations::Observations;
use crate::report::ConstitutionCard;

/// Family and role of each constitution, from the metadata of the observations, the files, and `--placebo`.
pub fn roster(
    observations: &Observations,
    constitutions: &[Constitution],
    placebos: &[String],
) -> Result<Roster> {
    fn stored<T: serde::de::DeserializeOwned>(
        observations: &Observations,
        key: &str,
        each: &str,
    ) -> Result<BTreeMap<String, T>> {
        let Some(text) = observations.meta().extra.get(key) else { return Ok(BTreeMap::new()) };
        serde_json::from_str(text).map_err(|e| {
            Diagnostic::new(Kind::Invalid, format!("the metadata `{key}` of the observations cannot be read"))
                .expected(format!("a JSON object from the name of a constitution to {each}"))
                .found(format!("{e}: {}", text.chars().take(100).collect::<String>()))
                .into()
        })
    }
    Ok(Roster::new(
        &stored(observations, "families", "its family: prosocial, adversarial, subtle, neutral or placebo")?,
        &stored(observations, "paraphrases", "the one that it words anew")?,
        constitutions,
        placebos,
    ))
}

/// Cards of the constitutions with files, then of those named only in the observations; family and paraphrase come
/// from the roster.
pub fn cards(
    observations: &Observations,
    roster: &Roster,
    constitutions: &[Constitution],
) -> Vec<ConstitutionCard> {
    let columns = observations.columns();
    let judged: BTreeSet<&String> = columns.judgments.keys().chain(columns.scores.keys()).collect();
    let mut cards: Vec<ConstitutionCard> = constitutions.iter().map(ConstitutionCard::from).collect();
    let without_file = judged.into_iter().filter(|name| !constitutions.iter().any(|c| c.name == **name));
    cards.extend(
        without_file.map(|name| ConstitutionCard { name: name.clone(), ..ConstitutionCard::default() }),
    );
    for card in &mut cards {
        if let Some(member) = roster.get(&card.name) {
            card.family = member.family;
            card.paraphrase_of.clone_from(&member.paraphrase_of);
        }
    }
    cards
}
