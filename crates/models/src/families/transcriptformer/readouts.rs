//! The cell vector and the readouts of both passes, offered where wanted.

use microtome_core::{Result, Site};
use microtome_kernels::Mask;

use super::likelihood::{targets, truncated_poisson_loss};
use super::model::{TranscriptFormer, extra, names};
use crate::nn::{Attend, Wanted, run_stack};
use crate::{SiteData, Tap, Tokens};

impl TranscriptFormer {
    /// What is made of the last block of the embedding pass, `x` `[token, d]`.
    pub(super) fn read_out(
        &self,
        tokens: &Tokens,
        x: &[f32],
        wanted: &Wanted,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        if wanted.has(&Site::CellEmbedding) {
            let data = self.cell_vectors(tokens, x);
            tap.offer(&Site::CellEmbedding, tokens, SiteData::Cells { data: &data, width: self.network.d })?;
        }
        let [mu, next, losses, total] = [names::MU, names::NEXT, names::NEXT_LOSS, names::LOSS].map(extra);
        let (counts, cell_losses) = self.counts(tokens, x, wanted.has(&mu) || wanted.has(&total))?;
        if wanted.has(&mu) {
            tap.offer(&mu, tokens, SiteData::Tokens { data: &counts, width: 1 })?;
        }
        if wanted.has(&next) {
            let data = self.network.next_gene(x, tokens.ids.len());
            tap.offer(&next, tokens, SiteData::Tokens { data: &data, width: self.vocabulary.len() })?;
        }
        if wanted.has(&losses) {
            let data = self.next_gene_losses(tokens, x);
            tap.offer(&losses, tokens, SiteData::Tokens { data: &data, width: 1 })?;
        }
        if wanted.has(&total) {
            tap.offer(&total, tokens, SiteData::Cells { data: &cell_losses, width: 1 })?;
        }
        Ok(())
    }

    /// The pass in which cells are as likely as the model says (`embed=False` of the reference): a gene's own count does not reach
    /// the position that reads the gene, so that only earlier counts bear on what is predicted. `x` is the input of block 0.
    pub(super) fn likelihood_pass(
        &self,
        tokens: &Tokens,
        mut x: Vec<f32>,
        mask: Mask<'_>,
        wanted: &Wanted,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        let nothing = Wanted::nothing();
        run_stack(&self.network.blocks, &mut x, tokens, Attend::Softmax(mask), &nothing, true, tap)?;
        let [mu, total] = Self::sites_of_likelihood();
        let (counts, losses) = self.counts(tokens, &x, true)?;
        if wanted.has(&mu) {
            tap.offer(&mu, tokens, SiteData::Tokens { data: &counts, width: 1 })?;
        }
        if wanted.has(&total) {
            tap.offer(&total, tokens, SiteData::Cells { data: &losses, width: 1 })?;
        }
        Ok(())
    }

    /// As published a cell is divided by the window, whatever its length. `[cell, d]`.
    fn cell_vectors(&self, tokens: &Tokens, x: &[f32]) -> Vec<f32> {
        let d = self.network.d;
        let window = self.config.seq_len as f64;
        let mut data = vec![0.0f32; tokens.n_cells() * d];
        for (cell, out) in data.chunks_exact_mut(d).enumerate() {
            let mut sums = vec![0.0f64; d];
            for row in x[tokens.offsets[cell] * d..tokens.offsets[cell + 1] * d].chunks_exact(d).skip(1) {
                sums.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
            }
            out.iter_mut().zip(&sums).for_each(|(o, s)| *o = (s / window) as f32);
        }
        data
    }

    /// Predicted counts per token (0 where a position predicts no gene), and the loss of every cell; nothing unless `needed`.
    fn counts(&self, tokens: &Tokens, x: &[f32], needed: bool) -> Result<(Vec<f32>, Vec<f32>)> {
        if !needed {
            return Ok((vec![], vec![]));
        }
        let d = self.network.d;
        let (mut counts, mut losses) = (vec![0.0; tokens.ids.len()], vec![]);
        for (cell, span) in tokens.offsets.windows(2).enumerate() {
            let targets = targets(tokens, cell);
            let predicted = self.network.predicted_counts(&x[span[0] * d..span[1] * d], &targets)?;
            let mut observed: Vec<f32> = targets.iter().map(|(_, _, n)| *n).collect();
            // Where the window is full the last target is [END], of which there is one.
            if let Some(last) = observed.last_mut().filter(|_| targets.len() == self.config.seq_len) {
                *last = 1.0;
            }
            losses.push(truncated_poisson_loss(&predicted, &observed, self.config.softplus_approx));
            targets.iter().zip(&predicted).for_each(|((i, _, _), p)| counts[span[0] + i] = *p);
        }
        Ok((counts, losses))
    }

    fn next_gene_losses(&self, tokens: &Tokens, x: &[f32]) -> Vec<f32> {
        let d = self.network.d;
        let mut out = vec![0.0; tokens.ids.len()];
        for (cell, span) in tokens.offsets.windows(2).enumerate() {
            let targets = targets(tokens, cell);
            let end = (targets.len() == self.config.seq_len).then_some(self.vocabulary.end);
            let found = self.network.next_gene_losses(&x[span[0] * d..span[1] * d], &targets, end);
            targets.iter().zip(found).for_each(|((i, _, _), l)| out[span[0] + i] = l);
        }
        out
    }
}
