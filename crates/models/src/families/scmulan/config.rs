//! `model_args`: inside the published checkpoint, or in `config.json` beside an untrained one.

use std::path::Path;

use microtome_core::{Error, Result};
use microtome_kernels::Activation;
use microtome_weights::{Checkpoint, Value};
use serde_json::json;

use crate::Variant;
use crate::json::{JsonConfig, MAX_DIMENSION};
use crate::nn::gpt::GptShape;

/// Of every LayerNorm; no file states it.
const EPS: f32 = 1e-5;

/// The part that matters for inference.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) shape: GptShape,
    pub(super) vocab_size: usize,
    /// Bins of expression, from 1 on; 0 stands for tokens that are not genes.
    pub(super) n_levels: usize,
    /// Longest input of training. There are no positions, so that nothing depends on it.
    pub(super) block_size: usize,
}

/// Whether a folder holds a configuration of this family.
pub(super) fn is_ours(folder: &Path) -> bool {
    JsonConfig::read(&folder.join("config.json")).is_ok_and(|c| c.one_of("model_type", &["scmulan"]).is_ok())
}

impl Config {
    /// Of the published container.
    pub(super) fn of_checkpoint(checkpoint: &Checkpoint) -> Result<Self> {
        let args = checkpoint.value("model_args").ok_or_else(|| {
            Error::unreadable("the checkpoint does not state its dimensions")
                .in_file(checkpoint.path())
                .at_key("model_args")
                .expected("a dictionary with n_layer, n_head, n_embd, ...")
        })?;
        let number = |key: &str| {
            let n = args.get(key).and_then(Value::as_i64).filter(|n| (1..=MAX_DIMENSION as i64).contains(n));
            n.map(|n| n as usize).ok_or_else(|| {
                Error::unreadable("the checkpoint does not state one of its dimensions")
                    .in_file(checkpoint.path())
                    .at_key(format!("model_args.{key}"))
                    .expected(format!("a whole number from 1 to {MAX_DIMENSION}"))
                    .found(args.get(key).map_or("nothing", Value::kind))
            })
        };
        let bias = args.get("bias").and_then(Value::as_bool).ok_or_else(|| {
            Error::unreadable("the checkpoint does not say whether its maps have biases")
                .in_file(checkpoint.path())
                .at_key("model_args.bias")
        })?;
        Self::new(number, bias).map_err(|e| e.in_file(checkpoint.path()))
    }

    /// Of `config.json` beside an untrained model.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let file = JsonConfig::read(&folder.join("config.json"))?;
        file.one_of("model_type", &["scmulan"])?;
        let args = file.object("model_args")?;
        let bias = args.boolean("bias")?;
        Self::new(|key| args.dimension(key), bias)
    }

    fn new(number: impl Fn(&str) -> Result<usize>, bias: bool) -> Result<Self> {
        // Expression levels are embedded in this mode only, and the class has no other.
        let (d_model, n_heads, ele) = (number("n_embd")?, number("n_head")?, number("ele")?);
        if ele != 1 {
            return Err(Error::unsupported("the model was trained without embedded expression")
                .at_key("model_args.ele")
                .expected("1")
                .found(ele.to_string()));
        }
        if !d_model.is_multiple_of(n_heads) {
            return Err(Error::unreadable("the width does not divide into the heads")
                .at_key("model_args.n_head")
                .expected(format!("a divisor of n_embd {d_model}"))
                .found(n_heads.to_string()));
        }
        let shape = GptShape {
            n_blocks: number("n_layer")?,
            d_model,
            n_heads,
            d_mlp: 4 * d_model,
            eps: EPS,
            activation: Activation::GeluTanh,
            bias,
        };
        Ok(Self {
            shape,
            vocab_size: number("vocab_size")?,
            n_levels: number("expression_level")?,
            block_size: number("block_size")?,
        })
    }

    pub(super) fn of_variant(v: &Variant) -> Self {
        let shape = GptShape {
            n_blocks: v.n_blocks,
            d_model: v.d_model,
            n_heads: v.n_heads,
            d_mlp: v.d_mlp,
            eps: EPS,
            activation: Activation::GeluTanh,
            bias: true,
        };
        Self { shape, vocab_size: v.d_vocab, n_levels: 10, block_size: v.max_tokens }
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        let s = &self.shape;
        json!({"model_type": "scmulan", "model_args": {
            "block_size": self.block_size,
            "vocab_size": self.vocab_size,
            "n_layer": s.n_blocks,
            "n_head": s.n_heads,
            "n_embd": s.d_model,
            "bias": s.bias,
            "expression_level": self.n_levels,
            "ele": 1,
        }})
    }
}
