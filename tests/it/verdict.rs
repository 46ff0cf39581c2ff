//! The judge's state at its answers: the lens on every family, planted readings and directions, and the file written
//! by a run.

use std::collections::BTreeSet;
use std::fs;

use candle_core::DType;
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use vstar::error::Result;
use vstar::fit::pose;
use vstar::forest::{Pool, Request, Settings, run};
use vstar::input::Family;
use vstar::model::decoder::{Engine, Steering};
use vstar::observations::Observations;
use vstar::probe::Contrasts;
use vstar::report::words::five_lines;
use vstar::report::{ConstitutionCard, Report, to_markdown};
use vstar::theory::{
    Analysis, Choices, Control, Labels, LayerChoice, LayerSource, Mode, Options, Parts, Problem, Quantity,
    RawChoices, Value, VerdictSource, VerdictText, analyse,
};
use vstar::units::{Layer, TokenSpan};

use crate::cli::{Place, ready};
use crate::forest::{random_decoder, variants};
use crate::state::section_of;

#[test]
fn at_the_last_layer_the_lens_reads_the_answers_own_log_odds_in_every_variant() {
    for (name, config) in variants() {
        let decoder = random_decoder(&config, 11, DType::F32);
        let last = decoder.config().num_blocks();
        let tokens = vec![1, 0, 2, 2, 1];
        let span = TokenSpan { start: tokens.len() - 1, end: tokens.len() };
        let request = Request { tokens, response: Some(span), logprob: false, answers: Some([1, 2]) };
        for engine in [Engine::Auto, Engine::Plain, Engine::Batched] {
            let decoder = decoder.clone().with_engine(engine);
            let settings = Settings {
                layers: vec![Layer(last)],
                pool: Pool::Last,
                chunk_tokens: 64,
                memory: None,
                steering: Steering::default(),
            };
            let requests = [request.clone()];
            let read = run(&decoder, &requests, &settings, &|_| Default::default(), &mut |_| Ok(()))
                .expect("a reading")
                .remove(0);
            let lens = decoder.lens(&read.resid, [1, 2]).expect("a lens")[0];
            let odds = read.answers[0] - read.answers[1];
            assert!((lens - odds).abs() < 1e-4 * (1.0 + odds.abs()), "{name} {engine:?}: {lens} {odds}");
        }
    }
}

const WIDTH: usize = 12;

/// Responses whose rewards can be read from h along v and from z along c·v + √(1 − c²)·u, each with noise of variance
/// `noise` in every coordinate.
struct Planted {
    h: Array2<f32>,
    z: Array2<f32>,
    layers: [Layer; 2],
    text: [VerdictText; 1],
    problem: Problem,
}

impl LayerSource for Planted {
    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn resid(&self, _: Layer) -> Result<Array2<f32>> {
        Ok(self.h.clone())
    }

    fn verdicts(&self) -> Option<&dyn VerdictSource> {
        Some(self)
    }
}

impl VerdictSource for Planted {
    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn texts(&self) -> &[VerdictText] {
        &self.text
    }

    fn resid(&self, _: usize, _: Layer) -> Result<Array2<f32>> {
        Ok(self.z.clone())
    }
}

/// Planted truth; `reading` is the share of a nat of reward present in z along its direction.
#[derive(Clone, Copy)]
struct Truth {
    cosine: f64,
    noise: f64,
    reading: f64,
    lens: f64,
    prompts: usize,
}

impl Truth {
    const CLEAR: Self = Self { cosine: 0.6, noise: 0.5, reading: 1.0, lens: 0.3, prompts: 80 };

    /// ρ² of the verdict from z.
    fn rho2(self) -> f64 {
        let signal = self.reading * self.reading;
        signal / (signal + self.noise)
    }

    /// cos(v_c, u_c) in the covariance of z.
    fn transfer(self) -> f64 {
        let variance = |c: f64| self.reading * self.reading * c * c + self.noise;
        self.cosine / variance(self.cosine).sqrt() * variance(1.0).sqrt()
    }

