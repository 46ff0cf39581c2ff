//! Description of a constitution in a report.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::text;
use crate::input::constitution::ANY_VALUE;
use crate::input::{Constitution, Family, Sign};

/// Maximum number of characters quoted from a constitution's text.
const EXCERPT: usize = 280;

/// Description of a constitution in a report, in addition to its estimates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConstitutionCard {
    /// Name of the constitution.
    pub name: String,
    /// Family of the constitution; absent where its file was not available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// The constitution that this one paraphrases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paraphrase_of: Option<String>,
    /// The author's expected signs by name of value (`*`: values not named).
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

    /// The author's expected sign for a value, if one was given.
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
