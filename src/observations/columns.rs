//! Columns stored beside the activations: groups, labels, pairs, judgments, scores; validated once.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::error::{Diagnostic, Kind, Place, Result};

/// Everything in an observations file other than `resid`, for N rows.
///
/// Tables of names are sorted by name. Real numbers are f64 here and f32 in the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns {
    /// Prompt number of each row, equal for rows of one prompt. If a file has pairs but no prompt numbers,
    /// [`Observations`](super::Observations) groups rows that are connected by pairs.
    pub prompt: Option<Vec<i32>>,
    /// Index of each row's constitution in the metadata's list; if absent, all rows belong to the only one in that
    /// list.
    pub constitution: Option<Vec<usize>>,
    /// Cluster number, equal for copies and near-copies of one prompt. All rows of a prompt are in one cluster.
    pub cluster: Option<Vec<i32>>,
    /// Response number, equal for the rows of the same response under different constitutions.
    pub response: Option<Vec<i32>>,
    /// Sum over the response's tokens of log P(token | all before it), in nats.
    pub logprob: Option<Vec<f64>>,
    /// The same under the policy that generated the responses, if that is another model.
    pub logq: Option<Vec<f64>>,
    /// Number of response tokens, at least 1.
    pub ntok: Option<Vec<u32>>,
    /// Labels by value, larger is better, NaN for unlabelled rows.
    pub values: BTreeMap<String, Vec<f64>>,
    /// Preferences by value: rows (better, worse).
    pub preferences: BTreeMap<String, Vec<[usize; 2]>>,
    /// Forced choices by constitution.
    pub judgments: BTreeMap<String, Judgments>,
    /// Scores of responses by constitution, NaN for rows without a score. The metadata key `score.NAME` gives the kind:
    /// `pointwise` or `implicit`.
    pub scores: BTreeMap<String, Vec<f64>>,
}

/// Forced choices of the model under one constitution, M pairs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judgments {
    /// Compared rows, `[M]`.
    pub pairs: Vec<[usize; 2]>,
    /// Raw log-odds (nats) of the answer shown first, with the pair's first row shown first, `[M]`.
    pub ab: Vec<f64>,
    /// The same with the pair's second row shown first, `[M]`; absent if only one order was asked.
    pub ba: Option<Vec<f64>>,
}

impl Judgments {
    /// Debiased log-odds (nats) that the pair's first row is better, (ab − ba)/2, `[M]`; `None` if only one order was
    /// asked, which cannot be debiased.
    pub fn debiased(&self) -> Option<Vec<f64>> {
        let ba = self.ba.as_ref()?;
        Some(self.ab.iter().zip(ba).map(|(ab, ba)| (ab - ba) / 2.0).collect())
    }

    /// Position bias of each pair (nats), (ab + ba)/2, `[M]`; `None` if only one order was asked.
    pub fn position_bias(&self) -> Option<Vec<f64>> {
        let ba = self.ba.as_ref()?;
        Some(self.ab.iter().zip(ba).map(|(ab, ba)| (ab + ba) / 2.0).collect())
    }
}

impl Columns {
    /// Index of a row's constitution.
    pub(super) fn constitution_of(&self, row: usize) -> usize {
        self.constitution.as_ref().map_or(0, |c| c[row])
    }

    /// All tables of pairs, with their tensor names.
    pub(super) fn pair_tables(&self) -> impl Iterator<Item = (String, &[[usize; 2]])> {
        let preferences = self.preferences.iter().map(|(n, p)| (format!("pair.{n}"), p.as_slice()));
        let judgments = self.judgments.iter().map(|(n, j)| (format!("judge.{n}.pair"), j.pairs.as_slice()));
        preferences.chain(judgments)
    }

    /// Checks lengths, ranges and consistency between columns; returns warnings.
    pub(super) fn check(&self, rows: usize, constitutions: usize, place: &Place) -> Result<Vec<String>> {
        let check = Check { columns: self, rows, place };
        check.names()?;
        check.lengths()?;
        check.constitution(constitutions)?;
        check.numbers()?;
        check.clusters()?;
        check.responses()?;
        for (name, pairs) in self.pair_tables() {
            check.pairs(&name, pairs)?;
        }
        check.judgments()?;
        let unlabelled = self.values.iter().filter(|(_, v)| v.iter().all(|x| x.is_nan()));
        Ok(unlabelled.map(|(name, _)| format!("`value.{name}` labels no row")).collect())
    }
}

