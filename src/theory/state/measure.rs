//! Computes findings from paired rows, in one pass over the arms for each set of rows.

use std::rc::Rc;

use faer::Mat;
use ndarray::Array2;

use super::agreement::stories;
use super::cells::{Bare, Under, cell, settle};
use super::chosen::Participants;
use super::finding::{Finding, LayerShift, Missing, Shifted};
use super::gain::along;
use super::interaction::{Shares, shares};
use super::placebo::{Band, ENOUGH, band};
use super::report;
use super::retrieval::validity;
use super::shift::{Shift, Sums, Typical, alignment};
use crate::error::{Kind, Result};
use crate::linalg::dot;
use crate::probe::Influence;
use crate::probe::left_out::{LeftOut, right};
use crate::probe::length::LengthControl;
use crate::theory::base::analysis::Analysis;
use crate::theory::base::angle::{Angle, GATE};
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::problem::{LayerSource, Problem, StateText};
use crate::theory::base::rows::{self, Rows};
use crate::theory::base::stage::Stage;
use crate::theory::encoding::rho2;
use crate::theory::gap::gap;

/// Measures the state under a stage's control at the reported layer, on all blocks, and adds the estimates and the
/// entry of the table. The layer was chosen by ρ² of bare rows, so that the effect of texts had no part in the
/// choice.
pub fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    if stage.twin.is_none() {
        return at_layer(stage, values, out);
    }
    // Blocks scored at another layer share no coordinates with the directions of this one.
    let mut alone = stage.elsewhere(stage.layer, stage.h);
    at_layer(&mut alone, values, out)
}

fn at_layer(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let mut finding = Finding {
        control: stage.control(),
        layer: stage.layer,
        rows: 0,
        blocks: 0,
        placebos: 0,
        missing: Vec::new(),
        shifts: Vec::new(),
        cells: Vec::new(),
        layers: Vec::new(),
        stories: Vec::new(),
    };
    if stage.source.texts().is_empty() {
        // Without judgments the observations involve no constitutions.
        if stage.problem.judged.is_empty() || stage.length {
            return Ok(());
        }
        finding.missing.push(Missing::Rows);
        report::add(finding, out);
        return Ok(());
    }
    if !stage.problem.grouped {
        finding.missing.push(Missing::Prompts);
        report::add(finding, out);
        return Ok(());
    }
    let (problem, source, options) = (stage.problem, stage.source, stage.options);
    let chosen = Participants::new(problem, source, options, stage.keep, &mut finding.missing);
    finding.placebos = chosen.placebos.len();
    match chosen.placebos.len() {
        0 => finding.missing.push(Missing::Placebos),
        texts if texts < ENOUGH => finding.missing.push(Missing::FewPlacebos { texts }),
        _ => {}
    }
    if stage.problem.logprob.is_none() || chosen.arms.iter().any(|a| a.logprob.is_none()) {
        finding.missing.push(Missing::Logprob);
    }
    let keep = stage.keep;
    let there = |r: usize| keep(r) && chosen.all_there(r);
    let shifts = all_rows(stage, &chosen, &there, &mut finding)?;
    let mut groups: Vec<(Rows, Vec<usize>)> = Vec::new();
    for &v in values {
        let rows = rows::of_value(stage.problem, &stage.problem.values[v], &there);
        match groups.iter_mut().find(|(r, _)| *r == rows) {
            Some((_, list)) => list.push(v),
            None => groups.push((rows, vec![v])),
        }
    }
    for (rows, list) in groups {
        by_value(stage, &chosen, rows, &list, &shifts, &mut finding)?;
    }
    settle(&mut finding, chosen.placebos.len());
    finding.stories = stories(&finding, stage.problem, out);
    if !stage.length {
        finding.layers = layers(stage.problem, stage.source, &chosen)?;
    }
    report::add(finding, out);
    Ok(())
}

