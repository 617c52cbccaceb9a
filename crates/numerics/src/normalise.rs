//! Library size and log-normalisation.

use microtome_core::{Counts, Error, Result};
use rayon::prelude::*;

/// Log-normalised values and what happened to empty cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalised {
    /// `ln(1 + 10,000 * count / total)`.
    pub counts: Counts,
    /// Cells without any counts; they stay all zero.
    pub n_empty: usize,
}

/// Sum of counts of every cell.
pub fn totals(counts: &Counts) -> Vec<f64> {
    (0..counts.n_cells()).into_par_iter().map(|c| counts.total(c)).collect()
}

/// Number of genes with a count above 0 in every cell.
pub fn detected(counts: &Counts) -> Vec<usize> {
    (0..counts.n_cells())
        .into_par_iter()
        .map(|c| counts.row(c).1.iter().filter(|&&v| v > 0.0).count())
        .collect()
}

/// Scales every cell to 10,000 counts and takes `ln(1 + x)`, as scanpy's `normalize_total(target_sum=1e4)` and
/// `log1p`. Errors on negative or non-finite values.
pub fn log1p_cp10k(counts: &Counts) -> Result<Normalised> {
    let check = counts.check_raw();
    if check.n_negative > 0 || check.n_non_finite > 0 {
        return Err(Error::mismatch("log-normalisation needs counts")
            .expected("finite values of at least 0")
            .found(format!("{} negative, {} not finite", check.n_negative, check.n_non_finite))
            .remedy("name the slot that holds raw counts"));
    }
    let totals = totals(counts);
    let n_empty = totals.iter().filter(|&&t| t <= 0.0).count();
    let values: Vec<f32> = (0..counts.n_cells())
        .into_par_iter()
        .flat_map_iter(|cell| {
            let total = totals[cell];
            counts.row(cell).1.iter().map(move |&v| {
                // An empty cell may still hold stored zeros.
                if total > 0.0 { libm::log1p(f64::from(v) * (1e4 / total)) as f32 } else { 0.0 }
            })
        })
        .collect();
    let counts = Counts::new(counts.n_genes(), counts.indptr().to_vec(), counts.indices().to_vec(), values)?;
    Ok(Normalised { counts, n_empty })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_then_logs_and_counts_empty_cells() {
        let counts = Counts::new(3, vec![0, 2, 2, 3], vec![0, 2, 1], vec![1.0, 3.0, 0.0]).unwrap();
        let out = log1p_cp10k(&counts).unwrap();
        assert_eq!(out.n_empty, 2);
        assert_eq!(out.counts.values(), [2501f64.ln() as f32, 7501f64.ln() as f32, 0.0]);
        assert_eq!(totals(&counts), [4.0, 0.0, 0.0]);
        assert_eq!(detected(&counts), [2, 0, 0]);
    }

    #[test]
    fn refuses_what_is_not_counts() {
        for bad in [-1.0, f32::NAN, f32::INFINITY] {
            let counts = Counts::new(1, vec![0, 1], vec![0], vec![bad]).unwrap();
            assert!(log1p_cp10k(&counts).unwrap_err().what().contains("needs counts"));
        }
    }
}
