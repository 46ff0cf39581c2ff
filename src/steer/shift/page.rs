//! Renders a shift: how many directions moved, the shares of named directions, and which of them turned.

use super::{LayerShift, Share, Shift};
use crate::document::Document;
use crate::document::table::Table;
use crate::theory::reading::quote::{NOTHING, number, optional, percent, with_interval};
use crate::theory::reading::together::interval_for_all;

impl Share {
    /// The larger of the two expectations.
    fn expected(&self) -> f64 {
        self.covariance.map_or(self.isotropic, |c| c.max(self.isotropic))
    }
}

impl Shift {
    /// Renders the page.
    pub fn page(&self) -> Document {
        let show = |v: Option<f64>| optional(v, None);
        let rows = self.layers.iter().map(|l| {
            vec![
                l.layer.to_string(),
                show(l.relative),
                percent(l.mean_share),
                with_interval(&l.whole.rank),
                with_interval(&l.centred.rank),
                show(l.centred.naive),
                show(l.centred.entropy),
                l.centred.k90.map_or_else(|| NOTHING.to_owned(), |k| k.to_string()),
            ]
        });
        let head = [
            "layer",
            "‖Δ‖/‖h − mean‖",
            "mean row",
            "rank [95 %]",
            "rank, centred [95 %]",
            "sample",
            "entropy",
            "for 90 %",
        ];
        let mut tables = vec![("How many directions moved".to_owned(), Table::of(head, 1, rows.collect()))];
        let rows = self.layers.iter().flat_map(|l| {
            l.shares.iter().map(|s| {
                vec![
                    s.direction.clone(),
                    l.layer.to_string(),
                    with_interval(&s.share),
                    with_interval(&s.share_centred),
                    number(s.isotropic, None),
                    show(s.covariance),
                ]
            })
        });
        let rows: Vec<Vec<String>> = rows.collect();
        if !rows.is_empty() {
            let head = [
                "direction",
                "layer",
                "share of ‖Δ‖² [95 %]",
                "centred [95 %]",
                "1/d",
                "share of the covariance",
            ];
            tables.push(("Along directions".to_owned(), Table::of(head, 2, rows)));
        }
        let rows: Vec<Vec<String>> = self
            .layers
            .iter()
            .flat_map(|l| {
                l.turned.iter().map(|t| {
                    vec![
                        t.direction.clone(),
                        l.layer.to_string(),
                        optional(t.cos, Some(0.01)),
                        number(t.cos_raw, Some(0.01)),
                    ]
                })
            })
            .collect();
        if !rows.is_empty() {
            let head = ["direction", "layer", "cosine in the metric of Σ", "raw cosine"];
            tables.push(("The same direction in both checkpoints".to_owned(), Table::of(head, 2, rows)));
        }
        let mut notes = vec![
            "rank: participation ratio of the squared singular values across blocks; the centred one leaves out what all \
             rows share"
                .to_owned(),
            "share: of the squared length of the shift; beside it what a shift without preference (1/d) and one with the \
             covariance of the first checkpoint's h would have"
                .to_owned(),
            "the same direction: cosine of the exported vectors, Σ of the first checkpoint's rows; noise in either lowers it, and \
             `vstar drift` compares functions with intervals"
                .to_owned(),
        ];
        notes.extend(self.warnings.iter().cloned());
        Document::of_finding(
            format!("{} → {}: shift of the residual stream", self.runs[0], self.runs[1]),
            self.finding(),
            tables,
            notes,
        )
    }

    fn finding(&self) -> String {
        let ranks: Vec<(&LayerShift, f64)> =
            self.layers.iter().filter_map(|l| Some((l, l.whole.rank.estimate?))).collect();
        let (Some(first), Some(last)) = (ranks.first(), ranks.last()) else {
            return format!(
                "On {} rows the checkpoints do not differ, or too little to say along what.",
                self.rows
            );
        };
        let mut text = format!(
            "On {} rows the shift has an effective rank of {} of {} at layer {} and {} at layer {} (less what all rows \
             share: {} and {}).",
            self.rows,
            number(first.1, first.0.whole.rank.se),
            self.width,
            first.0.layer,
            number(last.1, last.0.whole.rank.se),
            last.0.layer,
            with_interval(&first.0.centred.rank),
            with_interval(&last.0.centred.rank),
        );
        let strongest = self
            .layers
            .iter()
            .flat_map(|l| l.shares.iter().map(move |s| (l, s)))
            .filter(|(_, s)| s.direction.starts_with("v_star."))
            .filter_map(|(l, s)| Some((l, s, s.share.estimate? / s.expected())))
            .max_by(|x, y| x.2.total_cmp(&y.2));
        let tried = self.layers.iter().flat_map(|l| &l.shares).filter(|s| s.direction.starts_with("v_star."));
        if let Some((l, s, ratio)) = strongest {
            // The largest of several shares is large by selection alone.
            let verdict = match interval_for_all(&s.share, tried.count()) {
                Some((lo, _)) if lo > s.expected() => {
                    "more than chance and than h's own covariance would give"
                }
                _ => "not demonstrably more than chance or h's own covariance would give",
            };
            text += &format!(
                " Along {} it has at most {} of its squared length (layer {}), {} × what is expected: {verdict}.",
                s.direction,
                with_interval(&s.share),
                l.layer,
                number(ratio, None),
            );
        }
        text
    }
}