/// Δ of each arm minus its placebos, and everything else that involves no value.
fn all_rows(
    stage: &mut Stage<'_>,
    chosen: &Participants<'_>,
    there: &dyn Fn(usize) -> bool,
    finding: &mut Finding,
) -> Result<Vec<Option<Shift>>> {
    let problem = stage.problem;
    let wanted: Vec<usize> = (0..problem.rows()).filter(|&r| there(r)).collect();
    let contrasts = rows::all(problem, there).contrasts(problem);
    let length = match (&problem.tokens, stage.length) {
        (Some(tokens), true) => LengthControl::new(&contrasts, tokens),
        _ => None,
    };
    finding.rows = wanted.len();
    let mut sums = Vec::with_capacity(chosen.arms.len());
    let mut parts: Vec<Option<Shares>> = Vec::with_capacity(chosen.arms.len());
    for &at in &chosen.at {
        let h = stage.source.text_resid(at, stage.layer)?;
        sums.push(Sums::new(h.view(), &wanted, &problem.block));
        parts.push(shares(h.view(), stage.h.view(), &wanted, &problem.block, &contrasts, length.as_ref()));
    }
    finding.blocks = sums.first().map_or(0, |s| s.names.len());
    let typical = Typical::new(stage.h.view(), &wanted, &problem.block);
    let shifts: Vec<Option<Shift>> = (0..chosen.arms.len())
        .map(|a| {
            let others: Vec<&Sums> = chosen.others(a).iter().map(|&p| &sums[p]).collect();
            Shift::new(&sums[a], &others)
        })
        .collect();
    let m = chosen.placebos.len() as f64;
    // A placebo minus the m − 1 others has variance m/(m − 1), a constitution minus all m (m + 1)/m.
    let even = ((m * m - 1.0) / (m * m)).max(0.0).sqrt();
    let norm = |a: usize| shifts[a].as_ref().and_then(Shift::norm);
    for (a, arm) in chosen.arms.iter().enumerate() {
        let others = chosen.others(a);
        let logs: Vec<f64> =
            others.iter().filter_map(|&p| norm(p)).map(|n| (even * n / typical.length).ln()).collect();
        let own = shifts[a].as_ref().and_then(|shift| shift.relative_norm(&typical));
        let responses: Vec<f64> = others.iter().filter_map(|&p| parts[p]).map(|s| s.response).collect();
        finding.shifts.push(Shifted {
            constitution: arm.name.clone(),
            placebo: chosen.is_placebo(a),
            norm: own,
            band: own.and_then(|own| band(own.value.ln(), &logs)).map(|b| Band {
                lo: b.lo.exp(),
                hi: b.hi.exp(),
                ..b
            }),
            shares: parts[a],
            response_band: parts[a].and_then(|s| band(s.response, &responses)),
        });
    }
    Ok(shifts)
}

fn by_value(
    stage: &mut Stage<'_>,
    chosen: &Participants<'_>,
    wanted: Rows,
    values: &[usize],
    shifts: &[Option<Shift>],
    finding: &mut Finding,
) -> Result<()> {
    let problem = stage.problem;
    let Some(bench) = stage.bench(wanted)? else {
        for &v in values {
            finding.missing.push(Missing::Unencoded { value: problem.values[v].name.clone() });
        }
        return Ok(());
    };
    let blocks = bench.contrasts.blocks();
    let basis = right(&bench.spectrum, &bench.x);
    let coordinates: Mat<f64> = &bench.x * &basis;
    let labels = values.iter().map(|&v| rows::label(&bench, &problem.values[v])).collect();
    let bare: Vec<Bare> = bench
        .probe(labels)
        .into_iter()
        .zip(values)
        .map(|(s, &value)| {
            let left = LeftOut::new(&bench.spectrum, blocks, bench.lambda, &s.y);
            let encoded = rho2(&bench, &s).is_some_and(|r| r.value > GATE * r.se(blocks));
            let (along, own) =
                (along(&coordinates, &left, blocks), validity(&s.y, &coordinates, &left, blocks));
            Bare { value, v: mean_direction(&basis, &left), s, left, along, own, encoded }
        })
        .collect();
    for b in bare.iter().filter(|b| !b.encoded) {
        finding.missing.push(Missing::Unencoded { value: problem.values[b.value].name.clone() });
    }
    let mut found: Vec<Vec<Under>> = Vec::with_capacity(chosen.arms.len());
    for (a, &at) in chosen.at.iter().enumerate() {
        let h = stage.source.text_resid(at, stage.layer)?;
        let read = Read { bench: &bench, basis: &basis, arm: chosen.arms[a], shift: shifts[a].as_ref() };
        found.push(read.values(stage, &h, &bare)?);
    }
    for (i, b) in bare.iter().enumerate() {
        let own: Vec<&Under> = found.iter().map(|f| &f[i]).collect();
        for a in 0..chosen.arms.len() {
            finding.cells.push(cell(&problem.values[b.value].name, b, chosen, a, &own, &bench));
        }
    }
    Ok(())
}

/// V times the mean of the leave-block-out directions.
fn mean_direction(basis: &Mat<f64>, left: &LeftOut) -> Vec<f64> {
    let g = left.by_block.ncols() as f64;
    let mean = Mat::from_fn(left.by_block.nrows(), 1, |j, _| {
        (0..left.by_block.ncols()).map(|b| left.by_block[(j, b)]).sum::<f64>() / g
    });
    let v: Mat<f64> = basis * &mean;
    (0..v.nrows()).map(|i| v[(i, 0)]).collect()
}

/// Inputs for reading one arm.
struct Read<'a> {
    bench: &'a Rc<Bench>,
    basis: &'a Mat<f64>,
    arm: &'a StateText,
    shift: Option<&'a Shift>,
}

