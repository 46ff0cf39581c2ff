//! Grids for counting coverage, false verdicts and power: small data sets, each difficult in one way.

mod every;
mod verdicts;

pub use every::cells_of_all;
pub use verdicts::{IMPROVER, Null, NullCell, PowerCell, null_cells, power_cells};

use super::design::{Binary, Design, Judge, Length, Levels, Loading, Massive};

/// A cell of the grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Short description of its difficulty.
    pub name: &'static str,
    /// Number of contrasts per dimension.
    pub per_dimension: f64,
    /// The planted design.
    pub design: Design,
}

/// Cells with closed-form population figures.
pub fn cells() -> Vec<Cell> {
    let judge = |cos, corr| vec![Judge { noise_corr: corr, ..Judge::new("good", cos) }];
    // Designs with d dimensions and prompts of four responses, three contrasts each.
    let sized = |d: usize, prompts: usize| Design { hidden_size: d, prompts, ..Design::default() };
    let loaded = |d, prompts, loading, rho2| Design { loading, rho2, ..sized(d, prompts) };
    let tall = || sized(24, 80);
    let massive = |share| Some(Massive { count: 2, variance: 60.0, df: 5.0, share });
    let two = |design: Design| Design { responses: [2, 2], prompts: 240, ..design };
    let list = vec![
        ("N/d = .15", loaded(200, 10, Loading::Isotropic, 0.4)),
        ("N/d = .5", loaded(120, 20, Loading::Isotropic, 0.4)),
        ("N/d = .5, v* leading", loaded(120, 20, Loading::Top, 0.8)),
        ("N/d = .5, v* trailing", loaded(120, 20, Loading::Tail, 0.8)),
        ("N/d = 1", loaded(120, 40, Loading::Isotropic, 0.4)),
        ("N/d = 2, v* leading", loaded(60, 40, Loading::Top, 0.8)),
        ("N/d = 2, v* even", loaded(60, 40, Loading::Flat, 0.8)),
        ("N/d = 2, v* trailing", loaded(60, 40, Loading::Tail, 0.8)),
        ("N/d = 10", tall()),
        ("N/d = 10, v* leading", loaded(24, 80, Loading::Top, 0.8)),
        ("N/d = 10, v* even", loaded(24, 80, Loading::Flat, 0.8)),
        ("N/d = 10, v* trailing", loaded(24, 80, Loading::Tail, 0.8)),
        ("N/d = 30, v* trailing", loaded(20, 200, Loading::Tail, 0.8)),
        ("N/d = 100, v* leading", loaded(20, 667, Loading::Top, 0.8)),
        ("N/d = 100, v* even", loaded(20, 667, Loading::Flat, 0.8)),
        ("N/d = 100, v* trailing", loaded(20, 667, Loading::Tail, 0.8)),
        ("two responses", two(tall())),
        (
            "binary, prevalence .5",
            Design { binary: Some(Binary { prevalence: 0.5 }), graded: false, ..tall() },
        ),
        (
            "binary, prevalence .1, encoded entirely",
            Design { binary: Some(Binary { prevalence: 0.1 }), graded: false, rho2: 0.98, ..sized(24, 200) },
        ),
        (
            "four levels",
            Design { levels: Some(Levels { cuts: vec![-1.0, 0.2, 1.2] }), graded: false, ..tall() },
        ),
        ("preferences", two(Design { pairwise: true, graded: false, ..tall() })),
        (
            "preferences with errors",
            two(Design { pairwise: true, graded: false, preference_noise: 0.5, ..tall() }),
        ),
        ("heavy tails", Design { tails: Some(5.0), ..tall() }),
        ("massive, on the value", Design { massive: massive(0.3), ..tall() }),
        ("massive, off the value", Design { massive: massive(0.0), ..tall() }),
        ("prompts of other spread", Design { heteroscedastic: 0.8, ..tall() }),
        ("30 % copies, cosine 0", Design { duplicates: 0.3, judges: judge(0.0, 0.9), ..sized(24, 120) }),
        ("shared noise .9, cosine 0", Design { judges: judge(0.0, 0.9), ..tall() }),
        ("shared noise −.9, cosine 0", Design { judges: judge(0.0, -0.9), ..tall() }),
        ("cosine .9", Design { judges: judge(0.9, 0.5), ..tall() }),
        ("cosine .97", Design { judges: judge(0.97, 0.5), ..tall() }),
        (
            "length moves S, judge and h",
            Design {
                judges: vec![Judge { length: 5.0, ..Judge::new("good", 0.3) }],
                length: Length { on_value: 2.0, on_resid: 2.0, ..Design::default().length },
                ..tall()
            },
        ),
        ("bent judge", Design { bent_judges: true, ..tall() }),
        ("saturated judge", Design { saturation: Some(2.0), ..tall() }),
        ("12 layers alike", Design { layers: vec![0.8; 12], ..tall() }),
    ];
    list.into_iter().map(Cell::new).collect()
}

impl Cell {
    fn new((name, design): (&'static str, Design)) -> Self {
        let [least, most] = design.responses;
        let contrasts = design.prompts as f64 * ((least + most) as f64 / 2.0 - 1.0);
        Self { name, per_dimension: contrasts / design.hidden_size as f64, design }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_spans_what_it_claims_and_can_be_planted() {
        let all = cells();
        let range = all
            .iter()
            .map(|c| c.per_dimension)
            .fold((f64::MAX, 0.0f64), |(lo, hi), n| (lo.min(n), hi.max(n)));
        assert!(range.0 <= 0.15 && range.1 >= 100.0, "{range:?}");
        let (every, null, power) = (cells_of_all(), null_cells(), power_cells());
        let distinct = |mut names: Vec<&str>| {
            names.sort_unstable();
            assert!(names.windows(2).all(|w| w[0] != w[1]), "{names:?}");
        };
        distinct(all.iter().map(|c| c.name).collect());
        distinct(every.iter().map(|c| c.name).collect());
        distinct(null.iter().map(|c| c.name).collect());
        let grids = all.iter().chain(&every).map(|c| (c.name, &c.design));
        let verdicts = null.iter().map(|c| (c.name, &c.design));
        let power = power.iter().map(|c| (IMPROVER, &c.design));
        for (name, design) in grids.chain(verdicts).chain(power) {
            design.check().unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        // Below 1.5 contrasts per dimension an estimate refers to the resolved part, which changes with more prompts.
        assert!(every.iter().all(|c| c.per_dimension >= 1.5));
    }
}
