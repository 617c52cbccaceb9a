use crate::support::{cells, distance, json, numbers, wide};
use microtome_core::Matrix;
use microtome_numerics::logistic::{Logistic, LogisticOptions};
use microtome_numerics::ordinal::{Ordinal, OrdinalOptions};
use microtome_numerics::ranks::{
    Ranked, average_ranks, kendall_resampled, kendall_tau_b, pearson, spearman, spearman_resampled,
    spearman_weighted,
};
use microtome_numerics::resample::{Interval, Rng, Units, bca, percentile};
use microtome_numerics::ridge::{Ridge, RidgeOptions, cross_validated_error, fit_nested};

#[test]
fn rank_correlations_match_scipy() {
    for case in json("ranks.json").as_array().unwrap() {
        let (x, y) = (numbers(&case["x"]), numbers(&case["y"]));
        assert_eq!(average_ranks(&x).unwrap(), numbers(&case["ranks"]));
        let rho = spearman(&x, &y).unwrap().unwrap();
        assert!((rho - case["spearman"].as_f64().unwrap()).abs() < 1e-12);
        let tau = kendall_tau_b(&x, &y).unwrap().unwrap();
        assert!((tau - case["tau"].as_f64().unwrap()).abs() < 1e-12, "{tau} {}", case["tau"]);
    }
}

#[test]
fn undefined_is_none_and_nan_is_an_error() {
    let (flat, rising) = ([2.0; 4], [1.0, 2.0, 3.0, 4.0]);
    for f in [spearman, kendall_tau_b, pearson] {
        assert_eq!(f(&flat, &rising).unwrap(), None);
        assert_eq!(f(&rising, &flat).unwrap(), None);
        assert_eq!(f(&[], &[]).unwrap(), None);
        assert_eq!(f(&[1.0], &[2.0]).unwrap(), None);
        assert_eq!(f(&rising, &rising).unwrap(), Some(1.0));
        assert!(f(&[f64::NAN, 1.0], &[1.0, 2.0]).is_err());
        assert!(f(&rising, &flat[..3]).is_err());
    }
    // A constant whose mean rounds is still constant.
    assert_eq!(pearson(&[0.1; 3], &[1.0, 2.0, 4.0]).unwrap(), None);
    assert_eq!(average_ranks(&[0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY]).unwrap(), [2.5, 2.5, 4.0, 1.0]);
}

#[test]
fn resampled_statistics_equal_the_plain_ones_on_the_drawn_values() {
    let mut rng = Rng::new(11);
    let x: Vec<f64> = (0..150).map(|_| (rng.normal() * 3.0).round()).collect();
    let y: Vec<f64> = x.iter().map(|x| x + 4.0 * rng.normal()).collect();
    let (rx, ry) = (Ranked::new(&x).unwrap(), Ranked::new(&y).unwrap());
    for _ in 0..20 {
        let draw: Vec<usize> = (0..150).map(|_| rng.below(150)).collect();
        let (dx, dy): (Vec<f64>, Vec<f64>) = draw.iter().map(|&i| (x[i], y[i])).unzip();
        let expected = spearman(&dx, &dy).unwrap().unwrap();
        assert!((spearman_resampled(&rx, &ry, &draw).unwrap().unwrap() - expected).abs() < 1e-12);
        let mut weights = vec![0.0; 150];
        draw.iter().for_each(|&i| weights[i] += 1.0);
        assert!((spearman_weighted(&rx, &ry, &weights).unwrap().unwrap() - expected).abs() < 1e-12);
        let tau = kendall_resampled(&rx, &ry, &draw).unwrap();
        assert_eq!(tau, kendall_tau_b(&dx, &dy).unwrap());
        assert!((tau.unwrap() - naive_tau(&dx, &dy)).abs() < 1e-12);
    }
    assert!(spearman_resampled(&rx, &ry, &[150]).is_err());
    assert_eq!(spearman_resampled(&rx, &ry, &[3, 3, 3]).unwrap(), None);
    assert!(spearman_weighted(&rx, &ry, &[-1.0; 150]).is_err());
    assert_eq!(spearman_weighted(&rx, &ry, &[0.0; 150]).unwrap(), None);
}

