//! Agglomerative clustering with complete linkage.

use crate::distances::{Distance, fold_distances};
use microtome_core::{Error, Matrix, Result};

/// One merge of two clusters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Merge {
    /// Clusters that were joined, the smaller number first: below `n` a single row, `n + i` the result of merge `i`.
    pub clusters: (usize, usize),
    /// Largest distance between their members.
    pub height: f64,
    /// Rows in the result.
    pub size: usize,
}

/// All pairwise distances of a few rows: the upper triangle, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Condensed {
    n: usize,
    values: Vec<f64>,
}

impl Condensed {
    /// Most rows that are accepted: 400 MB of distances.
    pub const MAX_ROWS: usize = 10_000;

    /// Measures all pairs. Errors above [`Self::MAX_ROWS`] rows or on values that are not finite.
    pub fn of(x: &Matrix, distance: Distance) -> Result<Self> {
        if x.rows() > Self::MAX_ROWS {
            return Err(Error::unsupported("too many rows to hold all pairwise distances")
                .expected(format!("at most {} rows", Self::MAX_ROWS))
                .found(x.rows().to_string())
                .remedy("draw a sample of the rows"));
        }
        let rows = fold_distances(
            x,
            x,
            distance,
            |i| (i, Vec::with_capacity(x.rows() - i)),
            |(i, kept): &mut (usize, Vec<f64>), first, distances| {
                kept.extend(distances.iter().enumerate().filter(|(j, _)| first + j > *i).map(|(_, &d)| d));
            },
            |(_, kept)| kept,
        )?;
        Ok(Self { n: x.rows(), values: rows.into_iter().flatten().collect() })
    }

    /// Number of rows.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Distances, upper triangle row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Divides every distance.
    pub fn divide(&mut self, by: f64) {
        self.values.iter_mut().for_each(|v| *v /= by);
    }

    fn at(&self, i: usize, j: usize) -> usize {
        let (i, j) = if i < j { (i, j) } else { (j, i) };
        i * (2 * self.n - i - 1) / 2 + j - i - 1
    }
}

/// Complete linkage by nearest-neighbour chains (Murtagh 1983), `O(n^2)` time: the `n - 1` merges by rising height.
/// Consumes the distances, which are overwritten.
pub fn complete_linkage(mut distances: Condensed) -> Vec<Merge> {
    let n = distances.n;
    let mut alive: Vec<usize> = (0..n).collect();
    let mut chain: Vec<usize> = Vec::new();
    let mut joined: Vec<(f64, usize, usize)> = Vec::with_capacity(n.saturating_sub(1));
    while alive.len() > 1 {
        if chain.is_empty() {
            chain.push(alive[0]);
        }
        loop {
            let tip = chain[chain.len() - 1];
            let before = chain.len().checked_sub(2).map(|p| chain[p]);
            // The previous element wins ties, otherwise the chain might never end.
            let mut nearest =
                before.map_or((f64::INFINITY, usize::MAX), |b| (distances.values[distances.at(tip, b)], b));
            for &other in &alive {
                if other != tip {
                    let d = distances.values[distances.at(tip, other)];
                    if d < nearest.0 || nearest.1 == usize::MAX {
                        nearest = (d, other);
                    }
                }
            }
            if Some(nearest.1) != before {
                chain.push(nearest.1);
                continue;
            }
            chain.truncate(chain.len() - 2);
            let (keep, gone) = (tip.min(nearest.1), tip.max(nearest.1));
            joined.push((nearest.0, keep, gone));
            alive.retain(|&a| a != gone);
            for &other in &alive {
                if other != keep {
                    let (to, from) = (distances.at(keep, other), distances.at(gone, other));
                    distances.values[to] = distances.values[to].max(distances.values[from]);
                }
            }
            break;
        }
    }
    joined.sort_by(|a, b| a.0.total_cmp(&b.0));
    number(n, &joined)
}

