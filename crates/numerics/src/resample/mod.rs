//! Seeded random numbers, bootstrap, folds, permutations and intervals.

mod folds;
mod interval;
mod rng;
mod test;
mod units;

pub use folds::{Fold, grouped_k_fold, leave_one_unit_out};
pub use interval::{Interval, bca, normal_cdf, normal_quantile, percentile, percentile_t, quantile};
pub use rng::Rng;
pub use test::{benjamini_hochberg, holm, permutation_p, sign_flip};
pub use units::{Resample, Units, permute_within};
