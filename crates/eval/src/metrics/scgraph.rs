//! scGraph: whether distances between cell types agree with those seen within batches, where no batch effect can be.

use super::centroids::{Compare, LabelDistances, correlate};
use super::definition::{Definition, Need};
use super::groups::{Grouping, Usable};
use super::score::{Score, same_number};
use super::silhouette::constant;
use crate::Groups;
use microtome_core::{Counts, Direction, Matrix, Result};
use microtome_numerics::{highly_variable, pca_sparse};

/// Rank agreement.
pub static SCGRAPH_RANK: Definition = Definition {
    id: "scgraph_rank_pca",
    version: 1,
    direction: Direction::Higher,
    range: (-1.0, 1.0),
    needs: &[Need::Embedding, Need::Labels, Need::Reference],
    words: "Spearman correlation of a cell type's distances to all others with the consensus of PCA spaces of single \
            batches, mean over types; favours spaces like PCA",
    citation: "Wang, Leskovec and Regev 2025, Nat. Biotechnol.; Genentech/Islander@4fbf0d9",
    deviations: "the pair of a type with itself is dropped unless asked for; no number below five types",
};

/// Linear agreement.
pub static SCGRAPH_CORR: Definition = Definition {
    id: "scgraph_corr_pca",
    words: "Pearson correlation of a cell type's distances to all others with the consensus of PCA spaces of single \
            batches, mean over types; favours spaces like PCA",
    ..SCGRAPH_RANK
};

/// Linear agreement, near types counting more.
pub static SCGRAPH_WEIGHTED: Definition = Definition {
    id: "scgraph_corr_weighted",
    words: "Pearson correlation weighted by inverse consensus distance of a cell type's distances to all others with the \
            consensus of PCA spaces of single batches, mean over types; favours spaces like PCA",
    ..SCGRAPH_RANK
};

pub(super) static DEFINITIONS: &[&Definition] = &[&SCGRAPH_RANK, &SCGRAPH_CORR, &SCGRAPH_WEIGHTED];

/// Share of values cut at each end of a column before the mean.
const TRIM: f64 = 0.05;
const LEAST_IN_TYPE: usize = 10;
const LEAST_IN_BATCH: usize = 100;
const LEAST_TYPES: usize = 5;
const N_GENES: usize = 1000;
const N_COMPONENTS: usize = 10;

/// Consensus over batches: mean of the distances of all batches in which both types occur. Each batch is a space and
/// the labels of its rows, complete.
pub fn consensus(batches: &[(Matrix, Vec<u32>)]) -> Result<LabelDistances> {
    let mut spaces = Vec::with_capacity(batches.len());
    for (x, labels) in batches {
        same_number("labels and rows of a batch", x.rows(), labels.len())?;
        spaces.push(LabelDistances::of(x, labels, TRIM));
    }
    let all: Vec<u32> = spaces.iter().flat_map(|s| s.labels.iter().copied()).collect();
    let labels = Grouping::new(&all).original;
    let pairs = labels.iter().flat_map(|&r| labels.iter().map(move |&c| (r, c)));
    let values = pairs
        .map(|(r, c)| {
            let seen: Vec<f64> = spaces.iter().filter_map(|s| s.between(r, c)).collect();
            (!seen.is_empty()).then(|| seen.iter().sum::<f64>() / seen.len() as f64)
        })
        .collect();
    let mut out = LabelDistances { labels, values };
    out.scale_columns();
    Ok(out)
}

/// The consensus as published: per batch of at least 100 cells, 1000 highly variable genes and 10 principal components
/// of `log_normalised`; types of at least 10 cells. Errors when lengths differ or values are not finite.
pub fn reference(log_normalised: &Counts, labels: &[u32], batches: &[u32], seed: u64) -> Result<LabelDistances> {
    same_number("labels and cells", log_normalised.n_cells(), labels.len())?;
    let usable = Usable::of(labels.len(), &[], &[labels, batches])?;
    let frequent = frequent(&usable, labels);
    let groups = Grouping::new(&usable.codes(batches));
    let mut spaces = Vec::new();
    for members in groups.members.iter().filter(|m| m.len() >= LEAST_IN_BATCH) {
        let cells: Vec<usize> = members.iter().map(|&m| usable.cells[m]).collect();
        let counts = log_normalised.select_cells(&cells);
        let genes = highly_variable(&counts, N_GENES.min(counts.n_genes()))?;
        let counts = select_genes(&counts, &genes)?;
        let k = N_COMPONENTS.min(cells.len() - 1).min(genes.len());
        let scores = pca_sparse(&counts, k, seed)?.scores;
        let kept: Vec<usize> = (0..cells.len()).filter(|&i| frequent.binary_search(&labels[cells[i]]).is_ok()).collect();
        let labels = kept.iter().map(|&i| labels[cells[i]]).collect();
        spaces.push((scores.select_rows(&kept), labels));
    }
    consensus(&spaces)
}