struct Check<'a> {
    columns: &'a Columns,
    rows: usize,
    place: &'a Place,
}

impl Check<'_> {
    fn refuse(&self, kind: Kind, tensor: &str, what: impl Into<String>) -> Diagnostic {
        Diagnostic::new(kind, what).at(self.place.clone().id(tensor))
    }

    fn names(&self) -> Result<()> {
        let c = self.columns;
        let names =
            c.values.keys().chain(c.preferences.keys()).chain(c.judgments.keys()).chain(c.scores.keys());
        match names.into_iter().any(String::is_empty) {
            false => Ok(()),
            true => Err(self
                .refuse(Kind::Invalid, "value, pair, judge or score", "a column without a name")
                .into()),
        }
    }

    fn length(&self, tensor: &str, found: usize, expected: usize) -> Result<()> {
        if found == expected {
            return Ok(());
        }
        Err(self
            .refuse(Kind::Invalid, tensor, format!("`{tensor}` has another length than the rest"))
            .expected(expected.to_string())
            .found(found.to_string())
            .into())
    }

    fn lengths(&self) -> Result<()> {
        let c = self.columns;
        let one_a_row = [
            ("prompt", c.prompt.as_ref().map(Vec::len)),
            ("constitution", c.constitution.as_ref().map(Vec::len)),
            ("cluster", c.cluster.as_ref().map(Vec::len)),
            ("response", c.response.as_ref().map(Vec::len)),
            ("logprob", c.logprob.as_ref().map(Vec::len)),
            ("logq", c.logq.as_ref().map(Vec::len)),
            ("ntok", c.ntok.as_ref().map(Vec::len)),
        ];
        for (name, length) in one_a_row {
            if let Some(length) = length {
                self.length(name, length, self.rows)?;
            }
        }
        for (kind, table) in [("value", &c.values), ("score", &c.scores)] {
            for (name, column) in table {
                self.length(&format!("{kind}.{name}"), column.len(), self.rows)?;
            }
        }
        for (name, j) in &c.judgments {
            self.length(&format!("judge.{name}.ab"), j.ab.len(), j.pairs.len())?;
            if let Some(ba) = &j.ba {
                self.length(&format!("judge.{name}.ba"), ba.len(), j.pairs.len())?;
            }
        }
        Ok(())
    }

    fn constitution(&self, names: usize) -> Result<()> {
        let Some(column) = &self.columns.constitution else {
            if names == 1 {
                return Ok(());
            }
            return Err(self
                .refuse(
                    Kind::Missing,
                    "constitution",
                    "the metadata names several constitutions, and no column says which row is whose",
                )
                .expected("a tensor `constitution`, i32 [N], of indices into the metadata's list")
                .into());
        };
        match column.iter().position(|&c| c >= names) {
            None => Ok(()),
            Some(row) => Err(self
                .refuse(
                    Kind::Invalid,
                    "constitution",
                    format!("row {row} points past the list of constitutions"),
                )
                .expected(format!("an index below {names}"))
                .found(column[row].to_string())
                .into()),
        }
    }

    fn numbers(&self) -> Result<()> {
        let c = self.columns;
        if let Some(row) = c.ntok.as_ref().and_then(|n| n.iter().position(|&n| n == 0)) {
            return Err(self
                .refuse(Kind::Invalid, "ntok", format!("row {row} has a response without tokens"))
                .into());
        }
        if let Some(logprob) = &c.logprob {
            self.logprob(logprob)?;
        }
        if let Some(logq) = &c.logq {
            self.finite("logq", logq, false)?;
        }
        for (name, column) in &c.values {
            self.finite(&format!("value.{name}"), column, true)?;
        }
        for (name, column) in &c.scores {
            self.finite(&format!("score.{name}"), column, true)?;
        }
        for (name, j) in &c.judgments {
            self.finite(&format!("judge.{name}.ab"), &j.ab, false)?;
            if let Some(ba) = &j.ba {
                self.finite(&format!("judge.{name}.ba"), ba, false)?;
            }
        }
        Ok(())
    }

    /// Checks that log P is present for all rows of a constitution or for none of them (NaN): it may have been omitted
    /// for that constitution.
    fn logprob(&self, column: &[f64]) -> Result<()> {
        let mut missing: HashMap<usize, bool> = HashMap::new();
        for (row, value) in column.iter().enumerate() {
            let all = *missing.entry(self.columns.constitution_of(row)).or_insert(value.is_nan());
            if value.is_infinite() || value.is_nan() != all {
                return Err(self
                    .refuse(Kind::NotFinite, "logprob", format!("row {row} of `logprob` is not a number"))
                    .expected(
                        "a finite number, or NaN in all rows of a constitution for which it was not computed",
                    )
                    .found(value.to_string())
                    .into());
            }
        }
        Ok(())
    }

    fn finite(&self, tensor: &str, column: &[f64], nan_is_missing: bool) -> Result<()> {
        let bad = |v: f64| !(v.is_finite() || nan_is_missing && v.is_nan());
        match column.iter().position(|&v| bad(v)) {
            None => Ok(()),
            Some(row) => Err(self
                .refuse(Kind::NotFinite, tensor, format!("row {row} of `{tensor}` is not a number"))
                .expected(if nan_is_missing { "a finite number, or NaN for none" } else { "a finite number" })
                .found(column[row].to_string())
                .into()),
        }
    }

    /// Checks that each prompt is in one cluster: otherwise leaving one cluster out would leave part of the prompt in.
    fn clusters(&self) -> Result<()> {
        let (Some(prompt), Some(cluster)) = (&self.columns.prompt, &self.columns.cluster) else {
            return Ok(());
        };
        let mut first: HashMap<i32, usize> = HashMap::new();
        for row in 0..self.rows {
            let before = *first.entry(prompt[row]).or_insert(row);
            if cluster[before] != cluster[row] {
                return Err(self
                    .refuse(Kind::Invalid, "cluster", format!("prompt {} lies in two clusters", prompt[row]))
                    .expected(format!(
                        "row {row} in cluster {}, as row {before} of the same prompt",
                        cluster[before]
                    ))
                    .found(cluster[row].to_string())
                    .into());
            }
        }
        Ok(())
    }

    fn responses(&self) -> Result<()> {
        let Some(response) = &self.columns.response else { return Ok(()) };
        let mut seen = HashSet::new();
        let mut home: HashMap<i32, usize> = HashMap::new();
        for row in 0..self.rows {
            if !seen.insert((self.columns.constitution_of(row), response[row])) {
                return Err(self
                    .refuse(
                        Kind::Invalid,
                        "response",
                        format!("row {row} repeats response {} of its constitution", response[row]),
                    )
                    .expected("each response once under each constitution")
                    .into());
            }
            let first = *home.entry(response[row]).or_insert(row);
            if let Some(prompt) = &self.columns.prompt
                && prompt[first] != prompt[row]
            {
                return Err(self
                    .refuse(
                        Kind::Invalid,
                        "response",
                        format!(
                            "response {} stands under two prompts (rows {first} and {row})",
                            response[row]
                        ),
                    )
                    .into());
            }
        }
        Ok(())
    }

    fn pairs(&self, tensor: &str, pairs: &[[usize; 2]]) -> Result<()> {
        for (at, &[a, b]) in pairs.iter().enumerate() {
            let bad = |what: String| Err(self.refuse(Kind::Invalid, tensor, what).into());
            if a.max(b) >= self.rows {
                return bad(format!(
                    "pair {at} points to row {}, and there are {} rows",
                    a.max(b),
                    self.rows
                ));
            }
            if a == b {
                return bad(format!("pair {at} compares row {a} with itself"));
            }
            if self.columns.constitution_of(a) != self.columns.constitution_of(b) {
                return bad(format!(
                    "pair {at} compares rows {a} and {b}, which were read under different constitutions"
                ));
            }
            if let Some(prompt) = &self.columns.prompt
                && prompt[a] != prompt[b]
            {
                return bad(format!(
                    "pair {at} compares row {a} of prompt {} with row {b} of prompt {}",
                    prompt[a], prompt[b]
                ));
            }
        }
        Ok(())
    }

    /// Checks that each judge refers to rows of one constitution, so that its rewards share a scale.
    fn judgments(&self) -> Result<()> {
        for (name, j) in &self.columns.judgments {
            let kind = |pair: &[usize; 2]| self.columns.constitution_of(pair[0]);
            let Some(first) = j.pairs.first().map(kind) else { continue };
            if let Some(at) = j.pairs.iter().position(|p| kind(p) != first) {
                return Err(self
                    .refuse(
                        Kind::Invalid,
                        &format!("judge.{name}.pair"),
                        format!("pair {at} is about rows of another constitution than pair 0"),
                    )
                    .expected("one judge's pairs among the rows of one constitution")
                    .into());
            }
        }
        Ok(())
    }
}
