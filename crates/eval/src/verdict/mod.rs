//! The rules that turn intervals into words.
//!
//! | verdict | rule |
//! |---|---|
//! | not enough units | fewer than six independent units, or no folds or scores to compare |
//! | depth matters | the nested gain over the final block lies above zero and not within the margin, and the final block is outside the confidence set of best depths |
//! | one depth only | there is nothing to choose, as in an imported embedding |
//! | cannot distinguish depths | anything else |
//! | model recommended | the nested gain over the best baseline lies above zero and not within the margin |
//! | baseline wins | it lies below zero and not within the margin |
//! | tie with baseline | the interval contains zero or lies within the margin |
//!
//! "Nested gain" is the mean over outer folds of the score of the depth that was chosen on inner units minus the
//! score of the other side; the baseline is chosen on the same inner units.

mod sentences;

pub(crate) use sentences::{Findings, sentences};

use microtome_core::{Estimate, Verdict};

use crate::protocol::interval::Interval;

/// How a difference lies with respect to zero and the margin of equivalence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Above,
    Tie,
    Below,
}

/// The interval of an estimate, when it has one.
fn interval(estimate: &Estimate) -> Option<Interval> {
    Some(Interval { low: estimate.low?, high: estimate.high?, method: "" })
}

fn side(gain: &Interval, margin: f64) -> Side {
    if gain.contains_zero() || gain.within(margin) {
        Side::Tie
    } else if gain.low > 0.0 {
        Side::Above
    } else {
        Side::Below
    }
}

/// Does depth matter, given the nested gain over the final block and whether the final block is in the confidence
/// set of best depths.
pub fn depth_verdict(gain: Option<&Estimate>, final_may_be_best: bool, margin: f64) -> Verdict {
    match gain.and_then(interval) {
        None => Verdict::NotEnoughUnits,
        Some(g) if side(&g, margin) == Side::Above && !final_may_be_best => Verdict::DepthMatters,
        Some(_) => Verdict::CannotDistinguishDepths,
    }
}

/// Does the model beat the best baseline, given the nested gain over it.
pub fn model_verdict(gain: Option<&Estimate>, margin: f64) -> Verdict {
    match gain.and_then(interval).map(|g| side(&g, margin)) {
        None => Verdict::NotEnoughUnits,
        Some(Side::Above) => Verdict::ModelRecommended,
        Some(Side::Tie) => Verdict::TieWithBaseline,
        Some(Side::Below) => Verdict::BaselineWins,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(low: f64, high: f64) -> Estimate {
        Estimate { value: (low + high) / 2.0, low: Some(low), high: Some(high) }
    }

    #[test]
    fn model_rules() {
        let v = |l, h| model_verdict(Some(&gain(l, h)), 0.01);
        assert_eq!(v(0.02, 0.1), Verdict::ModelRecommended);
        assert_eq!(v(-0.1, -0.02), Verdict::BaselineWins);
        assert_eq!(v(-0.1, 0.2), Verdict::TieWithBaseline);
        assert_eq!(v(0.001, 0.009), Verdict::TieWithBaseline);
        assert_eq!(v(0.001, 0.02), Verdict::ModelRecommended);
        let no_interval = Estimate { value: 0.5, low: None, high: None };
        assert_eq!(model_verdict(Some(&no_interval), 0.01), Verdict::NotEnoughUnits);
        assert_eq!(model_verdict(None, 0.01), Verdict::NotEnoughUnits);
    }

    #[test]
    fn depth_needs_both_the_gain_and_the_confidence_set() {
        assert_eq!(depth_verdict(Some(&gain(0.02, 0.1)), false, 0.01), Verdict::DepthMatters);
        assert_eq!(depth_verdict(Some(&gain(0.02, 0.1)), true, 0.01), Verdict::CannotDistinguishDepths);
        assert_eq!(depth_verdict(Some(&gain(-0.02, 0.1)), false, 0.01), Verdict::CannotDistinguishDepths);
        assert_eq!(depth_verdict(None, false, 0.01), Verdict::NotEnoughUnits);
    }
}
