//! Telling perturbations apart: whether a prediction is nearer to its own measured effect than to those of others.

use super::definition::{Definition, Need};
use super::perturbation::{PerPerturbation, Responses};
use super::score::{Score, same_number};
use microtome_core::{Direction, Error, Result};
use rayon::prelude::*;

/// Perturbation discrimination by Manhattan distance.
pub static PDS_L1: Definition = Definition {
    id: "pds_l1",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Responses],
    words: "Perturbation discrimination: share of measured effects that are farther (Manhattan) from a predicted effect than \
            the right one, target gene excluded, mean over perturbations; rewards exaggerated amplitudes, see pds_cosine",
    citation: "Virtual Cell Challenge 2025; ArcInstitute/cell-eval@cb70876",
    deviations: "equally near effects count half (reference: by order)",
};

/// Perturbation discrimination by angle.
pub static PDS_COSINE: Definition = Definition {
    id: "pds_cosine",
    words: "Perturbation discrimination: share of measured effects that are farther (cosine) from a predicted effect than \
            the right one, target gene excluded, mean over perturbations",
    ..PDS_L1
};

/// Centroid accuracy.
pub static CENTROID_ACCURACY: Definition = Definition {
    id: "centroid_accuracy",
    words: "Share of the other measured centroids that are farther from a prediction than its own, mean over perturbations",
    citation: "Vinas Torne et al. 2025, Nat. Biotechnol. (Systema@fe087c9)",
    deviations: "equally far centroids count half",
    ..PDS_L1
};

pub(super) static DEFINITIONS: &[&Definition] = &[&PDS_L1, &PDS_COSINE, &CENTROID_ACCURACY];

/// How effects are compared in the perturbation discrimination score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discrimination {
    /// Sum of absolute differences: [`PDS_L1`].
    L1,
    /// 1 - cosine: [`PDS_COSINE`]. An effect of zeros is at distance 1 from all.
    Cosine,
}

/// What happens to effects that are equally near.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ties {
    /// Half of them count as nearer.
    Half,
    /// Those of smaller row number count as nearer, as published.
    Order,
}

/// `1 - rank / n` of the right effect among all measured ones, nearest first from 0.
///
/// Rows are effects (changes from control); `targets[p]` is the gene that perturbation `p` hits, which is left out of
/// its comparisons (`None`: no gene). Chance is `0.5 + 1 / 2n`. Errors when lengths differ or a target is no gene.
pub fn discrimination(
    effects: &Responses<'_>,
    targets: &[Option<usize>],
    distance: Discrimination,
    ties: Ties,
) -> Result<PerPerturbation> {
    same_number("targets and perturbations", effects.n(), targets.len())?;
    if let Some(bad) = targets.iter().flatten().find(|&&t| t >= effects.measured.cols()) {
        return Err(Error::usage("a target is not a gene")
            .expected(format!("below {}", effects.measured.cols()))
            .found(bad.to_string()));
    }
    let candidates = &effects.kept;
    let own_value = |&p: &usize| {
        let query = effects.predicted.row(p);
        let to = |q: usize| match distance {
            Discrimination::L1 => manhattan(query, effects.measured.row(q), targets[p]),
            Discrimination::Cosine => cosine_distance(query, effects.measured.row(q), targets[p]),
        };
        let own = to(p);
        let mut rank = 0.0;
        for &q in candidates.iter().filter(|&&q| q != p) {
            let d = to(q);
            if d < own || (d == own && ties == Ties::Order && q < p) {
                rank += 1.0;
            } else if d == own && ties == Ties::Half {
                rank += 0.5;
            }
        }
        1.0 - rank / candidates.len() as f64
    };
    let found: Vec<f64> = candidates.par_iter().map(own_value).collect();
    let mut values = vec![None; effects.n()];
    candidates.iter().zip(found).for_each(|(&p, v)| values[p] = Some(v));
    let mut out = effects.mean(values, None, "");
    if candidates.len() == 1 {
        out.score = Score::undefined("a single perturbation cannot be told from others");
    }
    Ok(out)
}

