//! Responses to perturbations: predicted against measured mean expression or change, one row per perturbation.
//!
//! An undefined value (a constant prediction) counts as 0 in a mean of correlations, where leaving it out would reward
//! it, and is counted and named.

use super::definition::{Definition, Need};
use super::score::{Score, same_number};
use microtome_core::{Direction, Error, Matrix, Result};
use microtome_numerics::ranks::pearson;
use rayon::prelude::*;

/// Correlation of predicted and measured change.
pub static PEARSON_DELTA: Definition = Definition {
    id: "pearson_delta",
    version: 1,
    direction: Direction::Higher,
    range: (-1.0, 1.0),
    needs: &[Need::Responses],
    words: "Pearson correlation over genes of predicted and measured change from control, mean over perturbations",
    citation: "Roohani et al. 2024, Nat. Biotechnol. 42:927 (GEARS)",
    deviations: "a constant prediction counts as 0",
};

/// The same without what all perturbations share.
pub static PEARSON_DELTA_SYSTEMA: Definition = Definition {
    id: "pearson_delta_systema",
    words: "Pearson correlation over genes of predicted and measured change from the average perturbed state, which removes \
            what all perturbations share, mean over perturbations",
    citation: "Vinas Torne et al. 2025, Nat. Biotechnol. (Systema@fe087c9)",
    ..PEARSON_DELTA
};

/// Mean absolute error.
pub static MAE: Definition = Definition {
    id: "mae",
    direction: Direction::Lower,
    range: (0.0, f64::INFINITY),
    words: "Mean absolute error over genes, mean over perturbations",
    citation: "ArcInstitute/cell-eval@cb70876",
    deviations: "",
    ..PEARSON_DELTA
};

/// Mean squared error.
pub static MSE: Definition = Definition {
    id: "mse",
    words: "Mean squared error over genes, mean over perturbations",
    ..MAE
};

/// Euclidean error.
pub static L2: Definition = Definition {
    id: "l2",
    words: "Euclidean distance of predicted and measured expression, mean over perturbations",
    citation: "Ahlmann-Eltze et al. 2025, Nat. Methods 22:1657",
    ..MAE
};

/// Size of the predicted effect.
pub static AMPLITUDE_RATIO: Definition = Definition {
    id: "amplitude_ratio",
    range: (0.0, f64::INFINITY),
    words: "Length of the predicted effect over that of the measured one, median over perturbations; 1 is right, and far \
            from 1 explains a high pds_l1",
    citation: "standard",
    deviations: "",
    ..PEARSON_DELTA
};

pub(super) static DEFINITIONS: &[&Definition] =
    &[&PEARSON_DELTA, &PEARSON_DELTA_SYSTEMA, &MAE, &MSE, &L2, &AMPLITUDE_RATIO];

/// Predicted and measured rows of the same perturbations over the same genes.
#[derive(Clone, Debug)]
pub struct Responses<'a> {
    pub(super) predicted: &'a Matrix,
    pub(super) measured: &'a Matrix,
    /// Rows that are finite on both sides.
    pub(super) kept: Vec<usize>,
}

/// A value per perturbation and their mean.
#[derive(Clone, Debug, PartialEq)]
pub struct PerPerturbation {
    /// One value per row; `None` where it is not defined.
    pub values: Vec<Option<f64>>,
    /// The summary the metric's definition names; `n_used` counts perturbations.
    pub score: Score,
}

impl<'a> Responses<'a> {
    /// Pairs rows `[perturbation, gene]`. Rows with a value that is not finite on either side are left out and counted.
    /// Errors when shapes differ.
    pub fn new(predicted: &'a Matrix, measured: &'a Matrix) -> Result<Self> {
        same_number("predicted and measured perturbations", measured.rows(), predicted.rows())?;
        same_number("predicted and measured genes", measured.cols(), predicted.cols())?;
        let finite = |row: &[f32]| row.iter().all(|v| v.is_finite());
        let kept = (0..measured.rows()).filter(|&p| finite(predicted.row(p)) && finite(measured.row(p)));
        Ok(Self { predicted, measured, kept: kept.collect() })
    }

    pub(super) fn n(&self) -> usize {
        self.measured.rows()
    }

    /// Value per kept row.
    fn each(&self, f: impl Fn(&[f32], &[f32]) -> Option<f64> + Sync) -> Vec<Option<f64>> {
        let values: Vec<Option<f64>> =
            self.kept.par_iter().map(|&p| f(self.predicted.row(p), self.measured.row(p))).collect();
        let mut all = vec![None; self.n()];
        self.kept.iter().zip(values).for_each(|(&p, v)| all[p] = v);
        all
    }

