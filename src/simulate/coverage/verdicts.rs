//! Data sets on which no verdict is true, and those with one effective constitution.

use crate::simulate::design::{Design, Judge, Length};
use crate::simulate::regime::{Regime, without_content};

/// The constitution that raises S, in [`power_cells`].
pub const IMPROVER: &str = "improver";

/// Reason why a verdict on a constitution outside the placebo arm is false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Null {
    /// Its own direction is drawn from the same distribution as the placebos': applies to constitutions of cosine 0.
    ContentFree,
    /// The labels of each value are shuffled independently: applies to every constitution.
    Shuffled,
    /// S depends neither on h nor on any reward: applies to every constitution.
    Independent,
}

/// A data set without any true effect.
#[derive(Debug, Clone, PartialEq)]
pub struct NullCell {
    /// Short description.
    pub name: &'static str,
    /// The planted design.
    pub design: Design,
    /// Reason why there is no effect.
    pub null: Null,
}

/// All cells without a true effect.
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
    // A judge with random weights reads an independent direction under each text, and nothing else.
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

/// A data set with one constitution, [`IMPROVER`], that raises S in addition to the reward common to all.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerCell {
    /// Standard deviation of its own reward, in nats; that of the common reward is 3.
    pub sd: f64,
    /// The planted design.
    pub design: Design,
}

impl PowerCell {
    /// Its own planted slope, in nats times standard deviations of ⟨h, v*⟩: .8 of its reward's standard deviation.
    pub fn slope(&self) -> f64 {
        self.sd * COS
    }

    /// Number of placebo texts.
    pub fn placebos(&self) -> usize {
        self.design.judges.iter().filter(|j| j.placebo).count()
    }
}

/// cos of the improver's own direction and v*.
const COS: f64 = 0.8;

/// All cells for measuring power.
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
