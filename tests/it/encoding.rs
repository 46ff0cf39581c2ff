//! ρ² of labels with few levels, and with few or many data: the latent scale, one-sided bounds, coverage.

use std::collections::{BTreeMap, BTreeSet};

use vstar::coverage::{self, table};
use vstar::fit::pose;
use vstar::report::{Report, to_markdown};
use vstar::simulate::coverage::{Cell, cells};
use vstar::simulate::{Binary, Design, Judge, Levels, Loading, simulate};
use vstar::theory::{Analysis, Control, Estimate, Flag, Options, Quantity, analyse};

fn analysed(design: &Design, seed: u64) -> Analysis {
    let data = simulate(design, seed).expect("a data set");
    let posed = pose(&data.observations, None, &BTreeSet::new()).expect("a problem");
    analyse(&posed.problem, &posed.source, &Options::default()).expect("an analysis")
}

fn one(analysis: &Analysis, quantity: Quantity) -> &Estimate {
    let found = analysis.estimates.iter().find(|e| e.quantity == quantity && e.control == Control::None);
    found.unwrap_or_else(|| panic!("no {quantity:?}"))
}

fn page(analysis: &Analysis) -> String {
    let report = Report::new(serde_json::Map::new(), analysis, Vec::new());
    to_markdown(&report) + &crate::by_hand::evidence(&report)
}

/// A value almost entirely determined by h, with labels of several kinds.
fn encoded() -> Vec<(&'static str, Design)> {
    let base = Design {
        hidden_size: 24,
        prompts: 300,
        rho2: 0.99,
        prompt_icc: 0.0,
        graded: false,
        judges: vec![Judge { rho2: 0.95, noise_corr: 0.0, ..Judge::new("good", 0.95) }],
        ..Design::default()
    };
    let binary = |prevalence| Design { binary: Some(Binary { prevalence }), ..base.clone() };
    let pairs = Design { responses: [2, 2], prompts: 500, pairwise: true, ..base.clone() };
    vec![
        ("1[g > 0]", binary(0.5)),
        ("1[g > 1.28]", binary(0.1)),
        ("three levels", Design { levels: Some(Levels { cuts: vec![-0.5, 0.5] }), ..base.clone() }),
        ("preferences", pairs),
    ]
}

#[test]
fn a_value_that_is_encoded_entirely_is_not_called_limited_by_its_labels() {
    for (name, design) in encoded() {
        for seed in 0..3 {
            let analysis = analysed(&design, seed);
            let (label, latent) = (one(&analysis, Quantity::Rho2), one(&analysis, Quantity::Rho2Latent));
            let (rho2, se) = (latent.estimate.expect("ρ²"), latent.se.expect("an error"));
            assert!((rho2 - 0.99).abs() < 3.5 * se && rho2 > 0.9, "{name}, seed {seed}: {rho2} ± {se}");
            // The labels' own scale hides a fifth or more of it.
            assert!(label.estimate.expect("ρ²") < 0.85, "{name}: {label:?}");
            let rho = one(&analysis, Quantity::Rho).estimate.expect("ρ");
            assert!((rho - rho2.sqrt()).abs() < 1e-12, "{name}: ρ {rho}, latent ρ² {rho2}");
            // In within-prompt standard deviations of the latent score: (1 − √.99)/√π.
            let ceiling = one(&analysis, Quantity::CeilingRegret);
            let (regret, se) = (ceiling.estimate.expect("a ceiling"), ceiling.se.expect("an error"));
            assert!((regret - 0.0028).abs() < 4.0 * se && regret < 0.03, "{name}: {regret} ± {se}");
            assert!(ceiling.method.contains("latent score"), "{}", ceiling.method);
            let text = page(&analysis);
            for wrong in ["broken", "ρ-limited", "below it |"] {
                assert!(
                    !text.contains(&format!(": {wrong}")) && !text.contains(&format!("is {wrong}")),
                    "{name}: {wrong}"
                );
            }
            assert!(!text.contains("| below it"), "{name}: a count is set against a bound in another unit");
            assert!(text.contains("the latent score behind the labels of"), "{name}");
        }
    }
}

#[test]
fn counts_of_continuous_labels_are_still_set_against_the_bound() {
    let design = Design { hidden_size: 24, prompts: 300, ..Design::default() };
    let text = page(&analysed(&design, 3));
    assert!(
        text.contains("No constitution clearly loses less than the bound allows, in 1 comparison."),
        "{text}"
    );
    assert!(!text.contains("latent score behind the labels of") && !text.contains("latent scale"), "{text}");
}

