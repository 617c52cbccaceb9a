//! What every metric hands back.

use super::definition::Definition;
use microtome_core::{Error, Result};

/// A number, or the reason why there is none, with what it rests on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// The number; `None` where the metric is not defined. Never NaN or infinite.
    pub value: Option<f64>,
    /// What was counted: cells, labels or perturbations, as the metric's definition says.
    pub n_used: usize,
    /// What was left out.
    pub n_excluded: usize,
    /// Why there is no number, or why something was left out.
    pub reason: Option<String>,
}

/// A metric of the library and its score.
pub type Named = (&'static Definition, Score);

impl Score {
    /// A number over `n_used`; a value that is not finite has no number and says so.
    pub fn new(value: f64, n_used: usize) -> Self {
        if value.is_finite() {
            return Self { value: Some(value), n_used, ..Self::default() };
        }
        Self { n_used, ..Self::undefined("the result is not a finite number") }
    }

    /// No number.
    pub fn undefined(reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::default() }
    }

    /// States that something more was left out. Nothing changes when `n` is 0.
    #[must_use]
    pub fn excluding(mut self, n: usize, why: &str) -> Self {
        if n > 0 {
            self.n_excluded += n;
            let reason = format!("{n} left out: {why}");
            self.reason = Some(self.reason.map_or_else(|| reason.clone(), |r| format!("{r}; {reason}")));
        }
        self
    }

    /// The same with the number changed.
    #[must_use]
    pub(crate) fn map(self, f: impl FnOnce(f64) -> f64) -> Self {
        Self { value: self.value.map(f).filter(|v| v.is_finite()), ..self }
    }
}

/// Mean of the scores that have a number, each counting once; the others are counted as left out.
pub(crate) fn mean_of(scores: impl IntoIterator<Item = Option<f64>>, left_out: &str) -> Score {
    let (mut sum, mut used, mut excluded) = (0.0, 0, 0);
    for score in scores {
        match score {
            Some(v) => {
                sum += v;
                used += 1;
            }
            None => excluded += 1,
        }
    }
    let score =
        if used > 0 { Score::new(sum / used as f64, used) } else { Score::undefined("nothing to average") };
    score.excluding(excluded, left_out)
}

/// Middle value of the scores that have a number (mean of the two middle ones); the others are counted as left out.
pub(crate) fn median_of(scores: &[Option<f64>], left_out: &str) -> Score {
    let mut values: Vec<f64> = scores.iter().flatten().copied().collect();
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len();
    let score = match n {
        0 => Score::undefined("nothing to take the median of"),
        _ if n % 2 == 1 => Score::new(values[n / 2], n),
        _ => Score::new(0.5 * (values[n / 2 - 1] + values[n / 2]), n),
    };
    score.excluding(scores.len() - n, left_out)
}

/// Error unless `found` things are given for `expected` others; `what` names them.
pub(crate) fn same_number(what: &str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::usage(format!("{what} do not fit"))
        .expected(format!("{expected} values"))
        .found(format!("{found} values")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_without_a_reason() {
        let bad = Score::new(f64::NAN, 3);
        assert!(bad.value.is_none() && bad.reason.is_some() && bad.n_used == 3);
        let some = Score::new(1.0, 2).excluding(0, "x").excluding(2, "no label").excluding(1, "no batch");
        assert_eq!(some.reason.as_deref(), Some("2 left out: no label; 1 left out: no batch"));
        assert_eq!((some.value, some.n_excluded), (Some(1.0), 3));
        let none = mean_of([None, None], "singletons");
        assert!(none.value.is_none() && none.n_excluded == 2);
        assert_eq!(median_of(&[Some(3.0), None, Some(1.0)], "x").value, Some(2.0));
        assert_eq!(median_of(&[Some(3.0), Some(9.0), Some(1.0)], "x").value, Some(3.0));
    }
}
