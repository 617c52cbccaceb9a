//! kBET: whether the batches around each cell look like the batches of all cells.

use super::definition::{Definition, Need};
use super::groups::{Grouping, Usable};
use super::place::all_at_one_place;
use super::score::{Score, mean_of, same_number};
use crate::Groups;
use microtome_core::{Direction, Matrix, Result};
use microtome_numerics::graph::{Graph, components, umap_weights};
use microtome_numerics::knn::{Knn, Metric, exact_knn};
use microtome_numerics::{DiffusionMap, diffusion_map};
use rayon::prelude::*;
use statrs::distribution::{ChiSquared, ContinuousCDF};

/// Neighbours that the reference's default of 50, self included, comes to.
pub const NEIGHBOURS: usize = 49;

/// Acceptance rate within labels.
pub static KBET_PER_LABEL: Definition = Definition {
    id: "kbet_per_label",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Embedding, Need::Labels, Need::Batches],
    words: "Share of cells whose neighbourhood within their label has the label's batch composition (chi-squared, \
            p >= 0.05), mean over labels",
    citation: "Buettner et al. 2019, Nat. Methods 16:43; per label on a diffusion map as YosefLab/scib-metrics@5e78759",
    deviations: "number of diffusion components is chosen for every label anew (reference: once lowered by a small \
                 label it stays low, so that the order of labels matters); stationary components have weight 1; exact \
                 neighbours",
};

pub(super) static DEFINITIONS: &[&Definition] = &[&KBET_PER_LABEL];

const ALPHA: f64 = 0.05;
const COMPONENTS: usize = 100;
const LEAST_CELLS: usize = 10;

/// Upper tail of the chi-squared statistic of observed counts against frequencies; `None` with fewer than two groups.
fn p_value(observed: &[f64], frequency: &[f64]) -> Option<f64> {
    let n: f64 = observed.iter().sum();
    let statistic: f64 = observed.iter().zip(frequency).map(|(o, f)| (o - f * n).powi(2) / (f * n)).sum();
    let law = ChiSquared::new(observed.len() as f64 - 1.0).ok()?;
    statistic.is_finite().then(|| law.sf(statistic))
}

/// Share of cells accepted, `p >= 0.05`, when neighbourhoods (the cell and its list) are compared with the composition
/// of all cells. Errors when lengths differ.
pub fn acceptance(knn: &Knn, batches: &[u32]) -> Result<Score> {
    same_number("batches and neighbour lists", knn.n, batches.len())?;
    let missing = batches.iter().filter(|&&b| b == Groups::MISSING).count();
    if missing > 0 {
        return Ok(Score::undefined("cells without a batch").excluding(missing, "cells without a label or batch"));
    }
    let groups = Grouping::new(batches);
    if groups.n() < 2 {
        return Ok(Score::undefined("fewer than two batches"));
    }
    let frequency: Vec<f64> = groups.members.iter().map(|m| m.len() as f64 / knn.n as f64).collect();
    let accepted = (0..knn.n)
        .into_par_iter()
        .filter(|&i| {
            let mut observed = vec![0.0; groups.n()];
            observed[groups.codes[i] as usize] += 1.0;
            knn.row(i).0.iter().for_each(|&j| observed[groups.codes[j as usize] as usize] += 1.0);
            p_value(&observed, &frequency).is_some_and(|p| p >= ALPHA)
        })
        .count();
    Ok(Score::new(accepted as f64 / knn.n as f64, knn.n))
}

/// Neighbourhood size of a label: a quarter of the mean batch, from 10 to 70.
fn neighbourhood(cells: usize, batches: usize) -> usize {
    (cells / (4 * batches)).clamp(10, 70)
}

/// Diffusion coordinates with the number of steps summed out: vectors times `l / (1 - l)`; stationary ones as they are.
fn coordinates(map: &DiffusionMap) -> Matrix {
    let mut out = map.vectors.clone();
    let weights: Vec<f32> =
        map.values.iter().map(|&l| if l >= 1.0 - f32::EPSILON { 1.0 } else { l / (1.0 - l) }).collect();
    for i in 0..out.rows() {
        out.row_mut(i).iter_mut().zip(&weights).for_each(|(v, w)| *v *= w);
    }
    out
}

/// Score of one label: its part of the graph and its batches. `None` where the label is too small to say.
fn one_label(graph: &Graph, batches: &[u32], seed: u64) -> Result<Option<f64>> {
    let n_batches = Grouping::new(batches).n();
    if batches.len() < LEAST_CELLS || n_batches < 2 {
        return Ok(None);
    }
    let k = neighbourhood(batches.len(), n_batches);
    let parts = components(graph);
    if parts.n() == 1 {
        return rate(graph, batches, k, seed);
    }
    let kept: Vec<usize> =
        (0..batches.len()).filter(|&i| parts.sizes[parts.labels[i] as usize] >= 3 * k).collect();
    if 4 * kept.len() < 3 * batches.len() {
        // The label has fallen apart: nothing of it is mixed.
        return Ok(Some(0.0));
    }
    let batches: Vec<u32> = kept.iter().map(|&i| batches[i]).collect();
    rate(&graph.subgraph(&kept)?, &batches, k, seed)
}

fn rate(graph: &Graph, batches: &[u32], k: usize, seed: u64) -> Result<Option<f64>> {
    let n = batches.len();
    let map = diffusion_map(graph, COMPONENTS.min(n - 1), seed)?;
    let knn = exact_knn(&coordinates(&map), k.min(n - 1), Metric::Euclidean)?;
    Ok(acceptance(&knn, batches)?.value)
}

