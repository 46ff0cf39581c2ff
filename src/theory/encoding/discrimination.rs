//! Held-out discrimination by ⟨h, v*⟩: pairs of responses to one prompt that it orders as the labels do.
//!
//! Only pairs within a prompt count, because differences between prompts are no reading of v*. Errors are over
//! blocks, since pairs of one prompt share responses, and near-duplicate prompts share everything.

use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::estimate::{Estimate, Quantity};
use crate::theory::base::mean::mean_by_block;
use crate::theory::judging::right;

/// For each pair of responses to one prompt with different labels: its block, and whether the left-out prediction
/// orders it correctly (one half for a tie).
fn pairs(bench: &Bench, s: &Label, labels: &[f64]) -> Vec<(usize, f64)> {
    let scores = bench.contrasts.spread(&s.yhat, labels.len());
    // Ties are determined up to rounding.
    let hair = 1e-12 * scores.iter().filter(|s| s.is_finite()).fold(0.0f64, |most, s| most.max(s.abs()));
    let blocks = bench.contrasts.blocks();
    let (mut at, mut block, mut out) = (0, 0, Vec::new());
    for rows in bench.contrasts.prompts() {
        while at >= blocks[block].end {
            block += 1;
        }
        at += rows.len() - 1;
        for (i, &a) in rows.iter().enumerate() {
            for &b in &rows[i + 1..] {
                let (truth, guess) = (labels[a] - labels[b], scores[a] - scores[b]);
                if truth != 0.0 {
                    out.push((block, if guess.abs() <= hair { 0.5 } else { right(truth * guess) }));
                }
            }
        }
    }
    out
}

/// `pair_accuracy` for response labels: share of within-prompt pairs with different labels that the left-out
/// predictions order correctly (ties count half).
pub fn pair_accuracy(bench: &Bench, s: &Label, labels: &[f64]) -> Estimate {
    share(bench, Quantity::PairAccuracy, pairs(bench, s, labels), "no pair with different labels")
}

/// `pair_accuracy` for preferences: share predicted with the right sign.
pub fn preference_accuracy(bench: &Bench, s: &Label) -> Estimate {
    let blocks = bench.contrasts.blocks().iter().enumerate();
    let cells = blocks.flat_map(|(g, block)| block.clone().map(move |i| (g, right(s.y[i] * s.yhat[i]))));
    share(bench, Quantity::PairAccuracy, cells, "no preference")
}

/// `auc` of labels with two levels: the area under the ROC curve within prompts, which is the probability that a
/// response of the higher level has a higher left-out prediction than one of the lower level to the same prompt.
pub fn auc(bench: &Bench, s: &Label, labels: &[f64]) -> Estimate {
    share(bench, Quantity::Auc, pairs(bench, s, labels), "no prompt has responses of both labels")
}

fn share(
    bench: &Bench,
    quantity: Quantity,
    cells: impl IntoIterator<Item = (usize, f64)>,
    none: &str,
) -> Estimate {
    let method = "leave-block-out predictions, within prompts, clustered by block";
    match mean_by_block(cells) {
        Some(found) => bench.of_the_fit(found).share(quantity, method),
        None => Estimate::new(quantity, method).warn(none),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::probe::Contrasts;

    /// Three prompts with labels and predictions; the last two form one block.
    fn bench(labels: &[f64], scores: &[f64], block: &[i32]) -> (Bench, Label) {
        let prompt: Vec<i32> = vec![0, 0, 0, 1, 1, 1, 2, 2, 2];
        let contrasts = Contrasts::helmert(&prompt, block, |_| true);
        let h = Array2::from_shape_fn((9, 2), |(i, j)| ((i * 3 + j) as f32).sin());
        let bench = Bench::new(contrasts, h.view(), None).expect("a bench");
        let label = Label { y: bench.contrasts.column(labels), yhat: bench.contrasts.column(scores) };
        (bench, label)
    }

    #[test]
    fn pairs_inside_prompts_count_and_prompts_of_one_label_do_not() {
        // Prompt 0: two pairs, one right; prompt 1: one label only, scores far above all; prompt 2: two pairs, both right.
        let labels = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0];
        let scores = [2.0, 1.0, 3.0, 50.0, 60.0, 70.0, -9.0, -5.0, -8.0];
        let block = [0, 0, 0, 1, 1, 1, 2, 2, 2];
        let (bench, label) = bench(&labels, &scores, &block);
        let e = auc(&bench, &label, &labels);
        assert_eq!((e.estimate, e.n, e.blocks), (Some(0.75), Some(4), Some(2)));
        assert_eq!(pair_accuracy(&bench, &label, &labels).estimate, e.estimate);
        let none = auc(&bench, &label, &[0.0; 9]);
        assert!(none.estimate.is_none() && none.warnings[0].contains("both labels"));
    }

    #[test]
    fn copies_of_a_prompt_in_one_block_count_once_in_the_error() {
        let labels = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0];
        let scores = [2.0, 1.0, 3.0, 5.0, 1.0, 0.0, 5.0, 1.0, 0.0];
        let (apart, a) = bench(&labels, &scores, &[0, 0, 0, 1, 1, 1, 2, 2, 2]);
        let (together, b) = bench(&labels, &scores, &[0, 0, 0, 1, 1, 1, 1, 1, 1]);
        let (one, two) = (auc(&apart, &a, &labels), auc(&together, &b, &labels));
        assert_eq!(one.estimate, two.estimate);
        // Shares .5, 1, 1 of two pairs each: deviations −2/3, 1/3, 1/3; with the last two in a block −2/3, 2/3. The fit
        // spends degrees of freedom of six contrasts.
        let se = |bench: &Bench, g: f64, squares: f64| {
            let left = 1.0 - bench.spectrum.df(bench.lambda) / 6.0;
            (g / (g - 1.0) * squares / left).sqrt() / 6.0
        };
        assert!((one.se.expect("an error") - se(&apart, 3.0, 6.0 / 9.0)).abs() < 1e-12);
        assert!((two.se.expect("an error") - se(&together, 2.0, 8.0 / 9.0)).abs() < 1e-12);
    }
}
