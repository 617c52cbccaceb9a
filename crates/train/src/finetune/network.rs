//! Frozen blocks, what is trained of them, and the head.

use candle_core::{Device, Tensor};
use microtome_core::{Error, Result};

use super::examples::Batch;
use super::options::Method;
use super::weights::{BlockWeights, Map, NormWeights, Part};
use crate::net::ops::Activation;
use crate::net::{Block, Linear, NamedTensor, Norm, Params, Ragged, failed, pool};
use crate::pretrain::draws::{Draws, Purpose};

/// Frozen blocks under a head.
#[derive(Clone, Debug)]
pub struct Network {
    blocks: Vec<Frozen>,
    d: usize,
    width: usize,
    method: Method,
    /// Mean and standard deviation of the pooled stream over the training cells; set by [`Network::standardise`].
    centre: Vec<f32>,
    scale: Vec<f32>,
}

#[derive(Clone, Debug)]
struct Frozen {
    weights: BlockWeights,
    /// Weight and bias of every map; zeros for biases that are not there.
    tensors: Vec<(Tensor, Tensor)>,
    /// The same of both norms.
    norms: Vec<(Tensor, Tensor)>,
}

fn tensor(values: &[f32], shape: &[usize]) -> Result<Tensor> {
    Tensor::from_slice(values, shape, &Device::Cpu).map_err(failed)
}

fn bias(values: Option<&[f32]>, n: usize) -> Result<Tensor> {
    values.map_or_else(|| tensor(&vec![0.0; n], &[n]), |values| tensor(values, &[n]))
}

impl Network {
    /// Blocks (none for a probe) over a stream of `d` numbers, under a head with `width` outputs.
    ///
    /// # Errors
    /// When a weight has another size than its shape says.
    pub fn new(blocks: Vec<BlockWeights>, d: usize, width: usize, method: Method) -> Result<Self> {
        let frozen = blocks
            .into_iter()
            .map(|weights| {
                weights.check()?;
                let map =
                    |m: &Map| Ok((tensor(&m.weight, &[m.n_out, m.n_in])?, bias(m.bias.as_deref(), m.n_out)?));
                let norm = |n: &NormWeights| Ok((tensor(&n.weight, &[d])?, bias(n.bias.as_deref(), d)?));
                let tensors = weights.maps.iter().map(map).collect::<Result<_>>()?;
                let norms = weights.norms.iter().map(norm).collect::<Result<_>>()?;
                Ok(Frozen { weights, tensors, norms })
            })
            .collect::<Result<Vec<_>>>()?;
        if width == 0 || d == 0 {
            return Err(Error::usage("a head needs inputs and outputs"));
        }
        Ok(Self { blocks: frozen, d, width, method, centre: vec![0.0; d], scale: vec![1.0; d] })
    }

    /// Takes mean and standard deviation for the head; a column that does not vary is only centred.
    pub fn standardise(&mut self, centre: Vec<f32>, sd: Vec<f32>) {
        self.centre = centre;
        self.scale = sd.into_iter().map(|s| if s > 1e-6 { s.recip() } else { 1.0 }).collect();
    }

    /// Mean and factor per column that the head sees the pooled stream through.
    pub fn standard(&self) -> (&[f32], &[f32]) {
        (&self.centre, &self.scale)
    }

    /// Sets what [`Network::standard`] gave.
    pub fn set_standard(&mut self, centre: Vec<f32>, scale: Vec<f32>) {
        (self.centre, self.scale) = (centre, scale);
    }

