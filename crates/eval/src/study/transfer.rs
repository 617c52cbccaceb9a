//! Labels from one data set to another: nothing is learnt from the target.

use microtome_core::{Counts, Error, Matrix, Progress, Result};
use microtome_numerics::class_projection::{ClassProjection, class_columns};
use microtome_numerics::{log1p_cp10k, rank_normal};

use super::cell_type::{stratified, written_out};
use super::classify::{CLASSIFIERS, top};
use super::{Labelled, Orthologs, check_size};
use crate::metrics::classification::ClassTable;

/// Representations of cells in genes; between data sets, in those that both have.
pub const REPRESENTATIONS: [&str; 3] = ["rank_normal", "log_normalised", "counts"];

/// Settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransferOptions {
    /// Labels of the basis need more cells than this (50 in the released notebook).
    pub threshold: usize,
    /// A cell whose largest coefficient is below is unspecified, which is wrong; for the released pipeline alone.
    pub unspecified: f64,
    /// Share of the cells that is tested where basis and target are one data set.
    pub test: f64,
    /// Seed of that split.
    pub seed: u64,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self { threshold: 50, unspecified: 0.1, test: 0.2, seed: 42 }
    }
}

/// Macro-F1 over the union of true and predicted labels.
#[derive(Clone, Debug, PartialEq)]
pub struct TransferScore {
    /// Where the labels were learnt.
    pub basis: String,
    /// Where they were asked for.
    pub target: String,
    /// `rank_normal`, `log_normalised` or `counts`.
    pub representation: &'static str,
    /// Classifier by name, or `published`: class means of fractions, ranked anew, projected.
    pub classifier: &'static str,
    /// The score.
    pub f1: f64,
    /// Genes in common.
    pub n_genes: usize,
    /// Labels in common.
    pub n_labels: usize,
    /// Cells asked.
    pub n_cells: usize,
    /// Cells called unspecified.
    pub n_unspecified: usize,
}

/// Learns the labels that both have from the basis, asks them of the target. Ranks and normalisation are over each side's
/// own genes; nothing is ranked again after the restriction to orthologs. Where both are one data set (`target` is `None`), a
/// share of its cells is held out.
///
/// # Errors
/// When there are fewer than two labels or genes in common, when counts are not raw, when genes do not fit in memory, or when
/// the user stops.
pub fn transfer(
    basis: &Labelled<'_>,
    target: Option<(&Labelled<'_>, &Orthologs)>,
    o: &TransferOptions,
    progress: &dyn Progress,
) -> Result<Vec<TransferScore>> {
    check_size(basis)?;
    let own = Orthologs::same_genes(basis.counts.n_genes());
    let (other, orthologs) = target.unwrap_or((basis, &own));
    check_size(other)?;
    let mut labels = basis.by_label(o.threshold + 1);
    let theirs = other.by_label(1);
    labels.retain(|(name, _)| theirs.iter().any(|t| t.0 == *name));
    if labels.len() < 2 || orthologs.len() < 2 {
        return Err(Error::mismatch("too little in common to carry labels over")
            .at_key(format!("{} to {}", basis.name, other.name))
            .expected(format!(
                "two labels of more than {} cells in the basis and any in the target, and two genes",
                o.threshold
            ))
            .found(format!("{} labels, {} genes", labels.len(), orthologs.len()))
            .remedy(
                "spell labels alike in both, lower --min-cells, or give orthologs for these gene names",
            ));
    }
    let asked: Vec<(String, Vec<usize>)> =
        labels.iter().filter_map(|l| theirs.iter().find(|t| t.0 == l.0).cloned()).collect();
    let flat = |l: &[(String, Vec<usize>)]| -> (Vec<usize>, Vec<u32>) {
        l.iter().enumerate().flat_map(|(c, l)| l.1.iter().map(move |&i| (i, c as u32))).unzip()
    };
    let ((mut from, mut classes), (mut to, mut truth)) = (flat(&labels), flat(&asked));
    if target.is_none() {
        let (train, test) = stratified(&labels, o.test, o.seed);
        let pick = |v: &[usize], at: &[usize]| at.iter().map(|&i| v[i]).collect::<Vec<_>>();
        let pick_class = |at: &[usize]| at.iter().map(|&i| classes[i]).collect::<Vec<u32>>();
        (to, truth) = (pick(&from, &test), pick_class(&test));
        (classes, from) = (pick_class(&train), pick(&from, &train));
    }
    let n = labels.len();
    let (mine, others) = (basis.counts.select_cells(&from), other.counts.select_cells(&to));
    let score = |representation, classifier, said: &[u32]| -> Result<TransferScore> {
        Ok(TransferScore {
            basis: basis.name.clone(),
            target: other.name.clone(),
            representation,
            classifier,
            f1: ClassTable::new(&truth, said)?.f1_macro_union().value.unwrap_or(f64::NAN),
            n_genes: orthologs.len(),
            n_labels: n,
            n_cells: truth.len(),
            n_unspecified: said.iter().filter(|&&c| c as usize == n).count(),
        })
    };
    let mut out = vec![];
    for representation in REPRESENTATIONS {
        progress.check()?;
        let (x, query) = (made(representation, &mine)?, made(representation, &others)?);
        let (x, query) = (left(&x, orthologs), right(&query, orthologs));
        if representation == "rank_normal" {
            let columns = left(&class_columns(&mine, &classes, n)?, orthologs);
            let scores = ClassProjection::new(columns)?.scores_of(&query)?;
            let said: Vec<u32> = scores
                .chunks_exact(n)
                .map(|s| if s.iter().any(|v| *v >= o.unspecified) { top(s) } else { n as u32 })
                .collect();
            out.push(score(representation, "published", &said)?);
        }
        for (classifier, c) in CLASSIFIERS {
            out.push(score(representation, classifier, &c.predict(&x, &classes, n, &query)?)?);
        }
    }
    Ok(out)
}

/// All genes of all cells, by the name of the representation.
pub(super) fn made(representation: &str, counts: &Counts) -> Result<Matrix> {
    Ok(match representation {
        "rank_normal" => rank_normal(counts)?.dense(),
        "log_normalised" => written_out(&log1p_cp10k(counts)?.counts),
        _ => written_out(counts),
    })
}

/// The genes of the basis.
fn left(x: &Matrix, orthologs: &Orthologs) -> Matrix {
    gather(x, orthologs, |row, (gene, _)| row[*gene])
}

/// What stands for them in the target.
fn right(x: &Matrix, orthologs: &Orthologs) -> Matrix {
    gather(x, orthologs, |row, (_, genes)| {
        (genes.iter().map(|&g| f64::from(row[g])).sum::<f64>() / genes.len() as f64) as f32
    })
}

fn gather(x: &Matrix, orthologs: &Orthologs, of: impl Fn(&[f32], &(usize, Vec<usize>)) -> f32) -> Matrix {
    let mut out = Matrix::zeros(x.rows(), orthologs.len());
    for i in 0..x.rows() {
        let row = x.row(i);
        out.row_mut(i).iter_mut().zip(&orthologs.pairs).for_each(|(v, pair)| *v = of(row, pair));
    }
    out
}
