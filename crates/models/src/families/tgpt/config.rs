//! `config.json` of a Hugging Face GPT-2.

use std::path::Path;

use microtome_core::{Error, Result};
use microtome_kernels::Activation;
use serde_json::{Value, json};

use crate::Variant;
use crate::json::JsonConfig;
use crate::nn::gpt::GptShape;

/// The part that matters for inference.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) shape: GptShape,
    pub(super) n_positions: usize,
    pub(super) vocab_size: usize,
}

pub(super) fn is_ours(path: &Path) -> bool {
    JsonConfig::read(path).is_ok_and(|c| c.one_of("model_type", &["gpt2"]).is_ok())
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let c = JsonConfig::read(path)?;
        c.one_of("model_type", &["gpt2"])?;
        c.one_of("activation_function", &["gelu_new"])?;
        // Options of later versions of the library; a file that lacks them means their defaults.
        for (key, wanted) in [("scale_attn_weights", true), ("scale_attn_by_inverse_layer_idx", false)] {
            if c.get(key).is_some() && c.boolean(key)? != wanted {
                return Err(Error::unsupported("attention scores are scaled in another way than this family does")
                    .in_file(path)
                    .at_key(key)
                    .expected(wanted.to_string()));
            }
        }
        let (d_model, n_heads) = (c.dimension("n_embd")?, c.dimension("n_head")?);
        if !d_model.is_multiple_of(n_heads) {
            return Err(Error::unreadable("the width does not divide into the heads")
                .in_file(path)
                .at_key("n_head")
                .expected(format!("a divisor of n_embd {d_model}"))
                .found(n_heads.to_string()));
        }
        let d_mlp = match c.get("n_inner") {
            None | Some(Value::Null) => 4 * d_model,
            Some(_) => c.dimension("n_inner")?,
        };
        let shape = GptShape {
            n_blocks: c.dimension("n_layer")?,
            d_model,
            n_heads,
            d_mlp,
            eps: c.epsilon("layer_norm_epsilon")?,
            activation: Activation::GeluTanh,
            bias: true,
        };
        Ok(Self { shape, n_positions: c.dimension("n_positions")?, vocab_size: c.dimension("vocab_size")? })
    }

    pub(super) fn of_variant(v: &Variant) -> Self {
        let shape = GptShape {
            n_blocks: v.n_blocks,
            d_model: v.d_model,
            n_heads: v.n_heads,
            d_mlp: v.d_mlp,
            eps: 1e-5,
            activation: Activation::GeluTanh,
            bias: true,
        };
        Self { shape, n_positions: v.max_tokens, vocab_size: v.d_vocab }
    }

    /// The published layout of the file.
    pub(super) fn to_json(&self) -> Value {
        let s = &self.shape;
        json!({
            "activation_function": "gelu_new",
            "architectures": ["GPT2LMHeadModel"],
            "layer_norm_epsilon": s.eps.to_string().parse::<f64>().unwrap_or(1e-5),
            "model_type": "gpt2",
            "n_embd": s.d_model,
            "n_head": s.n_heads,
            "n_inner": if s.d_mlp == 4 * s.d_model { Value::Null } else { json!(s.d_mlp) },
            "n_layer": s.n_blocks,
            "n_positions": self.n_positions,
            "vocab_size": self.vocab_size,
        })
    }
}
