//! Batch normalisation of the summed embedding in evaluation mode: one set of statistics (`bn.*`), or one per batch (`dsbn.*`).

use microtome_core::{Error, Result};
use microtome_weights::Loader;
use rayon::prelude::*;

use super::tokens::BATCH;
use crate::Tokens;

const EPS: f32 = 6.1e-5;

/// `x * scale + shift` per channel.
pub(super) struct Channels {
    pub(super) mean: Vec<f32>,
    pub(super) variance: Vec<f32>,
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) eps: f32,
}

pub(super) enum BatchNorm {
    None,
    One(Channels),
    /// One per batch label.
    PerBatch(Vec<Channels>),
}

impl BatchNorm {
    pub(super) fn load(loader: &Loader<'_>, d: usize) -> Result<Self> {
        loader.ignore("*num_batches_tracked", "a counter of training steps");
        if loader.has("bn.running_mean") {
            return Ok(Self::One(channels(loader, "bn", d)?));
        }
        let n = (0..).take_while(|k| loader.has(&format!("dsbn.bns.{k}.running_mean"))).count();
        if n == 0 {
            return Ok(Self::None);
        }
        Ok(Self::PerBatch((0..n).map(|k| channels(loader, &format!("dsbn.bns.{k}"), d)).collect::<Result<_>>()?))
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::None => "none".into(),
            Self::One(_) => "bn.*, running statistics".into(),
            Self::PerBatch(all) => format!("dsbn.*, running statistics of each cell's own batch out of {}", all.len()),
        }
    }

    /// Normalises `[token, d]` in place.
    pub(super) fn apply(&self, x: &mut [f32], tokens: &Tokens) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::One(channels) => {
                channels.apply(x);
                Ok(())
            }
            Self::PerBatch(all) => {
                let batches = batches(tokens, all.len())?;
                let d = all[0].mean.len();
                for (span, batch) in tokens.offsets.windows(2).zip(batches) {
                    all[batch].apply(&mut x[span[0] * d..span[1] * d]);
                }
                Ok(())
            }
        }
    }
}

/// Batch of every cell; an error when there is none or the model does not know it.
pub(super) fn batches(tokens: &Tokens, n: usize) -> Result<Vec<usize>> {
    let column = tokens.per_cell.get(BATCH).ok_or_else(|| {
        Error::mismatch("this model was fine-tuned with a batch label, and the cells have none")
            .at_key(BATCH)
            .expected(format!("a batch per cell, one of {n}"))
            .remedy("name the column of obs that holds the batch, with the labels of the fine-tuning data")
    })?;
    let known = |&b: &f32| {
        let batch = b as usize;
        (batch < n).then_some(batch).ok_or_else(|| {
            Error::mismatch("a cell's batch is not one that the model was fine-tuned with")
                .at_key(BATCH)
                .expected(format!("a batch below {n}"))
                .found(b.to_string())
        })
    };
    column.iter().map(known).collect()
}

impl Channels {
    fn apply(&self, x: &mut [f32]) {
        let scale: Vec<f32> =
            self.weight.iter().zip(&self.variance).map(|(w, v)| w / (v + self.eps).sqrt()).collect();
        x.par_chunks_exact_mut(scale.len().max(1)).for_each(|row| {
            for (((x, s), m), b) in row.iter_mut().zip(&scale).zip(&self.mean).zip(&self.bias) {
                *x = (*x - m) * s + b;
            }
        });
    }
}

fn channels(loader: &Loader<'_>, name: &str, d: usize) -> Result<Channels> {
    // Statistics of a batch have no scale and shift of their own unless the file holds them.
    let affine = |part: &str, otherwise: f32| {
        Ok::<_, Error>(loader.optional_f32(&format!("{name}.{part}"), &[d])?.unwrap_or_else(|| vec![otherwise; d]))
    };
    Ok(Channels {
        mean: loader.f32(&format!("{name}.running_mean"), &[d])?,
        variance: loader.f32(&format!("{name}.running_var"), &[d])?,
        weight: affine("weight", 1.0)?,
        bias: affine("bias", 0.0)?,
        eps: EPS,
    })
}
