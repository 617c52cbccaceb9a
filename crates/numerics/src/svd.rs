//! Leading left singular vectors of a dense square matrix.

use crate::dense::{View, add_product, check_finite};
use crate::krylov::{Operator, Which, leading};
use microtome_core::{Error, Result};

/// `A A'` of a row-major `[n, n]` matrix, applied as two products.
struct Gram<'a> {
    a: &'a [f64],
    transposed: &'a [f64],
    n: usize,
}

impl Operator for Gram<'_> {
    fn dim(&self) -> usize {
        self.n
    }

    fn apply(&self, x: &[f64], width: usize, out: &mut [f64]) {
        let n = self.n;
        let mut middle = vec![0.0; n * width];
        add_product(
            &mut middle,
            width,
            View::new(self.transposed, n, n, n),
            View::new(x, n, width, width),
            1.0,
        );
        out.fill(0.0);
        add_product(out, width, View::new(self.a, n, n, n), View::new(&middle, n, width, width), 1.0);
    }
}

/// The `k` largest singular values of row-major `a [n, n]`, falling, and their left vectors as columns of row-major
/// `[n, k]`. Values below rounding of the largest come out as 0 or noise of that size.
///
/// Errors when `a` is not square, `k` is 0 or above `n`, or a value is not finite.
pub fn left_singular(a: &[f64], n: usize, k: usize, seed: u64) -> Result<(Vec<f64>, Vec<f64>)> {
    if n.checked_mul(n) != Some(a.len()) || k == 0 || k > n {
        return Err(Error::usage("not a square matrix with that many singular values")
            .expected(format!("{n} x {n} values and 1 to {n} singular values"))
            .found(format!("{} values, {k} singular values", a.len())));
    }
    check_finite(a.iter().copied(), "a matrix to decompose")?;
    let mut transposed = vec![0.0; a.len()];
    for i in 0..n {
        for j in 0..n {
            transposed[j * n + i] = a[i * n + j];
        }
    }
    let pairs =
        leading(&Gram { a, transposed: &transposed, n }, k, Which::LargestAlgebraic, 1e-10, seed, &[])?;
    Ok((pairs.values.iter().map(|v| v.max(0.0).sqrt()).collect(), pairs.vectors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resample::Rng;

    #[test]
    fn reconstructs_a_matrix_of_low_rank() {
        for n in [40, 700] {
            let mut rng = Rng::new(9);
            let (u, v): (Vec<f64>, Vec<f64>) = (0..3 * n).map(|_| (rng.normal(), rng.normal())).unzip();
            let mut a = vec![0.0; n * n];
            for i in 0..n {
                for j in 0..n {
                    a[i * n + j] = (0..3).map(|c| u[i * 3 + c] * v[j * 3 + c]).sum();
                }
            }
            let (values, left) = left_singular(&a, n, 4, 0).unwrap();
            assert!(values[3] < 1e-5 * values[0] && values[2] > 0.01 * values[0], "{values:?}");
            // U U' A = A when the first three columns span the range.
            for i in (0..n).step_by(7) {
                for j in (0..n).step_by(11) {
                    let got: f64 = (0..3)
                        .map(|c| {
                            left[i * 4 + c] * (0..n).map(|r| left[r * 4 + c] * a[r * n + j]).sum::<f64>()
                        })
                        .sum();
                    assert!((got - a[i * n + j]).abs() < 1e-8 * values[0], "{i} {j}");
                }
            }
        }
        assert!(left_singular(&[1.0; 3], 2, 1, 0).is_err() && left_singular(&[1.0; 4], 2, 0, 0).is_err());
    }
}
