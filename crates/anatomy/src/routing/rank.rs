//! Scores and exact ranks of chosen edges among all n x n, by counting rather than sorting.
//!
//! The distinct scores of the chosen edges cut the line into intervals. One walk over all scores counts how many fall
//! into each; the rank of an edge is one more than the count above it. The interval of a score is found through a table
//! of equal bins, then a search inside the bin; scores are collected by stretches of bins first, so that tables stay in
//! the cache.

use super::edges::Edge;
use super::scores::Scores;
use super::top::rank_value;
use crate::buckets::Buckets;
use crate::tiles::Tile;
use microtome_core::{Error, Progress, Result};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

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
    let starts = row_starts(edges, n);
    let out: Vec<AtomicU32> = edges.iter().map(|_| AtomicU32::new(0)).collect();
    scores.walk(
        || (),
        |(), tile, values| {
            visit(edges, &starts, tile, values, &mut |place, v| {
                out[place].store(v.to_bits(), Ordering::Relaxed)
            });
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
    ranks_of(scores, values, rule, &|_, _| (), progress)
}

/// Scores of `edges`, which must rise, and their ranks.
///
/// Where scores are one product, the scores of the edges are made from their own rows alone, which takes a few hundredths of a walk, and
/// the walk that counts compares every one of them, bit by bit, with the score that it meets. Should one differ (a product may add in
/// another order for another shape), they are looked up in a walk of their own and counted again.
pub(super) fn scores_and_ranks(
    scores: &Scores,
    edges: &[Edge],
    rule: &RankRule,
    progress: &dyn Progress,
) -> Result<(Vec<f32>, Vec<u32>)> {
    let n = scores.n_genes();
    if let Some(values) = scores.of_edges(edges)? {
        let starts = row_starts(edges, n);
        let differs = AtomicBool::new(false);
        let compare = |tile: &Tile, found: &[f32]| {
            visit(edges, &starts, tile, found, &mut |place, v| {
                if values[place].to_bits() != v.to_bits() {
                    differs.store(true, Ordering::Relaxed);
                }
            });
        };
        let ranks = ranks_of(scores, &values, rule, &compare, progress)?;
        if !differs.into_inner() {
            progress.advance((n * n) as u64);
            return Ok((values, ranks));
        }
    }
    let values = edge_scores(scores, edges, progress)?;
    let ranks = edge_ranks(scores, &values, rule, progress)?;
    Ok((values, ranks))
}

/// First edge of every row, and the end.
fn row_starts(edges: &[Edge], n: usize) -> Vec<usize> {
    let mut out = vec![0; n + 1];
    edges.iter().for_each(|e| out[e.from as usize + 1] += 1);
    (1..=n).for_each(|row| out[row] += out[row - 1]);
    out
}

/// Hands the place of every edge in a tile on, with its score.
fn visit(edges: &[Edge], starts: &[usize], tile: &Tile, values: &[f32], each: &mut impl FnMut(usize, f32)) {
    for (local, row) in values.chunks_exact(tile.cols.max(1)).enumerate() {
        let first = starts[tile.row + local];
        let of_row = &edges[first..starts[tile.row + local + 1]];
        let skip = of_row.partition_point(|e| (e.to as usize) < tile.col);
        for (i, edge) in of_row.iter().enumerate().skip(skip) {
            let Some(&v) = row.get(edge.to as usize - tile.col) else { break };
            each(first + i, v);
        }
    }
}

/// [`edge_ranks`] in a walk that `see` watches.
fn ranks_of(
    scores: &Scores,
    values: &[f32],
    rule: &RankRule,
    see: &(impl Fn(&Tile, &[f32]) + Sync),
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
    let count = |counts: &mut Vec<u32>, values: &[f32]| {
        values.iter().for_each(|&v| {
            let at = cuts.below(v);
            counts[at] = counts[at].wrapping_add(1);
        });
    };
    let counted = scores.walk(
        || (vec![0u32; cuts.sorted.len() + 1], Buckets::new(cuts.n_slices())),
        |(counts, buckets), tile, values| {
            see(tile, values);
            for (local, row) in values.chunks_exact(tile.cols.max(1)).enumerate() {
                for &v in row {
                    let v = rank_value(v, rule.absolute);
                    buckets.add(cuts.slice(v), v, &mut |_, held| count(counts, held));
                }
                let own = (tile.row + local).checked_sub(tile.col).and_then(|c| row.get(c));
                if let Some(&v) = own.filter(|_| !rule.count_self) {
                    // Wraps below 0 until the score itself is counted.
                    let at = cuts.below(rank_value(v, rule.absolute));
                    counts[at] = counts[at].wrapping_sub(1);
                }
            }
            Ok(())
        },
        |(mut a, mut held), (b, mut others)| {
            held.finish(&mut |_, values| count(&mut a, values));
            others.finish(&mut |_, values| count(&mut a, values));
            a.iter_mut().zip(b).for_each(|(a, b)| *a = a.wrapping_add(b));
            Ok((a, held))
        },
        progress,
    )?;
    let (mut counts, mut left) = counted;
    left.finish(&mut |_, values| count(&mut counts, values));
    // above[p]: scores greater than cut p.
    let mut above = vec![0u32; cuts.sorted.len()];
    let mut total = 0;
    for p in (0..above.len()).rev() {
        total += counts[p + 1];
        above[p] = total;
    }
    Ok(values.iter().map(|&v| above[cuts.below(rank_value(v, rule.absolute))] + 1).collect())
}

/// Distinct cut points with a table that finds the place of a value quickly: equal bins, most of which hold one cut at most.
struct Cuts {
    sorted: Vec<f32>,
    low: f32,
    scale: f32,
    bins: Vec<Bin>,
}

/// First cut of a bin, and the cut itself where it is the only one: infinite without a cut, NaN with several.
#[derive(Clone, Copy)]
struct Bin {
    first: u32,
    cut: f32,
}

/// Bins that are counted together: their tables (half a megabyte) fit a core's own cache, and there are few enough stretches (65) to write to.
const SLICE_BITS: u32 = 16;

impl Cuts {
    fn new(mut sorted: Vec<f32>) -> Self {
        sorted.sort_unstable_by(f32::total_cmp);
        sorted.dedup();
        let n_bins = (4 * sorted.len()).next_power_of_two().clamp(1 << 10, 1 << 22);
        let (low, high) = (sorted.first().copied().unwrap_or(0.0), sorted.last().copied().unwrap_or(0.0));
        let scale = (n_bins - 1) as f32 / (high - low);
        // A span too small to divide puts all into one bin.
        let scale = if scale.is_finite() { scale } else { 0.0 };
        let mut out =
            Self { sorted, low, scale, bins: vec![Bin { first: 0, cut: f32::INFINITY }; n_bins + 1] };
        let mut next = 0;
        for b in 0..n_bins {
            let first = next;
            while next < out.sorted.len() && out.bin(out.sorted[next]) == b {
                next += 1;
            }
            let cut = match next - first {
                0 => f32::INFINITY,
                1 => out.sorted[first],
                _ => f32::NAN,
            };
            out.bins[b] = Bin { first: first as u32, cut };
        }
        out.bins[n_bins].first = out.sorted.len() as u32;
        out
    }

    /// The bin of a value: monotone, and the same arithmetic for cuts and scores. Conversion saturates.
    #[inline]
    fn bin(&self, value: f32) -> usize {
        let at = ((value - self.low) * self.scale) as i32;
        at.clamp(0, self.bins.len() as i32 - 2) as usize
    }

    fn n_slices(&self) -> usize {
        (self.bins.len() >> SLICE_BITS) + 1
    }

    #[inline]
    fn slice(&self, value: f32) -> usize {
        self.bin(value) >> SLICE_BITS
    }

    /// Number of cuts strictly below `value`.
    #[inline]
    fn below(&self, value: f32) -> usize {
        let at = self.bin(value);
        let Bin { first, cut } = self.bins[at];
        if cut.is_nan() {
            let end = self.bins[at + 1].first as usize;
            return first as usize + self.sorted[first as usize..end].partition_point(|&c| c < value);
        }
        first as usize + usize::from(cut < value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{RankRule, Scores};
    use microtome_core::{Matrix, Silent};
    use microtome_numerics::resample::Rng;

    #[test]
    fn places_among_cuts_are_those_of_a_search() {
        let mut rng = Rng::new(3);
        // Dense and sparse stretches, repeats, both zeros, and one far away.
        let mut cuts: Vec<f32> = (0..5000).map(|_| (rng.normal() as f32).powi(3)).collect();
        cuts.extend((0..500).map(|i| 0.25 + (i as f32) * 1e-7));
        cuts.extend([0.0, -0.0, 1e6]);
        let table = Cuts::new(cuts.clone());
        let mut values: Vec<f32> = (0..20_000).map(|_| 4.0 * rng.normal() as f32).collect();
        values.extend(cuts);
        values.extend([-1e30, 1e30, f32::MIN_POSITIVE]);
        for v in values {
            assert_eq!(table.below(v), table.sorted.iter().filter(|&&c| c < v).count(), "{v}");
            assert!(table.slice(v) < table.n_slices());
        }
        let one = Cuts::new(vec![2.0]);
        assert_eq!([1.0, 2.0, 3.0].map(|v| one.below(v)), [0, 0, 1]);
    }

    #[test]
    fn edges_looked_up_alone_have_the_bits_of_the_walk() {
        let mut rng = Rng::new(5);
        for (n, d) in [(700, 512), (300, 33), (90, 7), (530, 768)] {
            let mut make = || Matrix::new(n, d, (0..n * d).map(|_| rng.normal() as f32).collect()).unwrap();
            let scores = Scores::of_rows(make(), make()).unwrap();
            let mut edges: Vec<Edge> =
                (0..3000).map(|_| Edge::new(rng.below(n) as u32, rng.below(n) as u32)).collect();
            edges.sort_unstable();
            edges.dedup();
            let rule = RankRule { absolute: false, count_self: false };
            let (values, ranks) = scores_and_ranks(&scores, &edges, &rule, &Silent).unwrap();
            assert_eq!(values, edge_scores(&scores, &edges, &Silent).unwrap());
            assert_eq!(ranks, edge_ranks(&scores, &values, &rule, &Silent).unwrap());
        }
    }
}
