//! Rank correlations. Undefined ones (a constant input, fewer than two values) are `None`; NaN in an input is an
//! error; infinities rank at the ends.

use crate::dense::check_finite;
use microtome_core::{Error, Result};

/// Values reduced to their order, so that resampled statistics need no sorting.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Position of each value among the distinct values.
    levels: Vec<u32>,
    n_levels: usize,
}

impl Ranked {
    /// Sorts once. Errors on NaN.
    pub fn new(values: &[f64]) -> Result<Self> {
        if let Some(i) = values.iter().position(|v| v.is_nan()) {
            return Err(Error::mismatch("cannot rank NaN")
                .expected("numbers")
                .found(format!("NaN at position {i}"))
                .remedy("drop the cells without a value first"));
        }
        let mut order: Vec<u32> = (0..values.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| values[a as usize].total_cmp(&values[b as usize]));
        let mut levels = vec![0; values.len()];
        let mut n_levels = 0;
        let mut previous = None;
        for &i in &order {
            let v = values[i as usize];
            // == rather than the total order, which tells -0 from 0.
            if previous != Some(v) {
                n_levels += 1;
                previous = Some(v);
            }
            levels[i as usize] = n_levels as u32 - 1;
        }
        Ok(Self { levels, n_levels })
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// True without values.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Average ranks from 1.
    pub fn average_ranks(&self) -> Vec<f64> {
        let ranks = level_ranks(&self.levels, self.n_levels, |_| 1.0);
        self.levels.iter().map(|&l| ranks[l as usize]).collect()
    }
}

/// Average rank of every level when value `i` occurs `weight(i)` times.
fn level_ranks(levels: &[u32], n_levels: usize, weight: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut mass = vec![0.0; n_levels];
    levels.iter().enumerate().for_each(|(i, &l)| mass[l as usize] += weight(i));
    let mut below = 0.0;
    mass.iter()
        .map(|&m| {
            let rank = below + (m + 1.0) / 2.0;
            below += m;
            rank
        })
        .collect()
}

fn same_length(a: usize, b: usize) -> Result<()> {
    if a == b {
        return Ok(());
    }
    Err(Error::usage("paired values differ in number").expected(a.to_string()).found(b.to_string()))
}

/// Ranks from 1; equal values share the mean of their ranks. Errors on NaN.
pub fn average_ranks(values: &[f64]) -> Result<Vec<f64>> {
    Ok(Ranked::new(values)?.average_ranks())
}

/// Pearson correlation, in two passes. `None` when either side is constant. Errors on NaN, infinity or
/// different lengths.
pub fn pearson(x: &[f64], y: &[f64]) -> Result<Option<f64>> {
    same_length(x.len(), y.len())?;
    check_finite(x.iter().chain(y).copied(), "correlated values")?;
    Ok(weighted_pearson(x.iter().zip(y).map(|(&x, &y)| (x, y, 1.0))))
}

fn weighted_pearson(pairs: impl Iterator<Item = (f64, f64, f64)> + Clone) -> Option<f64> {
    let (mut n, mut mx, mut my) = (0.0, 0.0, 0.0);
    for (x, y, w) in pairs.clone() {
        n += w;
        mx += w * x;
        my += w * y;
    }
    if n <= 0.0 {
        return None;
    }
    let (mx, my) = (mx / n, my / n);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    let (mut largest_x, mut largest_y) = (0.0f64, 0.0f64);
    for (x, y, w) in pairs {
        let (dx, dy) = (x - mx, y - my);
        xx += w * dx * dx;
        yy += w * dy * dy;
        xy += w * dx * dy;
        if w > 0.0 {
            largest_x = largest_x.max(x.abs());
            largest_y = largest_y.max(y.abs());
        }
    }
    // A constant side leaves rounding of its mean behind, never a real spread.
    let flat = |sum: f64, largest: f64| sum <= n * (largest * 4.0 * f64::EPSILON).powi(2);
    if flat(xx, largest_x) || flat(yy, largest_y) {
        return None;
    }
    // One square root of the product, so that equal inputs give 1 exactly; two where the product would overflow.
    let product = xx * yy;
    let scale = if product.is_normal() { product.sqrt() } else { xx.sqrt() * yy.sqrt() };
    Some((xy / scale).clamp(-1.0, 1.0))
}

/// Spearman's rank correlation with average ranks. `None` when either side is constant. Errors on NaN or
/// different lengths.
pub fn spearman(x: &[f64], y: &[f64]) -> Result<Option<f64>> {
    same_length(x.len(), y.len())?;
    let all: Vec<usize> = (0..x.len()).collect();
    spearman_resampled(&Ranked::new(x)?, &Ranked::new(y)?, &all)
}

/// Spearman of the values at `cells` (repeats allowed), ranked anew among them. Linear time.
/// Errors on different lengths or an index out of range.
pub fn spearman_resampled(x: &Ranked, y: &Ranked, cells: &[usize]) -> Result<Option<f64>> {
    let (lx, ly) = (pick(x, cells, y.len())?, pick(y, cells, x.len())?);
    let rx = level_ranks(&lx, x.n_levels, |_| 1.0);
    let ry = level_ranks(&ly, y.n_levels, |_| 1.0);
    Ok(weighted_pearson(lx.iter().zip(&ly).map(|(&a, &b)| (rx[a as usize], ry[b as usize], 1.0))))
}

/// Spearman where value `i` counts as `weights[i]` copies; whole weights equal [`spearman_resampled`].
/// Errors on different lengths or weights that are negative or not finite.
pub fn spearman_weighted(x: &Ranked, y: &Ranked, weights: &[f64]) -> Result<Option<f64>> {
    same_length(x.len(), y.len())?;
    same_length(x.len(), weights.len())?;
    if let Some(w) = weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
        return Err(Error::usage("weights must be finite and not negative")
            .expected("0 or more")
            .found(w.to_string()));
    }
    let rx = level_ranks(&x.levels, x.n_levels, |i| weights[i]);
    let ry = level_ranks(&y.levels, y.n_levels, |i| weights[i]);
    let pairs = x.levels.iter().zip(&y.levels).zip(weights);
    Ok(weighted_pearson(pairs.map(|((&a, &b), &w)| (rx[a as usize], ry[b as usize], w))))
}

