//! Rank-normal expression: every cell's ranks over all genes as normal scores of unit length.
//!
//! The parameter-free representation of Souza and Mehta 2026 (arXiv 2602.16696, after scTOP, Yampolskaya et al. 2023). No
//! statistic of any other cell enters. All genes without counts in a cell share one value, so a cell is kept as that
//! background value and sparse deviations from it: memory and products cost O(non-zeros), never O(genes).

use crate::ranks::average_ranks;
use crate::resample::normal_quantile;
use crate::residuals::check_counts;
use crate::subset::select_genes;
use microtome_core::{Counts, Error, Matrix, Result};
use rayon::prelude::*;

/// Rank-normal cells: `value(cell, gene) = background[cell] + deviations(cell, gene)`.
#[derive(Clone, Debug, PartialEq)]
pub struct RankNormal {
    /// Value of the genes without counts, per cell.
    pub background: Vec<f64>,
    /// What the genes with counts have above it.
    pub deviations: Counts,
    /// Cells whose genes all tie (no counts at all, or all alike): rows of zeros.
    pub n_empty: usize,
}

/// Ranks (ties by their mean, from 1), `p = rank / (genes + 1)`, the standard normal quantile of `p`, divided by its
/// Euclidean length over all genes. Multiplying a cell's counts by a constant changes nothing.
///
/// Errors on negative or non-finite values.
pub fn rank_normal(counts: &Counts) -> Result<RankNormal> {
    check_counts(counts)?;
    let n_genes = counts.n_genes();
    let rows: Vec<(f64, Vec<f32>)> = (0..counts.n_cells())
        .into_par_iter()
        .map(|cell| {
            let values: Vec<f64> = counts.row(cell).1.iter().map(|&v| f64::from(v)).collect();
            one(&values, n_genes)
        })
        .collect::<Result<_>>()?;
    let n_empty = rows.iter().filter(|(b, v)| *b == 0.0 && v.iter().all(|v| *v == 0.0)).count();
    let background = rows.iter().map(|r| r.0).collect();
    let values = rows.into_iter().flat_map(|r| r.1).collect();
    let deviations = Counts::new(n_genes, counts.indptr().to_vec(), counts.indices().to_vec(), values)?;
    Ok(RankNormal { background, deviations, n_empty })
}

/// Background of one cell, and deviations of its stored values (stored zeros are background).
fn one(stored: &[f64], n_genes: usize) -> Result<(f64, Vec<f32>)> {
    let positive: Vec<f64> = stored.iter().copied().filter(|v| *v > 0.0).collect();
    let zeros = n_genes - positive.len();
    let score = |rank: f64| normal_quantile(rank / (n_genes + 1) as f64);
    let background = if zeros > 0 { score((zeros + 1) as f64 / 2.0) } else { 0.0 };
    let scores: Vec<f64> = average_ranks(&positive)?.into_iter().map(|r| score(r + zeros as f64)).collect();
    let length = (zeros as f64 * background * background + scores.iter().map(|s| s * s).sum::<f64>()).sqrt();
    // All genes alike: every p is a half and every score zero, up to rounding.
    if length <= 1e-12 {
        return Ok((0.0, vec![0.0; stored.len()]));
    }
    let mut next = scores.into_iter();
    let deviation =
        |v: &f64| if *v > 0.0 { next.next().map_or(0.0, |s| (s - background) / length) } else { 0.0 };
    Ok((background / length, stored.iter().map(deviation).map(|d| d as f32).collect()))
}

impl RankNormal {
    /// All genes, written out, `[cell, gene]`.
    pub fn dense(&self) -> Matrix {
        let mut out = Matrix::zeros(self.background.len(), self.deviations.n_genes());
        for (cell, &background) in self.background.iter().enumerate() {
            let row = out.row_mut(cell);
            row.fill(background as f32);
            let (genes, values) = self.deviations.row(cell);
            genes
                .iter()
                .zip(values)
                .for_each(|(&g, &v)| row[g as usize] = (background + f64::from(v)) as f32);
        }
        out
    }

