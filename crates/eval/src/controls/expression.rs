//! Baselines made of the input counts.

use microtome_core::{Counts, Error, Matrix, Result, Role};
use microtome_numerics::residuals::THETA;
use microtome_numerics::{
    Flavour, detected, highly_variable, highly_variable_by, log1p_cp10k, pca_rank_normal, pca_sparse,
    select_genes, totals,
};

use crate::Representation;

/// Variable genes that are kept.
const N_HVG: usize = 2000;
/// Principal components, and dimensions of the random projection.
const WIDTH: usize = 50;
/// Most values of a dense matrix of all genes; beyond it the variable genes stand for them.
const MAX_DENSE: usize = 8_000_000;

/// Raw counts, checked and log-normalised, with the variable genes.
pub struct Expression<'a> {
    counts: &'a Counts,
    /// `ln(1 + 10,000 * count / total)`.
    log: Counts,
    /// Variable genes, ascending.
    variable: Vec<usize>,
    max_dense: usize,
}

impl<'a> Expression<'a> {
    /// Checks and normalises. Errors when the values are not raw counts, when there are fewer than three cells, or
    /// when no gene varies.
    pub fn new(counts: &'a Counts) -> Result<Self> {
        let check = counts.check_raw();
        if !check.is_raw() {
            return Err(Error::mismatch("baselines need raw counts")
                .expected("whole numbers of zero or more")
                .found(format!(
                    "{} fractional, {} negative, {} non-finite of {} stored values",
                    check.n_fractional, check.n_negative, check.n_non_finite, check.n_values
                ))
                .remedy("name the slot that holds raw counts, for instance raw or layers/counts"));
        }
        if counts.n_cells() < 3 {
            return Err(Error::mismatch("too few cells for baselines")
                .expected("at least 3")
                .found(counts.n_cells().to_string()));
        }
        let log = log1p_cp10k(counts)?.counts;
        let variable = highly_variable(&log, N_HVG)?;
        Ok(Self { counts, log, variable, max_dense: MAX_DENSE })
    }

    /// The variable genes of the log-normalised counts.
    fn variable(&self) -> Result<Counts> {
        select_genes(&self.log, &self.variable)
    }

    /// Genes that vary most by one of the published rules.
    fn variable_by(&self, flavour: Flavour) -> Result<Vec<usize>> {
        let x = if flavour.takes_counts() { self.counts } else { &self.log };
        // Genes without counts make the percentiles of Cell Ranger's rule coincide.
        let mut total = vec![0.0f64; x.n_genes()];
        x.indices().iter().zip(x.values()).for_each(|(&g, &v)| total[g as usize] += f64::from(v));
        let expressed: Vec<usize> = (0..total.len()).filter(|&g| total[g] > 0.0).collect();
        let chosen = highly_variable_by(&select_genes(x, &expressed)?, N_HVG, flavour)?;
        Ok(chosen.into_iter().map(|i| expressed[i]).collect())
    }
}

fn dense(counts: &Counts) -> Matrix {
    let mut m = Matrix::zeros(counts.n_cells(), counts.n_genes());
    for cell in 0..counts.n_cells() {
        let (genes, values) = counts.row(cell);
        genes.iter().zip(values).for_each(|(&g, &v)| m.row_mut(cell)[g as usize] = v);
    }
    m
}

fn baseline(name: impl Into<String>, matrix: Matrix) -> Representation {
    Representation::simple(name, Role::Baseline, matrix)
}

/// All genes where the dense matrix holds at most 8 million values (`log_normalised`), otherwise the variable genes
/// (`log_normalised_hvg_2000`).
pub(super) fn log_normalised(x: &Expression, _seed: u64) -> Result<Representation> {
    if x.log.n_cells().saturating_mul(x.log.n_genes()) <= x.max_dense {
        return Ok(baseline("log_normalised", dense(&x.log)));
    }
    let variable = x.variable()?;
    Ok(baseline(format!("log_normalised_hvg_{}", variable.n_genes()), dense(&variable)))
}

/// 50 principal components of the variable genes, fewer where the data has fewer; the name says how many of each.
pub(super) fn pca(x: &Expression, seed: u64) -> Result<Representation> {
    pca_of("pca", x, &x.variable, seed)
}

/// The same for the genes chosen by the rule of Cell Ranger.
pub(super) fn pca_cell_ranger(x: &Expression, seed: u64) -> Result<Representation> {
    pca_of("pca_cell_ranger", x, &x.variable_by(Flavour::CellRanger)?, seed)
}

/// The same for the genes chosen by the rule of Seurat v3, which takes counts.
pub(super) fn pca_seurat_v3(x: &Expression, seed: u64) -> Result<Representation> {
    pca_of("pca_seurat_v3", x, &x.variable_by(Flavour::SeuratV3)?, seed)
}

fn pca_of(id: &str, x: &Expression, genes: &[usize], seed: u64) -> Result<Representation> {
    if id != "pca" && genes == x.variable {
        return Err(Error::mismatch(
            "this rule chooses the genes of the default rule, whose baseline stands already",
        ));
    }
    let part = select_genes(&x.log, genes)?;
    let n = components(part.n_cells(), part.n_genes());
    let scores = pca_sparse(&part, n, seed)?.scores;
    Ok(baseline(format!("{id}_{n}_hvg_{}", genes.len()), scores))
}

fn components(n_cells: usize, n_genes: usize) -> usize {
    WIDTH.min(n_cells - 1).min(n_genes)
}