    fn draw(self, seed: u64) -> Planted {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let n = 4 * self.prompts;
        let reward: Vec<f64> = (0..n).map(|_| normal()).collect();
        let s: Vec<f64> = reward.iter().map(|r| 0.5 * r + normal()).collect();
        let sd = self.noise.sqrt();
        let sine = (1.0 - self.cosine * self.cosine).sqrt();
        let mut along = |a: f64, b: f64, scale: f64| {
            Array2::from_shape_fn((n, WIDTH), |(i, j)| {
                let part = [a, b].get(j).copied().unwrap_or(0.0);
                (scale * part * reward[i] + sd * normal()) as f32
            })
        };
        let (h, z) = (along(1.0, 0.0, 1.0), along(self.cosine, sine, self.reading));
        let lens: Vec<f64> = reward.iter().map(|r| self.lens * r + 0.4 * normal()).collect();
        let text = VerdictText {
            name: "kind".into(),
            mode: Mode::Pointwise,
            present: vec![true; n],
            lens: vec![lens, reward.clone()],
        };
        let parts = Parts {
            prompt: (0..n).map(|i| (i / 4) as i32).collect(),
            tokens: Some((0..n).map(|i| (5 + (i * 7) % 11) as f64).collect()),
            values: vec![Value { name: "v".into(), labels: Labels::Scores(s) }],
            judged: vec![RawChoices {
                name: "kind".into(),
                placebo: false,
                mode: Mode::Pointwise,
                choices: Choices::Scores(reward),
            }],
            ..Parts::default()
        };
        let problem = Problem::new(parts).expect("a problem");
        Planted { h, z, layers: [Layer(1), Layer(2)], text: [text], problem }
    }
}

fn analysis(planted: &Planted) -> Analysis {
    let options = Options { layer: LayerChoice::Fixed(Layer(1)), ..Options::default() };
    analyse(&planted.problem, planted, &options).expect("analysed")
}

fn section(analysis: &Analysis) -> String {
    section_of(analysis, "Where the verdict is made")
}

#[test]
fn planted_readings_are_found_without_bias_and_covered() {
    const SEEDS: u64 = 60;
    let truth = Truth::CLEAR;
    for (quantity, planted) in [
        (Quantity::VerdictRho2, truth.rho2()),
        (Quantity::LensShare, truth.lens),
        (Quantity::VerdictTransfer, truth.transfer()),
    ] {
        for control in [Control::None, Control::Length] {
            let (mut sum, mut squares, mut covered) = (0.0, 0.0, 0);
            for seed in 0..SEEDS {
                let analysis = analysis(&truth.draw(seed));
                let e = analysis.estimates.iter().find(|e| e.quantity == quantity && e.control == control);
                let e = e.expect("an estimate");
                let found = e.estimate.unwrap_or_else(|| panic!("{e:?}"));
                sum += found - planted;
                squares += (found - planted).powi(2);
                let (lo, hi) = (e.lo.expect("an interval"), e.hi.expect("an interval"));
                covered += u64::from((lo..=hi).contains(&planted));
            }
            let n = SEEDS as f64;
            let (bias, se) = (sum / n, (squares / n).sqrt() / n.sqrt());
            let at = format!("{quantity:?} {control:?}: bias {bias:.4} ± {se:.4}, covered {covered}");
            assert!(bias.abs() < 3.5 * se + 0.01, "{at}");
            // Ten standard errors of a share below .95 would be .83.
            assert!(covered >= 52, "{at}");
        }
    }
}

#[test]
fn directions_that_share_nothing_have_a_cosine_of_none_and_are_not_called_one() {
    let apart = analysis(&Truth { cosine: 0.0, ..Truth::CLEAR }.draw(3));
    let one = analysis(&Truth { cosine: 1.0, ..Truth::CLEAR }.draw(3));
    let of = |a: &Analysis| {
        let e = a.estimates.iter().find(|e| {
            e.quantity == Quantity::VerdictTransfer && e.control == Control::None && e.estimate.is_some()
        });
        e.expect("identifiable").clone()
    };
    assert!(of(&apart).lo.expect("an interval") < 0.0 && of(&apart).hi.expect("an interval") > 0.0);
    assert!(of(&one).lo.expect("an interval") > 0.8);
    assert!(
        section(&apart).contains("clearly reads the verdict at the answer too under 0 of 1 constitution")
    );
    assert!(section(&one).contains("clearly reads the verdict at the answer too under 1 of 1 constitution"));
}

