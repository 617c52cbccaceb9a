//! Cluster, then logistic regression within every cluster: the pipeline for infected cells
//! (covid.py of Emergent-Behaviors-in-Biology/Linear-representations-for-scRNA-seq-data@59b9413).

use microtome_core::{Error, Matrix, Progress, Result};
use microtome_numerics::leiden::{LeidenOptions, leiden};
use microtome_numerics::logistic::{Logistic, LogisticOptions};
use microtome_numerics::resample::{Rng, Units, grouped_k_fold};
use microtome_numerics::{Metric, exact_knn, knn_between, umap_weights};

use super::cell_type::prepare;
use super::classify::{CLASSIFIERS, top};
use super::transfer::{REPRESENTATIONS, made};
use super::{CellTypeOptions, Labelled, check_size};
use crate::Groups;
use crate::metrics::classification::ClassTable;

/// Settings; the defaults are the released ones.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusteredOptions {
    /// Fewest cells of a label.
    pub min_cells: usize,
    /// Genes kept by the F statistic on the training cells.
    pub n_genes: usize,
    /// Whitened principal components.
    pub n_components: usize,
    /// Folds.
    pub n_folds: usize,
    /// Neighbours of the graph that is clustered, the cell itself included, and of the vote on a test cell's cluster.
    pub k: usize,
    /// Resolution of the clusters.
    pub resolution: f64,
    /// A cluster of fewer training cells has no classifier.
    pub min_cluster: usize,
    /// Seed of folds and clusters.
    pub seed: u64,
    /// Independent units that folds keep together; without them cells are dealt out at random within labels, as released.
    pub units: Option<Groups>,
}

impl Default for ClusteredOptions {
    fn default() -> Self {
        Self {
            min_cells: 10,
            n_genes: 20_000,
            n_components: 220,
            n_folds: 10,
            k: 15,
            resolution: 0.4,
            min_cluster: 5,
            seed: 42,
            units: None,
        }
    }
}

/// Macro-F1 over the union of true and predicted labels of one fold.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldScore {
    /// `counts` (what the released code fits), `rank_normal` (what the text describes) or `log_normalised`.
    pub representation: &'static str,
    /// A classifier by name on all cells at once; `clustered`, which gives cells of a cluster without a classifier the most
    /// common label of its training cells; or `clustered_skipping`, which leaves such cells out, as released.
    pub classifier: &'static str,
    /// Fold, counted from 0.
    pub fold: usize,
    /// The score; NaN when no cell is left.
    pub f1: f64,
    /// Cells scored.
    pub n_test: usize,
    /// Cells of clusters without a classifier.
    pub n_skipped: usize,
    /// Labels.
    pub n_labels: usize,
}

/// Genes of highest F on the training cells, scaled, whitened principal components, Leiden clusters of the training cells,
/// balanced logistic regression within each; test cells go to the cluster of their nearest training cells. The released code
/// does this on raw counts although it makes rank-normal cells, and leaves cells of skipped clusters out of the score:
/// `counts` with `clustered_skipping`. Every classifier without clusters stands beside.
///
/// # Errors
/// When fewer than two labels have enough cells, when folds cannot be made, when all genes do not fit in memory, when counts
/// are not raw, or when the user stops.
pub fn clustered(
    data: &Labelled<'_>,
    o: &ClusteredOptions,
    progress: &dyn Progress,
) -> Result<Vec<FoldScore>> {
    check_size(data)?;
    let labels = data.by_label(o.min_cells.max(o.n_folds));
    if labels.len() < 2 || o.n_folds < 2 || o.k < 3 || o.n_components == 0 {
        return Err(Error::mismatch("too few labels for the pipeline, or a setting out of range")
            .at_key(data.labels.name.clone())
            .expected(format!(
                "two labels of at least {} cells, two folds and three neighbours",
                o.min_cells.max(o.n_folds)
            ))
            .found(format!("{} labels", labels.len()))
            .remedy("lower --min-cells, or name another --label"));
    }
    let mut cells: Vec<(usize, u32)> =
        labels.iter().enumerate().flat_map(|(c, l)| l.1.iter().map(move |&i| (i, c as u32))).collect();
    if let Some(units) = &o.units {
        cells.retain(|(i, _)| units.codes[*i] != Groups::MISSING);
    }
    let (cells, classes): (Vec<usize>, Vec<u32>) = cells.into_iter().unzip();
    let folds = folds(&cells, &classes, o)?;
    let counts = data.counts.select_cells(&cells);
    progress.begin("folds", (REPRESENTATIONS.len() * folds.len()) as u64, "folds");
    let mut out = vec![];
    for representation in REPRESENTATIONS {
        let x = made(representation, &counts)?;
        for (fold, test) in folds.iter().enumerate() {
            progress.check()?;
            let split = Split::new(&x, test, &classes, labels.len(), o)?;
            for (classifier, truth, said, n_skipped) in split.answers(o)? {
                out.push(FoldScore {
                    representation,
                    classifier,
                    fold,
                    f1: ClassTable::new(&truth, &said)?.f1_macro_union().value.unwrap_or(f64::NAN),
                    n_test: truth.len(),
                    n_skipped,
                    n_labels: labels.len(),
                });
            }
            progress.advance(1);
        }
    }
    progress.end();
    Ok(out)
}

