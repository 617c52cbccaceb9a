//! What single heads do: how sharply they look, and whether they look at the same few genes from everywhere.

use super::scores::Scores;
use super::softmax::Stripe;
use crate::outcome::Estimated;
use crate::tiles::stripes;
use microtome_core::{Error, Progress, Result};
use microtome_numerics::resample::quantile;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// One head of one block. `low` and `high` are quartiles over query genes, `n` counts query genes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Head, from 0.
    pub head: usize,
    /// Entropy of a query's attention in nats, median.
    pub entropy: Estimated,
    /// The same divided by `ln(number of keys)`, median: 1 = looks at all alike.
    pub entropy_normalised: Estimated,
    /// `exp(entropy)`, median: how many keys it looks at in effect.
    pub effective_keys: Estimated,
    /// Share of a query's attention on its strongest `top_keys` keys, median.
    pub top_mass: Estimated,
    /// Row of the key that receives most attention over all queries.
    pub sink: u32,
    /// Mean attention that this key receives; `1 / keys` when spread evenly.
    pub sink_mass: f64,
}

/// Fixed-point unit of summed attention: whole numbers add up to the same whatever the order.
const UNIT: f64 = (1u64 << 40) as f64;

/// Every head of one block. `top_keys` is the number of keys of [`Head::top_mass`].
///
/// Errors when scores are not softmaxes of one block, or when stopped.
pub fn heads(scores: &Scores, top_keys: usize, progress: &dyn Progress) -> Result<Vec<Head>> {
    let Some(all) = scores.heads() else {
        return Err(Error::usage("heads have no entropy without softmax")
            .expected("softmax scores of one block")
            .found("raw or combined scores"));
    };
    let n = scores.n_genes();
    if n < 2 || top_keys == 0 {
        return Err(Error::usage("heads need two genes or more and one key or more to look at")
            .found(format!("{n} genes, {top_keys} keys")));
    }
    let received: Vec<Vec<AtomicU64>> =
        (0..all.len()).map(|_| std::iter::repeat_with(|| AtomicU64::new(0)).take(n).collect()).collect();
    // Per stripe, head and row: entropy and mass of the strongest keys.
    let rows: Vec<Vec<Vec<(f64, f64)>>> = stripes(n)
        .par_iter()
        .map_init(
            || (Stripe::default(), Vec::new()),
            |(stripe, mean), tile| {
                progress.check()?;
                let mut out = vec![Vec::with_capacity(tile.rows); all.len()];
                all.mean(tile, stripe, mean, |head, values, entropies| {
                    let mut columns = vec![0u64; n];
                    for (row, &entropy) in values.chunks_exact(n).zip(entropies) {
                        columns.iter_mut().zip(row).for_each(|(c, &p)| *c += (f64::from(p) * UNIT) as u64);
                        out[head].push((entropy, strongest(row, top_keys)));
                    }
                    for (sum, c) in received[head].iter().zip(columns) {
                        sum.fetch_add(c, Ordering::Relaxed);
                    }
                })?;
                progress.advance((tile.rows * tile.cols) as u64);
                Ok(out)
            },
        )
        .collect::<Result<_>>()?;
    (0..all.len())
        .map(|head| {
            let of_head = || rows.iter().flat_map(|stripe| &stripe[head]);
            let entropies: Vec<f64> = of_head().map(|r| r.0).collect();
            let most = (n as f64).ln();
            let mass = received[head].iter().map(|v| v.load(Ordering::Relaxed)).enumerate();
            let (sink, total) = mass.max_by_key(|&(i, v)| (v, std::cmp::Reverse(i))).unwrap_or((0, 0));
            Ok(Head {
                head,
                entropy: quartiles(&entropies)?,
                entropy_normalised: quartiles(&entropies.iter().map(|e| e / most).collect::<Vec<_>>())?,
                effective_keys: quartiles(&entropies.iter().map(|e| e.exp()).collect::<Vec<_>>())?,
                top_mass: quartiles(&of_head().map(|r| r.1).collect::<Vec<_>>())?,
                sink: sink as u32,
                sink_mass: total as f64 / UNIT / n as f64,
            })
        })
        .collect()
}

fn quartiles(values: &[f64]) -> Result<Estimated> {
    let middle = quantile(values, 0.5)?;
    Ok(Estimated {
        low: quantile(values, 0.25)?,
        high: quantile(values, 0.75)?,
        ..Estimated::or_reason(middle, values.len() as u64, "there is no query")
    })
}

/// Sum of the `m` largest values.
fn strongest(row: &[f32], m: usize) -> f64 {
    if m >= row.len() {
        return row.iter().map(|&v| f64::from(v)).sum();
    }
    let mut copy = row.to_vec();
    let (above, last, _) = copy.select_nth_unstable_by(m - 1, |a, b| b.total_cmp(a));
    above.sort_unstable_by(f32::total_cmp);
    above.iter().map(|&v| f64::from(v)).sum::<f64>() + f64::from(*last)
}
