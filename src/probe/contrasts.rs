//! Within-prompt contrasts, from which all estimates are computed.
//!
//! A prompt with K responses gives K − 1 orthonormal Helmert contrasts: row j = 1 … K−1 is (y_1 + … + y_j − j·y_{j+1})
//! / √(j(j+1)). They are orthogonal to anything that is constant within the prompt, so g(x) of Assumption 2 and the
//! prompt's own level of S cancel exactly, and XᵀX/N estimates the within-prompt covariance Σ_w without bias. For K = 2
//! the row is (y_1 − y_2)/√2. Each preference gives one row: (y_better − y_worse)/√2.

use std::collections::BTreeMap;
use std::ops::Range;

use faer::Mat;
use ndarray::ArrayView2;
use rayon::prelude::*;

/// N contrasts over some rows, ordered by block.
#[derive(Debug, Clone, PartialEq)]
pub struct Contrasts {
    units: Vec<Unit>,
    /// Index of the first contrast of each unit.
    starts: Vec<usize>,
    /// Range of contrasts of each block.
    blocks: Vec<Range<usize>>,
    /// Block numbers in the data.
    names: Vec<i32>,
    len: usize,
}

/// A unit that contrasts are computed from.
#[derive(Debug, Clone, PartialEq)]
enum Unit {
    /// The responses (rows) of a prompt, at least two.
    Prompt(Vec<usize>),
    /// A preference: the better row, the worse row.
    Pair(usize, usize),
    /// A row minus the mean of all rows, if it is unknown which rows answer the same prompt.
    Row(usize),
}

impl Unit {
    fn len(&self) -> usize {
        match self {
            Self::Prompt(rows) => rows.len() - 1,
            Self::Pair(..) | Self::Row(_) => 1,
        }
    }
}

impl Contrasts {
    /// Helmert contrasts among the rows for which `keep` holds. `prompt` and `block` have one entry per row; a prompt
    /// belongs to the block of its first kept row. Prompts with one kept row give no contrast.
    pub fn helmert(prompt: &[i32], block: &[i32], keep: impl Fn(usize) -> bool) -> Self {
        let mut prompts: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for row in (0..prompt.len()).filter(|&r| keep(r)) {
            prompts.entry(prompt[row]).or_default().push(row);
        }
        let units = prompts.into_values().filter(|rows| rows.len() > 1);
        Self::from_units(units.map(|rows| (block[rows[0]], Unit::Prompt(rows))).collect())
    }

    /// A contrast for each preference (better row, worse row).
    pub fn pairs(pairs: &[(usize, usize)], block: &[i32]) -> Self {
        Self::from_units(pairs.iter().map(|&(b, w)| (block[b], Unit::Pair(b, w))).collect())
    }

    /// Rows minus their common mean, for data without prompts: differences between prompts are then not removed. One
    /// mean is estimated from all rows, which changes a contrast by 1/N of its own noise.
    pub fn centred(rows: &[usize], block: &[i32]) -> Self {
        if rows.len() < 2 {
            return Self::from_units(Vec::new());
        }
        Self::from_units(rows.iter().map(|&r| (block[r], Unit::Row(r))).collect())
    }

    fn from_units(mut units: Vec<(i32, Unit)>) -> Self {
        // Stable sort: within a block, units keep the order of the data.
        units.sort_by_key(|(block, _)| *block);
        let (mut starts, mut blocks, mut len) = (Vec::new(), Vec::<Range<usize>>::new(), 0);
        let mut names: Vec<i32> = Vec::new();
        for (block, unit) in &units {
            starts.push(len);
            if names.last() != Some(block) {
                blocks.push(len..len);
                names.push(*block);
            }
            len += unit.len();
            if let Some(last) = blocks.last_mut() {
                last.end = len;
            }
        }
        Self { units: units.into_iter().map(|(_, u)| u).collect(), starts, blocks, names, len }
    }

    /// Number of contrasts, N.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The contrasts of each block.
    pub fn blocks(&self) -> &[Range<usize>] {
        &self.blocks
    }

