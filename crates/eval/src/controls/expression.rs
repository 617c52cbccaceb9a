//! Baselines made of the input counts.

use microtome_core::{Counts, Error, Matrix, Result, Role};

use crate::Representation;

/// Raw counts, checked, with what several baselines share.
pub struct Expression<'a> {
    counts: &'a Counts,
}

impl<'a> Expression<'a> {
    /// Checks the counts. Errors when they are not raw counts or hold fewer than three cells.
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
        Ok(Self { counts })
    }
}

/// One number per cell as a baseline.
fn column(id: &str, values: impl Iterator<Item = f64>) -> Result<Representation> {
    let data: Vec<f32> = values.map(|v| v as f32).collect();
    Ok(Representation::simple(id, Role::Baseline, Matrix::new(data.len(), 1, data)?))
}

/// `ln(1 + total counts)`, `[cell, 1]`.
pub(super) fn total_counts(x: &Expression, _seed: u64) -> Result<Representation> {
    column("total_counts", (0..x.counts.n_cells()).map(|c| x.counts.total(c).ln_1p()))
}

/// Genes with at least one count, `[cell, 1]`.
pub(super) fn detected_genes(x: &Expression, _seed: u64) -> Result<Representation> {
    let detected = |c: usize| x.counts.row(c).1.iter().filter(|&&v| v > 0.0).count() as f64;
    column("detected_genes", (0..x.counts.n_cells()).map(detected))
}
