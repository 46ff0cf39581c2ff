//! The grids of `docs/coverage.md` with few data sets per cell: every interval, false verdicts, power, the state.
//!
//! Bounds are binomial: a correct implementation fails one of them less than once in a thousand times.

use vstar::coverage::every::{QuantityCoverage, Tally, Targets, count};
use vstar::coverage::rates::over_seeds;
use vstar::coverage::verdicts::{Measured, of_null, of_state, to_markdown};
use vstar::report::Outcome;
use vstar::simulate::coverage::{IMPROVER, Null, cells_of_all, null_cells, power_cells};
use vstar::simulate::{Design, Regime, simulate, simulate_rows};
use vstar::theory::{Control, Quantity};
use vstar::units::Layer;

#[test]
fn rows_of_another_seed_are_of_the_same_population_and_those_of_its_own_are_the_data_set() {
    let design = Design { hidden_size: 24, prompts: 12, ..Regime::StateGain.design() };
    let rows = |population, rows| simulate_rows(&design, population, rows).expect("a data set");
    let (whole, same, other) = (simulate(&design, 7).expect("a data set"), rows(7, 7), rows(7, 8));
    let h = |data: &vstar::simulate::Simulated| data.observations.layer(Layer(0)).expect("a layer");
    assert_eq!(h(&whole), h(&same));
    // Compared as text, because NaN equals nothing.
    let columns = |data: &vstar::simulate::Simulated| format!("{:?}", data.observations.columns());
    assert!(columns(&whole) == columns(&same));
    assert_eq!(whole.truth.population, other.truth.population);
    assert_eq!(whole.directions, other.directions);
    assert!(h(&whole) != h(&other));
    assert!(rows(8, 7).directions != other.directions);
}

#[test]
fn every_interval_of_a_report_holds_what_many_more_prompts_give() {
    const SEEDS: u64 = 40;
    for (name, least_quantities) in [("80 prompts", 30), ("state: shift", 12)] {
        let cell = cells_of_all().into_iter().find(|c| c.name == name).expect("the cell");
        let counted = count(&cell, 0..SEEDS, Targets { many: 12, populations: 1 }).expect("counts");
        // Components come from the same rows: no interval would cover.
        assert!(counted.quantities.keys().all(|(_, quantity)| *quantity != Quantity::ValueConcentration));
        let (mut held, mut all) = (0, 0);
        for control in [Control::None, Control::Length] {
            let of: Vec<_> = counted.quantities.iter().filter(|((c, _), _)| *c == control).collect();
            // The judge's own figures have no length control.
            let least = if control == Control::None { least_quantities } else { least_quantities / 2 };
            assert!(of.len() >= least, "{name}, {control:?}: {} quantities", of.len());
            for ((_, quantity), kept) in of {
                // Of 40 intervals at .92 fewer than 29 hold once in 10⁴ times, for each of 200 figures.
                let share = kept.least.share();
                assert!(
                    share >= 28.5 / 40.0 || kept.least.intervals < 40,
                    "{name}, {control:?}: {quantity:?} {share}"
                );
                (held, all) = (held + kept.all.held, all + kept.all.intervals);
            }
        }
        let share =
            f64::from(u32::try_from(held).expect("small")) / f64::from(u32::try_from(all).expect("small"));
        assert!(share > 0.92, "{name}: {share} of {all}");
    }
}

#[test]
fn a_figure_is_low_by_more_than_its_number_explains() {
    let kept = |figures, held| QuantityCoverage {
        all: Tally { intervals: 100 * figures, held: 95 * figures },
        figures,
        least: Tally { intervals: 100, held },
        again: None,
    };
    // .93 − 1.96 × .0255 = .88.
    assert!(kept(1, 87).is_low() && !kept(1, 89).is_low());
    // The least of 20: .93 − 3.02 × .0255 = .853.
    assert!(kept(20, 85).is_low() && !kept(20, 86).is_low());
    // The recount is decided without a correction for the number of figures.
    let again = |held| QuantityCoverage { again: Some(Tally { intervals: 100, held }), ..kept(20, 80) };
    assert!(
        again(87).is_low()
            && !again(89).is_low()
            && !QuantityCoverage { again: again(80).again, ..kept(20, 95) }.is_low()
    );
}

