//! Silhouettes: of labels (higher is better separated), of batches within labels (mixed is better), and BRAS.
//!
//! Exact over all pairs in `n^2 d` time and `O(n)` memory. A cell that is alone in its group has silhouette 0, as in
//! scikit-learn.

use super::definition::{Definition, Need};
use super::groups::{Grouping, Usable};
use super::score::Score;
use microtome_core::{Direction, Matrix, Result};
use microtome_numerics::distances::{Distance, sums_to_groups};

/// Silhouette of the labels.
pub static SILHOUETTE_LABEL: Definition = Definition {
    id: "silhouette_label",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Embedding, Need::Labels],
    words: "Mean silhouette of cells by label, Euclidean, scaled to 0..1",
    citation: "Rousseeuw 1987, J. Comput. Appl. Math. 20:53; scaled as YosefLab/scib-metrics@5e78759",
    deviations: "no number when every cell is at one place (reference: 0.5)",
};

/// Silhouette of batches within labels, the older form.
pub static SILHOUETTE_BATCH: Definition = Definition {
    id: "silhouette_batch",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Embedding, Need::Labels, Need::Batches],
    words: "1 - |silhouette| of batches within each label against the nearest other batch, mean over labels; flatters \
            nested batches, see bras",
    citation: "Luecken et al. 2022, Nat. Methods 19:41",
    deviations: "cells that are alone in their batch within the label are left out (reference: count as perfectly mixed)",
};

/// Batch removal adapted silhouette.
pub static BRAS: Definition = Definition {
    id: "bras",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Embedding, Need::Labels, Need::Batches],
    words: "Batch removal adapted silhouette: 1 - |silhouette| of batches within each label, cosine, against the cells \
            of all other batches, mean over labels",
    citation: "Rautenstrauch and Ohler 2025, Nat. Biotechnol., 10.1038/s41587-025-02743-4",
    deviations: "cells that are alone in their batch within the label are left out (reference: count as perfectly mixed)",
};

pub(super) static DEFINITIONS: &[&Definition] = &[&SILHOUETTE_LABEL, &SILHOUETTE_BATCH, &BRAS];

/// What a cell's own group is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// The group that is nearest on average: the classical silhouette.
    Nearest,
    /// All cells of all other groups together.
    Pooled,
    /// The group that is farthest on average.
    Farthest,
}

/// Silhouette of every cell of a complete grouping with at least two groups; `None` where a cell is alone in its group.
pub(super) fn samples(x: &Matrix, groups: &Grouping, distance: Distance, other: Other) -> Result<Vec<Option<f64>>> {
    let sizes: Vec<f64> = groups.members.iter().map(|m| m.len() as f64).collect();
    let n = groups.codes.len() as f64;
    sums_to_groups(x, x, &groups.codes, groups.n(), distance, |i, sums| {
        let own = groups.codes[i] as usize;
        if sizes[own] < 2.0 {
            return None;
        }
        let a = sums[own] / (sizes[own] - 1.0);
        let others = (0..sums.len()).filter(|&g| g != own);
        let b = match other {
            Other::Nearest => others.map(|g| sums[g] / sizes[g]).fold(f64::INFINITY, f64::min),
            Other::Farthest => others.map(|g| sums[g] / sizes[g]).fold(0.0, f64::max),
            Other::Pooled => others.map(|g| sums[g]).sum::<f64>() / (n - sizes[own]),
        };
        // All at one place: neither near nor far.
        Some(if a.max(b) > 0.0 { (b - a) / a.max(b) } else { 0.0 })
    })
}

/// Whether all rows are equal.
pub(super) fn constant(x: &Matrix) -> bool {
    (1..x.rows()).all(|i| x.row(i) == x.row(0))
}

/// Why groups have no silhouette, if so.
pub(super) fn defect(x: &Matrix, groups: &Grouping) -> Option<&'static str> {
    match groups.n() {
        0 => Some("no cells"),
        1 => Some("all cells have one label"),
        n if n == groups.codes.len() => Some("every cell has its own label"),
        _ => constant(x).then_some("every cell is at the same place"),
    }
}

/// Mean silhouette of labels, `(mean + 1) / 2`. Cells without a label or with values that are not finite are left out.
/// Errors when lengths differ.
pub fn silhouette_label(x: &Matrix, labels: &[u32]) -> Result<Score> {
    let usable = Usable::of(labels.len(), &[x], &[labels])?;
    let groups = Grouping::new(&usable.codes(labels));
    let rows = usable.rows(x);
    if let Some(reason) = defect(&rows, &groups) {
        return Ok(usable.note(Score::undefined(reason)));
    }
    let s = samples(&rows, &groups, Distance::Euclidean, Other::Nearest)?;
    let mean = s.iter().map(|s| s.unwrap_or(0.0)).sum::<f64>() / s.len() as f64;
    Ok(usable.note(Score::new(0.5 * (mean + 1.0), s.len())))
}

