//! How rows move from block to block: speed, growth, curvature, and what attention and feed-forward add.

use crate::input::Blocks;
use crate::outcome::Estimated;
use microtome_core::{Error, Matrix, Result};
use microtome_numerics::resample::quantile;
use serde::{Deserialize, Serialize};

/// One number per row, summarised: the median, with the quartiles as `low` and `high`. `n` counts rows.
fn quartiles(values: &[f64], reason: &str) -> Result<Estimated> {
    let n = values.len() as u64;
    let (Some(low), Some(middle), Some(high)) =
        (quantile(values, 0.25)?, quantile(values, 0.5)?, quantile(values, 0.75)?)
    else {
        return Ok(Estimated::missing(n, reason));
    };
    Ok(Estimated { low: Some(low), high: Some(high), ..Estimated::exact(middle, n) })
}

/// The step from one block to the next; medians over rows, with quartiles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Block it starts from.
    pub from: String,
    /// Block it leads to.
    pub to: String,
    /// `1 - cos` between a row before and after (representation speed).
    pub speed: Estimated,
    /// Length after divided by length before (norm growth).
    pub growth: Estimated,
    /// Length of the difference divided by the length before; small for blocks that hardly change the stream.
    pub relative_change: Estimated,
}

/// Every step between consecutive blocks. Missing where widths differ or no row has a length.
///
/// Errors when a length overflows.
pub fn steps(blocks: &Blocks<'_>) -> Result<Vec<Step>> {
    (1..blocks.len())
        .map(|b| {
            let (x, y) = (blocks.values()[b - 1], blocks.values()[b]);
            let (mut speed, mut growth, mut change) = (Vec::new(), Vec::new(), Vec::new());
            let mut reason = "no row has a length";
            if x.cols() == y.cols() {
                for i in 0..x.rows() {
                    let (before, after, dot) = (norm(x.row(i)), norm(y.row(i)), dot(x.row(i), y.row(i)));
                    if before > 0.0 {
                        growth.push(after / before);
                        change.push(distance(x.row(i), y.row(i)) / before);
                        if after > 0.0 {
                            speed.push(1.0 - (dot / (before * after)).clamp(-1.0, 1.0));
                        }
                    }
                }
            } else {
                reason = "the blocks differ in width";
            }
            Ok(Step {
                from: blocks.names()[b - 1].clone(),
                to: blocks.names()[b].clone(),
                speed: quartiles(&speed, reason)?,
                growth: quartiles(&growth, reason)?,
                relative_change: quartiles(&change, reason)?,
            })
        })
        .collect()
}

/// How much of the stream one part of a block contributes; medians over rows, with quartiles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Name of the contribution, such as `blocks.3.attn_out`.
    pub name: String,
    /// Length of the contribution divided by the length of the stream it is added to.
    pub length: Estimated,
    /// Cosine between the contribution and the stream: below 0 where it cancels.
    pub cosine: Estimated,
}

/// Share of `part [row, d]` (`attn_out` or `mlp_out`) in `stream [row, d]`, the stream it is added to.
///
/// Errors when shapes differ.
pub fn share(name: &str, part: &Matrix, stream: &Matrix) -> Result<Share> {
    if (part.rows(), part.cols()) != (stream.rows(), stream.cols()) {
        return Err(Error::mismatch("a contribution and its stream differ in shape")
            .at_key(name)
            .expected(format!("{} x {}", stream.rows(), stream.cols()))
            .found(format!("{} x {}", part.rows(), part.cols())));
    }
    let (mut length, mut cosine) = (Vec::new(), Vec::new());
    for i in 0..part.rows() {
        let (p, s) = (norm(part.row(i)), norm(stream.row(i)));
        if s > 0.0 {
            length.push(p / s);
            if p > 0.0 {
                cosine.push((dot(part.row(i), stream.row(i)) / (p * s)).clamp(-1.0, 1.0));
            }
        }
    }
    Ok(Share {
        name: name.to_owned(),
        length: quartiles(&length, "no row has a length")?,
        cosine: quartiles(&cosine, "no row has a direction")?,
    })
}

/// Mean angle in radians between successive differences along an ordered path of rows (Hosseini and Fedorenko 2023, arXiv
/// 2311.04930): 0 = straight. `n` counts angles.
///
/// For rows that have an order: tokens of a ranked sentence, or centroids along pseudotime. A bag of genes has none.
///
/// Errors when a value is not finite.
pub fn curvature(path: &Matrix) -> Result<Estimated> {
    crate::input::check_finite(path, "path")?;
    let rows: Vec<&[f32]> = (0..path.rows()).map(|i| path.row(i)).collect();
    let angles = angles(&rows);
    let mean = (!angles.is_empty()).then(|| angles.iter().sum::<f64>() / angles.len() as f64);
    Ok(Estimated::or_reason(mean, angles.len() as u64, "fewer than two steps that move"))
}

/// Curvature of every row's path through the blocks, in radians: the mean angle per row, then median and quartiles over
/// rows. `n` counts rows that move at least twice. Missing where widths differ.
///
/// Errors when a value overflows.
pub fn depth_curvature(blocks: &Blocks<'_>) -> Result<Estimated> {
    let width = blocks.values()[0].cols();
    if blocks.values().iter().any(|x| x.cols() != width) {
        return Ok(Estimated::missing(0, "the blocks differ in width"));
    }
    let means: Vec<f64> = (0..blocks.n_rows())
        .filter_map(|i| {
            let rows: Vec<&[f32]> = blocks.values().iter().map(|x| x.row(i)).collect();
            let angles = angles(&rows);
            (!angles.is_empty()).then(|| angles.iter().sum::<f64>() / angles.len() as f64)
        })
        .collect();
    quartiles(&means, "no row moves at least twice")
}

/// Angles between successive differences; steps of no length are passed over.
fn angles(rows: &[&[f32]]) -> Vec<f64> {
    let mut out = Vec::new();
    let mut previous: Option<Vec<f64>> = None;
    for pair in rows.windows(2) {
        let step: Vec<f64> =
            pair[1].iter().zip(pair[0]).map(|(b, a)| f64::from(*b) - f64::from(*a)).collect();
        let length = step.iter().map(|v| v * v).sum::<f64>().sqrt();
        if length == 0.0 {
            continue;
        }
        let step: Vec<f64> = step.iter().map(|v| v / length).collect();
        if let Some(before) = &previous {
            let cosine: f64 = before.iter().zip(&step).map(|(a, b)| a * b).sum();
            out.push(cosine.clamp(-1.0, 1.0).acos());
        }
        previous = Some(step);
    }
    out
}

fn norm(row: &[f32]) -> f64 {
    dot(row, row).sqrt()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum::<f64>().sqrt()
}
