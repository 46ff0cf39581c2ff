//! Figures dominated by one coordinate or one prompt, and intervals of d_eff under heavy tails.

use ndarray::{Array2, Array3};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, StudentT};
use rayon::prelude::*;
use vstar::error::Place;
use vstar::fit::pose;
use vstar::observations::{Columns, Meta, Observations};
use vstar::probe::{Contrasts, Spectrum};
use vstar::report::{Provenance, Report, from_json, to_json, to_markdown};
use vstar::theory::base::dominant::{Dominance, What};
use vstar::theory::base::effective::dimension_of;
use vstar::theory::{Analysis, Control, Estimate, Flag, Options, Quantity, analyse};
use vstar::units::Layer;

const D: usize = 24;

/// h of `prompts` with three responses each: prompt effect, response noise, and S read from coordinate 0.
struct Planted {
    /// Factor of a coordinate.
    massive: Option<(usize, f64)>,
    /// Factor of a prompt's responses, about their mean.
    loud: Option<(usize, f64)>,
    /// Constant added to a coordinate of every response.
    common: Option<(usize, f64)>,
    prompts: usize,
    d: usize,
    /// The coordinate that defines S.
    value: usize,
}

impl Planted {
    fn new() -> Self {
        Self { massive: None, loud: None, common: None, prompts: 150, d: D, value: 0 }
    }

    fn analysis(&self, seed: u64) -> Analysis {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let rows = 3 * self.prompts;
        let mut resid = Array3::<f32>::zeros((rows, 1, self.d));
        let mut s = vec![0.0; rows];
        for prompt in 0..self.prompts {
            let level: Vec<f64> = (0..self.d).map(|_| normal()).collect();
            for row in 3 * prompt..3 * prompt + 3 {
                for (j, level) in level.iter().enumerate() {
                    let mut h = normal();
                    if j == self.value {
                        s[row] = h + 0.5 * normal();
                    }
                    if let Some((loud, factor)) = self.loud
                        && loud == prompt
                    {
                        h *= factor;
                    }
                    h += level;
                    if let Some((massive, factor)) = self.massive
                        && massive == j
                    {
                        h *= factor;
                    }
                    if let Some((common, value)) = self.common
                        && common == j
                    {
                        h += value;
                    }
                    resid[[row, 0, j]] = h as f32;
                }
            }
        }
        let columns = Columns {
            prompt: Some((0..rows).map(|r| (r / 3) as i32).collect()),
            values: [("S".to_owned(), s)].into_iter().collect(),
            ..Columns::default()
        };
        let observations =
            Observations::new(Meta::new(vec![Layer(1)]), columns, resid).expect("observations");
        let posed = pose(&observations, None, &Default::default()).expect("a problem");
        analyse(&posed.problem, &posed.source, &Options::default()).expect("an analysis")
    }
}

fn one(analysis: &Analysis, quantity: Quantity) -> Option<&Estimate> {
    analysis.estimates.iter().find(|e| e.quantity == quantity && e.control == Control::None)
}

fn entry(analysis: &Analysis, quantity: Quantity, what: What) -> &Dominance {
    let mut found = analysis.dominance.iter().filter(|d| d.quantity == quantity && d.what == what);
    let first = found.next().unwrap_or_else(|| panic!("no {what:?} of {quantity:?}"));
    assert!(found.next().is_none());
    first
}

fn figure(analysis: &Analysis, quantity: Quantity) -> f64 {
    one(analysis, quantity).and_then(|e| e.estimate).expect("a figure")
}

fn page(analysis: &Analysis) -> String {
    let report = Report::new(Provenance::new(), analysis, Vec::new());
    // Round trip through JSON.
    let text = to_json(&report).expect("JSON");
    to_markdown(&from_json(&text, &Place::default()).expect("a report"))
}

const TITLE: &str = "What one coordinate or one prompt carries";

#[test]
fn nothing_dominates_isotropic_data() {
    for seed in 0..5 {
        let analysis = Planted::new().analysis(seed);
        assert!(analysis.dominance.len() >= 7, "{:?}", analysis.dominance);
        assert!(analysis.dominance.iter().all(|d| !d.dominates && d.without.is_none()));
        assert!(analysis.estimates.iter().all(|e| e.flags.is_empty()));
        assert!(!page(&analysis).contains(TITLE));
        for quantity in [Quantity::DEff, Quantity::DEffUncentred, Quantity::DEffBetween] {
            let e = one(&analysis, quantity).expect("an estimate");
            assert!(e.reportable && (e.estimate.expect("a figure") - D as f64).abs() < 1.5, "{e:?}");
        }
    }
}

