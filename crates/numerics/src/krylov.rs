//! Leading eigenpairs of a large symmetric operator: block Krylov subspace with thick restart and full
//! reorthogonalisation (Wu and Simon 2000, SIAM J. Matrix Anal. Appl. 22:602; block form after Zhou and Saad 2008).
//!
//! A block of starting vectors, not one, because a single-vector method cannot see the multiplicity of an
//! eigenvalue, and graphs of cells do have equal eigenvalues. Small operators are solved densely.

use crate::dense::{View, add_product, product, symmetric_eigen, transpose_product};
use crate::resample::Rng;
use microtome_core::{Error, ErrorKind, Result};

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
const BLOCK: usize = 6;
const MAX_RESTARTS: usize = 3000;

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

struct Solver<'a> {
    op: &'a dyn Operator,
    n: usize,
    k: usize,
    which: Which,
    tolerance: f64,
    rng: Rng,
    locked: View<'a>,
    /// Orthonormal basis, row-major with stride `width`.
    basis: Vec<f64>,
    width: usize,
    /// Projected operator, row-major `[width, width]`.
    small: Vec<f64>,
}

impl<'a> Solver<'a> {
    fn new(
        op: &'a dyn Operator,
        k: usize,
        which: Which,
        tolerance: f64,
        seed: u64,
        locked: &'a [f64],
        n_locked: usize,
    ) -> Self {
        let n = op.dim();
        let wanted = (2 * k + BLOCK).max(k + 8 * BLOCK).min(n - n_locked - BLOCK);
        let width = wanted / BLOCK * BLOCK;
        Self {
            op,
            n,
            k,
            which,
            tolerance,
            rng: Rng::new(seed),
            locked: View::new(locked, n, n_locked, n_locked),
            basis: vec![0.0; n * width],
            width,
            small: vec![0.0; width * width],
        }
    }

    fn run(mut self) -> Result<Eigenpairs> {
        let mut block: Vec<f64> = (0..self.n * BLOCK).map(|_| self.rng.normal()).collect();
        self.orthonormalise(&mut block, 0);
        self.store(&block, 0);
        let mut m = 0; // columns to which the operator has been applied
        for _ in 0..MAX_RESTARTS {
            let mut coupling = vec![0.0; BLOCK * BLOCK];
            while m + BLOCK <= self.width {
                coupling = self.expand(&mut block, m);
                m += BLOCK;
                if m + BLOCK <= self.width {
                    self.store(&block, m);
                }
            }
            let (values, vectors) = self.project(m)?;
            let mut order: Vec<usize> = (0..m).collect();
            order.sort_by(|&i, &j| self.which.key(values[j]).total_cmp(&self.which.key(values[i])));
            let scale = values.iter().fold(0.0f64, |a, v| a.max(v.abs()));
            let converged = order[..self.k].iter().all(|&j| {
                let residual: f64 = (0..BLOCK)
                    .map(|r| {
                        let s: f64 = (0..BLOCK)
                            .map(|c| coupling[r * BLOCK + c] * vectors[(m - BLOCK + c) * m + j])
                            .sum();
                        s * s
                    })
                    .sum();
                residual.sqrt() <= self.tolerance * scale
            });
            let keep = if converged {
                self.k
            } else {
                // Room for at least three new blocks, the rest carries over.
                (self.k + (self.width - self.k) / 3).min(self.width - 3 * BLOCK)
            };
            let chosen = &order[..keep];
            let rotation: Vec<f64> = (0..m)
                .flat_map(|i| chosen.iter().map(move |&j| (i, j)))
                .map(|(i, j)| vectors[i * m + j])
                .collect();
            let mut ritz = vec![0.0; self.n * keep];
            add_product(
                &mut ritz,
                keep,
                View::new(&self.basis, self.n, m, self.width),
                View::new(&rotation, m, keep, keep),
                1.0,
            );
            if converged {
                return Ok(Eigenpairs { values: chosen.iter().map(|&j| values[j]).collect(), vectors: ritz });
            }
            for (row, r) in self.basis.chunks_exact_mut(self.width).zip(ritz.chunks_exact(keep)) {
                row[..keep].copy_from_slice(r);
            }
            self.small.fill(0.0);
            for (i, &j) in chosen.iter().enumerate() {
                self.small[i * self.width + i] = values[j];
            }
            self.store(&block, keep);
            m = keep;
        }
        Err(Error::new(ErrorKind::CheckFailed, "the eigenvalue solver did not converge")
            .expected(format!("residual below {:e} of the largest eigenvalue", self.tolerance))
            .found(format!("no convergence after {MAX_RESTARTS} restarts"))
            .remedy("ask for fewer components"))
    }

