//! `BertForMaskedLM` (transformers, `models/bert/modeling_bert.py`) under Hugging Face's tensor names.

use candle_core::{Result, Tensor};
use microtome_core::Result as Outcome;

use super::block::{Block, NormPlacement, states};
use super::network::rows_of;
use super::ops::{Activation, AttentionShape};
use super::{Architecture, Dropout, Input, Linear, Network, Norm, Params, failed};

/// Dimensions of the network, as `config.json` states them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BertShape {
    /// `num_hidden_layers`.
    pub n_blocks: usize,
    /// `hidden_size`.
    pub d_model: usize,
    /// `num_attention_heads`.
    pub n_heads: usize,
    /// `intermediate_size`.
    pub d_mlp: usize,
    /// `max_position_embeddings`.
    pub max_positions: usize,
    /// `vocab_size`.
    pub vocab_size: usize,
    /// `type_vocab_size`.
    pub type_vocab_size: usize,
    /// `layer_norm_eps`.
    pub eps: f32,
    /// `hidden_act`.
    pub activation: Activation,
}

const WORDS: &str = "bert.embeddings.word_embeddings.weight";
const POSITIONS: &str = "bert.embeddings.position_embeddings.weight";
const TYPES: &str = "bert.embeddings.token_type_embeddings.weight";
const EMBEDDING_NORM: &str = "bert.embeddings.LayerNorm";
const HEAD: &str = "cls.predictions";

impl Architecture for BertShape {
    /// The decoder is the word table (tied), the pooler is not trained.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (d, f) = (self.d_model, self.d_mlp);
        let mut all = vec![
            (WORDS.to_string(), vec![self.vocab_size, d]),
            (POSITIONS.to_string(), vec![self.max_positions, d]),
            (TYPES.to_string(), vec![self.type_vocab_size, d]),
            (format!("{HEAD}.bias"), vec![self.vocab_size]),
        ];
        let mut pair = |name: String, weight: Vec<usize>| {
            all.push((format!("{name}.bias"), weight[..1].to_vec()));
            all.push((format!("{name}.weight"), weight));
        };
        pair(EMBEDDING_NORM.into(), vec![d]);
        pair(format!("{HEAD}.transform.dense"), vec![d, d]);
        pair(format!("{HEAD}.transform.LayerNorm"), vec![d]);
        for i in 0..self.n_blocks {
            let block = block_name(i);
            for part in ["query", "key", "value"] {
                pair(format!("{block}.attention.self.{part}"), vec![d, d]);
            }
            pair(format!("{block}.attention.output.dense"), vec![d, d]);
            pair(format!("{block}.attention.output.LayerNorm"), vec![d]);
            pair(format!("{block}.intermediate.dense"), vec![f, d]);
            pair(format!("{block}.output.dense"), vec![d, f]);
            pair(format!("{block}.output.LayerNorm"), vec![d]);
        }
        all
    }

    fn width(&self) -> usize {
        self.d_model
    }

    fn n_blocks(&self) -> usize {
        self.n_blocks
    }

    fn over(&self, params: &Params) -> Outcome<Box<dyn Network>> {
        Ok(Box::new(Bert::new(params, self)?))
    }
}

fn block_name(i: usize) -> String {
    format!("bert.encoder.layer.{i}")
}

/// The network as part of a graph: made from the weights of the moment for one pass.
#[derive(Clone, Debug)]
pub struct Bert {
    /// `[vocab_size, d]`; the decoder as well.
    pub words: Tensor,
    /// `[max_positions, d]`.
    pub positions: Tensor,
    /// `[type_vocab_size, d]`, of which every token takes the first row.
    pub types: Tensor,
    /// On the sum of the tables.
    pub norm: Norm,
    /// Post-LN blocks.
    pub blocks: Vec<Block>,
    /// Dense part of the masked-gene readout.
    pub transform: Linear,
    /// Activation of the readout.
    pub activation: Activation,
    /// Norm of the readout.
    pub transform_norm: Norm,
    /// `[vocab_size]`.
    pub decoder_bias: Tensor,
}

impl Bert {
    /// The network over these weights.
    pub fn new(params: &Params, s: &BertShape) -> Outcome<Self> {
        let d = s.d_model;
        Ok(Self {
            words: params.get(WORDS, &[s.vocab_size, d])?,
            positions: params.get(POSITIONS, &[s.max_positions, d])?,
            types: params.get(TYPES, &[s.type_vocab_size, d])?,
            norm: Norm::of(params, EMBEDDING_NORM, d, s.eps)?,
            blocks: (0..s.n_blocks).map(|i| block(params, s, i)).collect::<Outcome<_>>()?,
            transform: Linear::of(params, &format!("{HEAD}.transform.dense"), d, d)?,
            activation: s.activation,
            transform_norm: Norm::of(params, &format!("{HEAD}.transform.LayerNorm"), d, s.eps)?,
            decoder_bias: params.get(&format!("{HEAD}.bias"), &[s.vocab_size])?,
        })
    }

    fn run(&self, input: &Input, dropout: &mut Dropout) -> Result<Vec<Tensor>> {
        let words = rows_of(&self.words, &input.ids)?;
        let types = rows_of(&self.types, &vec![0; input.ids.len()])?;
        let positions = rows_of(&self.positions, &input.positions)?;
        let embedding = self.norm.apply(&((words + types)? + positions)?)?;
        states(&self.blocks, embedding, &input.cells, dropout)
    }

    /// Scores of all vocabulary entries, `[rows.len(), vocab_size]`, at these tokens of the last state.
    pub fn logits(&self, state: &Tensor, rows: &[u32]) -> Outcome<Tensor> {
        let logits = || {
            let x = self.transform.apply(&rows_of(state, rows)?, self.activation)?;
            let decoder = Linear { weight: self.words.clone(), bias: self.decoder_bias.clone() };
            decoder.apply(&self.transform_norm.apply(&x)?, Activation::None)
        };
        logits().map_err(failed)
    }
}

impl Network for Bert {
    fn states(&self, input: &Input, dropout: &mut Dropout) -> Outcome<Vec<Tensor>> {
        self.run(input, dropout).map_err(failed)
    }

    fn answers(&self, input: &Input, last: &Tensor) -> Outcome<Tensor> {
        self.logits(last, &input.rows)
    }
}

fn block(params: &Params, s: &BertShape, i: usize) -> Outcome<Block> {
    let (name, d) = (block_name(i), s.d_model);
    let linear = |part: &str, n_out, n_in| Linear::of(params, &format!("{name}.{part}"), n_out, n_in);
    let qkv = ["query", "key", "value"].map(|part| linear(&format!("attention.self.{part}"), d, d));
    let qkv = qkv.into_iter().collect::<Outcome<Vec<_>>>()?;
    Ok(Block {
        attention: AttentionShape::new(s.n_heads, d / s.n_heads.max(1)),
        qkv: Linear::joined(&qkv)?,
        out: linear("attention.output.dense", d, d)?,
        norm1: Norm::of(params, &format!("{name}.attention.output.LayerNorm"), d, s.eps)?,
        gate: None,
        up: linear("intermediate.dense", s.d_mlp, d)?,
        activation: s.activation,
        down: linear("output.dense", d, s.d_mlp)?,
        norm2: Norm::of(params, &format!("{name}.output.LayerNorm"), d, s.eps)?,
        placement: NormPlacement::Post,
    })
}