#[test]
fn a_state_that_knows_nothing_of_the_verdict_says_so() {
    let nothing = analysis(&Truth { reading: 0.0, lens: 0.0, ..Truth::CLEAR }.draw(5));
    let find = |quantity| {
        let of = |e: &&vstar::theory::Estimate| e.quantity == quantity && e.control == Control::None;
        nothing.estimates.iter().find(of).expect("an estimate")
    };
    assert!(find(Quantity::VerdictRho2).lo.expect("an interval") < 0.05);
    assert!(find(Quantity::VerdictTransfer).estimate.is_none());
    let lens = find(Quantity::LensShare);
    assert!(lens.lo.expect("an interval") < 0.0 && lens.hi.expect("an interval") > 0.0);
    let text = section(&nothing);
    assert!(
        text.contains(
            "Before the last kept layer (2) the unembedding does not clearly read half of the verdict"
        ),
        "{text}"
    );
    assert!(!text.contains("clearly reads the verdict at the answer"), "{text}");
    assert!(!text.contains("tells more than the verdict does"), "{text}");
    let early = analysis(&Truth { lens: 0.9, ..Truth::CLEAR }.draw(5));
    let half = "From layer 1 on the unembedding clearly reads at least half of the verdict";
    assert!(section(&early).contains(half));
    // One half within the interval is not clearly above one half.
    let about = analysis(&Truth { lens: 0.51, ..Truth::CLEAR }.draw(5));
    assert!(!section(&about).contains(half), "{}", section(&about));
}

#[test]
fn a_state_that_knows_more_than_the_verdict_says_is_told_from_one_that_does_not() {
    let more = |planted: &Planted| {
        let analysis = analysis(planted);
        let said =
            section(&analysis).contains("tells more than the verdict does of “v” (1 of 1 constitution)");
        let report = Report::new(Default::default(), &analysis, Vec::new());
        let first = five_lines(&report)[2].contains("its state tells more of “v” than its answers do");
        assert_eq!(said, first);
        said
    };
    let plain = Truth::CLEAR.draw(9);
    assert!(!more(&plain));
    // S itself in a coordinate of z that the verdict does not use.
    let mut knows = Truth::CLEAR.draw(9);
    let Labels::Scores(s) = &knows.problem.values[0].labels else { panic!("scores") };
    for (i, s) in s.iter().enumerate() {
        knows.z[[i, 5]] += 3.0 * *s as f32;
    }
    assert!(more(&knows));
    // What a text without content leaves unsaid is not due to a constitution.
    let analysis = analysis(&knows);
    let card = |family| ConstitutionCard {
        name: "kind".into(),
        family: Some(family),
        paraphrase_of: None,
        expect: Default::default(),
        excerpt: String::new(),
    };
    for (family, said) in [(Family::Prosocial, true), (Family::Placebo, false)] {
        let report = Report::new(Default::default(), &analysis, vec![card(family)]);
        assert_eq!(five_lines(&report)[2].contains("tells more of “v”"), said, "{family:?}");
        let text = to_markdown(&report);
        assert_eq!(text.contains("tells more than the verdict does"), said, "{family:?}");
        assert_eq!(text.contains("clearly reads the verdict at the answer too under"), said, "{family:?}");
    }
}

fn verdicts(place: &Place, out: &str) -> Observations {
    Observations::open(&place.path(&format!("{out}/verdicts.safetensors"))).expect("verdict states")
}

