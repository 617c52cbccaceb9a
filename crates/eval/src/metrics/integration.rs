//! All integration metrics of one embedding at once, with shared neighbours and clusterings.
//!
//! Everything is computed from the embedding that is given: neighbours and clusterings are never taken from elsewhere,
//! so that a stale graph of another representation cannot be scored.

use super::clusters::{best_agreement, kmeans_agreement, leiden_grid};
use super::connectivity::{self, Edges, graph_connectivity};
use super::definition::{Definition, Need};
use super::groups::Usable;
use super::neighbours::{KNN_PURITY, KNN_PURITY_ACROSS, knn_purity, knn_purity_across_batches};
use super::score::{Named, Score};
use super::{clusters, isolated, kbet, lisi, pcr, silhouette};
use microtome_core::{Direction, Matrix, Result};
use microtome_numerics::graph::{Graph, umap_weights};
use microtome_numerics::kmeans::KMeansOptions;
use microtome_numerics::knn::{Metric, exact_knn};

/// scib-metrics' total.
pub static SCIB_TOTAL: Definition = Definition {
    id: "scib_total",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Embedding, Need::Labels, Need::Batches],
    words: "0.6 times the mean of isolated_labels, k-means NMI and ARI, silhouette_label, clisi_knn plus 0.4 times the mean of \
            bras, ilisi_knn, kbet_per_label, graph_connectivity, pcr_comparison; of those that have a number",
    citation: "Luecken et al. 2022, Nat. Methods 19:41; members as scib-metrics 0.5.10",
    deviations: "those of its members; kept for comparison only",
};

pub(super) static DEFINITIONS: &[&Definition] = &[&SCIB_TOTAL];

/// What is scored.
#[derive(Clone, Copy, Debug)]
pub struct Integration<'a> {
    /// `[cell, feature]`.
    pub embedding: &'a Matrix,
    /// Space before integration, for [`pcr::PCR_COMPARISON`].
    pub before: Option<&'a Matrix>,
    /// Cell type of every cell.
    pub labels: &'a [u32],
    /// Batch of every cell.
    pub batches: &'a [u32],
    /// Neighbours for purity.
    pub k_purity: usize,
    /// Seed of clusterings and eigenvectors.
    pub seed: u64,
}

/// Every integration metric. Cells without a label or batch, or with values that are not finite, are left out of all of
/// them alike and counted. Errors when lengths differ.
pub fn integration(input: &Integration<'_>) -> Result<Vec<Named>> {
    let n = input.labels.len();
    let spaces: Vec<&Matrix> = [Some(input.embedding), input.before].into_iter().flatten().collect();
    let usable = Usable::of(n, &spaces, &[input.labels, input.batches])?;
    let x = usable.rows(input.embedding);
    let (labels, batches) = (usable.codes(input.labels), usable.codes(input.batches));
    let mut out: Vec<Named> = vec![
        (&silhouette::SILHOUETTE_LABEL, silhouette::silhouette_label(&x, &labels)?),
        (&silhouette::BRAS, silhouette::bras(&x, &labels, &batches)?),
        (&silhouette::SILHOUETTE_BATCH, silhouette::silhouette_batch(&x, &labels, &batches)?),
        (&isolated::ISOLATED_LABELS, isolated::isolated_labels(&x, &labels, &batches)?),
        (&pcr::PCR, pcr::pcr(&x, &batches)?),
    ];
    if let Some(before) = input.before {
        let before = usable.rows(before);
        out.push((&pcr::PCR_COMPARISON, pcr::pcr_comparison(&before, &x, &batches)?));
    }
    let (by_cell, by_label) = lisi::cilisi(&x, &labels, &batches)?;
    out.extend([(&lisi::CILISI, by_cell), (&lisi::CILISI_BY_LABEL, by_label)]);
    let kmeans = kmeans_agreement(&x, &labels, &KMeansOptions { seed: input.seed, ..KMeansOptions::default() })?;
    out.extend([(&clusters::NMI_KMEANS, kmeans.nmi), (&clusters::ARI_KMEANS, kmeans.ari)]);
    if input.k_purity > 0 {
        let across = knn_purity_across_batches(&x, &labels, &batches, input.k_purity)?;
        out.push((&KNN_PURITY_ACROSS, across));
    }
    on_neighbours(&x, &labels, &batches, input, &mut out)?;
    let total = scib_total(&out);
    out.push((&SCIB_TOTAL, total));
    for (_, score) in &mut out {
        *score = usable.note(std::mem::take(score));
    }
    Ok(out)
}

