//! Local inverse Simpson index: the effective number of groups around a cell.
//!
//! Neighbours are weighted by `exp(-beta d)` of the unsquared distance `d`; `beta` gives the weights the entropy
//! `ln(perplexity)`. Neighbour lists do not hold the cell itself: the reference's 90 neighbours are 89 here.

use super::definition::{Definition, Need};
use super::groups::{Grouping, Usable};
use super::place::all_at_one_place;
use super::score::{Score, mean_of, median_of, same_number};
use super::silhouette::constant;
use crate::Groups;
use microtome_core::{Direction, Error, Matrix, Result};
use microtome_numerics::knn::{Knn, Metric, exact_knn};
use rayon::prelude::*;

/// Mixing of batches around cells.
pub static ILISI: Definition = Definition {
    id: "ilisi_knn",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Embedding, Need::Batches],
    words: "Median local inverse Simpson index of batches, scaled to 0 (one batch) .. 1 (all batches equally)",
    citation: "Korsunsky et al. 2019, Nat. Methods 16:1289; scaled as YosefLab/scib-metrics@5e78759",
    deviations: "cells whose neighbour weights have entropy 0 are left out (reference: index -1); exact neighbours",
};

/// Purity of labels around cells.
pub static CLISI: Definition = Definition {
    id: "clisi_knn",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Embedding, Need::Labels],
    words: "Median local inverse Simpson index of labels, scaled to 1 (one label around each cell) .. 0 (all equally)",
    citation: "Korsunsky et al. 2019, Nat. Methods 16:1289; scaled as YosefLab/scib-metrics@5e78759",
    deviations: "cells whose neighbour weights have entropy 0 are left out (reference: index -1); exact neighbours",
};

/// Mixing of batches among the cells of each label, mean over cells.
pub static CILISI: Definition = Definition {
    id: "cilisi",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Embedding, Need::Labels, Need::Batches],
    words: "Local inverse Simpson index of batches among the cells of each label, scaled by the label's batches, mean \
            over cells",
    citation: "Andreatta et al. 2024, Nat. Commun. 15:872 (scIntegrationMetrics)",
    deviations: "labels with fewer than 90 cells use all their cells and a third as perplexity; exact neighbours",
};

/// The same, every label counting once.
pub static CILISI_BY_LABEL: Definition = Definition {
    id: "cilisi_by_label",
    words: "Local inverse Simpson index of batches among the cells of each label, scaled by the label's batches, mean \
            over labels",
    ..CILISI
};

pub(super) static DEFINITIONS: &[&Definition] = &[&ILISI, &CLISI, &CILISI, &CILISI_BY_LABEL];

const TOLERANCE: f64 = 1e-5;
const MAX_HALVINGS: usize = 50;

/// Neighbours that the reference's default of 90, self included, comes to.
pub const NEIGHBOURS: usize = 89;

/// `exp(-beta d)` scaled to sum 1 with entropy `ln(perplexity)` by bisection, and `beta`; `None` when all weights
/// vanish or all weight is on one neighbour.
fn weights(distances: &[f64], perplexity: f64) -> Option<(Vec<f64>, f64)> {
    let target = perplexity.ln();
    let (mut beta, mut low, mut high) = (1.0f64, f64::NEG_INFINITY, f64::INFINITY);
    for tries in 0..=MAX_HALVINGS {
        let mut p: Vec<f64> = distances.iter().map(|d| (-d * beta).exp()).collect();
        let sum: f64 = p.iter().sum();
        let entropy = if sum > 0.0 {
            sum.ln() + beta * p.iter().zip(distances).map(|(p, d)| p * d).sum::<f64>() / sum
        } else {
            0.0
        };
        let difference = entropy - target;
        if difference.abs() < TOLERANCE || tries == MAX_HALVINGS {
            p.iter_mut().for_each(|p| *p /= sum);
            return (sum > 0.0 && entropy != 0.0).then_some((p, beta));
        }
        if difference > 0.0 {
            low = beta;
            beta = if high.is_infinite() { beta * 2.0 } else { 0.5 * (beta + high) };
        } else {
            high = beta;
            beta = if low.is_infinite() { beta / 2.0 } else { 0.5 * (beta + low) };
        }
    }
    None
}

/// Index of one cell from its neighbours' distances and groups.
fn index(distances: &[f64], groups: &[u32], perplexity: f64) -> Option<f64> {
    let (p, _) = weights(distances, perplexity)?;
    let mut by_group: Vec<(u32, f64)> = groups.iter().copied().zip(p).collect();
    by_group.sort_unstable_by_key(|e| e.0);
    let simpson: f64 = by_group
        .chunk_by(|a, b| a.0 == b.0)
        .map(|g| g.iter().map(|e| e.1).sum::<f64>().powi(2))
        .sum();
    Some(1.0 / simpson)
}