    /// What is trained, before training: `A` of every adapter normal with variance `1 / n_in`, `B` zero, the head zero (its hidden
    /// layer normal with variance `2 / d`).
    pub fn first_values(&self, seed: u64, fold: u64) -> Vec<NamedTensor> {
        let mut out = vec![];
        let mut add = |name: String, shape: &[usize], sd: f64| {
            let draws = &mut Draws::new(seed, Purpose::Adapter, fold, out.len() as u64);
            let n = shape.iter().product();
            let values = (0..n).map(|_| if sd == 0.0 { 0.0 } else { (sd * draws.normal()) as f32 }).collect();
            out.push(NamedTensor { name, shape: shape.to_vec(), values });
        };
        if let Method::Lora { rank, .. } = self.method {
            for (i, block) in self.blocks.iter().enumerate() {
                for (part, map) in Part::ALL.iter().zip(&block.weights.maps) {
                    let name = format!("blocks.{i}.{}", part.word());
                    add(format!("{name}.lora_a"), &[rank, map.n_in], (map.n_in as f64).sqrt().recip());
                    add(format!("{name}.lora_b"), &[map.n_out, rank], 0.0);
                }
            }
        }
        let inputs = match self.method {
            Method::Mlp { hidden } => {
                add("head.hidden.weight".into(), &[hidden, self.d], (2.0 / self.d as f64).sqrt());
                add("head.hidden.bias".into(), &[hidden], 0.0);
                hidden
            }
            _ => self.d,
        };
        add("head.weight".into(), &[self.width, inputs], 0.0);
        add("head.bias".into(), &[self.width], 0.0);
        if self.method == Method::Full {
            for (i, block) in self.blocks.iter().enumerate() {
                out.extend(block.weights.named(i));
            }
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        out
    }

    fn map(&self, params: &Params, i: usize, part: usize) -> Result<Linear> {
        let block = &self.blocks[i];
        let (weight, bias) = &block.tensors[part];
        let name = format!("blocks.{i}.{}", Part::ALL[part].word());
        let m = &block.weights.maps[part];
        match self.method {
            Method::Lora { rank, alpha } => {
                let a = params.get(&format!("{name}.lora_a"), &[rank, m.n_in])?;
                let b = params.get(&format!("{name}.lora_b"), &[m.n_out, rank])?;
                let change = b.matmul(&a).and_then(|c| c * (alpha / rank as f64)).map_err(failed)?;
                Ok(Linear { weight: (weight + change).map_err(failed)?, bias: bias.clone() })
            }
            Method::Full => Ok(Linear {
                weight: params.get(&format!("{name}.weight"), &[m.n_out, m.n_in])?,
                bias: match m.bias {
                    Some(_) => params.get(&format!("{name}.bias"), &[m.n_out])?,
                    None => bias.clone(),
                },
            }),
            Method::Mlp { .. } => Ok(Linear { weight: weight.clone(), bias: bias.clone() }),
        }
    }

    fn norm(&self, params: &Params, i: usize, which: usize) -> Result<Norm> {
        let w = &self.blocks[i].weights;
        let (mut weight, mut bias) = self.blocks[i].norms[which].clone();
        if self.method == Method::Full {
            let name = format!("blocks.{i}.norm{}", which + 1);
            weight = params.get(&format!("{name}.weight"), &[self.d])?;
            if w.norms[which].bias.is_some() {
                bias = params.get(&format!("{name}.bias"), &[self.d])?;
            }
        }
        Ok(Norm { weight, bias, eps: w.eps, centres: w.centres })
    }

    fn block(&self, params: &Params, i: usize) -> Result<Block> {
        let w = &self.blocks[i].weights;
        let map = |part| self.map(params, i, part);
        Ok(Block {
            attention: w.attention,
            qkv: Linear::joined(&[map(0)?, map(1)?, map(2)?])?,
            out: map(3)?,
            norm1: self.norm(params, i, 0)?,
            gate: if w.maps.len() > 6 { Some(map(6)?) } else { None },
            up: map(4)?,
            activation: w.activation,
            down: map(5)?,
            norm2: self.norm(params, i, 1)?,
            placement: w.placement,
        })
    }

    /// The stream behind the last block, `[token, d]`.
    ///
    /// # Errors
    /// When a weight is missing, or the batch does not fit the network.
    pub fn stream(&self, params: &Params, batch: &Batch) -> Result<Tensor> {
        let mut cells = Ragged::of_lengths(batch.lengths.iter().copied());
        if !batch.key_bias.is_empty() {
            cells = cells.with_key_bias(batch.key_bias.clone()).map_err(failed)?;
        }
        let mut x = tensor(&batch.stream, &[cells.n_tokens(), self.d])?;
        for i in 0..self.blocks.len() {
            x = self.block(params, i)?.forward(&x, &cells).map_err(failed)?;
        }
        Ok(x)
    }

    /// Mean of the pooled tokens of every cell, `[cell, d]`.
    ///
    /// # Errors
    /// As [`Network::stream`].
    pub fn pooled(&self, params: &Params, batch: &Batch) -> Result<Tensor> {
        let x = self.stream(params, batch)?;
        pool(&x, &Ragged::of_lengths(batch.lengths.iter().copied()), &batch.pooled)
    }

    /// What the head says of every cell, `[cell, width]`.
    ///
    /// # Errors
    /// As [`Network::stream`].
    pub fn logits(&self, params: &Params, batch: &Batch) -> Result<Tensor> {
        let pooled = self.pooled(params, batch)?;
        let centre = tensor(&self.centre, &[self.d])?;
        let scale = tensor(&self.scale, &[self.d])?;
        let x = pooled.broadcast_sub(&centre).and_then(|x| x.broadcast_mul(&scale)).map_err(failed)?;
        let (x, inputs) = match self.method {
            Method::Mlp { hidden } => {
                let layer = Linear::of(params, "head.hidden", hidden, self.d)?;
                (layer.apply(&x, Activation::Relu).map_err(failed)?, hidden)
            }
            _ => (x, self.d),
        };
        Linear::of(params, "head", self.width, inputs)?.apply(&x, Activation::None).map_err(failed)
    }

    /// The blocks with what was trained put in: what a merged checkpoint holds.
    ///
    /// # Errors
    /// When a weight is missing.
    pub fn merged(&self, params: &Params) -> Result<Vec<BlockWeights>> {
        let flat = |t: &Tensor| t.flatten_all().and_then(|t| t.to_vec1::<f32>()).map_err(failed);
        (0..self.blocks.len())
            .map(|i| {
                let mut out = self.blocks[i].weights.clone();
                for (part, map) in out.maps.iter_mut().enumerate() {
                    let linear = self.map(params, i, part)?;
                    map.weight = flat(&linear.weight)?;
                    map.bias = map.bias.is_some().then(|| flat(&linear.bias)).transpose()?;
                }
                for (which, norm) in out.norms.iter_mut().enumerate() {
                    let n = self.norm(params, i, which)?;
                    norm.weight = flat(&n.weight)?;
                    norm.bias = norm.bias.is_some().then(|| flat(&n.bias)).transpose()?;
                }
                Ok(out)
            })
            .collect()
    }
}
