//! Roughness of a property over an embedding: ROGI, ROGI-XD and the error of nearest neighbours.
//!
//! Cells are merged by complete linkage; what the property loses in spread as cells merge is its smoothness. Higher is
//! rougher: near cells differ.

use super::definition::{Definition, Need};
use super::score::{Score, same_number};
use microtome_core::{Direction, Error, Matrix, Result};
use microtome_numerics::distances::Distance;
use microtome_numerics::hierarchical::{Condensed, Merge, complete_linkage};
use microtome_numerics::knn::Knn;
use microtome_numerics::resample::Rng;

/// Roughness index.
pub static ROGI: Definition = Definition {
    id: "rogi",
    version: 1,
    direction: Direction::Lower,
    range: (0.0, 1.0),
    needs: &[Need::Embedding, Need::Property],
    words: "Roughness of a property: loss of spread as cells merge with distance; shrinks with dimension, compare rogi_xd",
    citation: "Aldeghi et al. 2022, J. Chem. Inf. Model. 62:4660; coleygroup/rogi@a6e1687",
    deviations: "above 4000 cells a sample is drawn",
};

/// Roughness index comparable over dimensions.
pub static ROGI_XD: Definition = Definition {
    id: "rogi_xd",
    words: "Roughness of a property: loss of spread as the number of clusters falls; comparable over dimensions",
    citation: "Graff et al. 2023, J. Chem. Inf. Model. 63:5709; coleygroup/rogi-xd@30639e6",
    ..ROGI
};

/// Error of nearest neighbours.
pub static KNN_ROUGHNESS: Definition = Definition {
    id: "knn_roughness",
    words: "Root mean squared error of predicting a property, scaled to 0..1, by the mean of a cell's nearest neighbours",
    citation: "coleygroup/rogi-xd@30639e6",
    deviations: "",
    ..ROGI
};

pub(super) static DEFINITIONS: &[&Definition] = &[&ROGI, &ROGI_XD, &KNN_ROUGHNESS];

/// Most cells in one tree.
pub const MAX_CELLS: usize = 4000;
/// Smallest step of the distance between thresholds.
const STEP: f64 = 0.01;

/// The merging of some cells, for any number of properties.
#[derive(Clone, Debug)]
pub struct Tree {
    merges: Vec<Merge>,
    cells: Vec<usize>,
    not_drawn: usize,
    not_finite: usize,
    reason: Option<&'static str>,
}

/// Roughness of one property.
#[derive(Clone, Debug, PartialEq)]
pub struct Roughness {
    /// [`ROGI`].
    pub rogi: Score,
    /// [`ROGI_XD`].
    pub xd: Score,
}

impl Tree {
    /// Merges cells by complete linkage of distances divided by the largest that the ranges of the columns allow
    /// (Euclidean) or by 2 (cosine). Above [`MAX_CELLS`] cells that many are drawn with `seed`. Cells with values that
    /// are not finite are left out. Errors for squared distances, which have no such scale.
    pub fn of(x: &Matrix, distance: Distance, seed: u64) -> Result<Self> {
        let mut cells: Vec<usize> = (0..x.rows()).filter(|&i| x.row(i).iter().all(|v| v.is_finite())).collect();
        let not_finite = x.rows() - cells.len();
        let n = cells.len();
        if n > MAX_CELLS {
            let mut drawn = Rng::new(seed).choose(n, MAX_CELLS);
            drawn.sort_unstable();
            cells = drawn.into_iter().map(|d| cells[d]).collect();
        }
        let rows = x.select_rows(&cells);
        let largest = match distance {
            Distance::Euclidean => (0..rows.cols()).map(|c| range(&rows, c).powi(2)).sum::<f64>().sqrt(),
            Distance::Cosine => 2.0,
            Distance::SquaredEuclidean => {
                return Err(Error::usage("roughness needs a distance")
                    .expected("Euclidean or cosine")
                    .found("squared Euclidean"));
            }
        };
        let reason = match cells.len() {
            0..=2 => Some("fewer than three cells"),
            _ => (largest <= 0.0).then_some("every cell is at the same place"),
        };
        let mut merges = vec![];
        if reason.is_none() {
            let mut distances = Condensed::of(&rows, distance)?;
            distances.divide(largest);
            merges = complete_linkage(distances);
        }
        Ok(Self { merges, not_drawn: n - cells.len(), cells, not_finite, reason })
    }