/// Test cells of every fold, as places among `cells`: whole units, or the same share of every label.
fn folds(cells: &[usize], classes: &[u32], o: &ClusteredOptions) -> Result<Vec<Vec<usize>>> {
    let mut rng = Rng::new(o.seed);
    if let Some(units) = &o.units {
        let codes: Vec<u32> = cells.iter().map(|&i| units.codes[i]).collect();
        let units = Units::new(&codes);
        let folds = grouped_k_fold(&units, o.n_folds.min(units.len()), &mut rng)?;
        return Ok(folds.into_iter().map(|f| f.test).collect());
    }
    let mut order = rng.permutation(cells.len());
    order.sort_by_key(|&i| classes[i]);
    let mut out = vec![vec![]; o.n_folds];
    // Dealt out in turn through all labels, so that folds hold the same number of cells too.
    order.into_iter().enumerate().for_each(|(at, i)| out[at % o.n_folds].push(i));
    Ok(out)
}

/// Whitened components of one fold.
struct Split {
    train: Matrix,
    of_train: Vec<u32>,
    test: Matrix,
    truth: Vec<u32>,
    n_labels: usize,
}

/// Classifier, true and predicted labels, cells of clusters without a classifier.
type Answer = (&'static str, Vec<u32>, Vec<u32>, usize);

impl Split {
    fn new(
        x: &Matrix,
        test: &[usize],
        classes: &[u32],
        n_labels: usize,
        o: &ClusteredOptions,
    ) -> Result<Self> {
        let mut is_test = vec![false; x.rows()];
        test.iter().for_each(|&i| is_test[i] = true);
        let train: Vec<usize> = (0..x.rows()).filter(|&i| !is_test[i]).collect();
        let pick = |rows: &[usize]| rows.iter().map(|&i| classes[i]).collect::<Vec<u32>>();
        let (of_train, truth) = (pick(&train), pick(test));
        let steps = CellTypeOptions {
            n_genes: o.n_genes,
            n_components: o.n_components,
            seed: o.seed,
            ..CellTypeOptions::default()
        };
        let (train, test) = prepare(x, &train, test, &of_train, n_labels, &steps)?;
        Ok(Self { train, of_train, test, truth, n_labels })
    }

    fn answers(&self, o: &ClusteredOptions) -> Result<Vec<Answer>> {
        let mut out = vec![];
        for (name, c) in CLASSIFIERS {
            let said = c.predict(&self.train, &self.of_train, self.n_labels, &self.test)?;
            out.push((name, self.truth.clone(), said, 0));
        }
        let (said, skipped) = self.clustered(o)?;
        let n_skipped = skipped.iter().filter(|s| **s).count();
        out.push(("clustered", self.truth.clone(), said.clone(), n_skipped));
        let kept =
            |v: &[u32]| v.iter().zip(&skipped).filter(|(_, s)| !**s).map(|(v, _)| *v).collect::<Vec<u32>>();
        out.push(("clustered_skipping", kept(&self.truth), kept(&said), n_skipped));
        Ok(out)
    }

    /// Label of every test cell, and whether its cluster has no classifier.
    fn clustered(&self, o: &ClusteredOptions) -> Result<(Vec<u32>, Vec<bool>)> {
        let n = self.train.rows();
        let k = (o.k - 1).min(n - 1);
        let graph = umap_weights(&exact_knn(&self.train, k, Metric::Euclidean)?)?;
        let options = LeidenOptions { resolution: o.resolution, seed: o.seed, ..LeidenOptions::default() };
        let clusters = leiden(&graph, &options)?;
        let of_test = self.clusters_of_test(&clusters.labels, clusters.n, o.k.min(n))?;
        let (mut said, mut skipped) = (vec![0; self.truth.len()], vec![false; self.truth.len()]);
        for cluster in 0..clusters.n as u32 {
            let asked: Vec<usize> = (0..of_test.len()).filter(|&i| of_test[i] == cluster).collect();
            if asked.is_empty() {
                continue;
            }
            let own: Vec<usize> = (0..n).filter(|&i| clusters.labels[i] == cluster).collect();
            let labels: Vec<u32> = own.iter().map(|&i| self.of_train[i]).collect();
            if own.len() < o.min_cluster || labels.iter().all(|l| *l == labels[0]) {
                let mut sizes = vec![0.0; self.n_labels];
                labels.iter().for_each(|&l| sizes[l as usize] += 1.0);
                asked.iter().for_each(|&i| (said[i], skipped[i]) = (top(&sizes), true));
                continue;
            }
            let x = self.train.select_rows(&own);
            let model = Logistic::fit(&x, &labels, self.n_labels, &LogisticOptions::default())?;
            let scores = model.probabilities(&self.test.select_rows(&asked))?;
            asked.iter().zip(scores.chunks_exact(self.n_labels)).for_each(|(&i, s)| said[i] = top(s));
        }
        Ok((said, skipped))
    }

    /// Vote of the nearest training cells by cosine, weighted by 1 / distance; those at distance 0 decide alone.
    fn clusters_of_test(&self, clusters: &[u32], n_clusters: usize, k: usize) -> Result<Vec<u32>> {
        let near = knn_between(&self.test, &self.train, k, Metric::Cosine)?;
        let of = |i: usize| {
            let (cells, distances) = near.row(i);
            let exact = distances.contains(&0.0);
            let mut votes = vec![0.0; n_clusters];
            for (&c, &d) in cells.iter().zip(distances) {
                let weight = if exact { f64::from(u8::from(d == 0.0)) } else { 1.0 / f64::from(d) };
                votes[clusters[c as usize] as usize] += weight;
            }
            top(&votes)
        };
        Ok((0..self.test.rows()).map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_hold_the_same_share_of_every_label_or_whole_units() {
        let classes: Vec<u32> = (0..100).map(|i| u32::from(i % 5 == 0)).collect();
        let cells: Vec<usize> = (0..100).collect();
        let o = ClusteredOptions { n_folds: 10, ..ClusteredOptions::default() };
        let found = folds(&cells, &classes, &o).unwrap();
        for f in &found {
            assert_eq!((f.len(), f.iter().filter(|&&i| classes[i] == 1).count()), (10, 2));
        }
        let names = (0..4).map(|u| u.to_string()).collect();
        let units = Groups::new("donor", names, (0..100).map(|i| i % 4).collect()).unwrap();
        let found = folds(&cells, &classes, &ClusteredOptions { units: Some(units), ..o }).unwrap();
        assert_eq!(found.len(), 4);
        assert!(found.iter().all(|f| f.iter().all(|i| i % 4 == f[0] % 4) && f.len() == 25));
    }

    #[test]
    fn a_cluster_of_one_label_is_skipped_and_still_answered() {
        // Two places far apart: one of label 0 alone, one where the second feature tells labels apart, though by less than
        // neighbours differ in the first.
        let mut rng = Rng::new(1);
        let (n, m) = (120, 40);
        let mut draw = |n: usize| {
            let mut x = Matrix::zeros(n, 2);
            let mut labels = vec![];
            for i in 0..n {
                let far = i % 2 == 1;
                let label = u32::from(far && i % 4 == 1);
                let side = if far { f64::from(label) - 0.5 } else { 0.0 };
                let x = x.row_mut(i);
                x[0] = (if far { 30.0 } else { -30.0 } + 2.0 * rng.normal()) as f32;
                x[1] = (side + 0.1 * rng.normal()) as f32;
                labels.push(label);
            }
            (x, labels)
        };
        let ((train, of_train), (test, truth)) = (draw(n), draw(m));
        let split = Split { train, of_train, test, truth: truth.clone(), n_labels: 2 };
        let o = ClusteredOptions { resolution: 0.01, ..ClusteredOptions::default() };
        let (said, skipped) = split.clustered(&o).unwrap();
        assert_eq!(said, truth);
        assert!((0..m).all(|i| skipped[i] == (i % 2 == 0)), "{skipped:?}");
        let answers = split.answers(&o).unwrap();
        let sizes = |name: &str| answers.iter().find(|a| a.0 == name).map(|a| (a.1.len(), a.3));
        assert_eq!(sizes("clustered"), Some((40, 20)));
        assert_eq!(sizes("clustered_skipping"), Some((20, 20)));
    }
}
