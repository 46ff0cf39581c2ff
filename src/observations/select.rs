//! Selects the rows of one constitution, and matches data of the same responses under another one.

use std::collections::HashMap;

use ndarray::Array2;

use super::Observations;
use super::columns::Judgments;
use super::meta::BARE;
use crate::error::{Diagnostic, Kind, Result};
use crate::units::Layer;

/// The rows read under one constitution, in the order of the file. Positions are indices in the selection, rows are
/// indices in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSelection {
    constitution: usize,
    name: String,
    rows: Vec<usize>,
    position: HashMap<usize, usize>,
}

impl RowSelection {
    /// The constitution's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Selected rows of the file, in order.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Number of selected rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Always false: a selection without rows is refused.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Position of a row of the file in the selection.
    pub fn position(&self, row: usize) -> Option<usize> {
        self.position.get(&row).copied()
    }

    /// A column of the file, restricted to the selection.
    pub fn pick<T: Copy>(&self, column: &[T]) -> Vec<T> {
        self.rows.iter().map(|&row| column[row]).collect()
    }
}

/// Data about the selected responses.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected<T> {
    /// The data, with rows given as positions in the selection.
    pub data: T,
    /// The constitution whose rows the data belong to in the file, if that is not the selected one: the rows were
    /// matched response by response.
    pub mapped_from: Option<String>,
}

impl Observations {
    /// Name of the default reference, whose rows give h, S and log P: `none` if the file has rows of it, else the first
    /// constitution that has rows.
    pub fn default_reference(&self) -> &str {
        let names = &self.meta().constitutions;
        let has_rows = |at: &usize| (0..self.rows()).any(|row| self.columns().constitution_of(row) == *at);
        let bare = names.iter().position(|name| name == BARE).filter(has_rows);
        // Every row has a constitution, and there is at least one row.
        let at = bare.or_else(|| (0..names.len()).find(has_rows)).unwrap_or(0);
        &names[at]
    }

    /// The rows read under a constitution.
    ///
    /// # Errors
    /// [`Kind::Missing`] if the file does not have it, or has no rows of it.
    pub fn select_constitution(&self, name: &str) -> Result<RowSelection> {
        let names = &self.meta().constitutions;
        let diagnostic = |what: String| {
            Diagnostic::new(Kind::Missing, what)
                .at(self.place().clone().id("constitution"))
                .expected(format!("one of {}", names.join(", ")))
        };
        let Some(constitution) = names.iter().position(|n| n == name) else {
            return Err(diagnostic(format!("no rows were read under `{name}`")).into());
        };
        let rows: Vec<usize> =
            (0..self.rows()).filter(|&row| self.columns().constitution_of(row) == constitution).collect();
        if rows.is_empty() {
            return Err(diagnostic(format!("`{name}` is listed, but no row was read under it")).into());
        }
        let position = rows.iter().enumerate().map(|(position, &row)| (row, position)).collect();
        Ok(RowSelection { constitution, name: name.to_owned(), rows, position })
    }

    /// The residual stream of the selected rows at one layer, [rows, d].
    ///
    /// # Errors
    /// As [`Observations::layer`].
    pub fn selected_layer(&self, layer: Layer, selection: &RowSelection) -> Result<Array2<f32>> {
        self.layer_rows(layer, selection.rows())
    }

    /// A value's labels of the selected responses. If the selected rows have none at all, those of the first
    /// constitution with labels are used, response by response.
    ///
    /// # Errors
    /// [`Kind::Missing`] for a value that the file does not have, or if rows cannot be matched.
    pub fn selected_value(&self, name: &str, selection: &RowSelection) -> Result<Selected<Vec<f64>>> {
        let column = self
            .columns()
            .values
            .get(name)
            .ok_or_else(|| self.missing("value", name, self.columns().values.keys()))?;
        self.selected_column(column, &format!("value.{name}"), selection)
    }

    /// Scores of the selected responses under a constitution, matched as in
    /// [`Observations::selected_value`].
    ///
    /// # Errors
    /// As [`Observations::selected_value`].
    pub fn selected_score(&self, name: &str, selection: &RowSelection) -> Result<Selected<Vec<f64>>> {
        let column = self
            .columns()
            .scores
            .get(name)
            .ok_or_else(|| self.missing("score", name, self.columns().scores.keys()))?;
        self.selected_column(column, &format!("score.{name}"), selection)
    }

