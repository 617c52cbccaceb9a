//! Correction: within every soft cluster a ridge regression on batches, whose batch part is taken away.

use super::Version;
use super::cluster::State;
use rayon::prelude::*;

/// Ridge of `V2` as a share of the expected members.
const ALPHA: f64 = 0.2;
/// A batch of which less than this share lies in a cluster takes no part in that cluster's regression (`V2`).
const LEAST_SHARE: f64 = 1e-5;

/// The original cells minus the batch part of every cluster, weighted by membership, `[cell, component]`.
pub(super) fn corrected(state: &State, original: &[f64]) -> Vec<f64> {
    let (d, k, nb) = (state.d, state.k, state.sizes.len());
    // Weighted sums of original cells, [cluster, batch, component].
    let mut sums = vec![0.0; k * nb * d];
    sums.par_chunks_exact_mut(nb * d).enumerate().for_each(|(c, sums)| {
        for i in 0..state.n {
            let (r, b) = (state.r[i * k + c], state.batch[i]);
            let cell = &original[i * d..(i + 1) * d];
            sums[b * d..(b + 1) * d].iter_mut().zip(cell).for_each(|(s, v)| *s += r * v);
        }
    });
    let effects: Vec<f64> = sums
        .par_chunks_exact(nb * d)
        .enumerate()
        .flat_map_iter(|(c, sums)| {
            let counts = &state.observed[c * nb..(c + 1) * nb];
            let ridge: Vec<f64> = match state.version {
                Version::V0 | Version::V1 => vec![1.0; nb],
                Version::V2 => state.expected[c * nb..(c + 1) * nb].iter().map(|e| ALPHA * e).collect(),
            };
            let used: Vec<bool> = (0..nb)
                .map(|b| state.version != Version::V2 || counts[b] / state.sizes[b] > LEAST_SHARE)
                .collect();
            batch_effects(counts, &ridge, &used, sums, d)
        })
        .collect();
    let mut out = original.to_vec();
    out.par_chunks_exact_mut(d).enumerate().for_each(|(i, cell)| {
        for c in 0..k {
            let r = state.r[i * k + c];
            let effect = &effects[(c * nb + state.batch[i]) * d..][..d];
            cell.iter_mut().zip(effect).for_each(|(v, e)| *v -= r * e);
        }
    });
    out
}

/// Coefficients of the batches in the regression of cells on an unpenalised intercept and one column per batch. The
/// normal equations have the shape of an arrow, so the intercept comes first and the batches follow from it.
fn batch_effects(counts: &[f64], ridge: &[f64], used: &[bool], sums: &[f64], d: usize) -> Vec<f64> {
    let nb = counts.len();
    let fine = |b: usize| used[b] && counts[b] + ridge[b] > 0.0;
    let corner: f64 = (0..nb)
        .filter(|&b| fine(b))
        .map(|b| counts[b] - counts[b] * counts[b] / (counts[b] + ridge[b]))
        .sum();
    let mut out = vec![0.0; nb * d];
    for j in 0..d {
        let right: f64 = (0..nb)
            .filter(|&b| fine(b))
            .map(|b| sums[b * d + j] * (1.0 - counts[b] / (counts[b] + ridge[b])))
            .sum();
        let intercept = if corner > 0.0 { right / corner } else { 0.0 };
        for b in (0..nb).filter(|&b| fine(b)) {
            out[b * d + j] = (sums[b * d + j] - counts[b] * intercept) / (counts[b] + ridge[b]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::batch_effects;

    /// Against the written-out normal equations: residuals of the penalised system vanish.
    #[test]
    fn the_arrow_is_solved() {
        let (counts, ridge, sums) = ([3.0, 5.0, 2.0], [1.0, 1.0, 0.5], [4.0, -2.0, 7.0]);
        let e = batch_effects(&counts, &ridge, &[true; 3], &sums, 1);
        // The intercept from any batch's own equation: n_b a + (n_b + ridge) e_b = s_b.
        let a: Vec<f64> = (0..3).map(|b| (sums[b] - (counts[b] + ridge[b]) * e[b]) / counts[b]).collect();
        assert!((a[0] - a[1]).abs() < 1e-12 && (a[0] - a[2]).abs() < 1e-12);
        let first: f64 = 10.0 * a[0] + (0..3).map(|b| counts[b] * e[b]).sum::<f64>() - 9.0;
        assert!(first.abs() < 1e-12);
        assert_eq!(batch_effects(&counts, &ridge, &[true, false, true], &sums, 1)[1], 0.0);
    }
}
