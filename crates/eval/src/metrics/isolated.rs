//! Isolated labels: those that occur in the fewest batches, and whether they stay apart from all others.

use super::definition::{Definition, Need};
use super::groups::{Grouping, Usable};
use super::score::{Score, mean_of, same_number};
use super::silhouette::constant;
use microtome_core::{Direction, Matrix, Result};
use microtome_numerics::distances::{Distance, sums_to_groups};

/// Silhouette of isolated labels.
pub static ISOLATED_LABELS: Definition = Definition {
    id: "isolated_labels",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Embedding, Need::Labels, Need::Batches],
    words: "Silhouette of each isolated label against all other cells, (mean over all cells + 1) / 2, mean over isolated \
            labels",
    citation: "Luecken et al. 2022, Nat. Methods 19:41; theislab/scib@cd67913",
    deviations: "no number when all labels occur in equally many batches; scib-metrics' version averages the ordinary \
                 silhouette over the cells of isolated labels instead",
};

/// Best F1 of a cluster for isolated labels.
pub static ISOLATED_LABELS_F1: Definition = Definition {
    id: "isolated_labels_f1",
    words: "Best F1 of any cluster at any resolution for each isolated label, mean over isolated labels",
    deviations: "no number when all labels occur in equally many batches; own Leiden, resolutions 0.2..2.0",
    ..ISOLATED_LABELS
};

pub(super) static DEFINITIONS: &[&Definition] = &[&ISOLATED_LABELS, &ISOLATED_LABELS_F1];

/// Labels in the minimum number of batches, or why none is isolated.
fn isolated(labels: &Grouping, batches: &[u32]) -> Result<Vec<usize>, Score> {
    let n_batches: Vec<usize> = labels
        .members
        .iter()
        .map(|m| Grouping::new(&m.iter().map(|&i| batches[i]).collect::<Vec<_>>()).n())
        .collect();
    let Some(least) = n_batches.iter().copied().min() else {
        return Err(Score::undefined("no cells"));
    };
    if labels.n() < 2 {
        return Err(Score::undefined("all cells have one label"));
    }
    if n_batches.iter().all(|&n| n == least) {
        return Err(Score::undefined("no label is isolated: all occur in equally many batches"));
    }
    Ok((0..labels.n()).filter(|&l| n_batches[l] == least).collect())
}

/// Silhouette of isolated labels against the rest. `n_used` counts isolated labels. Errors when lengths differ.
pub fn isolated_labels(x: &Matrix, labels: &[u32], batches: &[u32]) -> Result<Score> {
    let usable = Usable::of(labels.len(), &[x], &[labels, batches])?;
    let rows = usable.rows(x);
    let groups = Grouping::new(&usable.codes(labels));
    let chosen = match isolated(&groups, &usable.codes(batches)) {
        Ok(_) if constant(&rows) => return Ok(usable.note(Score::undefined("every cell is at the same place"))),
        Ok(chosen) => chosen,
        Err(score) => return Ok(usable.note(score)),
    };
    // Sums to every label at once give the silhouette of each label against the rest.
    let sizes: Vec<f64> = groups.members.iter().map(|m| m.len() as f64).collect();
    let n = groups.codes.len() as f64;
    let by_cell = sums_to_groups(&rows, &rows, &groups.codes, groups.n(), Distance::Euclidean, |i, sums| {
        let all: f64 = sums.iter().sum();
        let against_rest = |&label: &usize| {
            let (here, size) = (sums[label], sizes[label]);
            let inside = groups.codes[i] as usize == label;
            let (own, own_size, other, other_size) =
                if inside { (here, size, all - here, n - size) } else { (all - here, n - size, here, size) };
            if own_size < 2.0 {
                return 0.0;
            }
            let (a, b) = (own.max(0.0) / (own_size - 1.0), other.max(0.0) / other_size);
            if a.max(b) > 0.0 { (b - a) / a.max(b) } else { 0.0 }
        };
        chosen.iter().map(against_rest).collect::<Vec<f64>>()
    })?;
    let mean = |at: usize| by_cell.iter().map(|s| s[at]).sum::<f64>() / n;
    Ok(usable.note(mean_of((0..chosen.len()).map(|at| Some(0.5 * (mean(at) + 1.0))), "")))
}

