//! Quantiles and bootstrap confidence intervals.

use microtome_core::{Error, Result};

/// A confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Quantile `q` in [0, 1] with linear interpolation between order statistics (Hyndman and Fan type 7, numpy's
/// default). `None` for no values. Errors on NaN or on `q` outside [0, 1].
pub fn quantile(values: &[f64], q: f64) -> Result<Option<f64>> {
    Ok(quantiles(values, &[q])?.map(|v| v[0]))
}

fn quantiles(values: &[f64], at: &[f64]) -> Result<Option<Vec<f64>>> {
    if let Some(q) = at.iter().find(|q| !(0.0..=1.0).contains(*q)) {
        return Err(Error::usage("quantile out of range").expected("0 to 1").found(q.to_string()));
    }
    if values.iter().any(|v| v.is_nan()) {
        return Err(Error::mismatch("cannot take quantiles of NaN").expected("numbers").found("NaN"));
    }
    if values.is_empty() {
        return Ok(None);
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len() - 1;
    Ok(Some(
        at.iter()
            .map(|q| {
                let position = q * last as f64;
                let below = position.floor() as usize;
                let (a, b) = (sorted[below], sorted[(below + 1).min(last)]);
                // Equal ends first: infinity - infinity has no value.
                if a == b { a } else { a + (b - a) * (position - below as f64) }
            })
            .collect(),
    ))
}

fn check_level(level: f64) -> Result<f64> {
    if level > 0.0 && level < 1.0 {
        return Ok((1.0 - level) / 2.0);
    }
    Err(Error::usage("confidence level out of range")
        .expected("between 0 and 1, such as 0.95")
        .found(level.to_string()))
}

/// Percentile interval of bootstrap replicates. `None` without replicates.
pub fn percentile(replicates: &[f64], level: f64) -> Result<Option<Interval>> {
    let tail = check_level(level)?;
    Ok(quantiles(replicates, &[tail, 1.0 - tail])?.map(|q| Interval { low: q[0], high: q[1] }))
}

/// Bias-corrected and accelerated interval (Efron 1987, JASA 82:171). `jackknife` holds the statistic with each
/// unit left out. `None` when it is undefined: no replicates, all replicates on one side of the estimate, or
/// fewer than two jackknife values.
pub fn bca(replicates: &[f64], estimate: f64, jackknife: &[f64], level: f64) -> Result<Option<Interval>> {
    let tail = check_level(level)?;
    if estimate.is_nan() || jackknife.iter().any(|v| v.is_nan()) {
        return Err(Error::mismatch("cannot make an interval from NaN").expected("numbers").found("NaN"));
    }
    if replicates.is_empty() || jackknife.len() < 2 {
        return Ok(None);
    }
    // Ties count half, so that a discrete statistic is not biased.
    let below = replicates.iter().filter(|&&r| r < estimate).count() as f64
        + 0.5 * replicates.iter().filter(|&&r| r == estimate).count() as f64;
    let fraction = below / replicates.len() as f64;
    if fraction <= 0.0 || fraction >= 1.0 {
        return Ok(None);
    }
    let bias = normal_quantile(fraction);
    let mean = jackknife.iter().sum::<f64>() / jackknife.len() as f64;
    let (mut squares, mut cubes) = (0.0, 0.0);
    for v in jackknife {
        let d = mean - v;
        squares += d * d;
        cubes += d * d * d;
    }
    let acceleration = if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 };
    let adjusted = |z: f64| normal_cdf(bias + (bias + z) / (1.0 - acceleration * (bias + z)));
    let z = normal_quantile(tail);
    let (low, high) = (adjusted(z), adjusted(-z));
    if low.is_nan() || high.is_nan() {
        return Ok(None);
    }
    Ok(quantiles(replicates, &[low.min(high), high.max(low)])?.map(|q| Interval { low: q[0], high: q[1] }))
}

/// Symmetric studentised (percentile-t) interval: the estimate, and on both sides the quantile of `|t|` times its standard
/// error, where `t` holds `(replicate - estimate) / its standard error`. Its coverage error is of the second order in 1/n
/// where that of the equal-tailed interval is of the first (Hall 1988, J. R. Stat. Soc. B 50:35). `None` without replicates
/// or when the standard error is not positive.
pub fn percentile_t(estimate: f64, standard_error: f64, t: &[f64], level: f64) -> Result<Option<Interval>> {
    check_level(level)?;
    if !(standard_error > 0.0 && estimate.is_finite()) {
        return Ok(None);
    }
    let sizes: Vec<f64> = t.iter().map(|t| t.abs()).collect();
    Ok(quantiles(&sizes, &[level])?.map(|q| {
        let half = q[0] * standard_error;
        Interval { low: estimate - half, high: estimate + half }
    }))
}

