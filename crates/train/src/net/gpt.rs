//! `GPT2LMHeadModel` (transformers, `models/gpt2/modeling_gpt2.py`) under Hugging Face's tensor names.

use candle_core::{Device, Result, Tensor};
use microtome_core::Result as Outcome;

use super::block::{Block, NormPlacement, states};
use super::network::rows_of;
use super::ops::{Activation, AttentionShape};
use super::{Architecture, Dropout, Input, Linear, Network, Norm, Params, failed};

/// Dimensions and arithmetic of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct GptShape {
    /// What stands before the names of the tensors: `transformer.` in Hugging Face's files.
    pub prefix: String,
    /// Blocks.
    pub n_blocks: usize,
    /// Residual width.
    pub d_model: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Feed-forward width.
    pub d_mlp: usize,
    /// Rows of the table of positions.
    pub max_positions: usize,
    /// Rows of the table of words.
    pub vocab_size: usize,
    /// Of every layer norm.
    pub eps: f32,
    /// Between the two maps of the feed-forward part.
    pub activation: Activation,
}

impl GptShape {
    fn words(&self) -> (String, [usize; 2]) {
        (format!("{}wte.weight", self.prefix), [self.vocab_size, self.d_model])
    }

    fn positions(&self) -> (String, [usize; 2]) {
        (format!("{}wpe.weight", self.prefix), [self.max_positions, self.d_model])
    }

    fn block(&self, i: usize) -> String {
        format!("{}h.{i}", self.prefix)
    }
}

impl Architecture for GptShape {
    /// The readout is the word table (tied). Maps of the blocks are `[n_in, n_out]` (`Conv1D`).
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (d, f) = (self.d_model, self.d_mlp);
        let mut all: Vec<_> =
            [self.words(), self.positions()].into_iter().map(|(n, s)| (n, s.to_vec())).collect();
        let mut pair = |name: String, weight: Vec<usize>| {
            all.push((format!("{name}.bias"), weight[weight.len() - 1..].to_vec()));
            all.push((format!("{name}.weight"), weight));
        };
        for i in 0..self.n_blocks {
            let b = self.block(i);
            pair(format!("{b}.ln_1"), vec![d]);
            pair(format!("{b}.attn.c_attn"), vec![d, 3 * d]);
            pair(format!("{b}.attn.c_proj"), vec![d, d]);
            pair(format!("{b}.ln_2"), vec![d]);
            pair(format!("{b}.mlp.c_fc"), vec![d, f]);
            pair(format!("{b}.mlp.c_proj"), vec![f, d]);
        }
        pair(format!("{}ln_f", self.prefix), vec![d]);
        all
    }

    fn width(&self) -> usize {
        self.d_model
    }

    fn n_blocks(&self) -> usize {
        self.n_blocks
    }

    fn over(&self, params: &Params) -> Outcome<Box<dyn Network>> {
        let get = |(name, shape): (String, [usize; 2])| params.get(&name, &shape);
        Ok(Box::new(Gpt {
            words: get(self.words())?,
            positions: get(self.positions())?,
            blocks: (0..self.n_blocks).map(|i| block(params, self, i)).collect::<Outcome<_>>()?,
            norm: Norm::of(params, &format!("{}ln_f", self.prefix), self.d_model, self.eps)?,
        }))
    }
}

fn block(params: &Params, s: &GptShape, i: usize) -> Outcome<Block> {
    let (name, d) = (s.block(i), s.d_model);
    let norm = |part: &str| Norm::of(params, &format!("{name}.{part}"), d, s.eps);
    let linear = |part: &str, n_in: usize, n_out: usize| {
        let weight = params.get(&format!("{name}.{part}.weight"), &[n_in, n_out])?;
        let bias = params.get(&format!("{name}.{part}.bias"), &[n_out])?;
        Ok::<_, microtome_core::Error>(Linear { weight: weight.t().map_err(failed)?, bias })
    };
    Ok(Block {
        attention: AttentionShape { causal: true, ..AttentionShape::new(s.n_heads, d / s.n_heads.max(1)) },
        qkv: linear("attn.c_attn", d, 3 * d)?,
        out: linear("attn.c_proj", d, d)?,
        norm1: norm("ln_1")?,
        gate: None,
        up: linear("mlp.c_fc", d, s.d_mlp)?,
        activation: s.activation,
        down: linear("mlp.c_proj", s.d_mlp, d)?,
        norm2: norm("ln_2")?,
        placement: NormPlacement::Pre,
    })
}

struct Gpt {
    words: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
}

impl Gpt {
    fn run(&self, input: &Input, dropout: &mut Dropout) -> Result<Vec<Tensor>> {
        let (words, positions) =
            (rows_of(&self.words, &input.ids)?, rows_of(&self.positions, &input.positions)?);
        let mut states = states(&self.blocks, (words + positions)?, &input.cells, dropout)?;
        states.push(self.norm.apply(&states[self.blocks.len()])?);
        Ok(states)
    }

    fn scores(&self, input: &Input, last: &Tensor) -> Result<Tensor> {
        let bias = Tensor::zeros(self.words.dim(0)?, candle_core::DType::F32, &Device::Cpu)?;
        Linear { weight: self.words.clone(), bias }.apply(&rows_of(last, &input.rows)?, Activation::None)
    }
}

impl Network for Gpt {
    fn states(&self, input: &Input, dropout: &mut Dropout) -> Outcome<Vec<Tensor>> {
        self.run(input, dropout).map_err(failed)
    }

    fn for_readout(&self, state: &Tensor) -> Outcome<Tensor> {
        self.norm.apply(state).map_err(failed)
    }

    /// Scores of the token that follows.
    fn answers(&self, input: &Input, last: &Tensor) -> Outcome<Tensor> {
        self.scores(input, last).map_err(failed)
    }
}
