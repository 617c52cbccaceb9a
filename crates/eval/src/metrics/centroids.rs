//! Trimmed centroids of labels and the distances between them, as scGraph and scGraph-OntoRWR compare them.

use super::groups::Grouping;
use super::score::{Score, mean_of};
use microtome_core::{Matrix, Result};
use microtome_numerics::ranks::{pearson, spearman};
use rayon::prelude::*;

/// Distances between labels, every column divided by its largest; `None` where a pair was never seen together.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelDistances {
    /// Label codes, rising.
    pub labels: Vec<u32>,
    /// `[row, column]` over `labels`, row-major.
    pub values: Vec<Option<f64>>,
}

impl LabelDistances {
    /// Euclidean distances between trimmed means: in every column the `trim` share of the values is cut at each end,
    /// rounded down.
    pub fn of(x: &Matrix, labels: &[u32], trim: f64) -> Self {
        let groups = Grouping::new(labels);
        let centres: Vec<Vec<f64>> = groups.members.par_iter().map(|m| trimmed_mean(x, m, trim)).collect();
        let m = centres.len();
        let mut values = vec![Some(0.0); m * m];
        for i in 0..m {
            for j in 0..i {
                let d: f64 =
                    centres[i].iter().zip(&centres[j]).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
                values[i * m + j] = Some(d);
                values[j * m + i] = Some(d);
            }
        }
        let mut out = Self { labels: groups.original, values };
        out.scale_columns();
        out
    }

    /// Divides every column by its largest value.
    pub(super) fn scale_columns(&mut self) {
        let m = self.labels.len();
        for j in 0..m {
            let largest = (0..m).filter_map(|i| self.values[i * m + j]).fold(0.0, f64::max);
            if largest > 0.0 {
                (0..m).for_each(|i| self.values[i * m + j] = self.values[i * m + j].map(|v| v / largest));
            }
        }
    }

    /// Value between two labels.
    pub(super) fn between(&self, row: u32, column: u32) -> Option<f64> {
        let at = |label| self.labels.binary_search(&label).ok();
        self.values[at(row)? * self.labels.len() + at(column)?]
    }
}

fn trimmed_mean(x: &Matrix, cells: &[usize], trim: f64) -> Vec<f64> {
    let cut = (cells.len() as f64 * trim) as usize;
    let mut column = vec![0.0f32; cells.len()];
    (0..x.cols())
        .map(|c| {
            column.iter_mut().zip(cells).for_each(|(v, &i)| *v = x.row(i)[c]);
            if cut > 0 {
                column.sort_unstable_by(f32::total_cmp);
            }
            let kept = &column[cut..cells.len() - cut];
            kept.iter().map(|&v| f64::from(v)).sum::<f64>() / kept.len() as f64
        })
        .collect()
}

/// How a column of distances is compared with the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Spearman,
    Pearson,
    /// Pairs count in proportion to the inverse of the reference distance.
    WeightedPearson,
}

/// Mean over labels of the correlation of their columns. Pairs without a reference distance do not count; a label with
/// fewer than three pairs, or a constant column, is left out. `keep_self` keeps the pair of a label with itself at (0, 0).
pub(super) fn correlate(
    got: &LabelDistances,
    reference: &LabelDistances,
    compare: Compare,
    keep_self: bool,
) -> Result<Score> {
    let mut scores = Vec::with_capacity(got.labels.len());
    for &column in &got.labels {
        let (mut x, mut y) = (vec![], vec![]);
        for &row in &got.labels {
            let own = row == column;
            if own && (!keep_self || compare == Compare::WeightedPearson) {
                continue;
            }
            if let (Some(a), Some(b)) = (got.between(row, column), reference.between(row, column)) {
                x.push(a);
                y.push(b);
            }
        }
        scores.push(match compare {
            _ if x.len() < 3 => None,
            Compare::Spearman => spearman(&x, &y)?,
            Compare::Pearson => pearson(&x, &y)?,
            Compare::WeightedPearson => weighted_pearson(&x, &y),
        });
    }
    Ok(mean_of(scores, "labels with fewer than three reference distances or a constant column"))
}

/// Pearson correlation weighted by `1 / y`; pairs with `y` 0 have no weight.
fn weighted_pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let pairs: Vec<(f64, f64, f64)> =
        x.iter().zip(y).filter(|(_, y)| **y > 0.0).map(|(&x, &y)| (x, y, 1.0 / y)).collect();
    let total: f64 = pairs.iter().map(|p| p.2).sum();
    let mx = pairs.iter().map(|p| p.2 * p.0).sum::<f64>() / total;
    let my = pairs.iter().map(|p| p.2 * p.1).sum::<f64>() / total;
    let sum = |f: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|&(x, y, w)| w * f(x - mx, y - my)).sum::<f64>();
    let (xx, yy, xy) = (sum(&|a, _| a * a), sum(&|_, b| b * b), sum(&|a, b| a * b));
    let flat = |s: f64, mean: f64| s <= total * (8.0 * f64::EPSILON * mean.abs()).powi(2);
    (pairs.len() > 2 && !flat(xx, mx) && !flat(yy, my)).then(|| (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trimming_cuts_both_ends_rounded_down() {
        let x = Matrix::new(6, 1, vec![100.0, 1.0, 2.0, 3.0, 4.0, -50.0]).unwrap();
        let all: Vec<usize> = (0..6).collect();
        assert_eq!(trimmed_mean(&x, &all, 0.2), [2.5]);
        assert_eq!(trimmed_mean(&x, &all, 0.1), [10.0]);
        assert_eq!(trimmed_mean(&x, &all[..2], 0.2), [50.5]);
    }

    #[test]
    fn columns_end_at_one() {
        let x = Matrix::new(3, 1, vec![0.0, 1.0, 4.0]).unwrap();
        let d = LabelDistances::of(&x, &[5, 6, 9], 0.0);
        assert_eq!(d.between(6, 5), Some(0.25));
        assert_eq!(d.between(5, 6), Some(1.0 / 3.0));
        assert_eq!(d.between(9, 6), Some(1.0));
        assert_eq!(d.between(1, 6), None);
    }

    #[test]
    fn weights_of_equal_distances_change_nothing() {
        let (x, y) = ([0.1, 0.5, 0.2, 0.9], [0.3, 0.4, 0.2, 0.8]);
        let doubled: Vec<f64> = y.iter().map(|v| v * 0.5).collect();
        let a = weighted_pearson(&x, &y).unwrap();
        assert!((a - weighted_pearson(&x, &doubled).unwrap()).abs() < 1e-12);
        assert_eq!(weighted_pearson(&x, &[0.5; 4]), None);
        assert_eq!(weighted_pearson(&[0.0; 4], &y), None);
    }
}