    /// Roughness of `y`, a number per cell of the whole data set. Errors when there are not that many, and when a drawn
    /// cell has none (NaN), because the tree was grown with it.
    pub fn roughness(&self, y: &[f64]) -> Result<Roughness> {
        same_number("property and cells", self.cells.len() + self.not_drawn + self.not_finite, y.len())?;
        let y: Vec<f64> = self.cells.iter().map(|&i| y[i]).collect();
        if let Some(bad) = y.iter().find(|v| !v.is_finite()) {
            return Err(Error::mismatch("the property must be known for every cell")
                .expected("finite numbers")
                .found(bad.to_string())
                .remedy("grow the tree from the cells with a property"));
        }
        let (low, high) = y.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
        let note = |score: Score| {
            score
                .excluding(self.not_finite, "cells with values that are not finite")
                .excluding(self.not_drawn, "cells not drawn for the sample")
        };
        let reason = self.reason.or_else(|| (low == high).then_some("the property is the same in every cell"));
        if let Some(reason) = reason {
            let none = note(Score::undefined(reason));
            return Ok(Roughness { rogi: none.clone(), xd: none });
        }
        let y: Vec<f64> = y.iter().map(|v| (v - low) / (high - low)).collect();
        let curve = curve(&self.merges, &y);
        let n = (y.len() as f64).ln();
        let index = |x: &dyn Fn(&Point) -> f64| {
            let area = curve.windows(2).map(|w| 0.5 * (w[0].spread + w[1].spread) * (x(&w[1]) - x(&w[0])));
            note(Score::new(curve[0].spread - area.sum::<f64>(), y.len()))
        };
        Ok(Roughness {
            rogi: index(&|p| p.threshold),
            xd: index(&|p| 1.0 - (p.n_clusters as f64).ln() / n),
        })
    }

    /// One class against the rest for every class, averaged by class size: ROGI-XD, with the smallest and largest class.
    /// Errors as [`Self::roughness`]; every cell needs a label.
    pub fn roughness_of_labels(&self, labels: &[u32]) -> Result<(Score, Option<(f64, f64)>)> {
        let mut codes = labels.to_vec();
        codes.sort_unstable();
        codes.dedup();
        let (mut sum, mut weight, mut values) = (0.0, 0.0, vec![]);
        let mut last = None;
        for code in codes {
            let y: Vec<f64> = labels.iter().map(|&l| f64::from(u8::from(l == code))).collect();
            let xd = self.roughness(&y)?.xd;
            if let Some(v) = xd.value {
                let size = y.iter().sum::<f64>();
                sum += size * v;
                weight += size;
                values.push(v);
            }
            last = Some(xd);
        }
        let Some(last) = last else { return Ok((Score::undefined("no cells"), None)) };
        if values.is_empty() {
            return Ok((last, None));
        }
        let range = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
        Ok((Score { value: Some(sum / weight), ..last }, Some(range)))
    }
}

fn range(x: &Matrix, column: usize) -> f64 {
    let values = (0..x.rows()).map(|i| f64::from(x.row(i)[column]));
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    (high - low).max(0.0)
}

struct Point {
    threshold: f64,
    n_clusters: usize,
    /// Twice the standard deviation of cluster means, weighted by size.
    spread: f64,
}

