//! Attribute Learning Index: whether clusters of gene embeddings are groups of genes that share an attribute.

use super::agreement::agreement;
use super::definition::{Definition, Need};
use super::groups::{Grouping, Usable};
use super::score::{Score, same_number};
use super::silhouette::constant;
use microtome_core::{Direction, Matrix, Result};
use microtome_numerics::kmeans::{KMeansOptions, kmeans};
use microtome_numerics::resample::{Rng, permutation_p};
use rayon::prelude::*;

/// Mean of ARI, FMI and NMI of clusters and attribute groups.
pub static ATTRIBUTE_LEARNING_INDEX: Definition = Definition {
    id: "attribute_learning_index",
    version: 1,
    direction: Direction::Higher,
    range: (-0.2, 1.0),
    needs: &[Need::Embedding, Need::Labels],
    words: "Mean of adjusted Rand, Fowlkes-Mallows and mutual information of k-means clusters with attribute groups, mean \
            over seeds",
    citation: "GeneRAIN (suzheng/GeneRAIN@f50e70e)",
    deviations: "the clustering is not published: k-means with as many clusters as groups, one start per seed; a \
                 permutation null is reported beside it",
};

pub(super) static DEFINITIONS: &[&Definition] = &[&ATTRIBUTE_LEARNING_INDEX];

/// Choices of [`attribute_learning_index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeOptions {
    /// Clusterings.
    pub n_seeds: usize,
    /// Permutations of the groups for the null.
    pub n_permutations: usize,
    /// Seed of both.
    pub seed: u64,
}

impl Default for AttributeOptions {
    fn default() -> Self {
        Self { n_seeds: 10, n_permutations: 100, seed: 0 }
    }
}

/// The index and what chance would give.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeIndex {
    /// Mean over seeds; `n_used` counts rows.
    pub score: Score,
    /// Standard deviation over seeds; `None` with fewer than two.
    pub seed_sd: Option<f64>,
    /// Mean with permuted groups; `None` without permutations.
    pub null_mean: Option<f64>,
    /// Share of permutations that reach the index, `(1 + reached) / (1 + permutations)`.
    pub p: Option<f64>,
}

/// Clusters the rows of `x` as often as there are seeds and compares with `groups`. Rows without a group are left out.
/// Errors when lengths differ.
pub fn attribute_learning_index(x: &Matrix, groups: &[u32], options: &AttributeOptions) -> Result<AttributeIndex> {
    same_number("groups and rows", x.rows(), groups.len())?;
    let usable = Usable::of(groups.len(), &[x], &[groups])?;
    let (rows, codes) = (usable.rows(x), usable.codes(groups));
    let k = Grouping::new(&codes).n();
    let reason = match k {
        0 | 1 => Some("fewer than two groups"),
        _ if k == codes.len() => Some("every row is its own group"),
        _ if options.n_seeds == 0 => Some("no clustering"),
        _ => constant(&rows).then_some("every row is at the same place"),
    };
    if let Some(reason) = reason {
        let score = usable.note(Score::undefined(reason));
        return Ok(AttributeIndex { score, seed_sd: None, null_mean: None, p: None });
    }
    let clusterings = (0..options.n_seeds as u64)
        .map(|s| {
            let seed = Rng::stream(options.seed, s).next_u64();
            kmeans(&rows, k, &KMeansOptions { n_init: 1, seed, ..KMeansOptions::default() }).map(|fit| fit.labels)
        })
        .collect::<Result<Vec<_>>>()?;
    let index = |codes: &[u32], clusters: &[u32]| -> Result<f64> {
        let parts = agreement(codes, clusters)?;
        // A side without two rows in one cluster has no Fowlkes-Mallows index: nothing in common, 0.
        Ok(parts.iter().map(|s| s.value.unwrap_or(0.0)).sum::<f64>() / 3.0)
    };
    let by_seed = clusterings.iter().map(|c| index(&codes, c)).collect::<Result<Vec<_>>>()?;
    let n = by_seed.len() as f64;
    let mean = by_seed.iter().sum::<f64>() / n;
    let sd = (n > 1.0).then(|| (by_seed.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt());
    let null = (0..options.n_permutations as u64)
        .into_par_iter()
        .map(|i| {
            let mut shuffled = codes.clone();
            Rng::stream(!options.seed, i).shuffle(&mut shuffled);
            let all = clusterings.iter().map(|c| index(&shuffled, c)).collect::<Result<Vec<_>>>()?;
            Ok(all.iter().sum::<f64>() / n)
        })
        .collect::<Result<Vec<f64>>>()?;
    Ok(AttributeIndex {
        score: usable.note(Score::new(mean, codes.len())),
        seed_sd: sd,
        null_mean: (!null.is_empty()).then(|| null.iter().sum::<f64>() / null.len() as f64),
        p: (!null.is_empty()).then(|| permutation_p(mean, &null)).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Groups;

    #[test]
    fn groups_that_cluster_score_one_and_others_like_their_null() {
        let mut rng = Rng::new(1);
        let groups: Vec<u32> = (0..150).map(|i| i % 3).collect();
        let mut x = Matrix::zeros(150, 3);
        for i in 0..150 {
            x.row_mut(i).iter_mut().for_each(|v| *v = 0.05 * rng.normal() as f32);
            x.row_mut(i)[i % 3] += 1.0;
        }
        let options = AttributeOptions { n_permutations: 40, ..AttributeOptions::default() };
        let good = attribute_learning_index(&x, &groups, &options).unwrap();
        assert!(good.score.value.unwrap() > 0.9 && good.p.unwrap() < 0.03, "{good:?}");
        let mut shuffled = groups.clone();
        rng.shuffle(&mut shuffled);
        let bad = attribute_learning_index(&x, &shuffled, &options).unwrap();
        assert!((bad.score.value.unwrap() - bad.null_mean.unwrap()).abs() < 0.03 && bad.p.unwrap() > 0.03);
        assert_eq!(good, attribute_learning_index(&x, &groups, &options).unwrap());
        shuffled[0] = Groups::MISSING;
        assert_eq!(attribute_learning_index(&x, &shuffled, &options).unwrap().score.n_excluded, 1);
        for none in [vec![0; 150], (0..150).collect()] {
            assert!(attribute_learning_index(&x, &none, &options).unwrap().score.value.is_none());
        }
        let flat = attribute_learning_index(&Matrix::zeros(150, 2), &groups, &options).unwrap();
        assert!(flat.score.value.is_none() && flat.score.reason.is_some());
    }
}