/// 50 principal components of Pearson residuals (theta 100) of the genes whose residuals vary most, residuals taken
/// anew within these genes as scanpy's recipe does.
pub(super) fn pearson_residuals(x: &Expression, seed: u64) -> Result<Representation> {
    let genes = x.variable_by(Flavour::PearsonResiduals)?;
    let residuals = microtome_numerics::pearson_residuals(&select_genes(x.counts, &genes)?, THETA, None)?;
    let n = components(residuals.rows(), residuals.cols());
    let scores = microtome_numerics::pca(&residuals, n, seed)?.scores;
    Ok(baseline(format!("pearson_residuals_{n}_hvg_{}", genes.len()), scores))
}

/// Rank-normal expression, all genes where the dense matrix holds at most 8 million values (`rank_normal`), otherwise
/// the variable genes with the ranks they have among all (`rank_normal_hvg_2000`).
pub(super) fn rank_normal(x: &Expression, _seed: u64) -> Result<Representation> {
    let ranks = microtome_numerics::rank_normal(x.counts)?;
    if x.log.n_cells().saturating_mul(x.log.n_genes()) <= x.max_dense {
        return Ok(baseline("rank_normal", ranks.dense()));
    }
    let n = x.variable.len();
    Ok(baseline(format!("rank_normal_hvg_{n}"), ranks.select_genes(&x.variable)?.dense()))
}

/// 50 principal components of rank-normal expression over all genes, which stays sparse.
pub(super) fn rank_normal_pca(x: &Expression, seed: u64) -> Result<Representation> {
    let ranks = microtome_numerics::rank_normal(x.counts)?;
    let n = components(x.counts.n_cells(), x.counts.n_genes());
    Ok(baseline(format!("rank_normal_pca_{n}"), pca_rank_normal(&ranks, n, seed)?.scores))
}

/// All log-normalised genes times a random Gaussian matrix, `[cell, 50]`.
pub(super) fn random_projection(x: &Expression, seed: u64) -> Result<Representation> {
    let projected = microtome_numerics::random_projection(&x.log, WIDTH, seed)?;
    Ok(baseline(format!("random_projection_{WIDTH}"), projected))
}

/// One number per cell.
fn column(id: &str, values: impl Iterator<Item = f64>) -> Result<Representation> {
    let data: Vec<f32> = values.map(|v| v as f32).collect();
    Ok(baseline(id, Matrix::new(data.len(), 1, data)?))
}

/// `ln(1 + total counts)`, `[cell, 1]`.
pub(super) fn total_counts(x: &Expression, _seed: u64) -> Result<Representation> {
    column("total_counts", totals(x.counts).into_iter().map(f64::ln_1p))
}

/// Genes with at least one count, `[cell, 1]`.
pub(super) fn detected_genes(x: &Expression, _seed: u64) -> Result<Representation> {
    column("detected_genes", detected(x.counts).into_iter().map(|n| n as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controls::{CONTROLS, Source};

    fn counts() -> Counts {
        // 12 cells x 30 genes with a gene programme that rises from cell to cell.
        let (mut indptr, mut indices, mut values) = (vec![0], vec![], vec![]);
        for cell in 0..12u32 {
            for gene in 0..30u32 {
                let v = (gene * 7 + cell * (gene % 5)) % 11;
                if v > 0 {
                    indices.push(gene);
                    values.push(v as f32);
                }
            }
            indptr.push(values.len());
        }
        Counts::new(30, indptr, indices, values).unwrap()
    }

    #[test]
    fn every_baseline_holds_every_cell_and_is_named_by_its_control() {
        let counts = counts();
        let x = Expression::new(&counts).unwrap();
        for control in CONTROLS {
            if let Source::Expression(make) = control.source {
                let Ok(r) = make(&x, 1) else {
                    // Thirty genes: rules choose the same ones, or cannot bin them by mean.
                    assert!(control.id.starts_with("pca_"), "{}", control.id);
                    continue;
                };
                assert_eq!(r.matrix.rows(), 12);
                assert_eq!(r.role, control.role);
                assert_eq!(crate::controls::words_of(&r.model), control.words, "{}", r.model);
            }
        }
        let all = log_normalised(&x, 0).unwrap();
        assert_eq!((all.model.as_str(), all.matrix.cols()), ("log_normalised", 30));
        let total = counts.total(3);
        let (genes, values) = counts.row(3);
        let want = (f64::from(values[0]) * 1e4 / total).ln_1p() as f32;
        assert!((all.matrix.row(3)[genes[0] as usize] - want).abs() < 1e-6);
    }

    #[test]
    fn a_large_matrix_falls_back_to_variable_genes_under_another_name() {
        let counts = counts();
        let mut x = Expression::new(&counts).unwrap();
        x.max_dense = 100;
        x.variable = vec![2, 5];
        let r = log_normalised(&x, 0).unwrap();
        assert_eq!((r.model.as_str(), r.matrix.cols()), ("log_normalised_hvg_2", 2));
        let full = dense(&x.log);
        for cell in 0..12 {
            assert_eq!(r.matrix.row(cell), [full.row(cell)[2], full.row(cell)[5]]);
        }
    }

    #[test]
    fn refuses_what_is_not_raw_counts() {
        let c = Counts::new(1, vec![0, 1, 2, 3], vec![0, 0, 0], vec![0.5, 1.0, 2.0]).unwrap();
        assert!(Expression::new(&c).err().unwrap().to_string().contains("raw counts"));
    }
}