/// Names clusters by the order of merges.
fn number(n: usize, joined: &[(f64, usize, usize)]) -> Vec<Merge> {
    let mut parent: Vec<usize> = (0..n).collect();
    let mut name: Vec<usize> = (0..n).collect();
    let mut size = vec![1usize; n];
    let root = |parent: &mut Vec<usize>, mut i: usize| {
        while parent[i] != i {
            parent[i] = parent[parent[i]];
            i = parent[i];
        }
        i
    };
    let mut merges = Vec::with_capacity(joined.len());
    for (step, &(height, a, b)) in joined.iter().enumerate() {
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        let clusters = (name[a].min(name[b]), name[a].max(name[b]));
        parent[b] = a;
        size[a] += size[b];
        name[a] = n + step;
        merges.push(Merge { clusters, height, size: size[a] });
    }
    merges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resample::Rng;

    /// Joins the closest pair until one cluster is left, by the definition.
    fn heights_by_definition(x: &Matrix) -> Vec<f64> {
        let mut clusters: Vec<Vec<usize>> = (0..x.rows()).map(|i| vec![i]).collect();
        let d = |i: usize, j: usize| -> f64 {
            x.row(i).iter().zip(x.row(j)).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
        };
        let mut heights = vec![];
        while clusters.len() > 1 {
            let mut best = (f64::INFINITY, 0, 0);
            for a in 0..clusters.len() {
                for b in 0..a {
                    let far = clusters[a]
                        .iter()
                        .flat_map(|&i| clusters[b].iter().map(move |&j| d(i, j)))
                        .fold(0.0, f64::max);
                    if far < best.0 {
                        best = (far, a, b);
                    }
                }
            }
            heights.push(best.0);
            let moved = clusters.swap_remove(best.1);
            clusters[best.2].extend(moved);
        }
        heights
    }

    #[test]
    fn heights_and_sizes_follow_the_definition() {
        let mut rng = Rng::new(3);
        let x = Matrix::new(60, 2, (0..120).map(|_| rng.normal() as f32).collect()).unwrap();
        let merges = complete_linkage(Condensed::of(&x, Distance::Euclidean).unwrap());
        let want = heights_by_definition(&x);
        assert_eq!(merges.len(), 59);
        for (m, w) in merges.iter().zip(&want) {
            assert!((m.height - w).abs() < 1e-6, "{m:?} {w}");
        }
        assert_eq!(merges[58].size, 60);
        let mut sizes = vec![1; 60];
        for m in &merges {
            sizes.push(sizes[m.clusters.0] + sizes[m.clusters.1]);
            assert_eq!(sizes[sizes.len() - 1], m.size);
        }
    }

    #[test]
    fn five_points_on_a_line() {
        let x = Matrix::new(5, 1, vec![0.0, 0.1, 0.5, 0.55, 1.0]).unwrap();
        let merges = complete_linkage(Condensed::of(&x, Distance::Euclidean).unwrap());
        let clusters: Vec<_> = merges.iter().map(|m| m.clusters).collect();
        assert_eq!(clusters, [(2, 3), (0, 1), (4, 5), (6, 7)]);
    }

    #[test]
    fn duplicates_and_tiny_sets() {
        assert!(
            complete_linkage(Condensed::of(&Matrix::zeros(0, 2), Distance::Euclidean).unwrap()).is_empty()
        );
        assert!(
            complete_linkage(Condensed::of(&Matrix::zeros(1, 2), Distance::Euclidean).unwrap()).is_empty()
        );
        let merges = complete_linkage(Condensed::of(&Matrix::zeros(9, 2), Distance::Euclidean).unwrap());
        assert!(merges.len() == 8 && merges.iter().all(|m| m.height == 0.0));
        assert!(Condensed::of(&Matrix::zeros(Condensed::MAX_ROWS + 1, 0), Distance::Euclidean).is_err());
    }
}
