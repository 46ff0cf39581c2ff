//! Simulations: large draws have the moments claimed by their truth, in every regime.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use ndarray::{Array1, Array2, Axis, s};
use vstar::error::Kind;
use vstar::observations::Observations;
use vstar::simulate::{Binary, Design, Massive, Objective, Regime, Table, simulate};
use vstar::units::Layer;

use crate::moments::{check_moments, contrasts, figures, solve};

/// A regime with so many contrasts and so few dimensions that moments are precise.
fn large(design: Design) -> Design {
    Design { hidden_size: 24, prompts: 5000, graded: true, texts: None, ..design }
}

#[test]
fn large_draws_of_every_regime_have_the_moments_that_their_truth_claims() {
    for (at, regime) in Regime::ALL.into_iter().enumerate() {
        let mut design = large(regime.design());
        if let Some(massive) = &mut design.massive {
            // Fourth moments determine the sampling errors; those of t with 5 degrees of freedom do not converge.
            massive.df = 12.0;
        }
        design.tails = design.tails.map(|_| 12.0);
        let compared = check_moments(regime.name(), &design, 100 + at as u64);
        // Fewer would mean that names no longer match.
        let least = if regime == Regime::Unencoded || design.judges.is_empty() { 16 } else { 20 };
        assert!(compared >= least, "{}: only {compared} figures compared", regime.name());
    }
}

#[test]
fn bent_objectives_have_the_moments_that_their_truth_claims_under_heavy_tails() {
    let objective = |name: &str, optimum| Objective {
        name: name.to_owned(),
        cos: 0.3,
        optimum,
        noise_var: 1.0,
        noise_corr: -0.4,
    };
    let design = Design {
        massive: Some(Massive { count: 2, variance: 20.0, df: 14.0, share: 0.6 }),
        heteroscedastic: 0.5,
        objectives: vec![objective("off_centre", Some(0.8)), objective("straight", None)],
        prompts: 12_000,
        ..large(Design::default())
    };
    assert!(check_moments("bent", &design, 7) >= 30);
}

#[test]
fn binary_labels_have_their_prevalence_and_latent_share_at_any_prompt_effect() {
    for (seed, prevalence, icc) in [(1, 0.05, 0.0), (2, 0.3, 0.7), (3, 0.5, 0.3)] {
        let binary = Some(Binary { prevalence });
        let design = Design { binary, prompt_icc: icc, prompts: 10_000, ..large(Design::default()) };
        let data = simulate(&design, seed).expect("drawn");
        let labels = &data.observations.columns().values["S_bin"];
        let share = labels.iter().sum::<f64>() / labels.len() as f64;
        // Four responses of a prompt count as one in the worst case.
        assert!(
            (share - prevalence).abs() < 4.0 * (prevalence / 10_000.0).sqrt(),
            "{share} for {prevalence}"
        );
        assert!(check_moments("binary", &design, seed) >= 30);
        assert_eq!(data.truth.get("rho2_latent S_bin").flatten().map(|v| (v * 1e9).round()), Some(4e8));
    }
}

#[test]
fn preferences_keep_two_over_pi_of_the_latent_share() {
    let design = Design { responses: [2, 2], pairwise: true, prompts: 20_000, ..large(Design::default()) };
    let data = simulate(&design, 5).expect("drawn");
    let h = data.observations.layer(Layer(0)).expect("layer").mapv(f64::from);
    let pairs = &data.observations.columns().preferences["S_pref"];
    assert_eq!(pairs.len(), 20_000);
    let s = &data.observations.columns().values["S"];
    assert!(pairs.iter().all(|&[better, worse]| s[better] >= s[worse]));
    // The sign of each difference (first row minus second) regressed on it.
    let first = |&[a, b]: &[usize; 2]| if a < b { (a, b, 1.0) } else { (b, a, -1.0) };
    let d = 24;
    let mut xx = Array2::<f64>::zeros((d, d));
    let mut xy = Array2::<f64>::zeros((d, 1));
    for pair in pairs {
        let (a, b, sign) = first(pair);
        let x = (&h.row(a) - &h.row(b)).insert_axis(Axis(1));
        xx += &x.dot(&x.t());
        xy.scaled_add(sign, &x);
    }
    let r2 = (xy.t().dot(&solve(&xx, &xy)))[[0, 0]] / pairs.len() as f64;
    let latent = r2 * std::f64::consts::FRAC_PI_2;
    let truth = data.truth.get("rho2_latent S_pref").flatten().expect("claimed");
    assert!((latent - truth).abs() < 0.015, "{latent} against {truth}");
}

