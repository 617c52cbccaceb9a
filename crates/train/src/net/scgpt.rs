//! scGPT's `TransformerModel` (bowang-lab/scGPT@cebd6fa, `model/model.py`) under its tensor names.

use candle_core::{Result, Tensor};
use microtome_core::Result as Outcome;

use super::block::{Block, states};
use super::network::{column, rows_of};
use super::ops::Activation;
use super::torch_layer::TorchLayer;
use super::{Architecture, Dropout, Input, Linear, Network, Norm, Params, failed};

/// Values above this are cut, as published.
const MAX_VALUE: f32 = 512.0;
/// Slope below zero of the expression decoder.
const SLOPE: f32 = 0.01;
/// Of every layer norm.
const EPS: f32 = 1e-5;

/// Dimensions of the network, as `args.json` states them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScGptShape {
    /// `nlayers`.
    pub n_blocks: usize,
    /// `embsize`.
    pub d_model: usize,
    /// `nheads`.
    pub n_heads: usize,
    /// `d_hid`.
    pub d_mlp: usize,
    /// Entries of `vocab.json`.
    pub vocab_size: usize,
}

const WORDS: &str = "encoder.embedding.weight";
const QUERY: &str = "mvc_decoder.W.weight";

impl ScGptShape {
    fn layer(&self, i: usize) -> TorchLayer {
        TorchLayer {
            name: format!("transformer_encoder.layers.{i}"),
            qkv: "Wqkv.",
            d: self.d_model,
            n_heads: self.n_heads,
            d_mlp: self.d_mlp,
            eps: EPS,
        }
    }
}

impl Architecture for ScGptShape {
    /// Without the classifier over `<cls>`, which masked values do not train.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let d = self.d_model;
        let mut all = vec![(WORDS.to_string(), vec![self.vocab_size, d]), (QUERY.to_string(), vec![d, d])];
        all.extend((0..self.n_blocks).flat_map(|i| self.layer(i).tensors()));
        let mut pair = |name: String, weight: Vec<usize>| {
            all.push((format!("{name}.bias"), weight[..1].to_vec()));
            all.push((format!("{name}.weight"), weight));
        };
        pair("encoder.enc_norm".into(), vec![d]);
        pair("value_encoder.linear1".into(), vec![d, 1]);
        pair("value_encoder.linear2".into(), vec![d, d]);
        pair("value_encoder.norm".into(), vec![d]);
        pair("decoder.fc.0".into(), vec![d, d]);
        pair("decoder.fc.2".into(), vec![d, d]);
        pair("decoder.fc.4".into(), vec![1, d]);
        pair("mvc_decoder.gene2query".into(), vec![d, d]);
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
        let linear = |name: &str, n_out, n_in| Linear::of(params, name, n_out, n_in);
        Ok(Box::new(ScGpt {
            words: params.get(WORDS, &[self.vocab_size, d])?,
            word_norm: Norm::of(params, "encoder.enc_norm", d, EPS)?,
            value1: linear("value_encoder.linear1", d, 1)?,
            value2: linear("value_encoder.linear2", d, d)?,
            value_norm: Norm::of(params, "value_encoder.norm", d, EPS)?,
            blocks: (0..self.n_blocks).map(|i| self.layer(i).block(params)).collect::<Outcome<_>>()?,
            decoder: [
                linear("decoder.fc.0", d, d)?,
                linear("decoder.fc.2", d, d)?,
                linear("decoder.fc.4", 1, d)?,
            ],
            gene_query: linear("mvc_decoder.gene2query", d, d)?,
            cell_query: params.get(QUERY, &[d, d])?,
        }))
    }
}

struct ScGpt {
    words: Tensor,
    word_norm: Norm,
    value1: Linear,
    value2: Linear,
    value_norm: Norm,
    blocks: Vec<Block>,
    decoder: [Linear; 3],
    gene_query: Linear,
    cell_query: Tensor,
}

impl ScGpt {
    fn genes(&self, ids: &[u32]) -> Result<Tensor> {
        self.word_norm.apply(&rows_of(&self.words, ids)?)
    }

    fn run(&self, input: &Input, dropout: &mut Dropout) -> Result<Vec<Tensor>> {
        let values: Vec<f32> = input.values.iter().map(|v| v.min(MAX_VALUE)).collect();
        let hidden = self.value1.apply(&column(&values)?, Activation::Relu)?;
        let values = self.value_norm.apply(&self.value2.apply(&hidden, Activation::None)?)?;
        states(&self.blocks, (self.genes(&input.ids)? + values)?, &input.cells, dropout)
    }

    /// `ExprDecoder`.
    fn decode(&self, input: &Input, last: &Tensor) -> Result<Tensor> {
        let [first, second, out] = &self.decoder;
        let x = first.apply(&rows_of(last, &input.rows)?, Activation::LeakyRelu(SLOPE))?;
        out.apply(&second.apply(&x, Activation::LeakyRelu(SLOPE))?, Activation::None)
    }

    /// `MVCDecoder`: the product of a query made of the gene and the vector of the cell at `<cls>`.
    fn ask_cell(&self, input: &Input, last: &Tensor) -> Result<Tensor> {
        let ids: Vec<u32> = input.rows.iter().map(|r| input.ids[*r as usize]).collect();
        let query = self.gene_query.apply(&self.genes(&ids)?, Activation::None)?;
        let query = (query.neg()?.exp()? + 1.0)?.recip()?.matmul(&self.cell_query.t()?)?;
        let starts: Vec<u32> = input.cells.cells().map(|c| c.start as u32).collect();
        let first: Vec<u32> = input.cell_of_rows().into_iter().map(|c| starts[c as usize]).collect();
        (query * rows_of(last, &first)?)?.sum_keepdim(1)
    }
}

impl Network for ScGpt {
    fn states(&self, input: &Input, dropout: &mut Dropout) -> Outcome<Vec<Tensor>> {
        self.run(input, dropout).map_err(failed)
    }

    /// The value of the wanted genes.
    fn answers(&self, input: &Input, last: &Tensor) -> Outcome<Tensor> {
        self.decode(input, last).map_err(failed)
    }

    fn answers_of_cell(&self, input: &Input, last: &Tensor) -> Outcome<Option<Tensor>> {
        self.ask_cell(input, last).map(Some).map_err(failed)
    }
}
