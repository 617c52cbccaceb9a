//! Proportional-odds regression of ordered levels (McCullagh 1980, J. R. Stat. Soc. B 42:109) with a squared penalty, over
//! several penalties at once.
//!
//! `P(level <= j | x) = sigmoid(t_j - x c)` with rising thresholds `t`. The negative log-likelihood is convex in `t` and `c`
//! together (Pratt 1981) and grows without bound where two thresholds meet, so no constraint is needed.

use std::cmp::Ordering;

use crate::dense::{View, add_product, check_finite_matrix, transpose_product};
use crate::features::{Reduced, Scale};
use crate::lbfgs::{Objective, minimise};
use crate::resample::{Rng, Units, grouped_k_fold};
use microtome_core::{Error, ErrorKind, Matrix, Result};

/// How to fit.
#[derive(Clone, Debug, PartialEq)]
pub struct OrdinalOptions {
    /// Penalties, each above 0.
    pub alphas: Vec<f64>,
    /// Largest gradient entry of the mean loss at which a fit counts as done.
    pub tolerance: f64,
    /// Iterations after which a fit is given up.
    pub max_iterations: usize,
}

impl Default for OrdinalOptions {
    /// Penalties from 1 to 10^4 in decades; stops at 1e-4, gives up after 2,000 iterations.
    fn default() -> Self {
        Self { alphas: (0..5).map(|e| 10f64.powi(e)).collect(), tolerance: 1e-4, max_iterations: 2000 }
    }
}

/// Coefficients `[feature]` and thresholds between present levels for one penalty.
#[derive(Clone, Debug, PartialEq)]
struct Fit {
    coefficients: Vec<f64>,
    thresholds: Vec<f64>,
}

/// Fitted for every penalty: minimises `sum_i -log P(level_i | z_i) + alpha / 2 |c|^2` over features that are centred and
/// scaled to unit variance on the training rows; thresholds are not penalised.
#[derive(Clone, Debug, PartialEq)]
pub struct Ordinal {
    scale: Scale,
    /// Levels with training rows, ascending; the others have probability 0.
    present: Vec<u32>,
    n_levels: usize,
    fits: Vec<Fit>,
}

impl Ordinal {
    /// Fits `levels [n]` (each below `n_levels`) on `x [n, d]`.
    ///
    /// Errors on different lengths, NaN or infinity, fewer than two levels, options out of range, or when the tolerance is
    /// not reached.
    pub fn fit(x: &Matrix, levels: &[u32], n_levels: usize, options: &OrdinalOptions) -> Result<Self> {
        check(x, levels, n_levels, options)?;
        let n = x.rows();
        let mut sizes = vec![0usize; n_levels];
        levels.iter().for_each(|&l| sizes[l as usize] += 1);
        let present: Vec<u32> = (0..n_levels as u32).filter(|&l| sizes[l as usize] > 0).collect();
        if present.len() < 2 {
            return Err(Error::mismatch("fewer than two levels to put in order")
                .expected("training rows of at least two levels")
                .found(format!("{} levels in {n} rows", present.len())));
        }
        let mut place = vec![0; n_levels];
        present.iter().enumerate().for_each(|(at, &l)| place[l as usize] = at);
        let scale = Scale::of(x);
        let features = Reduced::new(scale.apply(x), n, x.cols())?;
        let width = features.width;
        let mut loss = Loss {
            x: &features.values,
            width,
            levels: levels.iter().map(|&l| place[l as usize]).collect(),
            n_thresholds: present.len() - 1,
            penalty: 0.0,
        };
        // Without features, thresholds are the log odds of the shares below them. Strong penalties come first: each fit
        // begins where the next stronger one ended.
        let mut at = vec![0.0; width];
        let mut below = 0;
        for &l in &present[..present.len() - 1] {
            below += sizes[l as usize];
            at.push((below as f64 / (n - below) as f64).ln());
        }
        let mut order: Vec<usize> = (0..options.alphas.len()).collect();
        order.sort_by(|&a, &b| options.alphas[b].total_cmp(&options.alphas[a]));
        let mut fits = vec![Fit { coefficients: vec![], thresholds: vec![] }; order.len()];
        for i in order {
            loss.penalty = options.alphas[i] / n as f64;
            let found = minimise(&loss, at, options.tolerance, options.max_iterations);
            if !found.converged {
                return Err(Error::new(ErrorKind::CheckFailed, "ordinal regression did not converge")
                    .expected(format!("largest gradient entry of at most {}", options.tolerance))
                    .found(format!("{:e} after {} iterations", found.gradient, found.iterations)));
            }
            fits[i] = Fit {
                coefficients: features.of_features(&found.at[..width], 1),
                thresholds: found.at[width..].to_vec(),
            };
            at = found.at;
        }
        Ok(Self { scale, present, n_levels, fits })
    }