fn manhattan(a: &[f32], b: &[f32], skip: Option<usize>) -> f64 {
    let sum = |a: &[f32], b: &[f32]| -> f64 {
        let mut lanes = [0.0f64; 8];
        for (a, b) in a.chunks(8).zip(b.chunks(8)) {
            for (l, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                *l += (f64::from(*a) - f64::from(*b)).abs();
            }
        }
        lanes.iter().sum()
    };
    match skip {
        None => sum(a, b),
        Some(g) => sum(&a[..g], &b[..g]) + sum(&a[g + 1..], &b[g + 1..]),
    }
}

fn cosine_distance(a: &[f32], b: &[f32], skip: Option<usize>) -> f64 {
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (g, (&x, &y)) in a.iter().zip(b).enumerate() {
        if Some(g) != skip {
            let (x, y) = (f64::from(x), f64::from(y));
            ab += x * y;
            aa += x * x;
            bb += y * y;
        }
    }
    if aa > 0.0 && bb > 0.0 { 1.0 - ab / (aa * bb).sqrt() } else { 1.0 }
}

/// [`CENTROID_ACCURACY`]; Euclidean.
pub fn centroid_accuracy(responses: &Responses<'_>) -> PerPerturbation {
    let others = responses.kept.len().saturating_sub(1);
    let distance = |p: usize, q: usize| -> f64 {
        let pair = responses.predicted.row(p).iter().zip(responses.measured.row(q));
        pair.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
    };
    let share = |&p: &usize| {
        let own = distance(p, p);
        let far = responses.kept.iter().filter(|&&q| q != p).map(|&q| {
            let d = distance(p, q);
            if d > own {
                1.0
            } else if d == own {
                0.5
            } else {
                0.0
            }
        });
        (others > 0).then(|| far.sum::<f64>() / others as f64)
    };
    let found: Vec<Option<f64>> = responses.kept.par_iter().map(share).collect();
    let mut values = vec![None; responses.n()];
    responses.kept.iter().zip(found).for_each(|(&p, v)| values[p] = v);
    responses.mean(values, None, "a single perturbation has no others")
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_core::Matrix;
    use microtome_numerics::resample::Rng;

    fn matrix(cols: usize, data: &[f32]) -> Matrix {
        Matrix::new(data.len() / cols, cols, data.to_vec()).unwrap()
    }

    #[test]
    fn golden_g15() {
        let m = matrix(4, &[1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
        let p = matrix(4, &[0.5, 0.5, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let r = Responses::new(&p, &m).unwrap();
        let targets = [Some(0), Some(1), Some(2)];
        let order = discrimination(&r, &targets, Discrimination::L1, Ties::Order).unwrap();
        let close = |got: &[Option<f64>], want: [f64; 3]| {
            assert!(got.iter().zip(want).all(|(g, w)| (g.unwrap() - w).abs() < 1e-6), "{got:?}");
        };
        close(&order.values, [1.0, 0.666_667, 0.666_667]);
        assert!((order.score.value.unwrap() - 0.777_778).abs() < 1e-6);
        let half = discrimination(&r, &targets, Discrimination::L1, Ties::Half).unwrap();
        close(&half.values, [1.0, 0.666_667, 0.833_333]);
    }

    fn random(n: usize, g: usize, seed: u64) -> Matrix {
        let mut rng = Rng::new(seed);
        Matrix::new(n, g, (0..n * g).map(|_| rng.normal() as f32).collect()).unwrap()
    }

    #[test]
    fn perfect_and_chance_predictions() {
        let m = random(40, 25, 1);
        let targets: Vec<Option<usize>> = (0..40).map(|p| (p % 3 > 0).then_some(p % 25)).collect();
        let perfect = Responses::new(&m, &m).unwrap();
        let noise = random(40, 25, 2);
        let chance = Responses::new(&noise, &m).unwrap();
        for kind in [Discrimination::L1, Discrimination::Cosine] {
            let score = |r: &Responses<'_>| discrimination(r, &targets, kind, Ties::Half).unwrap().score.value.unwrap();
            assert_eq!(score(&perfect), 1.0);
            assert!((score(&chance) - (0.5 + 1.0 / 80.0)).abs() < 0.1);
            // A prediction that is the same for all perturbations is chance exactly on average over permutations.
            let same = m.select_rows(&[0; 40]);
            let flat = Matrix::zeros(40, 25);
            assert!((score(&Responses::new(&flat, &m).unwrap()) - 0.5).abs() < 0.02);
            assert!((score(&Responses::new(&same, &m).unwrap()) - 0.5).abs() < 0.1);
        }
        assert_eq!(centroid_accuracy(&perfect).score.value, Some(1.0));
        assert!((centroid_accuracy(&chance).score.value.unwrap() - 0.5).abs() < 0.1);
    }

    #[test]
    fn amplitude_tricks_move_l1_but_not_cosine() {
        let (m, noise) = (random(30, 50, 1), random(30, 50, 2));
        let mut p = m.clone();
        p.data_mut().iter_mut().zip(noise.data()).for_each(|(v, n)| *v += 2.0 * n);
        let mut loud = p.clone();
        loud.data_mut().iter_mut().for_each(|v| *v *= 1024.0);
        let score = |p: &Matrix, kind| {
            discrimination(&Responses::new(p, &m).unwrap(), &[None; 30], kind, Ties::Half).unwrap().score.value.unwrap()
        };
        assert!((score(&p, Discrimination::Cosine) - score(&loud, Discrimination::Cosine)).abs() < 1e-12);
        assert!((score(&p, Discrimination::L1) - score(&loud, Discrimination::L1)).abs() > 1e-3);
    }

    #[test]
    fn genes_and_perturbations_in_any_order() {
        let (m, p) = (random(12, 20, 3), random(12, 20, 4));
        let (rows, genes) = (Rng::new(1).permutation(12), Rng::new(2).permutation(20));
        let moved = |x: &Matrix| {
            let mut out = x.select_rows(&rows);
            for (i, &r) in rows.iter().enumerate() {
                genes.iter().enumerate().for_each(|(at, &g)| out.row_mut(i)[at] = x.row(r)[g]);
            }
            out
        };
        let (mm, mp) = (moved(&m), moved(&p));
        let (a, b) = (Responses::new(&p, &m).unwrap(), Responses::new(&mp, &mm).unwrap());
        let t: Vec<Option<usize>> = (0..12).map(Some).collect();
        let mt: Vec<Option<usize>> = rows.iter().map(|&r| genes.iter().position(|&g| g == r)).collect();
        for kind in [Discrimination::L1, Discrimination::Cosine] {
            let pds = |r: &Responses<'_>, t: &[Option<usize>]| {
                discrimination(r, t, kind, Ties::Half).unwrap().score.value.unwrap()
            };
            assert!((pds(&a, &t) - pds(&b, &mt)).abs() < 1e-12);
        }
    }

    #[test]
    fn edges_have_reasons() {
        let m = matrix(3, &[1.0, 2.0, 4.0, 2.0, 1.0, 0.0, 1.0, 0.0, 5.0]);
        let p = matrix(3, &[1.0, 2.0, 4.0, 1.0, 1.0, 1.0, f32::NAN, 0.0, 0.0]);
        let r = Responses::new(&p, &m).unwrap();
        let found = discrimination(&r, &[None; 3], Discrimination::L1, Ties::Half).unwrap();
        assert_eq!((found.values[2], found.score.n_used, found.score.n_excluded), (None, 2, 1));
        let one = m.select_rows(&[0]);
        let single = Responses::new(&one, &one).unwrap();
        assert!(discrimination(&single, &[None], Discrimination::L1, Ties::Half).unwrap().score.value.is_none());
        assert!(centroid_accuracy(&single).score.value.is_none());
        assert!(discrimination(&r, &[Some(3), None, None], Discrimination::L1, Ties::Half).is_err());
        assert!(discrimination(&r, &[None], Discrimination::L1, Ties::Half).is_err());
    }
}
