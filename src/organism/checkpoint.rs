//! The state of a training on disk, from which it resumes exactly.

use std::collections::HashMap;
use std::path::Path;

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use super::curriculum::Curriculum;
use super::folder::pack;
use super::net::Shape;
use super::optimiser::AdamW;
use super::train::{Recipe, State};
use crate::artifact;
use crate::error::{Diagnostic, Error, Kind, Place, Result};

/// File name of the state in the training's folder.
pub const STATE: &str = "training.safetensors";

/// The parts of the state that are not tensors.
#[derive(Serialize, Deserialize)]
struct Header {
    recipe: Recipe,
    curriculum: Curriculum,
    step: usize,
    optimiser_steps: u32,
    words: u64,
    seconds: f64,
    curve: Vec<super::train::Point>,
}

/// Writes the state.
///
/// # Errors
/// Errors of the file system.
pub fn write(folder: &Path, state: &State) -> Result<()> {
    let header = Header {
        recipe: state.recipe.clone(),
        curriculum: state.curriculum.clone(),
        step: state.step,
        optimiser_steps: state.optimiser.steps,
        words: state.words,
        seconds: state.seconds,
        curve: state.curve.clone(),
    };
    let header = serde_json::to_string(&header).expect("plain JSON");
    let bytes = |x: &[f32]| x.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let parts = [
        ("mean", bytes(&state.optimiser.mean)),
        ("parameters", bytes(&state.parameters)),
        ("square", bytes(&state.optimiser.square)),
    ];
    let tensors = parts.iter().map(|(name, b)| (*name, vec![b.len() / 4], b.as_slice()));
    let file = pack(tensors, Some(HashMap::from([("state".to_owned(), header)])))?;
    artifact::write_bytes(&folder.join(STATE), &file)
}

/// Bytes and header of the file, if it exists.
fn open(path: &Path) -> Result<Option<(Vec<u8>, Header)>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| malformed(path, e.to_string()))?;
    let header = metadata.metadata().as_ref().and_then(|m| m.get("state"));
    let header = header.ok_or_else(|| malformed(path, "no `state` in its header".into()))?;
    let header = serde_json::from_str(header).map_err(|e| malformed(path, e.to_string()))?;
    Ok(Some((bytes, header)))
}

fn malformed(path: &Path, found: String) -> Diagnostic {
    Diagnostic::new(Kind::Malformed, "the state of the training cannot be read")
        .at(Place::file(path))
        .expected("a file that `vstar organism train` wrote")
        .found(found)
        .remedy("remove it, and the training begins anew")
}

/// The recipe of the training in a folder, if there is one.
///
/// # Errors
/// `Malformed` for an invalid state file.
pub fn recipe(folder: &Path) -> Result<Option<Recipe>> {
    Ok(open(&folder.join(STATE))?.map(|(_, header)| header.recipe))
}

/// Reads the state, if it exists.
///
/// # Errors
/// `Malformed` for an invalid state file; `RunConflict` for a state with another recipe.
pub fn read(folder: &Path, recipe: &Recipe) -> Result<Option<State>> {
    let path = folder.join(STATE);
    let Some((bytes, header)) = open(&path)? else { return Ok(None) };
    if header.recipe != *recipe {
        return Err(Diagnostic::new(Kind::RunConflict, "the folder holds another training")
            .at(Place::file(&path))
            .expected(recipe.to_string())
            .found(header.recipe.to_string())
            .remedy("choose another --out, or give the same options to go on")
            .into());
    }
    let shape: Shape = recipe.shape()?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| malformed(&path, e.to_string()))?;
    let floats = |name: &str| -> Result<Vec<f32>> {
        let view = tensors.tensor(name).map_err(|e| malformed(&path, e.to_string()))?;
        let cells =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")));
        let cells: Vec<f32> = cells.collect();
        if cells.len() != shape.parameters() {
            return Err(malformed(&path, format!("{} numbers in `{name}`", cells.len())).into());
        }
        Ok(cells)
    };
    let mut optimiser = AdamW::new(&shape);
    (optimiser.mean, optimiser.square) = (floats("mean")?, floats("square")?);
    optimiser.steps = header.optimiser_steps;
    Ok(Some(State {
        shape,
        recipe: header.recipe,
        parameters: floats("parameters")?,
        optimiser,
        curriculum: header.curriculum,
        step: header.step,
        words: header.words,
        seconds: header.seconds,
        curve: header.curve,
    }))
}