#[test]
fn planted_directions_predict_the_labels_in_raw_coordinates() {
    let data = simulate(&large(Regime::Tall.design()), 11).expect("drawn");
    let contrasts = contrasts(&data, Layer(0));
    let x = contrasts.rows.slice(s![.., ..24]);
    let label = |name: &str| {
        let at = contrasts.labels.iter().position(|l| l == name).expect("label");
        contrasts.rows.column(24 + at).to_owned()
    };
    let score = |name: &str| x.dot(&data.directions[name].row(0));
    let mean = |a: &Array1<f64>, b: &Array1<f64>| a.dot(b) / a.len() as f64;
    for (judge, cos) in [("good", 0.8), ("neutral", 0.0), ("adversarial", -0.5)] {
        let truth = 3.0 * cos;
        for slope in [
            mean(&score("v_star.S"), &label(&format!("J:{judge}"))),
            mean(&score(&format!("v_c.{judge}")), &label("S")),
            mean(&score(&format!("v_c.{judge}")), &score("v_star.S")),
        ] {
            assert!((slope - truth).abs() < 0.12, "{judge}: {slope} against {truth}");
        }
    }
    assert!((mean(&score("v_star.S"), &score("v_star.S")) - 1.0).abs() < 0.05);
    // Products of sd 4 and sd √20 at correlation √.8: their mean has a standard error of 24/√15000.
    let total = mean(&score("w"), &label("logp"));
    assert!((total - 16.0).abs() < 0.8, "{total}");
}

#[test]
fn the_concentration_curve_is_that_of_the_coordinates_where_nothing_is_turned() {
    let design = Design { rotate: false, ..large(Design::default()) };
    let data = simulate(&design, 3).expect("drawn");
    let contrasts = contrasts(&data, Layer(0));
    let v = data.directions["v_star.S"].row(0).to_owned();
    let variance = contrasts.rows.slice(s![.., ..24]).mapv(|x| x * x).mean_axis(Axis(0)).expect("rows");
    let parts = &v * &v * &variance;
    let shares = &data.truth.population.value_concentration_variance_share;
    assert!(shares.contains_key("4") && shares.contains_key("24"));
    for (k, share) in shares {
        let k: usize = k.parse().expect("a number");
        let sample = parts.slice(s![..k]).sum() / parts.sum();
        assert!((sample - share).abs() < 0.02, "{k}: {sample} against {share}");
    }
}

#[test]
fn the_figures_of_the_known_data_set_follow_from_what_was_planted() {
    let data = simulate(&Regime::Tall.design(), 1).expect("drawn");
    let truth = |name: &str| data.truth.get(name).flatten().unwrap_or_else(|| panic!("no {name}"));
    for (name, value) in [
        ("cos S|J:good", 0.8),
        ("cos S_bin|J:adversarial", -0.5),
        ("cos S|logp", 0.1),
        ("rho2 S", 0.4),
        ("rho2_latent S_bin", 0.4),
        ("slope_encoded S|J:good", 2.4),
        ("total_slope S|J:adversarial", -1.5),
        ("total_slope S|logp", 0.4),
        ("d_eff_within", 13.811267732378777),
        ("sigma_S_within", 1.5811388300841898),
        ("ceiling_regret_best_of_2", 0.3278724745286293),
        ("value_concentration_variance_share 64", 1.0),
    ] {
        assert!((truth(name) - value).abs() < 1e-9, "{name}: {}", truth(name));
    }
    assert_eq!(data.truth.get("cos S|J:nobody"), None);
    let unencoded = simulate(&Regime::Unencoded.design(), 1).expect("drawn");
    assert_eq!(unencoded.truth.get("cos S|J:good"), Some(None));
    assert_eq!(unencoded.truth.get("slope_encoded S|J:good"), Some(Some(0.0)));
    // Noise of variance 1, and 3²·.3/.7, shared .5.
    let shared = 0.5 * (9.0f64 * 0.3 / 0.7).sqrt();
    let total = unencoded.truth.get("total_slope S|J:good").flatten().expect("claimed");
    assert!((total - shared).abs() < 1e-12);
}