fn naive_tau(x: &[f64], y: &[f64]) -> f64 {
    let (mut sum, mut untied_x, mut untied_y) = (0.0, 0.0, 0.0);
    for i in 0..x.len() {
        for j in 0..i {
            let sign = |d: f64| if d == 0.0 { 0.0 } else { d.signum() };
            let (a, b) = (sign(x[i] - x[j]), sign(y[i] - y[j]));
            sum += a * b;
            untied_x += a.abs();
            untied_y += b.abs();
        }
    }
    sum / f64::sqrt(untied_x * untied_y)
}

#[test]
fn intervals_match_scipy() {
    let golden = json("interval.json");
    let x = numbers(&golden["x"]);
    let replicates = numbers(&golden["replicates"]);
    let sum: f64 = x.iter().sum();
    let n = x.len() as f64;
    let jackknife: Vec<f64> = x.iter().map(|v| (sum - v) / (n - 1.0)).collect();
    let check = |found: Interval, name: &str| {
        assert!(distance(&[found.low, found.high], &numbers(&golden[name])) < 1e-12, "{name} {found:?}");
    };
    check(bca(&replicates, sum / n, &jackknife, 0.95).unwrap().unwrap(), "bca");
    check(percentile(&replicates, 0.95).unwrap().unwrap(), "percentile");
}

#[test]
fn ridge_matches_scikit_learn() {
    let x = cells();
    for case in json("ridge.json").as_array().unwrap() {
        let (n, d) = (case["n"].as_u64().unwrap() as usize, case["d"].as_u64().unwrap() as usize);
        let part = Matrix::new(n, d, (0..n).flat_map(|i| x.row(i)[..d].to_vec()).collect()).unwrap();
        let fits = case["fits"].as_array().unwrap();
        let alphas = fits.iter().map(|f| f["alpha"].as_f64().unwrap()).collect();
        let options = RidgeOptions { alphas, standardise: true };
        let weights = numbers(&case["weights"]);
        let model = Ridge::fit(&part, &numbers(&case["y"]), 2, Some(&weights), &options).unwrap();
        for (alpha, fit) in fits.iter().enumerate() {
            let (coefficients, intercept) = model.coefficients(alpha).unwrap();
            assert!(distance(&coefficients, &numbers(&fit["coefficients"])) < 1e-10);
            assert!(distance(&intercept, &numbers(&fit["intercept"])) < 1e-10);
            // Prediction by hand.
            let predicted = model.predict(&part, alpha).unwrap();
            let row = wide(part.row(3));
            let by_hand: f64 =
                row.iter().zip(coefficients.chunks(2)).map(|(v, c)| v * c[1]).sum::<f64>() + intercept[1];
            assert!((predicted[7] - by_hand).abs() < 1e-10);
        }
    }
}

#[test]
fn ridge_is_blind_to_what_does_not_vary_and_refuses_nonsense() {
    let x = Matrix::new(4, 2, vec![0.1, 1.0, 0.1, 2.0, 0.1, 3.0, 0.1, 4.0]).unwrap();
    let y = [2.0, 4.0, 6.0, 8.0];
    let options = RidgeOptions { alphas: vec![1e-9], standardise: true };
    let model = Ridge::fit(&x, &y, 1, None, &options).unwrap();
    assert_eq!(model.coefficients(0).unwrap().0[0], 0.0);
    assert!(distance(&model.predict(&x, 0).unwrap(), &y) < 1e-6);
    let moved = Matrix::new(1, 2, vec![1e9, 1.0]).unwrap();
    assert!((model.predict(&moved, 0).unwrap()[0] - 2.0).abs() < 1e-6);
    assert!(Ridge::fit(&x, &y[..3], 1, None, &options).is_err());
    assert!(Ridge::fit(&x, &[1.0, 2.0, f64::NAN, 1.0], 1, None, &options).is_err());
    assert!(Ridge::fit(&x, &y, 1, Some(&[0.0; 4]), &options).is_err());
    assert!(Ridge::fit(&x, &y, 1, Some(&[1.0, 1.0, -1.0, 1.0]), &options).is_err());
    assert!(Ridge::fit(&x, &y, 1, None, &RidgeOptions { alphas: vec![0.0], standardise: true }).is_err());
    assert!(Ridge::fit(&Matrix::zeros(0, 2), &[], 1, None, &options).is_err());
    assert!(model.predict(&Matrix::zeros(1, 3), 0).is_err() && model.predict(&x, 1).is_err());
}

