//! Geometry against naive references and cases whose answer is known.

use super::common::{names, stream};
use microtome_anatomy::Blocks;
use microtome_anatomy::geometry::{
    cka, curvature, depth_curvature, intrinsic_dimension, neighbour_overlap, procrustes, procrustes_of,
    shapes, share, steps,
};
use microtome_core::{Matrix, Silent};
use microtome_numerics::knn::Metric;
use microtome_numerics::resample::Rng;

fn random(rows: usize, cols: usize, seed: u64) -> Matrix {
    let mut rng = Rng::new(seed);
    Matrix::new(rows, cols, (0..rows * cols).map(|_| rng.normal() as f32).collect()).unwrap()
}

/// `x` turned by a product of random reflections, scaled and moved.
fn moved(x: &Matrix, seed: u64) -> Matrix {
    let mut out = x.clone();
    for r in 0..5 {
        let axis = random(1, x.cols(), seed + r);
        let square: f32 = axis.row(0).iter().map(|v| v * v).sum();
        for i in 0..x.rows() {
            let row = out.row_mut(i);
            let along = 2.0 * row.iter().zip(axis.row(0)).map(|(a, b)| a * b).sum::<f32>() / square;
            row.iter_mut().zip(axis.row(0)).for_each(|(v, a)| *v -= along * a);
        }
    }
    out.data_mut().iter_mut().for_each(|v| *v = 3.0 * *v + 1.0);
    out
}