#[test]
fn nothing_is_found_where_nothing_is() {
    const SEEDS: u64 = 12;
    let cells = null_cells();
    let (mut any, mut all) = (0, 0);
    for cell in &cells {
        let rates = of_null(cell, 100..100 + SEEDS).expect("rates");
        let placebos = cell.design.judges.iter().filter(|j| j.placebo).count();
        if placebos < 4 && cell.null == Null::ContentFree {
            assert_eq!(rates.any_false, 0, "{}: no verdict below four placebo texts", cell.name);
            continue;
        }
        // At .05, more than 4 of 12 in two of 10⁴ times.
        assert!(rates.any_false <= 4, "{}: {} of {SEEDS}", cell.name, rates.any_false);
        (any, all) = (any + rates.any_false, all + rates.seeds);
    }
    // 168 data sets: 8.4 expected at .05, more than 18 in one of 10³ times.
    assert!(all == 168 && any <= 18, "{any} of {all}");
}

#[test]
fn a_large_effect_is_found_more_often_than_a_small_one_and_never_the_other_way() {
    const SEEDS: u64 = 16;
    let found = |sd: f64, placebos: usize, prompts: usize| {
        let cells = power_cells();
        let cell = cells
            .iter()
            .find(|c| c.sd == sd && c.placebos() == placebos && c.design.prompts == prompts)
            .expect("the cell");
        assert!((cell.slope() - 0.8 * sd).abs() < 1e-12);
        let rates = over_seeds(&cell.design, 200..200 + SEEDS).expect("rates");
        assert_eq!(rates.of(IMPROVER, Outcome::Degrades), 0, "{sd} nats");
        (rates.of(IMPROVER, Outcome::Improves), rates.size(IMPROVER).unwrap_or(0.0))
    };
    let (large, small) = (found(4.0, 8, 120), found(0.5, 4, 120));
    assert!(large.0 >= 11, "{large:?} of {SEEDS}");
    assert!(small.0 + 5 <= large.0 && small.1 < large.1, "{small:?} and {large:?}");
}

#[test]
fn the_state_is_called_different_where_it_is_and_seldom_where_it_is_not() {
    const SEEDS: u64 = 12;
    let of = |regime: Regime| of_state(&regime.design(), 300..300 + SEEDS).expect("rates");
    let (nothing, gain) = (of(Regime::StateNothing), of(Regime::StateGain));
    for control in [Control::None, Control::Length] {
        let [above, below] = gain.each[&(control, "activation_gain")];
        assert!(above >= 8 && below == 0, "{control:?}: {above} and {below} of {SEEDS}");
        for ((_, figure), [above, below]) in nothing.each.iter().filter(|((c, _), _)| *c == control) {
            // At .05, more than 4 of 12 in two of 10⁴ times.
            assert!(above + below <= 4, "{control:?}, {figure}: {above} and {below} of {SEEDS}");
        }
    }
}

#[test]
fn the_page_names_every_data_set_and_marks_what_is_found_too_often() {
    let null = null_cells().swap_remove(3);
    let mut rates = of_null(&null, 0..4).expect("rates");
    rates.seeds = 100;
    (rates.any_false, rates.any_small_p, rates.any_small_p_length) = (11, 5, 0);
    let power = power_cells().swap_remove(2);
    let found = over_seeds(&power.design, 0..4).expect("rates");
    let share = found.of(IMPROVER, Outcome::Improves) as f64 / 4.0;
    let state = of_state(&Design { prompts: 40, ..Regime::StateNothing.design() }, 0..2).expect("rates");
    let measured = Measured {
        null: vec![(null.clone(), rates)],
        power: vec![(power, found)],
        state: vec![(Regime::StateNothing, state)],
    };
    let text = to_markdown(&measured);
    // Wilson: 11 of 100 lies above .05 by its whole interval, 5 of 100 does not.
    assert!(
        text.contains(&format!("| {} | **0.110 [0.063, 0.186]** | 0.050 [0.022, 0.112] |", null.name)),
        "{text}"
    );
    assert!(text.contains("| 1.6 | 120 | 4 |") && text.contains(&format!(" {share:.3} [")), "{text}");
    assert_eq!(text.matches(&format!("| {} |", Regime::StateNothing.about())).count(), 2, "{text}");
}
