//! Family, placebo status and paraphrases of each constitution, resolved in one place.
//!
//! A constitution is described by three sources: its own file, the metadata of the observations (`families` and
//! `paraphrases`), and `--placebo NAME`. The file takes precedence over the metadata, and the flag over both, because
//! it is an explicit override. Verdicts, headline, tables and comparisons all read the result.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::constitution::{Constitution, Family};

/// A constitution that belongs to the placebo arm or is compared with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Family; `None` if no source specifies it.
    pub family: Option<Family>,
    /// Name of the constitution that it paraphrases.
    pub paraphrase_of: Option<String>,
}

/// Constitutions by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    members: BTreeMap<String, Member>,
    /// Messages about the flag overriding another source.
    pub warnings: Vec<String>,
}

impl Roster {
    /// Combines the metadata of observations, the available files, and the names given with `--placebo`.
    pub fn new<'c>(
        families: &BTreeMap<String, Family>,
        paraphrases: &BTreeMap<String, String>,
        constitutions: impl IntoIterator<Item = &'c Constitution>,
        placebos: &[String],
    ) -> Self {
        let mut roster = Self::default();
        for (name, family) in families {
            roster.member(name).family = Some(*family);
        }
        for (name, original) in paraphrases {
            roster.member(name).paraphrase_of = Some(original.clone());
        }
        for constitution in constitutions {
            let member = roster.member(&constitution.name);
            member.family = Some(constitution.family);
            member.paraphrase_of.clone_from(&constitution.paraphrase_of);
        }
        for name in placebos {
            let before = roster.member(name).family.replace(Family::Placebo);
            if let Some(before) = before.filter(|f| *f != Family::Placebo) {
                roster.warnings.push(format!(
                    "`{name}` belongs to the placebo arm because --placebo names it; its family was {before}"
                ));
            }
        }
        roster
    }

    fn member(&mut self, name: &str) -> &mut Member {
        self.members.entry(name.to_owned()).or_default()
    }

    /// Looks up a constitution.
    pub fn get(&self, name: &str) -> Option<&Member> {
        self.members.get(name)
    }

    /// Names of the placebo arm.
    pub fn placebos(&self) -> BTreeSet<String> {
        let placebo = |m: &Member| m.family == Some(Family::Placebo);
        self.members.iter().filter(|(_, m)| placebo(m)).map(|(name, _)| name.clone()).collect()
    }

    /// Maps each paraphrase to its original.
    pub fn paraphrases(&self) -> BTreeMap<String, String> {
        let of = |(name, m): (&String, &Member)| Some((name.clone(), m.paraphrase_of.clone()?));
        self.members.iter().filter_map(of).collect()
    }
}

/// The original of a constitution: `name` itself, or the start of its chain of paraphrases.
pub fn original<'a>(paraphrases: &'a BTreeMap<String, String>, name: &'a str) -> &'a str {
    let mut at = name;
    // Bounded, since a cycle of paraphrases would never end: files are checked for one, metadata are not.
    for _ in 0..paraphrases.len() {
        match paraphrases.get(at) {
            Some(next) => at = next.as_str(),
            None => break,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_the_metadata_and_nothing_agree_on_one_arm() {
        let families =
            BTreeMap::from([("tea".to_owned(), Family::Placebo), ("kind".to_owned(), Family::Prosocial)]);
        let paraphrases = BTreeMap::from([("tea-b".to_owned(), "tea".to_owned())]);
        let roster = Roster::new(&families, &paraphrases, None, &["tea-b".to_owned(), "kind".to_owned()]);
        let placebos: Vec<String> = roster.placebos().into_iter().collect();
        assert_eq!(placebos, ["kind", "tea", "tea-b"]);
        assert_eq!(roster.paraphrases(), paraphrases);
        assert_eq!(roster.warnings.len(), 1, "only `kind` was something else: {:?}", roster.warnings);
        assert!(roster.get("nobody").is_none());
    }

    #[test]
    fn a_paraphrase_of_a_paraphrase_is_the_same_text_and_a_ring_ends() {
        let chain = [("c", "b"), ("b", "a")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(original(&chain.into(), "c"), "a");
        let ring = [("a", "b"), ("b", "a")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let ring = BTreeMap::from(ring);
        assert!(["a", "b"].contains(&original(&ring, "a")));
    }
}
