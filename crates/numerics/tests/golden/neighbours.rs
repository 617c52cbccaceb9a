use crate::support::{cells, distance, npy, wide};
use microtome_core::Matrix;
use microtome_numerics::resample::Rng;
use microtome_numerics::{Knn, Metric, exact_knn, knn_between};

#[test]
fn all_metrics_match_scikit_learn() {
    for metric in [Metric::Euclidean, Metric::Cosine, Metric::Correlation] {
        let knn = exact_knn(&cells(), 15, metric).unwrap();
        let indices = npy(&format!("knn_{metric}_indices.npy")).0;
        assert_eq!(knn.indices, indices.iter().map(|&v| v as u32).collect::<Vec<_>>(), "{metric}");
        // Stored as f32.
        if metric == Metric::Euclidean {
            assert!(distance(&wide(&knn.distances), &npy("knn_euclidean_distances.npy").0) < 4e-6);
        } else {
            let last: Vec<f64> = (0..knn.n).map(|i| f64::from(knn.row(i).1[14])).collect();
            assert!(distance(&last, &npy(&format!("knn_{metric}_last.npy")).0) < 2e-7);
        }
    }
}

/// The definition, pair by pair in f64.
fn naive(query: &Matrix, reference: &Matrix, k: usize, metric: Metric, exclude_self: bool) -> Knn {
    let prepare = |m: &Matrix| -> Vec<Vec<f64>> {
        (0..m.rows())
            .map(|i| {
                let mut v = wide(m.row(i));
                if metric == Metric::Correlation {
                    let constant = v.iter().all(|x| *x == v[0]);
                    let mean = v.iter().sum::<f64>() / v.len() as f64;
                    v.iter_mut().for_each(|x| *x = if constant { 0.0 } else { *x - mean });
                }
                if metric != Metric::Euclidean {
                    let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
                    if length > 0.0 {
                        v.iter_mut().for_each(|x| *x /= length);
                    }
                }
                v
            })
            .collect()
    };
    let (q, r) = (prepare(query), prepare(reference));
    let (mut indices, mut distances) = (vec![], vec![]);
    for (i, a) in q.iter().enumerate() {
        let mut all: Vec<(f64, u32)> = r
            .iter()
            .enumerate()
            .filter(|(j, _)| !(exclude_self && *j == i))
            .map(|(j, b)| {
                let squared: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
                let pointless = |v: &[f64]| v.iter().all(|x| *x == 0.0);
                let measure = match metric {
                    Metric::Euclidean => squared,
                    _ if pointless(a) || pointless(b) => 1.0,
                    _ => 0.5 * squared,
                };
                (measure, j as u32)
            })
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for &(measure, j) in &all[..k] {
            indices.push(j);
            distances.push(if metric == Metric::Euclidean { measure.sqrt() } else { measure } as f32);
        }
    }
    Knn { n: query.rows(), k, indices, distances }
}

fn random(rows: usize, cols: usize, seed: u64, f: impl Fn(usize, f64) -> f64) -> Matrix {
    let mut rng = Rng::new(seed);
    let data = (0..rows * cols).map(|i| f(i / cols, rng.normal()) as f32).collect();
    Matrix::new(rows, cols, data).unwrap()
}

/// Inputs on which a plain `|x|^2 + |y|^2 - 2xy` in f32 goes wrong.
fn hostile() -> Vec<(&'static str, Matrix)> {
    vec![
        ("far from the origin", random(700, 20, 1, |_, z| 1e4 + z)),
        ("two far clouds", random(700, 20, 2, |i, z| if i % 2 == 0 { 1e5 + z } else { -1e5 + z })),
        ("an outlier", random(700, 20, 3, |i, z| if i == 5 { 1e12 } else { z })),
        ("many scales", random(700, 20, 4, |i, z| z * 10f64.powi(i as i32 % 30 - 15))),
        ("few distinct rows", random(1500, 6, 5, |i, _| f64::from((i * 7 % 5) as u8))),
        ("all equal", random(1500, 6, 6, |_, _| 3.0)),
        ("a grid full of ties", random(1500, 3, 7, |_, z| z.round())),
        ("zeros among others", random(1500, 5, 8, |i, z| if i % 3 == 0 { 0.0 } else { z.round() })),
        ("tiny", random(700, 4, 9, |_, z| z * 1e-38)),
        ("one column", random(2500, 1, 10, |_, z| z)),
    ]
}

#[test]
fn exact_on_inputs_where_the_expanded_form_cancels() {
    for (name, x) in hostile() {
        for metric in [Metric::Euclidean, Metric::Cosine, Metric::Correlation] {
            for k in [1, 17] {
                let found = exact_knn(&x, k, metric).unwrap();
                assert!(found == naive(&x, &x, k, metric, true), "{name}, {metric}, k = {k}");
            }
        }
    }
}

#[test]
fn two_sets_keep_equal_rows() {
    let x = cells();
    let reference = x.select_rows(&(0..200).collect::<Vec<_>>());
    let query = x.select_rows(&(150..300).collect::<Vec<_>>());
    for metric in [Metric::Euclidean, Metric::Cosine, Metric::Correlation] {
        let found = knn_between(&query, &reference, 200, metric).unwrap();
        assert_eq!(found, naive(&query, &reference, 200, metric, false));
        assert_eq!((found.row(0).0[0], found.row(0).1[0]), (150, 0.0));
    }
}

#[test]
fn same_result_for_any_number_of_threads() {
    let x = random(3000, 30, 1, |_, z| z);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| exact_knn(&x, 10, Metric::Euclidean).unwrap())
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn refuses_what_has_no_answer() {
    let x = cells();
    assert!(exact_knn(&x, 300, Metric::Euclidean).unwrap_err().to_string().contains("1 to 299"));
    assert!(exact_knn(&x, 0, Metric::Euclidean).is_err());
    assert!(exact_knn(&Matrix::zeros(0, 3), 1, Metric::Euclidean).is_err());
    let mut bad = x.clone();
    bad.row_mut(3)[2] = f32::NAN;
    assert!(exact_knn(&bad, 5, Metric::Cosine).unwrap_err().to_string().contains("row 3, column 2"));
    assert!(knn_between(&x, &Matrix::zeros(4, 2), 1, Metric::Euclidean).is_err());
    assert!("manhattan".parse::<Metric>().is_err());
    let no_columns = exact_knn(&Matrix::zeros(4, 0), 2, Metric::Euclidean).unwrap();
    assert_eq!(no_columns.row(2), (&[0u32, 1][..], &[0.0f32, 0.0][..]));
}
