//! Attention of real cells, one cell at a time: sums over cells per edge, and candidates for the strongest edges of the
//! mean when there are too many edges to sum them all.

use super::edges::{Edge, ScoredEdge};
use super::top::{Ties, prefix};
use crate::outcome::Estimated;
use microtome_core::{Error, Result};

/// Sums over cells for a fixed list of edges. A cell counts for an edge only when both genes are among its tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeSums {
    edges: Vec<Edge>,
    sums: Vec<f64>,
    squares: Vec<f64>,
    cells: Vec<u64>,
}

impl EdgeSums {
    /// For these edges; they are sorted and repeats dropped.
    pub fn new(mut edges: Vec<Edge>) -> Self {
        edges.sort_unstable();
        edges.dedup();
        let n = edges.len();
        Self { edges, sums: vec![0.0; n], squares: vec![0.0; n], cells: vec![0; n] }
    }

    /// The edges, rising: `place` below is a position in this list.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Adds one cell's value of the edge at `place`. Errors when the place does not exist or the value is not finite.
    pub fn add(&mut self, place: usize, value: f32) -> Result<()> {
        if place >= self.edges.len() || !value.is_finite() {
            return Err(Error::usage("no such edge, or its attention is not finite")
                .expected(format!("a finite value of one of {} edges", self.edges.len()))
                .found(format!("{value} at {place}")));
        }
        let v = f64::from(value);
        self.sums[place] += v;
        self.squares[place] += v * v;
        self.cells[place] += 1;
        Ok(())
    }

    /// Adds what another part of the cells summed. Errors when the edges differ.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.edges != other.edges {
            return Err(Error::usage("sums over different edges cannot be added"));
        }
        for i in 0..self.edges.len() {
            self.sums[i] += other.sums[i];
            self.squares[i] += other.squares[i];
            self.cells[i] += other.cells[i];
        }
        Ok(())
    }

    /// Mean over the cells that hold both genes, with one standard error to either side; `n` counts those cells.
    pub fn means(&self) -> Vec<Estimated> {
        (0..self.edges.len())
            .map(|i| {
                let n = self.cells[i];
                if n == 0 {
                    return Estimated::missing(0, "no cell holds both genes");
                }
                let count = n as f64;
                let mean = self.sums[i] / count;
                if n == 1 {
                    return Estimated {
                        reason: Some("one cell has no spread".into()),
                        ..Estimated::exact(mean, 1)
                    };
                }
                let variance = ((self.squares[i] - count * mean * mean) / (count - 1.0)).max(0.0);
                let error = (variance / count).sqrt();
                Estimated { low: Some(mean - error), high: Some(mean + error), ..Estimated::exact(mean, n) }
            })
            .collect()
    }
}

/// Candidates for the edges of largest summed attention, in bounded memory (the idea of lossy counting, Manku and Motwani
/// 2002, for weights).
///
/// Every cell offers its strongest edges with non-negative weights. When more than twice `capacity` edges are held, the
/// smaller half is dropped and the largest dropped sum is remembered: no edge's true sum of offers exceeds its held sum by
/// more than [`TopCandidates::missed`], and every edge with a larger sum than that is held.
#[derive(Clone, Debug)]
pub struct TopCandidates {
    capacity: usize,
    held: Vec<(Edge, f64)>,
    /// How many at the front are sorted and distinct.
    settled: usize,
    missed: f64,
}

impl TopCandidates {
    /// Keeps about `capacity` edges. Errors when it is 0.
    pub fn new(capacity: usize) -> Result<Self> {
        if capacity == 0 {
            return Err(Error::usage("candidates need room").expected("a capacity of 1 or more").found("0"));
        }
        Ok(Self { capacity, held: Vec::new(), settled: 0, missed: 0.0 })
    }

