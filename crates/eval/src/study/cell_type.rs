//! Cell types as in the released pipeline for Tabula Sapiens 2.0
//! (Emergent-Behaviors-in-Biology/Linear-representations-for-scRNA-seq-data@59b9413).

use microtome_core::{Error, Matrix, Progress, Result};
use microtome_numerics::resample::Rng;
use microtome_numerics::{log1p_cp10k, pca, rank_normal};

use super::classify::{CLASSIFIERS, Scaling};
use super::{Labelled, check_size};
use crate::metrics::classification::ClassTable;

/// Settings; the defaults are the released ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CellTypeOptions {
    /// Fewest cells of a label.
    pub min_cells: usize,
    /// Genes kept by the F statistic on the training cells.
    pub n_genes: usize,
    /// Whitened principal components.
    pub n_components: usize,
    /// Random splits, their seeds counted from `seed`.
    pub n_splits: usize,
    /// Share of the cells of every label that is tested.
    pub test: f64,
    /// Seed of the first split.
    pub seed: u64,
}

impl Default for CellTypeOptions {
    fn default() -> Self {
        Self { min_cells: 100, n_genes: 20_000, n_components: 220, n_splits: 5, test: 0.2, seed: 0 }
    }
}

/// Macro-F1 over the union of true and predicted labels of one split.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitScore {
    /// `rank_normal` or `log_normalised`.
    pub representation: &'static str,
    /// Classifier by name.
    pub classifier: &'static str,
    /// Split, counted from 0.
    pub split: usize,
    /// The score.
    pub f1: f64,
    /// Cells tested.
    pub n_test: usize,
    /// Labels.
    pub n_labels: usize,
}

/// Rank-normal cells, the genes of highest F on the training cells, scaled, 220 whitened principal components, logistic
/// regression, on random splits within labels. The same steps are run on log-normalised cells and with the other
/// classifiers: the released pipeline is `rank_normal` with `logistic`.
///
/// # Errors
/// When fewer than two labels have enough cells, when all genes do not fit in memory, when counts are not raw, or when the
/// user stops.
pub fn cell_type(
    data: &Labelled<'_>,
    o: &CellTypeOptions,
    progress: &dyn Progress,
) -> Result<Vec<SplitScore>> {
    check_size(data)?;
    let labels = data.by_label(o.min_cells.max(2));
    if labels.len() < 2 {
        return Err(Error::mismatch("too few labels for the pipeline")
            .at_key(data.labels.name.clone())
            .expected(format!("two labels of at least {} cells", o.min_cells.max(2)))
            .found(labels.len().to_string())
            .remedy("lower --min-cells, or name another --label"));
    }
    if !(o.test > 0.0 && o.test < 1.0) || o.n_splits == 0 || o.n_components == 0 {
        return Err(Error::usage("study setting out of range")
            .expected("a share between 0 and 1, and at least one split"));
    }
    let cells: Vec<usize> = labels.iter().flat_map(|l| l.1.iter().copied()).collect();
    let classes: Vec<u32> =
        labels.iter().enumerate().flat_map(|(c, l)| std::iter::repeat_n(c as u32, l.1.len())).collect();
    let counts = data.counts.select_cells(&cells);
    progress.begin("splits", (2 * o.n_splits) as u64, "splits");
    let mut out = vec![];
    for name in ["rank_normal", "log_normalised"] {
        let x = match name {
            "rank_normal" => rank_normal(&counts)?.dense(),
            _ => written_out(&log1p_cp10k(&counts)?.counts),
        };
        for split in 0..o.n_splits {
            progress.check()?;
            let (train, test) = stratified(&labels, o.test, o.seed.wrapping_add(split as u64));
            let pick = |rows: &[usize]| rows.iter().map(|&i| classes[i]).collect::<Vec<u32>>();
            let (from, to) = (pick(&train), pick(&test));
            let (x_train, x_test) = prepare(&x, &train, &test, &from, labels.len(), o)?;
            for (classifier, c) in CLASSIFIERS {
                let said = c.predict(&x_train, &from, labels.len(), &x_test)?;
                out.push(SplitScore {
                    representation: name,
                    classifier,
                    split,
                    f1: ClassTable::new(&to, &said)?.f1_macro_union().value.unwrap_or(f64::NAN),
                    n_test: test.len(),
                    n_labels: labels.len(),
                });
            }
            progress.advance(1);
        }
    }
    progress.end();
    Ok(out)
}

/// All genes of all cells.
pub(super) fn written_out(counts: &microtome_core::Counts) -> Matrix {
    let mut m = Matrix::zeros(counts.n_cells(), counts.n_genes());
    for cell in 0..counts.n_cells() {
        let (genes, values) = counts.row(cell);
        let row = m.row_mut(cell);
        genes.iter().zip(values).for_each(|(&g, &v)| row[g as usize] = v);
    }
    m
}

