//! AIDO.Cell's `CellFoundationForMaskedLM` (genbio-ai/ModelGenerator@c4d0121, `huggingface/aido.cell`) with layer norms and without biases
//! in the blocks, under its tensor names.

use candle_core::{Result, Tensor};
use microtome_core::Result as Outcome;

use super::block::{Block, NormPlacement, states};
use super::network::{column, rows_of};
use super::ops::{Activation, AttentionShape};
use super::{Architecture, Dropout, Input, Linear, Network, Norm, Params, failed};

/// Value of a masked gene, as published.
const MASK: f32 = -1.0;
/// Slope below zero in the soft bins.
const SLOPE: f32 = 0.1;
const E: &str = "bert.gene_embedding";
const HEAD: &str = "cls.predictions";
const POSITIONS: &str = "bert.position_embedding.weight";

/// Dimensions of the network, as `config.json` states them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AidoCellShape {
    /// `num_hidden_layers`.
    pub n_blocks: usize,
    /// `hidden_size`.
    pub d_model: usize,
    /// `num_attention_heads`.
    pub n_heads: usize,
    /// `intermediate_size`.
    pub d_mlp: usize,
    /// Genes and depth tokens: `max_position_embeddings + 2`.
    pub n_tokens: usize,
    /// `bin_num`.
    pub n_bins: usize,
    /// `bin_alpha`.
    pub alpha: f32,
    /// `layer_norm_eps`.
    pub eps: f32,
}

impl AidoCellShape {
    fn block(i: usize) -> String {
        format!("bert.encoder.layer.{i}")
    }
}

impl Architecture for AidoCellShape {
    /// Without the vector of padding: no cell is padded.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (d, f, n) = (self.d_model, self.d_mlp, self.n_bins);
        let mut all = vec![
            (POSITIONS.to_string(), vec![self.n_tokens, d]),
            (format!("{E}.lookup_table.weight"), vec![n, d]),
            (format!("{E}.mask_embedding.weight"), vec![1, d]),
            (format!("{HEAD}.decoder.weight"), vec![1, d]),
            (format!("{HEAD}.bias"), vec![1]),
        ];
        for i in 0..self.n_blocks {
            let b = Self::block(i);
            for part in ["self.query", "self.key", "self.value", "output.dense"] {
                all.push((format!("{b}.attention.{part}.weight"), vec![d, d]));
            }
            all.push((format!("{b}.mlp.gate_proj.weight"), vec![f, d]));
            all.push((format!("{b}.mlp.up_proj.weight"), vec![f, d]));
            all.push((format!("{b}.mlp.down_proj.weight"), vec![d, f]));
        }
        let mut pair = |name: String, weight: Vec<usize>| {
            all.push((format!("{name}.bias"), weight[..1].to_vec()));
            all.push((format!("{name}.weight"), weight));
        };
        pair(format!("{E}.linear1"), vec![n, 1]);
        pair(format!("{E}.linear2"), vec![n, n]);
        for i in 0..self.n_blocks {
            pair(format!("{}.attention.ln", Self::block(i)), vec![d]);
            pair(format!("{}.ln", Self::block(i)), vec![d]);
        }
        pair("bert.encoder.ln".into(), vec![d]);
        pair(format!("{HEAD}.transform.dense"), vec![d, d]);
        pair(format!("{HEAD}.transform.LayerNorm"), vec![d]);
        all
    }

    fn width(&self) -> usize {
        self.d_model
    }

    fn n_blocks(&self) -> usize {
        self.n_blocks
    }

    fn over(&self, params: &Params) -> Outcome<Box<dyn Network>> {
        let (d, n, eps) = (self.d_model, self.n_bins, self.eps);
        let decoder = Linear {
            weight: params.get(&format!("{HEAD}.decoder.weight"), &[1, d])?,
            bias: params.get(&format!("{HEAD}.bias"), &[1])?,
        };
        Ok(Box::new(AidoCell {
            bins: Linear::of(params, &format!("{E}.linear1"), n, 1)?,
            mix: Linear::of(params, &format!("{E}.linear2"), n, n)?,
            alpha: self.alpha,
            table: params.get(&format!("{E}.lookup_table.weight"), &[n, d])?,
            mask: params.get(&format!("{E}.mask_embedding.weight"), &[1, d])?,
            positions: params.get(POSITIONS, &[self.n_tokens, d])?,
            blocks: (0..self.n_blocks).map(|i| block(params, self, i)).collect::<Outcome<_>>()?,
            norm: Norm::of(params, "bert.encoder.ln", d, eps)?,
            dense: Linear::of(params, &format!("{HEAD}.transform.dense"), d, d)?,
            head_norm: Norm::of(params, &format!("{HEAD}.transform.LayerNorm"), d, eps)?,
            decoder,
        }))
    }
}