#[test]
fn a_run_keeps_the_states_at_its_answers_and_they_carry_its_own_verdicts() {
    let place = ready();
    let (ok, out, err) = place.vstar(&["run", "run.toml"]);
    assert!(ok, "{out}\n{err}");
    let kept = verdicts(&place, "out");
    assert_eq!(kept.meta().constitutions, ["blue", "kind"]);
    let last = *kept.layers().last().expect("a layer");
    let observations = Observations::open(&place.path("out/observations.safetensors")).expect("observations");
    assert_eq!(Some(&last), observations.layers().last());
    let posed = pose(&observations, None, &BTreeSet::new()).expect("posed");
    let source = posed.source.verdicts().expect("verdict states");
    let rows: Vec<i32> = posed.problem.prompt.clone();
    for judged in &posed.problem.judged {
        let text = source.texts().iter().find(|t| t.name == judged.name).expect("its states");
        let lens = text.lens.last().expect("the last layer");
        let contrasts = Contrasts::helmert(&rows, &rows, |r| judged.reward[r].is_finite());
        let (lens, reward) = (contrasts.column(lens), contrasts.column(&judged.reward));
        for (l, r) in lens.iter().zip(&reward) {
            assert!((l - r).abs() < 2e-4 * (1.0 + r.abs()), "{l} {r}");
        }
        assert!(reward.iter().any(|r| r.abs() > 1e-3), "the verdict varies");
    }
    let report = fs::read_to_string(place.path("out/report.html")).expect("a report");
    assert!(report.contains("<b>Where the verdict is made</b>"), "{report}");

    // Without them everything else is unchanged, and the report does not mention them.
    let (ok, out, err) = place.vstar(&["run", "run.toml", "--judge-layers", "none", "--out", "without"]);
    assert!(ok, "{out}\n{err}");
    assert!(!place.path("without/verdicts.safetensors").exists());
    let estimates = |folder: &str| -> Vec<serde_json::Value> {
        let report = crate::cli::report(&place.path(folder).join("report.json"));
        let all = report["estimates"].as_array().expect("estimates").clone();
        let of_states = |e: &serde_json::Value| {
            let name = e["quantity"].as_str().expect("a name");
            name.starts_with("verdict_") || name == "lens_share"
        };
        all.into_iter().filter(|e| !of_states(e)).collect()
    };
    assert_eq!(estimates("out"), estimates("without"));
    let report = fs::read_to_string(place.path("without/report.md")).expect("a report");
    assert!(!report.contains("Where the verdict is made"));
}

#[test]
fn a_constitution_that_is_judged_later_leaves_the_states_of_the_others() {
    let place = ready();
    let model = crate::cli::model();
    let judge = |constitution: &str, more: &[&str]| {
        let args = ["judge", "--model", &model, "--data", "items.jsonl", "--judge", "judge.toml"];
        let (ok, out, err) =
            place.vstar(&[&args[..], &["--out", "later", "--constitution", constitution], more].concat());
        assert!(ok, "{out}\n{err}");
    };
    judge("c/kind.toml", &[]);
    let first = verdicts(&place, "later");
    let rows = first.rows();
    let row = first.row(5).expect("a row");
    drop(first);
    judge("c/blue.toml", &[]);
    let both = verdicts(&place, "later");
    assert_eq!(
        (both.rows(), both.meta().constitutions.clone()),
        (2 * rows, vec!["blue".into(), "kind".into()])
    );
    assert_eq!(both.row(rows + 5).expect("its row"), row);
    // Other layers give other states: the existing ones cannot be combined with them.
    judge("c/kind.toml", &["--judge-layers", "1"]);
    assert_eq!(verdicts(&place, "later").meta().constitutions, ["kind"]);
    judge("c/kind.toml", &["--judge-layers", "none"]);
    assert!(!place.path("later/verdicts.safetensors").exists());
}

