//! Representational similarity of blocks: Spearman's correlation of the cosines of all gene pairs, exactly.
//!
//! At 19,264 genes there are 185 million pairs per block. Neither they nor their ranks are held. Two passes over the
//! pairs compute cosines tile by tile with a matrix product:
//!
//! 1. Cosines are resolved to steps of 2^-24, which is the precision of `f32` at 1 and what a product in `f32` is good
//!    to; cosines in one step are ties. Counting the pairs in every step gives every pair's average rank exactly.
//! 2. Each tile is computed for all blocks at once, steps become ranks through the counts, and the products of ranks of
//!    every pair of blocks are summed.
//!
//! Twice the centred rank is a whole number, so sums stay exact up to the rounding of `f64` totals.

use crate::buckets::Buckets;
use crate::input::Blocks;
use crate::outcome::{Estimated, Pairwise};
use crate::tiles::{COLS, ROWS, Tile, upper};
use microtome_core::{Error, Matrix, Progress, Result};
use microtome_numerics::products::{add_rows_product, cross};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Steps per unit of cosine.
const STEPS: f64 = (1u32 << 24) as f64;
/// Number of different steps from -1 to 1.
const LEVELS: usize = (1 << 25) + 1;

/// Steps that are counted together.
const SLICE: usize = 1 << 16;

/// How [`rsa`] works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RsaOptions {
    /// Subtract the mean row first, which removes the direction that all genes share (anisotropy).
    pub centre: bool,
    /// Bytes that rank tables may take; a table takes 134 MB at most. With less than all blocks need, cosines are
    /// computed several times.
    pub memory: usize,
}

impl Default for RsaOptions {
    /// Not centred, as Napistu-Torch does; 1 GiB.
    fn default() -> Self {
        Self { centre: false, memory: 1 << 30 }
    }
}

/// Spearman's correlation of the cosines of all pairs of rows, for every pair of blocks; `n` counts the row pairs.
///
/// Equal to Spearman of Napistu-Torch's cosine distances (`GeneEmbeddingsSet.compare_embeddings`, version 0.4.0) without
/// its rounding of ranks to `f32`. A row of zeros has no direction; its cosines count as 0. A block whose cosines are all
/// equal has no correlation, and the value is missing.
///
/// Errors above 65,536 rows (use [`super::rsa_sampled`]) or when stopped.
pub fn rsa(blocks: &Blocks<'_>, options: &RsaOptions, progress: &dyn Progress) -> Result<Pairwise> {
    let n = blocks.n_rows();
    if n > 1 << 16 {
        return Err(Error::unsupported("too many rows to rank all pairs")
            .expected("at most 65536")
            .found(n.to_string())
            .remedy("compare a seeded sample of pairs"));
    }
    let pairs = (n * n.saturating_sub(1) / 2) as u64;
    let l = blocks.len();
    let mut covariance = vec![0.0; l * l];
    if pairs > 0 {
        let directions: Vec<Directions<'_>> =
            blocks.values().iter().map(|x| Directions::new(x, options.centre)).collect();
        let n_tiles = upper(n).len() as u64;
        progress.begin("cosines of all gene pairs", 2 * n_tiles * l as u64, "tiles");
        let outcome = fill(&directions, options.memory, &mut covariance, progress);
        progress.end();
        outcome?;
    }
    Pairwise::from_upper("cosine_rsa_spearman", blocks.names(), |a, b| {
        let (aa, bb) = (covariance[a * l + a], covariance[b * l + b]);
        Ok(if pairs < 2 {
            Estimated::missing(pairs, "fewer than two gene pairs")
        } else if aa == 0.0 || bb == 0.0 {
            Estimated::missing(pairs, "all cosines of a block are equal")
        } else {
            Estimated::exact((covariance[a * l + b] / (aa * bb).sqrt()).clamp(-1.0, 1.0), pairs)
        })
    })
}

