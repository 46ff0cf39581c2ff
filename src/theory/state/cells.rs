//! Computes the figures of a value and a constitution from the readings of every text, each compared with placebo
//! texts.

use super::chosen::Participants;
use super::figure::Figure;
use super::finding::{Cell, Finding, Outcome, Reading};
use super::gain::{Along, log_gain, log_ratio};
use super::placebo::{Band, ENOUGH, band, band_about_zero, holm};
use super::retrieval::{Validity, less_mean};
use super::shift::Alignment;
use crate::probe::Influence;
use crate::probe::left_out::LeftOut;
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::multiplicity::two_sided;

/// Split-half reliability below which Δ_c is not a direction.
const RELIABLE: f64 = 0.5;

/// A value in the bare state.
pub struct Bare {
    pub value: usize,
    pub s: Label,
    pub left: LeftOut,
    pub along: Option<Along>,
    pub own: Option<Validity>,
    pub encoded: bool,
    /// v* in raw coordinates, `[d]`.
    pub v: Vec<f64>,
}

/// A value in the state of an arm.
pub struct Under {
    pub rho2: Option<Influence>,
    pub encoded: bool,
    pub along: Option<Along>,
    pub turn: Option<Influence>,
    pub transfer: Option<Influence>,
    pub conditioned: Option<Influence>,
    pub alignment: Option<Alignment>,
    pub raw: Option<f64>,
}

/// The figures of a value and a constitution, each against the placebo texts.
pub fn cell(
    name: &str,
    bare: &Bare,
    chosen: &Participants<'_>,
    a: usize,
    all: &[&Under],
    bench: &Bench,
) -> Cell {
    let blocks = bench.contrasts.blocks();
    let others = chosen.others(a);
    let own = all[a];
    // A figure and those of the placebos, on one scale; `difference` is paired over blocks.
    let against = |of: &dyn Fn(&Under) -> Option<Influence>| -> Reading {
        let Some(own) = of(own).filter(|_| bare.encoded) else { return Reading::NONE };
        let placebos: Vec<Influence> = others.iter().filter_map(|&p| of(all[p])).collect();
        let figure = Figure::of(&own, blocks);
        let values: Vec<f64> = placebos.iter().map(|p| p.value).collect();
        let band = band(own.value, &values);
        let paired = (!placebos.is_empty()).then(|| less_mean(&own, &placebos.iter().collect::<Vec<_>>()));
        let p = paired.zip(band).map(|(d, b)| two_sided(d.value / d.se(blocks)).max(b.p));
        Reading { figure, band, p, p_adjusted: None, outcome: Outcome::LikePlacebos }
    };
    let log_gains = against(&|u: &Under| Some(log_gain(u.along.as_ref()?, bare.along.as_ref()?)));
    let gain = Reading {
        figure: log_gains.figure.map(Figure::exp),
        band: log_gains.band.map(|b| Band { lo: b.lo.exp(), hi: b.hi.exp(), ..b }),
        ..log_gains
    };
    let levels = against(&|u: &Under| u.rho2.clone());
    let placebo_rho2: Vec<&Influence> = others.iter().filter_map(|&p| all[p].rho2.as_ref()).collect();
    let mean = placebo_rho2.iter().map(|r| r.value).sum::<f64>() / placebo_rho2.len().max(1) as f64;
    let retrieval = match &own.rho2 {
        Some(rho2) if !placebo_rho2.is_empty() && bare.encoded => Reading {
            figure: Figure::of(&less_mean(rho2, &placebo_rho2), blocks),
            band: levels.band.map(|b| Band { lo: b.lo - mean, hi: b.hi - mean, ..b }),
            ..levels
        },
        _ => Reading::NONE,
    };
    let reliable = |u: &Under| {
        u.alignment.as_ref().filter(|a| a.encoded && a.reliability >= RELIABLE).map(|a| a.cos.clone())
    };
    let alignment = match reliable(own) {
        None => Reading::NONE,
        Some(cos) => {
            let placebos: Vec<f64> =
                others.iter().filter_map(|&p| reliable(all[p])).map(|c| c.value).collect();
            let band = band_about_zero(cos.value, &placebos);
            let p = band.map(|b| two_sided(cos.value / cos.se(blocks)).max(b.p));
            Reading {
                figure: Figure::of(&cos, blocks),
                band,
                p,
                p_adjusted: None,
                outcome: Outcome::LikePlacebos,
            }
        }
    };
    let of_alongs = own.along.as_ref().zip(bare.along.as_ref()).filter(|_| bare.encoded);
    Cell {
        value: name.to_owned(),
        constitution: chosen.arms[a].name.clone(),
        placebo: chosen.is_placebo(a),
        alignment,
        alignment_raw: own.raw.filter(|r| r.is_finite()),
        reliability: own.alignment.as_ref().map(|a| a.reliability).filter(|r| r.is_finite()),
        gain,
        ratio: of_alongs.and_then(|(c, b)| Figure::of(&log_ratio(c, b), blocks)).map(Figure::exp),
        random: of_alongs.map(|(c, b)| ((c.random.value - b.random.value).exp(), c.random_sd)),
        rho2: own.rho2.as_ref().and_then(|r| Figure::of(r, blocks)),
        retrieval,
        turn: against(&|u: &Under| u.turn.clone().filter(|_| u.encoded)),
        transfer: against(&|u: &Under| u.transfer.clone().filter(|_| u.encoded)),
        conditioned: against(&|u: &Under| u.conditioned.clone()),
    }
}

