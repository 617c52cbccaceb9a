//! Clusterings that metrics compare with labels: Leiden over a grid of resolutions, and k-means.
//!
//! Choosing the resolution that fits the labels best is optimistic; it is the field's convention, and the choice is
//! handed back so that it can be shown. Models and baselines go through the same choice.

use super::agreement::{agreement, nmi};
use super::definition::{Definition, Need};
use super::groups::{Grouping, Usable};
use super::score::{Score, same_number};
use super::silhouette::constant;
use microtome_core::{Direction, Matrix, Result};
use microtome_numerics::graph::Graph;
use microtome_numerics::kmeans::{KMeansOptions, kmeans};
use microtome_numerics::leiden::{LeidenOptions, leiden};
use rayon::prelude::*;

/// NMI of the Leiden clustering that has the best NMI.
pub static NMI_LEIDEN: Definition = Definition {
    id: "nmi_ari_cluster_labels_leiden_nmi",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Embedding, Need::Labels],
    words: "Normalised mutual information of labels and Leiden clusters, resolution 0.2..2.0 chosen by it",
    citation: "Luecken et al. 2022, Nat. Methods 19:41; YosefLab/scib-metrics@5e78759",
    deviations: "own Leiden, up to 20 iterations",
};

/// ARI of the same clustering.
pub static ARI_LEIDEN: Definition = Definition {
    id: "nmi_ari_cluster_labels_leiden_ari",
    range: (-0.5, 1.0),
    words: "Adjusted Rand index of labels and Leiden clusters, resolution 0.2..2.0 chosen by mutual information",
    ..NMI_LEIDEN
};

/// NMI of k-means clusters.
pub static NMI_KMEANS: Definition = Definition {
    id: "nmi_ari_cluster_labels_kmeans_nmi",
    words: "Normalised mutual information of labels and k-means clusters, as many as labels",
    deviations: "best of 10 starts (reference: one start)",
    ..NMI_LEIDEN
};

/// ARI of k-means clusters.
pub static ARI_KMEANS: Definition = Definition {
    id: "nmi_ari_cluster_labels_kmeans_ari",
    range: (-0.5, 1.0),
    words: "Adjusted Rand index of labels and k-means clusters, as many as labels",
    ..NMI_KMEANS
};

pub(super) static DEFINITIONS: &[&Definition] = &[&NMI_LEIDEN, &ARI_LEIDEN, &NMI_KMEANS, &ARI_KMEANS];

/// Resolutions of the grid: 0.2, 0.4 .. 2.0.
pub fn resolutions() -> Vec<f64> {
    (1..=10).map(|i| f64::from(i) / 5.0).collect()
}

/// Leiden clusters of `graph` (UMAP weights of 14 neighbours by convention) at each of [`resolutions`].
pub fn leiden_grid(graph: &Graph, seed: u64) -> Result<Vec<Vec<u32>>> {
    resolutions()
        .into_par_iter()
        .map(|resolution| {
            let options = LeidenOptions { resolution, seed, ..LeidenOptions::default() };
            leiden(graph, &options).map(|l| l.labels)
        })
        .collect()
}

/// Agreement of clusters with labels.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterAgreement {
    /// Normalised mutual information.
    pub nmi: Score,
    /// Adjusted Rand index.
    pub ari: Score,
    /// Which clustering of the grid was chosen; 0 where there is only one.
    pub chosen: usize,
    /// Clusters in it.
    pub n_clusters: usize,
}

/// The clustering of the grid with the best mutual information (the first of equals). Errors when lengths differ.
pub fn best_agreement(grid: &[Vec<u32>], labels: &[u32]) -> Result<ClusterAgreement> {
    let one_label = one_label(labels)?;
    let mut best: Option<(f64, usize)> = None;
    for (at, clusters) in grid.iter().enumerate() {
        if let Some(value) = nmi(labels, clusters)?.value
            && best.is_none_or(|(b, _)| value > b)
        {
            best = Some((value, at));
        }
    }
    let Some((_, chosen)) = best.filter(|_| !one_label) else {
        let none = Score::undefined(if one_label { "fewer than two labels" } else { "no clustering" });
        return Ok(ClusterAgreement { nmi: none.clone(), ari: none, chosen: 0, n_clusters: 0 });
    };
    let clusters = &grid[chosen];
    let [ari, nmi, _] = agreement(labels, clusters)?;
    Ok(ClusterAgreement {
        nmi,
        ari,
        chosen,
        n_clusters: Grouping::new(clusters).n(),
    })
}