#[test]
fn states_of_another_model_are_left_alone_with_a_warning() {
    let place = ready();
    for out in ["a", "b"] {
        let (ok, o, err) = place.vstar(&["run", "run.toml", "--out", out]);
        assert!(ok, "{o}\n{err}");
    }
    // The recipe identifies the weights: with one digit of their hash changed it is another model.
    let mut other = fs::read(place.path("b/verdicts.safetensors")).expect("bytes");
    let key = b"config_sha256";
    let at = other.windows(key.len()).position(|w| w == key).expect("the recipe") + key.len() + 12;
    assert!(other[at].is_ascii_hexdigit());
    other[at] = if other[at] == b'0' { b'1' } else { b'0' };
    fs::write(place.path("a/verdicts.safetensors"), other).expect("written");
    let observations = place.path("a/observations.safetensors");
    let observations = observations.to_string_lossy();
    let (ok, out, err) = place.vstar(&["fit", "--observations", &observations, "--out", "fitted"]);
    assert!(ok, "{out}\n{err}");
    let report = fs::read_to_string(place.path("fitted/report.md")).expect("a report");
    assert!(report.contains("verdicts.safetensors is not used: it is of another model"), "{report}");
    assert!(!report.contains("Where the verdict is made"));
}

/// Removes the experiment's template, which is for forced choices.
fn likelihoods(place: &Place) {
    let text = fs::read_to_string(place.path("run.toml")).expect("an experiment");
    place.write("likelihoods.toml", &text.replace("template = \"judge.toml\"", ""));
}

#[test]
fn responses_are_read_only_under_the_constitutions_that_are_asked_for() {
    let place = ready();
    for (out, under, constitutions) in [("none", "none", 1), ("some", "blue", 2), ("all", "all", 3)] {
        let (ok, o, err) = place.vstar(&["run", "run.toml", "--under", under, "--out", out]);
        assert!(ok, "{o}\n{err}");
        let seen =
            Observations::open(&place.path(&format!("{out}/observations.safetensors"))).expect("a file");
        assert_eq!(seen.meta().constitutions.len(), constitutions, "{out}");
        assert_eq!(seen.columns().judgments.len(), 2, "{out}: the judge is asked under all");
        assert_eq!(seen.rows(), constitutions * seen.select_constitution("none").expect("bare").len());
    }
    let err = place.refused(&["run", "run.toml", "--under", "blu", "--out", "x"]);
    assert!(err.contains("did you mean `blue`?"), "{err}");
    likelihoods(&place);
    let err =
        place.refused(&["run", "likelihoods.toml", "--under", "none", "--mode", "implicit", "--out", "x"]);
    assert!(err.contains("needs log P under every constitution"), "{err}");
}

#[test]
fn log_p_is_left_out_where_nothing_needs_it_and_what_needs_it_says_so() {
    let place = ready();
    let set = ["run", "run.toml", "--set", "capture.logprob=bare", "--out", "bare"];
    let (ok, out, err) = place.vstar(&set);
    assert!(ok, "{out}\n{err}");
    let (ok, out, err) = place.vstar(&["run", "run.toml", "--out", "all"]);
    assert!(ok, "{out}\n{err}");
    let read = |out: &str| {
        Observations::open(&place.path(&format!("{out}/observations.safetensors"))).expect("a file")
    };
    let (bare, all) = (read("bare"), read("all"));
    let rows = bare.select_constitution("none").expect("bare rows");
    let (ours, theirs) = (bare.columns().logprob.as_ref(), all.columns().logprob.as_ref());
    let (ours, theirs) = (ours.expect("log P"), theirs.expect("log P"));
    for (row, (a, b)) in ours.iter().zip(theirs).enumerate() {
        match rows.position(row) {
            Some(_) => assert_eq!(a, b),
            None => assert!(a.is_nan() && b.is_finite()),
        }
    }
    assert_eq!(bare.row(3).expect("a row"), all.row(3).expect("a row"));
    let last = bare.rows() - 1;
    assert_eq!(bare.row(last).expect("a row"), all.row(last).expect("a row"));
    let report = fs::read_to_string(place.path("bare/report.html")).expect("a report");
    assert!(report.contains("generation under a constitution is not compared"), "{report}");
    likelihoods(&place);
    let args =
        ["run", "likelihoods.toml", "--set", "capture.logprob=bare", "--mode", "implicit", "--out", "x"];
    assert!(place.refused(&args).contains("capture.logprob"));
}
