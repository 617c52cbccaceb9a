//! Cross entropy of class scores.

use candle_core::{Device, Result, Tensor, bail};

use super::node::{of_one, with_values};
use super::simd::{exp, fast, sum_of};

/// Weighted sum over rows of `-log softmax(logits)[target]`; `logits` is `[rows, classes]`, one target and one weight per
/// row. The sum, not the mean: minibatches of one step are added up and divided by all rows of the step.
pub fn cross_entropy(logits: &Tensor, targets: &[u32], weights: &[f32]) -> Result<Tensor> {
    let (rows, n) = logits.dims2()?;
    if targets.len() != rows || weights.len() != rows || targets.iter().any(|t| *t as usize >= n) {
        bail!(
            "{rows} rows of {n} classes do not go with {} targets and {} weights",
            targets.len(),
            weights.len()
        );
    }
    let (shares, losses) = with_values(logits, |l| softmax_rows(l, n, targets))?;
    let total: f64 = losses.iter().zip(weights).map(|(l, w)| f64::from(*l) * f64::from(*w)).sum();
    let (targets, weights) = (targets.to_vec(), weights.to_vec());
    of_one("cross_entropy", logits, vec![total as f32], (), move |grad| {
        let scale = grad.to_scalar::<f32>()?;
        let mut d = shares.clone();
        fast(|| {
            for ((row, t), w) in d.chunks_exact_mut(n.max(1)).zip(&targets).zip(&weights) {
                row[*t as usize] -= 1.0;
                row.iter_mut().for_each(|x| *x *= scale * w);
            }
        });
        Ok([Some(Tensor::from_vec(d, (rows, n), &Device::Cpu)?)])
    })
}

/// `-log softmax(logits)[target]` of every row, without a graph.
pub fn token_losses(logits: &Tensor, targets: &[u32]) -> Result<Vec<f32>> {
    let (rows, n) = logits.dims2()?;
    if targets.len() != rows || targets.iter().any(|t| *t as usize >= n) {
        bail!("{rows} rows of {n} classes do not go with {} targets", targets.len());
    }
    Ok(with_values(logits, |l| softmax_rows(l, n, targets))?.1)
}

/// Softmax of every row, and minus the logarithm of the target's share.
fn softmax_rows(logits: &[f32], n: usize, targets: &[u32]) -> (Vec<f32>, Vec<f32>) {
    let mut shares = logits.to_vec();
    let mut losses = vec![0f32; targets.len()];
    fast(|| {
        for ((row, t), loss) in shares.chunks_exact_mut(n.max(1)).zip(targets).zip(&mut losses) {
            let top = row.iter().fold(f32::NEG_INFINITY, |m, x| if *x > m { *x } else { m });
            let at = row[*t as usize];
            for x in row.iter_mut() {
                *x = exp(*x - top);
            }
            let total = sum_of(n, |k| row[k]);
            *loss = total.ln() - (at - top);
            let share = 1.0 / total;
            for x in row.iter_mut() {
                *x *= share;
            }
        }
    });
    (shares, losses)
}
