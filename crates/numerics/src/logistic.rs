//! Multinomial logistic regression with balanced classes, by L-BFGS.

use crate::dense::{View, add_product, check_finite_matrix, transpose_product};
use crate::features::{Reduced, Scale};
use crate::lbfgs::{Objective, minimise};
use microtome_core::{Error, ErrorKind, Matrix, Result};

/// How to fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogisticOptions {
    /// Inverse strength of the penalty on the coefficients, as scikit-learn's `C`; the intercept is not penalised.
    pub c: f64,
    /// Every class weighs the same in total (`class_weight="balanced"`); otherwise every row does.
    pub balanced: bool,
    /// Largest gradient entry at which the fit counts as done; the loss is the weighted mean over rows.
    pub tolerance: f64,
    /// Iterations after which the fit is given up.
    pub max_iterations: usize,
}

impl Default for LogisticOptions {
    /// C = 1, balanced; stops at scikit-learn's tolerance of 1e-4, gives up after 2,000 iterations.
    fn default() -> Self {
        Self { c: 1.0, balanced: true, tolerance: 1e-4, max_iterations: 2000 }
    }
}

/// A fitted classifier: minimises `sum_i w_i CE_i / sum_i w_i + |W|^2 / (2 C sum_i w_i)` over features that are centred and
/// scaled to unit variance on the training rows (scikit-learn's `StandardScaler` and `LogisticRegression`). The minimum is
/// unique in `W`, so the result does not depend on the way there beyond the tolerance.
#[derive(Clone, Debug, PartialEq)]
pub struct Logistic {
    scale: Scale,
    /// Classes with training rows; the others have probability 0.
    present: Vec<u32>,
    n_classes: usize,
    /// `[feature, present class]`.
    coefficients: Vec<f64>,
    intercept: Vec<f64>,
    /// Iterations that were needed.
    pub iterations: usize,
}

impl Logistic {
    /// Fits `classes [n]` (each below `n_classes`) on `x [n, d]`. With fewer rows than features the problem is solved in
    /// the span of the rows, which gives the same minimum.
    ///
    /// Errors on different lengths, NaN or infinity, fewer than two classes, options out of range, or when the
    /// tolerance is not reached.
    pub fn fit(x: &Matrix, classes: &[u32], n_classes: usize, options: &LogisticOptions) -> Result<Self> {
        let n = x.rows();
        check(x, classes, n_classes, options)?;
        let mut sizes = vec![0.0; n_classes];
        classes.iter().for_each(|&c| sizes[c as usize] += 1.0);
        let present: Vec<u32> = (0..n_classes as u32).filter(|&c| sizes[c as usize] > 0.0).collect();
        let k = present.len();
        if k < 2 {
            return Err(Error::mismatch("fewer than two classes to tell apart")
                .expected("training rows of at least two classes")
                .found(format!("{k} classes in {n} rows")));
        }
        let scale = Scale::of(x);
        let features = Reduced::new(scale.apply(x), n, x.cols())?;
        let width = features.width;
        let weights: Vec<f64> = classes
            .iter()
            .map(|&c| if options.balanced { n as f64 / (k as f64 * sizes[c as usize]) } else { 1.0 })
            .collect();
        let mut place = vec![0; n_classes];
        present.iter().enumerate().for_each(|(at, &c)| place[c as usize] = at);
        let targets: Vec<usize> = classes.iter().map(|&c| place[c as usize]).collect();
        let total: f64 = weights.iter().sum();
        let loss = Loss {
            x: &features.values,
            width,
            k,
            targets,
            weights,
            total,
            penalty: 1.0 / (options.c * total),
        };
        let found = minimise(&loss, vec![0.0; (width + 1) * k], options.tolerance, options.max_iterations);
        if !found.converged {
            return Err(Error::new(ErrorKind::CheckFailed, "logistic regression did not converge")
                .expected(format!("largest gradient entry of at most {}", options.tolerance))
                .found(format!("{:e} after {} iterations", found.gradient, found.iterations)));
        }
        let intercept = found.at[width * k..].to_vec();
        let coefficients = features.of_features(&found.at[..width * k], k);
        Ok(Self { scale, present, n_classes, coefficients, intercept, iterations: found.iterations })
    }

