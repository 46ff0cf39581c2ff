//! Warnings, counted by kind instead of repeated.

use std::collections::BTreeMap;

use crate::error::{Excerpt, Place};

/// Maximum number of distinct warnings kept, so that a file with random keys cannot fill the memory.
const MOST: usize = 100;

/// Collected warnings for the user.
#[derive(Debug, Default)]
pub(in super::super) struct Notes {
    counted: BTreeMap<String, (usize, Place)>,
    lost: usize,
}

impl Notes {
    /// Adds a warning; `what` continues the clause "N rows …".
    pub fn add(&mut self, what: String, place: &Place) {
        if let Some((count, _)) = self.counted.get_mut(&what) {
            *count += 1;
        } else if self.counted.len() < MOST {
            self.counted.insert(what, (1, place.clone()));
        } else {
            self.lost += 1;
        }
    }

    /// One sentence per kind, with the number of rows and the first of them.
    pub fn sentences(self) -> Vec<String> {
        let mut all: Vec<_> = self
            .counted
            .into_iter()
            .map(|(what, (count, first))| {
                let rows = if count == 1 { "row" } else { "rows" };
                format!("{count} {rows} {} (first: {first})", Excerpt(&what))
            })
            .collect();
        if self.lost > 0 {
            all.push(format!("{} more remarks of other kinds", self.lost));
        }
        all
    }
}
