//! `config.json`: every field that changes the arithmetic is required and checked.

use microtome_core::{Error, Result};
use microtome_kernels::Activation;
use serde_json::{Map, Value, json};

use crate::Variant;
use crate::json::JsonConfig;

/// Names of activations in Hugging Face's configurations.
const ACTIVATIONS: [(&str, Activation); 4] = [
    ("relu", Activation::Relu),
    ("gelu", Activation::GeluErf),
    ("gelu_new", Activation::GeluTanh),
    ("silu", Activation::Silu),
];

/// The part of a BERT configuration that decides the arithmetic of the encoder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BertConfig {
    pub(crate) n_blocks: usize,
    pub(crate) d_model: usize,
    pub(crate) n_heads: usize,
    pub(crate) d_mlp: usize,
    /// Rows of the table of positions.
    pub(crate) max_positions: usize,
    pub(crate) vocab_size: usize,
    pub(crate) layer_norm_eps: f32,
    pub(crate) activation: Activation,
}

impl BertConfig {
    /// Reads the fields; `activations` are those that the family can have.
    pub(crate) fn read(json: &JsonConfig, activations: &[&str]) -> Result<Self> {
        json.one_of("model_type", &["bert"])?;
        json.one_of("position_embedding_type", &["absolute"])?;
        let name = json.one_of("hidden_act", activations)?;
        let activation = ACTIVATIONS.iter().find(|(n, _)| *n == name).map(|(_, a)| *a);
        let config = Self {
            n_blocks: json.dimension("num_hidden_layers")?,
            d_model: json.dimension("hidden_size")?,
            n_heads: json.dimension("num_attention_heads")?,
            d_mlp: json.dimension("intermediate_size")?,
            max_positions: json.dimension("max_position_embeddings")?,
            vocab_size: json.dimension("vocab_size")?,
            layer_norm_eps: json.epsilon("layer_norm_eps")?,
            activation: activation.unwrap_or_default(),
        };
        if !config.d_model.is_multiple_of(config.n_heads) {
            return Err(Error::unreadable("the width does not divide into the heads")
                .at_key("num_attention_heads")
                .expected(format!("a divisor of hidden_size {}", config.d_model))
                .found(config.n_heads.to_string()));
        }
        Ok(config)
    }

    /// A published size with `max_positions` positions.
    pub(crate) fn of_variant(v: &Variant, max_positions: usize, activation: Activation) -> Self {
        Self {
            n_blocks: v.n_blocks,
            d_model: v.d_model,
            n_heads: v.n_heads,
            d_mlp: v.d_mlp,
            max_positions,
            vocab_size: v.d_vocab,
            layer_norm_eps: 1e-12,
            activation,
        }
    }

    /// Whether all dimensions agree.
    pub(crate) fn same_size(&self, other: &Self) -> bool {
        let size = |c: &Self| [c.n_blocks, c.d_model, c.n_heads, c.d_mlp, c.max_positions, c.vocab_size];
        size(self) == size(other)
    }

    /// Name of the activation in the file.
    pub(crate) fn activation_name(&self) -> &'static str {
        ACTIVATIONS.iter().find(|(_, a)| *a == self.activation).map_or("none", |(n, _)| n)
    }

    /// The fields in the published layout, with those of the family.
    pub(crate) fn to_json(&self, own: Value) -> Value {
        let mut map = match json!({
            "attention_probs_dropout_prob": 0.02,
            "hidden_act": self.activation_name(),
            "hidden_dropout_prob": 0.02,
            "hidden_size": self.d_model,
            "initializer_range": 0.02,
            "intermediate_size": self.d_mlp,
            // The decimal that was read, not the nearest f64 of the f32.
            "layer_norm_eps": self.layer_norm_eps.to_string().parse::<f64>().unwrap_or(1e-12),
            "max_position_embeddings": self.max_positions,
            "model_type": "bert",
            "num_attention_heads": self.n_heads,
            "num_hidden_layers": self.n_blocks,
            "pad_token_id": 0,
            "position_embedding_type": "absolute",
            "use_cache": true,
            "vocab_size": self.vocab_size,
        }) {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        if let Value::Object(own) = own {
            map.extend(own);
        }
        Value::Object(map)
    }
}