/// The metrics of one neighbour list, cut to each one's length.
fn on_neighbours(
    x: &Matrix,
    labels: &[u32],
    batches: &[u32],
    input: &Integration<'_>,
    out: &mut Vec<Named>,
) -> Result<()> {
    let most = x.rows().saturating_sub(1);
    if most < 2 {
        let none = || Score::undefined("fewer than three cells");
        out.extend([(&lisi::ILISI, none()), (&lisi::CLISI, none()), (&kbet::KBET_PER_LABEL, none())]);
        out.extend([(&connectivity::GRAPH_CONNECTIVITY, none()), (&KNN_PURITY, none())]);
        return Ok(());
    }
    let knn = exact_knn(x, lisi::NEIGHBOURS.max(input.k_purity).min(most), Metric::Euclidean)?;
    let cut = |k: usize| knn.truncate(k.clamp(1, most));
    let near = cut(connectivity::NEIGHBOURS)?;
    let wide = cut(lisi::NEIGHBOURS)?;
    out.extend([
        (&lisi::ILISI, lisi::ilisi_knn(&wide, batches)?),
        (&lisi::CLISI, lisi::clisi_knn(&wide, labels)?),
        (&kbet::KBET_PER_LABEL, kbet::kbet_per_label(&cut(kbet::NEIGHBOURS)?, labels, batches, input.seed)?),
        (&connectivity::GRAPH_CONNECTIVITY, graph_connectivity(&near, labels, Edges::Directed)?),
        (&connectivity::GRAPH_CONNECTIVITY_WEAK, graph_connectivity(&near, labels, Edges::Undirected)?),
        (&KNN_PURITY, knn_purity(&cut(input.k_purity)?, labels)?),
    ]);
    let (best, f1) = if silhouette::constant(x) {
        let none = || Score::undefined("every cell is at the same place");
        (clusters::ClusterAgreement { nmi: none(), ari: none(), chosen: 0, n_clusters: 0 }, none())
    } else {
        let grid = leiden_grid(&umap_weights(&near)?, input.seed)?;
        (best_agreement(&grid, labels)?, isolated::isolated_labels_f1(&grid, labels, batches)?)
    };
    out.extend([
        (&clusters::NMI_LEIDEN, best.nmi),
        (&clusters::ARI_LEIDEN, best.ari),
        (&isolated::ISOLATED_LABELS_F1, f1),
    ]);
    Ok(())
}

/// The integration metrics of a method that gives a graph and no coordinates; the others do not exist for it. Cells without a
/// label or batch must not be in the graph. Errors when lengths differ.
pub fn graph_integration(graph: &Graph, labels: &[u32], batches: &[u32], seed: u64) -> Result<Vec<Named>> {
    let grid = leiden_grid(graph, seed)?;
    let best = best_agreement(&grid, labels)?;
    Ok(vec![
        (&connectivity::GRAPH_CONNECTIVITY, connectivity::connectivity_of_graph(graph, labels)?),
        (&clusters::NMI_LEIDEN, best.nmi),
        (&clusters::ARI_LEIDEN, best.ari),
        (&isolated::ISOLATED_LABELS_F1, isolated::isolated_labels_f1(&grid, labels, batches)?),
    ])
}

