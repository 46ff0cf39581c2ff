//! Appendix E: the angles between the directions of values, cos(v*_a, v*_b).

use super::analysis::Analysis;
use super::estimate::Quantity;
use super::improvement::Angle;
use super::problem::Labels;
use super::rows;
use super::stage::Stage;
use crate::error::Result;

/// `value_cos` for each pair of values with response labels, on the rows that have both.
pub(super) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    for (i, &a) in values.iter().enumerate() {
        for &b in &values[i + 1..] {
            let (a, b) = (&problem.values[a], &problem.values[b]);
            let (Labels::Scores(sa), Labels::Scores(sb)) = (&a.labels, &b.labels) else { continue };
            let keep = stage.keep;
            let rows = rows::all(problem, &|r| keep(r) && sa[r].is_finite() && sb[r].is_finite());
            let Some(bench) = stage.bench(rows)? else { continue };
            let labels = bench.probe(vec![bench.column(sa), bench.column(sb)]);
            let angle = Angle::new(&bench, &labels[0], &labels[1]);
            let mut estimate = angle.estimate(&bench, Quantity::ValueCos, (&a.name, &b.name));
            estimate.value2 = Some(b.name.clone());
            stage.push(out, Some(&bench), Some(&a.name), estimate);
        }
    }
    Ok(())
}