    /// The contrasts for which `keep(block, contrast)` holds, and the range of each block among them; blocks without
    /// any are omitted.
    pub fn part(&self, keep: impl Fn(usize, usize) -> bool) -> (Vec<usize>, Vec<Range<usize>>) {
        let (mut taken, mut blocks) = (Vec::new(), Vec::new());
        for (number, block) in self.blocks.iter().enumerate() {
            let start = taken.len();
            taken.extend(block.clone().filter(|&i| keep(number, i)));
            if taken.len() > start {
                blocks.push(start..taken.len());
            }
        }
        (taken, blocks)
    }

    /// Block numbers in the data, in increasing order.
    pub fn block_names(&self) -> &[i32] {
        &self.names
    }

    /// The rows of each prompt with at least two, in the order of the contrasts; empty for preferences.
    pub fn prompts(&self) -> impl Iterator<Item = &[usize]> {
        self.units.iter().filter_map(|u| match u {
            Unit::Prompt(rows) => Some(rows.as_slice()),
            Unit::Pair(..) | Unit::Row(_) => None,
        })
    }

    /// (Better row, worse row) of each preference, in the order of the contrasts; empty for responses.
    pub fn pair_rows(&self) -> impl Iterator<Item = (usize, usize)> {
        self.units.iter().filter_map(|u| match u {
            Unit::Pair(better, worse) => Some((*better, *worse)),
            Unit::Prompt(_) | Unit::Row(_) => None,
        })
    }

    /// The contrasts of a column, `[rows] → [N]`.
    pub fn column(&self, values: &[f64]) -> Vec<f64> {
        let mut out = Vec::with_capacity(self.len);
        let mean = self.mean(|row| values[row]);
        for unit in &self.units {
            match unit {
                Unit::Row(r) => out.push(values[*r] - mean),
                Unit::Pair(b, w) => out.push((values[*b] - values[*w]) * std::f64::consts::FRAC_1_SQRT_2),
                Unit::Prompt(rows) => {
                    let mut sum = values[rows[0]];
                    for (j, &row) in (1usize..).zip(&rows[1..]) {
                        let j = j as f64;
                        out.push((sum - j * values[row]) / (j * (j + 1.0)).sqrt());
                        sum += values[row];
                    }
                }
            }
        }
        out
    }

    /// Mean over the rows of [`Contrasts::centred`]; 0 for other units.
    fn mean(&self, at: impl Fn(usize) -> f64) -> f64 {
        let (mut sum, mut n) = (0.0, 0.0);
        for unit in &self.units {
            if let Unit::Row(r) = unit {
                sum += at(*r);
                n += 1.0;
            }
        }
        if n > 0.0 { sum / n } else { 0.0 }
    }

    /// The contrasts of a matrix, `[rows, d] → X [N, d]`.
    pub fn matrix(&self, h: ArrayView2<'_, f32>) -> Mat<f64> {
        let d = h.ncols();
        let mut x = Mat::zeros(self.len, d);
        // Columns are contiguous in X; each thread fills a band of them.
        let starts = &self.starts;
        x.as_mut()
            .par_col_partition_mut(rayon::current_num_threads().clamp(1, d.max(1)))
            .enumerate()
            .for_each(|(band, mut part)| {
                let bands = rayon::current_num_threads().clamp(1, d.max(1));
                let first = band_start(d, bands, band);
                let means: Vec<f64> =
                    (0..part.ncols()).map(|c| self.mean(|row| f64::from(h[[row, first + c]]))).collect();
                for (unit, &start) in self.units.iter().zip(starts) {
                    for column in 0..part.ncols() {
                        let at = |row: usize| f64::from(h[[row, first + column]]);
                        match unit {
                            Unit::Row(r) => part[(start, column)] = at(*r) - means[column],
                            Unit::Pair(b, w) => {
                                part[(start, column)] = (at(*b) - at(*w)) * std::f64::consts::FRAC_1_SQRT_2;
                            }
                            Unit::Prompt(rows) => {
                                let mut sum = at(rows[0]);
                                for (j, &row) in (1usize..).zip(&rows[1..]) {
                                    let weight = j as f64;
                                    let here = at(row);
                                    part[(start + j - 1, column)] =
                                        (sum - weight * here) / (weight * (weight + 1.0)).sqrt();
                                    sum += here;
                                }
                            }
                        }
                    }
                }
            });
        x
    }

