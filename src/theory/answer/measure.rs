//! Estimates on the verdict states of every constitution, at the stored layer nearest to the reported one.

use std::rc::Rc;

use faer::Mat;

use super::lens::{Lens, TABLE, share};
use crate::error::Result;
use crate::probe::Influence;
use crate::probe::left_out::{LeftOut, right};
use crate::theory::base::analysis::Analysis;
use crate::theory::base::angle::{Angle, GATE};
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::estimate::{Estimate, Quantity};
use crate::theory::base::problem::{Judged, VerdictText};
use crate::theory::base::rows;
use crate::theory::base::stage::Stage;
use crate::theory::encoding::{rho2, rho2_estimate};
use crate::theory::state::Figure;
use crate::theory::state::retrieval::validity;
use crate::units::Layer;

/// Measures the verdict states under a stage's control; does nothing if none were stored.
pub fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let source = stage.source;
    let Some(verdicts) = source.verdicts() else { return Ok(()) };
    let Some(layer) = nearest(verdicts.layers(), source.layers(), stage.layer) else { return Ok(()) };
    let h = source.resid(layer)?;
    let mut responses = stage.elsewhere(layer, &h);
    for (t, text) in verdicts.texts().iter().enumerate() {
        let same = |j: &&Judged| j.name == text.name && j.mode == text.mode;
        let Some(judged) = stage.problem.judged.iter().find(same) else { continue };
        let z = verdicts.resid(t, layer)?;
        let mut answers = stage.elsewhere(layer, &z);
        let read = Read { text, judged, layer, layers: verdicts.layers() };
        read.verdict(&mut answers, &mut responses, out)?;
        for &value in values {
            read.value(&mut answers, value, out)?;
        }
    }
    Ok(())
}

/// The stored layer nearest to the reported one, among those at which responses were captured too; the later one on a
/// tie.
fn nearest(kept: &[Layer], captured: &[Layer], reported: Layer) -> Option<Layer> {
    let both = kept.iter().copied().filter(|l| captured.contains(l));
    both.min_by_key(|l| (l.0.abs_diff(reported.0), std::cmp::Reverse(*l)))
}

/// One constitution's verdict states.
struct Read<'a> {
    text: &'a VerdictText,
    judged: &'a Judged,
    layer: Layer,
    layers: &'a [Layer],
}

impl Read<'_> {
    fn push(
        &self,
        stage: &Stage<'_>,
        out: &mut Analysis,
        bench: Option<&Bench>,
        value: Option<&str>,
        e: Estimate,
    ) {
        stage.push(out, bench, value, self.judged.mark(e));
    }

    /// Whether a row has both a state and a reward.
    fn there(&self, stage: &Stage<'_>) -> impl Fn(usize) -> bool {
        let keep = stage.keep;
        move |row: usize| keep(row) && self.text.present[row] && self.judged.reward[row].is_finite()
    }

    /// Estimates without a value: ρ² of the verdict, the lens, and v_c read at the answer.
    fn verdict(&self, answers: &mut Stage<'_>, responses: &mut Stage<'_>, out: &mut Analysis) -> Result<()> {
        let rows = rows::all(answers.problem, &self.there(answers));
        let Some(bench) = answers.bench(rows.clone())? else {
            for quantity in [Quantity::VerdictRho2, Quantity::VerdictTransfer, Quantity::LensShare] {
                let why = "no prompt has two responses whose verdict states differ";
                self.push(answers, out, None, None, Estimate::missing(quantity, why));
            }
            return Ok(());
        };
        let r = bench.probe(vec![bench.column(&self.judged.reward)]).remove(0);
        let told = rho2_estimate(&bench, Quantity::VerdictRho2, &r);
        self.push(answers, out, Some(&bench), None, told);
        let own = responses.bench(rows)?;
        let transfer = transfer(&bench, own, &r);
        self.push(answers, out, Some(&bench), None, transfer);
        for (layer, lens) in self.layers.iter().zip(&self.text.lens) {
            let Some((influence, correlation)) = share(&bench, lens, &self.judged.reward) else { continue };
            let Some(figure) = Figure::of(&influence, bench.contrasts.blocks()) else { continue };
            if *layer == self.layer {
                let method = "mean of products of contrasts";
                let e = Estimate::figure(
                    Quantity::LensShare,
                    method,
                    figure.value,
                    figure.se,
                    (figure.lo, figure.hi),
                );
                self.push(answers, out, Some(&bench), None, e);
            }
            if !answers.length {
                let lens = Lens {
                    constitution: self.judged.name.clone(),
                    judge: self.judged.mode,
                    placebo: self.judged.placebo,
                    layer: *layer,
                    share: figure,
                    correlation,
                };
                out.add_to_table(TABLE, &lens);
            }
        }
        Ok(())
    }

    /// How much of a value the verdict states explain, and its angle to the verdict there.
    fn value(&self, answers: &mut Stage<'_>, v: usize, out: &mut Analysis) -> Result<()> {
        let value = &answers.problem.values[v];
        let name = Some(value.name.as_str());
        let rows = rows::of_value(answers.problem, value, &self.there(answers));
        let Some(bench) = answers.bench(rows)? else {
            for quantity in [Quantity::VerdictValueRho2, Quantity::VerdictAlignment] {
                let why = "no prompt has two labelled responses whose verdict states differ";
                self.push(answers, out, None, name, Estimate::missing(quantity, why));
            }
            return Ok(());
        };
        let labels = vec![rows::label(&bench, value), bench.column(&self.judged.reward)];
        let labels = bench.probe(labels);
        let told = rho2_estimate(&bench, Quantity::VerdictValueRho2, &labels[0]);
        self.push(answers, out, Some(&bench), name, told);
        let names = (value.name.as_str(), self.judged.name.as_str());
        let angle = Angle::new(&bench, &labels[0], &labels[1]);
        let angle = angle.estimate(&bench, Quantity::VerdictAlignment, names);
        self.push(answers, out, Some(&bench), name, angle);
        Ok(())
    }
}