    /// Preferences (better, worse) among the selected responses, as positions in the selection. Pairs among the
    /// selected rows are used; if there are none, those of the first constitution with pairs, response by response. (A
    /// capture repeats a data set's preferences for every constitution: they count once.)
    ///
    /// # Errors
    /// As [`Observations::selected_value`].
    pub fn selected_preferences(
        &self,
        name: &str,
        selection: &RowSelection,
    ) -> Result<Selected<Vec<[usize; 2]>>> {
        let pairs = self
            .columns()
            .preferences
            .get(name)
            .ok_or_else(|| self.missing("pair", name, self.columns().preferences.keys()))?;
        self.selected_pairs(pairs, &format!("pair.{name}"), selection)
    }

    /// Judgments of the selected responses, with rows given as positions in the selection. A judge refers to the rows
    /// of one constitution; if that is not the selected one, its pairs are matched response by response.
    ///
    /// # Errors
    /// As [`Observations::selected_value`].
    pub fn selected_judgments(&self, name: &str, selection: &RowSelection) -> Result<Selected<Judgments>> {
        let judgments = self
            .columns()
            .judgments
            .get(name)
            .ok_or_else(|| self.missing("judge", name, self.columns().judgments.keys()))?;
        let Selected { data: pairs, mapped_from } =
            self.selected_pairs(&judgments.pairs, &format!("judge.{name}.pair"), selection)?;
        Ok(Selected { data: Judgments { pairs, ..judgments.clone() }, mapped_from })
    }

    /// For each response of a selection, its row under another constitution; `None` if it was not read under that
    /// constitution or the row cannot be identified.
    ///
    /// # Errors
    /// As [`Observations::select_constitution`] for the other constitution; rows whose labels show that they are in a
    /// different order.
    pub fn paired_rows(&self, name: &str, selection: &RowSelection) -> Result<Vec<Option<usize>>> {
        let other = self.select_constitution(name)?;
        let map = self.counterparts(other.constitution, selection, "constitution")?;
        let mut out = vec![None; selection.len()];
        for (row, position) in map.positions {
            out[position] = Some(row);
        }
        Ok(out)
    }

