use crate::support::{counts, distance, json, matrix, npy, numbers, wide};
use microtome_core::{Counts, Matrix};
use microtome_numerics::hvg::{Dispersion, normalised_dispersion};
use microtome_numerics::resample::Rng;
use microtome_numerics::{
    Flavour, Pca, highly_variable, highly_variable_by, log1p_cp10k, pca, pca_sparse, random_projection,
    select_genes,
};

fn golden_counts() -> Counts {
    counts(json("hvg.json")["n_genes"].as_u64().unwrap() as usize)
}

fn log_normalised() -> Counts {
    log1p_cp10k(&golden_counts()).unwrap().counts
}

fn dense(x: &Counts) -> Matrix {
    let mut out = Matrix::zeros(x.n_cells(), x.n_genes());
    for i in 0..x.n_cells() {
        let (genes, values) = x.row(i);
        genes.iter().zip(values).for_each(|(&g, &v)| out.row_mut(i)[g as usize] = v);
    }
    out
}

/// scanpy computes in f32: two roundings of values below 10.
#[test]
fn log_normalisation_matches_scanpy() {
    let expected = npy("log_normalised.npy").0;
    let found = wide(&log_normalised().values()[..expected.len()]);
    assert!(distance(&found, &expected) < 2e-6, "{}", distance(&found, &expected));
}

