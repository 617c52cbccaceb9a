//! Hugging Face's `GPT2LMHeadModel`: words and learned positions, the stack, and next-token logits tied to the word table.

use std::ops::Range;
use std::sync::OnceLock;

use microtome_core::{Axis, Error, Result, Site};
use microtome_kernels::{Activation, Linear, Lookup, gather_sum};
use microtome_weights::Loader;

use super::untrained::NORMAL;
use super::{Gpt, GptLayout, GptShape};
use crate::nn::{Wanted, offer_cells};
use crate::untrained::Plan;
use crate::{CellRule, SiteData, SiteInfo, Tap, Tokens};

/// Logits of the next token at every position, `[cell, token, vocab]`.
pub(crate) const LM_LOGITS: &str = "readout.lm_logits";

/// The network.
#[derive(Debug)]
pub(crate) struct GptLm {
    /// `[vocab, d]`.
    pub(crate) words: Vec<f32>,
    /// `[position, d]`.
    pub(crate) positions: Vec<f32>,
    pub(crate) stack: Gpt,
    /// The word table as a map, packed when it is first asked for.
    logits: OnceLock<Linear>,
}

impl GptLm {
    /// `transformer.*` (or the same without that prefix, as `GPT2Model` saves itself) and the tied `lm_head.weight`.
    pub(crate) fn load(
        loader: &Loader<'_>,
        vocabulary: usize,
        n_positions: usize,
        shape: &GptShape,
    ) -> Result<Self> {
        let prefix = if loader.has("wte.weight") { "" } else { "transformer." };
        let words = loader.f32(&format!("{prefix}wte.weight"), &[vocabulary, shape.d_model])?;
        let positions = loader.f32(&format!("{prefix}wpe.weight"), &[n_positions, shape.d_model])?;
        let stack = Gpt::load(loader, prefix, shape, GptLayout::Conv1d)?;
        loader.tied("lm_head.weight", &format!("{prefix}wte.weight"))?;
        Ok(Self { words, positions, stack, logits: OnceLock::new() })
    }

    /// Tensors of an untrained model, in file order.
    pub(crate) fn plan(
        plan: &mut Plan,
        prefix: &str,
        vocabulary: usize,
        n_positions: usize,
        shape: &GptShape,
    ) {
        plan.add(format!("{prefix}wte.weight"), &[vocabulary, shape.d_model], NORMAL);
        plan.add(format!("{prefix}wpe.weight"), &[n_positions, shape.d_model], NORMAL);
        Gpt::plan(plan, prefix, shape, GptLayout::Conv1d);
    }

    /// Sites of the stack, the cell vector, the logits.
    pub(crate) fn sites(n_blocks: usize) -> Vec<SiteInfo> {
        let mut out = Gpt::sites(n_blocks);
        let own = [
            (Site::CellEmbedding, vec![Axis::Cell, Axis::DModel]),
            (Site::Extra(LM_LOGITS.into()), vec![Axis::Cell, Axis::Token, Axis::Vocab]),
        ];
        out.extend(own.map(|(site, axes)| SiteInfo { site, axes }));
        out
    }

    /// Errors when a token or a position is beyond its table.
    pub(crate) fn check(&self, tokens: &Tokens) -> Result<()> {
        let d = self.stack.width().max(1);
        let (vocabulary, n_positions) = (self.words.len() / d, self.positions.len() / d);
        if let Some(id) = tokens.ids.iter().find(|&&id| id as usize >= vocabulary) {
            return Err(Error::mismatch("a token is not in the model's vocabulary")
                .expected(format!("below {vocabulary}"))
                .found(id.to_string()));
        }
        let longest = (0..tokens.n_cells()).map(|c| tokens.len_of(c)).max().unwrap_or(0);
        if longest > n_positions {
            return Err(Error::mismatch("a cell is longer than the model's positions")
                .expected(format!("at most {n_positions} tokens"))
                .found(longest.to_string()));
        }
        Ok(())
    }

    /// `word[id] + position[i]`, `[token, d]`.
    fn embed(&self, tokens: &Tokens) -> Vec<f32> {
        let places: Vec<u32> = tokens.offsets.windows(2).flat_map(|w| 0..(w[1] - w[0]) as u32).collect();
        let lookups = [
            Lookup { table: &self.words, ids: &tokens.ids },
            Lookup { table: &self.positions, ids: &places },
        ];
        let mut out = vec![0.0; tokens.ids.len() * self.stack.width()];
        gather_sum(&lookups, self.stack.width(), &mut out);
        out
    }

    /// The forward pass up to the last wanted site; a cell's vector is pooled from `final_norm`.
    pub(crate) fn run(
        &self,
        tokens: &Tokens,
        wanted: &Wanted,
        rule: CellRule,
        gene_tokens: impl Fn(usize) -> Range<usize>,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        let logits = Site::Extra(LM_LOGITS.into());
        let beyond = wanted.has(&Site::CellEmbedding) || wanted.has(&logits);
        let Some(x) = self.stack.run(self.embed(tokens), tokens, wanted, beyond, tap)? else { return Ok(()) };
        let d = self.stack.width();
        if wanted.has(&Site::CellEmbedding) {
            offer_cells(tap, &Site::CellEmbedding, tokens, &x, d, rule, gene_tokens)?;
        }
        if wanted.has(&logits) {
            let map = self.logits.get_or_init(|| Linear::pack(&self.words, self.words.len() / d, d, None));
            let mut data = vec![0.0; tokens.ids.len() * map.n_out()];
            map.apply(&x, tokens.ids.len(), Activation::None, &mut data);
            tap.offer(&logits, tokens, SiteData::Tokens { data: &data, width: map.n_out() })?;
        }
        Ok(())
    }
}