    /// Probability of every level, `[row, n_levels]`, for penalty number `alpha`. Errors when the width differs, a value is
    /// not finite, or there is no such penalty.
    pub fn probabilities(&self, x: &Matrix, alpha: usize) -> Result<Vec<f64>> {
        let fit = self.fits.get(alpha).ok_or_else(|| {
            Error::usage("no such penalty")
                .expected(format!("below {}", self.fits.len()))
                .found(alpha.to_string())
        })?;
        let (n, d) = (x.rows(), self.scale.width());
        if x.cols() != d {
            return Err(Error::usage("the matrix has another width than the training rows")
                .expected(d.to_string())
                .found(x.cols().to_string()));
        }
        check_finite_matrix(x, "values to put in order")?;
        let mut along = vec![0.0; n];
        let z = self.scale.apply(x);
        if d > 0 {
            add_product(&mut along, 1, View::new(&z, n, d, d), View::new(&fit.coefficients, d, 1, 1), 1.0);
        }
        let mut out = vec![0.0; n * self.n_levels];
        for (eta, row) in along.iter().zip(out.chunks_exact_mut(self.n_levels)) {
            let mut below = 0.0;
            for (i, &level) in self.present.iter().enumerate() {
                let upto = fit.thresholds.get(i).map_or(1.0, |t| sigmoid(t - eta));
                row[level as usize] = upto - below;
                below = upto;
            }
        }
        Ok(out)
    }
}

/// Chooses the penalty on held-out units among these rows (`n_folds` grouped folds, smallest ranked probability score, the
/// largest penalty among equals), then fits all rows. Returns the fit and the number of the chosen penalty. For a nested
/// protocol give it the training rows of an outer fold.
///
/// The ranked probability score (Epstein 1969) is the squared difference between predicted and true cumulative shares,
/// summed over levels. Unlike the likelihood it is finite for a level that a fold does not hold.
///
/// # Errors
/// As [`Ordinal::fit`], or with fewer units than folds.
pub fn fit_nested(
    x: &Matrix,
    levels: &[u32],
    n_levels: usize,
    units: &Units,
    n_folds: usize,
    seed: u64,
    options: &OrdinalOptions,
) -> Result<(Ordinal, usize)> {
    check(x, levels, n_levels, options)?;
    if units.n_cells() != x.rows() {
        return Err(Error::usage("units and rows differ in number")
            .expected(x.rows().to_string())
            .found(units.n_cells().to_string()));
    }
    let mut score = vec![0.0; options.alphas.len()];
    for fold in grouped_k_fold(units, n_folds, &mut Rng::new(seed))? {
        let pick = |rows: &[usize]| rows.iter().map(|&i| levels[i]).collect::<Vec<u32>>();
        let (train, truth) = (pick(&fold.train), pick(&fold.test));
        if train.iter().all(|l| *l == train[0]) {
            // One level alone has no order to learn.
            continue;
        }
        let model = Ordinal::fit(&x.select_rows(&fold.train), &train, n_levels, options)?;
        let test = x.select_rows(&fold.test);
        for (alpha, score) in score.iter_mut().enumerate() {
            *score += ranked_probability_score(&model.probabilities(&test, alpha)?, &truth, n_levels);
        }
    }
    let chosen = (0..score.len())
        .min_by(|&a, &b| score[a].total_cmp(&score[b]).then(options.alphas[b].total_cmp(&options.alphas[a])))
        .unwrap_or(0);
    Ok((Ordinal::fit(x, levels, n_levels, options)?, chosen))
}

/// Sum over rows.
fn ranked_probability_score(probabilities: &[f64], truth: &[u32], n_levels: usize) -> f64 {
    let of_row = |(row, &level): (&[f64], &u32)| -> f64 {
        let mut upto = 0.0;
        let squares = row.iter().enumerate().map(|(l, p)| {
            upto += p;
            (upto - f64::from(u8::from(level as usize <= l))).powi(2)
        });
        squares.sum()
    };
    probabilities.chunks_exact(n_levels).zip(truth).map(of_row).sum()
}