/// Debiased CKA from n x n kernels (Song et al. 2012, eq. 5, written out).
fn dense_cka(x: &Matrix, y: &Matrix) -> f64 {
    let n = x.rows();
    let kernel = |x: &Matrix| -> Vec<f64> {
        let dot = |i: usize, j: usize| {
            x.row(i).iter().zip(x.row(j)).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        (0..n * n).map(|p| if p / n == p % n { 0.0 } else { dot(p / n, p % n) }).collect()
    };
    let hsic = |k: &[f64], l: &[f64]| {
        let m = n as f64;
        let sums = |k: &[f64]| -> Vec<f64> { k.chunks(n).map(|r| r.iter().sum()).collect() };
        let (sk, sl) = (sums(k), sums(l));
        let trace: f64 = k.iter().zip(l).map(|(a, b)| a * b).sum();
        let cross: f64 = sk.iter().zip(&sl).map(|(a, b)| a * b).sum();
        let (tk, tl): (f64, f64) = (sk.iter().sum(), sl.iter().sum());
        trace + tk * tl / ((m - 1.0) * (m - 2.0)) - 2.0 / (m - 2.0) * cross
    };
    let (k, l) = (kernel(x), kernel(y));
    hsic(&k, &l) / (hsic(&k, &k) * hsic(&l, &l)).sqrt()
}

#[test]
fn cka_equals_its_definition_and_is_not_biased() {
    let xs = [stream(0), stream(8), moved(&stream(0), 5)];
    let blocks = Blocks::new(names(3), xs.iter().collect()).unwrap();
    let out = cka(&blocks, &Silent).unwrap();
    for (a, b) in [(0, 1), (1, 2)] {
        assert!((out.at(a, b).value.unwrap() - dense_cka(&xs[a], &xs[b])).abs() < 1e-7);
    }
    assert!((out.at(0, 2).value.unwrap() - 1.0).abs() < 1e-5);
    // Unrelated and wider than long: plain CKA would be near 0.7.
    let pair = [random(40, 200, 1), random(40, 200, 2)];
    let blocks = Blocks::new(names(2), pair.iter().collect()).unwrap();
    assert!(cka(&blocks, &Silent).unwrap().at(0, 1).value.unwrap().abs() < 0.1);
    let flat = Matrix::zeros(40, 200);
    let blocks = Blocks::new(names(2), vec![&pair[0], &flat]).unwrap();
    assert!(cka(&blocks, &Silent).unwrap().at(0, 1).reason.is_some());
}

#[test]
fn rotations_are_undone_and_noise_is_not() {
    let x = random(120, 6, 3);
    let turned = moved(&x, 9);
    let other = random(120, 9, 4);
    let blocks = Blocks::new(names(3), vec![&x, &turned, &other]).unwrap();
    let out = procrustes(&blocks, &Silent).unwrap();
    assert!(out.at(0, 1).value.unwrap() < 1e-5 && out.at(0, 0).value == Some(0.0));
    assert!(out.at(0, 2).value.unwrap() > 0.7);
    let some = procrustes_of(&blocks, &[(0, 2)], &Silent).unwrap();
    assert_eq!((some.at(2, 0), some.at(1, 1).value), (out.at(2, 0), Some(0.0)));
    assert!(some.at(0, 1).reason.is_some());
    let flat = Matrix::zeros(120, 2);
    let blocks = Blocks::new(names(2), vec![&x, &flat]).unwrap();
    assert!(procrustes(&blocks, &Silent).unwrap().at(0, 1).reason.is_some());
}

#[test]
fn neighbours_overlap_by_chance_only_when_unrelated() {
    let xs = [random(400, 5, 1), random(400, 5, 2)];
    let turned = moved(&xs[0], 3);
    let blocks = Blocks::new(names(3), vec![&xs[0], &xs[1], &turned]).unwrap();
    let all = neighbour_overlap(&blocks, 10, Metric::Euclidean, None, 0, &Silent).unwrap();
    assert!(all.at(0, 2).value.unwrap() > 0.995);
    let chance = 10.0 / 399.0;
    assert!((all.at(0, 1).value.unwrap() - chance).abs() < 0.01);
    let some = neighbour_overlap(&blocks, 10, Metric::Euclidean, Some(100), 0, &Silent).unwrap();
    assert_eq!((some.at(0, 0).value, some.at(0, 0).n), (Some(1.0), 100));
    assert!((some.at(0, 1).value.unwrap() - chance).abs() < 0.02);
    assert!(neighbour_overlap(&blocks, 400, Metric::Cosine, None, 0, &Silent).is_err());
}

#[test]
fn intrinsic_dimension_of_known_clouds() {
    // A plane bent into ten dimensions, with repeated rows.
    let mut rng = Rng::new(1);
    let mut data = Vec::new();
    for _ in 0..2000 {
        let (u, v) = (rng.uniform(), rng.uniform());
        data.extend((0..10).map(|c| (u * (1.0 + f64::from(c)) + v * v * f64::from(c % 3)) as f32));
    }
    let first: Vec<f32> = data[..100].to_vec();
    data.extend(first);
    let out = intrinsic_dimension(&Matrix::new(2010, 10, data).unwrap()).unwrap();
    assert_eq!(out.duplicates, 10);
    let fit = out.fit.value.unwrap();
    assert!(
        (1.85..2.15).contains(&fit) && (1.85..2.15).contains(&out.maximum_likelihood.value.unwrap()),
        "{out:?}"
    );
    let five = intrinsic_dimension(&random(3000, 5, 2)).unwrap();
    assert!((4.5..5.4).contains(&five.maximum_likelihood.value.unwrap()), "{five:?}");
    assert!(intrinsic_dimension(&Matrix::zeros(9, 3)).unwrap().fit.reason.is_some());
}

#[test]
fn shape_of_known_clouds() {
    // Variances 4, 1, 1, 0 along axes: two opposite points per axis, so that the mean is 0.
    let mut x = Matrix::zeros(6, 4);
    for (axis, length) in [(0, 2.0f32), (1, 1.0), (2, 1.0)] {
        x.row_mut(2 * axis)[axis] = length;
        x.row_mut(2 * axis + 1)[axis] = -length;
    }
    let blocks = Blocks::new(names(1), vec![&x]).unwrap();
    let out = shapes(&blocks, &Silent).unwrap().remove(0);
    let p = [4.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0];
    let entropy: f64 = p.iter().map(|p: &f64| -p * p.ln()).sum();
    let close = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() < 1e-9;
    assert!(close(out.centred.matrix_entropy.value, entropy));
    assert!(close(out.centred.matrix_entropy_normalised.value, entropy / 4f64.ln()));
    assert!(close(out.centred.effective_rank_variance.value, entropy.exp()));
    let s = [0.5, 0.25, 0.25];
    let singular: f64 = s.iter().map(|p: &f64| -p * p.ln()).sum();
    assert!(close(out.centred.effective_rank_singular.value, singular.exp()));
    assert!(close(out.centred.participation_ratio.value, 36.0 / 18.0));
    assert!(close(out.centred.first_share.value, 4.0 / 6.0));
    // 3 of 15 pairs are opposite, the others at right angles.
    assert!(close(out.mean_cosine.value, -3.0 / 15.0));
    assert!(close(out.mean_norm.value, 4.0 / 3.0));
    // A shared direction shows before centring only; one loud dimension is found. Wider than long takes the other Gram.
    let mut wide = random(50, 80, 5);
    (0..50).for_each(|i| {
        wide.row_mut(i).iter_mut().for_each(|v| *v += 3.0);
        wide.row_mut(i)[7] *= 100.0;
    });
    let blocks = Blocks::new(names(1), vec![&wide]).unwrap();
    let out = shapes(&blocks, &Silent).unwrap().remove(0);
    assert!(out.mean_cosine.value.unwrap() > 0.5 && out.mean_cosine_centred.value.unwrap().abs() < 0.1);
    assert_eq!(out.outlier_dimensions, [7]);
    assert!(out.outlier_share.value.unwrap() > 0.95);
    assert!(out.centred.participation_ratio.value.unwrap() < 1.1);
    let flat = Matrix::zeros(5, 3);
    let blocks = Blocks::new(names(1), vec![&flat]).unwrap();
    let out = shapes(&blocks, &Silent).unwrap().remove(0);
    assert!(out.centred.matrix_entropy.reason.is_some() && out.mean_cosine.value.is_none());
}

#[test]
fn motion_along_depth() {
    let xs: Vec<Matrix> = [[1.0f32, 0.0], [2.0, 0.0], [2.0, 1.0], [2.0, 2.0]]
        .iter()
        .map(|p| Matrix::new(1, 2, p.to_vec()).unwrap())
        .collect();
    let blocks = Blocks::new(names(4), xs.iter().collect()).unwrap();
    let out = steps(&blocks).unwrap();
    assert_eq!(out.len(), 3);
    assert_eq!(
        (out[0].speed.value, out[0].growth.value, out[0].relative_change.value),
        (Some(0.0), Some(2.0), Some(1.0))
    );
    assert!((out[1].speed.value.unwrap() - (1.0 - 2.0 / 5f64.sqrt())).abs() < 1e-12);
    // One right angle, one straight step.
    let quarter = std::f64::consts::FRAC_PI_4;
    assert!((depth_curvature(&blocks).unwrap().value.unwrap() - quarter).abs() < 1e-12);
    let path = Matrix::new(4, 2, vec![1.0, 0.0, 2.0, 0.0, 2.0, 1.0, 2.0, 2.0]).unwrap();
    let along = curvature(&path).unwrap();
    assert!((along.value.unwrap() - quarter).abs() < 1e-12 && along.n == 2);
    assert!(curvature(&Matrix::zeros(2, 2)).unwrap().value.is_none());
    let part = Matrix::new(1, 2, vec![0.0, -2.0]).unwrap();
    let s = share("blocks.0.attn_out", &part, &xs[3]).unwrap();
    assert!((s.length.value.unwrap() - 2.0 / 8f64.sqrt()).abs() < 1e-12);
    assert!((s.cosine.value.unwrap() + 0.5f64.sqrt()).abs() < 1e-12);
    assert!(share("x", &part, &path).is_err());
}
