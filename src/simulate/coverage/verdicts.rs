//! Data sets on which no verdict is true, and those with one constitution that does something.

use crate::simulate::design::{Design, Judge, Length};
use crate::simulate::regime::{Regime, without_content};

/// The constitution that raises S, in [`power_cells`].
pub const IMPROVER: &str = "improver";

/// Why a verdict on a constitution outside the placebo arm is false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Null {
    /// Its own direction is a draw of the law that the placebos' come from: true of constitutions of cosine 0.
    ContentFree,
    /// The labels of each value are in an order of their own: true of every constitution.
    Shuffled,
    /// S does not depend on h, nor on any reward: true of every constitution.
    Independent,
}

/// A data set in which nothing may be found.
#[derive(Debug, Clone, PartialEq)]
pub struct NullCell {
    /// What it is.
    pub name: &'static str,
    /// What is planted.
    pub design: Design,
    /// Why nothing may be found.
    pub null: Null,
}

/// All of them.
pub fn null_cells() -> Vec<NullCell> {
    let texts = |placebos| without_content(3, placebos);
    let improver = || Regime::Improver.design();
    let few = |design: Design| Design { prompts: 25, hidden_size: 20, ..design };
    let content_free = |name, design| NullCell { name, design, null: Null::ContentFree };
    let shuffled = |name, design| NullCell { name, design, null: Null::Shuffled };
    let long = |judge: Judge| Judge { length: 5.0, ..judge };
    let mut by_length = texts(4);
    by_length.judges = by_length.judges.into_iter().map(long).collect();
    by_length.length = Length { on_value: 2.0, on_resid: 2.0, ..by_length.length };
    // A judge whose weights are random reads a direction of its own under each text, and nothing else.
    let mut random = Design { common: None, ..texts(4) };
    random.judges.iter_mut().for_each(|judge| judge.cos_sd = 0.4);
    vec![
        content_free("3 texts without content, no placebo", texts(0)),
        content_free("the same, 1 placebo", texts(1)),
        content_free("the same, 3 placebos", texts(3)),
        content_free("the same, 4 placebos", texts(4)),
        content_free("the same, 6 placebos", texts(6)),
        content_free("4 placebos, 25 prompts", few(texts(4))),
        content_free("4 placebos, two responses", Design { responses: [2, 2], ..texts(4) }),
        content_free("4 placebos, heavy tails", Design { tails: Some(5.0), ..texts(4) }),
        content_free("4 placebos, prompts of other spread", Design { heteroscedastic: 0.8, ..texts(4) }),
        content_free("4 placebos, 30 % copies", Design { duplicates: 0.3, ..texts(4) }),
        content_free("4 placebos, length moves S, judges and h", by_length),
        content_free("4 placebos, 8 values", Regime::NullValues.design()),
        content_free("random weights: each text a direction of its own", random),
        shuffled("shuffled labels, an improver", improver()),
        shuffled("shuffled labels, an improver, 25 prompts", few(improver())),
        shuffled("shuffled labels, 8 values", Regime::NullValues.design()),
        NullCell {
            name: "random features: h independent of S, an improver",
            design: Design { rho2: 0.0, ..improver() },
            null: Null::Independent,
        },
    ]
}

/// A data set with one constitution, [`IMPROVER`], that raises S on top of what all have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerCell {
    /// The standard deviation of its own reward, in nats; that of what all have in common is 3.
    pub sd: f64,
    /// What is planted.
    pub design: Design,
}

impl PowerCell {
    /// Its own planted slope, in nats times standard deviations of ⟨h, v*⟩: .8 of its reward's.
    pub fn slope(&self) -> f64 {
        self.sd * COS
    }

    /// Placebo texts.
    pub fn placebos(&self) -> usize {
        self.design.judges.iter().filter(|j| j.placebo).count()
    }
}

/// cos of the improver's own direction and v*.
const COS: f64 = 0.8;

/// All of them.
pub fn power_cells() -> Vec<PowerCell> {
    let of = |sd: f64, placebos: usize, prompts: usize| {
        let mut design = Design { prompts, ..without_content(3, placebos) };
        design.judges.insert(0, Judge { sd, noise_corr: 0.0, ..Judge::new(IMPROVER, COS) });
        PowerCell { sd, design }
    };
    let sizes = [0.5, 1.0, 2.0, 4.0];
    let rows = [(4, 120), (8, 120), (4, 40)];
    rows.iter().flat_map(|&(placebos, prompts)| sizes.map(|sd| of(sd, placebos, prompts))).collect()
}
