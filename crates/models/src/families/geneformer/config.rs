//! `config.json`: every field that changes the arithmetic is required and checked.

use std::path::Path;

use microtome_core::{Error, Result};
use microtome_kernels::Activation;
use serde_json::{Map, Value, json};

use crate::Variant;

/// Largest `config.json` that is read.
const MAX_BYTES: u64 = 1 << 20;
/// Bounds on dimensions, far above anything published, so that a hostile file cannot ask for the whole memory.
const MAX_DIMENSION: u64 = 1 << 24;

/// The part of a BERT configuration that matters for inference.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) n_blocks: usize,
    pub(super) d_model: usize,
    pub(super) n_heads: usize,
    pub(super) d_mlp: usize,
    pub(super) max_tokens: usize,
    pub(super) vocab_size: usize,
    pub(super) type_vocab_size: usize,
    pub(super) layer_norm_eps: f32,
    pub(super) activation: Activation,
    /// A fine-tuned classifier: no masked-gene head.
    pub(super) classifier: bool,
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let size = std::fs::metadata(path)
            .map_err(|e| Error::unreadable("cannot read the model's configuration").in_file(path).caused_by(e))?
            .len();
        if size > MAX_BYTES {
            return Err(Error::unreadable("the configuration is too large to be one")
                .in_file(path)
                .expected(format!("at most {MAX_BYTES} bytes"))
                .found(format!("{size} bytes")));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::unreadable("cannot read the model's configuration").in_file(path).caused_by(e))?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|e| Error::unreadable("the configuration is not JSON").in_file(path).caused_by(e))?;
        let Value::Object(map) = value else {
            return Err(Error::unreadable("the configuration is not a JSON object").in_file(path));
        };
        Self::parse(&map).map_err(|e| e.in_file(path))
    }

    fn parse(map: &Map<String, Value>) -> Result<Self> {
        require(map, "model_type", "bert")?;
        require(map, "position_embedding_type", "absolute")?;
        require(map, "hidden_act", "relu")?;
        let config = Self {
            n_blocks: dimension(map, "num_hidden_layers")?,
            d_model: dimension(map, "hidden_size")?,
            n_heads: dimension(map, "num_attention_heads")?,
            d_mlp: dimension(map, "intermediate_size")?,
            max_tokens: dimension(map, "max_position_embeddings")?,
            vocab_size: dimension(map, "vocab_size")?,
            type_vocab_size: dimension(map, "type_vocab_size")?,
            layer_norm_eps: positive(map, "layer_norm_eps")?,
            activation: Activation::Relu,
            classifier: is_classifier(map)?,
        };
        if !config.d_model.is_multiple_of(config.n_heads) {
            return Err(Error::unreadable("the width does not divide into the heads")
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
            max_tokens: v.max_tokens,
            vocab_size: v.d_vocab,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            activation: Activation::Relu,
            classifier: false,
        }
    }

    pub(super) fn same_size(&self, other: &Self) -> bool {
        let size =
            |c: &Self| [c.n_blocks, c.d_model, c.n_heads, c.d_mlp, c.max_tokens, c.vocab_size, c.type_vocab_size];
        size(self) == size(other)
    }

    /// The published layout of the file.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "architectures": ["BertForMaskedLM"],
            "attention_probs_dropout_prob": 0.02,
            "hidden_act": "relu",
            "hidden_dropout_prob": 0.02,
            "hidden_size": self.d_model,
            "initializer_range": 0.02,
            "intermediate_size": self.d_mlp,
            // The decimal that was read, not the nearest f64 of the f32.
            "layer_norm_eps": self.layer_norm_eps.to_string().parse::<f64>().unwrap_or(1e-12),
            "max_position_embeddings": self.max_tokens,
            "model_type": "bert",
            "num_attention_heads": self.n_heads,
            "num_hidden_layers": self.n_blocks,
            "pad_token_id": 0,
            "position_embedding_type": "absolute",
            "type_vocab_size": self.type_vocab_size,
            "use_cache": true,
            "vocab_size": self.vocab_size,
        })
    }
}

fn missing(key: &str, expected: &str) -> Error {
    Error::unreadable("the configuration lacks a field that decides the arithmetic")
        .at_key(key)
        .expected(expected)
        .remedy("take config.json from the published model folder")
}

fn require(map: &Map<String, Value>, key: &str, wanted: &str) -> Result<()> {
    match map.get(key) {
        None => Err(missing(key, &format!("\"{wanted}\""))),
        Some(Value::String(s)) if s == wanted => Ok(()),
        Some(other) => Err(Error::unsupported("this is not how a Geneformer model is configured")
            .at_key(key)
            .expected(format!("\"{wanted}\""))
            .found(other.to_string())),
    }
}

fn dimension(map: &Map<String, Value>, key: &str) -> Result<usize> {
    let value = map.get(key).ok_or_else(|| missing(key, "a positive whole number"))?;
    value.as_u64().filter(|n| (1..=MAX_DIMENSION).contains(n)).map(|n| n as usize).ok_or_else(|| {
        Error::unreadable("not a usable dimension")
            .at_key(key)
            .expected(format!("a whole number from 1 to {MAX_DIMENSION}"))
            .found(value.to_string())
    })
}

fn positive(map: &Map<String, Value>, key: &str) -> Result<f32> {
    let value = map.get(key).ok_or_else(|| missing(key, "a small positive number such as 1e-12"))?;
    value.as_f64().map(|x| x as f32).filter(|x| *x > 0.0 && *x < 1.0).ok_or_else(|| {
        Error::unreadable("not a usable epsilon")
            .at_key(key)
            .expected("a number between 0 and 1 that f32 can hold")
            .found(value.to_string())
    })
}

fn is_classifier(map: &Map<String, Value>) -> Result<bool> {
    let names: Vec<&str> = map
        .get("architectures")
        .and_then(Value::as_array)
        .map(|a| a.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    match names[..] {
        [] | ["BertForMaskedLM" | "BertForPreTraining"] => Ok(false),
        ["BertForSequenceClassification" | "BertForTokenClassification" | "BertModel"] => Ok(true),
        _ => Err(Error::unsupported("not an architecture of this family")
            .at_key("architectures")
            .expected("BertForMaskedLM, BertForSequenceClassification or BertForTokenClassification")
            .found(names.join(", "))),
    }
}