#[test]
fn a_massive_coordinate_off_the_value_is_named_and_taken_out() {
    let analysis = Planted { massive: Some((5, 30.0)), ..Planted::new() }.analysis(11);
    for quantity in [Quantity::DEff, Quantity::DEffUncentred, Quantity::DEffBetween] {
        let found = entry(&analysis, quantity, What::Coordinate);
        assert!(found.dominates && found.index == 5 && found.share > 0.95, "{found:?}");
        let (without, (lo, hi)) = found.without.zip(found.without_interval).expect("without it");
        assert!(lo < 23.0 && 23.0 < hi && (without - 23.0).abs() < 1.5, "{found:?}");
        let e = one(&analysis, quantity).expect("an estimate");
        assert!(e.estimate.expect("a figure") < 1.2 && e.flags.contains(&Flag::DominantCoordinate), "{e:?}");
        assert!(e.warnings.iter().any(|w| w.contains("coordinate 5 carries")), "{:?}", e.warnings);
        assert!(!entry(&analysis, quantity, What::Prompt).dominates);
    }
    // Random directions read mostly coordinate 5 and hardly v*; without it they read as in 23 dimensions.
    let null = entry(&analysis, Quantity::GeometryNull, What::Coordinate);
    assert_eq!((null.index, null.value.as_deref()), (5, Some("S")));
    assert!(null.estimate.expect("with") < 0.16, "{null:?}");
    assert!((null.without.expect("without") - 1.0 / 23f64.sqrt()).abs() < 0.05, "{null:?}");
    let e = one(&analysis, Quantity::GeometryNull).expect("a null");
    assert!(e.flags.contains(&Flag::DominantCoordinate));
    assert!((e.estimate.expect("a figure") - null.estimate.expect("with")).abs() < 1e-9);
    let text = page(&analysis);
    assert!(text.contains(TITLE) && text.contains("coordinate 5"), "{text}");
}

#[test]
fn a_massive_coordinate_that_is_the_value_makes_every_direction_look_aligned() {
    let analysis = Planted { massive: Some((0, 30.0)), ..Planted::new() }.analysis(12);
    let null = entry(&analysis, Quantity::GeometryNull, What::Coordinate);
    assert!(null.dominates && null.index == 0);
    assert!(null.estimate.expect("with") > 0.8 && null.without.expect("without") < 0.15, "{null:?}");
}

#[test]
fn a_common_coordinate_is_of_the_uncentred_covariance_alone() {
    let analysis = Planted { common: Some((3, 60.0)), ..Planted::new() }.analysis(13);
    assert!(figure(&analysis, Quantity::DEffUncentred) < 1.1);
    assert!((figure(&analysis, Quantity::DEff) - D as f64).abs() < 1.5);
    assert!((figure(&analysis, Quantity::DEffBetween) - D as f64).abs() < 1.5);
    let found = entry(&analysis, Quantity::DEffUncentred, What::Coordinate);
    assert!(found.dominates && found.index == 3 && found.without.expect("without") > 20.0, "{found:?}");
    assert!(!entry(&analysis, Quantity::DEff, What::Coordinate).dominates);
}

#[test]
fn a_loud_prompt_is_named_and_left_out() {
    let analysis = Planted { loud: Some((42, 15.0)), ..Planted::new() }.analysis(14);
    let found = entry(&analysis, Quantity::DEff, What::Prompt);
    assert!(found.dominates && found.index == 42 && found.share > 0.3, "{found:?}");
    assert!((found.without.expect("without") - D as f64).abs() < 1.5, "{found:?}");
    let e = one(&analysis, Quantity::DEff).expect("an estimate");
    assert!(e.flags.contains(&Flag::DominantPrompt) && e.flags.contains(&Flag::HeavyTails), "{e:?}");
    assert!(!entry(&analysis, Quantity::DEff, What::Coordinate).dominates);
}

#[test]
fn the_model_based_rho2_is_given_for_few_contrasts_and_withheld_where_one_component_leads() {
    let model = |planted: Planted| one(&planted.analysis(15), Quantity::Rho2Model).cloned();
    assert!(model(Planted::new()).is_none(), "more contrasts than dimensions");
    let few = || Planted { prompts: 30, d: 80, ..Planted::new() };
    let isotropic = model(few()).expect("an estimate");
    assert!(isotropic.reportable && isotropic.flags.is_empty(), "{isotropic:?}");
    let massive = model(Planted { massive: Some((5, 30.0)), ..few() }).expect("an estimate");
    assert!(!massive.reportable && massive.estimate.is_some(), "{massive:?}");
    assert_eq!(massive.flags, [Flag::LeadingComponent]);
    assert!(massive.warnings.iter().any(|w| w.contains("one component carries")));
}

/// Responses with a known covariance and heavy tails.
#[derive(Clone, Copy)]
struct Tails {
    name: &'static str,
    prompts: usize,
    responses: usize,
    /// Degrees of freedom of the first `heavy` coordinates; the others are normal.
    df: f64,
    heavy: usize,
    /// Variance of the first three coordinates, if it differs from the spectrum j⁻¹ (of mean 1).
    massive: Option<f64>,
    /// Standard deviation of the logarithm of a prompt's spread.
    unequal: f64,
    /// Minimum coverage; and an upper bound on that of ± 1.96 jackknife errors, where they fail.
    least: f64,
    plain: Option<f64>,
}

