//! Renders a difference in means: how well it separates held-out prompts, and its angles with a run's directions.

use super::{DirectionReport, LayerMeans, Pivot};
use crate::document::Document;
use crate::document::table::Table;
use crate::theory::base::dominant::percent;
use crate::theory::reading::quote::{NOTHING, headline, number, optional, with_interval};
use crate::theory::reading::together::interval_for_all;

impl DirectionReport {
    /// Renders the page.
    pub fn page(&self) -> Document {
        let rows = self.layers.iter().map(|l| {
            vec![
                l.layer.to_string(),
                headline(Some(&l.auc)),
                l.logistic.map_or_else(
                    || NOTHING.to_owned(),
                    |a| {
                        format!(
                            "{:.3} [{:.3}, {:.3}] ({:.2}, {:.2})",
                            a.balanced, a.lo, a.hi, a.plus, a.minus
                        )
                    },
                ),
                number(l.norm, None),
                optional(l.square.map(|s| s.signum() * s.abs().sqrt()), None),
                number(l.spread, None),
                l.coordinate
                    .map_or_else(|| NOTHING.to_owned(), |c| format!("{} ({})", c.index, percent(c.share))),
            ]
        });
        let head = [
            "layer",
            "held-out AUC [95 %]",
            "logistic probe, held-out accuracy [95 %] (each set)",
            "length",
            "length less noise",
            "spread within sets",
            "largest coordinate (share of length²)",
        ];
        let mut tables = vec![("By layer".to_owned(), Table::of(head, 1, rows.collect()))];
        let rows = self.layers.iter().flat_map(|l| {
            l.against.iter().map(|a| {
                vec![
                    a.direction.clone(),
                    l.layer.to_string(),
                    headline(Some(&a.estimate)),
                    optional(a.random_sd, None),
                    a.raw.map_or_else(
                        || NOTHING.to_owned(),
                        |r| format!("{:.3} [{:.3}, {:.3}]", r.cos, r.lo, r.hi).replace('-', "−"),
                    ),
                    optional(a.raw.map(|r| r.random_sd), None),
                ]
            })
        });
        let rows: Vec<Vec<String>> = rows.collect();
        if !rows.is_empty() {
            let head = ["direction", "layer", "cos [95 %]", "random sd", "raw cos [95 %]", "random sd"];
            tables.push(("Against the run's directions".to_owned(), Table::of(head, 2, rows)));
        }
        let mut notes = vec![
            "held-out AUC: each half of the prompts under the direction of the other; 0.5 by chance".to_owned(),
            "logistic probe: fitted to one half on standardised coordinates, ‖β‖²/2 as penalty, and counted on the other; mean of \
             the two sets' shares, 0.5 by chance"
                .to_owned(),
            "cos: in the metric of the run's within-prompt covariance, without the noise of either direction; raw cos: \
             Euclidean, with the exported direction, which noise lowers"
                .to_owned(),
        ];
        notes.extend(self.layers.iter().flat_map(dominated));
        notes.extend(self.warnings.iter().cloned());
        Document::of_finding(
            format!("{}: {} (position {})", self.model, self.name, self.position),
            self.finding(),
            tables,
            notes,
        )
    }

    fn finding(&self) -> String {
        let best = self
            .layers
            .iter()
            .filter(|l| l.auc.estimate.is_some())
            .max_by(|a, b| a.auc.estimate.unwrap_or(0.0).total_cmp(&b.auc.estimate.unwrap_or(0.0)));
        let [plus, minus] = self.prompts;
        let Some(best) = best else {
            return format!(
                "{plus} and {minus} prompts are too few to tell whether the direction separates new ones."
            );
        };
        // The best of several layers exceeds chance by selection alone.
        let verdict = match interval_for_all(&best.auc, self.layers.len()) {
            Some((lo, _)) if lo > 0.5 => "tells the two sets apart on prompts it was not made from",
            _ => "does not demonstrably tell the two sets apart on new prompts",
        };
        let mut text = format!(
            "The direction between {plus} and {minus} prompts {verdict}: AUC {} at layer {}, the best of {} layers.",
            with_interval(&best.auc),
            best.layer,
            self.layers.len()
        );
        if let (Some(c), Some(rest)) = (best.coordinate, &best.without_coordinate) {
            text += &format!(
                " But coordinate {} alone holds {} of its squared length: steering along it moves mostly that \
                 coordinate. Without it the AUC is {}.",
                c.index,
                percent(c.share),
                with_interval(&rest.auc)
            );
        }
        for a in &best.against {
            let (Some(lo), Some(hi)) = (a.estimate.lo.filter(|_| a.estimate.reportable), a.estimate.hi)
            else {
                continue;
            };
            if a.direction.starts_with("v_star.") {
                let cos = a.estimate.estimate.unwrap_or(0.0).abs();
                let what = match a.random_sd.filter(|sd| sd.is_finite()) {
                    _ if lo <= 0.0 && hi >= 0.0 => "which cannot be told from 0",
                    None => "which is not 0; what unrelated directions have is not known",
                    Some(sd) if cos <= 1.96 * sd => "ordinary for unrelated directions in this geometry",
                    Some(_) => "more than unrelated directions have",
                };
                text +=
                    &format!(" Its cosine with {} is {}, {what}.", a.direction, with_interval(&a.estimate));
            }
        }
        text
    }
}

/// Notes on a coordinate or prompt that dominates the direction at a layer.
fn dominated(l: &LayerMeans) -> Vec<String> {
    let mut out = Vec::new();
    if let (Some(c), Some(rest)) = (l.coordinate, &l.without_coordinate) {
        let mut note = format!(
            "layer {}: coordinate {} holds {} of the direction's squared length; without it: length {}, AUC {}",
            l.layer,
            c.index,
            percent(c.share),
            number(rest.norm, None),
            with_interval(&rest.auc)
        );
        for a in &l.against {
            if let Some(cos) = &a.without_coordinate {
                note += &format!(
                    ", cos with {} {} (with it {})",
                    a.direction,
                    headline(Some(cos)),
                    headline(Some(&a.estimate))
                );
            }
        }
        out.push(note);
    }
    if let Some(pivot) = l.pivot.filter(Pivot::turns) {
        out.push(format!(
            "layer {}: the direction rests on one prompt, {}: without it the direction is another (cosine {})",
            l.layer,
            l.pivot_id.as_deref().unwrap_or("?"),
            number(pivot.cos, Some(0.01))
        ));
    }
    out
}
