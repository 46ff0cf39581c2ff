//! Renders a series of checkpoints: each step against the previous one and against the first.

use super::{Change, Drift, Step, Stop, Track};
use crate::document::Document;
use crate::document::table::Table;
use crate::theory::reading::quote::{headline, optional};
use crate::theory::{Estimate, Quantity};

impl Drift {
    /// Renders the page.
    pub fn page(&self) -> Document {
        let mut head: Vec<String> = ["quantity", "value", "constitution"].map(str::to_owned).to_vec();
        head.extend(self.runs.iter().enumerate().map(|(i, r)| format!("{i}: {} (layer {})", r.run, r.layer)));
        let mut keys: Vec<(Quantity, Option<String>, Option<String>)> = Vec::new();
        for e in self.runs.iter().flat_map(|r| &r.estimates) {
            let key = (e.quantity, e.value.clone(), e.constitution.clone());
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys.sort();
        let rows = keys.into_iter().map(|(quantity, value, constitution)| {
            let find = |r: &Stop| {
                let is = |e: &&Estimate| {
                    e.quantity == quantity && e.value == value && e.constitution == constitution
                };
                headline(r.estimates.iter().find(is))
            };
            let cells: Vec<String> = self.runs.iter().map(find).collect();
            let mut row =
                vec![quantity.name().to_owned(), value.unwrap_or_default(), constitution.unwrap_or_default()];
            row.extend(cells);
            row
        });
        let levels = Table::of(head, 3, rows.collect());
        let mut tables = vec![("Step by step".to_owned(), levels)];
        for (title, steps) in [
            ("Against the step before", Track::before as fn(&Track) -> &[Step]),
            ("Against the first", Track::first),
        ] {
            let rows = self.directions.iter().flat_map(|t| {
                steps(t).iter().map(|s| {
                    vec![
                        t.direction.clone(),
                        format!("{} → {}", s.from, s.to),
                        s.change.as_str().to_owned(),
                        headline(Some(&s.estimate)),
                        optional(s.raw, Some(0.01)),
                    ]
                })
            });
            let head = ["direction", "steps", "", "cos as functions [95 %]", "raw cos"];
            tables.push((title.to_owned(), Table::of(head, 3, rows.collect())));
        }
        let mut notes = vec![
            "cos as functions: correlation of ⟨h, v⟩ between two checkpoints over the same responses within prompts, \
             disattenuated; n.i. where one of the two does not encode the label"
                .to_owned(),
            "raw cos: of the exported directions, without interval; noise and a turn of the basis lower it".to_owned(),
            format!(
                "drifting: the whole interval below {}; steady: the whole interval above it; each step by its own 95 % interval, not \
                 adjusted for the number of steps",
                1.0 - self.margin
            ),
        ];
        notes.extend(self.warnings.iter().cloned());
        Document::of_finding(
            format!("{} checkpoints on {} responses", self.runs.len(), self.rows),
            self.finding(),
            tables,
            notes,
        )
    }

    fn finding(&self) -> String {
        let of = |change: Change| {
            let there = |t: &&Track| t.from_first.iter().chain(&t.consecutive).any(|s| s.change == change);
            self.directions.iter().filter(there).map(|t| t.direction.as_str()).collect::<Vec<_>>()
        };
        let (reversed, drifting) = (of(Change::Reversed), of(Change::Drifting));
        let mut parts = Vec::new();
        if !reversed.is_empty() {
            parts.push(format!("reversed somewhere along the series: {}", reversed.join(", ")));
        }
        let only: Vec<&str> = drifting.into_iter().filter(|d| !reversed.contains(d)).collect();
        if !only.is_empty() {
            parts.push(format!("drifting: {}", only.join(", ")));
        }
        let steady: Vec<&str> = self
            .directions
            .iter()
            .filter(|t| !t.from_first.is_empty() && t.from_first.iter().all(|s| s.change == Change::Steady))
            .map(|t| t.direction.as_str())
            .collect();
        if !steady.is_empty() {
            parts.push(format!("steady from the first to every later step: {}", steady.join(", ")));
        }
        if parts.is_empty() {
            return "No direction can be called steady, drifting or reversed on these data.".to_owned();
        }
        let mut text = parts.join("; ");
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        text + "."
    }
}

impl Track {
    fn before(&self) -> &[Step] {
        &self.consecutive
    }

    fn first(&self) -> &[Step] {
        &self.from_first
    }
}
