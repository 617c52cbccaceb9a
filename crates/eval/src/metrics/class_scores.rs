//! Scores per class: areas under ROC and precision-recall curves, calibration, coverage against accuracy.

use super::definition::{Definition, Need};
use super::score::{Score, mean_of, same_number};
use crate::Groups;
use microtome_core::{Direction, Error, Matrix, Result};

/// Area under the ROC curve.
pub static AUROC: Definition = Definition {
    id: "auroc_ovr_macro",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Labels, Need::ClassScores],
    words: "Area under the ROC curve, one class against the rest, mean over classes",
    citation: "Hanley and McNeil 1982, Radiology 143:29",
    deviations: "classes that are absent, or the only one, are left out and counted",
};

/// Average precision.
pub static AUPRC: Definition = Definition {
    id: "auprc_macro",
    words: "Average precision (area under the precision-recall curve by steps), one class against the rest, mean over \
            classes; its floor is the class's prevalence",
    citation: "Davis and Goadrich 2006, ICML; steps as scikit-learn",
    ..AUROC
};

/// Expected calibration error.
pub static ECE: Definition = Definition {
    id: "ece_15",
    direction: Direction::Lower,
    words: "Expected calibration error of the top class in 15 equal bins of confidence",
    citation: "Guo et al. 2017, ICML",
    deviations: "",
    ..AUROC
};

pub(super) static DEFINITIONS: &[&Definition] = &[&AUROC, &AUPRC, &ECE];

/// Area of one class against the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassArea {
    /// Class code: the column of the scores.
    pub class: u32,
    /// Share of cells of the class, the floor of average precision.
    pub prevalence: f64,
    /// Area under the ROC curve; `None` without both kinds of cells.
    pub auroc: Option<f64>,
    /// Average precision; `None` without both kinds of cells.
    pub auprc: Option<f64>,
}

/// Areas of every class. `scores[cell, class]`; truth codes are columns of it. Equal scores count as ties (half).
///
/// Cells with a score that is not finite are left out. Errors when sizes differ or a code has no column.
pub fn class_areas(truth: &[u32], scores: &Matrix) -> Result<(Vec<ClassArea>, Score, Score)> {
    let kept = scored_cells(truth, scores)?;
    let n = kept.cells.len();
    let areas: Vec<ClassArea> = (0..scores.cols())
        .map(|class| {
            let mut pairs: Vec<(f32, bool)> =
                kept.cells.iter().map(|&i| (scores.row(i)[class], truth[i] as usize == class)).collect();
            pairs.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
            let (auroc, auprc) = areas(&pairs).map_or((None, None), |(r, p)| (Some(r), Some(p)));
            let positive = pairs.iter().filter(|p| p.1).count() as f64;
            ClassArea { class: class as u32, prevalence: positive / n.max(1) as f64, auroc, auprc }
        })
        .collect();
    let why = "classes that are absent or the only one";
    let roc = mean_of(areas.iter().map(|a| a.auroc), why);
    let precision = mean_of(areas.iter().map(|a| a.auprc), why);
    Ok((areas, kept.note(roc), kept.note(precision)))
}

/// ROC area and average precision from (score, positive) by falling score.
fn areas(pairs: &[(f32, bool)]) -> Option<(f64, f64)> {
    let positive = pairs.iter().filter(|p| p.1).count() as f64;
    let negative = pairs.len() as f64 - positive;
    if positive == 0.0 || negative == 0.0 {
        return None;
    }
    let (mut hits, mut misses, mut roc, mut precision) = (0.0, 0.0, 0.0, 0.0);
    // == on the scores, so that -0 and 0 are tied.
    for tie in pairs.chunk_by(|a, b| a.0 == b.0) {
        let here = tie.iter().filter(|p| p.1).count() as f64;
        let wrong = tie.len() as f64 - here;
        roc += wrong * (hits + 0.5 * here);
        hits += here;
        misses += wrong;
        precision += here * hits / (hits + misses);
    }
    Some((roc / (positive * negative), precision / positive))
}

struct ScoredCells {
    cells: Vec<usize>,
    missing: usize,
    not_finite: usize,
}

impl ScoredCells {
    fn note(&self, score: Score) -> Score {
        score
            .excluding(self.missing, "cells without a label or batch")
            .excluding(self.not_finite, "cells with values that are not finite")
    }
}

fn scored_cells(truth: &[u32], scores: &Matrix) -> Result<ScoredCells> {
    same_number("class scores and cells", truth.len(), scores.rows())?;
    let mut kept = ScoredCells { cells: vec![], missing: 0, not_finite: 0 };
    for (i, &t) in truth.iter().enumerate() {
        if t == Groups::MISSING {
            kept.missing += 1;
        } else if t as usize >= scores.cols() {
            return Err(Error::usage("a class has no column of scores")
                .expected(format!("classes below {}", scores.cols()))
                .found(t.to_string()));
        } else if scores.row(i).iter().any(|v| !v.is_finite()) {
            kept.not_finite += 1;
        } else {
            kept.cells.push(i);
        }
    }
    Ok(kept)
}