#[test]
fn a_seed_decides_every_number_whatever_the_number_of_threads() {
    let design = Design { hidden_size: 32, prompts: 30, ..Regime::Ragged.design() };
    let folder = tempfile::tempdir().expect("folder");
    let written = |seed: u64, threads: usize, name: &str| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("pool");
        let folder = folder.path().join(name);
        pool.install(|| simulate(&design, seed)).expect("drawn").write(&folder).expect("written");
        ["observations.safetensors", "truth.json", "truth.safetensors"]
            .map(|file| std::fs::read(folder.join(file)).expect(file))
    };
    assert_eq!(written(9, 1, "a"), written(9, 3, "b"));
    assert_ne!(written(9, 1, "a"), written(10, 1, "c"));
}

#[test]
fn every_regime_is_drawn_written_and_read_back() {
    let folder = tempfile::tempdir().expect("folder");
    for regime in Regime::ALL {
        assert_eq!(Regime::by_name(regime.name()).expect("known"), regime);
        let data = simulate(&regime.design(), 4).expect("drawn");
        data.write(folder.path()).expect("written");
        let read = Observations::open(&folder.path().join("observations.safetensors")).expect("readable");
        assert_eq!(read.warnings(), Vec::<String>::new(), "{}", regime.name());
        assert_eq!(format!("{:?}", read.columns()), format!("{:?}", data.observations.columns()));
        for &layer in read.layers() {
            assert_eq!(read.layer(layer).expect("layer"), data.observations.layer(layer).expect("layer"));
        }
        let text = std::fs::read_to_string(folder.path().join("truth.json")).expect("truth");
        let truth: vstar::simulate::Truth = serde_json::from_str(&text).expect("truth");
        assert_eq!(truth.seed, 4);
        assert_eq!(truth.design, data.truth.design);
        let given = &truth.design;
        let columns = read.columns();
        assert_eq!(columns.values.contains_key("S"), given.graded);
        assert_eq!(columns.preferences.contains_key("S_pref"), given.pairwise);
    }
    let (kind, text) = match Regime::by_name("tal") {
        Err(e) => (e.kind(), e.to_string()),
        Ok(regime) => panic!("{regime:?}"),
    };
    assert!(kind == Some(Kind::Invalid) && text.contains("wide_massive"), "{text}");
}

#[test]
fn copies_repeat_their_prompt_in_the_same_cluster() {
    let data = simulate(&Regime::Duplicates.design(), 8).expect("drawn");
    let columns = data.observations.columns();
    let (prompt, cluster) =
        (columns.prompt.as_ref().expect("prompt"), columns.cluster.as_ref().expect("cluster"));
    let h = data.observations.layer(Layer(0)).expect("layer");
    let rows_of = |p: i32| (0..prompt.len()).filter(|&r| prompt[r] == p).collect::<Vec<_>>();
    let mut first: BTreeMap<i32, i32> = BTreeMap::new();
    let mut copies = 0;
    for p in 0..200 {
        let rows = rows_of(p);
        match first.entry(cluster[rows[0]]) {
            Entry::Vacant(empty) => drop(empty.insert(p)),
            Entry::Occupied(original) => {
                copies += 1;
                let old = rows_of(*original.get());
                assert_eq!(h.select(Axis(0), &rows), h.select(Axis(0), &old));
                let s = &columns.values["S"];
                assert!(rows.iter().zip(&old).all(|(&a, &b)| s[a] == s[b]));
            }
        }
    }
    assert_eq!(copies, 60);
    let judged = &columns.judgments["good"];
    assert_eq!(judged.pairs.len(), 200 * 6);
}

#[test]
fn confounded_prompts_turn_the_pooled_covariance_around() {
    let design = Design { prompts: 4000, hidden_size: 24, ..Regime::Confounded.design() };
    let design = Design { logprob: vstar::simulate::LogProb { cos: 0.6, ..design.logprob }, ..design };
    let data = simulate(&design, 2).expect("drawn");
    let columns = data.observations.columns();
    let centred = |v: &[f64]| {
        let v = Array1::from(v.to_vec());
        let mean = v.mean().expect("rows");
        v - mean
    };
    let pooled = centred(&columns.values["S"]).dot(&centred(columns.logprob.as_ref().expect("log P")));
    assert!(pooled < 0.0, "{pooled}");
    assert!(data.truth.get("total_slope S|logp").flatten().expect("claimed") > 0.0);
}

