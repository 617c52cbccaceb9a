//! Leading eigenpairs of a large symmetric operator: block Krylov subspace with thick restart and full
//! reorthogonalisation (Wu and Simon 2000, SIAM J. Matrix Anal. Appl. 22:602; block form after Zhou and Saad 2008).
//!
//! A block of starting vectors, not one, because a single-vector method cannot see the multiplicity of an
//! eigenvalue, and graphs of cells do have equal eigenvalues. Small operators are solved densely.

mod solver;

use crate::dense::{View, product, symmetric_eigen};
use microtome_core::{Error, Result};
use solver::Solver;

/// A symmetric linear map on vectors of length `dim`.
pub(crate) trait Operator: Sync {
    fn dim(&self) -> usize;
    /// `out = A x` for `width` vectors, both row-major `[dim, width]`. `out` holds anything on entry.
    fn apply(&self, x: &[f64], width: usize, out: &mut [f64]);
}

/// Which end of the spectrum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Which {
    LargestMagnitude,
    LargestAlgebraic,
}

impl Which {
    fn key(self, value: f64) -> f64 {
        match self {
            Self::LargestMagnitude => value.abs(),
            Self::LargestAlgebraic => value,
        }
    }
}

/// Eigenvalues by falling key and unit eigenvectors as columns of row-major `[dim, k]`.
#[derive(Clone, Debug)]
pub(crate) struct Eigenpairs {
    pub(crate) values: Vec<f64>,
    pub(crate) vectors: Vec<f64>,
}

/// Below this size the operator is written out and solved densely: exact for any multiplicity.
const DENSE_LIMIT: usize = 600;
/// Vectors per step: enough for the multiplicities that disconnected and symmetric graphs show beyond the vectors
/// known in closed form, few enough that the subspace reaches a high degree.
pub(crate) const BLOCK: usize = 4;

/// The `k` leading eigenpairs in the orthogonal complement of `locked` (orthonormal columns, row-major
/// `[dim, n_locked]`, themselves eigenvectors). `tolerance` bounds every residual norm relative to the largest
/// eigenvalue found.
pub(crate) fn leading(
    op: &dyn Operator,
    k: usize,
    which: Which,
    tolerance: f64,
    seed: u64,
    locked: &[f64],
) -> Result<Eigenpairs> {
    let n = op.dim();
    let n_locked = locked.len().checked_div(n).unwrap_or(0);
    if k + n_locked > n {
        return Err(Error::usage("more eigenvectors asked for than there are dimensions")
            .expected(format!("at most {}", n - n_locked.min(n)))
            .found(k.to_string()));
    }
    if k == 0 {
        return Ok(Eigenpairs { values: vec![], vectors: vec![] });
    }
    if n <= DENSE_LIMIT || 4 * (k + n_locked + 2 * BLOCK) >= n {
        return dense(op, k, which, locked, n_locked);
    }
    Solver::new(op, k, which, tolerance, seed, locked, n_locked).run()
}