fn check(x: &Matrix, levels: &[u32], n_levels: usize, options: &OrdinalOptions) -> Result<()> {
    if levels.len() != x.rows() {
        return Err(Error::usage("levels and rows differ in number")
            .expected(x.rows().to_string())
            .found(levels.len().to_string()));
    }
    if let Some(bad) = levels.iter().find(|&&l| l as usize >= n_levels) {
        return Err(Error::usage("level out of range")
            .expected(format!("below {n_levels}"))
            .found(bad.to_string()));
    }
    let alphas = !options.alphas.is_empty() && options.alphas.iter().all(|a| a.is_finite() && *a > 0.0);
    if !(alphas && options.tolerance > 0.0 && options.max_iterations > 0) {
        return Err(Error::usage("ordinal regression setting out of range")
            .expected("penalties, tolerance and iterations above 0")
            .found(format!("{options:?}")));
    }
    check_finite_matrix(x, "values to learn from")
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

/// `ln(1 + e^x)`.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Penalised mean loss of `[width]` coefficients and the thresholds behind them.
struct Loss<'a> {
    /// `[n, width]`.
    x: &'a [f64],
    width: usize,
    levels: Vec<usize>,
    n_thresholds: usize,
    penalty: f64,
}

impl Objective for Loss<'_> {
    fn value_and_gradient(&self, at: &[f64]) -> (f64, Vec<f64>) {
        let (n, w) = (self.levels.len(), self.width);
        let (coefficients, thresholds) = at.split_at(w);
        if thresholds.windows(2).any(|t| t[0].partial_cmp(&t[1]) != Some(Ordering::Less)) {
            // Outside of what is defined: the line search steps back.
            return (f64::INFINITY, vec![0.0; at.len()]);
        }
        let x = View::new(self.x, n, w, w);
        let mut along = vec![0.0; n];
        if w > 0 {
            add_product(&mut along, 1, x, View::new(coefficients, w, 1, 1), 1.0);
        }
        // With a and b the thresholds below and above a level, less eta: P = sigmoid(b) sigmoid(-a) (1 - e^(a-b)).
        let gap = |l: usize| thresholds[l] - thresholds[l - 1];
        let mut value = 0.0;
        let mut of_thresholds = vec![0.0; self.n_thresholds];
        for (eta, &l) in along.iter_mut().zip(&self.levels) {
            let above = thresholds.get(l).map(|t| t - *eta);
            let below = l.checked_sub(1).map(|i| thresholds[i] - *eta);
            let near = if above.is_some() && below.is_some() { gap(l) } else { f64::INFINITY };
            value +=
                above.map_or(0.0, |b| softplus(-b)) + below.map_or(0.0, softplus) - (-(-near).exp()).ln_1p();
            // Both thresholds push each other apart.
            let apart = 1.0 / near.exp_m1();
            let (up, down) = (above.map_or(1.0, sigmoid), below.map_or(0.0, sigmoid));
            if l < self.n_thresholds {
                of_thresholds[l] -= 1.0 - up + apart;
            }
            if l > 0 {
                of_thresholds[l - 1] += down + apart;
            }
            *eta = (1.0 - up - down) / n as f64;
        }
        let mut gradient = vec![0.0; w];
        if w > 0 {
            gradient = transpose_product(x, View::new(&along, n, 1, 1));
        }
        gradient.iter_mut().zip(coefficients).for_each(|(g, c)| *g += self.penalty * c);
        gradient.extend(of_thresholds.iter().map(|g| g / n as f64));
        let norm: f64 = coefficients.iter().map(|c| c * c).sum();
        (value / n as f64 + 0.5 * self.penalty * norm, gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIGHT: f64 = 1e-9;

    fn options(alphas: &[f64]) -> OrdinalOptions {
        OrdinalOptions { alphas: alphas.to_vec(), tolerance: TIGHT, max_iterations: 5000 }
    }

    /// Levels that follow the first two features with logistic noise.
    fn data(n: usize, d: usize, n_levels: usize, seed: u64) -> (Matrix, Vec<u32>) {
        let mut rng = Rng::new(seed);
        let mut x = Matrix::zeros(n, d);
        let mut levels = vec![];
        for i in 0..n {
            x.row_mut(i).iter_mut().for_each(|v| *v = (2.0 * rng.normal() + 1.0) as f32);
            let u = rng.uniform();
            let along = f64::from(x.row(i)[0]) - 0.5 * f64::from(x.row(i)[1]) + (u / (1.0 - u)).ln();
            let level =
                (0..n_levels - 1).filter(|&l| along > 1.5 * (l as f64 - 0.5 * (n_levels - 2) as f64)).count();
            levels.push(level as u32);
        }
        (x, levels)
    }

    #[test]
    fn gradient_is_the_slope_of_the_loss() {
        let (x, levels) = data(40, 3, 4, 1);
        let z = Scale::of(&x).apply(&x);
        let loss = Loss {
            x: &z,
            width: 3,
            levels: levels.iter().map(|&l| l as usize).collect(),
            n_thresholds: 3,
            penalty: 0.3,
        };
        let at = [0.3, -0.2, 0.5, -1.1, 0.2, 0.9];
        let (_, gradient) = loss.value_and_gradient(&at);
        for j in 0..at.len() {
            let shifted = |by: f64| {
                let mut at = at;
                at[j] += by;
                loss.value_and_gradient(&at).0
            };
            let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            assert!((slope - gradient[j]).abs() < 1e-8, "{j}: {slope} {}", gradient[j]);
        }
        assert_eq!(loss.value_and_gradient(&[0.0, 0.0, 0.0, 0.5, 0.2, 0.9]).0, f64::INFINITY);
    }

    #[test]
    fn two_levels_are_logistic_regression() {
        use crate::logistic::{Logistic, LogisticOptions};
        let (x, levels) = data(80, 4, 2, 2);
        let ordinal = Ordinal::fit(&x, &levels, 2, &options(&[2.0])).unwrap();
        // Two columns of opposite sign hold each coefficient at half its size, twice: C = 1 / (2 alpha).
        let o = LogisticOptions { c: 0.25, balanced: false, tolerance: TIGHT, max_iterations: 5000 };
        let logistic = Logistic::fit(&x, &levels, 2, &o).unwrap();
        let (a, b) = (ordinal.probabilities(&x, 0).unwrap(), logistic.probabilities(&x).unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6), "{:?} {:?}", &a[..6], &b[..6]);
    }

    #[test]
    fn more_features_than_rows_give_the_same_minimum() {
        let (x, levels) = data(24, 40, 3, 3);
        let wide = Ordinal::fit(&x, &levels, 3, &options(&[1.0])).unwrap();
        let twice: Vec<usize> = (0..48).map(|i| i % 24).collect();
        let doubled: Vec<u32> = twice.iter().map(|&i| levels[i]).collect();
        let tall = Ordinal::fit(&x.select_rows(&twice), &doubled, 3, &options(&[2.0])).unwrap();
        let (a, b) = (wide.probabilities(&x, 0).unwrap(), tall.probabilities(&x, 0).unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn order_is_learnt_and_a_level_without_rows_has_no_probability() {
        let (x, levels) = data(400, 6, 4, 5);
        let moved: Vec<u32> = levels.iter().map(|&l| if l == 3 { 4 } else { l }).collect();
        let codes: Vec<u32> = (0..400).map(|i| i % 20).collect();
        let o = OrdinalOptions { alphas: vec![1e4, 1.0, 1e-2], ..OrdinalOptions::default() };
        let (model, alpha) = fit_nested(&x, &moved, 6, &Units::new(&codes), 4, 0, &o).unwrap();
        assert_ne!(alpha, 0, "a penalty that leaves nothing is not chosen");
        let p = model.probabilities(&x, alpha).unwrap();
        let expected: Vec<f64> =
            p.chunks_exact(6).map(|p| p.iter().enumerate().map(|(l, p)| l as f64 * p).sum()).collect();
        let truth: Vec<f64> = moved.iter().map(|&l| f64::from(l)).collect();
        let rho = crate::spearman(&expected, &truth).unwrap().unwrap();
        assert!(rho > 0.6, "{rho}");
        for row in p.chunks_exact(6) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12 && row.iter().all(|p| *p >= 0.0));
            assert_eq!((row[3], row[5]), (0.0, 0.0));
        }
        // Many features without any order to learn: a weak penalty fits noise and is not chosen.
        let (x, mut levels) = data(400, 80, 4, 6);
        Rng::new(9).shuffle(&mut levels);
        let (_, alpha) = fit_nested(&x, &levels, 6, &Units::new(&codes), 4, 0, &o).unwrap();
        assert_eq!(alpha, 0);
    }

    #[test]
    fn bad_input_is_refused() {
        let x = Matrix::new(4, 1, vec![0.0, 1.0, 0.2, 0.9]).unwrap();
        let o = OrdinalOptions::default();
        assert!(Ordinal::fit(&x, &[0; 4], 2, &o).is_err());
        assert!(Ordinal::fit(&x, &[0, 1], 2, &o).is_err());
        assert!(Ordinal::fit(&x, &[0, 1, 2, 0], 2, &o).is_err());
        assert!(Ordinal::fit(&x, &[0, 1, 0, 1], 2, &options(&[0.0])).is_err());
        let few = OrdinalOptions { max_iterations: 1, tolerance: 1e-12, ..o.clone() };
        assert!(
            Ordinal::fit(&x, &[0, 1, 0, 1], 2, &few).unwrap_err().to_string().contains("did not converge")
        );
        let flat = Matrix::zeros(4, 9);
        let p =
            Ordinal::fit(&flat, &[0, 1, 1, 2], 3, &options(&[1.0])).unwrap().probabilities(&flat, 0).unwrap();
        assert!((p[0] - 0.25).abs() < 1e-6 && (p[1] - 0.5).abs() < 1e-6, "{p:?}");
    }
}
