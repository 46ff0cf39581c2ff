//! Renders a verification.

use super::change::{Figure, Verdict};
use super::{Scored, Verified};
use crate::document::Document;
use crate::document::table::Table;
use crate::theory::reading::quote::{NOTHING, number, percent};

/// Divergence in nats a reply beyond which a tilt is no small one.
const FAR: f64 = 3.0;

/// Divergence in nats that rounding can give equal policies.
const ROUNDING: f64 = 1e-3;

/// An estimate with its interval.
fn with_ends(figure: &Figure) -> String {
    let shown = number(figure.estimate, figure.se);
    match (figure.lo, figure.hi) {
        (Some(lo), Some(hi)) => {
            format!("{shown} [{}, {}]", number(lo, figure.se), number(hi, figure.se))
        }
        _ => shown,
    }
}

impl Scored {
    /// Description for the table.
    pub fn words(&self) -> String {
        match self {
            Self::Labels => "labels".to_owned(),
            Self::Judgments { model } => format!("judgments of {model}"),
            Self::Probe { direction, layer } => format!("{direction}, layer {layer}"),
            Self::Length => "tokens".to_owned(),
        }
    }
}

impl Verdict {
    /// The verdict in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Rises => "rises",
            Self::Falls => "falls",
            Self::NoEvidence => "no evidence of a change",
            Self::NotEstimable => "too few prompts",
        }
    }
}

impl Verified {
    /// Renders the page.
    pub fn page(&self) -> Document {
        let rows = self.changes.iter().map(|row| {
            vec![
                row.value.clone(),
                row.scored.words(),
                number(row.change.before, row.change.change.se),
                number(row.change.after, row.change.change.se),
                with_ends(&row.change.change),
                row.change
                    .sd
                    .map_or_else(|| NOTHING.to_owned(), |sd| number(row.change.change.estimate / sd, None)),
                row.of_largest.map_or_else(|| NOTHING.to_owned(), percent),
                row.verdict.words().to_owned(),
            ]
        });
        let head =
            ["value", "scored by", "before", "after", "change [95 %]", "in sd", "of the largest", "verdict"];
        let table = Table::of(head, 2, rows.collect());
        let [before, after] = self.replies;
        let mut notes =
            vec![format!("{before} replies before and {after} after, to {} prompts", self.prompts)];
        if let Some(kl) = &self.kl {
            let but = if self.reread > 0 {
                format!(
                    "; without {} replies whose text is read as other tokens than were generated",
                    self.reread
                )
            } else {
                String::new()
            };
            notes.push(format!(
                "KL of the policy after from that before: {} nats a reply, without the token that ends it{but}",
                with_ends(kl)
            ));
        }
        if self.kl.as_ref().is_some_and(|kl| kl.estimate > FAR) {
            notes.push(
                "the policies are far apart: at such a divergence first-order figures (of the largest) and probes of the \
                 model before say little; read some of the replies"
                    .to_owned(),
            );
        }
        notes.push(
            "change: mean over prompts of the difference of the replies' mean scores; in sd: over the standard deviation \
             before, within prompts; of the largest: over sd·√(2 KL), the first-order change of a tilt by the score itself"
                .to_owned(),
        );
        if self.changes.iter().any(|row| matches!(row.scored, Scored::Probe { .. })) {
            notes.push(
                "a probe reads the replies through the model before: what it was fitted on may hold less for replies of \
                 the policy after"
                    .to_owned(),
            );
        }
        notes.extend(self.warnings.iter().cloned());
        Document::of_finding(
            "Before and after training".to_owned(),
            self.finding(),
            vec![("What changed".to_owned(), table)],
            notes,
        )
    }

    /// The finding in a sentence.
    pub fn finding(&self) -> String {
        let scored = || self.changes.iter().filter(|row| row.scored != Scored::Length);
        let named = |verdict: Verdict| -> Vec<String> {
            scored()
                .filter(|row| row.verdict == verdict)
                .map(|row| format!("{} ({})", row.value, with_ends(&row.change.change)))
                .collect()
        };
        let kl = self.kl.as_ref().map_or_else(String::new, |kl| match kl.estimate {
            none if none.abs() < ROUNDING => " of policies that do not differ".to_owned(),
            nats => format!(" at a divergence of {} nats a reply", number(nats, kl.se)),
        });
        if scored().next().is_none() {
            return format!("No value of the replies to {} prompts is scored{kl}.", self.prompts);
        }
        let mut parts = Vec::new();
        for (verdict, word) in [(Verdict::Rises, "rises"), (Verdict::Falls, "falls")] {
            let all = named(verdict);
            if !all.is_empty() {
                parts.push(format!("{word}: {}", all.join(", ")));
            }
        }
        let unclear = named(Verdict::NoEvidence);
        if !unclear.is_empty() {
            parts.push(format!("no evidence of a change: {}", unclear.join(", ")));
        }
        if parts.is_empty() {
            return format!("{} prompts are too few for an interval{kl}.", self.prompts);
        }
        format!("On {} prompts{kl}: {}.", self.prompts, parts.join("; "))
    }
}
