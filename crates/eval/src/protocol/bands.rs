//! Statements about many depths at once: simultaneous bands, adjusted p values, the set of best depths.

use microtome_numerics::resample::normal_quantile;

use super::bootstrap::Replicates;
use super::interval::{Interval, defined, quantile, studentise};

/// Deviations of the replicates from the estimate in units of their standard error, and the standard error of the
/// estimate. With few units both errors come from the jackknife (as in percentile-t); otherwise the standard
/// deviation of the replicates serves for both.
fn studentised(r: &Replicates) -> (Vec<f64>, f64) {
    if r.ses.is_empty() {
        let known: Vec<f64> = r.values.iter().copied().filter(|v| !v.is_nan()).collect();
        let n = known.len() as f64;
        let mean = known.iter().sum::<f64>() / n;
        let sd = (known.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        (r.values.iter().map(|v| studentise(v - r.estimate, sd)).collect(), sd)
    } else {
        (r.values.iter().zip(&r.ses).map(|(v, s)| studentise(v - r.estimate, *s)).collect(), r.se)
    }
}

/// One difference with its simultaneous band.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Banded {
    /// The difference.
    pub estimate: f64,
    /// Band that holds for all differences of the family together, or `None` where undefined.
    pub band: Option<Interval>,
    /// Smallest true difference that would leave the band in 80% of such experiments.
    pub detectable: Option<f64>,
    /// P value of this difference alone (two-sided, from the replicates).
    pub p: Option<f64>,
    /// P value adjusted over the family (Westfall and Young 1993, step-down).
    pub p_adj: Option<f64>,
}

/// Simultaneous max-|t| bands over a family of differences that were bootstrapped together.
pub fn simultaneous(family: &[&Replicates], level: f64) -> Vec<Banded> {
    let parts: Vec<(Vec<f64>, f64)> = family.iter().map(|r| studentised(r)).collect();
    let observed: Vec<f64> =
        family.iter().zip(&parts).map(|(r, p)| studentise(r.estimate, p.1).abs()).collect();
    let n = family.iter().map(|r| r.values.len()).min().unwrap_or(0);
    let fine: Vec<usize> =
        (0..family.len()).filter(|&i| observed[i].is_finite() && defined(&parts[i].0).is_some()).collect();
    let largest = |among: &[usize], b: usize| {
        among.iter().map(|&i| parts[i].0[b].abs()).filter(|t| !t.is_nan()).fold(0.0, f64::max)
    };
    let maxima: Vec<f64> = (0..n).map(|b| largest(&fine, b)).collect();
    let critical = quantile(&maxima, level);
    let mut out: Vec<Banded> = family
        .iter()
        .map(|r| Banded { estimate: r.estimate, band: None, detectable: None, p: None, p_adj: None })
        .collect();
    for &i in &fine {
        let half = critical * parts[i].1;
        let (low, high) = (family[i].estimate - half, family[i].estimate + half);
        out[i].band = half.is_finite().then_some(Interval { low, high, method: "max_t" });
        // The normal quantile of 0.8 is the distance by which the band must be passed on average.
        let detectable = half + normal_quantile(0.8) * parts[i].1;
        out[i].detectable = detectable.is_finite().then_some(detectable);
        out[i].p = Some(p_value(n, (0..n).filter(|&b| parts[i].0[b].abs() >= observed[i]).count()));
    }
    // Step down from the largest statistic: each is compared with the maximum over those not yet done.
    let mut order = fine;
    order.sort_by(|&a, &b| observed[b].total_cmp(&observed[a]).then(a.cmp(&b)));
    let mut least = 0.0f64;
    for k in 0..order.len() {
        let i = order[k];
        let exceed = (0..n).filter(|&b| largest(&order[k..], b) >= observed[i]).count();
        least = least.max(p_value(n, exceed));
        out[i].p_adj = Some(least);
    }
    out
}

/// `(1 + exceedances) / (1 + replicates)`.
pub(crate) fn p_value(n: usize, exceed: usize) -> f64 {
    (1.0 + exceed as f64) / (1.0 + n as f64)
}

/// The depths that cannot be told from the best one: a set that holds the truly best depth with probability `level`
/// (multiple comparisons with the best, Hsu 1981, with bootstrap critical values).
///
/// `difference(j, i)` holds the replicates of score j minus score i and is asked for `j != i` among `n`. Depth `i`
/// leaves the set when some `j` is better by more than the critical value of `max_j` for this `i`.
pub fn best_set<'a>(
    n: usize,
    difference: impl Fn(usize, usize) -> Option<Signed<'a>>,
    level: f64,
) -> Vec<usize> {
    (0..n)
        .filter(|&i| {
            let rivals: Vec<(Vec<f64>, f64)> = (0..n)
                .filter(|&j| j != i)
                .filter_map(|j| difference(j, i))
                .map(|d| {
                    let (t, se) = studentised(d.replicates);
                    let t = t.into_iter().map(|t| d.sign * t).collect();
                    (t, studentise(d.sign * d.replicates.estimate, se))
                })
                .filter(|(_, observed): &(Vec<f64>, f64)| !observed.is_nan())
                .collect();
            let n_replicates = rivals.iter().map(|(t, _)| t.len()).min().unwrap_or(0);
            if n_replicates == 0 {
                return true;
            }
            let maxima: Vec<f64> = (0..n_replicates)
                .map(|b| rivals.iter().map(|(t, _)| t[b]).filter(|t| !t.is_nan()).fold(f64::MIN, f64::max))
                .collect();
            let critical = quantile(&maxima, level).max(0.0);
            rivals.iter().all(|(_, observed)| *observed <= critical)
        })
        .collect()
}

/// Replicates of a difference, or of its negative.
#[derive(Clone, Copy)]
pub struct Signed<'a> {
    /// The replicates.
    pub replicates: &'a Replicates,
    /// 1, or -1 for the difference the other way round.
    pub sign: f64,
}
