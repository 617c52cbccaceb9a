//! The stack of GPT-2: causal pre-LN blocks and one norm behind them (Radford et al. 2019), in either layout of published files.

pub(crate) mod lm;
#[cfg(test)]
mod tests;
pub(crate) mod untrained;
mod weights;

use microtome_core::{Axis, BlockSite, Result, Site};
use microtome_kernels::{Activation, LayerNorm, Mask};

use super::{Attend, PreLnBlock, Wanted, run_stack};
use crate::{SiteData, SiteInfo, Tap, Tokens};

/// Dimensions and arithmetic of a stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GptShape {
    pub(crate) n_blocks: usize,
    pub(crate) d_model: usize,
    pub(crate) n_heads: usize,
    pub(crate) d_mlp: usize,
    /// Of every LayerNorm.
    pub(crate) eps: f32,
    pub(crate) activation: Activation,
    /// Whether linear maps and norms have biases.
    pub(crate) bias: bool,
}

/// How a file holds linear maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GptLayout {
    /// `[n_in, n_out]`: `Conv1D` of Hugging Face's GPT-2.
    Conv1d,
    /// `[n_out, n_in]`: `Linear` of torch, as in nanoGPT.
    Linear,
}

/// Blocks and the norm behind them.
#[derive(Clone, Debug)]
pub(crate) struct Gpt {
    pub(crate) blocks: Vec<PreLnBlock>,
    /// `ln_f`.
    pub(crate) norm: LayerNorm,
    /// How the file holds the linear maps.
    layout: GptLayout,
    /// Whether it has biases.
    bias: bool,
    /// As published, unless a test says otherwise.
    pub(crate) causal: bool,
}

impl Gpt {
    /// `embed`, every place of every block, `final_norm`.
    pub(crate) fn sites(n_blocks: usize) -> Vec<SiteInfo> {
        const STREAM: &[Axis] = &[Axis::Cell, Axis::Token, Axis::DModel];
        let blocks = (0..n_blocks).flat_map(|i| BlockSite::ALL.map(|p| (Site::Block(i, p), p.axes())));
        std::iter::once((Site::Embed, STREAM))
            .chain(blocks)
            .chain([(Site::FinalNorm, STREAM)])
            .map(|(site, axes)| SiteInfo { site, axes: axes.to_vec() })
            .collect()
    }

    /// Width of the stream.
    pub(crate) fn width(&self) -> usize {
        self.norm.weight.len()
    }

    /// Runs the stack over its input `x` (`[token, d]`), offering every wanted place. The answer is the output of the last norm where it
    /// or something `beyond` it is wanted; otherwise nothing after the last wanted place is computed.
    pub(crate) fn run(
        &self,
        mut x: Vec<f32>,
        tokens: &Tokens,
        wanted: &Wanted,
        beyond: bool,
        tap: &mut dyn Tap,
    ) -> Result<Option<Vec<f32>>> {
        let width = self.width();
        if wanted.has(&Site::Embed) {
            tap.offer(&Site::Embed, tokens, SiteData::Tokens { data: &x, width })?;
        }
        let attend = Attend::Softmax(Mask { causal: self.causal, ..Mask::FULL });
        let normed = beyond || wanted.has(&Site::FinalNorm);
        if !run_stack(&self.blocks, &mut x, tokens, attend, wanted, normed, tap)? {
            return Ok(None);
        }
        let mut out = vec![0.0; x.len()];
        self.norm.apply(&x, tokens.ids.len(), &mut out);
        if wanted.has(&Site::FinalNorm) {
            tap.offer(&Site::FinalNorm, tokens, SiteData::Tokens { data: &out, width })?;
        }
        Ok(Some(out))
    }
}
