//! Nearest neighbours: purity of labels, also across batches only, and whether neighbours are kept.

use super::definition::{Definition, Need};
use super::groups::{Grouping, Usable};
use super::place::all_at_one_place;
use super::score::{Score, mean_of, same_number};
use super::silhouette::constant;
use crate::Groups;
use microtome_core::{Direction, Error, Matrix, Result};
use microtome_numerics::knn::{Knn, Metric, knn_between};

/// Purity of labels among neighbours.
pub static KNN_PURITY: Definition = Definition {
    id: "knn_purity",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Embedding, Need::Labels],
    words: "Share of a cell's nearest neighbours that have its label, mean over the cells of each label, then over labels",
    citation: "standard",
    deviations: "",
};

/// Purity among neighbours from other batches.
pub static KNN_PURITY_ACROSS: Definition = Definition {
    id: "knn_purity_across_batches",
    needs: &[Need::Embedding, Need::Labels, Need::Batches],
    words: "Share of a cell's nearest neighbours in other batches that have its label, mean over the cells of each label, \
            then over labels",
    deviations: "cells whose label occurs in their own batch only are left out and counted",
    ..KNN_PURITY
};

/// Neighbours that stay neighbours.
pub static NEIGHBOUR_PRESERVATION: Definition = Definition {
    id: "neighbour_preservation",
    needs: &[Need::Embedding, Need::Reference],
    words: "Share of a cell's k nearest neighbours in one space that are among its k nearest in the other, mean over cells",
    citation: "Heiser and Lau 2020, Cell Rep. 31:107576",
    deviations: "shared neighbours only (the cited code counts shared non-neighbours too, which is near 1 always)",
    ..KNN_PURITY
};

pub(super) static DEFINITIONS: &[&Definition] = &[&KNN_PURITY, &KNN_PURITY_ACROSS, &NEIGHBOUR_PRESERVATION];

/// Macro mean over labels of a value per cell.
fn macro_mean(values: &[Option<f64>], groups: &Grouping, why: &str) -> Score {
    let means = groups.members.iter().filter_map(|m| mean_of(m.iter().map(|&i| values[i]), "").value);
    let (mut sum, mut n) = (0.0, 0);
    means.for_each(|m| {
        sum += m;
        n += 1;
    });
    let used = values.iter().flatten().count();
    let score = if n > 0 { Score::new(sum / f64::from(n), used) } else { Score::undefined("no cells") };
    score.excluding(values.len() - used, why)
}

/// Purity of labels among the listed neighbours. Cells without a label are left out, as cells and as neighbours. Errors
/// when lengths differ.
pub fn knn_purity(knn: &Knn, labels: &[u32]) -> Result<Score> {
    same_number("labels and neighbour lists", knn.n, labels.len())?;
    let usable = Usable::of(knn.n, &[], &[labels])?;
    let groups = Grouping::new(&usable.codes(labels));
    if groups.n() < 2 {
        return Ok(usable.note(Score::undefined("fewer than two labels")));
    }
    if all_at_one_place(knn) {
        return Ok(usable.note(Score::undefined("every cell is at the same place")));
    }
    let share = |&i: &usize| {
        let near = knn.row(i).0.iter().map(|&j| labels[j as usize]).filter(|&l| l != Groups::MISSING);
        let (same, all) = near.fold((0, 0), |(s, n), l| (s + usize::from(l == labels[i]), n + 1));
        (all > 0).then(|| same as f64 / all as f64)
    };
    let values: Vec<Option<f64>> = usable.cells.iter().map(share).collect();
    Ok(usable.note(macro_mean(&values, &groups, "cells without a neighbour that has a label")))
}

/// Purity among the `k` nearest cells of all other batches (all of them where there are fewer). Errors when lengths
/// differ or `k` is 0.
pub fn knn_purity_across_batches(x: &Matrix, labels: &[u32], batches: &[u32], k: usize) -> Result<Score> {
    if k == 0 {
        return Err(Error::usage("purity needs neighbours").expected("k of at least 1").found("0"));
    }
    let usable = Usable::of(labels.len(), &[x], &[labels, batches])?;
    let rows = usable.rows(x);
    let (groups, batches) = (Grouping::new(&usable.codes(labels)), Grouping::new(&usable.codes(batches)));
    let reason = match (groups.n(), batches.n()) {
        (0 | 1, _) => Some("fewer than two labels"),
        (_, 0 | 1) => Some("fewer than two batches"),
        _ => constant(&rows).then_some("every cell is at the same place"),
    };
    if let Some(reason) = reason {
        return Ok(usable.note(Score::undefined(reason)));
    }
    let in_batch = |label: usize| -> Vec<usize> {
        let mut n = vec![0; batches.n()];
        groups.members[label].iter().for_each(|&i| n[batches.codes[i] as usize] += 1);
        n
    };
    let label_by_batch: Vec<Vec<usize>> = (0..groups.n()).map(in_batch).collect();
    let mut values = vec![None; groups.codes.len()];
    for (b, members) in batches.members.iter().enumerate() {
        let others: Vec<usize> = (0..groups.codes.len()).filter(|&i| batches.codes[i] as usize != b).collect();
        let knn = knn_between(
            &rows.select_rows(members),
            &rows.select_rows(&others),
            k.min(others.len()),
            Metric::Euclidean,
        )?;
        for (at, &i) in members.iter().enumerate() {
            let label = groups.codes[i] as usize;
            if label_by_batch[label][b] == groups.members[label].len() {
                continue;
            }
            let same = knn.row(at).0.iter().filter(|&&j| groups.codes[others[j as usize]] as usize == label);
            values[i] = Some(same.count() as f64 / knn.k as f64);
        }
    }
    Ok(usable.note(macro_mean(&values, &groups, "cells whose label occurs in no other batch")))
}

