//! Normalised dispersion: the rules that take log-normalised values.

use super::Dispersion;
use microtome_core::{Counts, Error, Result};

/// Normalised dispersion of every gene; `None` where it is undefined (no variance, or a bin without spread).
pub fn normalised_dispersion(log_normalised: &Counts, flavour: Dispersion) -> Result<Vec<Option<f64>>> {
    let n = log_normalised.n_cells();
    if n < 2 {
        return Err(Error::mismatch("variance needs cells")
            .expected("at least 2 cells")
            .found(n.to_string()));
    }
    let check = log_normalised.check_raw();
    if check.n_negative > 0 || check.n_non_finite > 0 {
        return Err(Error::mismatch("highly variable genes need log-normalised values")
            .expected("finite values of at least 0")
            .found(format!("{} negative, {} not finite", check.n_negative, check.n_non_finite)));
    }
    let n_genes = log_normalised.n_genes();
    let (mut sum, mut squares) = (vec![0.0f64; n_genes], vec![0.0f64; n_genes]);
    for (&g, &v) in log_normalised.indices().iter().zip(log_normalised.values()) {
        // The un-logged value is rounded to f32, as scanpy keeps it.
        let v = match flavour {
            Dispersion::Seurat => f64::from(libm::expm1(f64::from(v)) as f32),
            Dispersion::CellRanger => f64::from(v),
        };
        sum[g as usize] += v;
        squares[g as usize] += v * v;
    }
    let n = n as f64;
    let mut means: Vec<f64> = sum.iter().map(|s| s / n).collect();
    let mut dispersions: Vec<Option<f64>> = means
        .iter()
        .zip(&squares)
        .map(|(&mean, &squares)| {
            let variance = ((squares / n - mean * mean) * (n / (n - 1.0))).max(0.0);
            let dispersion = variance / if mean == 0.0 { 1e-12 } else { mean };
            match flavour {
                Dispersion::Seurat if dispersion == 0.0 => None,
                Dispersion::Seurat => Some(dispersion.ln()),
                Dispersion::CellRanger => Some(dispersion),
            }
        })
        .collect();
    means.iter_mut().filter(|m| **m == 0.0).for_each(|m| *m = 1e-12);
    if flavour == Dispersion::Seurat {
        means.iter_mut().for_each(|m| *m = m.ln_1p());
    }
    let bins = match flavour {
        Dispersion::Seurat => equal_width(&means, 20),
        Dispersion::CellRanger => percentile_bins(&means)?,
    };
    let n_bins = bins.iter().max().map_or(0, |b| b + 1);
    let mut members = vec![Vec::new(); n_bins];
    for (g, (&bin, d)) in bins.iter().zip(&dispersions).enumerate() {
        if let Some(d) = d {
            members[bin].push((g, *d));
        }
    }
    dispersions.fill(None);
    for bin in members {
        let values: Vec<f64> = bin.iter().map(|m| m.1).collect();
        let Some((centre, spread)) = (match flavour {
            Dispersion::Seurat => mean_and_deviation(&values),
            Dispersion::CellRanger => median_and_mad(&values),
        }) else {
            continue;
        };
        for (g, d) in bin {
            let z = (d - centre) / spread;
            dispersions[g] = (!z.is_nan()).then_some(z);
        }
    }
    Ok(dispersions)
}

/// Bin of every value for `n` equal-width, right-closed bins, as pandas' `cut`.
fn equal_width(values: &[f64], n: usize) -> Vec<usize> {
    let (low, high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    let (low, high) = if low == high {
        let margin = if low == 0.0 { 1e-3 } else { 1e-3 * low.abs() };
        (low - margin, high + margin)
    } else {
        (low, high)
    };
    let step = (high - low) / n as f64;
    let upper: Vec<f64> = (1..=n).map(|i| if i == n { high } else { i as f64 * step + low }).collect();
    values.iter().map(|&v| upper.partition_point(|&edge| edge < v).min(n - 1)).collect()
}

/// Right-closed bins at the 10th, 15th, ..., 100th percentile, open at both ends.
fn percentile_bins(values: &[f64]) -> Result<Vec<usize>> {
    let mut edges = Vec::new();
    for p in (10..=100).step_by(5) {
        edges.extend(crate::resample::quantile(values, f64::from(p) / 100.0)?);
    }
    if edges.windows(2).any(|w| w[0] == w[1]) {
        return Err(Error::mismatch("the cell_ranger rule cannot bin these genes")
            .expected("percentiles of the gene means that differ")
            .found("equal percentiles (many genes without any counts)")
            .remedy("drop genes without counts first, or use the seurat rule"));
    }
    Ok(values.iter().map(|&v| edges.partition_point(|&edge| edge < v)).collect())
}

/// Mean and standard deviation (n - 1). One gene alone in its bin scores 1: its deviation is its value, its mean 0.
fn mean_and_deviation(values: &[f64]) -> Option<(f64, f64)> {
    match values {
        [] => None,
        [one] => Some((0.0, *one)),
        _ => {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
            Some((mean, (squares / (values.len() - 1) as f64).sqrt()))
        }
    }
}

/// Median and median absolute deviation, scaled to estimate a normal standard deviation.
fn median_and_mad(values: &[f64]) -> Option<(f64, f64)> {
    let centre = median(values.to_vec())?;
    let spread = median(values.iter().map(|v| (v - centre).abs()).collect())?;
    Some((centre, spread / 0.674_489_750_196_081_7))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => None,
        _ if n % 2 == 1 => Some(values[n / 2]),
        _ => Some(0.5 * (values[n / 2 - 1] + values[n / 2])),
    }
}
