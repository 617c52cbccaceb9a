//! Thick-restart block Krylov iteration.

use super::{BLOCK, Eigenpairs, Operator, Which};
use crate::dense::{View, add_product, symmetric_eigen, transpose_product};
use crate::resample::Rng;
use microtome_core::{Error, ErrorKind, Result};

const MAX_RESTARTS: usize = 3000;

pub(super) struct Solver<'a> {
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
    pub(super) fn new(
        op: &'a dyn Operator,
        k: usize,
        which: Which,
        tolerance: f64,
        seed: u64,
        locked: &'a [f64],
        n_locked: usize,
    ) -> Self {
        let n = op.dim();
        // A wide subspace saves far more applications than its orthogonalisation costs, as long as it is small
        // next to the operator: at most 2^26 numbers, or what is needed to converge at all.
        let affordable = ((1 << 26) / n.max(1)).max(k + 8 * BLOCK);
        let wanted = (3 * k).max(k + 16 * BLOCK).min(affordable).min(n - n_locked - BLOCK);
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

    pub(super) fn run(mut self) -> Result<Eigenpairs> {
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
        let mut replaced = self.triangularise(block, &mut factor);
        // Again, since division by a small length magnifies what was left of the basis; a random column needs it
        // twice, and may in turn vanish.
        for _ in 0..4 {
            remove(block, self.locked);
            remove(block, View::new(&self.basis, self.n, m, self.width));
            let again = self.triangularise(block, &mut [0.0; BLOCK * BLOCK]);
            if !std::mem::replace(&mut replaced, again) {
                break;
            }
        }
        factor
    }

    /// QR by twice-iterated Gram-Schmidt; true when some column had to be replaced.
    fn triangularise(&mut self, block: &mut [f64], factor: &mut [f64]) -> bool {
        let mut done: Vec<Vec<f64>> = Vec::with_capacity(BLOCK);
        let (mut largest, mut replaced) = (0.0f64, false);
        for c in 0..BLOCK {
            let mut column: Vec<f64> = block.iter().skip(c).step_by(BLOCK).copied().collect();
            largest = largest.max(norm(&column));
            for _ in 0..2 {
                for (r, q) in done.iter().enumerate() {
                    factor[r * BLOCK + c] += subtract(&mut column, q);
                }
            }
            let mut length = norm(&column);
            if length > 1e-14 * largest && length > 1e-280 {
                factor[c * BLOCK + c] = length;
            } else {
                replaced = true;
                column = (0..self.n).map(|_| self.rng.normal()).collect();
                for q in &done {
                    subtract(&mut column, q);
                }
                length = norm(&column);
            }
            column.iter_mut().for_each(|x| *x /= length);
            done.push(column);
        }
        for (i, row) in block.chunks_exact_mut(BLOCK).enumerate() {
            for (x, q) in row.iter_mut().zip(&done) {
                *x = q[i];
            }
        }
        replaced
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

/// Takes the part along unit vector `q` out of `x` and returns its length.
fn subtract(x: &mut [f64], q: &[f64]) -> f64 {
    let along = dot(q, x);
    x.iter_mut().zip(q).for_each(|(x, q)| *x -= along * q);
    along
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