/// Performance on the verdict states of the direction that reads the verdict from responses, relative to that of the
/// states' own direction.
fn transfer(answers: &Bench, responses: Option<Rc<Bench>>, r: &Label) -> Estimate {
    let method = "directions of one state read in the other, leave-block-out";
    let missing = |why: &str| Estimate::missing(Quantity::VerdictTransfer, why);
    let blocks = answers.contrasts.blocks();
    let Some(responses) = responses else {
        return missing("the residual streams of the responses do not vary");
    };
    let passes = |bench: &Bench| {
        let label = bench.probe(vec![r.y.clone()]).remove(0);
        rho2(bench, &label).is_some_and(|rho2| rho2.value > GATE * rho2.se(blocks))
    };
    if !passes(&responses) || !passes(answers) {
        return missing(
            "not identifiable: the verdict is not predicted on left-out prompts from the responses and from the states \
             at the answers both",
        );
    }
    let coordinates = |of: &Bench, by: &Bench| -> Mat<f64> { &of.x * right(&by.spectrum, &by.x) };
    let left = |bench: &Bench| LeftOut::new(&bench.spectrum, blocks, bench.lambda, &r.y);
    let of = |by: &Bench| validity(&r.y, &coordinates(answers, by), &left(by), blocks);
    let ratio: Option<Influence> =
        of(&responses).zip(of(answers)).and_then(|(theirs, own)| theirs.over(&own));
    match ratio {
        None => missing("not identifiable: the direction reads nothing that exceeds its own error"),
        Some(ratio) => {
            let se = ratio.se(blocks);
            let ratio = Influence { value: ratio.value.clamp(-1.0, 1.0), ..ratio };
            let interval = ratio.cosine_interval(blocks);
            Estimate::figure(Quantity::VerdictTransfer, method, ratio.value, se, interval)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_layer_that_was_captured_too_is_taken_and_the_later_of_two() {
        let of = |list: &[usize]| -> Vec<Layer> { list.iter().copied().map(Layer).collect() };
        let all = of(&[0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(nearest(&of(&[2, 4, 8]), &all, Layer(3)), Some(Layer(4)));
        assert_eq!(nearest(&of(&[2, 4, 8]), &all, Layer(7)), Some(Layer(8)));
        assert_eq!(nearest(&of(&[2, 4, 8]), &of(&[2, 8]), Layer(4)), Some(Layer(2)));
        assert_eq!(nearest(&of(&[2]), &of(&[3]), Layer(2)), None);
    }
}
