//! Intervals from replicates.

use microtome_core::Result;
use microtome_numerics::resample;
use statrs::distribution::{ContinuousCDF, StudentsT};

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

/// The values that are not NaN, or `None` when more than a tenth of them are.
pub(crate) fn defined(values: &[f64]) -> Option<Vec<f64>> {
    let defined: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    (!defined.is_empty() && defined.len() * 10 >= values.len() * 9).then_some(defined)
}

/// Quantile of values without NaN; NaN when there is none.
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    resample::quantile(values, q).ok().flatten().unwrap_or(f64::NAN)
}

fn named(interval: Result<Option<resample::Interval>>, method: &'static str) -> Option<Interval> {
    let i = interval.ok().flatten()?;
    (i.low.is_finite() && i.high.is_finite()).then_some(Interval { low: i.low, high: i.high, method })
}

/// Bias-corrected and accelerated interval (Efron 1987). `jackknife` holds the estimate without each unit (or
/// without each of many groups of units). `None` when it is undefined.
pub(crate) fn bca(estimate: f64, replicates: &[f64], jackknife: &[f64], level: f64) -> Option<Interval> {
    named(resample::bca(&defined(replicates)?, estimate, &defined(jackknife)?, level), "bca")
}

/// Symmetric percentile-t interval (Hall 1988; Davison and Hinkley 1997, section 5.2): `replicates` with the standard
/// error of each; `se` is that of the estimate. `None` when it is undefined.
pub(crate) fn percentile_t(
    estimate: f64,
    se: f64,
    replicates: &[f64],
    replicate_ses: &[f64],
    level: f64,
) -> Option<Interval> {
    let t: Vec<f64> =
        replicates.iter().zip(replicate_ses).map(|(r, s)| studentise(r - estimate, *s)).collect();
    named(resample::percentile_t(estimate, se, &defined(&t)?, level), "percentile_t")
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
