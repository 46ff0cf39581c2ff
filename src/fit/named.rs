//! A direction specified by the user: `FILE:NAME[@LAYER]`, where FILE is the folder of a run or its
//! directions.safetensors.

use std::path::{Path, PathBuf};

use crate::error::{Diagnostic, Kind, Place, Result};
use crate::fit::folder::{DIRECTIONS, read_directions, read_report};
use crate::model::Identity;
use crate::report::export::Directions;
use crate::units::Layer;

/// A direction at every layer in its file.
#[derive(Debug, Clone)]
pub struct Named {
    /// The specification given by the user.
    pub spec: String,
    /// Its name in the file.
    pub name: String,
    /// The layer after `@`; its vector is used at every layer.
    pub pinned: Option<Layer>,
    /// The layer reported by the run next to it.
    pub reported: Option<Layer>,
    directions: Directions,
    file: PathBuf,
}

impl Named {
    /// Reads the direction.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a malformed specification; `Missing` for a file, direction or layer that does not exist;
    /// errors of reading the file.
    pub fn read(spec: &str) -> Result<Self> {
        let Some((file, name)) = spec.rsplit_once(':').filter(|(f, n)| !f.is_empty() && !n.is_empty()) else {
            return Err(Diagnostic::new(Kind::Invalid, format!("a direction `{spec}`"))
                .expected("FILE:NAME or FILE:NAME@LAYER, such as runs/a:v_star.harmless@8")
                .into());
        };
        let path = Path::new(file);
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
        let (directions, file) = if path.is_dir() {
            (read_directions(path)?, path.join(DIRECTIONS))
        } else {
            let bytes = crate::source::read(path, crate::source::LARGE)?;
            (crate::report::export::from_safetensors(&bytes, &Place::file(path))?, path.to_owned())
        };
        let (name, pinned) = match name.rsplit_once('@') {
            Some((n, layer)) if !directions.arrays.contains_key(name) => match layer.parse() {
                Ok(layer) => (n, Some(Layer(layer))),
                Err(_) => (name, None),
            },
            _ => (name, None),
        };
        let directions = directions.only(&[name.to_owned()])?;
        let reported = read_report(folder).ok().and_then(|r| r.estimates.iter().find_map(|e| e.layer));
        let named = Self { spec: spec.to_owned(), name: name.to_owned(), pinned, reported, directions, file };
        if let Some(layer) = pinned {
            named.at(layer)?;
        }
        Ok(named)
    }

    /// Checks that the direction comes from this model. A file that does not name its model is accepted.
    ///
    /// # Errors
    /// [`Kind::RunConflict`] with both models.
    pub fn check_model(&self, identity: &Identity) -> Result<()> {
        let own = &self.directions.model_sha256;
        if own.is_empty() || *own == identity.fingerprint() {
            return Ok(());
        }
        Err(Diagnostic::new(Kind::RunConflict, "the direction was fitted in another model")
            .at(Place::file(&self.file).id(&self.name))
            .expected(format!("a direction of `{}`, of the same config and weights", identity.name))
            .found(format!("one of `{}`", self.directions.model))
            .remedy("fit one in this model; --any-model carries it over on purpose")
            .into())
    }

    /// Length d of the vectors.
    pub fn width(&self) -> usize {
        self.directions.width
    }

    /// The vector for a layer: the layer's own, or the pinned one.
    ///
    /// # Errors
    /// `Missing` for a layer that the file does not hold; `NotEstimable` for a vector of zeros.
    pub fn at(&self, layer: Layer) -> Result<Vec<f64>> {
        let layer = self.pinned.unwrap_or(layer);
        let array = &self.directions.arrays[&self.name];
        let place = Place::file(&self.file).id(&self.name);
        let Some(v) = self.directions.at(array, layer) else {
            let stored: Vec<String> = self.directions.layers.iter().map(ToString::to_string).collect();
            return Err(Diagnostic::new(
                Kind::Missing,
                format!("the file holds no direction at layer {layer}"),
            )
            .at(place)
            .expected(format!("one of {}", stored.join(", ")))
            .into());
        };
        if v.iter().all(|v| *v == 0.0) {
            return Err(Diagnostic::new(Kind::NotEstimable, format!("the direction at layer {layer} is 0"))
                .at(place)
                .expected("a direction that could be fitted")
                .remedy("choose another layer")
                .into());
        }
        Ok(v.iter().map(|&v| f64::from(v)).collect())
    }
}
