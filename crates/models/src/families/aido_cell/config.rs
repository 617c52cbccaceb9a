//! `config.json`: every field that changes the arithmetic is required. The defaults of the authors' configuration class differ
//! from the published values, so a missing field is an error and never a default.

use std::path::Path;

use microtome_core::{Error, Result};
use serde_json::{Value, json};

use crate::Variant;
use crate::json::JsonConfig;

/// Which norm the blocks use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NormKind {
    Layer,
    Rms,
}

/// The part of the configuration that matters for inference.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) n_blocks: usize,
    pub(super) d_model: usize,
    pub(super) n_heads: usize,
    pub(super) d_mlp: usize,
    /// Genes of the list; the position table has two more rows, for the depth tokens.
    pub(super) n_genes: usize,
    pub(super) n_bins: usize,
    pub(super) bin_alpha: f32,
    pub(super) norm: NormKind,
    pub(super) norm_eps: f32,
    /// Biases on all linear maps of the blocks.
    pub(super) linear_bias: bool,
}

/// Value of a masked gene and of padding, as published.
pub(super) const MASK: i64 = -1;
pub(super) const PAD: i64 = -2;

/// Whether this is the configuration of a model of this family. Looks at one field.
pub(super) fn is_ours(path: &Path) -> bool {
    JsonConfig::read(path)
        .is_ok_and(|c| c.get("model_type").and_then(Value::as_str) == Some("cellfoundation"))
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let c = JsonConfig::read(path)?;
        c.one_of("model_type", &["cellfoundation"])?;
        c.one_of("position_embedding_type", &["absolute"])?;
        c.one_of("hidden_act", &["swiglu"])?;
        c.exactly("mask_token_id", MASK)?;
        c.exactly("pad_token_id", PAD)?;
        let norm = match c.one_of("normalization_type", &["LayerNorm", "RMSNorm"])? {
            "RMSNorm" => NormKind::Rms,
            _ => NormKind::Layer,
        };
        let config = Self {
            n_blocks: c.dimension("num_hidden_layers")?,
            d_model: c.dimension("hidden_size")?,
            n_heads: c.dimension("num_attention_heads")?,
            d_mlp: c.dimension("intermediate_size")?,
            n_genes: c.dimension("max_position_embeddings")?,
            n_bins: c.dimension("bin_num")?,
            bin_alpha: c.number("bin_alpha")?,
            norm,
            norm_eps: c.epsilon("layer_norm_eps")?,
            linear_bias: c.boolean("add_linear_bias")?,
        };
        if !config.d_model.is_multiple_of(config.n_heads) {
            return Err(Error::unreadable("the width does not divide into the heads")
                .in_file(path)
                .at_key("num_attention_heads")
                .expected(format!("a divisor of hidden_size {}", config.d_model))
                .found(config.n_heads.to_string()));
        }
        Ok(config)
    }

    pub(super) fn of_variant(v: &Variant) -> Self {
        Self {
            n_blocks: v.n_blocks,
            d_model: v.d_model,
            n_heads: v.n_heads,
            d_mlp: v.d_mlp,
            n_genes: v.d_vocab - 2,
            n_bins: 100,
            bin_alpha: 1.0,
            norm: NormKind::Layer,
            norm_eps: 1e-5,
            linear_bias: false,
        }
    }

    /// Tokens of every cell: the genes and the two depth tokens.
    pub(super) fn n_tokens(&self) -> usize {
        self.n_genes + 2
    }

    pub(super) fn norm_name(&self) -> &'static str {
        match self.norm {
            NormKind::Layer => "LayerNorm",
            NormKind::Rms => "RMSNorm",
        }
    }

    /// The published layout of the file.
    pub(super) fn to_json(&self) -> Value {
        // The decimal that was read, not the nearest f64 of the f32.
        let decimal = |x: f32| x.to_string().parse::<f64>().unwrap_or_else(|_| f64::from(x));
        json!({
            "add_linear_bias": self.linear_bias,
            "architectures": ["CellFoundationForMaskedLM"],
            "attention_probs_dropout_prob": 0.0,
            "bin_alpha": decimal(self.bin_alpha),
            "bin_num": self.n_bins,
            "hidden_act": "swiglu",
            "hidden_dropout_prob": 0.0,
            "hidden_size": self.d_model,
            "initializer_range": 0.02,
            "intermediate_size": self.d_mlp,
            "layer_norm_eps": decimal(self.norm_eps),
            "mask_token_id": MASK,
            "max_position_embeddings": self.n_genes,
            "model_type": "cellfoundation",
            "normalization_type": self.norm_name(),
            "num_attention_heads": self.n_heads,
            "num_hidden_layers": self.n_blocks,
            "pad_token_id": PAD,
            "position_embedding_type": "absolute",
            "rotary_percent": 1.0,
            "tie_word_embeddings": false,
            "torch_dtype": "float32",
            "type_vocab_size": 2,
            "use_cache": true,
            "vocab_size": 16,
        })
    }
}