    /// Per-row values, mean 0 in each prompt, whose contrasts are `y`: the inverse of
    /// [`Contrasts::column`] up to the prompt's level. Rows without contrasts, and all rows of
    /// preferences, stay NaN.
    pub fn spread(&self, y: &[f64], rows: usize) -> Vec<f64> {
        let mut out = vec![f64::NAN; rows];
        for (unit, &start) in self.units.iter().zip(&self.starts) {
            if let Unit::Row(r) = unit {
                out[*r] = y[start];
            }
            if let Unit::Prompt(members) = unit {
                members.iter().for_each(|&r| out[r] = 0.0);
                for j in 1..members.len() {
                    let scaled = y[start + j - 1] / ((j * (j + 1)) as f64).sqrt();
                    members[..j].iter().for_each(|&r| out[r] += scaled);
                    out[members[j]] -= j as f64 * scaled;
                }
            }
        }
        out
    }

    /// Σ over the contrasts of each block.
    pub fn block_sums(&self, values: impl Fn(usize) -> f64) -> Vec<f64> {
        self.blocks.iter().map(|b| b.clone().map(&values).sum()).collect()
    }
}

/// First column of a band when `d` columns are split as in faer: the first `d mod bands` bands are one column wider.
fn band_start(d: usize, bands: usize, band: usize) -> usize {
    band * (d / bands) + band.min(d % bands)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    fn data() -> (Vec<i32>, Vec<i32>, Array2<f32>) {
        let prompt = vec![5, 5, 5, 2, 2, 9, 7, 7, 7, 7];
        let block = vec![1, 1, 1, 0, 0, 0, 1, 1, 1, 1];
        let h = Array2::from_shape_fn((10, 7), |(i, j)| ((i * 7 + j) as f32 * 0.37).sin());
        (prompt, block, h)
    }

    #[test]
    fn contrasts_are_orthonormal_and_ignore_the_prompt() {
        let (prompt, block, h) = data();
        let c = Contrasts::helmert(&prompt, &block, |_| true);
        assert_eq!((c.len(), c.blocks()), (2 + 1 + 3, [0..1, 1..6].as_slice()));
        let column: Vec<f64> = h.column(3).iter().map(|&v| f64::from(v)).collect();
        let y = c.column(&column);
        let shifted: Vec<f64> = column.iter().zip(&prompt).map(|(v, &p)| v + 100.0 * f64::from(p)).collect();
        for (a, b) in y.iter().zip(c.column(&shifted)) {
            assert!((a - b).abs() < 1e-10);
        }
        // Orthonormal: their sum of squares equals that of the centred values.
        let mut centred = 0.0;
        for rows in c.prompts() {
            let mean = rows.iter().map(|&r| column[r]).sum::<f64>() / rows.len() as f64;
            centred += rows.iter().map(|&r| (column[r] - mean).powi(2)).sum::<f64>();
        }
        assert!((y.iter().map(|v| v * v).sum::<f64>() - centred).abs() < 1e-12);
        let back = c.spread(&y, 10);
        assert!(back[5].is_nan());
        for rows in c.prompts() {
            let mean = rows.iter().map(|&r| column[r]).sum::<f64>() / rows.len() as f64;
            assert!(rows.iter().all(|&r| (back[r] - (column[r] - mean)).abs() < 1e-12));
        }
    }

    #[test]
    fn the_matrix_is_the_columns_side_by_side() {
        let (prompt, block, h) = data();
        for c in [
            Contrasts::helmert(&prompt, &block, |r| r != 1),
            Contrasts::pairs(&[(0, 2), (4, 3), (9, 6), (6, 8)], &block),
        ] {
            let x = c.matrix(h.view());
            for j in 0..7 {
                let column: Vec<f64> = h.column(j).iter().map(|&v| f64::from(v)).collect();
                for (i, v) in c.column(&column).into_iter().enumerate() {
                    assert!((x[(i, j)] - v).abs() < 1e-12, "{i} {j}");
                }
            }
        }
    }
}
