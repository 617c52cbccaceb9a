//! Counts out of log-normalised values, for data whose counts were not kept.
//!
//! `x = ln(1 + scale * count)` with one scale per cell: `exp(x) - 1` is proportional to the counts, and where the smallest
//! value of a cell stands for one count the quotients are the counts themselves. They must come out whole, or the values
//! are not what they are said to be.

use microtome_core::{Counts, Error, Result};

/// Largest distance of a quotient from a whole number: this much, and a share of the number for rounding in `f32`.
const TOLERANCE: f64 = 1e-3;
const ROUNDING: f64 = 1e-5;

/// Most counts that the smallest value of a cell may stand for.
const MOST: u32 = 12;

/// What is said about recovered counts.
pub(crate) const NOTE: &str = "the file holds log-normalised values, not counts: counts are recovered by undoing the \
                               logarithm and taking the smallest values of every cell for one count each, or for the fewest \
                               that make all values whole; a cell whose counts share a divisor comes out too small by it";

fn near(v: f64) -> bool {
    (v - v.round()).abs() <= TOLERANCE + ROUNDING * v
}

/// Counts from `ln(1 + scale * count)`. Errors when a value is negative or not finite, or does not come out whole.
pub(crate) fn counts(x: &Counts) -> Result<Counts> {
    // Logarithms of counts are never all whole numbers.
    if x.nnz() > 0 && x.check_raw().is_raw() && x.values().iter().any(|v| *v > 1.0) {
        return Err(Error::usage("the matrix holds counts already")
            .at_key("--log-normalised")
            .expected("log-normalised expression")
            .found("non-negative whole numbers")
            .remedy("leave out --log-normalised"));
    }
    let mut values = Vec::with_capacity(x.nnz());
    for cell in 0..x.n_cells() {
        let row = x.row(cell).1;
        if let Some(bad) = row.iter().find(|v| !v.is_finite() || **v < 0.0) {
            return Err(not_log(cell, &format!("{bad}")));
        }
        let linear: Vec<f64> = row.iter().map(|&v| f64::from(v).exp_m1()).collect();
        let least = linear.iter().copied().filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
        let quotients: Vec<f64> = linear.iter().map(|v| if *v > 0.0 { v / least } else { 0.0 }).collect();
        // The smallest value may stand for two counts or more: the fewest that make all others whole.
        let whole = |times: f64| quotients.iter().all(|q| near(q * times));
        let Some(times) = (1..=MOST).map(f64::from).find(|&t| whole(t)) else {
            let odd = quotients.iter().copied().find(|q| !near(*q)).unwrap_or(f64::NAN);
            return Err(not_log(cell, &format!("{odd:.4} times the smallest value of the cell")));
        };
        values.extend(quotients.iter().map(|q| (q * times).round() as f32));
    }
    Counts::new(x.n_genes(), x.indptr().to_vec(), x.indices().to_vec(), values)
}

fn not_log(cell: usize, found: &str) -> Error {
    Error::mismatch("no counts can be recovered from this matrix")
        .expected("ln(1 + scale * count) with one scale per cell, so that all values of a cell are multiples of one")
        .found(format!("{found} in row {cell} of the part that was read"))
        .remedy("give a file with raw counts; scaled, corrected or imputed values cannot be undone")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_back_and_other_values_are_refused() {
        let log = |c: f32, scale: f32| (c * scale).ln_1p();
        let values = vec![log(1.0, 3.7), log(250.0, 3.7), 0.0, log(2.0, 0.4), log(4.0, 0.4)];
        let x = Counts::new(3, vec![0, 3, 5], vec![0, 1, 2, 0, 2], values).unwrap();
        // The second cell has no single count: everything is half of what it was.
        assert_eq!(counts(&x).unwrap().values(), [1.0, 250.0, 0.0, 1.0, 2.0]);
        let halves = Counts::new(2, vec![0, 2], vec![0, 1], vec![log(2.0, 0.7), log(17.0, 0.7)]).unwrap();
        assert_eq!(counts(&halves).unwrap().values(), [2.0, 17.0]);
        for bad in [vec![0.5, 0.9123], vec![-1.0, 1.0], vec![f32::NAN, 1.0]] {
            let x = Counts::new(2, vec![0, 2], vec![0, 1], bad).unwrap();
            assert!(counts(&x).unwrap_err().what().contains("no counts"));
        }
        let raw = Counts::new(2, vec![0, 2], vec![0, 1], vec![1.0, 7.0]).unwrap();
        assert!(counts(&raw).unwrap_err().to_string().contains("leave out --log-normalised"));
        assert_eq!(counts(&Counts::empty(2)).unwrap().n_cells(), 0);
    }
}