/// Standard normal distribution function.
pub fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// Inverse of [`normal_cdf`]; infinite at 0 and 1, NaN outside. Starts from Winitzki's approximation of the
/// inverse error function and corrects it by Newton's method in the tail that keeps relative precision.
pub fn normal_quantile(p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if p > 0.5 {
        return -normal_quantile(1.0 - p);
    }
    if p == 0.0 {
        return f64::NEG_INFINITY;
    }
    let l = libm::log(4.0 * p * (1.0 - p));
    let a = 0.147;
    let c = 2.0 / (std::f64::consts::PI * a) + l / 2.0;
    let mut z = -std::f64::consts::SQRT_2 * ((c * c - l / a).sqrt() - c).max(0.0).sqrt();
    for _ in 0..8 {
        let density = libm::exp(-0.5 * z * z) / (2.0 * std::f64::consts::PI).sqrt();
        let step = (normal_cdf(z) - p) / density;
        // Halley's correction, since the density falls steeply in the tail.
        let step = step / (1.0 + 0.5 * z * step);
        z -= step;
        if step.abs() < 1e-15 * z.abs().max(1.0) {
            break;
        }
    }
    z
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_functions_match_tables() {
        // scipy.stats.norm.ppf
        for (p, z) in [
            (0.975, 1.959963984540054),
            (0.5, 0.0),
            (0.025, -1.959963984540054),
            (1e-10, -6.361340902404056),
            (1e-300, -37.0471),
            (0.999999, 4.753424308822899),
        ] {
            assert!(
                (normal_quantile(p) - z).abs() < if p == 1e-300 { 1e-3 } else { 1e-11 },
                "{p} {}",
                normal_quantile(p)
            );
            assert!((normal_cdf(normal_quantile(p)) / p - 1.0).abs() < 1e-10);
        }
        assert!(normal_quantile(1.5).is_nan());
        assert_eq!(normal_quantile(1.0), f64::INFINITY);
    }

    #[test]
    fn quantiles_match_numpy() {
        let v = [3.0, 1.0, 2.0, 10.0];
        assert_eq!(quantile(&v, 0.5).unwrap(), Some(2.5));
        assert!((quantile(&v, 0.9).unwrap().unwrap() - 7.9).abs() < 1e-12);
        assert_eq!(quantile(&[], 0.5).unwrap(), None);
        assert!(quantile(&[f64::NAN], 0.5).is_err());
        assert!(quantile(&v, 1.2).is_err());
        assert_eq!(quantile(&[f64::INFINITY; 3], 0.3).unwrap(), Some(f64::INFINITY));
    }

    #[test]
    fn intervals_move_with_bias_and_refuse_nonsense() {
        let replicates: Vec<f64> = (0..1001).map(|i| f64::from(i) / 1000.0).collect();
        let p = percentile(&replicates, 0.9).unwrap().unwrap();
        assert!((p.low - 0.05).abs() < 1e-12 && (p.high - 0.95).abs() < 1e-12);
        // No bias, no acceleration: the same interval.
        let b = bca(&replicates, 0.5, &[1.0, 2.0, 3.0], 0.9).unwrap().unwrap();
        assert!((b.low - p.low).abs() < 1e-9 && (b.high - p.high).abs() < 1e-9);
        // Estimate below the middle of the replicates: the interval moves down.
        let b = bca(&replicates, 0.4, &[1.0, 2.0, 3.0], 0.9).unwrap().unwrap();
        assert!(b.low < p.low && b.high < p.high);
        assert_eq!(bca(&replicates, -1.0, &[1.0, 2.0], 0.9).unwrap(), None);
        // Nine tenths of the sizes of -0.5 to 0.5 are at most 0.45.
        let t: Vec<f64> = replicates.iter().map(|v| v - 0.5).collect();
        let i = percentile_t(10.0, 2.0, &t, 0.9).unwrap().unwrap();
        assert!((i.low - 9.1).abs() < 1e-12 && (i.high - 10.9).abs() < 1e-12, "{i:?}");
        assert_eq!(percentile_t(1.0, 0.0, &replicates, 0.9).unwrap(), None);
        assert!(percentile(&replicates, 95.0).is_err());
    }
}
