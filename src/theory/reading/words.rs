//! Phrases shared by several sentences.

use crate::document::text::shortened;
use crate::theory::base::estimate::{Control, Quantity};
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::{quotable, with_interval};

/// Maximum number of values named in the first sentence.
pub(crate) const NAMED_VALUES: usize = 2;

/// A name in quotation marks, shortened.
pub(crate) fn quoted(name: &str) -> String {
    format!("“{}”", shortened(name, 40))
}

/// Names as a list in a sentence; beyond `most`, the number of the others.
pub(crate) fn joined(names: &[String], most: usize) -> String {
    let shown = names.len().min(most);
    let mut text = match &names[..shown] {
        [] => return "none".into(),
        [one] => one.clone(),
        [head @ .., last] if shown == names.len() => format!("{} and {last}", head.join(", ")),
        some => some.join(", "),
    };
    if names.len() > shown {
        text += &format!(" and {} more", names.len() - shown);
    }
    text
}

/// The judge's own alignment with a value, from the mean of the placebo texts, where it is known: `; the judge by
/// itself, under texts without content: 0.41 [0.30, 0.52]`.
pub(crate) fn judge_by_itself(index: &Index<'_>, value: &str) -> String {
    let own = index.get(Quantity::JudgeAlignment, Some(value), None, Control::None).filter(|e| quotable(e));
    own.map_or_else(String::new, |e| {
        format!("; the judge by itself, under texts without content: {}", with_interval(e))
    })
}
