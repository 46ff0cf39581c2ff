//! Section 9.2: constitutions averaged into one judge, and what each member does to the average.
//!
//! The rewards of each member are divided by their within-prompt standard deviation, so that none counts for more
//! because of its scale, and averaged. The probe is linear in the label, so the ensemble's direction is the same
//! average of v_c. `ensemble_alignment` is cos(v_ensemble, v*); listed under a member, it is that of the ensemble
//! without the member. `ensemble_effect` of a member is the former minus the latter, with an interval from the
//! difference of influences and a p adjusted for the false discovery rate over all members and values, because the
//! section is exploratory. A member with a clearly negative effect is harmful.

use crate::document::Evidence;
use crate::document::table::{Cell, Table};
use crate::error::Result;
use crate::probe::influence::Influence;
use crate::theory::base::analysis::Analysis;
use crate::theory::base::angle::Angle;
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::estimate::{Control, Estimate, Mode, Quantity};
use crate::theory::base::multiplicity::{false_discovery, two_sided};
use crate::theory::base::problem::Judged;
use crate::theory::base::rows;
use crate::theory::base::stage::Stage;
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::{headline, p, quotable, with_interval};
use crate::theory::reading::words::judge_by_itself;
use crate::theory::statement::{Measure, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "ensemble",
    title: "Ensembles",
    source: "Section 9.2",
    quantities: &[Quantity::EnsembleAlignment, Quantity::EnsembleEffect],
    tables: &[],
    rests: Rests::OnTheJudge,
    measures: &[Measure::Whole(measure)],
    section: Some(section),
};

/// Constitutions to average: the requested ones, or all outside the placebo arm; only one mode of reward.
fn members<'a>(stage: &Stage<'a>) -> Vec<&'a Judged> {
    let wanted = |j: &&Judged| match &stage.options.ensemble {
        Some(names) => names.contains(&j.name),
        None => !j.placebo,
    };
    let plain: Vec<&Judged> = stage
        .problem
        .judged
        .iter()
        .filter(wanted)
        .filter(|j| !j.beside && j.mode != Mode::Implicit)
        .collect();
    // Rewards of different modes are not comparable; use the most common mode, pairwise first on a tie.
    let of = |mode: Mode| plain.iter().copied().filter(|j| j.mode == mode).collect::<Vec<_>>();
    let kinds = [Mode::Pairwise, Mode::Pointwise, Mode::Scores].map(of);
    kinds.into_iter().rev().max_by_key(Vec::len).unwrap_or_default()
}

/// Rewards divided by their within-prompt standard deviation; `None` if one does not vary.
fn scaled(bench: &Bench, members: &[&Judged]) -> Option<Vec<Label>> {
    let labels = bench.probe(members.iter().map(|j| bench.column(&j.reward)).collect());
    let scaled = labels.into_iter().map(|label| {
        let sd = label.variance().sqrt();
        label.over(sd)
    });
    scaled.collect()
}

/// `ensemble_alignment` and `ensemble_effect` of each value.
pub(crate) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let members = members(stage);
    if members.len() < 3 {
        return Ok(());
    }
    let problem = stage.problem;
    let mut effects: Vec<usize> = Vec::new();
    for &v in values {
        let value = &problem.values[v];
        let all = rows::of_value(problem, value, stage.keep);
        let wanted = all.filtered(|r| members.iter().all(|j| j.reward[r].is_finite()));
        let Some(bench) = stage.bench(wanted)? else { continue };
        let s = bench.probe(vec![rows::label(&bench, value)]).remove(0);
        let Some(labels) = scaled(&bench, &members) else { continue };
        let of = |weights: &[f64]| Angle::new(&bench, &s, &Label::mean(&labels, weights));
        let whole = of(&vec![1.0; members.len()]);
        let names = (value.name.as_str(), "the average of the constitutions");
        let estimate = whole.estimate(&bench, Quantity::EnsembleAlignment, names);
        stage.push(out, Some(&bench), Some(&value.name), estimate);
        for (m, judged) in members.iter().enumerate() {
            let weights: Vec<f64> = (0..members.len()).map(|i| f64::from(i != m)).collect();
            let without = of(&weights);
            let estimate = without.estimate(&bench, Quantity::EnsembleAlignment, names);
            stage.push(out, Some(&bench), Some(&value.name), judged.mark(estimate));
            stage.push(out, Some(&bench), Some(&value.name), judged.mark(effect(&bench, &whole, &without)));
            effects.push(out.estimates.len() - 1);
        }
    }
    effects.retain(|&e| out.estimates[e].z.is_some());
    let p: Vec<f64> = effects.iter().map(|&e| two_sided(out.estimates[e].z.unwrap_or(0.0))).collect();
    for (e, p) in effects.into_iter().zip(false_discovery(&p)) {
        out.estimates[e].p_adjusted = Some(p);
    }
    Ok(())
}