/// Index of every cell, from 1 to the number of groups.
///
/// `perplexity` is a third of the neighbours with self, rounded down, unless given. `None` for cells without a group
/// and for cells whose weights have entropy 0 or vanish; neighbours without a group do not count. Errors when lengths
/// differ, or the perplexity is not above 0.
pub fn lisi(knn: &Knn, groups: &[u32], perplexity: Option<f64>) -> Result<Vec<Option<f64>>> {
    same_number("groups and neighbour lists", knn.n, groups.len())?;
    let perplexity = perplexity.unwrap_or_else(|| ((knn.k + 1) / 3) as f64);
    if !(perplexity.is_finite() && perplexity > 0.0) {
        return Err(Error::usage("not a perplexity")
            .expected("a number above 0, at least 2 neighbours")
            .found(perplexity.to_string()));
    }
    let one = |i: usize| {
        if groups[i] == Groups::MISSING {
            return None;
        }
        let (near, distances) = knn.row(i);
        let kept = || near.iter().zip(distances).filter(|(j, _)| groups[**j as usize] != Groups::MISSING);
        let d: Vec<f64> = kept().map(|(_, &d)| f64::from(d)).collect();
        let g: Vec<u32> = kept().map(|(j, _)| groups[*j as usize]).collect();
        index(&d, &g, perplexity)
    };
    Ok((0..knn.n).into_par_iter().map(one).collect())
}

/// Median of [`lisi`] scaled by `scale(median, number of groups)`.
fn scaled(knn: &Knn, codes: &[u32], what: &str, scale: impl Fn(f64, f64) -> f64) -> Result<Score> {
    same_number("groups and neighbour lists", knn.n, codes.len())?;
    let missing = codes.iter().filter(|&&c| c == Groups::MISSING).count();
    let n = Grouping::new(codes).n() - usize::from(missing > 0);
    let note = |score: Score| score.excluding(missing, "cells without a label or batch");
    if n < 2 {
        return Ok(note(Score::undefined(format!("fewer than two {what}"))));
    }
    if all_at_one_place(knn) {
        return Ok(note(Score::undefined("every cell is at the same place")));
    }
    let values: Vec<Option<f64>> = lisi(knn, codes, None)?
        .into_iter()
        .zip(codes)
        .filter_map(|(v, &c)| (c != Groups::MISSING).then_some(v))
        .collect();
    let score = median_of(&values, "cells whose neighbour weights vanish or sit on one neighbour");
    Ok(note(score.map(|m| scale(m, n as f64).clamp(0.0, 1.0))))
}

/// Scaled median index of batches. Errors when lengths differ.
pub fn ilisi_knn(knn: &Knn, batches: &[u32]) -> Result<Score> {
    scaled(knn, batches, "batches", |m, n| (m - 1.0) / (n - 1.0))
}

/// Scaled median index of labels. Errors when lengths differ.
pub fn clisi_knn(knn: &Knn, labels: &[u32]) -> Result<Score> {
    scaled(knn, labels, "labels", |m, n| (n - m) / (n - 1.0))
}

