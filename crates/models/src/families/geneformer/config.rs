//! `config.json`: every field that changes the arithmetic is required and checked.

use std::path::Path;

use microtome_core::{Error, Result};
use microtome_kernels::Activation;
use serde_json::{Value, json};

use crate::Variant;
use crate::json::JsonConfig;
use crate::nn::bert::BertConfig;

/// A BERT configuration and what the published models have besides.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) bert: BertConfig,
    pub(super) type_vocab_size: usize,
    /// A fine-tuned classifier: no masked-gene head.
    pub(super) classifier: bool,
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let json = JsonConfig::read(path)?;
        Ok(Self {
            bert: BertConfig::read(&json, &["relu"]).map_err(|e| e.in_file(path))?,
            type_vocab_size: json.dimension("type_vocab_size")?,
            classifier: is_classifier(&json).map_err(|e| e.in_file(path))?,
        })
    }

    pub(super) fn of_variant(v: &Variant) -> Self {
        Self { bert: BertConfig::of_variant(v, v.max_tokens, Activation::Relu), type_vocab_size: 2, classifier: false }
    }

    pub(super) fn same_size(&self, other: &Self) -> bool {
        self.bert.same_size(&other.bert) && self.type_vocab_size == other.type_vocab_size
    }

    /// The published layout of the file.
    pub(super) fn to_json(&self) -> Value {
        self.bert.to_json(json!({
            "architectures": ["BertForMaskedLM"],
            "type_vocab_size": self.type_vocab_size,
        }))
    }
}

fn is_classifier(json: &JsonConfig) -> Result<bool> {
    let names: Vec<&str> = json
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
