//! Scope of a capture beyond the bare rows: the constitutions under which responses are read, the rows for which log P
//! is computed, and the layers at which the judge's state is kept.

use std::fmt;
use std::str::FromStr;

use crate::error::{Diagnostic, Kind, Result};
use crate::input::name::nearest;
use crate::units::{Layer, LayerList, OneOf};

/// Constitutions under which responses are read; the judge is asked under all of them in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Under {
    /// Every constitution.
    #[default]
    All,
    /// None: only the bare context.
    None,
    /// These constitutions, by name.
    These(Vec<String>),
}

impl Under {
    /// Accepted syntax, for messages.
    pub const GRAMMAR: &'static str = "`all`, `none`, or names of constitutions";

    /// Parses the words of a setting.
    pub fn of(words: Vec<String>) -> Self {
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["all"] => Self::All,
            ["none"] | [] => Self::None,
            _ => Self::These(words),
        }
    }

    /// Whether a constitution is included.
    pub fn holds(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::These(names) => names.iter().any(|n| n == name),
        }
    }

    /// Refuses an unknown constitution name.
    ///
    /// # Errors
    /// [`Kind::Invalid`] with the closest name.
    pub fn check<'a>(&self, known: impl Iterator<Item = &'a str> + Clone) -> Result<()> {
        let Self::These(names) = self else { return Ok(()) };
        let Some(unknown) = names.iter().find(|n| !known.clone().any(|k| k == n.as_str())) else {
            return Ok(());
        };
        let mut diagnostic =
            Diagnostic::new(Kind::Invalid, "`under` names no constitution of this experiment")
                .expected(Self::GRAMMAR)
                .found(format!("`{unknown}`"));
        if let Some(near) = nearest(unknown, known) {
            diagnostic = diagnostic.remedy(format!("did you mean `{near}`?"));
        }
        Err(diagnostic.into())
    }
}

/// Rows for which log P(response) is computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogprobOf {
    /// All rows.
    #[default]
    All,
    /// Only the bare rows: sufficient for w and the gap, but not for generation under a constitution or the implicit
    /// judge.
    Bare,
}

impl OneOf for LogprobOf {
    const WORDS: &'static [(&'static str, Self, &'static str)] =
        &[("all", Self::All, "All rows"), ("bare", Self::Bare, "Rows of the bare context")];
}

/// Layers at which the residual stream at the judge's answers is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StateLayers {
    /// At most [`MOST`] of the captured layers after the embeddings, evenly spaced, including the last.
    #[default]
    Auto,
    /// None.
    None,
    /// These of the captured layers.
    These(LayerList),
}

/// Maximum number of layers kept by [`StateLayers::Auto`].
pub const MOST: usize = 8;

impl StateLayers {
    /// Accepted syntax, for messages.
    pub const GRAMMAR: &'static str = "`auto`, `none`, `all`, or numbers and ranges such as `4,8-12`";

    /// The selected layers, among the captured ones.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a layer that is not captured.
    pub fn among(&self, captured: &[Layer]) -> Result<Vec<Layer>> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::These(LayerList::All) => Ok(captured.to_vec()),
            Self::These(LayerList::These(layers)) => match layers.iter().find(|l| !captured.contains(l)) {
                None => Ok(layers.clone()),
                Some(bad) => Err(Diagnostic::new(
                    Kind::Invalid,
                    format!("layer {bad} of the judge's state is not captured"),
                )
                .expected(format!(
                    "layers among {}",
                    captured.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                ))
                .into()),
            },
            Self::Auto => {
                let inner: Vec<Layer> = captured.iter().copied().filter(|l| l.0 > 0).collect();
                let n = inner.len();
                let kept = n.min(MOST);
                Ok((1..=kept).map(|i| inner[(i * n).div_ceil(kept) - 1]).collect())
            }
        }
    }
}

impl FromStr for StateLayers {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            list => list
                .parse()
                .map(Self::These)
                .map_err(|_| format!("expected {}, found `{text}`", Self::GRAMMAR)),
        }
    }
}

impl fmt::Display for StateLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::These(list) => list.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(range: std::ops::RangeInclusive<usize>) -> Vec<Layer> {
        range.map(Layer).collect()
    }

    #[test]
    fn a_few_layers_are_spread_over_the_depth_and_the_last_is_among_them() {
        let auto = |captured: &[Layer]| -> Vec<usize> {
            StateLayers::Auto.among(captured).expect("layers").into_iter().map(|l| l.0).collect()
        };
        assert_eq!(auto(&layers(0..=30)), [4, 8, 12, 15, 19, 23, 27, 30]);
        assert_eq!(auto(&layers(0..=3)), [1, 2, 3]);
        assert_eq!(auto(&layers(0..=0)), [0usize; 0]);
        assert_eq!(auto(&[Layer(0), Layer(7)]), [7]);
    }

    #[test]
    fn what_is_kept_has_one_grammar_and_must_be_captured() {
        for text in ["auto", "none", "all", "4,8"] {
            assert_eq!(text.parse::<StateLayers>().expect("a list").to_string(), text);
        }
        assert!("some".parse::<StateLayers>().expect_err("refused").contains("`auto`"));
        let these: StateLayers = "2,9".parse().expect("a list");
        assert!(these.among(&layers(0..=4)).expect_err("refused").to_string().contains("layer 9"));
        assert_eq!(StateLayers::None.among(&layers(0..=4)).expect("none"), []);
    }

    #[test]
    fn names_under_which_nothing_is_read_are_refused_with_the_nearest() {
        let under = |words: &[&str]| Under::of(words.iter().map(|w| (*w).to_owned()).collect());
        assert_eq!((under(&["all"]), under(&["none"]), under(&[])), (Under::All, Under::None, Under::None));
        let these = under(&["honest", "kindd"]);
        assert!(these.holds("honest") && !these.holds("kind"));
        let refused = these.check(["honest", "kind"].into_iter()).expect_err("refused").to_string();
        assert!(refused.contains("did you mean `kind`?"), "{refused}");
    }
}