fn block(params: &Params, s: &AidoCellShape, i: usize) -> Outcome<Block> {
    let (name, d, f) = (AidoCellShape::block(i), s.d_model, s.d_mlp);
    let linear =
        |part: &str, n_out, n_in| Linear::without_bias(params, &format!("{name}.{part}"), n_out, n_in);
    let qkv = ["query", "key", "value"].map(|part| linear(&format!("attention.self.{part}"), d, d));
    Ok(Block {
        attention: AttentionShape::new(s.n_heads, d / s.n_heads.max(1)),
        qkv: Linear::joined(&qkv.into_iter().collect::<Outcome<Vec<_>>>()?)?,
        out: linear("attention.output.dense", d, d)?,
        norm1: Norm::of(params, &format!("{name}.attention.ln"), d, s.eps)?,
        gate: Some(linear("mlp.gate_proj", f, d)?),
        up: linear("mlp.up_proj", f, d)?,
        activation: Activation::Silu,
        down: linear("mlp.down_proj", d, f)?,
        norm2: Norm::of(params, &format!("{name}.ln"), d, s.eps)?,
        placement: NormPlacement::Pre,
    })
}

struct AidoCell {
    bins: Linear,
    mix: Linear,
    alpha: f32,
    table: Tensor,
    mask: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    dense: Linear,
    head_norm: Norm,
    decoder: Linear,
}

impl AidoCell {
    /// `softmax(W2 h + b2 + alpha h) table` with `h = leaky_relu(W1 v + b1)`; the mask's vector for a masked gene.
    fn values(&self, values: &[f32]) -> Result<Tensor> {
        let h = self.bins.apply(&column(values)?, Activation::LeakyRelu(SLOPE))?;
        let scores = (self.mix.apply(&h, Activation::None)? + (h * f64::from(self.alpha))?)?;
        let top = scores.detach().max_keepdim(1)?;
        let e = scores.broadcast_sub(&top)?.exp()?;
        let shares = e.broadcast_div(&e.sum_keepdim(1)?)?;
        let masked: Vec<f32> = values.iter().map(|v| f32::from(*v == MASK)).collect();
        let seen: Vec<f32> = masked.iter().map(|m| 1.0 - m).collect();
        shares.matmul(&self.table)?.broadcast_mul(&column(&seen)?)? + column(&masked)?.matmul(&self.mask)?
    }

    fn run(&self, input: &Input, dropout: &mut Dropout) -> Result<Vec<Tensor>> {
        let embedding = (self.values(&input.values)? + rows_of(&self.positions, &input.ids)?)?;
        let mut states = states(&self.blocks, embedding, &input.cells, dropout)?;
        states.push(self.norm.apply(&states[self.blocks.len()])?);
        Ok(states)
    }

    fn decode(&self, input: &Input, last: &Tensor) -> Result<Tensor> {
        let x = self.dense.apply(&rows_of(last, &input.rows)?, Activation::GeluErf)?;
        self.decoder.apply(&self.head_norm.apply(&x)?, Activation::None)
    }
}

impl Network for AidoCell {
    fn states(&self, input: &Input, dropout: &mut Dropout) -> Outcome<Vec<Tensor>> {
        self.run(input, dropout).map_err(failed)
    }

    fn for_readout(&self, state: &Tensor) -> Outcome<Tensor> {
        self.norm.apply(state).map_err(failed)
    }

    /// `ln(1 + CP10k)` of the wanted genes.
    fn answers(&self, input: &Input, last: &Tensor) -> Outcome<Tensor> {
        self.decode(input, last).map_err(failed)
    }
}