fn select_genes(counts: &Counts, genes: &[usize]) -> Result<Counts> {
    let mut place = vec![u32::MAX; counts.n_genes()];
    let mut sorted = genes.to_vec();
    sorted.sort_unstable();
    sorted.iter().enumerate().for_each(|(at, &g)| place[g] = at as u32);
    let (mut indptr, mut indices, mut values) = (vec![0], vec![], vec![]);
    for cell in 0..counts.n_cells() {
        let (g, v) = counts.row(cell);
        for (&g, &v) in g.iter().zip(v) {
            if place[g as usize] != u32::MAX {
                indices.push(place[g as usize]);
                values.push(v);
            }
        }
        indptr.push(indices.len());
    }
    Counts::new(genes.len(), indptr, indices, values)
}

/// Labels with enough cells, rising.
fn frequent(usable: &Usable, labels: &[u32]) -> Vec<u32> {
    let groups = Grouping::new(&usable.codes(labels));
    let enough = groups.original.iter().zip(&groups.members).filter(|(_, m)| m.len() >= LEAST_IN_TYPE);
    enough.map(|(&label, _)| label).collect()
}

/// The three readings of scGraph; `n_used` counts types.
#[derive(Clone, Debug, PartialEq)]
pub struct ScGraph {
    /// [`SCGRAPH_RANK`].
    pub rank: Score,
    /// [`SCGRAPH_CORR`].
    pub corr: Score,
    /// [`SCGRAPH_WEIGHTED`].
    pub weighted: Score,
}