/// Mean share of neighbours that two lists of the same cells have in common. Errors when the lists differ in cells or k.
pub fn neighbour_preservation(before: &Knn, after: &Knn) -> Result<Score> {
    same_number("neighbour lists of two spaces", before.n, after.n)?;
    same_number("neighbours per cell in two spaces", before.k, after.k)?;
    if before.n == 0 {
        return Ok(Score::undefined("no cells"));
    }
    if all_at_one_place(before) || all_at_one_place(after) {
        return Ok(Score::undefined("every cell is at the same place"));
    }
    let shared = |i: usize| {
        let mut first = before.row(i).0.to_vec();
        first.sort_unstable();
        after.row(i).0.iter().filter(|j| first.binary_search(j).is_ok()).count()
    };
    let total: usize = (0..before.n).map(shared).sum();
    Ok(Score::new(total as f64 / (before.n * before.k) as f64, before.n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_numerics::knn::exact_knn;
    use microtome_numerics::resample::Rng;

    fn line(x: &[f32]) -> Matrix {
        Matrix::new(x.len(), 1, x.to_vec()).unwrap()
    }

    #[test]
    fn purity_by_hand_counts_labels_equally() {
        let x = line(&[0.0, 1.0, 2.5, 4.2, 10.0]);
        let knn = exact_knn(&x, 2, Metric::Euclidean).unwrap();
        // Label 0: cells 0 (1, 2), 1 (0, 2), 2 (1, 3): 1, 1, 1/2. Label 1: cells 3 (2, 1), 4 (3, 2): 0, 1/2.
        let score = knn_purity(&knn, &[0, 0, 0, 1, 1]).unwrap();
        assert!((score.value.unwrap() - 0.5 * (2.5 / 3.0 + 0.25)).abs() < 1e-12);
    }

    #[test]
    fn purity_within_a_batch_does_not_count_across() {
        // Each batch separates its labels, in opposite order.
        let x = line(&[0.0, 0.1, 5.0, 5.1, 0.2, 0.3, 5.2, 5.3]);
        let batches = [0, 0, 0, 0, 1, 1, 1, 1];
        let labels = [0, 0, 1, 1, 1, 1, 0, 0];
        assert_eq!(knn_purity_across_batches(&x, &labels, &batches, 2).unwrap().value, Some(0.0));
        let aligned = [0, 0, 1, 1, 0, 0, 1, 1];
        assert_eq!(knn_purity_across_batches(&x, &aligned, &batches, 2).unwrap().value, Some(1.0));
        let own = knn_purity_across_batches(&x, &[0, 0, 1, 1, 0, 0, 2, 2], &batches, 2).unwrap();
        assert_eq!((own.value, own.n_used, own.n_excluded), (Some(1.0), 4, 4));
    }

    #[test]
    fn shuffled_labels_have_chance_purity() {
        let mut rng = Rng::new(4);
        let x = Matrix::new(2000, 3, (0..6000).map(|_| rng.normal() as f32).collect()).unwrap();
        let labels: Vec<u32> = (0..2000).map(|i| i % 4).collect();
        let batches: Vec<u32> = (0..2000).map(|i| (i / 4) % 3).collect();
        let knn = exact_knn(&x, 15, Metric::Euclidean).unwrap();
        assert!((knn_purity(&knn, &labels).unwrap().value.unwrap() - 0.25).abs() < 0.02);
        let across = knn_purity_across_batches(&x, &labels, &batches, 15).unwrap();
        assert!((across.value.unwrap() - 0.25).abs() < 0.02);
    }

    #[test]
    fn preservation_extremes() {
        let mut rng = Rng::new(5);
        let draw = |rng: &mut Rng| {
            let x = Matrix::new(500, 3, (0..1500).map(|_| rng.normal() as f32).collect()).unwrap();
            exact_knn(&x, 10, Metric::Euclidean).unwrap()
        };
        let (a, b) = (draw(&mut rng), draw(&mut rng));
        assert_eq!(neighbour_preservation(&a, &a).unwrap().value, Some(1.0));
        assert!((neighbour_preservation(&a, &b).unwrap().value.unwrap() - 10.0 / 499.0).abs() < 0.01);
        assert!(neighbour_preservation(&a, &b.truncate(5).unwrap()).is_err());
    }

    #[test]
    fn edges_have_reasons() {
        let x = line(&[0.0, 1.0, 2.0, f32::NAN]);
        let m = Groups::MISSING;
        let none = knn_purity_across_batches(&x, &[0, 1, 0, 1], &[0; 4], 1).unwrap();
        assert!(none.value.is_none() && none.n_excluded == 1);
        assert!(knn_purity_across_batches(&x, &[0, 1, 0, 1], &[0, 1, 0, 1], 0).is_err());
        let knn = exact_knn(&line(&[0.0, 1.0, 2.0]), 1, Metric::Euclidean).unwrap();
        assert!(knn_purity(&knn, &[0, 0, 0]).unwrap().value.is_none());
        assert!(knn_purity(&knn, &[m; 3]).unwrap().value.is_none());
        assert_eq!(knn_purity(&knn, &[0, m, 1]).unwrap().n_excluded, 3);
        let flat = exact_knn(&line(&[1.0; 5]), 2, Metric::Euclidean).unwrap();
        assert!(knn_purity(&flat, &[0, 0, 1, 1, 1]).unwrap().value.is_none());
        assert!(neighbour_preservation(&flat, &flat).unwrap().value.is_none());
    }
}
