//! Readouts over the genes that positions predict: counts, next gene, and how likely the cell was.

use super::network::ROWS;
use super::network::{Network, Readout};
use super::tokens::{NO_TARGET, TARGET, TARGET_COUNT};
use crate::Tokens;
use microtome_core::Result;

/// Rows of logits over the vocabulary that exist at one time.
const LOGIT_ROWS: usize = 64;
/// Floor of the logarithm of predicted counts.
const EPS: f32 = 1e-6;

/// Positions of a cell that predict a gene, with the gene and its count.
pub(super) fn targets(tokens: &Tokens, cell: usize) -> Vec<(usize, u32, f32)> {
    let (Some(genes), Some(counts)) = (tokens.column(TARGET, cell), tokens.column(TARGET_COUNT, cell)) else {
        return vec![];
    };
    let all = genes.iter().zip(counts).enumerate();
    all.filter(|(_, (g, _))| **g != NO_TARGET).map(|(i, (&g, &n))| (i, g as u32, n)).collect()
}

impl Network {
    /// Predicted count of every target of a cell: shares of the cell's (clipped) total.
    pub(super) fn predicted_counts(&self, x: &[f32], targets: &[(usize, u32, f32)]) -> Result<Vec<f32>> {
        let d = self.d;
        let mut logits: Vec<f32> = vec![];
        for part in targets.chunks(ROWS) {
            let genes: Vec<u32> = part.iter().map(|(_, g, _)| *g).collect();
            let vectors = self.gene_vectors(&genes)?;
            let rows: Vec<f32> = part
                .iter()
                .zip(vectors.chunks_exact(d))
                .flat_map(|((i, _, _), v)| x[i * d..(i + 1) * d].iter().chain(v))
                .copied()
                .collect();
            let scores = self.counts.apply(&rows, part.len());
            logits.extend(scores.iter().zip(&genes).map(|(s, &g)| s + self.count_bias[g as usize]));
        }
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f64> = logits.iter().map(|l| f64::from(l - max).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let total: f64 = targets.iter().map(|(_, _, n)| f64::from(*n)).sum();
        Ok(weights.iter().map(|w| (w / sum * total) as f32).collect())
    }

    /// Cross entropy of every target as the next gene, `end` in place of the last one where the window is full.
    pub(super) fn next_gene_losses(
        &self,
        x: &[f32],
        targets: &[(usize, u32, f32)],
        end: Option<u32>,
    ) -> Vec<f32> {
        let d = self.d;
        let last = targets.len().saturating_sub(1);
        let mut out = Vec::with_capacity(targets.len());
        for part in targets.chunks(LOGIT_ROWS) {
            let rows: Vec<f32> = part.iter().flat_map(|(i, _, _)| &x[i * d..(i + 1) * d]).copied().collect();
            let logits = self.next_gene(&rows, part.len());
            for (row, (_, gene, _)) in logits.chunks(self.count_bias.len()).zip(part) {
                let gene = end.filter(|_| out.len() == last).unwrap_or(*gene);
                let capped: Vec<f64> =
                    row.iter().map(|&l| cap(f64::from(l), f64::from(self.soft_cap))).collect();
                let max = capped.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = capped.iter().map(|l| (l - max).exp()).sum();
                out.push((max + sum.ln() - capped[gene as usize]) as f32);
            }
        }
        out
    }

    /// `[rows, vocabulary]` logits of the next gene.
    pub(super) fn next_gene(&self, x: &[f32], rows: usize) -> Vec<f32> {
        self.next.as_ref().map_or(vec![], |head: &Readout| head.apply(x, rows))
    }
}

fn cap(x: f64, cap: f64) -> f64 {
    if cap > 0.0 { cap * (x / cap).tanh() } else { x }
}

/// Mean negative log-likelihood of counts under zero-truncated Poisson distributions; the truncation follows the published
/// approximation `max(0, mu - softplus(-mu))` of `log(exp(mu) - 1)`, or the exact logarithm (at least 0, as published) without it.
pub(super) fn truncated_poisson_loss(mu: &[f32], counts: &[f32], approximate: bool) -> f32 {
    let one = |(&mu, &n): (&f32, &f32)| {
        let (mu, n) = (f64::from(mu), f64::from(n));
        let norm = if approximate { mu - (-mu).exp().ln_1p() } else { mu.exp_m1().ln() };
        norm.max(0.0) + ln_factorial(n) - n * (mu + f64::from(EPS)).ln()
    };
    let sum: f64 = mu.iter().zip(counts).map(one).sum();
    (sum / mu.len().max(1) as f64) as f32
}

/// Counts are clipped whole numbers, so the sum is short.
fn ln_factorial(n: f64) -> f64 {
    (2..=n.min(1e6) as u32).map(|i| f64::from(i).ln()).sum()
}