    fn missing<'a>(&self, kind: &str, name: &str, there: impl Iterator<Item = &'a String>) -> Diagnostic {
        let there: Vec<&str> = there.map(String::as_str).collect();
        Diagnostic::new(Kind::Missing, format!("the file has no `{kind}.{name}`"))
            .at(self.place().clone().id(format!("{kind}.{name}")))
            .expected(if there.is_empty() {
                format!("no `{kind}.*` at all is stored")
            } else {
                format!("one of {}", there.join(", "))
            })
    }

    fn selected_column(
        &self,
        column: &[f64],
        tensor: &str,
        selection: &RowSelection,
    ) -> Result<Selected<Vec<f64>>> {
        let direct = selection.pick(column);
        let elsewhere = (0..self.rows()).find(|&row| !column[row].is_nan());
        let Some(row) = elsewhere.filter(|_| direct.iter().all(|v| v.is_nan())) else {
            return Ok(Selected { data: direct, mapped_from: None });
        };
        let from = self.columns().constitution_of(row);
        let map = self.counterparts(from, selection, tensor)?;
        let mut data = vec![f64::NAN; selection.len()];
        for (row, &value) in column.iter().enumerate() {
            if self.columns().constitution_of(row) == from && !value.is_nan() {
                data[map.find(row)?] = value;
            }
        }
        Ok(Selected { data, mapped_from: Some(self.meta().constitutions[from].clone()) })
    }

    fn selected_pairs(
        &self,
        pairs: &[[usize; 2]],
        tensor: &str,
        selection: &RowSelection,
    ) -> Result<Selected<Vec<[usize; 2]>>> {
        let home = |pair: &[usize; 2]| self.columns().constitution_of(pair[0]);
        let direct: Vec<_> = pairs
            .iter()
            .filter_map(|&[a, b]| Some([selection.position(a)?, selection.position(b)?]))
            .collect();
        let Some(from) = pairs.first().map(home).filter(|_| direct.is_empty()) else {
            return Ok(Selected { data: direct, mapped_from: None });
        };
        let map = self.counterparts(from, selection, tensor)?;
        let mapped =
            pairs.iter().filter(|pair| home(pair) == from).map(|&[a, b]| Ok([map.find(a)?, map.find(b)?]));
        let data = mapped.collect::<Result<_>>()?;
        Ok(Selected { data, mapped_from: Some(self.meta().constitutions[from].clone()) })
    }

    /// For the rows of constitution `from`, the position of the same response in the selection: by the column
    /// `response` if there is one, else by prompt and order within the prompt, if both constitutions have equally many
    /// rows of it and the labels of the matched rows agree.
    fn counterparts(&self, from: usize, selection: &RowSelection, tensor: &str) -> Result<Counterparts<'_>> {
        let theirs = (0..self.rows()).filter(|&row| self.columns().constitution_of(row) == from);
        let mut positions = HashMap::new();
        let mut uneven = HashMap::new();
        if let Some(response) = &self.columns().response {
            let ours: HashMap<i32, usize> =
                selection.rows.iter().enumerate().map(|(position, &row)| (response[row], position)).collect();
            positions.extend(theirs.filter_map(|row| Some((row, *ours.get(&response[row])?))));
        } else {
            let prompt = self.require_prompt()?;
            let mut groups: HashMap<i32, [Vec<usize>; 2]> = HashMap::new();
            for &row in &selection.rows {
                groups.entry(prompt[row]).or_default()[0].push(row);
            }
            for row in theirs {
                groups.entry(prompt[row]).or_default()[1].push(row);
            }
            for [ours, theirs] in groups.values() {
                for (at, &row) in theirs.iter().enumerate() {
                    if ours.len() == theirs.len() {
                        self.same_labels(ours[at], row, tensor)?;
                        positions.insert(row, selection.position[&ours[at]]);
                    } else {
                        uneven.insert(row, (ours.len(), theirs.len()));
                    }
                }
            }
        }
        let (from, to) = (self.meta().constitutions[from].clone(), selection.name.clone());
        Ok(Counterparts { observations: self, tensor: tensor.to_owned(), positions, uneven, from, to })
    }

    /// Checks that two rows of one response have the same labels, if both are labelled.
    fn same_labels(&self, a: usize, b: usize, tensor: &str) -> Result<()> {
        for (name, column) in &self.columns().values {
            let differ = !column[a].is_nan() && !column[b].is_nan() && column[a] != column[b];
            if differ {
                return Err(Diagnostic::new(Kind::Invalid, "responses read under two constitutions do not stand in the same order")
                    .at(self.place().clone().id(tensor))
                    .expected(format!("the same label `value.{name}` for rows {a} and {b}, which stand at the same place in their prompt"))
                    .found(format!("{} and {}", column[a], column[b]))
                    .remedy("store a column `response`, i32 [N], equal for the rows of one response")
                    .into());
            }
        }
        Ok(())
    }
}

/// Rows of another constitution and their positions in a selection.
struct Counterparts<'a> {
    observations: &'a Observations,
    tensor: String,
    positions: HashMap<usize, usize>,
    uneven: HashMap<usize, (usize, usize)>,
    from: String,
    to: String,
}

impl Counterparts<'_> {
    fn find(&self, row: usize) -> Result<usize> {
        if let Some(&position) = self.positions.get(&row) {
            return Ok(position);
        }
        let what = format!("row {row} under `{}` has no counterpart under `{}`", self.from, self.to);
        let diagnostic =
            Diagnostic::new(Kind::Invalid, what).at(self.observations.place().clone().id(&self.tensor));
        let diagnostic = match self.uneven.get(&row) {
            Some((ours, theirs)) => diagnostic.found(format!(
                "its prompt has {theirs} rows there and {ours} here: which is which cannot be told"
            )),
            None => diagnostic,
        };
        Err(diagnostic.remedy("choose the constitution these rows belong to as the reference, or store a column `response`, i32 [N]").into())
    }
}