/// Fills sums of products of centred ranks, `[block, block]`, in groups of blocks whose rank tables fit the budget.
fn fill(blocks: &[Directions<'_>], memory: usize, out: &mut [f64], progress: &dyn Progress) -> Result<()> {
    let l = blocks.len();
    let mut tables = Vec::with_capacity(l);
    let mut bytes = 0;
    for block in blocks {
        let table = RankTable::new(block, progress)?;
        bytes += table.bytes();
        if bytes > memory && tables.len() >= 2 {
            break;
        }
        tables.push(table);
    }
    if tables.len() == l {
        let all: Vec<usize> = (0..l).collect();
        return correlate(blocks, &tables, &all, out, progress);
    }
    let group = (tables.len() / 2).max(1);
    drop(tables);
    let starts: Vec<usize> = (0..l).step_by(group).collect();
    for (a, &first) in starts.iter().enumerate() {
        for &second in &starts[a + 1..] {
            let mut members: Vec<usize> = (first..first + group).collect();
            members.extend(second..(second + group).min(l));
            let tables: Vec<RankTable> =
                members.iter().map(|&m| RankTable::new(&blocks[m], progress)).collect::<Result<_>>()?;
            correlate(blocks, &tables, &members, out, progress)?;
        }
    }
    Ok(())
}

/// Rows of one block with what makes them unit vectors.
pub(super) struct Directions<'a> {
    values: &'a Matrix,
    centre: Option<Vec<f32>>,
    inverse: Vec<f32>,
}

impl<'a> Directions<'a> {
    pub(super) fn new(values: &'a Matrix, centre: bool) -> Self {
        let (n, d) = (values.rows(), values.cols());
        let centre = centre.then(|| {
            let mut mean = vec![0.0f64; d];
            (0..n).for_each(|i| mean.iter_mut().zip(values.row(i)).for_each(|(m, &v)| *m += f64::from(v)));
            mean.iter().map(|m| (m / n.max(1) as f64) as f32).collect::<Vec<f32>>()
        });
        let inverse = (0..n)
            .map(|i| {
                let square: f64 = match &centre {
                    None => values.row(i).iter().map(|&v| f64::from(v).powi(2)).sum(),
                    Some(c) => values.row(i).iter().zip(c).map(|(&v, &m)| f64::from(v - m).powi(2)).sum(),
                };
                if square > 0.0 { (1.0 / square.sqrt()) as f32 } else { 0.0 }
            })
            .collect();
        Self { values, centre, inverse }
    }

    /// Unit vectors of rows `first..first + count`, into `out`.
    pub(super) fn unit_rows(&self, first: usize, count: usize, out: &mut Vec<f32>) {
        out.clear();
        for i in first..first + count {
            let s = self.inverse[i];
            match &self.centre {
                None => out.extend(self.values.row(i).iter().map(|&v| v * s)),
                Some(c) => out.extend(self.values.row(i).iter().zip(c).map(|(&v, &m)| (v - m) * s)),
            }
        }
    }

    /// Cosine of one pair, summed in `f64`.
    pub(super) fn cosine(&self, i: usize, j: usize) -> f64 {
        let scale = f64::from(self.inverse[i]) * f64::from(self.inverse[j]);
        let (a, b) = (self.values.row(i).iter(), self.values.row(j).iter());
        let dot: f64 = match &self.centre {
            None => a.zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum(),
            Some(c) => a.zip(b).zip(c).map(|((&x, &y), &m)| f64::from(x - m) * f64::from(y - m)).sum(),
        };
        dot * scale
    }

    /// Cosines of a tile, row-major, into `cosines`.
    fn cosines(&self, tile: &Tile, buffers: &mut Buffers) -> Result<()> {
        let d = self.values.cols();
        self.unit_rows(tile.row, tile.rows, &mut buffers.left);
        self.unit_rows(tile.col, tile.cols, &mut buffers.right);
        buffers.cosines.resize(tile.rows * tile.cols, 0.0);
        cross(&buffers.left, &buffers.right, d, &mut buffers.cosines)
    }
}

/// Scratch of one thread.
#[derive(Default)]
struct Buffers {
    left: Vec<f32>,
    right: Vec<f32>,
    cosines: Vec<f32>,
}

/// The step of a cosine, from 0: the nearest one, since conversion cuts off.
fn level(cosine: f32) -> usize {
    // Conversion saturates at 0, so rounding just outside -1..1 stays inside the table.
    (((f64::from(cosine) + 1.0) * STEPS + 0.5) as usize).min(LEVELS - 1)
}

/// The pairs `row < column` of one tile row: how many places come before them, and their cosines.
fn pairs_of_row<'t>(tile: &Tile, local: usize, cosines: &'t [f32]) -> (usize, &'t [f32]) {
    let skip = (tile.row + local + 1).saturating_sub(tile.col).min(tile.cols);
    (skip, &cosines[local * tile.cols + skip..(local + 1) * tile.cols])
}

/// Twice the average rank of every step that occurs.
struct RankTable {
    lowest: usize,
    doubled: Vec<u32>,
    /// Twice the mean rank.
    centre: u32,
}

