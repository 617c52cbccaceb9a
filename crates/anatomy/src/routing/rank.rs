//! Scores and exact ranks of chosen edges among all n x n, by counting rather than sorting.
//!
//! The distinct scores of the chosen edges cut the line into intervals. One walk over all scores counts how many fall
//! into each; the rank of an edge is one more than the count above it. The interval of a score is found through a table
//! of equal bins, then a search inside the bin.

use super::edges::Edge;
use super::scores::Scores;
use super::top::rank_value;
use microtome_core::{Error, Progress, Result};
use std::sync::atomic::{AtomicU32, Ordering};

/// Among what an edge is ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankRule {
    /// Rank by magnitude rather than by signed value.
    pub absolute: bool,
    /// Count the edges of genes to themselves as competitors. Napistu-Torch does even where they are not selected.
    pub count_self: bool,
}

/// Scores of `edges`, which must rise. Errors when they do not, a row does not exist, or when stopped.
pub fn edge_scores(scores: &Scores, edges: &[Edge], progress: &dyn Progress) -> Result<Vec<f32>> {
    let n = scores.n_genes();
    if !edges.is_sorted() || edges.iter().any(|e| e.from as usize >= n || e.to as usize >= n) {
        return Err(Error::usage("edges to look up are not in order or do not exist")
            .expected(format!("rising pairs of rows below {n}")));
    }
    let starts: Vec<usize> = (0..=n).map(|row| edges.partition_point(|e| (e.from as usize) < row)).collect();
    let out: Vec<AtomicU32> = edges.iter().map(|_| AtomicU32::new(0)).collect();
    scores.walk(
        || (),
        |(), tile, values| {
            for (local, row) in values.chunks_exact(tile.cols.max(1)).enumerate() {
                let first = starts[tile.row + local];
                let of_row = &edges[first..starts[tile.row + local + 1]];
                let skip = of_row.partition_point(|e| (e.to as usize) < tile.col);
                for (i, edge) in of_row.iter().enumerate().skip(skip) {
                    let Some(v) = row.get(edge.to as usize - tile.col) else { break };
                    out[first + i].store(v.to_bits(), Ordering::Relaxed);
                }
            }
            Ok(())
        },
        |(), ()| Ok(()),
        progress,
    )?;
    Ok(out.into_iter().map(|v| f32::from_bits(v.into_inner())).collect())
}

/// Rank of every value of `values` among all scores: 1 + the number of strictly greater ones, so ties share the best
/// rank.
///
/// Errors above 65,535 genes, where ranks outgrow 32 bits, or when stopped.
pub fn edge_ranks(
    scores: &Scores,
    values: &[f32],
    rule: &RankRule,
    progress: &dyn Progress,
) -> Result<Vec<u32>> {
    let n = scores.n_genes();
    if n > usize::from(u16::MAX) {
        return Err(Error::unsupported("too many genes to rank all pairs")
            .expected("at most 65535")
            .found(n.to_string()));
    }
    let cuts = Cuts::new(values.iter().map(|&v| rank_value(v, rule.absolute)).collect());
    if cuts.sorted.is_empty() {
        return Ok(Vec::new());
    }
    let counts = scores.walk(
        || vec![0u32; cuts.sorted.len() + 1],
        |counts, tile, values| {
            for (local, row) in values.chunks_exact(tile.cols.max(1)).enumerate() {
                row.iter().for_each(|&v| counts[cuts.below(rank_value(v, rule.absolute))] += 1);
                let own = (tile.row + local).checked_sub(tile.col).and_then(|c| row.get(c));
                if let Some(&v) = own.filter(|_| !rule.count_self) {
                    counts[cuts.below(rank_value(v, rule.absolute))] -= 1;
                }
            }
            Ok(())
        },
        |mut a, b| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            Ok(a)
        },
        progress,
    )?;
    // above[p]: scores greater than cut p.
    let mut above = vec![0u32; cuts.sorted.len()];
    let mut total = 0;
    for p in (0..above.len()).rev() {
        total += counts[p + 1];
        above[p] = total;
    }
    Ok(values.iter().map(|&v| above[cuts.below(rank_value(v, rule.absolute))] + 1).collect())
}

/// Distinct cut points with a table that finds the place of a value quickly.
struct Cuts {
    sorted: Vec<f32>,
    low: f32,
    scale: f32,
    /// First cut of every bin, and the end.
    starts: Vec<u32>,
}

impl Cuts {
    fn new(mut sorted: Vec<f32>) -> Self {
        sorted.sort_unstable_by(f32::total_cmp);
        sorted.dedup();
        let bins = (2 * sorted.len()).next_power_of_two().clamp(1 << 10, 1 << 20);
        let (low, high) = (sorted.first().copied().unwrap_or(0.0), sorted.last().copied().unwrap_or(0.0));
        let scale = (bins - 1) as f32 / (high - low);
        // A span too small to divide puts all into one bin.
        let scale = if scale.is_finite() { scale } else { 0.0 };
        let mut out = Self { sorted, low, scale, starts: Vec::new() };
        let mut starts = vec![0u32; bins + 2];
        out.sorted.iter().for_each(|&v| starts[out.bin(v) + 1] += 1);
        for b in 1..starts.len() {
            starts[b] += starts[b - 1];
        }
        out.starts = starts;
        out
    }

    /// The bin of a value: monotone, and the same arithmetic for cuts and scores.
    fn bin(&self, value: f32) -> usize {
        ((value - self.low) * self.scale) as usize
    }

    /// Number of cuts strictly below `value`.
    fn below(&self, value: f32) -> usize {
        let bin = self.bin(value).min(self.starts.len() - 2);
        let (first, end) = (self.starts[bin] as usize, self.starts[bin + 1] as usize);
        let inside = &self.sorted[first..end];
        if inside.len() > 8 {
            return first + inside.partition_point(|&c| c < value);
        }
        first + inside.iter().filter(|&&c| c < value).count()
    }
}
