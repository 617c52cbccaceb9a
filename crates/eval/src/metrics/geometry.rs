//! Whether distances between cells keep their distribution.

use super::definition::{Definition, Need};
use super::groups::Usable;
use super::score::Score;
use super::silhouette::constant;
use microtome_core::{Direction, Matrix, Result};
use microtome_numerics::distances::{Distance, fold_distances};
use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// Earth mover's distance between distributions of distances.
pub static DISTANCE_EMD: Definition = Definition {
    id: "distance_emd",
    version: 1,
    direction: Direction::Lower,
    range: (0.0, 1.0),
    needs: &[Need::Embedding, Need::Reference],
    words: "Earth mover's distance between the pairwise distances in two spaces, each scaled from its smallest to its \
            largest to 0..1",
    citation: "Heiser and Lau 2020, Cell Rep. 31:107576",
    deviations: "distances are counted in 2^20 bins, exact to 1e-6, so that memory does not grow with pairs",
};

/// Correlation of distances.
pub static DISTANCE_PEARSON: Definition = Definition {
    id: "distance_pearson",
    direction: Direction::Higher,
    range: (-1.0, 1.0),
    words: "Pearson correlation of the pairwise distances of the same cells in two spaces (Mantel)",
    citation: "Mantel 1967, Cancer Res. 27:209; Heiser and Lau 2020",
    deviations: "",
    ..DISTANCE_EMD
};

pub(super) static DEFINITIONS: &[&Definition] = &[&DISTANCE_EMD, &DISTANCE_PEARSON];

const BINS: usize = 1 << 20;

/// Pairs `i < j` of one row: those after the cell itself.
fn later(i: usize, first: usize, distances: &[f64]) -> &[f64] {
    &distances[(i + 1).saturating_sub(first).min(distances.len())..]
}

/// Smallest and largest pairwise distance.
fn extremes(x: &Matrix) -> Result<(f64, f64)> {
    let rows = fold_distances(
        x,
        x,
        Distance::Euclidean,
        |i| (i, f64::INFINITY, 0.0f64),
        |(i, low, high), first, d| {
            for &v in later(*i, first, d) {
                *low = low.min(v);
                *high = high.max(v);
            }
        },
        |(_, low, high)| (low, high),
    )?;
    Ok(rows.into_iter().fold((f64::INFINITY, 0.0), |(l, h), (low, high)| (low.min(l), high.max(h))))
}

/// Pairwise distances scaled to 0..1, counted in equal bins; `None` when all are equal.
fn histogram(x: &Matrix) -> Result<Option<Vec<u64>>> {
    let (low, high) = extremes(x)?;
    let width = high - low;
    if width <= high * 1e-9 {
        return Ok(None);
    }
    let counts: Vec<AtomicU64> = (0..BINS).map(|_| AtomicU64::new(0)).collect();
    let scale = (BINS - 1) as f64 / width;
    fold_distances(
        x,
        x,
        Distance::Euclidean,
        |i| i,
        |i, first, d| {
            for v in later(*i, first, d) {
                // To the nearest of BINS points from 0 to 1.
                let bin = ((v - low) * scale + 0.5) as usize;
                counts[bin.min(BINS - 1)].fetch_add(1, Ordering::Relaxed);
            }
        },
        |_| (),
    )?;
    Ok(Some(counts.into_iter().map(AtomicU64::into_inner).collect()))
}

/// Cells usable in both spaces, or the reason why the comparison means nothing.
fn both(usable: &Usable, a: &Matrix, b: &Matrix) -> Option<Score> {
    let reason = match usable.cells.len() {
        0..=2 => Some("fewer than three cells"),
        _ => (constant(a) || constant(b)).then_some("every cell is at the same place"),
    };
    reason.map(Score::undefined)
}

/// Earth mover's distance between scaled distances of the same cells in two spaces. Errors when numbers of cells differ.
pub fn distance_emd(a: &Matrix, b: &Matrix) -> Result<Score> {
    let usable = Usable::of(a.rows(), &[a, b], &[])?;
    let (a, b) = (usable.rows(a), usable.rows(b));
    if let Some(none) = both(&usable, &a, &b) {
        return Ok(usable.note(none));
    }
    let (Some(p), Some(q)) = (histogram(&a)?, histogram(&b)?) else {
        return Ok(usable.note(Score::undefined("all distances are equal in a space")));
    };
    // Area between the two distribution functions.
    let (mut ahead, mut area) = (0i128, 0u128);
    for (p, q) in p.iter().zip(&q) {
        ahead += i128::from(*p) - i128::from(*q);
        area += ahead.unsigned_abs();
    }
    let n = a.rows() as f64;
    let value = area as f64 / (n * (n - 1.0) / 2.0) / (BINS - 1) as f64;
    Ok(usable.note(Score::new(value, a.rows())))
}

