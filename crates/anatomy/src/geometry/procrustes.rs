//! Orthogonal Procrustes distance between blocks.

use crate::input::Blocks;
use crate::outcome::{Estimated, Pairwise};
use microtome_core::{Progress, Result};
use microtome_numerics::products::{centred, columns_product, singular_values};
use rayon::prelude::*;

/// What remains of one block after the best rotation (and scaling) onto another: `1 - (nuclear norm of X^T Y)^2 /
/// (|X|_F^2 |Y|_F^2)` of centred rows, as `scipy.spatial.procrustes` reports it; 0 = the same shape. Blocks of different
/// width are compared as if the narrower were padded with zeros. `n` counts rows.
///
/// Errors when a decomposition does not converge, or when stopped.
pub fn procrustes(blocks: &Blocks<'_>, progress: &dyn Progress) -> Result<Pairwise> {
    let l = blocks.len();
    let pairs: Vec<(usize, usize)> = (0..l).flat_map(|a| (a + 1..l).map(move |b| (a, b))).collect();
    procrustes_of(blocks, &pairs, progress)
}

/// [`procrustes`] of chosen `pairs` of blocks only, rising and with the smaller first, since a decomposition takes width^3; the others are
/// missing and say so.
///
/// Errors when a decomposition does not converge, or when stopped.
pub fn procrustes_of(
    blocks: &Blocks<'_>,
    pairs: &[(usize, usize)],
    progress: &dyn Progress,
) -> Result<Pairwise> {
    let n = blocks.n_rows() as u64;
    progress.begin("rotations between blocks", pairs.len() as u64, "pairs of blocks");
    let values = distances(blocks, pairs, progress);
    progress.end();
    let values = values?;
    Pairwise::from_upper("procrustes_disparity", blocks.names(), |a, b| {
        let value = match pairs.binary_search(&(a, b)) {
            Ok(place) => values[place],
            Err(_) if a == b => square(&centred(blocks.values()[a])).map(|_| 0.0),
            Err(_) => return Ok(Estimated::missing(n, "this pair was not asked for")),
        };
        Ok(Estimated::or_reason(value, n, "a block has no spread"))
    })
}

/// Squared Frobenius norm; none when it is 0.
fn square(rows: &[f64]) -> Option<f64> {
    Some(rows.iter().map(|v| v * v).sum::<f64>()).filter(|&s| s > 0.0)
}

fn distances(
    blocks: &Blocks<'_>,
    pairs: &[(usize, usize)],
    progress: &dyn Progress,
) -> Result<Vec<Option<f64>>> {
    let mut out = Vec::with_capacity(pairs.len());
    // A few products at a time, whose decompositions then run side by side.
    for group in pairs.chunks(8) {
        progress.check()?;
        let mut crosses = Vec::with_capacity(group.len());
        let mut left = (usize::MAX, Vec::new());
        for &(a, b) in group {
            if left.0 != a {
                left = (a, centred(blocks.values()[a]));
            }
            let right = centred(blocks.values()[b]);
            let (p, q) = (blocks.values()[a].cols(), blocks.values()[b].cols());
            let scale = square(&left.1).zip(square(&right)).map(|(x, y)| x * y);
            crosses.push((columns_product(&left.1, p, &right, q)?, p, q, scale));
        }
        let part: Vec<Option<f64>> = crosses
            .par_iter()
            .map(|(cross, p, q, scale)| {
                let Some(scale) = scale else { return Ok(None) };
                let nuclear: f64 = singular_values(cross, *p, *q)?.iter().sum();
                Ok(Some((1.0 - nuclear * nuclear / scale).clamp(0.0, 1.0)))
            })
            .collect::<Result<_>>()?;
        out.extend(part);
        progress.advance(group.len() as u64);
    }
    Ok(out)
}