/// Mixing of batches within labels: mean over cells ([`CILISI`]) and over labels ([`CILISI_BY_LABEL`]).
///
/// Labels with fewer than 10 cells or one batch are left out. Errors when lengths differ.
pub fn cilisi(x: &Matrix, labels: &[u32], batches: &[u32]) -> Result<(Score, Score)> {
    let usable = Usable::of(labels.len(), &[x], &[labels, batches])?;
    let rows = usable.rows(x);
    if !usable.cells.is_empty() && constant(&rows) {
        let none = usable.note(Score::undefined("every cell is at the same place"));
        return Ok((none.clone(), none));
    }
    let (labels, batches) = (Grouping::new(&usable.codes(labels)), usable.codes(batches));
    let mut cells: Vec<Option<f64>> = Vec::new();
    let mut means = Vec::new();
    let mut skipped = 0;
    for members in &labels.members {
        let within = Grouping::new(&members.iter().map(|&i| batches[i]).collect::<Vec<_>>());
        if within.n() < 2 || members.len() < 10 {
            skipped += members.len();
            means.push(None);
            continue;
        }
        let knn = exact_knn(&rows.select_rows(members), NEIGHBOURS.min(members.len() - 1), Metric::Euclidean)?;
        let scale = |v: f64| (v - 1.0) / (within.n() as f64 - 1.0);
        let scores: Vec<Option<f64>> = lisi(&knn, &within.codes, None)?.into_iter().map(|v| v.map(scale)).collect();
        means.push(mean_of(scores.iter().copied(), "").value);
        cells.extend(scores);
    }
    let why = "cells whose neighbour weights vanish or sit on one neighbour";
    let small = "cells of labels with fewer than 10 cells or one batch";
    let by_cell = mean_of(cells, why).excluding(skipped, small);
    let by_label = mean_of(means, "labels with fewer than 10 cells or one batch");
    Ok((usable.note(by_cell), usable.note(by_label)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_numerics::resample::Rng;

    #[test]
    fn golden_g7() {
        let d = [0.1, 0.2, 0.4, 0.5, 0.9, 1.2];
        let (_, beta) = weights(&d, 3.0).unwrap();
        assert!((beta - 5.891_724).abs() < 1e-3, "{beta}");
        assert!((index(&d, &[0, 1, 0, 0, 1, 1], 3.0).unwrap() - 1.744_784).abs() < 1e-5);
    }

    fn mixed(n: usize, shift: f32) -> (Matrix, Vec<u32>, Vec<u32>) {
        let mut rng = Rng::new(5);
        let labels: Vec<u32> = (0..n as u32).map(|i| i % 2).collect();
        let batches: Vec<u32> = (0..n as u32).map(|i| (i / 2) % 3).collect();
        let mut x = Matrix::zeros(n, 4);
        for i in 0..n {
            for v in x.row_mut(i) {
                *v = rng.normal() as f32;
            }
            x.row_mut(i)[0] += 30.0 * labels[i] as f32;
            x.row_mut(i)[1] += shift * batches[i] as f32;
        }
        (x, labels, batches)
    }

    #[test]
    fn extremes_and_shuffled_batches() {
        let (x, labels, batches) = mixed(1200, 30.0);
        let knn = exact_knn(&x, NEIGHBOURS, Metric::Euclidean).unwrap();
        assert_eq!(clisi_knn(&knn, &labels).unwrap().value, Some(1.0));
        assert!(ilisi_knn(&knn, &batches).unwrap().value.unwrap() < 1e-12);
        assert!(cilisi(&x, &labels, &batches).unwrap().0.value.unwrap() < 1e-12);
        let mut shuffled = batches;
        Rng::new(1).shuffle(&mut shuffled);
        assert!(ilisi_knn(&knn, &shuffled).unwrap().value.unwrap() > 0.85);
        let (by_cell, by_label) = cilisi(&x, &labels, &shuffled).unwrap();
        assert!(by_cell.value.unwrap() > 0.8 && by_label.value.unwrap() > 0.8, "{by_cell:?}");
        assert_eq!((by_cell.n_used, by_label.n_used), (1200, 2));
    }

    #[test]
    fn scale_names_and_order_do_not_matter() {
        let (x, labels, batches) = mixed(300, 1.0);
        let score = |x: &Matrix, b: &[u32]| {
            ilisi_knn(&exact_knn(x, NEIGHBOURS, Metric::Euclidean).unwrap(), b).unwrap().value.unwrap()
        };
        let want = score(&x, &batches);
        let order = Rng::new(2).permutation(300);
        let mut moved = x.select_rows(&order);
        moved.data_mut().iter_mut().for_each(|v| *v *= 4.0);
        let renamed: Vec<u32> = order.iter().map(|&i| 9 - batches[i]).collect();
        // The bisection stops anywhere within its tolerance, so a scaled space ends at slightly other weights.
        assert!((score(&moved, &renamed) - want).abs() < 1e-4);
        let l: Vec<u32> = order.iter().map(|&i| labels[i]).collect();
        let a = cilisi(&x, &labels, &batches).unwrap().0.value.unwrap();
        assert!((cilisi(&moved, &l, &renamed).unwrap().0.value.unwrap() - a).abs() < 1e-4);
    }

    #[test]
    fn edges_have_reasons() {
        let (x, labels, mut batches) = mixed(120, 1.0);
        let knn = exact_knn(&x, 20, Metric::Euclidean).unwrap();
        assert!(ilisi_knn(&knn, &[4; 120]).unwrap().value.is_none());
        assert!(ilisi_knn(&knn, &[4; 3]).is_err());
        batches[7] = Groups::MISSING;
        let score = ilisi_knn(&knn, &batches).unwrap();
        assert_eq!((score.n_used, score.n_excluded), (119, 1));
        let flat = exact_knn(&Matrix::zeros(120, 2), 20, Metric::Euclidean).unwrap();
        assert!(ilisi_knn(&flat, &batches).unwrap().value.is_none());
        assert!(cilisi(&Matrix::zeros(120, 2), &labels, &batches).unwrap().0.value.is_none());
        let few = cilisi(&x.select_rows(&[0, 1, 2]), &labels[..3], &batches[..3]).unwrap().0;
        assert!(few.value.is_none() && few.n_excluded == 3);
        // One far outlier: all weight of its neighbours can vanish, never a wrong number.
        assert_eq!(index(&[1e30, 2e30, 3e30], &[0, 1, 2], 2.0), None);
    }
}