type Get = fn(&mut Cell) -> &mut Reading;

/// Figures of a cell that are compared with placebos.
const READINGS: [Get; 6] = [
    |c| &mut c.alignment,
    |c| &mut c.gain,
    |c| &mut c.retrieval,
    |c| &mut c.turn,
    |c| &mut c.transfer,
    |c| &mut c.conditioned,
];

/// Adjusts every p over constitutions, values and figures, placebos excluded, and sets the outcomes. The joint
/// adjustment allows sentences about several figures at once (“anything beyond placebo texts”).
pub fn settle(finding: &mut Finding, placebos: usize) {
    let tested = |cell: &Cell| -> Vec<(Get, f64)> {
        let p = |get: Get| Some((get, get(&mut cell.clone()).p.filter(|p| p.is_finite())?));
        READINGS.into_iter().filter_map(p).collect()
    };
    for placebo in [false, true] {
        let tests: Vec<(usize, Get, f64)> = finding
            .cells
            .iter()
            .enumerate()
            .filter(|(_, cell)| cell.placebo == placebo)
            .flat_map(|(at, cell)| tested(cell).into_iter().map(move |(get, p)| (at, get, p)))
            .collect();
        let p: Vec<f64> = tests.iter().map(|test| test.2).collect();
        for ((at, get, _), adjusted) in tests.into_iter().zip(holm(&p)) {
            get(&mut finding.cells[at]).p_adjusted = Some(adjusted);
        }
    }
    for cell in &mut finding.cells {
        for get in READINGS {
            let reading = get(cell);
            reading.outcome = outcome(reading, placebos);
        }
    }
}

fn outcome(reading: &Reading, placebos: usize) -> Outcome {
    match (reading.figure, reading.band, reading.p_adjusted) {
        (None, ..) => Outcome::NotIdentifiable,
        (Some(_), ..) if placebos < ENOUGH => Outcome::TooFewPlacebos,
        (Some(_), None, _) | (Some(_), _, None) => Outcome::TooFewPlacebos,
        (Some(figure), Some(band), Some(p)) if p < 0.05 => {
            let middle = 0.5 * (band.lo + band.hi);
            if figure.value > middle { Outcome::Higher } else { Outcome::Lower }
        }
        _ => Outcome::LikePlacebos,
    }
}
