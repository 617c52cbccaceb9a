//! Baselines with one row per gene, made of the input counts.

use microtome_core::{Counts, Matrix, Result, Role};
use microtome_numerics::pca_sparse;

use super::expression::{Expression, WIDTH};
use crate::Representation;
use crate::protocol::random::stream;

fn baseline(name: impl Into<String>, matrix: Matrix) -> Representation {
    Representation::simple(name, Role::Baseline, matrix)
}

/// Mean of log-normalised expression, `ln(variance / mean)` of it and the share of cells with a count, `[gene, 3]`; 0
/// dispersion for a gene without expression.
pub(super) fn expression(x: &Expression, _seed: u64) -> Result<Representation> {
    let (n_cells, n_genes) = (x.log.n_cells() as f64, x.log.n_genes());
    let (mut sum, mut squares, mut seen) =
        (vec![0.0f64; n_genes], vec![0.0f64; n_genes], vec![0.0f64; n_genes]);
    for cell in 0..x.log.n_cells() {
        let (genes, values) = x.log.row(cell);
        for (&g, &v) in genes.iter().zip(values).filter(|(_, v)| **v > 0.0) {
            sum[g as usize] += f64::from(v);
            squares[g as usize] += f64::from(v).powi(2);
            seen[g as usize] += 1.0;
        }
    }
    let mut m = Matrix::zeros(n_genes, 3);
    for g in 0..n_genes {
        let mean = sum[g] / n_cells;
        let variance = (squares[g] / n_cells - mean * mean).max(0.0);
        let dispersion = if variance > 0.0 { (variance / mean).ln() } else { 0.0 };
        m.row_mut(g).copy_from_slice(&[mean as f32, dispersion as f32, (seen[g] / n_cells) as f32]);
    }
    Ok(baseline("gene_expression", m))
}

/// Principal components of log-normalised expression with genes as rows and cells as columns, `[gene, 50]`, fewer where
/// the data has fewer: genes that are expressed in the same cells lie together.
pub(super) fn coexpression(x: &Expression, seed: u64) -> Result<Representation> {
    let turned = transpose(&x.log)?;
    let n = WIDTH.min(turned.n_cells().saturating_sub(1)).min(turned.n_genes()).max(1);
    Ok(baseline(format!("gene_coexpression_{n}"), pca_sparse(&turned, n, seed)?.scores))
}

/// Standard normal noise, `[gene, 50]`.
pub(super) fn random(x: &Expression, seed: u64) -> Result<Representation> {
    let n = x.counts.n_genes();
    let mut random = stream(seed, "random genes", 0);
    let data = (0..n * WIDTH).map(|_| random.normal() as f32).collect();
    Ok(baseline(format!("gene_random_{WIDTH}"), Matrix::new(n, WIDTH, data)?))
}

/// Genes as rows, cells as columns.
fn transpose(x: &Counts) -> Result<Counts> {
    let mut indptr = vec![0usize; x.n_genes() + 1];
    x.indices().iter().for_each(|&g| indptr[g as usize + 1] += 1);
    for g in 0..x.n_genes() {
        indptr[g + 1] += indptr[g];
    }
    let (mut next, mut indices, mut values) = (indptr.clone(), vec![0; x.nnz()], vec![0.0; x.nnz()]);
    for cell in 0..x.n_cells() {
        let (genes, row) = x.row(cell);
        for (&g, &v) in genes.iter().zip(row) {
            let at = next[g as usize];
            (indices[at], values[at]) = (cell as u32, v);
            next[g as usize] += 1;
        }
    }
    Counts::new(x.n_cells(), indptr, indices, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn genes_are_rows_and_their_numbers_are_right() {
        // 3 cells x 2 genes; the second is nowhere expressed... the third cell has the first gene only.
        let counts =
            Counts::new(3, vec![0, 2, 3, 5], vec![0, 1, 1, 0, 2], vec![1.0, 3.0, 2.0, 5.0, 5.0]).unwrap();
        let turned = transpose(&counts).unwrap();
        assert_eq!((turned.n_cells(), turned.n_genes()), (3, 3));
        assert_eq!(turned.row(0), (&[0u32, 2][..], &[1.0f32, 5.0][..]));
        assert_eq!(turned.row(1), (&[0u32, 1][..], &[3.0f32, 2.0][..]));
        let x = Expression::new(&counts).unwrap();
        let r = expression(&x, 0).unwrap();
        let log = |c: f64, total: f64| (1e4 * c / total).ln_1p();
        let mean = (log(1.0, 4.0) + log(5.0, 10.0)) / 3.0;
        assert!((f64::from(r.matrix.row(0)[0]) - mean).abs() < 1e-4);
        assert!((r.matrix.row(0)[2] - 2.0 / 3.0).abs() < 1e-6);
        assert_eq!(random(&x, 1).unwrap().matrix.rows(), 3);
    }
}
