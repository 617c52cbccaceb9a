//! The edges of highest score among all n x n, found in one walk.

use super::edges::{Edge, ScoredEdge};
use super::scores::Scores;
use crate::tiles::Tile;
use microtome_core::{Error, Progress, Result};
use serde::Serialize;
use std::sync::atomic::{AtomicU32, Ordering};

/// What happens to edges that tie with the K-th.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// All edges that reach the K-th score are taken, as Napistu-Torch does; there may be more than K.
    All,
    /// Exactly K edges; among ties the smaller query row, then the smaller key row, comes first.
    First,
}

/// Which edges count as the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopOptions {
    /// How many.
    pub k: usize,
    /// Rank by magnitude rather than by signed value.
    pub absolute: bool,
    /// Let a gene's edge to itself take part.
    pub self_pairs: bool,
    /// What happens to ties.
    pub ties: Ties,
}

/// More ties than this at the K-th score are an error rather than a list.
const MOST_TIES: usize = 4 << 20;

/// The `k` edges of highest score, falling, ties by query and then key row. Fewer when there are fewer.
///
/// Errors when more than four million edges tie at the K-th score under [`Ties::All`], or when stopped.
pub fn top_edges(scores: &Scores, options: &TopOptions, progress: &dyn Progress) -> Result<Vec<ScoredEdge>> {
    if options.k == 0 || scores.n_genes() == 0 {
        return Ok(Vec::new());
    }
    let floor = AtomicU32::new(0);
    let held = scores.walk(
        || Held { list: Vec::new(), next_prune: 2 * options.k + 65_536 },
        |held, tile, values| held.scan(tile, values, options, &floor),
        |mut a, b| {
            a.list.extend(b.list);
            a.prune(options, &floor)?;
            Ok(a)
        },
        progress,
    )?;
    let mut list = held.list;
    list.sort_unstable_by(falling(options.absolute));
    list.truncate(prefix(&list, options.k, options.ties, options.absolute));
    Ok(list)
}

/// How many edges of a falling list are the top `k`.
pub(crate) fn prefix(list: &[ScoredEdge], k: usize, ties: Ties, absolute: bool) -> usize {
    if list.len() <= k || k == 0 {
        return list.len().min(k);
    }
    let last = rank_value(list[k - 1].score, absolute);
    match ties {
        Ties::First => k,
        Ties::All => k + list[k..].partition_point(|e| rank_value(e.score, absolute) >= last),
    }
}

/// What a score is ranked by.
pub(crate) fn rank_value(score: f32, absolute: bool) -> f32 {
    if absolute { score.abs() } else { score }
}

/// Orders finite numbers as whole numbers; both zeros are the same.
fn key(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// The number with that key.
fn value(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

/// Strongest first, then by query and key row.
fn falling(absolute: bool) -> impl Fn(&ScoredEdge, &ScoredEdge) -> std::cmp::Ordering {
    let key = move |e: &ScoredEdge| key(rank_value(e.score, absolute));
    move |a, b| key(b).cmp(&key(a)).then(a.edge.cmp(&b.edge))
}

/// Candidates of one thread. `floor` is the key that an edge must reach, shared by all threads.
struct Held {
    list: Vec<ScoredEdge>,
    next_prune: usize,
}

impl Held {
    fn scan(&mut self, tile: &Tile, values: &[f32], options: &TopOptions, floor: &AtomicU32) -> Result<()> {
        const STEP: usize = 64;
        for (local, row) in values.chunks_exact(tile.cols.max(1)).enumerate() {
            let from = (tile.row + local) as u32;
            let reached = floor.load(Ordering::Relaxed);
            let least = if reached == 0 { f32::NEG_INFINITY } else { value(reached) };
            for (step, chunk) in row.chunks(STEP).enumerate() {
                // Most steps hold nothing: one comparison over all of them decides.
                let reached = |v: &f32| u32::from(*v >= least);
                let any = if options.absolute {
                    chunk.iter().fold(0, |any, v| any | reached(&v.abs()))
                } else {
                    chunk.iter().fold(0, |any, v| any | reached(v))
                };
                if any == 0 {
                    continue;
                }
                for (c, &score) in chunk.iter().enumerate() {
                    let to = (tile.col + step * STEP + c) as u32;
                    if rank_value(score, options.absolute) >= least && (options.self_pairs || from != to) {
                        self.list.push(ScoredEdge { edge: Edge::new(from, to), score });
                    }
                }
            }
            if self.list.len() >= self.next_prune {
                self.prune(options, floor)?;
            }
        }
        Ok(())
    }

    /// Drops what cannot be among the top any more.
    fn prune(&mut self, options: &TopOptions, floor: &AtomicU32) -> Result<()> {
        let k = options.k;
        if self.list.len() > k {
            let absolute = options.absolute;
            let (_, last, _) = self.list.select_nth_unstable_by(k - 1, falling(absolute));
            let least = key(rank_value(last.score, absolute));
            floor.fetch_max(least, Ordering::Relaxed);
            match options.ties {
                Ties::First => self.list.truncate(k),
                Ties::All => self.list.retain(|e| key(rank_value(e.score, absolute)) >= least),
            }
            if self.list.len() > k.saturating_add(MOST_TIES) {
                return Err(Error::mismatch("too many edges tie at the K-th score")
                    .expected(format!("at most {MOST_TIES} more than K = {k}"))
                    .found(self.list.len().to_string())
                    .remedy("take exactly K edges, or look for genes whose streams are all equal"));
            }
        }
        self.next_prune = 2 * self.list.len().max(k) + 65_536;
        Ok(())
    }
}
