//! The grid for the coverage of every quantity of a report.

use super::Cell;
use crate::simulate::design::{Binary, Design, Judge, Length, Levels, Loading, Massive, Objective};
use crate::simulate::texts::{Effect, Texts};

/// Data sets with three constitutions, four placebo texts and two values, and with responses read under texts. All have
/// at least 1.5 contrasts per dimension, so that estimates refer to the whole residual stream.
pub fn cells_of_all() -> Vec<Cell> {
    let judge = |name: &str, cos| Judge { noise_corr: 0.3, ..Judge::new(name, cos) };
    let placebo =
        |i: usize| Judge { cos_sd: 0.3, placebo: true, sd: 1.0, ..judge(&format!("placebo-{i}"), 0.0) };
    let named = [judge("good", 0.7), judge("even", 0.1), judge("bad", -0.5)];
    let judges: Vec<Judge> = named.into_iter().chain((1..=4).map(placebo)).collect();
    let other = Objective { name: "T".into(), cos: 0.4, optimum: None, noise_var: 1.0, noise_corr: 0.3 };
    let base = || Design {
        hidden_size: 24,
        prompts: 80,
        judges: judges.clone(),
        objectives: vec![other.clone()],
        ..Design::default()
    };
    let sized = |d: usize, prompts: usize| Design { hidden_size: d, prompts, ..base() };
    let two = |design: Design| Design { responses: [2, 2], prompts: 240, ..design };
    let long = |judge: &Judge| Judge { length: 5.0, ..judge.clone() };
    let state = |effect, strength, logprob| Design {
        hidden_size: 32,
        prompts: 120,
        rho2: 0.6,
        judges: Vec::new(),
        objectives: Vec::new(),
        texts: Some(Texts { effect, strength, logprob, ..Texts::default() }),
        ..base()
    };
    let list = vec![
        ("80 prompts", base()),
        ("20 prompts", sized(20, 20)),
        ("12 prompts", sized(20, 12)),
        ("N/d = 2", sized(60, 40)),
        ("v* trailing", Design { loading: Loading::Tail, rho2: 0.8, ..base() }),
        ("two responses", two(base())),
        ("1 to 8 responses", Design { responses: [1, 8], ..base() }),
        ("binary", Design { binary: Some(Binary { prevalence: 0.4 }), graded: false, ..base() }),
        (
            "four levels",
            Design { levels: Some(Levels { cuts: vec![-1.0, 0.2, 1.2] }), graded: false, ..base() },
        ),
        (
            "preferences with errors",
            two(Design { pairwise: true, graded: false, preference_noise: 0.5, ..base() }),
        ),
        ("encoded all but entirely", Design { rho2: 0.98, ..base() }),
        ("heavy tails", Design { tails: Some(5.0), ..base() }),
        (
            "massive, on the value",
            Design { massive: Some(Massive { count: 2, variance: 60.0, df: 5.0, share: 0.3 }), ..base() },
        ),
        ("prompts of other spread", Design { heteroscedastic: 0.8, ..base() }),
        ("30 % copies", Design { duplicates: 0.3, prompts: 120, ..base() }),
        (
            "length moves S, judges and h",
            Design {
                judges: judges.iter().map(long).collect(),
                length: Length { on_value: 2.0, on_resid: 2.0, ..base().length },
                ..base()
            },
        ),
        ("bent judge", Design { bent_judges: true, ..base() }),
        ("saturated judge", Design { saturation: Some(2.0), ..base() }),
        ("12 layers alike", Design { layers: vec![0.8; 12], ..base() }),
        ("state: nothing", state(Effect::Nothing, 0.0, 0.0)),
        ("state: shift", state(Effect::Shift, 0.7, 0.0)),
        ("state: gain", state(Effect::Gain, 1.6, 3.0)),
        ("state: gain elsewhere", state(Effect::GainElsewhere, 1.6, 0.0)),
        ("state: rotation", state(Effect::Rotation, 0.9, 0.0)),
    ];
    list.into_iter().map(Cell::new).collect()
}