    /// One cell's weight of one edge. Errors when it is negative or not finite.
    pub fn offer(&mut self, edge: Edge, weight: f32) -> Result<()> {
        if !(weight.is_finite() && weight >= 0.0) {
            return Err(Error::usage("weights of candidates must be finite and not negative")
                .expected("0 or more")
                .found(weight.to_string())
                .remedy("offer magnitudes, and score the candidates again with their signs"));
        }
        self.held.push((edge, f64::from(weight)));
        // Sorting pays off only when enough came in since.
        if self.held.len() >= self.settled + self.capacity.saturating_mul(2).max(1024) {
            self.settle();
        }
        Ok(())
    }

    fn settle(&mut self) {
        // Stable, so that the offers of one edge are added in the order in which they came.
        self.held.sort_by_key(|&(edge, _)| edge);
        self.held.dedup_by(|next, first| {
            let same = next.0 == first.0;
            if same {
                first.1 += next.1;
            }
            same
        });
        if self.held.len() > self.capacity {
            self.held.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            self.missed += self.held[self.capacity].1;
            self.held.truncate(self.capacity);
            self.held.sort_unstable_by_key(|&(edge, _)| edge);
        }
        self.settled = self.held.len();
    }

    /// The most that a dropped edge, or the dropped part of a held one, can have summed to.
    pub fn missed(&mut self) -> f64 {
        self.settle();
        self.missed
    }

    /// The `k` edges of largest held sum, falling; exact when [`TopCandidates::missed`] is 0. Score them again with
    /// [`EdgeSums`] in a second pass for exact means.
    pub fn top(&mut self, k: usize) -> Vec<ScoredEdge> {
        self.settle();
        let mut out: Vec<ScoredEdge> =
            self.held.iter().map(|&(edge, sum)| ScoredEdge { edge, score: sum as f32 }).collect();
        out.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.edge.cmp(&b.edge)));
        out.truncate(prefix(&out, k, Ties::First, false));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_numerics::resample::Rng;

    #[test]
    fn sums_over_cells_know_their_cells() {
        let mut sums = EdgeSums::new(vec![Edge::new(3, 1), Edge::new(0, 2), Edge::new(0, 2)]);
        assert_eq!(sums.edges(), [Edge::new(0, 2), Edge::new(3, 1)]);
        let mut other = sums.clone();
        sums.add(0, 1.0).unwrap();
        other.add(0, 3.0).unwrap();
        sums.merge(&other).unwrap();
        let means = sums.means();
        assert_eq!((means[0].value, means[0].n, means[0].low), (Some(2.0), 2, Some(1.0)));
        assert_eq!((means[1].value, means[1].n), (None, 0));
        assert!(sums.add(2, 1.0).is_err() && sums.add(0, f32::NAN).is_err());
        assert!(sums.merge(&EdgeSums::new(vec![])).is_err());
    }

    #[test]
    fn candidates_keep_the_heavy_edges_and_admit_what_they_miss() {
        let mut rng = Rng::new(1);
        let mut kept = TopCandidates::new(2000).unwrap();
        let mut truth = vec![0.0f64; 100 * 100];
        for _ in 0..60_000 {
            // A few heavy edges among many light ones.
            let heavy = rng.below(3) == 0;
            let place = if heavy { rng.below(50) * 7 } else { rng.below(10_000) };
            let weight = rng.uniform() as f32;
            truth[place] += f64::from(weight);
            kept.offer(Edge::new((place / 100) as u32, (place % 100) as u32), weight).unwrap();
        }
        let missed = kept.missed();
        assert!(missed > 0.0, "the test must drop something");
        let top = kept.top(50);
        for e in &top {
            let true_sum = truth[e.edge.from as usize * 100 + e.edge.to as usize];
            assert!(f64::from(e.score) <= true_sum + 1e-3 && f64::from(e.score) >= true_sum - missed - 1e-3);
            assert_eq!((e.edge.from * 100 + e.edge.to) % 7, 0);
        }
        assert!(kept.offer(Edge::new(0, 0), -1.0).is_err() && TopCandidates::new(0).is_err());
    }
}
