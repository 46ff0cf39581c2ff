//! A constitution as a report shows it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::text;
use crate::input::constitution::ANY_VALUE;
use crate::input::{Constitution, Family, Sign};

/// Characters of a constitution's text that a report quotes.
const EXCERPT: usize = 280;

/// What a report says about a constitution beside its estimates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConstitutionCard {
    /// Name of the constitution.
    pub name: String,
    /// What kind it is; absent where the observations came without its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// The constitution that this one says again in other words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paraphrase_of: Option<String>,
    /// The author's guesses by the value's name (`*`: values not named).
    #[serde(default)]
    pub expect: BTreeMap<String, Sign>,
    /// Beginning of its text.
    #[serde(default)]
    pub excerpt: String,
}

impl ConstitutionCard {
    /// Whether it belongs to the placebo arm.
    pub fn is_placebo(&self) -> bool {
        self.family == Some(Family::Placebo)
    }

    /// The guess for a value, if one was made.
    pub fn expected(&self, value: &str) -> Option<Sign> {
        self.expect.get(value).or_else(|| self.expect.get(ANY_VALUE)).copied()
    }
}

impl From<&Constitution> for ConstitutionCard {
    fn from(constitution: &Constitution) -> Self {
        Self {
            name: constitution.name.clone(),
            family: Some(constitution.family),
            paraphrase_of: constitution.paraphrase_of.clone(),
            expect: constitution.expect.clone(),
            excerpt: text::shortened(&constitution.text, EXCERPT),
        }
    }
}