    /// Probability of every class, `[row, n_classes]`. Errors when the width differs or a value is not finite.
    pub fn probabilities(&self, x: &Matrix) -> Result<Vec<f64>> {
        if x.cols() != self.scale.width() {
            return Err(Error::usage("the matrix has another width than the training rows")
                .expected(self.scale.width().to_string())
                .found(x.cols().to_string()));
        }
        check_finite_matrix(x, "values to classify")?;
        let (n, d, k) = (x.rows(), x.cols(), self.present.len());
        let z = self.scale.apply(x);
        let mut logits: Vec<f64> = (0..n).flat_map(|_| self.intercept.iter().copied()).collect();
        add_product(&mut logits, k, View::new(&z, n, d, d), View::new(&self.coefficients, d, k, k), 1.0);
        let mut out = vec![0.0; n * self.n_classes];
        for (row, out) in logits.chunks_exact_mut(k).zip(out.chunks_exact_mut(self.n_classes)) {
            softmax(row);
            self.present.iter().zip(row.iter()).for_each(|(&c, &p)| out[c as usize] = p);
        }
        Ok(out)
    }
}

fn check(x: &Matrix, classes: &[u32], n_classes: usize, options: &LogisticOptions) -> Result<()> {
    if classes.len() != x.rows() {
        return Err(Error::usage("classes and rows differ in number")
            .expected(x.rows().to_string())
            .found(classes.len().to_string()));
    }
    if let Some(bad) = classes.iter().find(|&&c| c as usize >= n_classes) {
        return Err(Error::usage("class out of range")
            .expected(format!("below {n_classes}"))
            .found(bad.to_string()));
    }
    if !(options.c > 0.0 && options.c.is_finite() && options.tolerance > 0.0 && options.max_iterations > 0) {
        return Err(Error::usage("logistic regression setting out of range")
            .expected("C, tolerance and iterations above 0")
            .found(format!("{options:?}")));
    }
    check_finite_matrix(x, "values to learn from")
}

fn softmax(row: &mut [f64]) -> f64 {
    let top = row.iter().copied().fold(f64::MIN, f64::max);
    let mut sum = 0.0;
    for v in row.iter_mut() {
        *v = (*v - top).exp();
        sum += *v;
    }
    row.iter_mut().for_each(|v| *v /= sum);
    top + sum.ln()
}

/// Penalised cross-entropy of `[width + 1, k]` parameters, intercepts last.
struct Loss<'a> {
    x: &'a [f64],
    width: usize,
    k: usize,
    targets: Vec<usize>,
    weights: Vec<f64>,
    total: f64,
    penalty: f64,
}