fn dense(op: &dyn Operator, k: usize, which: Which, locked: &[f64], n_locked: usize) -> Result<Eigenpairs> {
    let n = op.dim();
    let mut a = vec![0.0; n * n];
    let mut identity = vec![0.0; n * n];
    identity.iter_mut().step_by(n + 1).for_each(|v| *v = 1.0);
    op.apply(&identity, n, &mut a);
    for i in 0..n {
        for j in 0..i {
            let mean = 0.5 * (a[i * n + j] + a[j * n + i]);
            a[i * n + j] = mean;
            a[j * n + i] = mean;
        }
    }
    if n_locked > 0 {
        // (I - LL')A(I - LL') shifts the locked eigenvalues to 0; a further shift takes them below everything,
        // so that they are never chosen.
        let l = View::new(locked, n, n_locked, n_locked);
        let al = product(View::new(&a, n, n, n), l);
        let bound = (0..n).map(|i| a[i * n..(i + 1) * n].iter().map(|v| v.abs()).sum()).fold(0.0, f64::max);
        for i in 0..n {
            for j in 0..n {
                for c in 0..n_locked {
                    // A l = lambda l, hence l l' A = lambda l l'.
                    a[i * n + j] -= al[i * n_locked + c] * locked[j * n_locked + c];
                    if which == Which::LargestAlgebraic {
                        a[i * n + j] -= 2.0 * bound * locked[i * n_locked + c] * locked[j * n_locked + c];
                    }
                }
            }
        }
    }
    let (values, vectors) = symmetric_eigen(&a, n)?;
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| which.key(values[j]).total_cmp(&which.key(values[i])));
    if n_locked > 0 && which == Which::LargestMagnitude {
        // Locked directions now have eigenvalue 0; among ties at 0 leave them to the end.
        order.sort_by_key(|&j| {
            let overlap: f64 = (0..n_locked)
                .map(|c| (0..n).map(|i| locked[i * n_locked + c] * vectors[i * n + j]).sum::<f64>().powi(2))
                .sum();
            overlap > 0.5
        });
    }
    order.truncate(k);
    Ok(Eigenpairs {
        values: order.iter().map(|&j| values[j]).collect(),
        vectors: (0..n)
            .flat_map(|i| order.iter().map(move |&j| (i, j)))
            .map(|(i, j)| vectors[i * n + j])
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Diagonal(Vec<f64>);

    impl Operator for Diagonal {
        fn dim(&self) -> usize {
            self.0.len()
        }
        fn apply(&self, x: &[f64], width: usize, out: &mut [f64]) {
            for (i, d) in self.0.iter().enumerate() {
                for c in 0..width {
                    out[i * width + c] = d * x[i * width + c];
                }
            }
        }
    }

    fn check(op: &Diagonal, k: usize, which: Which, expected: &[f64]) {
        let found = leading(op, k, which, 1e-12, 3, &[]).unwrap();
        for (f, e) in found.values.iter().zip(expected) {
            assert!((f - e).abs() < 1e-11, "{:?} {expected:?}", found.values);
        }
        let n = op.dim();
        for j in 0..k {
            let v: Vec<f64> = (0..n).map(|i| found.vectors[i * k + j]).collect();
            assert!((v.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-12);
            let residual: f64 = v.iter().zip(&op.0).map(|(v, d)| ((d - found.values[j]) * v).powi(2)).sum();
            assert!(residual.sqrt() < 1e-11);
        }
    }

    #[test]
    fn finds_multiple_eigenvalues_and_both_ends() {
        let mut d: Vec<f64> = (0..3000).map(|i| 0.9 * f64::from(i) / 3000.0).collect();
        d[10] = 1.0;
        d[20] = 1.0;
        d[30] = 1.0;
        d[40] = -0.97;
        let op = Diagonal(d);
        check(&op, 5, Which::LargestMagnitude, &[1.0, 1.0, 1.0, -0.97, 0.9 * 2999.0 / 3000.0]);
        check(&op, 4, Which::LargestAlgebraic, &[1.0, 1.0, 1.0, 0.9 * 2999.0 / 3000.0]);
    }

    #[test]
    fn zero_and_small_operators_do_not_break() {
        check(&Diagonal(vec![0.0; 2000]), 3, Which::LargestMagnitude, &[0.0; 3]);
        check(&Diagonal(vec![2.0, -3.0, 1.0]), 3, Which::LargestMagnitude, &[-3.0, 2.0, 1.0]);
        let mut low_rank = vec![0.0; 2000];
        low_rank[7] = 5.0;
        check(&Diagonal(low_rank), 4, Which::LargestAlgebraic, &[5.0, 0.0, 0.0, 0.0]);
        assert!(leading(&Diagonal(vec![1.0]), 2, Which::LargestAlgebraic, 1e-9, 0, &[]).is_err());
    }

    #[test]
    fn locked_vectors_are_left_out() {
        for n in [50, 2000] {
            let mut d: Vec<f64> = (0..n).map(|i| 0.5 * i as f64 / n as f64).collect();
            d[3] = 1.0;
            d[4] = 0.8;
            let mut locked = vec![0.0; n];
            locked[3] = 1.0;
            for which in [Which::LargestMagnitude, Which::LargestAlgebraic] {
                let found = leading(&Diagonal(d.clone()), 1, which, 1e-12, 0, &locked).unwrap();
                assert!((found.values[0] - 0.8).abs() < 1e-11, "{n} {which:?} {:?}", found.values);
            }
        }
    }
}