/// Expected calibration error: confidence of the top class (the first of equals) against its accuracy in 15 equal bins
/// over 0..1, right edges included. Scores are probabilities. Errors as [`class_areas`], or on a top score outside 0..1.
pub fn ece(truth: &[u32], probabilities: &Matrix) -> Result<Score> {
    const BINS: usize = 15;
    let kept = scored_cells(truth, probabilities)?;
    let mut bins = [(0.0, 0.0); BINS];
    for &i in &kept.cells {
        let row = probabilities.row(i);
        let top = (1..row.len()).fold(0, |b, c| if row[c] > row[b] { c } else { b });
        let confidence = f64::from(row[top]);
        if !(0.0..=1.0 + 1e-6).contains(&confidence) {
            return Err(Error::usage("not a probability").expected("0 to 1").found(confidence.to_string()));
        }
        let bin = ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        bins[bin].0 += confidence;
        bins[bin].1 += f64::from(u8::from(truth[i] as usize == top));
    }
    let n = kept.cells.len();
    if n == 0 {
        return Ok(kept.note(Score::undefined("no cells")));
    }
    let error: f64 = bins.iter().map(|(confidence, right)| (confidence - right).abs()).sum();
    Ok(kept.note(Score::new(error / n as f64, n)))
}

/// Accuracy among the most confident cells: for every cell count, falling confidence, `(coverage, accuracy)` at the end
/// of each run of equal confidence. Errors when lengths differ.
pub fn coverage_accuracy(truth: &[u32], predicted: &[u32], confidence: &[f64]) -> Result<Vec<(f64, f64)>> {
    same_number("predictions and cells", truth.len(), predicted.len())?;
    same_number("confidences and cells", truth.len(), confidence.len())?;
    let usable = |&i: &usize| truth[i] != Groups::MISSING && confidence[i].is_finite();
    let mut order: Vec<usize> = (0..truth.len()).filter(usable).collect();
    order.sort_by(|&a, &b| confidence[b].total_cmp(&confidence[a]));
    let (mut seen, mut right, mut curve) = (0, 0, vec![]);
    for run in order.chunk_by(|&a, &b| confidence[a] == confidence[b]) {
        seen += run.len();
        right += run.iter().filter(|&&i| truth[i] == predicted[i]).count();
        curve.push((seen as f64 / order.len() as f64, right as f64 / seen as f64));
    }
    Ok(curve)
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_numerics::resample::Rng;

    #[test]
    fn areas_by_their_definitions() {
        let mut rng = Rng::new(2);
        let mut pairs: Vec<(f32, bool)> =
            (0..80).map(|_| ((rng.below(12) as f32) / 4.0, rng.uniform() < 0.3)).collect();
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (roc, precision) = areas(&pairs).unwrap();
        let (mut wins, mut n) = (0.0, 0.0);
        for p in pairs.iter().filter(|p| p.1) {
            for q in pairs.iter().filter(|p| !p.1) {
                wins += if p.0 > q.0 { 1.0 } else if p.0 == q.0 { 0.5 } else { 0.0 };
                n += 1.0;
            }
        }
        assert!((roc - wins / n).abs() < 1e-12);
        let mean: f64 = pairs
            .iter()
            .filter(|p| p.1)
            .map(|p| {
                let above: Vec<_> = pairs.iter().filter(|q| q.0 >= p.0).collect();
                above.iter().filter(|q| q.1).count() as f64 / above.len() as f64
            })
            .sum();
        assert!((precision - mean / pairs.iter().filter(|p| p.1).count() as f64).abs() < 1e-12);
    }

    #[test]
    fn constant_scores_are_worth_nothing_and_absent_classes_are_counted() {
        let truth = [0, 0, 1, 1, 1, Groups::MISSING];
        let flat = Matrix::zeros(6, 3);
        let (areas, roc, precision) = class_areas(&truth, &flat).unwrap();
        assert_eq!(roc.value, Some(0.5));
        assert_eq!(precision.value, Some(0.5));
        assert_eq!((areas[1].prevalence, areas[1].auprc, areas[2].auroc), (0.6, Some(0.6), None));
        assert!(roc.n_used == 2 && roc.reason.unwrap().contains("1 left out: classes that are absent"));
        assert!(class_areas(&[7; 6], &flat).is_err() && class_areas(&[0; 2], &flat).is_err());
        assert!(class_areas(&[], &Matrix::zeros(0, 2)).unwrap().1.value.is_none());
    }

    #[test]
    fn calibration_and_coverage() {
        let p = Matrix::new(4, 2, vec![0.9, 0.1, 0.9, 0.1, 0.4, 0.6, 0.4, 0.6]).unwrap();
        let score = ece(&[0, 1, 1, 1], &p).unwrap();
        assert!((score.value.unwrap() - (0.8 + 0.8) / 4.0).abs() < 1e-6);
        assert!(ece(&[0; 4], &Matrix::new(4, 1, vec![2.0; 4]).unwrap()).is_err());
        let curve = coverage_accuracy(&[0, 0, 1, 1], &[0, 1, 1, 0], &[0.9, 0.2, 0.9, 0.5]).unwrap();
        assert_eq!(curve, [(0.5, 1.0), (0.75, 2.0 / 3.0), (1.0, 0.5)]);
    }
}