/// Best F1 over all clusters of all clusterings in `grid` for each isolated label. `n_used` counts isolated labels.
/// Errors when lengths differ.
pub fn isolated_labels_f1(grid: &[Vec<u32>], labels: &[u32], batches: &[u32]) -> Result<Score> {
    for clusters in grid {
        same_number("clusters and cells", labels.len(), clusters.len())?;
    }
    let usable = Usable::of(labels.len(), &[], &[labels, batches])?;
    let groups = Grouping::new(&usable.codes(labels));
    let chosen = match isolated(&groups, &usable.codes(batches)) {
        Ok(_) if grid.is_empty() => return Ok(usable.note(Score::undefined("no clustering"))),
        Ok(chosen) => chosen,
        Err(score) => return Ok(usable.note(score)),
    };
    let clusterings: Vec<Grouping> = grid.iter().map(|g| Grouping::new(&usable.codes(g))).collect();
    let best = |label: usize| {
        let cells = &groups.members[label];
        clusterings
            .iter()
            .flat_map(|clusters| {
                let mut hits = vec![0usize; clusters.n()];
                cells.iter().for_each(|&i| hits[clusters.codes[i] as usize] += 1);
                let sizes = clusters.members.iter().map(Vec::len);
                let f1 = |(hits, size): (usize, usize)| 2.0 * hits as f64 / (size + cells.len()) as f64;
                hits.into_iter().zip(sizes).map(f1).collect::<Vec<_>>()
            })
            .fold(0.0, f64::max)
    };
    Ok(usable.note(mean_of(chosen.into_iter().map(|l| Some(best(l))), "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Labels 0 and 1 in both batches, label 2 in one.
    const LABELS: [u32; 9] = [0, 0, 0, 1, 1, 1, 2, 2, 2];
    const BATCHES: [u32; 9] = [0, 1, 0, 1, 0, 1, 0, 0, 0];

    #[test]
    fn binary_silhouette_by_hand() {
        let x = Matrix::new(9, 1, vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.0, 4.0, 4.0]).unwrap();
        assert_eq!(isolated_labels(&x, &LABELS, &BATCHES).unwrap().value, Some(1.0));
        let x = Matrix::new(9, 1, vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.0, 4.0, 0.0]).unwrap();
        // Rest: a = 0, b = 8/3, s = 1. Isolated at 4: a = 2, b = 4, s = 1/2, twice. At 0: a = 4, b = 0, s = -1.
        let want = 0.5 * ((6.0 + 1.0 - 1.0) / 9.0 + 1.0);
        let score = isolated_labels(&x, &LABELS, &BATCHES).unwrap();
        assert!((score.value.unwrap() - want).abs() < 1e-12 && score.n_used == 1);
    }

    #[test]
    fn f1_takes_the_best_cluster_of_any_resolution() {
        let grid = vec![vec![0; 9], vec![0, 0, 0, 0, 0, 7, 7, 7, 7]];
        let score = isolated_labels_f1(&grid, &LABELS, &BATCHES).unwrap();
        assert!((score.value.unwrap() - 6.0 / 7.0).abs() < 1e-12);
        assert!(isolated_labels_f1(&[], &LABELS, &BATCHES).unwrap().value.is_none());
        assert!(isolated_labels_f1(&[vec![0; 2]], &LABELS, &BATCHES).is_err());
    }

    #[test]
    fn edges_have_reasons() {
        let x = Matrix::new(9, 1, (0..9).map(|v| v as f32).collect()).unwrap();
        let all = isolated_labels(&x, &LABELS, &[0, 1, 0, 1, 0, 1, 0, 1, 0]).unwrap();
        assert!(all.value.is_none() && all.reason.unwrap().contains("isolated"));
        assert!(isolated_labels(&x, &[0; 9], &BATCHES).unwrap().value.is_none());
        assert!(isolated_labels(&Matrix::zeros(9, 1), &LABELS, &BATCHES).unwrap().value.is_none());
        assert!(isolated_labels(&Matrix::zeros(0, 1), &[], &[]).unwrap().value.is_none());
    }
}