impl Objective for Loss<'_> {
    fn value_and_gradient(&self, at: &[f64]) -> (f64, Vec<f64>) {
        let (n, w, k) = (self.targets.len(), self.width, self.k);
        let (coefficients, intercept) = at.split_at(w * k);
        let x = View::new(self.x, n, w, w);
        let mut residual: Vec<f64> = (0..n).flat_map(|_| intercept.iter().copied()).collect();
        add_product(&mut residual, k, x, View::new(coefficients, w, k, k), 1.0);
        let mut value = 0.0;
        let mut last = vec![0.0; k];
        for ((row, &t), &weight) in residual.chunks_exact_mut(k).zip(&self.targets).zip(&self.weights) {
            let own = row[t];
            value += weight * (softmax(row) - own);
            row[t] -= 1.0;
            row.iter_mut().for_each(|r| *r *= weight / self.total);
            last.iter_mut().zip(row.iter()).for_each(|(l, r)| *l += r);
        }
        let mut gradient = transpose_product(x, View::new(&residual, n, k, k));
        gradient.iter_mut().zip(coefficients).for_each(|(g, c)| *g += self.penalty * c);
        gradient.extend(last);
        let norm: f64 = coefficients.iter().map(|c| c * c).sum();
        (value / self.total + 0.5 * self.penalty * norm, gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resample::Rng;

    fn data(n: usize, d: usize, k: usize, seed: u64) -> (Matrix, Vec<u32>) {
        let mut rng = Rng::new(seed);
        let classes: Vec<u32> = (0..n).map(|_| (rng.below(k + 2) % k) as u32).collect();
        let mut x = Matrix::zeros(n, d);
        for (i, &c) in classes.iter().enumerate() {
            for (j, v) in x.row_mut(i).iter_mut().enumerate() {
                *v = (3.0 * rng.normal() + if j % k == c as usize { 2.0 } else { 0.0 }) as f32;
            }
        }
        (x, classes)
    }

    const TIGHT: LogisticOptions =
        LogisticOptions { c: 0.7, balanced: true, tolerance: 1e-9, max_iterations: 5000 };

    #[test]
    fn gradient_is_the_slope_of_the_loss() {
        let (x, classes) = data(30, 4, 3, 1);
        let z: Vec<f64> =
            (0..30).flat_map(|i| x.row(i).iter().map(|&v| f64::from(v)).collect::<Vec<_>>()).collect();
        let weights: Vec<f64> = (0..30).map(|i| 1.0 + f64::from(i % 3)).collect();
        let total = weights.iter().sum();
        let targets = classes.iter().map(|&c| c as usize).collect();
        let loss = Loss { x: &z, width: 4, k: 3, targets, weights, total, penalty: 0.2 };
        let mut rng = Rng::new(2);
        let at: Vec<f64> = (0..15).map(|_| 0.3 * rng.normal()).collect();
        let (_, gradient) = loss.value_and_gradient(&at);
        for j in 0..at.len() {
            let shifted = |by: f64| {
                let mut at = at.clone();
                at[j] += by;
                loss.value_and_gradient(&at).0
            };
            let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            assert!((slope - gradient[j]).abs() < 1e-8, "{j}: {slope} {}", gradient[j]);
        }
    }

    #[test]
    fn more_features_than_rows_give_the_same_minimum() {
        // Copies of features with noise-free duplicates: d > n against the same features reduced by hand.
        let (x, classes) = data(24, 40, 3, 3);
        let wide = Logistic::fit(&x, &classes, 3, &TIGHT).unwrap();
        // Zero rows of weight nothing: the same problem with n >= d, by repeating every row (weights stay balanced, and
        // C is halved so that the penalty per row stays the same).
        let twice: Vec<usize> = (0..48).map(|i| i % 24).collect();
        let doubled: Vec<u32> = twice.iter().map(|&i| classes[i]).collect();
        let tall = Logistic::fit(&x.select_rows(&twice), &doubled, 3, &LogisticOptions { c: 0.35, ..TIGHT })
            .unwrap();
        let (a, b) = (wide.probabilities(&x).unwrap(), tall.probabilities(&x).unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn classes_are_told_apart_and_absent_ones_have_no_probability() {
        let (x, classes) = data(200, 8, 4, 5);
        let moved: Vec<u32> = classes.iter().map(|&c| if c == 3 { 5 } else { c }).collect();
        let fit = Logistic::fit(&x, &moved, 6, &LogisticOptions::default()).unwrap();
        let p = fit.probabilities(&x).unwrap();
        let right = p.chunks_exact(6).zip(&moved).filter(|(p, c)| {
            let top = (0..6).max_by(|&a, &b| p[a].total_cmp(&p[b])).unwrap();
            top == **c as usize
        });
        assert!(right.count() > 120);
        for row in p.chunks_exact(6) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert_eq!((row[3], row[4]), (0.0, 0.0));
        }
    }

    #[test]
    fn a_feature_without_variation_and_bad_input_are_handled() {
        let x = Matrix::new(4, 2, vec![7.1, 0.0, 7.1, 1.0, 7.1, 0.2, 7.1, 0.9]).unwrap();
        let fit = Logistic::fit(&x, &[0, 1, 0, 1], 2, &TIGHT).unwrap();
        let far = Matrix::new(1, 2, vec![1e6, 0.0]).unwrap();
        assert!(fit.probabilities(&far).unwrap()[0] > 0.5, "the constant feature does not count");
        let flat = Matrix::zeros(4, 9);
        let p = Logistic::fit(&flat, &[0, 1, 0, 1], 2, &TIGHT).unwrap().probabilities(&flat).unwrap();
        assert!(p.iter().all(|p| (p - 0.5).abs() < 1e-6));
        assert!(Logistic::fit(&x, &[0; 4], 2, &TIGHT).is_err());
        assert!(Logistic::fit(&x, &[0, 1], 2, &TIGHT).is_err());
        assert!(Logistic::fit(&x, &[0, 1, 2, 0], 2, &TIGHT).is_err());
        let few = LogisticOptions { max_iterations: 1, tolerance: 1e-12, ..TIGHT };
        assert!(
            Logistic::fit(&x, &[0, 1, 0, 1], 2, &few).unwrap_err().to_string().contains("did not converge")
        );
    }
}