/// Spread of cluster means at every threshold: before any merge, at heights at least [`STEP`] apart, and at 1.
fn curve(merges: &[Merge], y: &[f64]) -> Vec<Point> {
    let n = y.len();
    let mean = y.iter().sum::<f64>() / n as f64;
    // Per cluster the sum of centred values; spread follows from sum^2 / size over clusters.
    let mut sums: Vec<f64> = y.iter().map(|v| v - mean).collect();
    let mut sizes = vec![1usize; n];
    let mut between: f64 = sums.iter().map(|s| s * s).sum();
    let spread = |between: f64| 2.0 * (between.max(0.0) / n as f64).sqrt();
    let mut points = vec![Point { threshold: 0.0, n_clusters: n, spread: spread(between) }];
    let mut previous = f64::NEG_INFINITY;
    let mut at = 0;
    while at < merges.len() {
        let height = merges[at].height;
        let kept = height - STEP >= previous;
        while at < merges.len() && merges[at].height == height {
            let (a, b) = merges[at].clusters;
            let (sum, size) = (sums[a] + sums[b], sizes[a] + sizes[b]);
            between += sum * sum / size as f64 - sums[a] * sums[a] / sizes[a] as f64 - sums[b] * sums[b] / sizes[b] as f64;
            sums.push(sum);
            sizes.push(size);
            at += 1;
        }
        if kept {
            previous = height;
            points.push(Point { threshold: height, n_clusters: n - at, spread: spread(between) });
        }
    }
    points.push(Point { threshold: 1.0, n_clusters: 1, spread: 0.0 });
    points
}

/// ROGI and ROGI-XD of `repeats` samples of 80 % of the cells, drawn without replacement, property and distances alike:
/// their spread estimates the uncertainty. Errors as [`Tree::of`] and [`Tree::roughness`].
pub fn subsampled(x: &Matrix, y: &[f64], distance: Distance, repeats: usize, seed: u64) -> Result<Vec<Roughness>> {
    same_number("property and cells", x.rows(), y.len())?;
    (0..repeats as u64)
        .map(|r| {
            let mut rng = Rng::stream(seed, r);
            let cells = rng.choose(x.rows(), x.rows() * 4 / 5);
            let y: Vec<f64> = cells.iter().map(|&i| y[i]).collect();
            Tree::of(&x.select_rows(&cells), distance, rng.next_u64())?.roughness(&y)
        })
        .collect()
}