#[test]
fn variable_genes_match_scanpy() {
    let golden = json("hvg.json");
    let x = log_normalised();
    for (flavour, rule, name) in [
        (Flavour::Seurat, Dispersion::Seurat, "seurat"),
        (Flavour::CellRanger, Dispersion::CellRanger, "cell_ranger"),
    ] {
        let kept: Vec<usize> = numbers(&golden[format!("{name}_kept")]).iter().map(|&g| g as usize).collect();
        let part = select_genes(&x, &kept).unwrap();
        let scores = normalised_dispersion(&part, rule).unwrap();
        for (score, expected) in scores.iter().zip(golden[format!("{name}_normalised")].as_array().unwrap()) {
            match (score, expected.as_f64()) {
                (None, None) => {}
                (Some(a), Some(b)) => assert!((a - b).abs() < 2e-4 * (1.0 + b.abs()), "{name}: {a} {b}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        for n_top in [20, 100] {
            let expected: Vec<usize> =
                numbers(&golden[format!("{name}_{n_top}")]).iter().map(|&g| g as usize).collect();
            let found = highly_variable_by(&part, n_top, flavour).unwrap();
            assert_eq!(found.iter().map(|&g| kept[g]).collect::<Vec<_>>(), expected, "{name} {n_top}");
        }
    }
    assert_eq!(highly_variable(&x, 20).unwrap(), highly_variable_by(&x, 20, Flavour::Seurat).unwrap());
}

#[test]
fn variable_genes_of_odd_inputs() {
    // All genes alike: one bin, no spread.
    let flat = Counts::new(3, vec![0, 3, 6], vec![0, 1, 2, 0, 1, 2], vec![1.0; 6]).unwrap();
    assert!(highly_variable(&flat, 2).unwrap_err().what().contains("no highly variable"));
    assert!(highly_variable(&flat.select_cells(&[0]), 2).is_err());
    let negative = Counts::new(1, vec![0, 1, 1], vec![0], vec![-1.0]).unwrap();
    assert!(highly_variable(&negative, 1).is_err());
    assert!(highly_variable(&Counts::empty(4), 1).is_err());
    assert!(highly_variable(&log_normalised(), 0).is_err());
    assert!(highly_variable(&log_normalised(), 100_000).unwrap().len() < 400);
}

fn check_pca(found: &Pca, scores: &Matrix, components: &Matrix, variance: &[f64]) {
    let relative: Vec<f64> = found.explained_variance.iter().zip(variance).map(|(a, b)| a / b).collect();
    assert!(distance(&relative, &vec![1.0; variance.len()]) < 1e-6, "{relative:?}");
    // Signs included: the reference has the same rule.
    assert!(distance(&wide(found.scores.data()), &wide(scores.data())) < 1e-4);
    assert!(distance(&wide(found.components.data()), &wide(components.data())) < 1e-4);
}

/// Input values differ by rounding in f32; the gaps between the leading variances magnify it.
#[test]
fn principal_components_match_scanpy() {
    let x = log_normalised();
    let (scores, components) = (matrix("pca_scores.npy"), matrix("pca_components.npy"));
    let variance = npy("pca_variance.npy").0;
    check_pca(&pca_sparse(&x, 10, 1).unwrap(), &scores, &components, &variance);
    let found = pca(&dense(&x), 10, 1).unwrap();
    check_pca(&found, &scores, &components, &variance);
    assert!(distance(&found.explained_ratio(), &npy("pca_variance_ratio.npy").0) < 1e-7);
    let again = found.transform(&dense(&x)).unwrap();
    assert!(distance(&wide(again.data()), &wide(scores.data())) < 1e-4);
}

/// Sides larger than the dense limits, tall and wide, against the dense path on the same data.
#[test]
fn iterative_and_dense_solvers_agree() {
    let mut rng = Rng::new(8);
    for (n, d) in [(1400, 900), (900, 1400), (1300, 1200), (1200, 1300)] {
        let (mut indptr, mut indices, mut values) = (vec![0], vec![], vec![]);
        for cell in 0..n {
            for gene in 0..d {
                if rng.below(12) == 0 {
                    indices.push(gene as u32);
                    let signal =
                        ((cell % 4) as f64 - 1.5) * f64::from(u8::from(gene % 5 == 0)) + (gene % 9) as f64;
                    values.push((signal + rng.normal()) as f32);
                }
            }
            indptr.push(values.len());
        }
        let x = Counts::new(d, indptr, indices, values).unwrap();
        let (sparse, full) = (pca_sparse(&x, 12, 3).unwrap(), pca(&dense(&x), 12, 4).unwrap());
        for (a, b) in sparse.explained_variance.iter().zip(&full.explained_variance) {
            assert!((a / b - 1.0).abs() < 1e-10, "{n} x {d}: {a} {b}");
        }
        assert!(distance(&wide(sparse.scores.data()), &wide(full.scores.data())) < 1e-4);
        assert!((sparse.total_variance / full.total_variance - 1.0).abs() < 1e-12);
    }
}

#[test]
fn principal_components_of_odd_inputs() {
    // Rank one, one constant column, a large offset.
    let data: Vec<f32> = (0..20).flat_map(|i| [1e6 + i as f32, 7.0, -2.0 * i as f32]).collect();
    let found = pca(&Matrix::new(20, 3, data).unwrap(), 3, 0).unwrap();
    assert!((found.explained_variance[0] - 5.0 * 35.0).abs() < 1e-6, "{:?}", found.explained_variance);
    assert_eq!(found.explained_variance[1..], [0.0, 0.0]);
    assert_eq!(found.components.row(1), [0.0; 3]);
    assert!(found.scores.data().iter().all(|v| v.is_finite()));
    let constant = pca(&Matrix::new(4, 2, vec![3.0; 8]).unwrap(), 2, 0).unwrap();
    assert_eq!(constant.scores, Matrix::zeros(4, 2));
    assert_eq!(constant.explained_ratio(), [0.0, 0.0]);
    assert!(pca(&Matrix::zeros(4, 9), 4, 0).unwrap_err().to_string().contains("1 to 3"));
    assert!(pca(&Matrix::zeros(0, 0), 1, 0).is_err() && pca(&Matrix::zeros(5, 2), 0, 0).is_err());
    assert!(pca(&Matrix::new(2, 1, vec![f32::INFINITY, 0.0]).unwrap(), 1, 0).is_err());
    assert!(pca_sparse(&Counts::new(1, vec![0, 1, 1], vec![0], vec![f32::NAN]).unwrap(), 1, 0).is_err());
    assert!(found.transform(&Matrix::zeros(1, 2)).is_err());
}

#[test]
fn random_projection_keeps_distances_and_cells_apart() {
    let x = log_normalised();
    let projected = random_projection(&x, 400, 3).unwrap();
    let full = dense(&x);
    let squared = |m: &Matrix, i: usize, j: usize| -> f64 {
        m.row(i).iter().zip(m.row(j)).map(|(a, b)| f64::from(a - b).powi(2)).sum()
    };
    for (i, j) in [(0, 1), (5, 90), (20, 100), (33, 34)] {
        let ratio = squared(&projected, i, j) / squared(&full, i, j);
        // Standard deviation of the ratio is sqrt(2 / 400) = 0.07.
        assert!((0.7..1.3).contains(&ratio), "{ratio}");
    }
    assert_eq!(random_projection(&x.select_cells(&[9]), 400, 3).unwrap().row(0), projected.row(9));
    assert_ne!(random_projection(&x, 400, 4).unwrap(), projected);
    assert!(random_projection(&x, 0, 3).is_err());
}
