//! The judge's states at its answers, read from the files next to the observations (written by `run::verdicts`, which
//! documents their contents).

use std::collections::HashMap;
use std::path::Path;

use ndarray::Array2;
use serde_json::Value;

use crate::config::JudgeMode;
use crate::error::{Diagnostic, Kind, Result};
use crate::observations::{Observations, RowSelection};
use crate::theory::{Mode, VerdictSource, VerdictText};
use crate::units::Layer;

/// Name of the file for a mode; `None` for a mode that asks no questions.
pub fn file(mode: JudgeMode) -> Option<&'static str> {
    match mode {
        JudgeMode::Pairwise => Some("verdicts.safetensors"),
        JudgeMode::Pointwise => Some("verdicts-pointwise.safetensors"),
        JudgeMode::Implicit => None,
    }
}

/// Verdict states of the responses of a selection, read from their files on demand.
#[derive(Debug, Default)]
pub struct Verdicts {
    files: Vec<Observations>,
    layers: Vec<Layer>,
    texts: Vec<VerdictText>,
    /// File, and row of each response, for each text.
    at: Vec<(usize, Vec<Option<usize>>)>,
}

impl Verdicts {
    /// Opens the matching files next to some observations. A file of another model, or with layers other than the
    /// first file's, is ignored with a warning.
    ///
    /// # Errors
    /// Errors of the files.
    pub fn beside(
        observations: &Observations,
        path: &Path,
        selection: &RowSelection,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let mut out = Self::default();
        let Some(response) = &observations.columns().response else { return Ok(out) };
        for (mode, kind) in [(JudgeMode::Pairwise, Mode::Pairwise), (JudgeMode::Pointwise, Mode::Pointwise)] {
            let Some(name) = file(mode) else { continue };
            let path = path.with_file_name(name);
            if !path.is_file() {
                continue;
            }
            let verdicts = Observations::open(&path)?;
            match out.add(&verdicts, kind, observations, &selection.pick(response)) {
                Ok(()) => out.files.push(verdicts),
                Err(why) => warnings.push(format!("{name} is not used: {why}")),
            }
        }
        Ok(out)
    }

    fn add(
        &mut self,
        verdicts: &Observations,
        mode: Mode,
        observations: &Observations,
        responses: &[i32],
    ) -> std::result::Result<(), String> {
        let model = |o: &Observations| -> Value {
            let recipe = o.meta().extra.get("recipe").and_then(|text| serde_json::from_str(text).ok());
            recipe.map_or(Value::Null, |r: Value| r["model"].clone())
        };
        let (ours, theirs) = (model(observations), model(verdicts));
        if ours != theirs {
            return Err("it is of another model".into());
        }
        if !self.layers.is_empty() && self.layers != verdicts.layers() {
            return Err("it holds other layers than the states of forced choices".into());
        }
        let columns = verdicts.columns();
        let (Some(response), Some(constitution)) = (&columns.response, &columns.constitution) else {
            return Err("it names neither responses nor constitutions".into());
        };
        self.layers = verdicts.layers().to_vec();
        for (c, name) in verdicts.meta().constitutions.iter().enumerate() {
            let own = (0..verdicts.rows()).filter(|&row| constitution[row] == c);
            let row_of: HashMap<i32, usize> = own.map(|row| (response[row], row)).collect();
            let rows: Vec<Option<usize>> = responses.iter().map(|r| row_of.get(r).copied()).collect();
            let lens = |layer: &Layer| -> Vec<f64> {
                let column = columns.scores.get(&format!("lens.{layer}"));
                let at = |row: &Option<usize>| row.zip(column).map_or(f64::NAN, |(row, column)| column[row]);
                rows.iter().map(at).collect()
            };
            let present = rows.iter().map(Option::is_some).collect();
            let lens = self.layers.iter().map(lens).collect();
            self.texts.push(VerdictText { name: name.clone(), mode, present, lens });
            self.at.push((self.files.len(), rows));
        }
        Ok(())
    }
}

impl VerdictSource for Verdicts {
    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn texts(&self) -> &[VerdictText] {
        &self.texts
    }

    fn resid(&self, text: usize, layer: Layer) -> Result<Array2<f32>> {
        let Some((file, rows)) = self.at.get(text) else {
            return Err(Diagnostic::new(Kind::Missing, format!("there is no text {text}")).into());
        };
        self.files[*file].sparse_rows(layer, rows)
    }
}