    /// Mean over kept rows; undefined ones count as `undefined`, or are left out where that is `None`.
    pub(super) fn mean(&self, values: Vec<Option<f64>>, undefined: Option<f64>, why: &str) -> PerPerturbation {
        let known: Vec<f64> = self.kept.iter().filter_map(|&p| values[p].or(undefined)).collect();
        let missing = self.kept.iter().filter(|&&p| values[p].is_none()).count();
        let mut score = if known.is_empty() {
            Score::undefined("no perturbations")
        } else {
            Score::new(known.iter().sum::<f64>() / known.len() as f64, known.len())
        };
        match undefined {
            None => score = score.excluding(missing, why),
            Some(v) if missing > 0 && missing == self.kept.len() => {
                score = Score::undefined(format!("{why} for every perturbation (each would count as {v})"));
            }
            Some(v) if missing > 0 => score.reason = Some(format!("{missing} count as {v}: {why}")),
            Some(_) => {}
        }
        let score = score.excluding(self.n() - self.kept.len(), "perturbations with values that are not finite");
        PerPerturbation { values, score }
    }
}

/// Correlation of predicted and measured change from `reference`: the control for [`PEARSON_DELTA`], the mean of
/// perturbation centroids (of training perturbations) for [`PEARSON_DELTA_SYSTEMA`].
///
/// Errors when `reference` does not hold one finite value per gene.
pub fn pearson_delta(responses: &Responses<'_>, reference: &[f64]) -> Result<PerPerturbation> {
    same_number("reference values and genes", responses.measured.cols(), reference.len())?;
    if reference.iter().any(|v| !v.is_finite()) {
        return Err(Error::mismatch("the reference state must be finite").expected("finite numbers only"));
    }
    let change = |row: &[f32]| -> Vec<f64> { row.iter().zip(reference).map(|(&v, r)| f64::from(v) - r).collect() };
    // Lengths are equal and values finite, so that a correlation either exists or a side is constant.
    let values = responses.each(|p, m| pearson(&change(p), &change(m)).ok().flatten());
    Ok(responses.mean(values, Some(0.0), "the predicted or measured change is constant"))
}

/// Mean over rows: the reference of Systema when given training perturbations. `None` without rows.
pub fn mean_state(rows: &Matrix) -> Option<Vec<f64>> {
    let mut mean = vec![0.0; rows.cols()];
    for i in 0..rows.rows() {
        mean.iter_mut().zip(rows.row(i)).for_each(|(m, &v)| *m += f64::from(v));
    }
    mean.iter_mut().for_each(|m| *m /= rows.rows() as f64);
    (rows.rows() > 0).then_some(mean)
}

fn error(p: &[f32], m: &[f32], power: impl Fn(f64) -> f64) -> Option<f64> {
    let sum: f64 = p.iter().zip(m).map(|(&p, &m)| power(f64::from(p) - f64::from(m))).sum();
    (!m.is_empty()).then(|| sum / m.len() as f64)
}

/// [`MAE`].
pub fn mae(responses: &Responses<'_>) -> PerPerturbation {
    responses.mean(responses.each(|p, m| error(p, m, f64::abs)), None, "no genes")
}

/// [`MSE`].
pub fn mse(responses: &Responses<'_>) -> PerPerturbation {
    responses.mean(responses.each(|p, m| error(p, m, |d| d * d)), None, "no genes")
}

/// [`L2`].
pub fn l2(responses: &Responses<'_>) -> PerPerturbation {
    let length = |p: &[f32], m: &[f32]| error(p, m, |d| d * d).map(|e| (e * m.len() as f64).sqrt());
    responses.mean(responses.each(length), None, "no genes")
}