/// Training and test places (in the order of the labels' cells); every label gives its share, at least one cell to each.
pub(super) fn stratified(labels: &[(String, Vec<usize>)], test: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut rng = Rng::new(seed);
    let (mut train, mut held, mut first) = (vec![], vec![], 0);
    for (_, cells) in labels {
        let mut places: Vec<usize> = (first..first + cells.len()).collect();
        rng.shuffle(&mut places);
        let n = ((cells.len() as f64 * test).round() as usize).clamp(1, cells.len().saturating_sub(1).max(1));
        held.extend_from_slice(&places[..n]);
        train.extend_from_slice(&places[n..]);
        first += cells.len();
    }
    (train, held)
}

/// Genes by F, scaling and whitened components, all fitted on the training cells.
pub(super) fn prepare(
    x: &Matrix,
    train: &[usize],
    test: &[usize],
    classes: &[u32],
    n_classes: usize,
    o: &CellTypeOptions,
) -> Result<(Matrix, Matrix)> {
    let kept = by_f(x, train, classes, n_classes, o.n_genes);
    let pick = |rows: &[usize]| {
        let mut m = Matrix::zeros(rows.len(), kept.len());
        for (at, &i) in rows.iter().enumerate() {
            let row = x.row(i);
            m.row_mut(at).iter_mut().zip(&kept).for_each(|(v, &g)| *v = row[g]);
        }
        m
    };
    let x_train = pick(train);
    let scaling = Scaling::of(&x_train);
    let x_train = scaling.apply(&x_train);
    let n = o.n_components.min(train.len() - 1).min(kept.len());
    let fitted = pca(&x_train, n, o.seed)?;
    let whiten = |mut scores: Matrix| {
        for i in 0..scores.rows() {
            let row = scores.row_mut(i).iter_mut().zip(&fitted.explained_variance);
            row.for_each(|(v, variance)| {
                *v = if *variance > 0.0 { (f64::from(*v) / variance.sqrt()) as f32 } else { 0.0 }
            });
        }
        scores
    };
    Ok((whiten(fitted.scores.clone()), whiten(fitted.transform(&scaling.apply(&pick(test)))?)))
}

/// The genes of highest F statistic (one-way analysis of variance), ascending. A gene that does not vary within labels comes
/// first where labels differ and last where they do not.
fn by_f(x: &Matrix, rows: &[usize], classes: &[u32], n_classes: usize, n: usize) -> Vec<usize> {
    let d = x.cols();
    let (mut sums, mut sizes) = (vec![0.0f64; n_classes * d], vec![0.0f64; n_classes]);
    let mut squares = vec![0.0f64; d];
    for (&i, &c) in rows.iter().zip(classes) {
        sizes[c as usize] += 1.0;
        let sum = &mut sums[c as usize * d..(c as usize + 1) * d];
        for ((s, q), &v) in sum.iter_mut().zip(&mut squares).zip(x.row(i)) {
            *s += f64::from(v);
            *q += f64::from(v) * f64::from(v);
        }
    }
    let total = rows.len() as f64;
    let present = sizes.iter().filter(|s| **s > 0.0).count() as f64;
    let f = |g: usize| {
        let all: f64 = (0..n_classes).map(|c| sums[c * d + g]).sum();
        let of_means: f64 =
            (0..n_classes).filter(|&c| sizes[c] > 0.0).map(|c| sums[c * d + g].powi(2) / sizes[c]).sum();
        let between = (of_means - all * all / total).max(0.0) / (present - 1.0).max(1.0);
        let within = (squares[g] - of_means).max(0.0) / (total - present).max(1.0);
        if within > 1e-12 * squares[g] / total {
            between / within
        } else if between > 0.0 {
            f64::MAX
        } else {
            0.0
        }
    };
    let scores: Vec<f64> = (0..d).map(f).collect();
    let mut order: Vec<usize> = (0..d).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    order.truncate(n.min(d));
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_f_statistic_is_that_of_a_hand_calculation() {
        // Gene 0: means 1 and 4, F = 13.5 / 1; gene 1: the same in both; gene 2: constant.
        let x =
            Matrix::new(6, 3, vec![0., 1., 5., 1., 2., 5., 2., 3., 5., 3., 3., 5., 4., 2., 5., 5., 1., 5.])
                .unwrap();
        let rows = [0, 1, 2, 3, 4, 5];
        assert_eq!(by_f(&x, &rows, &[0, 0, 0, 1, 1, 1], 2, 1), [0]);
        assert_eq!(by_f(&x, &rows, &[0, 1, 2, 2, 1, 0], 3, 1), [1], "labels follow the second gene");
        assert_eq!(by_f(&x, &rows, &[0, 0, 0, 1, 1, 1], 2, 9), [0, 1, 2]);
    }

    #[test]
    fn splits_are_within_labels() {
        let labels =
            vec![("a".to_string(), (0..10).collect()), ("b".into(), (10..15).collect::<Vec<usize>>())];
        let (train, test) = stratified(&labels, 0.2, 1);
        assert_eq!((train.len(), test.len()), (12, 3));
        assert_eq!(test.iter().filter(|i| **i < 10).count(), 2);
        let mut all = [train, test].concat();
        all.sort_unstable();
        assert_eq!(all, (0..15).collect::<Vec<_>>());
    }
}