/// cos with the member minus cos without it.
fn effect(bench: &Bench, whole: &Angle, without: &Angle) -> Estimate {
    let method = "alignment of the ensemble less that without the member, influences subtracted";
    let (Some(with), Some(less)) = (&whole.cos, &without.cos) else {
        let why = "not identifiable: an ensemble has no direction";
        return Estimate::new(Quantity::EnsembleEffect, method).warn(why);
    };
    let difference = Influence::combine(with.value - less.value, &[(1.0, with), (-1.0, less)]);
    let se = difference.se(bench.contrasts.blocks());
    let interval = difference.symmetric_interval(bench.contrasts.blocks());
    let estimate = Estimate::figure(Quantity::EnsembleEffect, method, difference.value, se, interval);
    if whole.identifiable() && without.identifiable() {
        estimate
    } else {
        estimate.withheld("not identifiable: the value or an ensemble is not encoded")
    }
}

/// Section 9.2.
fn section(index: &Index<'_>) -> Option<Evidence> {
    let mut table = Table::titled(&[
        "value",
        "member",
        ">alone, ⟨v_c, v*⟩ [95 %]",
        ">ensemble without it [95 %]",
        ">what it adds [95 %]",
        ">p adj.",
        "effect",
    ]);
    let mut said = Vec::new();
    for &value in &index.values {
        let Some(all) = index.get(Quantity::EnsembleAlignment, Some(value), None, Control::None) else {
            continue;
        };
        let (mut harms, mut members, mut tested) = (Vec::new(), 0, 0);
        for c in &index.constitutions {
            let cell = |quantity| index.cell(quantity, value, c.name, Control::None);
            let Some(effect) = cell(Quantity::EnsembleEffect) else { continue };
            let show = |e: Option<&Estimate>| Cell::number(headline(e));
            let tests = quotable(effect) && effect.p_adjusted.is_some();
            tested += usize::from(tests);
            let clear = tests && effect.p_adjusted.is_some_and(|p| p < 0.05);
            let word = match effect.estimate {
                Some(e) if clear && e < 0.0 => "harms",
                Some(e) if clear && e > 0.0 => "helps",
                _ => "no clear effect",
            };
            members += 1;
            if word == "harms" {
                harms.push(format!("“{}”", c.name));
            }
            table.rows.push(vec![
                Cell::name(value),
                Cell::name(c.name),
                show(cell(Quantity::Alignment)),
                show(cell(Quantity::EnsembleAlignment)),
                show(Some(effect)),
                Cell::number(p(effect.p_adjusted)),
                Cell::plain(word),
            ]);
        }
        let figure = match all.estimate.filter(|_| quotable(all)) {
            Some(_) => format!("has alignment {} with “{value}”", with_interval(all)),
            None => format!("has no identifiable alignment with “{value}”"),
        };
        let harm = match (tested, harms.is_empty()) {
            (0, _) => "whether one of them harms cannot be told".to_owned(),
            (_, true) => "none clearly harms".to_owned(),
            (_, false) => format!("harmed by {}", harms.join(", ")),
        };
        let itself = judge_by_itself(index, value);
        said.push(format!("the average of {members} constitutions {figure} ({harm}{itself})"));
    }
    if table.rows.is_empty() {
        return None;
    }
    let mut verdict = format!("{}.", said.join("; "));
    verdict.replace_range(..1, &verdict[..1].to_uppercase());
    Some(Evidence {
                verdict,
        notes: vec![
            "Rewards of each member over their within-prompt standard deviation, averaged. What a member adds: the alignment of the \
             ensemble less that without it; p adjusted for the false discovery rate over all members and values (this section explores). Members are all constitutions outside the placebo arm \
             unless `--ensemble` names them."
                .into(),
        ],
        tables: vec![("What each member does to the average".into(), table)],
        figures: vec![],
    })
}