impl Read<'_> {
    fn values(&self, stage: &Stage<'_>, h: &Array2<f32>, bare: &[Bare]) -> Result<Vec<Under>> {
        let contrasts = self.bench.contrasts.clone();
        let length = match (&stage.problem.tokens, stage.length) {
            (Some(tokens), true) => {
                Some(LengthControl::new(&contrasts, tokens).unwrap_or_else(LengthControl::nothing))
            }
            _ => None,
        };
        let arm = match Bench::new(contrasts, h.view(), length) {
            Ok(arm) => Some(arm),
            Err(e) if e.kind() == Some(Kind::NotEstimable) => None,
            Err(e) => return Err(e),
        };
        let blocks = self.bench.contrasts.blocks();
        let mut out = Vec::with_capacity(bare.len());
        let parts = arm.as_ref().map(|arm| {
            let basis = right(&arm.spectrum, &arm.x);
            let (there, back): (Mat<f64>, Mat<f64>) = (&arm.x * self.basis, &self.bench.x * &basis);
            let own: Mat<f64> = &arm.x * &basis;
            arm.probe(bare.iter().map(|b| b.s.y.clone()).collect());
            (there, back, own)
        });
        for b in bare {
            let mut under = Under {
                rho2: None,
                encoded: false,
                along: None,
                turn: None,
                transfer: None,
                conditioned: self.conditioned(stage, b),
                alignment: self.shift.and_then(|shift| alignment(self.bench, &b.s, shift)),
                raw: self
                    .shift
                    .map(|s| dot(&s.delta, &b.v) / (dot(&s.delta, &s.delta) * dot(&b.v, &b.v)).sqrt()),
            };
            if let (Some(arm), Some((there, back, own))) = (&arm, &parts) {
                let s = arm.probe(vec![b.s.y.clone()]).remove(0);
                let left = LeftOut::new(&arm.spectrum, blocks, arm.lambda, &s.y);
                under.rho2 = rho2(arm, &s);
                under.encoded = under.rho2.as_ref().is_some_and(|r| r.value > GATE * r.se(blocks));
                under.along = along(there, &b.left, blocks);
                let of = |c: &Mat<f64>, left: &LeftOut| validity(&s.y, c, left, blocks);
                under.turn = of(back, &left).zip(b.own.clone()).and_then(|(a, own)| a.over(&own));
                under.transfer = of(there, &b.left).zip(of(own, &left)).and_then(|(a, own)| a.over(&own));
            }
            out.push(under);
        }
        Ok(out)
    }

    /// cos(w_c, v*) − cos(w_0, v*) on the bare rows.
    fn conditioned(&self, stage: &Stage<'_>, b: &Bare) -> Option<Influence> {
        let (plain, under) = (stage.problem.logprob.as_ref()?, self.arm.logprob.as_ref()?);
        // Rows outside the bench are not read: they may be NaN.
        let under: Vec<f64> =
            under.iter().zip(plain).map(|(u, p)| if u.is_nan() { *p } else { *u }).collect();
        let labels = self.bench.probe(vec![self.bench.logprob(plain), self.bench.logprob(&under)]);
        let of = |label: &Label| Angle::new(self.bench, &b.s, label);
        let (w, w_c) = (of(&labels[0]), of(&labels[1]));
        (w.identifiable() && w_c.identifiable()).then(|| gap(self.bench, &w_c, &w).1)?
    }
}

/// ‖Δ_c‖ at every layer, on all rows.
fn layers(problem: &Problem, source: &dyn LayerSource, chosen: &Participants<'_>) -> Result<Vec<LayerShift>> {
    let wanted: Vec<usize> = (0..problem.rows()).filter(|&r| chosen.all_there(r)).collect();
    let mut out = Vec::new();
    if source.layers().len() < 2 || wanted.is_empty() {
        return Ok(out);
    }
    for &layer in source.layers() {
        let scale = Typical::new(source.resid(layer)?.view(), &wanted, &problem.block).length;
        let mut sums = Vec::with_capacity(chosen.arms.len());
        for &at in &chosen.at {
            sums.push(Sums::new(source.text_resid(at, layer)?.view(), &wanted, &problem.block));
        }
        for (a, arm) in chosen.arms.iter().enumerate() {
            let others: Vec<&Sums> = chosen.others(a).iter().map(|&p| &sums[p]).collect();
            let Some(shift) = Shift::new(&sums[a], &others) else { continue };
            let norm = shift.norm2.max(0.0).sqrt() / scale;
            if norm.is_finite() {
                out.push(LayerShift {
                    layer,
                    constitution: arm.name.clone(),
                    placebo: chosen.is_placebo(a),
                    norm,
                });
            }
        }
    }
    Ok(out)
}
