//! Moments of simulated rows, computed independently of the library and compared with the truth.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use faer::prelude::Solve;
use ndarray::{Array2, Axis, s};
use vstar::simulate::{Design, Population, Simulated, simulate};
use vstar::units::Layer;

/// Number of batches of clusters, whose spread gives sampling errors.
const BATCHES: i32 = 20;

/// Within-prompt contrasts of everything: columns are h, then labels, then log(tokens) and tokens.
pub struct Contrasts {
    pub rows: Array2<f64>,
    pub batch: Vec<i32>,
    pub hidden: usize,
    pub labels: Vec<String>,
}

pub fn contrasts(data: &Simulated, layer: Layer) -> Contrasts {
    let all = &data.observations;
    let columns = all.columns();
    let h = all.layer(layer).expect("layer").mapv(f64::from);
    let prompt = all.prompt().expect("prompts");
    let cluster = columns.cluster.as_ref().expect("clusters");
    let tokens: Vec<f64> = columns.ntok.as_ref().expect("tokens").iter().map(|&n| f64::from(n)).collect();
    let mut labels: Vec<(String, Vec<f64>)> =
        columns.values.iter().map(|(name, column)| (name.clone(), column.clone())).collect();
    for (name, judgments) in &columns.judgments {
        // Least squares over all pairs, up to a constant in each prompt: the mean of a row's log-odds.
        let mut reward = vec![0.0; all.rows()];
        let debiased = judgments.debiased().expect("both orders");
        let size = |row: usize| prompt.iter().filter(|&&p| p == prompt[row]).count() as f64;
        let mut sizes: BTreeMap<i32, f64> = BTreeMap::new();
        for (&[a, b], l) in judgments.pairs.iter().zip(debiased) {
            let k = match sizes.entry(prompt[a]) {
                Entry::Occupied(k) => *k.get(),
                Entry::Vacant(empty) => *empty.insert(size(a)),
            };
            reward[a] += l / k;
            reward[b] -= l / k;
        }
        labels.push((format!("J:{name}"), reward));
    }
    labels.push(("logp".to_owned(), columns.logprob.clone().expect("log P")));

    let d = all.hidden_size();
    let width = d + labels.len() + 2;
    let mut rows = Vec::new();
    let mut batch = Vec::new();
    let mut first = 0;
    while first < all.rows() {
        let last = (first..all.rows()).take_while(|&r| prompt[r] == prompt[first]).last().expect("one") + 1;
        let table = Array2::from_shape_fn((last - first, width), |(r, c)| match c {
            c if c < d => h[[first + r, c]],
            c if c < width - 2 => labels[c - d].1[first + r],
            c if c == width - 2 => tokens[first + r].ln(),
            _ => tokens[first + r],
        });
        // Helmert: row k minus the mean of those before it. A missing label removes its contrasts.
        for k in 1..last - first {
            let before = table.slice(s![..k, ..]).mean_axis(Axis(0)).expect("rows");
            let scale = (k as f64 / (k as f64 + 1.0)).sqrt();
            let contrast = (&table.row(k) - &before) * scale;
            if contrast.iter().all(|v| v.is_finite()) {
                rows.extend(contrast);
                batch.push(cluster[first] % BATCHES);
            }
        }
        first = last;
    }
    let rows = Array2::from_shape_vec((batch.len(), width), rows).expect("shape");
    Contrasts { rows, batch, hidden: d, labels: labels.into_iter().map(|l| l.0).collect() }
}

pub fn solve(a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
    let a = faer::Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[[i, j]]);
    let b = faer::Mat::from_fn(b.nrows(), b.ncols(), |i, j| b[[i, j]]);
    let x = a.llt(faer::Side::Lower).expect("positive definite").solve(&b);
    Array2::from_shape_fn((x.nrows(), x.ncols()), |(i, j)| x[(i, j)])
}