/// Weighted mean of the two sides of scib-metrics; no number where a side has none.
fn scib_total(scores: &[Named]) -> Score {
    let mean = |members: &[&Definition]| {
        let known = scores.iter().filter(|(d, _)| members.iter().any(|m| m.id == d.id)).filter_map(|(_, s)| s.value);
        let known: Vec<f64> = known.collect();
        (!known.is_empty()).then(|| (known.iter().sum::<f64>() / known.len() as f64, known.len()))
    };
    let bio = mean(&[
        &isolated::ISOLATED_LABELS,
        &clusters::NMI_KMEANS,
        &clusters::ARI_KMEANS,
        &silhouette::SILHOUETTE_LABEL,
        &lisi::CLISI,
    ]);
    let batch = mean(&[
        &silhouette::BRAS,
        &lisi::ILISI,
        &kbet::KBET_PER_LABEL,
        &connectivity::GRAPH_CONNECTIVITY,
        &pcr::PCR_COMPARISON,
    ]);
    match (bio, batch) {
        (Some((bio, a)), Some((batch, b))) => {
            Score::new(0.6 * bio + 0.4 * batch, a + b).excluding(10 - a - b, "members without a number")
        }
        _ => Score::undefined("no member of one side has a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Groups;
    use microtome_numerics::resample::Rng;

    fn scores(x: &Matrix, before: Option<&Matrix>, labels: &[u32], batches: &[u32]) -> Vec<Named> {
        integration(&Integration { embedding: x, before, labels, batches, k_purity: 15, seed: 0 }).unwrap()
    }

    fn value(scores: &[Named], d: &Definition) -> Option<f64> {
        scores.iter().find(|(e, _)| e.id == d.id).unwrap().1.value
    }

    fn cells(n: usize, shift: f32) -> (Matrix, Vec<u32>, Vec<u32>) {
        let mut rng = Rng::new(4);
        let labels: Vec<u32> = (0..n).map(|i| (i % 4) as u32).collect();
        let batches: Vec<u32> = (0..n).map(|i| (i / 4 % 2) as u32).collect();
        let mut x = Matrix::zeros(n, 6);
        for i in 0..n {
            x.row_mut(i).iter_mut().for_each(|v| *v = rng.normal() as f32);
            x.row_mut(i)[labels[i] as usize] += 15.0;
            x.row_mut(i)[5] += shift * batches[i] as f32;
        }
        (x, labels, batches)
    }

    #[test]
    fn integrated_cells_beat_unintegrated_ones_and_stay_in_range() {
        let (bad, labels, batches) = cells(640, 12.0);
        let (good, ..) = cells(640, 0.0);
        let (a, b) = (scores(&good, Some(&bad), &labels, &batches), scores(&bad, Some(&bad), &labels, &batches));
        for d in [&silhouette::BRAS, &lisi::ILISI, &lisi::CILISI, &kbet::KBET_PER_LABEL, &pcr::PCR_COMPARISON, &SCIB_TOTAL]
        {
            assert!(value(&a, d).unwrap() > value(&b, d).unwrap() + 0.1, "{}", d.id);
        }
        for d in [&lisi::CLISI, &clusters::ARI_LEIDEN, &clusters::ARI_KMEANS, &KNN_PURITY, &KNN_PURITY_ACROSS] {
            assert!(value(&a, d).unwrap() > 0.99, "{}", d.id);
        }
        for (d, score) in a.iter().chain(&b) {
            if let Some(v) = score.value {
                assert!(d.range.0 <= v && v <= d.range.1, "{} {v}", d.id);
            } else {
                assert!(score.reason.is_some(), "{}", d.id);
            }
        }
    }

    #[test]
    fn every_metric_is_blind_to_order_and_names() {
        let (x, labels, batches) = cells(400, 3.0);
        let want = scores(&x, Some(&x), &labels, &batches);
        let order = Rng::new(6).permutation(400);
        let pick = |v: &[u32]| -> Vec<u32> { order.iter().map(|&i| 30 - v[i]).collect() };
        let moved = x.select_rows(&order);
        let got = scores(&moved, Some(&moved), &pick(&labels), &pick(&batches));
        for ((d, a), (_, b)) in want.iter().zip(&got) {
            assert_eq!((a.n_used, a.n_excluded), (b.n_used, b.n_excluded), "{}", d.id);
            match (a.value, b.value) {
                (Some(a), Some(b)) => assert!((a - b).abs() < 1e-6, "{} {a} {b}", d.id),
                (a, b) => assert_eq!(a, b, "{}", d.id),
            }
        }
    }

    #[test]
    fn nothing_panics_and_no_number_lacks_a_reason() {
        let (x, labels, batches) = cells(40, 1.0);
        let mut odd: Vec<(Matrix, Vec<u32>, Vec<u32>)> = vec![
            (Matrix::zeros(0, 3), vec![], vec![]),
            (Matrix::zeros(40, 0), labels.clone(), batches.clone()),
            (Matrix::zeros(40, 3), labels.clone(), batches.clone()),
            (x.clone(), vec![0; 40], batches.clone()),
            (x.clone(), labels.clone(), vec![0; 40]),
            (x.clone(), (0..40).collect(), batches.clone()),
            (x.clone(), labels.clone(), (0..40).collect()),
            (x.clone(), vec![Groups::MISSING; 40], batches.clone()),
            (x.select_rows(&[3; 40]), labels.clone(), batches.clone()),
        ];
        for n in 1..=12 {
            let few: Vec<usize> = (0..n).collect();
            odd.push((x.select_rows(&few), labels[..n].to_vec(), batches[..n].to_vec()));
        }
        let doubled: Vec<usize> = (0..40).map(|i| i / 2).collect();
        let pick = |v: &[u32]| -> Vec<u32> { doubled.iter().map(|&i| v[i]).collect() };
        odd.push((x.select_rows(&doubled), pick(&labels), pick(&batches)));
        let mut bad = x.clone();
        bad.row_mut(1)[0] = f32::NAN;
        bad.row_mut(2)[0] = f32::NEG_INFINITY;
        odd.push((bad, labels.clone(), batches.clone()));
        for (case, (x, labels, batches)) in odd.iter().enumerate() {
            for (d, score) in scores(x, Some(x), labels, batches) {
                assert!(score.value.is_some_and(f64::is_finite) || score.reason.is_some(), "{case} {}", d.id);
                assert!(!(case == 2 && score.value.is_some()), "constant embedding has {}", d.id);
            }
        }
        let excluded = scores(&odd[odd.len() - 1].0, None, &labels, &batches);
        assert!(excluded.iter().all(|(_, s)| s.n_excluded >= 2));
    }
}
