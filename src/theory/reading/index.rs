//! Lookup of estimates by key, with values and constitutions in display order.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::theory::base::estimate::{Control, Estimate, Quantity};
use crate::theory::reading::card::ConstitutionCard;

type Key<'a> = (Quantity, Option<&'a str>, Option<&'a str>, Control);

/// The estimates of a report, indexed by quantity, value, constitution and control.
pub struct Index<'a> {
    /// Every estimate.
    pub estimates: &'a [Estimate],
    tables: &'a BTreeMap<String, Json>,
    single: BTreeMap<Key<'a>, &'a Estimate>,
    /// Names of values, in order of the estimates.
    pub values: Vec<&'a str>,
    /// Constitutions: those with a card, then those that only estimates name.
    pub constitutions: Vec<Named<'a>>,
    /// Whether anything was estimated under length control.
    pub length: bool,
}

/// A constitution in a report.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// Name of the constitution.
    pub name: &'a str,
    /// Its card, if the report has one.
    pub card: Option<&'a ConstitutionCard>,
}

impl Named<'_> {
    /// Whether it belongs to the placebo arm.
    pub fn is_placebo(&self) -> bool {
        self.card.is_some_and(ConstitutionCard::is_placebo)
    }
}

impl<'a> Index<'a> {
    /// Indexes estimates and tables by name, with constitutions in display order. If two estimates have the same key,
    /// the first is kept.
    pub fn new(
        estimates: &'a [Estimate],
        tables: &'a BTreeMap<String, Json>,
        cards: &'a [ConstitutionCard],
    ) -> Self {
        let (mut single, mut values) = (BTreeMap::new(), Vec::new());
        let mut named: Vec<&str> = Vec::new();
        for e in estimates {
            let (value, constitution) = (e.value.as_deref(), e.constitution.as_deref());
            if let Some(value) = value
                && !values.contains(&value)
            {
                values.push(value);
            }
            // A constitution that was only used for reading, never judged, does not belong in the table of verdicts.
            if let Some(constitution) = constitution
                && !e.quantity.is_of_the_state()
                && !named.contains(&constitution)
            {
                named.push(constitution);
            }
            if e.k.is_none() && e.lambda_sd.is_none() && e.value2.is_none() && e.judge.is_none() {
                single.entry((e.quantity, value, constitution, e.control)).or_insert(e);
            }
        }
        let mut constitutions: Vec<Named<'a>> = Vec::new();
        for card in cards {
            // Skip the card of a constitution that was never judged.
            if named.contains(&card.name.as_str()) && !constitutions.iter().any(|c| c.name == card.name) {
                constitutions.push(Named { name: &card.name, card: Some(card) });
            }
        }
        for name in named {
            if !constitutions.iter().any(|c| c.name == name) {
                constitutions.push(Named { name, card: None });
            }
        }
        let length = estimates.iter().any(|e| e.control == Control::Length);
        Self { estimates, tables, single, values, constitutions, length }
    }

    /// Table of a statement, by name; `None` if it is absent or of another version.
    pub fn table<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        self.tables.get(name).and_then(|table| serde_json::from_value(table.clone()).ok())
    }

    /// Rows of a list table, as stored in the report; `None` if it is absent.
    pub fn rows(&self, name: &str) -> Option<&'a [Json]> {
        self.tables.get(name)?.as_array().map(Vec::as_slice)
    }

    /// An estimate without further keys (`k`, `lambda_sd`, `value2`, `judge`).
    pub fn get(
        &self,
        quantity: Quantity,
        value: Option<&'a str>,
        constitution: Option<&'a str>,
        control: Control,
    ) -> Option<&'a Estimate> {
        self.single.get(&(quantity, value, constitution, control)).copied()
    }

    /// Estimate for a value under a constitution.
    pub fn cell(
        &self,
        quantity: Quantity,
        value: &'a str,
        constitution: &'a str,
        control: Control,
    ) -> Option<&'a Estimate> {
        self.get(quantity, Some(value), Some(constitution), control)
    }
}
