//! `NicheformerForMaskedLM` (theislab/nicheformer) under its tensor names: `nn.TransformerEncoder` over words and learned positions.

use candle_core::{Result, Tensor};
use microtome_core::Result as Outcome;

use super::block::{Block, states};
use super::network::rows_of;
use super::ops::Activation;
use super::torch_layer::TorchLayer;
use super::{Architecture, Dropout, Input, Linear, Network, Params, failed};

/// Of every layer norm.
const EPS: f32 = 1e-12;
const WORDS: &str = "nicheformer.embeddings.weight";
const POSITIONS: &str = "nicheformer.positional_embedding.weight";
const HEAD: &str = "classifier_head";

/// Dimensions of the network, as `config.json` states them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NicheformerShape {
    /// `nlayers`.
    pub n_blocks: usize,
    /// `dim_model`.
    pub d_model: usize,
    /// `nheads`.
    pub n_heads: usize,
    /// `dim_feedforward`.
    pub d_mlp: usize,
    /// `context_length`.
    pub max_positions: usize,
    /// Rows of the table of words.
    pub n_rows: usize,
    /// `n_tokens`: tokens that the readout knows.
    pub n_tokens: usize,
}

impl NicheformerShape {
    fn layer(&self, i: usize) -> TorchLayer {
        TorchLayer {
            name: format!("nicheformer.encoder.layers.{i}"),
            qkv: "in_proj_",
            d: self.d_model,
            n_heads: self.n_heads,
            d_mlp: self.d_mlp,
            eps: EPS,
        }
    }
}

impl Architecture for NicheformerShape {
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let d = self.d_model;
        let mut all = vec![
            (WORDS.to_string(), vec![self.n_rows, d]),
            (POSITIONS.to_string(), vec![self.max_positions, d]),
            (format!("{HEAD}.weight"), vec![self.n_tokens, d]),
            (format!("{HEAD}.bias"), vec![self.n_tokens]),
        ];
        all.extend((0..self.n_blocks).flat_map(|i| self.layer(i).tensors()));
        all
    }

    fn width(&self) -> usize {
        self.d_model
    }

    fn n_blocks(&self) -> usize {
        self.n_blocks
    }

    fn over(&self, params: &Params) -> Outcome<Box<dyn Network>> {
        let d = self.d_model;
        Ok(Box::new(Nicheformer {
            words: params.get(WORDS, &[self.n_rows, d])?,
            positions: params.get(POSITIONS, &[self.max_positions, d])?,
            blocks: (0..self.n_blocks).map(|i| self.layer(i).block(params)).collect::<Outcome<_>>()?,
            head: Linear::of(params, HEAD, self.n_tokens, d)?,
        }))
    }
}

struct Nicheformer {
    words: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    head: Linear,
}

impl Nicheformer {
    fn run(&self, input: &Input, dropout: &mut Dropout) -> Result<Vec<Tensor>> {
        let (words, positions) =
            (rows_of(&self.words, &input.ids)?, rows_of(&self.positions, &input.positions)?);
        states(&self.blocks, (words + positions)?, &input.cells, dropout)
    }
}

impl Network for Nicheformer {
    fn states(&self, input: &Input, dropout: &mut Dropout) -> Outcome<Vec<Tensor>> {
        self.run(input, dropout).map_err(failed)
    }

    /// Scores of the tokens that were hidden.
    fn answers(&self, input: &Input, last: &Tensor) -> Outcome<Tensor> {
        let asked = rows_of(last, &input.rows).map_err(failed)?;
        self.head.apply(&asked, Activation::None).map_err(failed)
    }
}