/// Agreement of an embedding with the consensus. `keep_self` keeps each type's pair with itself, as published. Cells of
/// types with fewer than 10 cells are left out. Errors when lengths differ.
pub fn scgraph(x: &Matrix, labels: &[u32], consensus: &LabelDistances, keep_self: bool) -> Result<ScGraph> {
    let usable = Usable::of(labels.len(), &[x], &[labels])?;
    let frequent = frequent(&usable, labels);
    let known = |l: &u32| frequent.binary_search(l).is_ok() && consensus.labels.binary_search(l).is_ok();
    let masked: Vec<u32> = labels.iter().map(|l| if known(l) { *l } else { Groups::MISSING }).collect();
    let kept = Usable::of(labels.len(), &[x], &[&masked])?;
    let (rows, codes) = (kept.rows(x), kept.codes(&masked));
    let rare = usable.cells.len() - kept.cells.len();
    let n_types = Grouping::new(&codes).n();
    let reason = if consensus.labels.is_empty() {
        Some(format!("no consensus: no batch has {LEAST_IN_BATCH} cells"))
    } else if n_types < LEAST_TYPES {
        Some(format!("{n_types} cell types; fewer than {LEAST_TYPES} say nothing"))
    } else {
        constant(&rows).then(|| "every cell is at the same place".into())
    };
    let note = |score: Score| usable.note(score).excluding(rare, "cells of rare types or types without a reference");
    if let Some(reason) = reason {
        let none = note(Score::undefined(reason));
        return Ok(ScGraph { rank: none.clone(), corr: none.clone(), weighted: none });
    }
    let got = LabelDistances::of(&rows, &codes, TRIM);
    let score = |compare| correlate(&got, consensus, compare, keep_self).map(note);
    Ok(ScGraph {
        rank: score(Compare::Spearman)?,
        corr: score(Compare::Pearson)?,
        weighted: score(Compare::WeightedPearson)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_numerics::resample::Rng;

    fn types(n: usize, shift: f64) -> (Matrix, Vec<u32>, Vec<u32>) {
        let mut rng = Rng::new(3);
        let centres: Vec<f64> = (0..8 * 3).map(|_| 10.0 * rng.normal()).collect();
        let (mut data, mut labels, mut batches) = (vec![], vec![], vec![]);
        for i in 0..n {
            let (l, b) = (i % 8, (i / 8) % 2);
            labels.push(l as u32);
            batches.push(b as u32);
            data.extend((0..3).map(|c| (centres[l * 3 + c] + 0.1 * rng.normal() + shift * b as f64) as f32));
        }
        (Matrix::new(n, 3, data).unwrap(), labels, batches)
    }

    fn by_batch(x: &Matrix, labels: &[u32], batches: &[u32]) -> Vec<(Matrix, Vec<u32>)> {
        (0..2)
            .map(|b| {
                let cells: Vec<usize> = (0..labels.len()).filter(|&i| batches[i] == b).collect();
                (x.select_rows(&cells), cells.iter().map(|&i| labels[i]).collect())
            })
            .collect()
    }

    #[test]
    fn the_same_space_agrees_and_a_random_one_does_not() {
        let (x, labels, batches) = types(480, 30.0);
        let reference = consensus(&by_batch(&x, &labels, &batches)).unwrap();
        let good = scgraph(&x, &labels, &reference, false).unwrap();
        for score in [&good.rank, &good.corr, &good.weighted] {
            assert!(score.value.unwrap() > 0.98 && score.n_used == 8, "{score:?}");
        }
        let mut rng = Rng::new(9);
        let noise = Matrix::new(480, 3, (0..1440).map(|_| rng.normal() as f32).collect()).unwrap();
        let bad = scgraph(&noise, &labels, &reference, false).unwrap();
        assert!(bad.corr.value.unwrap() < 0.5);
        // The pair with itself alone makes a random space look better.
        let flattered = scgraph(&noise, &labels, &reference, true).unwrap();
        assert!(flattered.corr.value.unwrap() > bad.corr.value.unwrap() + 0.1);
        assert_eq!(flattered.weighted, bad.weighted);
    }

    #[test]
    fn edges_have_reasons() {
        let (x, labels, batches) = types(480, 0.0);
        let reference = consensus(&by_batch(&x, &labels, &batches)).unwrap();
        assert!(scgraph(&Matrix::zeros(480, 2), &labels, &reference, false).unwrap().rank.value.is_none());
        let four: Vec<u32> = labels.iter().map(|l| l % 4).collect();
        let few = scgraph(&x, &four, &reference, false).unwrap().rank;
        assert!(few.value.is_none() && few.reason.unwrap().contains("4 cell types"));
        let mut rare = labels.clone();
        (0..480).filter(|i| i % 8 == 7 && i / 8 > 3).for_each(|i| rare[i] = 0);
        let score = scgraph(&x, &rare, &reference, false).unwrap().corr;
        assert_eq!((score.n_used, score.n_excluded), (7, 4));
        assert!(scgraph(&x, &labels[1..], &reference, false).is_err());
        assert!(consensus(&[(x, vec![0])]).is_err());
    }

    #[test]
    fn reference_from_counts_skips_small_batches_and_rare_types() {
        let mut rng = Rng::new(6);
        let (n, genes) = (260, 40);
        let (mut indptr, mut indices, mut values) = (vec![0], vec![], vec![]);
        let labels: Vec<u32> = (0..n).map(|i| if i < 4 { 9 } else { i as u32 % 6 }).collect();
        let batches: Vec<u32> = (0..n).map(|i| u32::from(i >= 130) + u32::from(i >= 255)).collect();
        for i in 0..n {
            for g in 0..genes {
                let mean = if g % 6 == i % 6 { 3.0 } else { 0.4 };
                indices.push(g as u32);
                values.push((mean + 0.2 * rng.normal()).max(0.0) as f32);
            }
            indptr.push(indices.len());
        }
        let counts = Counts::new(genes, indptr, indices, values).unwrap();
        let d = reference(&counts, &labels, &batches, 0).unwrap();
        assert_eq!(d.labels, [0, 1, 2, 3, 4, 5]);
        assert!(d.values.iter().all(Option::is_some));
    }
}