#[test]
fn every_layer_has_the_share_that_its_truth_claims() {
    let design = large(Design { layers: vec![0.3, 1.0, 0.0], ..Design::default() });
    let data = simulate(&design, 6).expect("drawn");
    for (at, claimed) in data.truth.by_layer.iter().enumerate() {
        let figures = figures(&contrasts(&data, Layer(at)), true);
        for name in
            ["rho2 S", "rho2 J:good", "slope_encoded S|J:good", "total_slope S|J:good", "d_eff_within"]
        {
            let (figure, se) = figures[name];
            let truth = claimed.get(name).flatten().expect("claimed");
            assert!(
                (figure - truth).abs() < 5.0 * se,
                "layer {at}, {name}: {figure} ± {se}, claimed {truth}"
            );
        }
    }
    assert!((data.truth.by_layer[0].get("rho2 S").flatten().expect("claimed") - 0.036).abs() < 1e-12);
}

#[test]
fn the_position_bias_of_the_judge_cancels_between_orders() {
    let design = Design { position_bias: [1.0, 1.5], ..large(Design::default()) };
    let data = simulate(&design, 12).expect("drawn");
    let judged = &data.observations.columns().judgments["good"];
    let bias = judged.position_bias().expect("both orders");
    let mean = bias.iter().sum::<f64>() / bias.len() as f64;
    let sd = (bias.iter().map(|b| (b - mean).powi(2)).sum::<f64>() / bias.len() as f64).sqrt();
    // 5000 prompts: the mean has a standard error of 1.5/√5000.
    assert!((mean - 1.0).abs() < 0.1 && (sd - 1.5).abs() < 0.1, "{mean} ± {sd}");
}

#[test]
fn the_sample_variance_of_s_is_unbiased_and_covered_over_seeds() {
    let design = Design { hidden_size: 24, prompts: 60, ..Design::default() };
    let table = Table::over(&design, 0..200, |data| {
        let contrasts = contrasts(data, Layer(0));
        let at = 24 + contrasts.labels.iter().position(|l| l == "S").expect("label");
        let reward = 24 + contrasts.labels.iter().position(|l| l == "J:good").expect("label");
        let products: Vec<f64> =
            contrasts.rows.column(at).iter().zip(contrasts.rows.column(reward)).map(|(a, b)| a * b).collect();
        let n = products.len() as f64;
        let mean = products.iter().sum::<f64>() / n;
        let se = (products.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / (n * (n - 1.0))).sqrt();
        let figure = (mean, mean - 1.96 * se, mean + 1.96 * se).into();
        Ok(BTreeMap::from([("total_slope S|J:good".to_owned(), figure)]))
    })
    .expect("a table");
    let line = table.line("total_slope S|J:good").expect("the line");
    assert_eq!((line.given, table.seeds), (200, [0, 200]));
    let (bias, se) = (line.bias.expect("known"), line.bias_se.expect("known"));
    assert!(bias.abs() < 4.0 * se, "{bias} ± {se}");
    let coverage = line.coverage.expect("intervals");
    assert!((0.88..=0.99).contains(&coverage), "{coverage}");
}

type Change = Box<dyn Fn(&mut Design)>;

#[test]
fn a_design_that_cannot_be_planted_is_refused_by_its_key() {
    let cases: Vec<(&str, Change)> = vec![
        ("rho2", Box::new(|d| d.rho2 = 1.0)),
        ("rho2", Box::new(|d| d.rho2 = f64::NAN)),
        ("hidden_size", Box::new(|d| d.hidden_size = 3)),
        ("prompts", Box::new(|d| d.prompts = 1)),
        ("responses", Box::new(|d| d.responses = [3, 2])),
        ("responses", Box::new(|d| d.responses = [1, 1])),
        ("judges.cos", Box::new(|d| d.judges[0].cos = 1.1)),
        ("judges.name", Box::new(|d| d.judges.push(d.judges[0].clone()))),
        ("layers", Box::new(|d| d.layers = vec![])),
        (
            "massive.df",
            Box::new(|d| d.massive = Some(Massive { count: 1, variance: 2.0, df: 3.0, share: 0.0 })),
        ),
        (
            "hidden_size",
            Box::new(|d| d.massive = Some(Massive { count: 999, variance: 2.0, df: 9.0, share: 0.0 })),
        ),
        ("binary.prevalence", Box::new(|d| d.binary = Some(Binary { prevalence: 0.0 }))),
        ("graded, binary, levels, pairwise", Box::new(|d| d.graded = false)),
    ];
    for (key, change) in cases {
        let mut design = Design::default();
        change(&mut design);
        let error = simulate(&design, 0).expect_err(key);
        assert_eq!(error.kind(), Some(Kind::Invalid), "{key}");
        assert!(error.to_string().contains(&format!("[{key}]")), "{key}: {error}");
    }
}
