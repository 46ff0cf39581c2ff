//! Simulated observations with known population figures.
//!
//! Within a prompt the residual stream is h = centre + x + t·u with x ~ (0, Σ) and t the centred log(tokens); every
//! label is linear in x plus noise that labels may share: S = ⟨x, v*⟩ + …, R_c = ⟨x, v_c⟩ + …, log P = ⟨x, w⟩ + …. All
//! population figures therefore have a closed form ([`Truth`]), and an estimator's bias, error and coverage are
//! measured over fresh seeds ([`Table`]). A design and a seed give the same data set on every machine and for any
//! number of threads.

pub mod coverage;
mod design;
mod draw;
mod regime;
mod table;
mod texts;
mod truth;
mod world;

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::{Array1, Array2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, TensorView};

pub use design::{
    Binary, Common, Design, Judge, Length, Levels, Loading, LogProb, Massive, Objective, Remainder,
};
pub use regime::Regime;
pub use table::{Figure, Line, Table};
pub use texts::{CONSTITUTION, Effect, Texts};
pub use truth::{Population, Truth};

use crate::artifact;
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::observations::Observations;
use world::World;

/// A data set and its population figures.
#[derive(Debug)]
pub struct Simulated {
    /// The rows, as produced by a capture and a judge.
    pub observations: Observations,
    /// Population figures.
    pub truth: Truth,
    /// Planted directions in the raw coordinates of `resid`, [layers, d] each: `v_star.VALUE`, `v_c.CONSTITUTION` and
    /// `w`. They predict from x; the effect of length on h is separate.
    pub directions: BTreeMap<String, Array2<f64>>,
}

/// Draws a data set. The population (directions) and the rows use two streams of one seed.
///
/// # Errors
/// [`Kind::Invalid`] for an invalid design, naming the key.
pub fn simulate(design: &Design, seed: u64) -> Result<Simulated> {
    simulate_rows(design, seed, seed)
}

/// As [`simulate`], with a separate seed for the rows: many data sets of one population.
///
/// # Errors
/// As [`simulate`].
pub fn simulate_rows(design: &Design, population: u64, rows: u64) -> Result<Simulated> {
    design.check()?;
    let mut world_rng = ChaCha8Rng::seed_from_u64(population);
    let world = World::draw(design, &mut world_rng);
    let mut rng = ChaCha8Rng::seed_from_u64(rows);
    // Streams share their position: with one seed for both, the rows start where the population ended.
    rng.set_word_pos(world_rng.get_word_pos());
    rng.set_stream(1);
    let bare = draw::draw(design, &world, &mut rng)?;
    rng.set_stream(2);
    let observations = texts::read_under(design, &world, bare, &mut rng)?;
    Ok(Simulated {
        observations,
        truth: Truth::of(design, &world, population),
        directions: directions(design, &world),
    })
}

fn directions(design: &Design, world: &World) -> BTreeMap<String, Array2<f64>> {
    let layered = |linear: &Array1<f64>| {
        let shares = Array2::from_shape_fn((design.layers.len(), 1), |(l, _)| design.layers[l]);
        shares.dot(&world.frame.raw(linear).insert_axis(Axis(0)))
    };
    let mut all = BTreeMap::from([
        ("v_star.S".to_owned(), layered(&world.value.linear)),
        ("w".to_owned(), layered(&world.logprob.linear)),
    ]);
    all.extend(world.objectives.iter().map(|law| (format!("v_star.{}", law.name), layered(&law.linear))));
    let judges = design.judges.iter().zip(&world.judges);
    all.extend(judges.map(|(judge, law)| (format!("v_c.{}", judge.name), layered(&law.linear))));
    all
}

impl Simulated {
    /// Writes `observations.safetensors`, `truth.json` and `truth.safetensors` (the directions, f32).
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn write(&self, folder: &Path) -> Result<()> {
        self.observations.write(&folder.join("observations.safetensors"))?;
        let path = folder.join("truth.json");
        let broken = |e: String| Diagnostic::new(Kind::Malformed, e).at(Place::file(folder));
        let mut text = serde_json::to_string_pretty(&self.truth).map_err(|e| broken(e.to_string()))?;
        text.push('\n');
        artifact::write_bytes(&path, text.as_bytes())?;
        let bytes: Vec<(&str, &Array2<f64>, Vec<u8>)> = self
            .directions
            .iter()
            .map(|(n, v)| (n.as_str(), v, v.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect()))
            .collect();
        let views = bytes.iter().map(|(name, v, bytes)| {
            TensorView::new(Dtype::F32, v.shape().to_vec(), bytes).map(|view| (*name, view))
        });
        let views = views.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| broken(e.to_string()))?;
        let file = safetensors::serialize(views, None).map_err(|e| broken(e.to_string()))?;
        artifact::write_bytes(&folder.join("truth.safetensors"), &file)
    }
}
