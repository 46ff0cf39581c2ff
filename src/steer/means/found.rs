//! Results for a difference in means, layer by layer, with comparisons to the directions of a run.

use serde::Serialize;

use super::{Accuracy, Means, Pivot, Raw, Sets, accuracy};
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::dominant::Largest;
use crate::theory::{Estimate, Flag, geometry};
use crate::units::Layer;

/// Comparison with one direction of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Against {
    /// `v_star.VALUE`, `v_c.CONSTITUTION` or `w`.
    pub direction: String,
    /// The `direction_cos` estimate.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// Standard deviation of this cosine for random directions.
    pub random_sd: Option<f64>,
    /// The Euclidean cosine with the exported direction.
    pub raw: Option<Raw>,
    /// `direction_cos` without the coordinate that dominates the difference in means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_coordinate: Option<Estimate>,
}

impl Against {
    /// Compares with one direction.
    pub fn new(
        means: &Means,
        sets: &Sets<'_>,
        name: &str,
        bench: &Bench,
        label: &Label,
        v: Option<&[f64]>,
    ) -> Self {
        let mut estimate = means.cos(sets, bench, label);
        estimate.control = bench.control;
        let without_coordinate = means.coordinate().filter(Largest::dominates).map(|largest| {
            estimate = estimate.clone().flag(Flag::DominantCoordinate);
            let mut rest = means.without(largest.index).cos(sets, bench, label);
            (rest.control, rest.layer) = (bench.control, estimate.layer);
            rest
        });
        Self {
            without_coordinate,
            direction: name.to_owned(),
            estimate,
            random_sd: geometry::null(bench, label, 0).estimate,
            raw: v.and_then(|v| means.raw(sets, v)),
        }
    }
}

/// Results without the dominant coordinate of a direction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WithoutCoordinate {
    /// Length ‖d‖.
    pub norm: f64,
    /// The `direction_auc` estimate.
    pub auc: Estimate,
}

/// Results at one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerMeans {
    /// Index of the layer.
    pub layer: Layer,
    /// Length ‖d‖.
    pub norm: f64,
    /// ⟨d₁, d₂⟩ of the halves: an estimate of ‖d‖² without noise.
    pub square: Option<f64>,
    /// √(mean ‖h − mean of its set‖²).
    pub spread: f64,
    /// The `direction_auc` estimate.
    pub auc: Estimate,
    /// Accuracy of a logistic probe on the prompts of the half that it was not fitted to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logistic: Option<Accuracy>,
    /// The coordinate with the largest share of ‖d‖².
    pub coordinate: Option<Largest>,
    /// Results without this coordinate, if it dominates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_coordinate: Option<WithoutCoordinate>,
    /// The prompt whose removal turns the direction most.
    pub pivot: Option<Pivot>,
    /// Id of that prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pivot_id: Option<String>,
    /// Comparisons with the directions of a run.
    pub against: Vec<Against>,
}

impl LayerMeans {
    /// Computes the results at one layer; `against` are the comparisons with a run's directions, `ids` names a prompt
    /// by set and index.
    pub fn new(
        layer: Layer,
        means: &Means,
        sets: &Sets<'_>,
        spread: f64,
        against: Vec<Against>,
        ids: impl Fn(&Pivot) -> String,
    ) -> Self {
        let at_layer = |mut e: Estimate| {
            e.layer = Some(layer);
            e
        };
        let coordinate = means.coordinate();
        let pivot = means.pivot(sets);
        let mut auc = at_layer(means.auc(sets));
        let without_coordinate = coordinate.filter(Largest::dominates).map(|largest| {
            auc = auc.clone().flag(Flag::DominantCoordinate);
            let rest = means.without(largest.index);
            WithoutCoordinate { norm: rest.norm(), auc: at_layer(rest.auc(sets)) }
        });
        Self {
            layer,
            norm: means.norm(),
            square: means.square(),
            spread,
            auc,
            logistic: accuracy(sets),
            coordinate,
            without_coordinate,
            pivot,
            pivot_id: pivot.as_ref().map(ids),
            against,
        }
    }
}

/// A difference in means at every layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DirectionReport {
    /// Format name, `vstar-direction/1`.
    pub format: &'static str,
    /// Name of the model.
    pub model: String,
    /// Name of the direction in directions.safetensors.
    pub name: String,
    /// Token of a prompt that is read: `last`, `mean`, `-k`.
    pub position: String,
    /// Numbers of prompts in the first and the second set.
    pub prompts: [usize; 2],
    /// The run that it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// Results by layer.
    pub layers: Vec<LayerMeans>,
    /// Warnings for the reader.
    pub warnings: Vec<String>,
}