/// Mean acceptance rate over labels, each on the diffusion map of its part of the neighbour graph.
///
/// `knn` holds [`NEIGHBOURS`] neighbours by default. Labels with fewer than 10 cells or one batch are left out; a label
/// of which less than 75 % of the cells lie in parts of at least three neighbourhoods scores 0. Cells without a label or
/// batch do not take part. `n_used` counts labels. Errors when lengths differ.
pub fn kbet_per_label(knn: &Knn, labels: &[u32], batches: &[u32], seed: u64) -> Result<Score> {
    same_number("labels and neighbour lists", knn.n, labels.len())?;
    let usable = Usable::of(knn.n, &[], &[labels, batches])?;
    if all_at_one_place(knn) {
        return Ok(usable.note(Score::undefined("every cell is at the same place")));
    }
    let graph = umap_weights(knn)?;
    let groups = Grouping::new(&usable.codes(labels));
    let score = |members: &Vec<usize>| {
        let cells: Vec<usize> = members.iter().map(|&m| usable.cells[m]).collect();
        let within: Vec<u32> = cells.iter().map(|&i| batches[i]).collect();
        one_label(&graph.subgraph(&cells)?, &within, seed)
    };
    let scores: Result<Vec<_>> = groups.members.par_iter().map(score).collect();
    Ok(usable.note(mean_of(scores?, "labels with fewer than 10 cells or one batch")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_numerics::resample::Rng;

    #[test]
    fn golden_g9() {
        let p = p_value(&[8.0, 2.0], &[0.5, 0.5]).unwrap();
        assert!((p - 0.057_780).abs() < 1e-6 && p >= ALPHA);
        assert!(p_value(&[10.0], &[1.0]).is_none());
        assert_eq!(p_value(&[5.0, 5.0], &[0.5, 0.5]), Some(1.0));
    }

    fn blobs(n: usize, shift: f32) -> (Matrix, Vec<u32>, Vec<u32>) {
        let mut rng = Rng::new(8);
        let labels: Vec<u32> = (0..n as u32).map(|i| i % 2).collect();
        let batches: Vec<u32> = (0..n as u32).map(|i| (i / 2) % 2).collect();
        let mut x = Matrix::zeros(n, 5);
        for i in 0..n {
            x.row_mut(i).iter_mut().for_each(|v| *v = rng.normal() as f32);
            x.row_mut(i)[0] += 20.0 * labels[i] as f32;
            x.row_mut(i)[1] += shift * batches[i] as f32;
        }
        (x, labels, batches)
    }

    fn score(x: &Matrix, labels: &[u32], batches: &[u32]) -> Score {
        kbet_per_label(&exact_knn(x, NEIGHBOURS, Metric::Euclidean).unwrap(), labels, batches, 0).unwrap()
    }

    #[test]
    fn mixed_is_accepted_and_separated_is_not() {
        let (x, labels, batches) = blobs(800, 0.0);
        let mixed = score(&x, &labels, &batches);
        assert!(mixed.value.unwrap() > 0.85 && mixed.n_used == 2, "{mixed:?}");
        let (x, labels, batches) = blobs(800, 2.5);
        assert!(score(&x, &labels, &batches).value.unwrap() < 0.2);
        // Two components per label, both large enough to be looked at.
        let (x, labels, batches) = blobs(800, 50.0);
        assert!(score(&x, &labels, &batches).value.unwrap() < 0.05);
        // Labels in crumbs of twenty cells, smaller than three neighbourhoods.
        let (mut x, labels, batches) = blobs(800, 0.0);
        (0..800).for_each(|i| x.row_mut(i)[2] += 100.0 * ((i / 4) % 20) as f32);
        let knn = exact_knn(&x, 10, Metric::Euclidean).unwrap();
        assert_eq!(kbet_per_label(&knn, &labels, &batches, 0).unwrap().value, Some(0.0));
    }

    #[test]
    fn a_small_label_does_not_change_the_others() {
        let (x, mut labels, batches) = blobs(800, 1.0);
        let knn = exact_knn(&x, NEIGHBOURS, Metric::Euclidean).unwrap();
        // Twenty cells of label 1 become a label that sorts first, in the reference an order that changes label 0.
        let before = kbet_per_label(&knn, &labels, &batches, 0).unwrap().value.unwrap();
        labels.iter_mut().for_each(|l| *l += 1);
        (0..40).filter(|i| i % 2 == 1).for_each(|i| labels[i] = 0);
        let first = kbet_per_label(&knn, &labels, &batches, 0).unwrap();
        labels.iter_mut().for_each(|l| *l = if *l == 0 { 9 } else { *l });
        let last = kbet_per_label(&knn, &labels, &batches, 0).unwrap();
        assert!((first.value.unwrap() - last.value.unwrap()).abs() < 1e-12);
        assert!((0.0..=1.0).contains(&before) && first.n_used == 3);
    }

    #[test]
    fn edges_have_reasons() {
        let (x, labels, batches) = blobs(60, 0.0);
        let knn = exact_knn(&x, 20, Metric::Euclidean).unwrap();
        assert!(kbet_per_label(&knn, &labels, &[0; 60], 0).unwrap().value.is_none());
        assert!(kbet_per_label(&knn, &labels[1..], &batches, 0).is_err());
        let flat = exact_knn(&Matrix::zeros(60, 2), 20, Metric::Euclidean).unwrap();
        assert!(kbet_per_label(&flat, &labels, &batches, 0).unwrap().value.is_none());
        let mut gap = labels;
        gap[3] = Groups::MISSING;
        assert_eq!(kbet_per_label(&knn, &gap, &batches, 0).unwrap().n_excluded, 1);
        assert!(acceptance(&knn, &[0; 60]).unwrap().value.is_none());
    }
}