/// Pearson correlation of the pairwise distances of the same cells in two spaces. Errors when numbers of cells differ.
pub fn distance_pearson(a: &Matrix, b: &Matrix) -> Result<Score> {
    const BLOCK: usize = 256;
    let usable = Usable::of(a.rows(), &[a, b], &[])?;
    let (a, b) = (usable.rows(a), usable.rows(b));
    if let Some(none) = both(&usable, &a, &b) {
        return Ok(usable.note(none));
    }
    let n = a.rows();
    // Sums about a rough mean, so that squares do not cancel.
    let (mid_a, mid_b) = (mean_of_first(&a)?, mean_of_first(&b)?);
    let (mut count, mut s) = (0.0, [0.0; 5]);
    for start in (0..n).step_by(BLOCK) {
        let chosen: Vec<usize> = (start..(start + BLOCK).min(n)).collect();
        let (da, db) = (rows_of(&a, &chosen)?, rows_of(&b, &chosen)?);
        let parts: Vec<[f64; 6]> = chosen
            .par_iter()
            .enumerate()
            .map(|(at, &i)| {
                let mut part = [0.0; 6];
                for (x, y) in da[at][i + 1..].iter().zip(&db[at][i + 1..]) {
                    let (x, y) = (x - mid_a, y - mid_b);
                    for (total, term) in part.iter_mut().zip([1.0, x, y, x * x, y * y, x * y]) {
                        *total += term;
                    }
                }
                part
            })
            .collect();
        for part in parts {
            count += part[0];
            s.iter_mut().zip(&part[1..]).for_each(|(total, term)| *total += term);
        }
    }
    let (sxx, syy) = (s[2] - s[0] * s[0] / count, s[3] - s[1] * s[1] / count);
    if sxx <= 1e-12 * s[2] || syy <= 1e-12 * s[3] {
        return Ok(usable.note(Score::undefined("all distances are equal in a space")));
    }
    let r = (s[4] - s[0] * s[1] / count) / (sxx.sqrt() * syy.sqrt());
    Ok(usable.note(Score::new(r.clamp(-1.0, 1.0), n)))
}

fn rows_of(x: &Matrix, chosen: &[usize]) -> Result<Vec<Vec<f64>>> {
    let query = x.select_rows(chosen);
    let keep = |v: &mut Vec<f64>, _: usize, d: &[f64]| v.extend_from_slice(d);
    fold_distances(&query, x, Distance::Euclidean, |_| Vec::with_capacity(x.rows()), keep, |v| v)
}

fn mean_of_first(x: &Matrix) -> Result<f64> {
    Ok(rows_of(x, &[0])?[0].iter().sum::<f64>() / x.rows() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_numerics::resample::Rng;

    fn random(n: usize, d: usize, seed: u64) -> Matrix {
        let mut rng = Rng::new(seed);
        Matrix::new(n, d, (0..n * d).map(|_| rng.normal() as f32).collect()).unwrap()
    }

    fn pairs(x: &Matrix) -> Vec<f64> {
        (0..x.rows())
            .flat_map(|i| (i + 1..x.rows()).map(move |j| (i, j)))
            .map(|(i, j)| {
                let d2: f64 = x.row(i).iter().zip(x.row(j)).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
                d2.sqrt()
            })
            .collect()
    }

    #[test]
    fn both_equal_their_definitions() {
        let (a, b) = (random(300, 5, 1), random(300, 2, 2));
        let scaled = |x: &Matrix| {
            let mut d = pairs(x);
            d.sort_by(f64::total_cmp);
            let (low, high) = (d[0], d[d.len() - 1]);
            d.iter().map(|v| (v - low) / (high - low)).collect::<Vec<f64>>()
        };
        let (p, q) = (scaled(&a), scaled(&b));
        let want = p.iter().zip(&q).map(|(p, q)| (p - q).abs()).sum::<f64>() / p.len() as f64;
        let got = distance_emd(&a, &b).unwrap().value.unwrap();
        assert!((got - want).abs() < 1e-6 && want > 0.01, "{got} {want}");
        let want = microtome_numerics::ranks::pearson(&pairs(&a), &pairs(&b)).unwrap().unwrap();
        assert!((distance_pearson(&a, &b).unwrap().value.unwrap() - want).abs() < 1e-9);
    }

    #[test]
    fn scaling_changes_nothing() {
        let a = random(200, 4, 3);
        let mut b = a.clone();
        b.data_mut().iter_mut().for_each(|v| *v *= 16.0);
        assert!(distance_emd(&a, &b).unwrap().value.unwrap() < 1e-9);
        assert!((distance_pearson(&a, &b).unwrap().value.unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn edges_have_reasons() {
        let a = random(10, 2, 4);
        for f in [distance_emd, distance_pearson] {
            assert!(f(&a, &Matrix::zeros(10, 3)).unwrap().value.is_none());
            assert!(f(&random(2, 2, 1), &random(2, 2, 2)).unwrap().value.is_none());
            assert!(f(&a, &random(9, 2, 1)).is_err());
            let mut gap = a.clone();
            gap.row_mut(3)[1] = f32::INFINITY;
            assert_eq!(f(&a, &gap).unwrap().n_excluded, 1);
            let equal = Matrix::new(3, 3, vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]).unwrap();
            assert!(f(&equal, &random(3, 2, 5)).unwrap().value.is_none());
        }
    }
}