#[test]
fn with_fewer_contrasts_than_dimensions_nothing_bounds_regret_from_below() {
    let design =
        Design { hidden_size: 96, prompts: 24, rho2: 0.8, loading: Loading::Isotropic, ..Design::default() };
    let mut seen = 0;
    for seed in 0..6 {
        let analysis = analysed(&design, seed);
        let rho2 = one(&analysis, Quantity::Rho2);
        assert_eq!(rho2.hi, None, "{rho2:?}");
        let ceiling = one(&analysis, Quantity::CeilingRegret);
        assert!(!ceiling.reportable && ceiling.lo.is_none(), "{ceiling:?}");
        let slope = one(&analysis, Quantity::EncodedSlope);
        assert!(slope.has(Flag::ResolvedPart), "{:?}", slope.warnings);
        // The slope of the resolved part does not estimate the whole: it has an error, but no interval.
        assert!(slope.se.is_some() && slope.lo.is_none() && slope.hi.is_none(), "{slope:?}");
        if rho2.reportable {
            seen += 1;
            let text = page(&analysis);
            let bound = rho2.lo.expect("a one-sided bound");
            assert!(bound > 0.0 && bound < rho2.estimate.expect("ρ²"));
            assert!(
                text.contains("The model's inner state tells at least") || text.contains("tells at least"),
                "{text}"
            );
            assert!(
                !text.contains("ρ-limited; ") && !text.contains(": ρ-limited"),
                "an upper end is not known"
            );
        }
    }
    assert!(seen >= 3, "{seen} of 6 pass the gate");
    // With enough contrasts both ends are reported.
    let rho2 = analysed(&Design { hidden_size: 24, prompts: 60, ..Design::default() }, 1);
    assert!(one(&rho2, Quantity::Rho2).lo.is_some() && one(&rho2, Quantity::Rho2).hi.is_some());
}

fn cell(name: &str) -> Cell {
    cells().into_iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no cell {name}"))
}

#[test]
fn what_the_penalty_leaves_out_of_v_is_in_the_interval_of_rho2() {
    // With degrees of freedom capped at .9 r the interval of ρ² covers .01 to .4 here.
    for name in ["N/d = 30, v* trailing", "N/d = 10, v* trailing", "N/d = 2, v* trailing"] {
        let table = table::over_seeds(&cell(name).design, 700..760).expect("a table");
        let line = table.line("uncontrolled rho2 S").expect("ρ²");
        assert!(line.coverage.expect("intervals") >= 0.86, "{name}: {line:?}");
    }
    let large = Design { prompts: 400, ..cell("N/d = 100, v* trailing").design };
    let table = table::over_seeds(&large, 700..740).expect("a table");
    let line = table.line("uncontrolled rho2 S").expect("ρ²");
    assert!(line.coverage.expect("intervals") >= 0.85, "{line:?}");
}

/// Preferences in which the state separates the sides like two kinds of text, with this noise.
fn two_kinds(noise: f32) -> Analysis {
    let n = 240;
    let wave = |i: usize, j: usize| ((i * 7 + j * 13) as f32 * 12.9898).sin() * 43_758.547 % 1.0;
    let h = ndarray::Array3::from_shape_fn((n, 1, 4), |(i, _, j)| {
        wave(i, j) * noise + if j == 0 { (i % 2) as f32 } else { 0.0 }
    });
    let columns = vstar::observations::Columns {
        prompt: Some((0..n).map(|i| (i / 2) as i32).collect()),
        preferences: BTreeMap::from([("v".to_owned(), (0..n / 2).map(|i| [2 * i + 1, 2 * i]).collect())]),
        ..Default::default()
    };
    let meta = vstar::observations::Meta::new(vec![vstar::units::Layer(1)]);
    let observations = vstar::observations::Observations::new(meta, columns, h).expect("observations");
    let posed = pose(&observations, None, &BTreeSet::new()).expect("posed");
    analyse(&posed.problem, &posed.source, &Options::default()).expect("analysed")
}

#[test]
fn labels_told_better_than_a_gaussian_score_allows_have_no_latent_scale() {
    let find = |analysis: &Analysis, quantity: Quantity| -> Estimate {
        let of = |e: &&Estimate| e.quantity == quantity && e.control == Control::None;
        analysis.estimates.iter().find(of).expect("an estimate").clone()
    };
    let apart = two_kinds(0.3);
    assert!(find(&apart, Quantity::Rho2).estimate.expect("ρ²") > 0.9);
    for quantity in [Quantity::Rho2Latent, Quantity::Rho, Quantity::CeilingRegret] {
        let e = find(&apart, quantity);
        assert!(!e.reportable, "{e:?}");
        assert!(e.warnings.iter().any(|w| w.contains("two kinds of text")), "{e:?}");
    }
    // Predicted as well as such a score allows, and no better.
    let mixed = find(&two_kinds(1.2), Quantity::Rho2Latent);
    assert!(mixed.reportable && mixed.lo.expect("an interval") < 1.0, "{mixed:?}");
}