const WIDTH: usize = 32;

const NORMAL: Tails = Tails {
    name: "normal",
    prompts: 40,
    responses: 2,
    df: 5.0,
    heavy: 0,
    massive: None,
    unequal: 0.0,
    least: 0.92,
    plain: None,
};

impl Tails {
    fn variance(&self, j: usize) -> f64 {
        let mean = (1..=WIDTH).map(|j| 1.0 / j as f64).sum::<f64>() / WIDTH as f64;
        self.massive.filter(|_| j < 3).unwrap_or(1.0 / (j + 1) as f64 / mean)
    }

    /// Whether the interval contains the truth, whether ± 1.96 errors do, and the ratio of their lengths
    /// (logarithms).
    fn of_seed(&self, seed: u64) -> [f64; 3] {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let t = StudentT::new(self.df).expect("degrees of freedom");
        let unit = (self.df / (self.df - 2.0)).sqrt();
        let rows = self.prompts * self.responses;
        let mut h = Array2::<f32>::zeros((rows, WIDTH));
        for prompt in 0..self.prompts {
            let normal: f64 = StandardNormal.sample(&mut rng);
            let spread = (self.unequal * normal).exp();
            for row in prompt * self.responses..(prompt + 1) * self.responses {
                for j in 0..WIDTH {
                    let z: f64 = if j < self.heavy {
                        t.sample(&mut rng) / unit
                    } else {
                        StandardNormal.sample(&mut rng)
                    };
                    h[[row, j]] = (spread * self.variance(j).sqrt() * z) as f32;
                }
            }
        }
        let prompt: Vec<i32> = (0..rows).map(|r| (r / self.responses) as i32).collect();
        let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
        let spectrum = Spectrum::new(&contrasts.matrix(h.view())).expect("factors");
        let found = dimension_of(&spectrum, contrasts.blocks()).expect("a dimension");
        let (sum, square) =
            (0..WIDTH).map(|j| self.variance(j)).fold((0.0, 0.0), |(s, q), v| (s + v, q + v * v));
        let truth: f64 = sum * sum / square;
        let (lo, hi) = found.interval;
        let off = (found.d_eff.ln() - truth.ln()).abs();
        let hit = |held: bool| f64::from(u8::from(held));
        [
            hit(lo <= truth && truth <= hi),
            hit(off <= 1.96 * found.log_se),
            (hi / lo).ln() / (2.0 * 1.96 * found.log_se),
        ]
    }
}

/// The table of `docs/estimators.md`; run with `--nocapture` to see it.
#[test]
fn the_interval_of_d_eff_covers_with_few_pairs_and_with_heavy_tails() {
    const SEEDS: u64 = 300;
    let t3 = |name, prompts, responses| Tails {
        name,
        prompts,
        responses,
        df: 3.0,
        heavy: WIDTH,
        plain: Some(0.9),
        ..NORMAL
    };
    let three = |name, prompts, responses| Tails { heavy: 3, ..t3(name, prompts, responses) };
    let massive = Some(60.0);
    let regimes = [
        Tails { prompts: 25, ..NORMAL },
        NORMAL,
        Tails { prompts: 150, ..NORMAL },
        Tails { prompts: 150, responses: 4, ..NORMAL },
        Tails { df: 5.0, massive, plain: None, ..three("three massive t5", 150, 4) },
        Tails { df: 5.0, massive, plain: None, ..three("three massive t5", 50, 2) },
        Tails { least: 0.88, ..t3("t3", 50, 2) },
        t3("t3", 150, 2),
        Tails { massive, ..three("three massive t3", 150, 4) },
        Tails { massive, plain: None, ..three("three massive t3", 50, 2) },
        // The hardest regime, which is not covered, as documented.
        Tails { least: 0.84, ..three("three leading t3", 60, 2) },
        Tails { least: 0.88, ..three("three leading t3", 150, 2) },
        Tails { name: "unequal spread", prompts: 100, responses: 4, unequal: 0.8, ..NORMAL },
    ];
    let mut failed = Vec::new();
    for regime in regimes {
        let add = |a: [f64; 3], b: [f64; 3]| [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
        let sums = (0..SEEDS).into_par_iter().map(|seed| regime.of_seed(seed)).reduce(|| [0.0; 3], add);
        let [ours, plain, length] = sums.map(|v| v / SEEDS as f64);
        let line = format!(
            "{}, {} prompts of {}: {ours:.3}, plain {plain:.3}, length {length:.2}",
            regime.name, regime.prompts, regime.responses
        );
        println!("{line}");
        let plain_fails = regime.plain.is_none_or(|most| plain < most);
        // Not merely by being wide: for normal contrasts only Student's quantile and the skewness widen the interval.
        let short = regime.name != "normal" || length < 1.6;
        if !(ours >= regime.least && plain_fails && short) {
            failed.push(line);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
