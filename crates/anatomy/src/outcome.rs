//! Results: numbers with what they were computed over, and the reason where there is none.

use microtome_core::{Error, Result};
use microtome_numerics::resample::{Rng, percentile, quantile};
use serde::{Deserialize, Serialize};

/// One number, its interval where it has one, and why it is missing where it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimated {
    /// The number.
    pub value: Option<f64>,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
    /// How many things it was computed over (the field that holds it says which).
    pub n: u64,
    /// Why the number or its interval is missing.
    pub reason: Option<String>,
}

impl Estimated {
    /// A number without interval.
    pub fn exact(value: f64, n: u64) -> Self {
        Self { value: Some(value), n, ..Self::default() }
    }

    /// No number.
    pub fn missing(n: u64, reason: impl Into<String>) -> Self {
        Self { n, reason: Some(reason.into()), ..Self::default() }
    }

    /// A number, or the reason why there is none.
    pub fn or_reason(value: Option<f64>, n: u64, reason: &str) -> Self {
        value.map_or_else(|| Self::missing(n, reason), |v| Self::exact(v, n))
    }
}

/// A symmetric comparison of every block with every other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pairwise {
    /// What was measured.
    pub metric: String,
    /// Names of the blocks.
    pub names: Vec<String>,
    /// Row-major `[block, block]`.
    pub values: Vec<Estimated>,
}

impl Pairwise {
    /// Fills the upper triangle with `value(a, b)` for `a <= b` and mirrors it. The first error stops it.
    pub(crate) fn from_upper(
        metric: &'static str,
        names: &[String],
        mut value: impl FnMut(usize, usize) -> Result<Estimated>,
    ) -> Result<Self> {
        let l = names.len();
        let mut values = vec![Estimated::default(); l * l];
        for a in 0..l {
            for b in a..l {
                let v = value(a, b)?;
                values[b * l + a] = v.clone();
                values[a * l + b] = v;
            }
        }
        Ok(Self { metric: metric.to_owned(), names: names.to_vec(), values })
    }

    /// The comparison of blocks `a` and `b`. Panics when out of range.
    pub fn at(&self, a: usize, b: usize) -> &Estimated {
        &self.values[a * self.names.len() + b]
    }

    /// Every block with the next one, in order of depth.
    pub fn consecutive(&self) -> Vec<Estimated> {
        (1..self.names.len()).map(|b| self.at(b - 1, b).clone()).collect()
    }
}

/// Median over categories of one number per category, with a percentile bootstrap interval over categories
/// (`n` = categories that have the number). The interval is left out below six categories, where resampling says
/// nothing, and the reason says so.
///
/// Errors when a number is NaN or `level` is not between 0 and 1.
pub fn over_categories(
    values: &[Option<f64>],
    level: f64,
    replicates: usize,
    seed: u64,
) -> Result<Estimated> {
    let held: Vec<f64> = values.iter().flatten().copied().collect();
    let n = held.len() as u64;
    let Some(median) = quantile(&held, 0.5)? else {
        return Ok(Estimated::missing(0, "no category has this value"));
    };
    let mut out = Estimated::exact(median, n);
    if held.len() < 6 {
        out.reason = Some(format!("{n} categories are too few for an interval (at least 6)"));
        return Ok(out);
    }
    if replicates == 0 {
        return Err(Error::usage("an interval needs bootstrap replicates").expected("1 or more").found("0"));
    }
    let mut rng = Rng::new(seed);
    let mut medians = Vec::with_capacity(replicates);
    for _ in 0..replicates {
        let draw: Vec<f64> = (0..held.len()).map(|_| held[rng.below(held.len())]).collect();
        medians.extend(quantile(&draw, 0.5)?);
    }
    if let Some(interval) = percentile(&medians, level)? {
        (out.low, out.high) = (Some(interval.low), Some(interval.high));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_over_categories_has_an_interval_or_a_reason() {
        let few = over_categories(&[Some(1.0), None, Some(3.0)], 0.95, 100, 0).unwrap();
        assert_eq!((few.value, few.n, few.low), (Some(2.0), 2, None));
        assert!(few.reason.unwrap().contains("too few"));
        let values: Vec<Option<f64>> = (0..21).map(|i| Some(f64::from(i))).collect();
        let many = over_categories(&values, 0.9, 500, 1).unwrap();
        assert_eq!(many.value, Some(10.0));
        assert!(many.low.unwrap() < 10.0 && many.high.unwrap() > 10.0 && many.low.unwrap() > 3.0);
        assert_eq!(over_categories(&[None], 0.9, 10, 0).unwrap().value, None);
        assert!(over_categories(&[Some(f64::NAN)], 0.9, 10, 0).is_err());
    }
}