    fn store(&mut self, block: &[f64], at: usize) {
        for (row, b) in self.basis.chunks_exact_mut(self.width).zip(block.chunks_exact(BLOCK)) {
            row[at..at + BLOCK].copy_from_slice(b);
        }
    }

    /// Applies the operator to the newest block (columns `m..`), fills the projected matrix and leaves the
    /// orthonormal remainder in `block`; returns its coupling `[BLOCK, BLOCK]` to the newest block.
    fn expand(&mut self, block: &mut Vec<f64>, m: usize) -> Vec<f64> {
        let mut image = vec![0.0; self.n * BLOCK];
        self.op.apply(block, BLOCK, &mut image);
        let size = m + BLOCK;
        let basis = View::new(&self.basis, self.n, size, self.width);
        let mut h = vec![0.0; size * BLOCK];
        for _ in 0..2 {
            remove(&mut image, self.locked);
            let part = transpose_product(basis, View::new(&image, self.n, BLOCK, BLOCK));
            add_product(&mut image, BLOCK, basis, View::new(&part, size, BLOCK, BLOCK), -1.0);
            h.iter_mut().zip(part).for_each(|(a, b)| *a += b);
        }
        for i in 0..size {
            for c in 0..BLOCK {
                self.small[i * self.width + m + c] = h[i * BLOCK + c];
                self.small[(m + c) * self.width + i] = h[i * BLOCK + c];
            }
        }
        let coupling = self.orthonormalise(&mut image, size);
        *block = image;
        coupling
    }

    fn project(&self, m: usize) -> Result<(Vec<f64>, Vec<f64>)> {
        let mut t = vec![0.0; m * m];
        for i in 0..m {
            for j in 0..m {
                t[i * m + j] = 0.5 * (self.small[i * self.width + j] + self.small[j * self.width + i]);
            }
        }
        symmetric_eigen(&t, m)
    }

    /// Makes the columns of `block` orthonormal and orthogonal to the first `m` basis columns; returns the upper
    /// triangular factor. A column that vanishes is replaced by a random one with a zero row in the factor.
    fn orthonormalise(&mut self, block: &mut [f64], m: usize) -> Vec<f64> {
        let mut factor = vec![0.0; BLOCK * BLOCK];
        let mut done: Vec<Vec<f64>> = Vec::with_capacity(BLOCK);
        let mut largest: f64 = 0.0;
        for c in 0..BLOCK {
            let mut column: Vec<f64> = block.iter().skip(c).step_by(BLOCK).copied().collect();
            let before = norm(&column);
            largest = largest.max(before);
            for _ in 0..2 {
                for (r, q) in done.iter().enumerate() {
                    let s = dot(q, &column);
                    factor[r * BLOCK + c] += s;
                    column.iter_mut().zip(q).for_each(|(x, q)| *x -= s * q);
                }
            }
            let mut length = norm(&column);
            factor[c * BLOCK + c] = length;
            if !(length > 1e-14 * largest && length > 1e-280) {
                factor[c * BLOCK + c] = 0.0;
                column = (0..self.n).map(|_| self.rng.normal()).collect();
                length = norm(&column);
            }
            column.iter_mut().for_each(|x| *x /= length);
            // Once more against everything: division by a small length magnifies what was left over.
            for _ in 0..2 {
                remove(&mut column, self.locked);
                remove(&mut column, View::new(&self.basis, self.n, m, self.width));
                for q in &done {
                    let s = dot(q, &column);
                    column.iter_mut().zip(q).for_each(|(x, q)| *x -= s * q);
                }
                let length = norm(&column);
                column.iter_mut().for_each(|x| *x /= length);
            }
            done.push(column);
        }
        for (i, row) in block.chunks_exact_mut(BLOCK).enumerate() {
            for (x, q) in row.iter_mut().zip(&done) {
                *x = q[i];
            }
        }
        factor
    }
}

/// `x -= B B' x` for orthonormal `B`; the width of `x` follows from its length.
fn remove(x: &mut [f64], basis: View<'_>) {
    if basis.cols == 0 {
        return;
    }
    let width = x.len() / basis.rows;
    let part = transpose_product(basis, View::new(x, basis.rows, width, width));
    add_product(x, width, basis, View::new(&part, basis.cols, width, width), -1.0);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Eight partial sums: vectorises, and is more accurate than one running sum.
    let mut sums = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f64>() + tail
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
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
            assert!((norm(&v) - 1.0).abs() < 1e-12);
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