/// [`AMPLITUDE_RATIO`]; rows are effects (changes from control).
pub fn amplitude_ratio(effects: &Responses<'_>) -> PerPerturbation {
    let length = |row: &[f32]| row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
    let values = effects.each(|p, m| Some(length(m)).filter(|&l| l > 0.0).map(|l| length(p) / l));
    let kept: Vec<Option<f64>> = effects.kept.iter().map(|&p| values[p]).collect();
    let score = super::score::median_of(&kept, "perturbations without a measured effect")
        .excluding(effects.n() - effects.kept.len(), "perturbations with values that are not finite");
    PerPerturbation { values, score }
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_numerics::resample::Rng;

    fn matrix(cols: usize, data: &[f32]) -> Matrix {
        Matrix::new(data.len() / cols, cols, data.to_vec()).unwrap()
    }

    #[test]
    fn golden_g19() {
        let (p, m) = (matrix(4, &[1.5, 2.0, 2.0, 4.0]), matrix(4, &[1.0, 2.0, 3.0, 5.0]));
        let r = Responses::new(&p, &m).unwrap();
        let delta = pearson_delta(&r, &[1.0; 4]).unwrap();
        assert!((delta.score.value.unwrap() - 0.946_256).abs() < 1e-6);
        assert!((l2(&r).score.value.unwrap() - 1.5).abs() < 1e-9);
        assert!((mae(&r).score.value.unwrap() - 0.625).abs() < 1e-9);
        assert!((mse(&r).score.value.unwrap() - 2.25 / 4.0).abs() < 1e-9);
    }

    fn random(n: usize, g: usize, seed: u64) -> Matrix {
        let mut rng = Rng::new(seed);
        Matrix::new(n, g, (0..n * g).map(|_| rng.normal() as f32).collect()).unwrap()
    }

    #[test]
    fn perfect_predictions_have_no_error() {
        let m = random(40, 25, 1);
        let perfect = Responses::new(&m, &m).unwrap();
        assert_eq!(mae(&perfect).score.value, Some(0.0));
        assert_eq!(amplitude_ratio(&perfect).score.value, Some(1.0));
        assert!((pearson_delta(&perfect, &[0.0; 25]).unwrap().score.value.unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn genes_and_perturbations_in_any_order() {
        let (m, p) = (random(12, 20, 3), random(12, 20, 4));
        let control: Vec<f64> = (0..20).map(|g| f64::from(g as u8) / 10.0).collect();
        let (rows, genes) = (Rng::new(1).permutation(12), Rng::new(2).permutation(20));
        let moved = |x: &Matrix| {
            let mut out = x.select_rows(&rows);
            for (i, &r) in rows.iter().enumerate() {
                genes.iter().enumerate().for_each(|(at, &g)| out.row_mut(i)[at] = x.row(r)[g]);
            }
            out
        };
        let moved_control: Vec<f64> = genes.iter().map(|&g| control[g]).collect();
        let (mm, mp) = (moved(&m), moved(&p));
        let (a, b) = (Responses::new(&p, &m).unwrap(), Responses::new(&mp, &mm).unwrap());
        let value = |s: PerPerturbation| s.score.value.unwrap();
        let d = value(pearson_delta(&a, &control).unwrap()) - value(pearson_delta(&b, &moved_control).unwrap());
        assert!(d.abs() < 1e-12 && (value(l2(&a)) - value(l2(&b))).abs() < 1e-12);
    }

    #[test]
    fn systema_removes_what_all_share() {
        let m = random(50, 30, 5);
        let mut shifted = m.clone();
        (0..50).for_each(|i| shifted.row_mut(i).iter_mut().enumerate().for_each(|(g, v)| *v += (g as f32) / 2.0));
        let mean = mean_state(&shifted).unwrap();
        let all_mean = Matrix::new(50, 30, mean.iter().cycle().take(1500).map(|&v| v as f32).collect()).unwrap();
        let mut wobble = all_mean.clone();
        wobble.data_mut().iter_mut().zip(random(50, 30, 6).data()).for_each(|(v, n)| *v += 0.01 * n);
        let r = Responses::new(&wobble, &shifted).unwrap();
        assert!(pearson_delta(&r, &[0.0; 30]).unwrap().score.value.unwrap() > 0.9);
        assert!(pearson_delta(&r, &mean).unwrap().score.value.unwrap().abs() < 0.1);
    }

    #[test]
    fn edges_have_reasons() {
        let m = matrix(3, &[1.0, 2.0, 4.0, 2.0, 1.0, 0.0, 1.0, 0.0, 5.0]);
        let p = matrix(3, &[1.0, 2.0, 4.0, 1.0, 1.0, 1.0, f32::NAN, 0.0, 0.0]);
        let r = Responses::new(&p, &m).unwrap();
        let delta = pearson_delta(&r, &[0.0; 3]).unwrap();
        assert_eq!((delta.score.value, delta.score.n_used, delta.score.n_excluded), (Some(0.5), 2, 1));
        assert_eq!((delta.values[1], delta.values[2]), (None, None));
        assert!(delta.score.reason.unwrap().contains("1 count as 0"));
        let flat = Matrix::zeros(3, 3);
        let none = pearson_delta(&Responses::new(&flat, &m).unwrap(), &[0.0; 3]).unwrap().score;
        assert!(none.value.is_none() && none.reason.is_some());
        assert_eq!(amplitude_ratio(&Responses::new(&m, &flat).unwrap()).score.value, None);
        let one = m.select_rows(&[0]);
        let empty = Matrix::zeros(0, 3);
        assert!(mae(&Responses::new(&empty, &empty).unwrap()).score.value.is_none());
        assert!(Responses::new(&one, &m).is_err() && pearson_delta(&r, &[0.0]).is_err());
        assert!(mean_state(&empty).is_none());
    }
}
