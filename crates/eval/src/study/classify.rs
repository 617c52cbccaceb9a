//! The classifiers, on any matrix.

use microtome_core::{Matrix, Result};
use microtome_numerics::class_means::ClassMeans;
use microtome_numerics::logistic::{Logistic, LogisticOptions};
use microtome_numerics::{Metric, knn_between};

/// A classifier of the study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classifier {
    /// Largest coefficient of the cell as a mixture of class means.
    Projection,
    /// Majority of the five nearest cells, features scaled on the training cells (TranscriptFormer's protocol).
    Knn,
    /// Balanced multinomial logistic regression.
    Logistic,
    /// Nearest class mean.
    Centroid,
}

/// All of them with their names.
pub const CLASSIFIERS: [(&str, Classifier); 4] = [
    ("projection", Classifier::Projection),
    ("knn", Classifier::Knn),
    ("logistic", Classifier::Logistic),
    ("centroid", Classifier::Centroid),
];

/// Neighbours that vote.
const NEIGHBOURS: usize = 5;

impl Classifier {
    /// Class of every row of `query`.
    pub(super) fn predict(self, x: &Matrix, classes: &[u32], n: usize, query: &Matrix) -> Result<Vec<u32>> {
        let scores = match self {
            Self::Projection => ClassMeans::new(x, classes, n)?.projection(query)?,
            Self::Centroid => ClassMeans::new(x, classes, n)?.nearness(query)?,
            Self::Logistic => {
                Logistic::fit(x, classes, n, &LogisticOptions::default())?.probabilities(query)?
            }
            Self::Knn => votes(x, classes, n, query)?,
        };
        Ok(scores.chunks_exact(n).map(top).collect())
    }
}

/// The class of the highest score; the first of equals.
pub(super) fn top(scores: &[f64]) -> u32 {
    (1..scores.len()).fold(0, |best, c| if scores[c] > scores[best] { c } else { best }) as u32
}

fn votes(x: &Matrix, classes: &[u32], n: usize, query: &Matrix) -> Result<Vec<f64>> {
    let scaling = Scaling::of(x);
    let near =
        knn_between(&scaling.apply(query), &scaling.apply(x), NEIGHBOURS.min(x.rows()), Metric::Euclidean)?;
    let mut out = vec![0.0; query.rows() * n];
    for (i, out) in out.chunks_exact_mut(n).enumerate() {
        // A tie goes to the class of the nearer cell.
        for (rank, &c) in near.row(i).0.iter().enumerate() {
            out[classes[c as usize] as usize] += 1.0 - 1e-6 * rank as f64;
        }
    }
    Ok(out)
}

/// Centre and unit variance (over n) of every feature.
pub(super) struct Scaling(Vec<(f64, f64)>);

impl Scaling {
    pub(super) fn of(x: &Matrix) -> Self {
        let n = x.rows() as f64;
        let (mut sum, mut squares) = (vec![0.0f64; x.cols()], vec![0.0f64; x.cols()]);
        for i in 0..x.rows() {
            x.row(i).iter().zip(&mut sum).for_each(|(&v, s)| *s += f64::from(v));
        }
        let mean: Vec<f64> = sum.iter().map(|s| s / n).collect();
        for i in 0..x.rows() {
            x.row(i)
                .iter()
                .zip(&mean)
                .zip(&mut squares)
                .for_each(|((&v, m), s)| *s += (f64::from(v) - m).powi(2));
        }
        let scale = |s: &f64| if *s > 0.0 { (n / s).sqrt() } else { 1.0 };
        Self(mean.into_iter().zip(squares.iter().map(scale)).collect())
    }

    pub(super) fn apply(&self, x: &Matrix) -> Matrix {
        let mut out = x.clone();
        for i in 0..out.rows() {
            let row = out.row_mut(i).iter_mut().zip(&self.0);
            row.for_each(|(v, (mean, scale))| *v = ((f64::from(*v) - mean) * scale) as f32);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_numerics::resample::Rng;

    #[test]
    fn every_classifier_tells_apart_what_lies_apart() {
        let mut rng = Rng::new(3);
        let classes: Vec<u32> = (0..60).map(|i| i % 3).collect();
        let mut draw = || {
            let mut m = Matrix::zeros(60, 5);
            for (i, &c) in classes.iter().enumerate() {
                m.row_mut(i).iter_mut().enumerate().for_each(|(j, v)| {
                    *v = (0.3 * rng.normal() + if j == c as usize { 3.0 } else { 1.0 }) as f32;
                });
            }
            m
        };
        let (x, query) = (draw(), draw());
        for (name, c) in CLASSIFIERS {
            let got = c.predict(&x, &classes, 3, &query).unwrap();
            assert_eq!(got, classes, "{name}");
        }
    }
}