fn one_label(labels: &[u32]) -> Result<bool> {
    let usable = Usable::of(labels.len(), &[], &[labels])?;
    Ok(Grouping::new(&usable.codes(labels)).n() < 2)
}

/// Agreement of labels with as many k-means clusters. Errors when lengths differ.
pub fn kmeans_agreement(x: &Matrix, labels: &[u32], options: &KMeansOptions) -> Result<ClusterAgreement> {
    same_number("labels and cells", x.rows(), labels.len())?;
    let usable = Usable::of(labels.len(), &[x], &[labels])?;
    let rows = usable.rows(x);
    let labels = usable.codes(labels);
    let k = Grouping::new(&labels).n();
    let reason = match k {
        0 | 1 => Some("fewer than two labels"),
        _ => constant(&rows).then_some("every cell is at the same place"),
    };
    if let Some(reason) = reason {
        let none = usable.note(Score::undefined(reason));
        return Ok(ClusterAgreement { nmi: none.clone(), ari: none, chosen: 0, n_clusters: 0 });
    }
    let clusters = kmeans(&rows, k, options)?.labels;
    let [ari, nmi, _] = agreement(&labels, &clusters)?;
    Ok(ClusterAgreement {
        nmi: usable.note(nmi),
        ari: usable.note(ari),
        chosen: 0,
        n_clusters: Grouping::new(&clusters).n(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_numerics::graph::umap_weights;
    use microtome_numerics::knn::{Metric, exact_knn};
    use microtome_numerics::resample::Rng;

    fn one_hot(n: usize, k: usize, noise: f64) -> (Matrix, Vec<u32>) {
        let mut rng = Rng::new(1);
        let mut x = Matrix::zeros(n, k);
        for i in 0..n {
            x.row_mut(i).iter_mut().for_each(|v| *v = (noise * rng.normal()) as f32);
            x.row_mut(i)[i % k] += 1.0;
        }
        (x, (0..n as u32).map(|i| i % k as u32).collect())
    }

    #[test]
    fn one_hot_labels_are_found_by_both() {
        for noise in [0.0, 0.05] {
            let (x, labels) = one_hot(240, 4, noise);
            let graph = umap_weights(&exact_knn(&x, 14, Metric::Euclidean).unwrap()).unwrap();
            let grid = leiden_grid(&graph, 0).unwrap();
            let best = best_agreement(&grid, &labels).unwrap();
            assert_eq!(best.ari.value, Some(1.0), "{best:?}");
            let k = kmeans_agreement(&x, &labels, &KMeansOptions::default()).unwrap();
            assert_eq!((k.ari.value, k.n_clusters), (Some(1.0), 4));
        }
    }

    #[test]
    fn shuffled_labels_are_not_found() {
        let (x, mut labels) = one_hot(600, 4, 0.1);
        Rng::new(3).shuffle(&mut labels);
        let k = kmeans_agreement(&x, &labels, &KMeansOptions::default()).unwrap();
        assert!(k.ari.value.unwrap().abs() < 0.02);
    }

    #[test]
    fn edges_have_reasons() {
        let (mut x, labels) = one_hot(20, 2, 0.1);
        let options = KMeansOptions::default();
        assert!(kmeans_agreement(&x, &[0; 20], &options).unwrap().ari.value.is_none());
        assert!(kmeans_agreement(&Matrix::zeros(20, 2), &labels, &options).unwrap().nmi.value.is_none());
        assert!(kmeans_agreement(&x, &labels[1..], &options).is_err());
        assert!(best_agreement(&[], &labels).unwrap().ari.value.is_none());
        assert!(best_agreement(&[vec![0; 20]], &[1; 20]).unwrap().nmi.value.is_none());
        x.row_mut(0)[0] = f32::NAN;
        assert_eq!(kmeans_agreement(&x, &labels, &options).unwrap().ari.n_excluded, 1);
    }
}
