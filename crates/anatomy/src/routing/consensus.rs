//! Several scores of the same genes made one: blocks of a model, or models over shared genes.

use super::scores::{Scores, Scratch};
use crate::tiles::Tile;
use microtome_core::{Error, Progress, Result};
use serde::Serialize;

/// How scores become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consensus {
    /// The largest.
    Max,
    /// The sum.
    Sum,
    /// The one of largest magnitude, with its sign; the first of equal ones.
    AbsArgmax,
    /// The mean over parts of the share of all scores of the part that lie below (half of equal ones), 0 to 1: no part's
    /// scale counts. Shares are resolved to a part in four million of the span of a part's scores.
    MeanRank,
}

/// Parts and how they are combined.
#[derive(Clone, Debug)]
pub(super) struct Combined {
    parts: Vec<Scores>,
    how: Consensus,
    /// One per part for [`Consensus::MeanRank`], else none.
    tables: Vec<Shares>,
}

impl Combined {
    pub(super) fn new(parts: Vec<Scores>, how: Consensus, progress: &dyn Progress) -> Result<Self> {
        let bound: f64 = parts.iter().map(Scores::bound).sum();
        if bound >= f64::from(f32::MAX) / 4.0 {
            return Err(Error::mismatch("the sum of scores overflows").found(format!("up to {bound:e}")));
        }
        let tables = match how {
            Consensus::MeanRank => parts.iter().map(|p| Shares::new(p, progress)).collect::<Result<_>>()?,
            _ => Vec::new(),
        };
        Ok(Self { parts, how, tables })
    }

    pub(super) fn bound(&self) -> f64 {
        match self.how {
            Consensus::MeanRank => 1.0,
            _ => self.parts.iter().map(Scores::bound).sum(),
        }
    }

    pub(super) fn needs_rows(&self) -> bool {
        self.parts.iter().any(Scores::needs_rows)
    }

    pub(super) fn fill(&self, tile: &Tile, scratch: &mut Scratch, out: &mut Vec<f32>) -> Result<()> {
        let mut part = std::mem::take(&mut scratch.part);
        let share = 1.0 / self.parts.len() as f32;
        for (index, scores) in self.parts.iter().enumerate() {
            scores.fill(tile, scratch, &mut part)?;
            if index == 0 {
                out.clear();
                out.resize(part.len(), 0.0);
            }
            let pairs = out.iter_mut().zip(&part);
            match self.how {
                Consensus::MeanRank => {
                    pairs.for_each(|(o, &v)| *o += share * self.tables[index].below(v));
                }
                _ if index == 0 => pairs.for_each(|(o, &v)| *o = v),
                Consensus::Max => pairs.for_each(|(o, &v)| *o = o.max(v)),
                Consensus::Sum => pairs.for_each(|(o, &v)| *o += v),
                Consensus::AbsArgmax => {
                    pairs.for_each(|(o, &v)| {
                        if v.abs() > o.abs() {
                            *o = v;
                        }
                    });
                }
            }
        }
        scratch.part = part;
        Ok(())
    }
}

/// Share of a part's scores below a score.
#[derive(Clone, Debug)]
struct Shares {
    low: f32,
    scale: f32,
    shares: Vec<f32>,
}

const BINS: usize = 1 << 22;

impl Shares {
    fn new(scores: &Scores, progress: &dyn Progress) -> Result<Self> {
        let (low, high) = scores.walk(
            || (f32::INFINITY, f32::NEG_INFINITY),
            |(low, high), _, values| {
                values.iter().for_each(|&v| {
                    *low = low.min(v);
                    *high = high.max(v);
                });
                Ok(())
            },
            |a, b| Ok((a.0.min(b.0), a.1.max(b.1))),
            progress,
        )?;
        let scale = (BINS - 1) as f32 / (high - low);
        let scale = if scale.is_finite() { scale } else { 0.0 };
        let mut out = Self { low, scale, shares: Vec::new() };
        let counts = scores.walk(
            || vec![0u32; BINS],
            |counts, _, values| {
                values.iter().for_each(|&v| counts[out.bin(v)] += 1);
                Ok(())
            },
            |mut a, b| {
                a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
                Ok(a)
            },
            progress,
        )?;
        let all = (scores.n_genes() as f64).powi(2);
        let mut below = 0.0;
        out.shares = counts
            .into_iter()
            .map(|c| {
                let share = (below + f64::from(c) / 2.0) / all;
                below += f64::from(c);
                share as f32
            })
            .collect();
        Ok(out)
    }

    fn bin(&self, value: f32) -> usize {
        (((value - self.low) * self.scale) as usize).min(BINS - 1)
    }

    fn below(&self, value: f32) -> f32 {
        self.shares[self.bin(value)]
    }
}