/// Error of predicting each cell by the mean of its listed neighbours (5 by convention), `y` scaled to 0..1. Errors when
/// lengths differ.
pub fn knn_roughness(knn: &Knn, y: &[f64]) -> Result<Score> {
    same_number("property and neighbour lists", knn.n, y.len())?;
    if y.iter().any(|v| !v.is_finite()) {
        return Ok(Score::undefined("the property is not known for every cell"));
    }
    let (low, high) = y.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    if y.is_empty() || low == high {
        return Ok(Score::undefined("the property is the same in every cell"));
    }
    if super::place::all_at_one_place(knn) {
        return Ok(Score::undefined("every cell is at the same place"));
    }
    let error = |i: usize| {
        let near = knn.row(i).0;
        let mean = near.iter().map(|&j| y[j as usize]).sum::<f64>() / near.len() as f64;
        ((y[i] - mean) / (high - low)).powi(2)
    };
    Ok(Score::new(((0..knn.n).map(error).sum::<f64>() / knn.n as f64).sqrt(), knn.n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_numerics::knn::{Metric, exact_knn};

    const X: [f32; 5] = [0.0, 0.1, 0.5, 0.55, 1.0];
    const Y: [f64; 5] = [0.0, 0.2, 1.0, 0.6, 0.4];

    fn tree(x: &[f32]) -> Tree {
        Tree::of(&Matrix::new(x.len(), 1, x.to_vec()).unwrap(), Distance::Euclidean, 0).unwrap()
    }

    #[test]
    fn golden_g11_and_g12() {
        let tree = tree(&X);
        let points = curve(&tree.merges, &Y);
        let thresholds = [0.0, 0.05, 0.1, 0.5, 1.0, 1.0];
        let spreads = [0.688_186, 0.64, 0.627_375, 0.555_218, 0.0, 0.0];
        let axis = [0.0, 0.138_647, 0.317_394, 0.569_323, 1.0, 1.0];
        for (i, p) in points.iter().enumerate() {
            assert!((p.threshold - thresholds[i]).abs() < 1e-6 && (p.spread - spreads[i]).abs() < 1e-6);
            assert!((1.0 - (p.n_clusters as f64).ln() / 5f64.ln() - axis[i]).abs() < 1e-6);
        }
        let got = tree.roughness(&Y).unwrap();
        assert!((got.rogi.value.unwrap() - 0.247_974).abs() < 1e-6);
        assert!((got.xd.value.unwrap() - 0.214_317).abs() < 1e-6);
    }

    #[test]
    fn smooth_is_smoother_than_shuffled_and_scale_does_not_matter() {
        let mut rng = Rng::new(2);
        let x = Matrix::new(400, 2, (0..800).map(|_| rng.uniform() as f32).collect()).unwrap();
        let mut y: Vec<f64> = (0..400).map(|i| f64::from(x.row(i)[0])).collect();
        let tree = Tree::of(&x, Distance::Euclidean, 0).unwrap();
        let smooth = tree.roughness(&y).unwrap();
        let mut scaled = x.clone();
        scaled.data_mut().iter_mut().for_each(|v| *v *= 8.0);
        let scaled_y: Vec<f64> = y.iter().map(|v| 5.0 * v - 3.0).collect();
        let other = Tree::of(&scaled, Distance::Euclidean, 0).unwrap().roughness(&scaled_y).unwrap();
        assert!((other.rogi.value.unwrap() - smooth.rogi.value.unwrap()).abs() < 1e-9);
        let knn = exact_knn(&x, 5, Metric::Euclidean).unwrap();
        let smooth_knn = knn_roughness(&knn, &y).unwrap().value.unwrap();
        rng.shuffle(&mut y);
        let rough = tree.roughness(&y).unwrap();
        assert!(rough.rogi.value.unwrap() > 2.0 * smooth.rogi.value.unwrap());
        assert!(rough.xd.value.unwrap() > 2.0 * smooth.xd.value.unwrap());
        assert!(knn_roughness(&knn, &y).unwrap().value.unwrap() > 3.0 * smooth_knn);
        let parts = subsampled(&x, &y, Distance::Euclidean, 5, 1).unwrap();
        assert!(parts.iter().all(|p| p.rogi.n_used == 320));
        let near = parts.iter().map(|p| (p.xd.value.unwrap() - rough.xd.value.unwrap()).abs());
        assert!(near.fold(0.0, f64::max) < 0.1);
    }

    #[test]
    fn labels_are_averaged_by_size() {
        let tree = tree(&X);
        let (score, range) = tree.roughness_of_labels(&[0, 0, 1, 1, 1]).unwrap();
        let class = |c: u32| {
            let y: Vec<f64> = [0u32, 0, 1, 1, 1].iter().map(|&l| f64::from(u8::from(l == c))).collect();
            tree.roughness(&y).unwrap().xd.value.unwrap()
        };
        assert!((score.value.unwrap() - (0.4 * class(0) + 0.6 * class(1))).abs() < 1e-12);
        assert_eq!(range, Some((class(0).min(class(1)), class(0).max(class(1)))));
        assert!(tree.roughness_of_labels(&[3; 5]).unwrap().0.value.is_none());
    }

    #[test]
    fn edges_have_reasons() {
        assert!(tree(&[1.0; 6]).roughness(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap().rogi.value.is_none());
        assert!(tree(&X).roughness(&[1.0; 5]).unwrap().xd.value.is_none());
        assert!(tree(&[]).roughness(&[]).unwrap().xd.value.is_none());
        assert!(tree(&X).roughness(&[1.0]).is_err());
        assert!(tree(&X).roughness(&[0.0, f64::NAN, 1.0, 2.0, 3.0]).is_err());
        let gap = tree(&[0.0, f32::NAN, 0.5, 0.55, 1.0]).roughness(&Y).unwrap().rogi;
        assert_eq!((gap.n_used, gap.n_excluded), (4, 1));
        // Duplicates merge at height 0 without a step of their own.
        assert!(tree(&[0.0, 0.0, 0.5, 0.5, 1.0]).roughness(&Y).unwrap().rogi.value.is_some());
        let x = Matrix::zeros(4, 1);
        assert!(Tree::of(&x, Distance::SquaredEuclidean, 0).is_err());
        let big = Matrix::new(4100, 1, (0..4100).map(|v| v as f32).collect()).unwrap();
        let y: Vec<f64> = (0..4100).map(f64::from).collect();
        let sampled = Tree::of(&big, Distance::Euclidean, 0).unwrap().roughness(&y).unwrap().rogi;
        assert_eq!((sampled.n_used, sampled.n_excluded), (4000, 100));
    }
}
