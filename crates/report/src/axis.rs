//! Ranges and round labels of an axis.

/// A linear axis in data units.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) step: f64,
    pub(crate) ticks: Vec<f64>,
}

impl Axis {
    /// An axis with a little room around all finite values and about `wanted` round labels inside.
    /// Without any value it runs from 0 to 1; a single value gets room on both sides.
    pub(crate) fn around(values: impl Iterator<Item = f64>, wanted: usize) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for v in values.filter(|v| v.is_finite()) {
            // Halves the range of what can be told apart on paper, and keeps differences finite.
            let v = v.clamp(-1e300, 1e300);
            low = low.min(v);
            high = high.max(v);
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low <= low.abs().max(high.abs()) * 1e-9 {
            let room = if low == 0.0 { 0.5 } else { low.abs() * 0.1 };
            (low, high) = (low - room, high + room);
        }
        let step = round_step((high - low) / wanted.max(1) as f64);
        let room = (high - low) * 0.04;
        Self::stepped(low - room, high + room, step)
    }

    fn stepped(low: f64, high: f64, step: f64) -> Self {
        let first = (low / step).ceil();
        let ticks = (0..64).map(|i| (first + f64::from(i)) * step).take_while(|t| *t <= high).collect();
        Self { low, high, step, ticks }
    }

    /// The same without labels between whole numbers, for what is counted.
    pub(crate) fn of_counts(self) -> Self {
        if self.step < 1.0 { Self::stepped(self.low, self.high, 1.0) } else { self }
    }

    /// Place of a value between 0 (low end) and 1 (high end).
    pub(crate) fn place(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, not below `raw`.
fn round_step(raw: f64) -> f64 {
    let exponent = raw.log10().floor();
    // Dividing by a whole power of ten gives the decimal nearest to it, multiplying by a fraction does not.
    let scaled = |f: f64| if exponent < 0.0 { f / 10f64.powf(-exponent) } else { f * 10f64.powf(exponent) };
    [1.0, 2.0, 5.0].into_iter().map(scaled).find(|s| raw <= s * (1.0 + 1e-9)).unwrap_or(scaled(10.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        let a = Axis::around([0.213, 0.587, f64::NAN].into_iter(), 5);
        assert_eq!((a.ticks[0], a.step, a.ticks.len()), (0.2, 0.1, 5));
        assert!(a.low < 0.213 && a.high > 0.587 && a.place(0.213) > 0.03);
        assert_eq!(a.place(-9.0), 0.0);
        assert_eq!(a.place(9.0), 1.0);
    }

    #[test]
    fn what_is_counted_has_no_labels_between_whole_numbers() {
        let a = Axis::around([0.0, 1.0, 2.0].into_iter(), 8);
        assert!(a.ticks.contains(&0.5));
        assert_eq!(a.of_counts().ticks, [0.0, 1.0, 2.0]);
        let many = Axis::around([0.0, 40.0].into_iter(), 8);
        assert_eq!(many.clone().of_counts(), many);
    }

    #[test]
    fn nothing_and_single_and_huge_values_still_make_an_axis() {
        for values in [
            vec![],
            vec![f64::INFINITY],
            vec![0.0],
            vec![-3.0],
            vec![f64::MIN, f64::MAX],
            vec![1e-300, 1e-300],
        ] {
            let a = Axis::around(values.iter().copied(), 5);
            assert!(a.low < a.high && !a.ticks.is_empty() && a.ticks.len() < 66, "{values:?} {a:?}");
            assert!(a.ticks.iter().all(|t| t.is_finite()));
        }
    }
}