fn pick(values: &Ranked, cells: &[usize], other: usize) -> Result<Vec<u32>> {
    same_length(values.len(), other)?;
    cells
        .iter()
        .map(|&c| {
            values.levels.get(c).copied().ok_or_else(|| {
                Error::usage("cell out of range")
                    .expected(format!("below {}", values.len()))
                    .found(c.to_string())
            })
        })
        .collect()
}

/// Kendall's tau-b (Knight 1966, O(n log n)). `None` when either side is constant. Errors on NaN or different
/// lengths.
pub fn kendall_tau_b(x: &[f64], y: &[f64]) -> Result<Option<f64>> {
    same_length(x.len(), y.len())?;
    let all: Vec<usize> = (0..x.len()).collect();
    kendall_resampled(&Ranked::new(x)?, &Ranked::new(y)?, &all)
}

/// Tau-b of the values at `cells` (repeats allowed; copies of one cell are tied). Errors as [`spearman_resampled`].
pub fn kendall_resampled(x: &Ranked, y: &Ranked, cells: &[usize]) -> Result<Option<f64>> {
    let mut pairs: Vec<(u32, u32)> =
        pick(x, cells, y.len())?.into_iter().zip(pick(y, cells, x.len())?).collect();
    pairs.sort_unstable();
    let n = pairs.len() as u64;
    let choose_two = |m: u64| m * m.saturating_sub(1) / 2;
    let tied_x = tied(&pairs, |a, b| a.0 == b.0, choose_two);
    let tied_both = tied(&pairs, |a, b| a == b, choose_two);
    let mut y: Vec<u32> = pairs.iter().map(|p| p.1).collect();
    let discordant = inversions(&mut y);
    let tied_y = tied(&y, |a, b| a == b, choose_two);
    let all = choose_two(n);
    if all == tied_x || all == tied_y {
        return Ok(None);
    }
    // Pairs without any tie, less twice the discordant ones.
    let concordant_less_discordant =
        (all + tied_both) as f64 - (tied_x + tied_y) as f64 - 2.0 * discordant as f64;
    let scale = ((all - tied_x) as f64 * (all - tied_y) as f64).sqrt();
    Ok(Some((concordant_less_discordant / scale).clamp(-1.0, 1.0)))
}

fn tied<T>(sorted: &[T], same: impl Fn(&T, &T) -> bool, choose_two: impl Fn(u64) -> u64) -> u64 {
    sorted.chunk_by(same).map(|run| choose_two(run.len() as u64)).sum()
}

/// Number of pairs out of order; sorts `values`.
fn inversions(values: &mut [u32]) -> u64 {
    let mut buffer = values.to_vec();
    let mut total = 0;
    let mut width = 1;
    while width < values.len() {
        for start in (0..values.len()).step_by(2 * width) {
            let middle = (start + width).min(values.len());
            let end = (start + 2 * width).min(values.len());
            let (mut a, mut b) = (start, middle);
            for slot in &mut buffer[start..end] {
                if b == end || (a < middle && values[a] <= values[b]) {
                    *slot = values[a];
                    a += 1;
                } else {
                    total += (middle - a) as u64;
                    *slot = values[b];
                    b += 1;
                }
            }
        }
        values.copy_from_slice(&buffer);
        width *= 2;
    }
    total
}
