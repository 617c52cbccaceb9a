//! Intervals from replicates.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// An interval and how it was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// `bca`, `percentile_t`, `max_t`, `nadeau_bengio_t`.
    pub method: &'static str,
}

impl Interval {
    /// Whether 0 lies inside, ends included.
    pub fn contains_zero(&self) -> bool {
        self.low <= 0.0 && self.high >= 0.0
    }

    /// Whether the whole interval lies within `-margin..margin`.
    pub fn within(&self, margin: f64) -> bool {
        self.low >= -margin && self.high <= margin
    }
}

/// Quantile by linear interpolation between order statistics (type 7 of Hyndman and Fan 1996).
/// `sorted` is ascending and not empty; `q` in 0..=1.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let low = at.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64)
}

/// Ascending copy without NaN, or `None` when more than a tenth of the values are NaN.
pub(crate) fn sorted_defined(values: &[f64]) -> Option<Vec<f64>> {
    let mut defined: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    defined.sort_by(f64::total_cmp);
    (!defined.is_empty() && defined.len() * 10 >= values.len() * 9).then_some(defined)
}

fn normal() -> Normal {
    Normal::standard()
}

/// Bias-corrected and accelerated interval (Efron 1987). `jackknife` holds the estimate without each unit (or
/// without each of many groups of units). `None` when too many replicates are undefined.
pub(crate) fn bca(estimate: f64, replicates: &[f64], jackknife: &[f64], level: f64) -> Option<Interval> {
    let sorted = sorted_defined(replicates)?;
    let n = sorted.len() as f64;
    let below = sorted.iter().filter(|&&r| r < estimate).count() as f64;
    let equal = sorted.iter().filter(|&&r| r == estimate).count() as f64;
    // Half a replicate is kept on either side so that the correction stays finite.
    let share = ((below + equal / 2.0) / n).clamp(0.5 / n, 1.0 - 0.5 / n);
    let bias = normal().inverse_cdf(share);
    let defined: Vec<f64> = jackknife.iter().copied().filter(|v| !v.is_nan()).collect();
    let mean = defined.iter().sum::<f64>() / defined.len().max(1) as f64;
    let (mut squares, mut cubes) = (0.0, 0.0);
    for v in &defined {
        let d = mean - v;
        squares += d * d;
        cubes += d * d * d;
    }
    let acceleration = if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 };
    let end = |q: f64| {
        let z = bias + normal().inverse_cdf(q);
        let stretched = bias + z / (1.0 - acceleration * z);
        quantile(&sorted, normal().cdf(stretched))
    };
    let tail = (1.0 - level) / 2.0;
    let (low, high) = (end(tail), end(1.0 - tail));
    Some(Interval { low: low.min(high), high: high.max(low), method: "bca" })
}

/// Percentile-t interval (Efron 1982; Davison and Hinkley 1997, section 5.2): `replicates` with the standard error
/// of each; `se` is that of the estimate. `None` when too many replicates are undefined.
pub(crate) fn percentile_t(
    estimate: f64,
    se: f64,
    replicates: &[f64],
    replicate_ses: &[f64],
    level: f64,
) -> Option<Interval> {
    let t: Vec<f64> =
        replicates.iter().zip(replicate_ses).map(|(r, s)| studentise(r - estimate, *s)).collect();
    let sorted = sorted_defined(&t)?;
    let tail = (1.0 - level) / 2.0;
    let ends = (estimate - quantile(&sorted, 1.0 - tail) * se, estimate - quantile(&sorted, tail) * se);
    (ends.0.is_finite() && ends.1.is_finite()).then_some(Interval {
        low: ends.0,
        high: ends.1,
        method: "percentile_t",
    })
}

/// `deviation / se`, where nothing over nothing is 0 (a difference of two things that never differ).
pub(crate) fn studentise(deviation: f64, se: f64) -> f64 {
    if deviation == 0.0 { 0.0 } else { deviation / se }
}

/// Standard error from estimates without each unit: `sqrt((m-1)/m * sum (x - mean)^2)`.
pub(crate) fn jackknife_se(without: &[f64]) -> f64 {
    let m = without.len() as f64;
    let mean = without.iter().sum::<f64>() / m;
    ((m - 1.0) / m * without.iter().map(|x| (x - mean).powi(2)).sum::<f64>()).sqrt()
}

/// Mean over folds with the corrected t interval of Nadeau and Bengio (2003): the variance of the mean is
/// `(1/J + n_test/n_train) s^2`, because training sets of different folds overlap. `None` with fewer than two folds.
pub(crate) fn corrected_t(folds: &[f64], test_to_train: f64, level: f64) -> Option<(f64, Interval)> {
    let j = folds.len() as f64;
    if folds.len() < 2 || folds.iter().any(|v| v.is_nan()) {
        return None;
    }
    let mean = folds.iter().sum::<f64>() / j;
    let variance = folds.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (j - 1.0);
    let t = StudentsT::new(0.0, 1.0, j - 1.0).ok()?.inverse_cdf(0.5 + level / 2.0);
    let half = t * ((1.0 / j + test_to_train) * variance).sqrt();
    Some((mean, Interval { low: mean - half, high: mean + half, method: "nadeau_bengio_t" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_is_type_7() {
        let v = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&v, 0.0), 1.0);
        assert_eq!(quantile(&v, 0.5), 3.0);
        assert_eq!(quantile(&v, 1.0), 8.0);
    }

    #[test]
    fn bca_without_bias_and_skew_is_the_percentile_interval() {
        let replicates: Vec<f64> = (-500..=500).map(|i| f64::from(i) / 500.0).collect();
        let i = bca(0.0, &replicates, &[-1.0, 1.0], 0.95).unwrap();
        assert!((i.low + 0.95).abs() < 1e-6 && (i.high - 0.95).abs() < 1e-6, "{i:?}");
        // Replicates that lie below the estimate push the interval up.
        assert!(bca(0.2, &replicates, &[-1.0, 1.0], 0.95).unwrap().low > i.low);
    }

    #[test]
    fn corrected_t_matches_a_hand_calculation() {
        // mean 2, s^2 = 1, J = 3, ratio 0.5: half width 4.302653 * sqrt(5/6).
        let (mean, i) = corrected_t(&[1.0, 2.0, 3.0], 0.5, 0.95).unwrap();
        assert_eq!(mean, 2.0);
        assert!((i.high - 2.0 - 4.302_652_73 * (5.0f64 / 6.0).sqrt()).abs() < 1e-6, "{i:?}");
        assert!(corrected_t(&[1.0], 0.5, 0.95).is_none());
    }

    #[test]
    fn undefined_replicates_are_not_hidden() {
        assert!(bca(0.0, &[f64::NAN, 1.0, 2.0], &[], 0.95).is_none());
    }
}
