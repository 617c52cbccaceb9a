//! The shape of one block's cloud of rows: entropy, effective rank, anisotropy, outlier dimensions.

use super::neighbours::{IntrinsicDimension, intrinsic_dimension};
use crate::input::Blocks;
use crate::outcome::Estimated;
use microtome_core::{Matrix, Progress, Result};
use microtome_numerics::products::{centred, columns_product, eigenvalues};
use serde::{Deserialize, Serialize};

/// Entropies and ranks of the spectrum of one block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spectrum {
    /// `-sum p ln p` over eigenvalues of the Gram matrix divided by their sum (matrix-based entropy of order 1; Giraldo et
    /// al. 2015, Skean et al. 2025), in nats.
    pub matrix_entropy: Estimated,
    /// The same divided by `ln min(rows, width)`.
    pub matrix_entropy_normalised: Estimated,
    /// `exp` of [`Spectrum::matrix_entropy`]: effective rank of **variances** (eigenvalues).
    pub effective_rank_variance: Estimated,
    /// `exp` of the entropy of singular values divided by their sum: effective rank of Roy and Vetterli (2007), RankMe.
    pub effective_rank_singular: Estimated,
    /// `(sum p)^2 / sum p^2` over eigenvalues.
    pub participation_ratio: Estimated,
    /// Share of the largest eigenvalue.
    pub first_share: Estimated,
}

/// Shape of one block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Name of the block.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Width.
    pub width: u64,
    /// Spectrum of the centred rows.
    pub centred: Spectrum,
    /// Spectrum of the rows as they are, where a shared direction counts as spread.
    pub uncentred: Spectrum,
    /// Mean cosine of all pairs of different rows (exact); near 0 for a cloud without preferred direction.
    pub mean_cosine: Estimated,
    /// The same after the mean row is subtracted.
    pub mean_cosine_centred: Estimated,
    /// Dimensions whose variance is more than 100 times the median variance.
    pub outlier_dimensions: Vec<u32>,
    /// Share of the total variance in those dimensions.
    pub outlier_share: Estimated,
    /// Mean length of a row.
    pub mean_norm: Estimated,
    /// TwoNN intrinsic dimension.
    pub intrinsic: IntrinsicDimension,
}

/// Shape of every block, in order.
///
/// Errors when an eigenvalue solver does not converge, or when stopped.
pub fn shapes(blocks: &Blocks<'_>, progress: &dyn Progress) -> Result<Vec<Shape>> {
    progress.begin("shape of blocks", blocks.len() as u64, "blocks");
    let out = blocks
        .names()
        .iter()
        .zip(blocks.values())
        .map(|(name, x)| {
            progress.check()?;
            let out = shape(name, x);
            progress.advance(1);
            out
        })
        .collect();
    progress.end();
    out
}

fn shape(name: &str, x: &Matrix) -> Result<Shape> {
    let (n, d) = (x.rows(), x.cols());
    let around = centred(x);
    let raw: Vec<f64> = x.data().iter().map(|&v| f64::from(v)).collect();
    let mut variance = vec![0.0; d];
    around.chunks_exact(d.max(1)).for_each(|row| variance.iter_mut().zip(row).for_each(|(s, v)| *s += v * v));
    let mut sorted = variance.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let median = sorted.get(d / 2).copied().unwrap_or(0.0);
    let outliers: Vec<u32> = (0..d).filter(|&c| variance[c] > 100.0 * median).map(|c| c as u32).collect();
    let total: f64 = variance.iter().sum();
    let of_outliers: f64 = outliers.iter().map(|&c| variance[c as usize]).sum();
    let norms: f64 = raw.chunks_exact(d.max(1)).map(|r| r.iter().map(|v| v * v).sum::<f64>().sqrt()).sum();
    Ok(Shape {
        name: name.to_owned(),
        rows: n as u64,
        width: d as u64,
        centred: spectrum(&around, n, d)?,
        uncentred: spectrum(&raw, n, d)?,
        mean_cosine: mean_cosine(&raw, d),
        mean_cosine_centred: mean_cosine(&around, d),
        outlier_dimensions: outliers,
        outlier_share: Estimated::or_reason(
            (total > 0.0).then(|| of_outliers / total),
            d as u64,
            "the rows have no spread",
        ),
        mean_norm: Estimated::or_reason((n > 0).then(|| norms / n as f64), n as u64, "there are no rows"),
        intrinsic: intrinsic_dimension(x)?,
    })
}

/// From `rows [n, d]`: eigenvalues of the smaller Gram matrix.
fn spectrum(rows: &[f64], n: usize, d: usize) -> Result<Spectrum> {
    let side = n.min(d);
    let gram = if d <= n {
        columns_product(rows, d, rows, d)?
    } else {
        let mut turned = vec![0.0; rows.len()];
        for i in 0..n {
            (0..d).for_each(|j| turned[j * n + i] = rows[i * d + j]);
        }
        columns_product(&turned, n, &turned, n)?
    };
    // Rounding leaves tiny eigenvalues of either sign behind, which would count as singular values 1e-8 of the largest.
    let values = eigenvalues(&gram, side)?;
    let least = values.iter().copied().fold(0.0, f64::max) * side as f64 * f64::EPSILON * 4.0;
    let values: Vec<f64> = values.into_iter().map(|v| if v > least { v } else { 0.0 }).collect();
    let total: f64 = values.iter().sum();
    let entropy = |values: &mut dyn Iterator<Item = f64>, total: f64| -> f64 {
        values.filter(|&v| v > 0.0).map(|v| -(v / total) * (v / total).ln()).sum()
    };
    let get = |value: Option<f64>| Estimated::or_reason(value, n as u64, "the rows have no spread");
    let held = total > 0.0;
    let of_variance = held.then(|| entropy(&mut values.iter().copied(), total));
    let of_singular = held.then(|| {
        let total: f64 = values.iter().map(|v| v.sqrt()).sum();
        entropy(&mut values.iter().map(|v| v.sqrt()), total)
    });
    let most = (side as f64).ln();
    Ok(Spectrum {
        matrix_entropy: get(of_variance),
        matrix_entropy_normalised: if side > 1 {
            get(of_variance.map(|s| s / most))
        } else {
            Estimated::missing(n as u64, "one dimension has no entropy to normalise")
        },
        effective_rank_variance: get(of_variance.map(f64::exp)),
        effective_rank_singular: get(of_singular.map(f64::exp)),
        participation_ratio: get(held.then(|| total * total / values.iter().map(|v| v * v).sum::<f64>())),
        first_share: get(held.then(|| values.iter().copied().fold(0.0, f64::max) / total)),
    })
}

/// Mean cosine over ordered pairs of different rows that have a direction: `(|sum of unit rows|^2 - m) / (m (m - 1))`.
fn mean_cosine(rows: &[f64], d: usize) -> Estimated {
    let mut sum = vec![0.0; d];
    let mut m = 0u64;
    for row in rows.chunks_exact(d.max(1)) {
        let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        if length > 0.0 {
            m += 1;
            sum.iter_mut().zip(row).for_each(|(s, v)| *s += v / length);
        }
    }
    let count = m as f64;
    let value = (m > 1).then(|| (sum.iter().map(|v| v * v).sum::<f64>() - count) / (count * (count - 1.0)));
    Estimated::or_reason(value, m, "fewer than two rows have a direction")
}
