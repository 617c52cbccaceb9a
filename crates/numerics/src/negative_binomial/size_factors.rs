//! Median of ratios.

use microtome_core::{Error, Matrix, Result};

/// Size factor of every sample: the median over genes of its counts over their geometric mean over samples (Anders and
/// Huber 2010). Genes with a zero in any sample take no part; where none is left, geometric means are taken over the
/// positive counts (`poscounts` of DESeq2), and the factors are scaled to geometric mean 1.
///
/// Errors when a sample has no counts at all.
pub fn median_of_ratios(counts: &Matrix) -> Result<Vec<f64>> {
    let (n, genes) = (counts.rows(), counts.cols());
    if let Some(j) = (0..n).find(|&j| counts.row(j).iter().all(|v| *v <= 0.0)) {
        return Err(Error::mismatch("a pseudobulk without counts").found(format!("sample {j}")));
    }
    let mut log_sum = vec![0.0; genes];
    let mut positive = vec![0usize; genes];
    for j in 0..n {
        for (g, &v) in counts.row(j).iter().enumerate().filter(|(_, v)| **v > 0.0) {
            log_sum[g] += f64::from(v).ln();
            positive[g] += 1;
        }
    }
    let full = (0..genes).any(|g| positive[g] == n);
    // Poscounts divides the sum over positive counts by all samples.
    let used: Vec<usize> =
        (0..genes).filter(|&g| if full { positive[g] == n } else { positive[g] > 0 }).collect();
    let centre: Vec<f64> = used.iter().map(|&g| log_sum[g] / n as f64).collect();
    let factor = |j: usize| {
        let row = counts.row(j);
        let ratios = used.iter().zip(&centre).filter(|(g, _)| row[**g] > 0.0);
        median(ratios.map(|(&g, c)| f64::from(row[g]).ln() - c).collect()).exp()
    };
    let mut out: Vec<f64> = (0..n).map(factor).collect();
    if !full {
        let scale = (out.iter().map(|s| s.ln()).sum::<f64>() / n as f64).exp();
        out.iter_mut().for_each(|s| *s /= scale);
    }
    Ok(out)
}

/// NaN of nothing.
pub(super) fn median(mut v: Vec<f64>) -> f64 {
    v.sort_unstable_by(f64::total_cmp);
    match v.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => v[n / 2],
        n => 0.5 * (v[n / 2 - 1] + v[n / 2]),
    }
}
