//! Linear centred kernel alignment with the bias of finite samples removed.

use crate::input::Blocks;
use crate::outcome::{Estimated, Pairwise};
use microtome_core::{Progress, Result};
use microtome_numerics::products::{centred, columns_product};

/// Debiased linear CKA of every pair of blocks: `HSIC(X, Y) / sqrt(HSIC(X, X) HSIC(Y, Y))` with the unbiased estimator of
/// Song et al. (2012, JMLR 13:1393, eq. 5), as in Nguyen et al. (2021, arXiv 2010.15327). `n` counts rows. Plain CKA is far
/// above 0 for unrelated blocks when rows are fewer than about ten times the width; this is not, and can fall below 0.
///
/// Time is rows x width^2 per pair; nothing of size rows x rows is made. Missing below four rows or without spread.
///
/// Errors when stopped.
pub fn cka(blocks: &Blocks<'_>, progress: &dyn Progress) -> Result<Pairwise> {
    let (l, n) = (blocks.len(), blocks.n_rows());
    let count = n as u64;
    if n < 4 {
        let few = || Ok(Estimated::missing(count, "fewer than four rows"));
        return Pairwise::from_upper("cka_debiased", blocks.names(), |_, _| few());
    }
    progress.begin("kernel alignment", (l * (l + 1) / 2) as u64, "pairs of blocks");
    let own: Result<Vec<f64>> = (0..l)
        .map(|a| {
            let x = Kernel::new(centred(blocks.values()[a]), blocks.values()[a].cols());
            progress.check()?;
            x.hsic(&x)
        })
        .collect();
    let out = own.and_then(|own| {
        let mut held: Option<(usize, Kernel)> = None;
        Pairwise::from_upper("cka_debiased", blocks.names(), |a, b| {
            progress.check()?;
            progress.advance(1);
            if !(own[a] > 0.0 && own[b] > 0.0) {
                return Ok(Estimated::missing(count, "a block has no spread"));
            }
            if a == b {
                return Ok(Estimated::exact(1.0, count));
            }
            let x = match held.take() {
                Some((place, x)) if place == a => x,
                _ => Kernel::new(centred(blocks.values()[a]), blocks.values()[a].cols()),
            };
            let y = Kernel::new(centred(blocks.values()[b]), blocks.values()[b].cols());
            let value = x.hsic(&y)? / (own[a] * own[b]).sqrt();
            held = Some((a, x));
            Ok(Estimated::exact(value, count))
        })
    });
    progress.end();
    out
}

/// Centred rows and what of their linear kernel, diagonal set to 0, is needed.
struct Kernel {
    rows: Vec<f64>,
    width: usize,
    /// `k_ii`.
    diagonal: Vec<f64>,
    /// Row sums without the diagonal.
    sums: Vec<f64>,
}

impl Kernel {
    fn new(rows: Vec<f64>, width: usize) -> Self {
        let w = width.max(1);
        let mut total = vec![0.0; width];
        rows.chunks_exact(w).for_each(|row| total.iter_mut().zip(row).for_each(|(t, v)| *t += v));
        let diagonal: Vec<f64> = rows.chunks_exact(w).map(|r| r.iter().map(|v| v * v).sum()).collect();
        let sums = rows
            .chunks_exact(w)
            .zip(&diagonal)
            .map(|(r, d)| r.iter().zip(&total).map(|(v, t)| v * t).sum::<f64>() - d)
            .collect();
        Self { rows, width, diagonal, sums }
    }

    /// Unbiased HSIC, without its constant factor `1 / (n (n - 3))`.
    fn hsic(&self, other: &Self) -> Result<f64> {
        let n = self.diagonal.len() as f64;
        let cross = columns_product(&self.rows, self.width, &other.rows, other.width)?;
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let trace = cross.iter().map(|v| v * v).sum::<f64>() - dot(&self.diagonal, &other.diagonal);
        let (a, b): (f64, f64) = (self.sums.iter().sum(), other.sums.iter().sum());
        Ok(trace + a * b / ((n - 1.0) * (n - 2.0)) - 2.0 / (n - 2.0) * dot(&self.sums, &other.sums))
    }
}