impl RankTable {
    fn new(block: &Directions<'_>, progress: &dyn Progress) -> Result<Self> {
        let slices = LEVELS.div_ceil(SLICE);
        // A slice fits a core's cache and is counted by one thread at a time.
        let counts: Vec<Mutex<Vec<u32>>> =
            std::iter::repeat_with(|| Mutex::new(Vec::new())).take(slices).collect();
        let count = |slice: usize, held: &[u16]| {
            let mut counts = counts[slice].lock().unwrap_or_else(PoisonError::into_inner);
            counts.resize(SLICE, 0);
            held.iter().for_each(|&at| counts[usize::from(at)] += 1);
        };
        upper(block.values.rows())
            .par_iter()
            .try_fold(
                || (Buffers::default(), Buckets::new(slices)),
                |(mut buffers, mut buckets), tile| {
                    progress.check()?;
                    block.cosines(tile, &mut buffers)?;
                    for local in 0..tile.rows {
                        for &c in pairs_of_row(tile, local, &buffers.cosines).1 {
                            let level = level(c);
                            buckets.add(level / SLICE, (level % SLICE) as u16, &mut |s, held| count(s, held));
                        }
                    }
                    progress.advance(1);
                    Ok((buffers, buckets))
                },
            )
            .try_for_each(|done: Result<(Buffers, Buckets<u16>)>| {
                done?.1.finish(&mut |s, held| count(s, held));
                Ok::<(), Error>(())
            })?;
        let mut counts: Vec<Vec<u32>> = counts
            .into_iter()
            .map(|found| found.into_inner().unwrap_or_else(PoisonError::into_inner))
            .collect();
        // From the first slice that holds something to the last.
        counts.truncate(counts.iter().rposition(|c| !c.is_empty()).map_or(1, |last| last + 1));
        let first = counts.iter().position(|c| !c.is_empty()).unwrap_or(0);
        counts.drain(..first);
        counts.iter_mut().for_each(|slice| slice.resize(SLICE, 0));
        let counts = counts.concat();
        let lowest = counts.iter().position(|&c| c > 0).unwrap_or(0);
        let highest = counts.iter().rposition(|&c| c > 0).unwrap_or(0);
        let mut below = 0u32;
        let doubled = counts[lowest..=highest]
            .iter()
            .map(|&count| {
                let rank = 2 * below + count + 1;
                below += count;
                rank
            })
            .collect();
        Ok(Self { lowest: first * SLICE + lowest, doubled, centre: below + 1 })
    }

    fn bytes(&self) -> usize {
        self.doubled.len() * size_of::<u32>()
    }

    /// Twice the distance of the rank from the mean rank: a whole number.
    fn centred(&self, cosine: f32) -> f64 {
        f64::from(self.doubled[level(cosine) - self.lowest]) - f64::from(self.centre)
    }
}

/// Sets the sums of products of centred ranks of all pairs among `members`.
fn correlate(
    blocks: &[Directions<'_>],
    tables: &[RankTable],
    members: &[usize],
    out: &mut [f64],
    progress: &dyn Progress,
) -> Result<()> {
    let (m, l) = (members.len(), blocks.len());
    let n = blocks[members[0]].values.rows();
    let parts: Vec<Vec<f64>> = upper(n)
        .par_iter()
        .map_init(
            || (Buffers::default(), vec![0.0; m * ROWS * COLS]),
            |(buffers, ranks), tile| {
                progress.check()?;
                let size = tile.rows * tile.cols;
                let ranks = &mut ranks[..m * size];
                // Places that are no pair count as the mean rank.
                ranks.fill(0.0);
                for ((&member, table), ranks) in members.iter().zip(tables).zip(ranks.chunks_exact_mut(size))
                {
                    blocks[member].cosines(tile, buffers)?;
                    for local in 0..tile.rows {
                        let (skip, cosines) = pairs_of_row(tile, local, &buffers.cosines);
                        let row = &mut ranks[local * tile.cols + skip..(local + 1) * tile.cols];
                        row.iter_mut().zip(cosines).for_each(|(r, &c)| *r = table.centred(c));
                    }
                }
                let mut sums = vec![0.0; m * m];
                add_rows_product(ranks, m, &mut sums)?;
                progress.advance(m as u64);
                Ok(sums)
            },
        )
        .collect::<Result<_>>()?;
    let mut total = vec![0.0; m * m];
    parts.iter().for_each(|part| total.iter_mut().zip(part).for_each(|(t, v)| *t += v));
    for (a, &to_a) in members.iter().enumerate() {
        for (b, &to_b) in members.iter().enumerate() {
            // The upper triangle, so that both halves are the same bits.
            out[to_a * l + to_b] = total[a.min(b) * m + a.max(b)];
        }
    }
    Ok(())
}