#[test]
fn nested_choice_shrinks_noise_and_keeps_signal() {
    let x = cells();
    let mut rng = Rng::new(1);
    let units = Units::new(&(0..300).map(|i| i % 10).collect::<Vec<u32>>());
    let noise: Vec<f64> = (0..300).map(|_| rng.normal()).collect();
    let signal: Vec<f64> = (0..300).map(|i| f64::from(x.row(i)[0]) + 0.1 * rng.normal()).collect();
    let options = RidgeOptions::default();
    let (_, for_noise) = fit_nested(&x, &noise, 1, &units, 5, 0, &options).unwrap();
    let (model, for_signal) = fit_nested(&x, &signal, 1, &units, 5, 0, &options).unwrap();
    assert!(options.alphas[for_noise] > 100.0 * options.alphas[for_signal]);
    let error = cross_validated_error(&x, &signal, 1, &units, 5, 0, &options).unwrap();
    assert!(error[for_signal] < 0.01, "{error:?}");
    assert!(pearson(&model.predict(&x, for_signal).unwrap(), &signal).unwrap().unwrap() > 0.99);
    // A constant target, one unit, units of other cells: no error rate exists.
    assert!(cross_validated_error(&x, &vec![1.0; 300], 1, &units, 5, 0, &options).is_err());
    assert!(cross_validated_error(&x, &noise, 1, &Units::new(&[0; 300]), 5, 0, &options).is_err());
    assert!(cross_validated_error(&x, &noise, 1, &Units::new(&[0, 1]), 2, 0, &options).is_err());
}

#[test]
fn logistic_regression_matches_scikit_learn() {
    let x = cells();
    for case in json("logistic.json").as_array().unwrap() {
        let (n, d) = (case["n"].as_u64().unwrap() as usize, case["d"].as_u64().unwrap() as usize);
        let part = Matrix::new(n, d, (0..n).flat_map(|i| x.row(i)[..d].to_vec()).collect()).unwrap();
        let classes: Vec<u32> = numbers(&case["classes"]).iter().map(|&c| c as u32).collect();
        let options = LogisticOptions {
            c: case["c"].as_f64().unwrap(),
            balanced: case["balanced"].as_bool().unwrap(),
            tolerance: 1e-10,
            max_iterations: 10_000,
        };
        let model = Logistic::fit(&part, &classes, 3, &options).unwrap();
        let found = model.probabilities(&part).unwrap();
        assert!(distance(&found, &numbers(&case["probabilities"])) < 1e-7, "{}", case["n"]);
    }
}

#[test]
fn ordinal_regression_matches_statsmodels_and_its_definition() {
    let x = cells();
    for case in json("ordinal.json").as_array().unwrap() {
        let number = |key: &str| case[key].as_u64().unwrap() as usize;
        let (n, d) = (number("n"), number("d"));
        let part = Matrix::new(n, d, (0..n).flat_map(|i| x.row(i)[..d].to_vec()).collect()).unwrap();
        let levels: Vec<u32> = numbers(&case["levels"]).iter().map(|&l| l as u32).collect();
        // statsmodels has no penalty; one of 1e-7 moves these probabilities by less than the bound below.
        let alpha = case["alpha"].as_f64().unwrap().max(1e-7);
        let options = OrdinalOptions { alphas: vec![alpha], tolerance: 1e-10, max_iterations: 10_000 };
        let model = Ordinal::fit(&part, &levels, number("n_levels"), &options).unwrap();
        let found = model.probabilities(&part, 0).unwrap();
        let apart = distance(&found, &numbers(&case["probabilities"]));
        assert!(apart < 1e-5, "{n} rows, penalty {alpha}: {apart}");
    }
}
