//! Differential expression score, and the combined score of the Virtual Cell Challenge.

use super::definition::{Definition, Need};
use super::score::{Score, same_number};
use microtome_core::{Direction, Result};

/// Overlap of differentially expressed genes.
pub static DES: Definition = Definition {
    id: "des",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Responses],
    words: "Share of the truly changed genes (FDR < 0.05) among as many predicted ones, largest fold changes first",
    citation: "Virtual Cell Challenge 2025; ArcInstitute/cell-eval@cb70876",
    deviations: "no number where no gene truly changes; equal fold changes by row order",
};

/// Mean of normalised scores.
pub static VCC_SCORE: Definition = Definition {
    id: "vcc_score",
    words: "Mean of DES, PDS and MAE, each as its gain over the cell-mean baseline, at least 0",
    deviations: "",
    ..DES
};

pub(super) static DEFINITIONS: &[&Definition] = &[&DES, &VCC_SCORE];

/// Test of one gene between perturbed and control cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeneChange {
    /// Logarithm of the fold change.
    pub log_fold_change: f64,
    /// Adjusted p value.
    pub fdr: f64,
}

const LEVEL: f64 = 0.05;

fn significant(genes: &[GeneChange]) -> Vec<usize> {
    (0..genes.len()).filter(|&g| genes[g].fdr < LEVEL).collect()
}

/// Overlap of truly changed genes with the same number of predicted ones, for one perturbation; 0 where nothing is
/// predicted to change. Genes with a fold change or FDR that is NaN count as unchanged. `n_used` is the number of truly
/// changed genes. Errors when numbers of genes differ.
pub fn des(measured: &[GeneChange], predicted: &[GeneChange]) -> Result<Score> {
    same_number("predicted and measured genes", measured.len(), predicted.len())?;
    let truth = significant(measured);
    if truth.is_empty() {
        return Ok(Score::undefined("no gene truly changes"));
    }
    let mut guess = significant(predicted);
    guess.retain(|&g| !predicted[g].log_fold_change.is_nan());
    let size = |g: usize| predicted[g].log_fold_change.abs();
    guess.sort_by(|&a, &b| size(b).total_cmp(&size(a)).then(a.cmp(&b)));
    guess.truncate(truth.len());
    let hits = guess.iter().filter(|g| truth.binary_search(g).is_ok()).count();
    Ok(Score::new(hits as f64 / truth.len() as f64, truth.len()))
}

/// One score and that of the cell-mean baseline on the same data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AgainstBaseline {
    /// Score of the prediction; `None` counts as no gain.
    pub value: Option<f64>,
    /// Score of the baseline.
    pub baseline: f64,
}

impl AgainstBaseline {
    fn higher(self) -> Option<f64> {
        // A perfect baseline leaves nothing to gain.
        (self.baseline < 1.0)
            .then(|| self.value.map_or(0.0, |v| ((v - self.baseline) / (1.0 - self.baseline)).max(0.0)))
    }

    fn lower(self) -> Option<f64> {
        (self.baseline > 0.0).then(|| self.value.map_or(0.0, |v| (1.0 - v / self.baseline).max(0.0)))
    }
}

/// Mean gain over the baseline of three scores: DES and PDS `(v - b) / (1 - b)`, MAE `1 - v / b`, each at least 0.
pub fn vcc_score(des: AgainstBaseline, pds: AgainstBaseline, mae: AgainstBaseline) -> Score {
    match (des.higher(), pds.higher(), mae.lower()) {
        (Some(a), Some(b), Some(c)) => Score::new((a + b + c) / 3.0, 3),
        _ => Score::undefined("a baseline is perfect: there is nothing to gain"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn genes(rows: &[(f64, f64)]) -> Vec<GeneChange> {
        rows.iter().map(|&(log_fold_change, fdr)| GeneChange { log_fold_change, fdr }).collect()
    }

    #[test]
    fn overlap_by_hand() {
        let truth = genes(&[(1.0, 0.01), (2.0, 0.2), (-3.0, 0.001), (0.1, 0.9)]);
        let guess = genes(&[(0.5, 0.01), (9.0, 0.01), (-4.0, 0.01), (8.0, 0.01)]);
        // Two true genes; the largest two predicted are 1 and 3: no hit.
        assert_eq!(des(&truth, &guess).unwrap().value, Some(0.0));
        let guess = genes(&[(0.5, 0.01), (9.0, 0.5), (-4.0, 0.01), (0.2, 0.01)]);
        assert_eq!(des(&truth, &guess).unwrap().value, Some(1.0));
        assert_eq!(des(&truth, &truth).unwrap().value, Some(1.0));
        let few = genes(&[(0.5, 0.9), (9.0, 0.9), (-4.0, 0.01), (f64::NAN, 0.01)]);
        assert_eq!(des(&truth, &few).unwrap().value, Some(0.5));
        let nothing = genes(&[(1.0, 1.0); 4]);
        assert_eq!(des(&truth, &nothing).unwrap().value, Some(0.0));
        let none = des(&nothing, &truth).unwrap();
        assert!(none.value.is_none() && none.reason.is_some());
        assert!(des(&truth, &truth[1..]).is_err());
    }

    #[test]
    fn the_baseline_scores_zero_and_perfection_one() {
        let at = |value, baseline| AgainstBaseline { value: Some(value), baseline };
        assert_eq!(vcc_score(at(0.1, 0.1), at(0.5, 0.5), at(0.2, 0.2)).value, Some(0.0));
        assert_eq!(vcc_score(at(1.0, 0.1), at(1.0, 0.5), at(0.0, 0.2)).value, Some(1.0));
        // Worse than the baseline is no worse than nothing.
        assert_eq!(vcc_score(at(0.0, 0.1), at(0.75, 0.5), at(0.9, 0.2)).value, Some(0.5 / 3.0));
        let undefined = AgainstBaseline { value: None, baseline: 0.1 };
        assert_eq!(vcc_score(undefined, at(0.5, 0.5), at(0.1, 0.2)).value, Some(0.5 / 3.0));
        assert!(vcc_score(at(1.0, 1.0), at(0.5, 0.5), at(0.1, 0.2)).value.is_none());
    }
}
