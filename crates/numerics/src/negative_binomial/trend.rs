//! Dispersion as a function of the mean, and how far genes scatter about it.

use super::LEAST;
use super::size_factors::median;
use microtome_core::{Error, Result};

/// `a1 / mean + a0` by a gamma regression, refitted without genes far from the curve; the trimmed mean of all
/// dispersions where that curve does not fit (`false`).
pub(super) fn fit(means: &[f64], genewise: &[f64]) -> Result<(Vec<f64>, bool)> {
    let mut used: Vec<usize> =
        (0..means.len()).filter(|&g| means[g] > 0.0 && genewise[g].is_finite()).collect();
    if used.is_empty() {
        return Err(Error::mismatch("no gene of the pseudobulks has counts"));
    }
    let mut last = (1.0f64, 1.0f64);
    for _ in 0..100 {
        let points: Vec<(f64, f64)> = used.iter().map(|&g| (1.0 / means[g], genewise[g])).collect();
        let Some((a0, a1)) = gamma_regression(&points) else { break };
        if a0 <= 1e-10 || a1 <= 1e-10 {
            break;
        }
        let curve = |g: usize| a0 + a1 / means[g];
        used.retain(|&g| (1e-4..15.0).contains(&(genewise[g] / curve(g))));
        let moved = (a0 / last.0).ln().powi(2) + (a1 / last.1).ln().powi(2);
        last = (a0, a1);
        if moved < 1e-6 {
            return Ok((means.iter().map(|&m| if m > 0.0 { a0 + a1 / m } else { f64::NAN }).collect(), true));
        }
    }
    let mut known: Vec<f64> = genewise.iter().copied().filter(|d| *d > 10.0 * LEAST).collect();
    known.sort_unstable_by(f64::total_cmp);
    let cut = known.len() / 1000;
    let inner = &known[cut..known.len() - cut];
    let mean = if inner.is_empty() { LEAST } else { inner.iter().sum::<f64>() / inner.len() as f64 };
    Ok((vec![mean; means.len()], false))
}

/// Coefficients `(a0, a1)` that minimise `mean(y / mu + ln mu)` with `mu = a0 + a1 x`, by Fisher scoring with halved
/// steps; `None` when it does not converge.
fn gamma_regression(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let loss = |a: f64, b: f64| {
        points
            .iter()
            .map(|(x, y)| {
                let mu = a + b * x;
                y / mu + mu.ln()
            })
            .sum::<f64>()
            / points.len() as f64
    };
    let (mut a, mut b) = (1.0, 1.0);
    let mut now = loss(a, b);
    for _ in 0..500 {
        let (mut g0, mut g1, mut h00, mut h01, mut h11) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (x, y) in points {
            let mu = a + b * x;
            let (slope, weight) = ((y / mu - 1.0) / mu, 1.0 / (mu * mu));
            g0 += slope;
            g1 += slope * x;
            h00 += weight;
            h01 += weight * x;
            h11 += weight * x * x;
        }
        let determinant = h00 * h11 - h01 * h01;
        if determinant.is_nan() || determinant <= 1e-300 {
            return None;
        }
        let (d0, d1) = ((h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant);
        let mut scale = 1.0;
        let (next_a, next_b, next) = loop {
            let (next_a, next_b) = ((a + scale * d0).max(1e-12), (b + scale * d1).max(1e-12));
            let next = loss(next_a, next_b);
            if next <= now || scale < 1e-10 {
                break (next_a, next_b, next);
            }
            scale *= 0.5;
        };
        let done = (now - next).abs() <= 1e-12 * (1.0 + now.abs());
        (a, b, now) = (next_a, next_b, next);
        if done {
            return now.is_finite().then_some((a, b));
        }
    }
    None
}

/// How dispersions scatter about the trend.
pub(super) struct Prior {
    /// Variance of the true log dispersions about the trend.
    pub(super) variance: f64,
    /// Robust standard deviation of the fitted ones.
    pub(super) residual_sd: f64,
}

/// Median absolute deviation of the log residuals, less the sampling variance `trigamma(freedom / 2)`, at least 0.25.
pub(super) fn prior(genewise: &[f64], trend: &[f64], freedom: usize) -> Prior {
    let residuals: Vec<f64> = genewise
        .iter()
        .zip(trend)
        .filter(|(d, _)| **d >= 100.0 * LEAST)
        .map(|(d, t)| d.ln() - t.ln())
        .collect();
    let centre = median(residuals.clone());
    let spread = median(residuals.iter().map(|r| (r - centre).abs()).collect()) / 0.674_489_750_196_081_7;
    let residual_sd = if spread.is_finite() { spread } else { 0.0 };
    let variance = (residual_sd * residual_sd - trigamma(freedom as f64 / 2.0)).max(0.25);
    Prior { variance, residual_sd }
}

/// Second derivative of the logarithm of the gamma function for positive arguments: recurrence to 10 and beyond, then
/// the asymptotic series.
fn trigamma(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 10.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let (i, i2) = (1.0 / x, 1.0 / (x * x));
    sum + i + 0.5 * i2 + i * i2 * (1.0 / 6.0 - i2 * (1.0 / 30.0 - i2 * (1.0 / 42.0 - i2 / 30.0)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn trigamma_at_known_points() {
        let pi2 = std::f64::consts::PI.powi(2);
        assert!((super::trigamma(1.0) - pi2 / 6.0).abs() < 1e-12);
        assert!((super::trigamma(0.5) - pi2 / 2.0).abs() < 1e-11);
    }
}
