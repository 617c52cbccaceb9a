//! `torch.nn.TransformerEncoderLayer` with ReLU and norms on the residual sums, under its tensor names.

use microtome_core::Result;

use super::block::{Block, NormPlacement};
use super::ops::{Activation, AttentionShape};
use super::{Linear, Norm, Params};

/// One layer.
pub(super) struct TorchLayer {
    /// Name of the layer.
    pub(super) name: String,
    /// What stands before `weight` and `bias` of queries, keys and values in one: `in_proj_`, or another with its dot.
    pub(super) qkv: &'static str,
    pub(super) d: usize,
    pub(super) n_heads: usize,
    pub(super) d_mlp: usize,
    pub(super) eps: f32,
}

impl TorchLayer {
    fn qkv(&self, part: &str) -> String {
        format!("{}.self_attn.{}{part}", self.name, self.qkv)
    }

    /// Name and shape of its weights.
    pub(super) fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (d, f) = (self.d, self.d_mlp);
        let mut all = vec![(self.qkv("weight"), vec![3 * d, d]), (self.qkv("bias"), vec![3 * d])];
        let parts: [(&str, &[usize]); 5] = [
            ("self_attn.out_proj", &[d, d]),
            ("norm1", &[d]),
            ("linear1", &[f, d]),
            ("linear2", &[d, f]),
            ("norm2", &[d]),
        ];
        for (part, shape) in parts {
            all.push((format!("{}.{part}.weight", self.name), shape.to_vec()));
            all.push((format!("{}.{part}.bias", self.name), shape[..1].to_vec()));
        }
        all
    }

    /// The layer over the weights of the moment.
    pub(super) fn block(&self, params: &Params) -> Result<Block> {
        let d = self.d;
        let linear =
            |part: &str, n_out, n_in| Linear::of(params, &format!("{}.{part}", self.name), n_out, n_in);
        let norm = |part: &str| Norm::of(params, &format!("{}.{part}", self.name), d, self.eps);
        Ok(Block {
            attention: AttentionShape::new(self.n_heads, d / self.n_heads.max(1)),
            qkv: Linear {
                weight: params.get(&self.qkv("weight"), &[3 * d, d])?,
                bias: params.get(&self.qkv("bias"), &[3 * d])?,
            },
            out: linear("self_attn.out_proj", d, d)?,
            norm1: norm("norm1")?,
            gate: None,
            up: linear("linear1", self.d_mlp, d)?,
            activation: Activation::Relu,
            down: linear("linear2", d, self.d_mlp)?,
            norm2: norm("norm2")?,
            placement: NormPlacement::Post,
        })
    }
}