/// The grid of `docs/coverage.md` with few seeds: each figure covers when pooled over cells, and none is far off
/// anywhere.
#[test]
fn intervals_cover_over_the_whole_grid() {
    const SEEDS: u64 = 16;
    let mut pooled: BTreeMap<(Control, &str), (f64, f64)> = BTreeMap::new();
    let headings =
        ["ρ²", "latent ρ²", "ceiling", "⟨v_c, v*⟩", "encoded slope", "total slope", "⟨w, v*⟩", "gap"];
    for cell in cells().into_iter().filter(|c| c.per_dimension < 50.0) {
        let table = table::over_seeds(&cell.design, 9000..9000 + SEEDS).expect("a table");
        let covered = coverage::Covered { cell, table };
        for (control, heading) in
            [Control::None, Control::Length].into_iter().flat_map(|c| headings.map(|h| (c, h)))
        {
            let line = covered.line(heading, control);
            let Some((line, share)) = line.and_then(|l| Some((l, l.coverage?))) else { continue };
            let n = line.intervals as f64;
            let all = pooled.entry((control, heading)).or_insert((0.0, 0.0));
            *all = (all.0 + share * n, all.1 + n);
            // Of 16 intervals at .93, fewer than 11 contain the truth once in 1,500 times.
            let least = if line.intervals >= 12 { 0.62 } else { 0.0 };
            assert!(share >= least, "{}: {heading} {control:?} {share} of {n}", covered.cell.name);
        }
    }
    assert_eq!(pooled.len(), 2 * headings.len(), "{pooled:?}");
    for (figure, (held, n)) in pooled {
        let (share, se) = (held / n, (0.93f64 * 0.07 / n).sqrt());
        assert!(n >= 60.0 && share > 0.93 - 3.0 * se, "{figure:?}: {share} of {n}");
    }
}

#[test]
fn the_page_of_coverage_names_every_cell_and_marks_what_does_not_cover() {
    let mut cell = cell("N/d = 10");
    cell.design.prompts = 40;
    let table = table::over_seeds(&cell.design, 0..24).expect("a table");
    let mut covered = coverage::Covered { cell, table };
    let text = coverage::to_markdown(std::slice::from_ref(&covered), 24);
    assert_eq!(text.matches("| N/d = 10 | 10.00 |").count(), 2, "one a control: {text}");
    assert!(coverage::undercovered(&covered, Control::None).len() <= 1, "{text}");
    for line in &mut covered.table.lines {
        if line.name == "uncontrolled rho2 S" {
            line.coverage = Some(0.5);
        }
    }
    assert_eq!(coverage::undercovered(&covered, Control::None)[0], ("ρ²", 0.5));
    assert!(coverage::to_markdown(&[covered], 24).contains("**0.500**"));
}

#[test]
fn candidates_of_another_policy_are_weighed_or_said_to_be_those_given() {
    let design = Design { hidden_size: 24, prompts: 80, ..Design::default() };
    let data = simulate(&design, 6).expect("a data set");
    let mut posed = pose(&data.observations, None, &BTreeSet::new()).expect("a problem");
    let given = analyse(&posed.problem, &posed.source, &Options::default()).expect("an analysis");
    assert!(page(&given).contains("slopes and gains are those of the candidates given"));
    assert!(given.estimates.iter().all(|e| e.quantity != Quantity::PolicySlope));
    // q = P up to the prompt: the slope is the total slope, and every candidate has full weight.
    let p = posed.problem.logprob.clone().expect("log P");
    let logq: Vec<f64> =
        p.iter().zip(&posed.problem.prompt).map(|(p, &prompt)| p + f64::from(prompt)).collect();
    posed.problem.logq = Some(logq);
    let same = analyse(&posed.problem, &posed.source, &Options::default()).expect("an analysis");
    let (total, weighed) = (one(&same, Quantity::TotalSlope), one(&same, Quantity::PolicySlope));
    let (a, b) = (total.estimate.expect("a slope"), weighed.estimate.expect("a slope"));
    assert!((a - b).abs() < 1e-9 && weighed.reportable, "{a} {b}");
    assert!((one(&same, Quantity::EssRatio).estimate.expect("a ratio") - 1.0).abs() < 1e-12);
    assert!(!page(&same).contains("those of the candidates given"));
    // Far from the policy nothing is reportable.
    let far = p.iter().enumerate().map(|(i, p)| p + 3.0 * f64::from((i % 4) as u8)).collect();
    posed.problem.logq = Some(far);
    let far = analyse(&posed.problem, &posed.source, &Options::default()).expect("an analysis");
    let weighed = one(&far, Quantity::PolicySlope);
    assert!(!weighed.reportable && weighed.warnings[0].contains("effective sample size"), "{weighed:?}");
}