    /// The given genes (ascending) with the ranks they have among all genes.
    pub fn select_genes(&self, genes: &[usize]) -> Result<Self> {
        Ok(Self { deviations: select_genes(&self.deviations, genes)?, ..self.clone() })
    }

    /// Products of every cell with the rows of `columns`, `[column, gene]`: `[cell, column]` in
    /// `background * sum(column) + sum over non-zeros`.
    ///
    /// Errors when the number of genes differs.
    pub fn products(&self, columns: &Matrix) -> Result<Vec<f64>> {
        if columns.cols() != self.deviations.n_genes() {
            return Err(Error::usage("columns hold another number of genes")
                .expected(self.deviations.n_genes().to_string())
                .found(columns.cols().to_string()));
        }
        let sums: Vec<f64> =
            (0..columns.rows()).map(|c| columns.row(c).iter().map(|&v| f64::from(v)).sum::<f64>()).collect();
        Ok((0..self.background.len())
            .into_par_iter()
            .flat_map_iter(|cell| {
                let (genes, values) = self.deviations.row(cell);
                sums.iter().enumerate().map(move |(c, sum)| {
                    let column = columns.row(c);
                    let own = genes.iter().zip(values);
                    self.background[cell] * sum
                        + own.map(|(&g, &v)| f64::from(column[g as usize]) * f64::from(v)).sum::<f64>()
                })
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f32], want: &[f64]) {
        for (a, b) in found.iter().zip(want) {
            assert!((f64::from(*a) - b).abs() < 1e-6, "{found:?} {want:?}");
        }
    }

    #[test]
    fn golden_g1() {
        let counts = Counts::new(4, vec![0, 2], vec![2, 3], vec![1.0, 3.0]).unwrap();
        close(rank_normal(&counts).unwrap().dense().row(0), &[-0.456000, -0.456000, 0.220302, 0.731844]);
        let loud = Counts::new(4, vec![0, 3], vec![2, 3, 0], vec![10.0, 30.0, 0.0]).unwrap();
        close(rank_normal(&loud).unwrap().dense().row(0), &[-0.456000, -0.456000, 0.220302, 0.731844]);
    }

    #[test]
    fn a_cell_knows_nothing_of_others_and_empty_cells_are_zero() {
        let counts =
            Counts::new(3, vec![0, 2, 2, 5], vec![0, 2, 0, 1, 2], vec![4.0, 1.0, 2.0, 2.0, 2.0]).unwrap();
        let all = rank_normal(&counts).unwrap();
        assert_eq!(all.n_empty, 2);
        assert_eq!((all.dense().row(1), all.dense().row(2)), (&[0.0f32; 3][..], &[0.0f32; 3][..]));
        let alone = rank_normal(&counts.select_cells(&[0])).unwrap();
        assert_eq!(alone.dense().row(0), all.dense().row(0));
        let length: f64 = all.dense().row(0).iter().map(|v| f64::from(*v).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-6);
        assert!(rank_normal(&Counts::new(1, vec![0, 1], vec![0], vec![-1.0]).unwrap()).is_err());
    }

    #[test]
    fn sparse_products_equal_dense_ones() {
        let counts =
            Counts::new(5, vec![0, 2, 5], vec![4, 1, 0, 2, 3], vec![1.0, 7.0, 3.0, 3.0, 1.0]).unwrap();
        let r = rank_normal(&counts).unwrap();
        let columns = Matrix::new(2, 5, vec![1.0, -2.0, 0.5, 3.0, 1.0, 0.0, 1.0, 1.0, -1.0, 2.0]).unwrap();
        let found = r.products(&columns).unwrap();
        for cell in 0..2 {
            for c in 0..2 {
                let dense = r.dense();
                let want: f64 = dense
                    .row(cell)
                    .iter()
                    .zip(columns.row(c))
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum();
                assert!((found[cell * 2 + c] - want).abs() < 1e-6);
            }
        }
        assert!(r.products(&Matrix::zeros(1, 4)).is_err());
    }
}