/// The older batch silhouette: Euclidean, nearest other batch. Errors when lengths differ.
pub fn silhouette_batch(x: &Matrix, labels: &[u32], batches: &[u32]) -> Result<Score> {
    mixed_batches(x, labels, batches, Distance::Euclidean, Other::Nearest)
}

/// Batch removal adapted silhouette. Errors when lengths differ.
pub fn bras(x: &Matrix, labels: &[u32], batches: &[u32]) -> Result<Score> {
    mixed_batches(x, labels, batches, Distance::Cosine, Other::Pooled)
}

/// `1 - |silhouette|` of batches within each label, averaged over the label's cells and then over labels.
///
/// Labels with one batch, or in which every cell has its own batch, have nothing to say and are left out, as are
/// cells alone in their batch. A label all of whose cells are at one place is mixed (1). Errors when lengths differ.
pub fn mixed_batches(
    x: &Matrix,
    labels: &[u32],
    batches: &[u32],
    distance: Distance,
    other: Other,
) -> Result<Score> {
    let usable = Usable::of(labels.len(), &[x], &[labels, batches])?;
    let rows = usable.rows(x);
    if !usable.cells.is_empty() && constant(&rows) {
        return Ok(usable.note(Score::undefined("every cell is at the same place")));
    }
    let (labels, batches) = (Grouping::new(&usable.codes(labels)), usable.codes(batches));
    let (mut total, mut n_labels, mut used, mut one_batch, mut alone) = (0.0, 0, 0, 0, 0);
    for members in &labels.members {
        let within = Grouping::new(&members.iter().map(|&i| batches[i]).collect::<Vec<_>>());
        if within.n() < 2 || within.n() == members.len() {
            one_batch += members.len();
            continue;
        }
        let s = samples(&rows.select_rows(members), &within, distance, other)?;
        let scored: Vec<f64> = s.iter().flatten().map(|s| 1.0 - s.abs()).collect();
        alone += s.len() - scored.len();
        used += scored.len();
        total += scored.iter().sum::<f64>() / scored.len() as f64;
        n_labels += 1;
    }
    let score = if n_labels > 0 {
        Score::new(total / f64::from(n_labels), used)
    } else {
        Score::undefined("no label has cells of several batches")
    };
    Ok(usable.note(
        score
            .excluding(one_batch, "cells of labels with one batch, or with one cell per batch")
            .excluding(alone, "cells alone in their batch within the label"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Groups;
    use microtome_numerics::resample::Rng;

    fn matrix(cols: usize, data: Vec<f32>) -> Matrix {
        Matrix::new(data.len() / cols, cols, data).unwrap()
    }

    #[test]
    fn golden_g5() {
        let x = matrix(1, vec![0.0, 1.0, 4.0, 5.0, 6.0]);
        let labels = [0, 0, 1, 1, 1];
        let s = samples(&x, &Grouping::new(&labels), Distance::Euclidean, Other::Nearest).unwrap();
        let want = [0.8, 0.75, 0.571_429, 0.777_778, 0.727_273];
        assert!(s.iter().zip(want).all(|(s, w)| (s.unwrap() - w).abs() < 1e-6), "{s:?}");
        assert!((silhouette_label(&x, &labels).unwrap().value.unwrap() - 0.862_648).abs() < 1e-6);
    }

    #[test]
    fn golden_g6_shows_how_the_old_form_flatters() {
        let x = matrix(2, vec![1.0, 0.0, 0.8, 0.6, 0.0, 1.0, -0.6, 0.8, 1.0, 1.0, 1.0, 0.2]);
        let (labels, batches) = ([0; 6], [0, 0, 1, 1, 2, 2]);
        let value = |distance, other| {
            mixed_batches(&x, &labels, &batches, distance, other).unwrap().value.unwrap()
        };
        assert!((bras(&x, &labels, &batches).unwrap().value.unwrap() - 0.339_449).abs() < 1e-6);
        assert!((value(Distance::Cosine, Other::Nearest) - 0.473_500).abs() < 1e-6);
        assert!((silhouette_batch(&x, &labels, &batches).unwrap().value.unwrap() - 0.652_391).abs() < 1e-6);
        assert!(value(Distance::Cosine, Other::Farthest) < value(Distance::Cosine, Other::Pooled));
    }

    fn blobs(n: usize, batches: u32, shift: f64, seed: u64) -> (Matrix, Vec<u32>, Vec<u32>) {
        let mut rng = Rng::new(seed);
        let (mut data, mut labels, mut batch) = (vec![], vec![], vec![]);
        for i in 0..n as u32 {
            let (l, b) = (i % 3, (i / 3) % batches);
            for j in 0..5 {
                let centre = if j == l as usize { 8.0 } else { 1.0 };
                data.push((centre + rng.normal() + if j == 4 { shift * f64::from(b) } else { 0.0 }) as f32);
            }
            labels.push(l);
            batch.push(b);
        }
        (matrix(5, data), labels, batch)
    }

    #[test]
    fn mixed_batches_score_high_and_shifted_ones_low() {
        let (x, labels, batch) = blobs(600, 3, 0.0, 1);
        let mixed = bras(&x, &labels, &batch).unwrap().value.unwrap();
        assert!(mixed > 0.88, "{mixed}");
        let (x, labels, batch) = blobs(600, 3, 10.0, 1);
        assert!(bras(&x, &labels, &batch).unwrap().value.unwrap() < 0.5);
    }

    #[test]
    fn scale_order_and_names_do_not_matter() {
        let (x, labels, batch) = blobs(300, 2, 1.0, 2);
        let label = silhouette_label(&x, &labels).unwrap().value.unwrap();
        let mixed = bras(&x, &labels, &batch).unwrap().value.unwrap();
        let order = Rng::new(3).permutation(300);
        let mut moved = x.select_rows(&order);
        moved.data_mut().iter_mut().for_each(|v| *v *= 8.0);
        let pick = |v: &[u32], f: fn(u32) -> u32| -> Vec<u32> { order.iter().map(|&i| f(v[i])).collect() };
        let (l, b) = (pick(&labels, |c| 50 - c), pick(&batch, |c| c + 7));
        assert!((silhouette_label(&moved, &l).unwrap().value.unwrap() - label).abs() < 1e-9);
        assert!((bras(&moved, &l, &b).unwrap().value.unwrap() - mixed).abs() < 1e-9);
        assert!((0.0..=1.0).contains(&label) && (0.0..=1.0).contains(&mixed));
    }

    #[test]
    fn one_hot_labels_separate_perfectly_and_constants_have_no_score() {
        let labels: Vec<u32> = (0..30).map(|i| i % 3).collect();
        let batch: Vec<u32> = (0..30).map(|i| i % 2).collect();
        let mut x = Matrix::zeros(30, 3);
        (0..30).for_each(|i| x.row_mut(i)[i % 3] = 1.0);
        assert_eq!(silhouette_label(&x, &labels).unwrap().value, Some(1.0));
        assert_eq!(bras(&x, &labels, &batch).unwrap().value, Some(1.0));
        let flat = Matrix::zeros(30, 3);
        for score in [silhouette_label(&flat, &labels), bras(&flat, &labels, &batch)] {
            let score = score.unwrap();
            assert!(score.value.is_none() && score.reason.is_some());
        }
    }

    #[test]
    fn edges_have_reasons() {
        let x = matrix(1, vec![0.0, 1.0, 5.0, f32::NAN, 6.0, 9.0]);
        let missing = Groups::MISSING;
        let score = silhouette_label(&x, &[0, 0, 1, 1, 1, missing]).unwrap();
        assert_eq!((score.n_used, score.n_excluded), (4, 2));
        assert!(silhouette_label(&x, &[0; 6]).unwrap().value.is_none());
        assert!(silhouette_label(&x, &[0, 1, 2, 3, 4, 5]).unwrap().value.is_none());
        assert!(silhouette_label(&Matrix::zeros(0, 2), &[]).unwrap().value.is_none());
        assert!(silhouette_label(&x, &[0]).is_err());
        // Label 1 has one batch only; in label 0 one cell is alone in its batch.
        let x = matrix(1, vec![1.0, 2.0, 3.0, 4.0, 5.0]);
        let score = bras(&x, &[0, 0, 0, 1, 1], &[0, 0, 1, 0, 0]).unwrap();
        assert_eq!((score.n_used, score.n_excluded), (2, 3));
        assert!(bras(&x, &[0; 5], &[3; 5]).unwrap().value.is_none());
        assert!(bras(&x, &[0; 5], &[0, 1, 2, 3, 4]).unwrap().value.is_none());
    }
}