/// All figures by moments and least squares, adjusted for the number of predictors.
fn measured(
    moments: &Array2<f64>,
    n: usize,
    hidden: usize,
    labels: &[String],
    controlled: bool,
) -> BTreeMap<String, f64> {
    let width = moments.nrows();
    let n = n as f64;
    let mut m = moments.clone();
    if controlled {
        let z = m.slice(s![width - 2.., width - 2..]).to_owned();
        let cross = m.slice(s![width - 2.., ..]).to_owned();
        m = &m - &cross.t().dot(&solve(&z, &cross));
    }
    let x = m.slice(s![..hidden, ..hidden]).to_owned();
    let c = m.slice(s![..hidden, hidden..width - 2]).to_owned();
    let y = m.slice(s![hidden..width - 2, hidden..width - 2]).to_owned();
    let fitted = c.t().dot(&solve(&x, &c));
    let d = hidden as f64;
    let theta = &fitted - (&y - &fitted) * (d / (n - d));
    let mut out = BTreeMap::new();
    for (i, a) in labels.iter().enumerate() {
        out.insert(format!("rho2 {a}"), theta[[i, i]] / y[[i, i]]);
        for (j, b) in labels.iter().enumerate().filter(|(j, _)| *j != i) {
            out.insert(format!("slope_encoded {a}|{b}"), theta[[i, j]]);
            out.insert(format!("total_slope {a}|{b}"), y[[i, j]]);
            if theta[[i, i]] > 0.0 && theta[[j, j]] > 0.0 {
                out.insert(format!("cos {a}|{b}"), theta[[i, j]] / (theta[[i, i]] * theta[[j, j]]).sqrt());
            }
        }
        if a == "S" {
            out.insert("sigma_S_within".to_owned(), y[[i, i]].sqrt());
            let rho = (theta[[i, i]] / y[[i, i]]).max(0.0).sqrt();
            let regret = (1.0 - rho) * (y[[i, i]] / std::f64::consts::PI).sqrt();
            out.insert("ceiling_regret_best_of_2".to_owned(), regret);
        }
    }
    let trace = x.diag().sum();
    let square: f64 = x.iter().map(|v| v * v).sum();
    // tr Σ̂² exceeds tr Σ² by about (tr Σ)²/n.
    out.insert("d_eff_within".to_owned(), trace * trace / (square - trace * trace / n));
    out
}

/// Each figure over all contrasts, with the standard error that batches give it.
pub fn figures(contrasts: &Contrasts, controlled: bool) -> BTreeMap<String, (f64, f64)> {
    let moments = |keep: &dyn Fn(i32) -> bool| {
        let rows: Vec<usize> = (0..contrasts.batch.len()).filter(|&r| keep(contrasts.batch[r])).collect();
        let part = contrasts.rows.select(Axis(0), &rows);
        let m = part.t().dot(&part) / rows.len() as f64;
        measured(&m, rows.len(), contrasts.hidden, &contrasts.labels, controlled)
    };
    let whole = moments(&|_| true);
    // Leave out one batch at a time, so that every part is large enough for its nonlinear figures.
    let parts: Vec<_> = (0..BATCHES).map(|b| moments(&|other| other != b)).collect();
    let spread = |name: &str| {
        let column: Vec<f64> = parts.iter().filter_map(|p| p.get(name).copied()).collect();
        let n = column.len() as f64;
        let mean = column.iter().sum::<f64>() / n;
        (column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() * (n - 1.0) / n).sqrt()
    };
    whole.iter().map(|(name, value)| (name.clone(), (*value, spread(name)))).collect()
}

/// Names of all figures that a truth claims and moments can check.
fn claims(truth: &Population) -> Vec<String> {
    let of = |key: &str, labels: Vec<&String>| {
        labels.into_iter().map(|l| format!("{key} {l}")).collect::<Vec<_>>()
    };
    [
        of("cos", truth.cos.keys().collect()),
        of("rho2", truth.rho2.keys().collect()),
        of("slope_encoded", truth.slope_encoded.keys().collect()),
        of("total_slope", truth.total_slope.keys().collect()),
        vec!["d_eff_within".to_owned(), "sigma_S_within".to_owned(), "ceiling_regret_best_of_2".to_owned()],
    ]
    .concat()
}

/// Compares every claim with the draw; returns how many were compared.
pub fn check_moments(name: &str, design: &Design, seed: u64) -> usize {
    let data = simulate(design, seed).expect("drawn");
    let best =
        (0..design.layers.len()).max_by(|&a, &b| design.layers[a].total_cmp(&design.layers[b])).expect("one");
    let contrasts = contrasts(&data, Layer(best));
    let mut compared = 0;
    for controlled in [true, false] {
        let figures = figures(&contrasts, controlled);
        let truth = if controlled { &data.truth.population } else { &data.truth.population_uncontrolled };
        for claim in claims(truth) {
            let (Some(Some(truth)), Some((figure, se))) = (truth.get(&claim), figures.get(&claim)) else {
                continue;
            };
            // Rounding to whole tokens moves figures without control by a few parts in 10⁴.
            let allowed = 5.0 * se + 2e-3 * truth.abs() + 1e-9;
            assert!(
                (figure - truth).abs() < allowed,
                "{name}, controlled {controlled}: {claim} is {figure:.5} ± {se:.5}, claimed {truth:.5}"
            );
            compared += 1;
        }
    }
    compared
}
