//! `config.json`.

use std::path::Path;

use microtome_core::{Error, Result};
use serde_json::{Map, Value, json};

use crate::Variant;
use crate::json::JsonConfig;
use crate::nn::bert::BertConfig;
use microtome_kernels::Activation;

/// Kinds of prior knowledge in the order in which they are joined.
pub(super) const PRIORS: [&str; 4] = ["promoter", "co_exp", "gene_family", "peca_grn"];

/// A BERT configuration and what GeneCompass has besides.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) bert: BertConfig,
    pub(super) type_vocab_size: usize,
    /// Kinds of prior knowledge in use, in order.
    pub(super) priors: Vec<&'static str>,
    /// Whether a species token stands in front.
    pub(super) use_cls: bool,
}

/// Whether a file is a configuration of this family: a BERT with its switches.
pub(super) fn is_ours(path: &Path) -> bool {
    JsonConfig::read(path).is_ok_and(|j| {
        j.one_of("model_type", &["bert"]).is_ok() && ["use_values", "use_promoter"].iter().all(|k| j.get(k).is_some())
    })
}

/// A switch, which the published code takes for off where it is absent.
fn switch(json: &JsonConfig, key: &str) -> Result<bool> {
    if json.get(key).is_some() { json.boolean(key) } else { Ok(false) }
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let json = JsonConfig::read(path)?;
        let refused = |key: &str, expected: &str| {
            Err(Error::unsupported("this variant of the embedding of values is not built")
                .in_file(path)
                .at_key(key)
                .expected(expected)
                .remedy("no published checkpoint is known to use it; the published script trains without"))
        };
        if !switch(&json, "use_values")? {
            return refused("use_values", "true");
        }
        for key in ["concat_values_first", "use_value_emb"] {
            if switch(&json, key)? {
                return refused(key, "false or absent");
            }
        }
        let mut priors = vec![];
        for kind in PRIORS {
            if switch(&json, &format!("use_{kind}"))? {
                priors.push(kind);
            }
        }
        if priors.is_empty() {
            return Err(Error::unsupported("a model without any prior knowledge cannot be built by the published code either")
                .in_file(path)
                .expected("at least one of use_promoter, use_co_exp, use_gene_family, use_peca_grn"));
        }
        Ok(Self {
            bert: BertConfig::read(&json, &["gelu", "relu"]).map_err(|e| e.in_file(path))?,
            type_vocab_size: json.dimension("type_vocab_size")?,
            priors,
            use_cls: switch(&json, "use_cls_token")?,
        })
    }

    /// A published size.
    pub(super) fn of_variant(v: &Variant, vocab_size: usize) -> Self {
        let bert = BertConfig { vocab_size, ..BertConfig::of_variant(v, v.max_tokens - 1, Activation::GeluErf) };
        Self { bert, type_vocab_size: 2, priors: PRIORS.to_vec(), use_cls: true }
    }

    /// Vocabulary entries, the species token among them.
    pub(super) fn d_vocab(&self) -> usize {
        self.bert.vocab_size + usize::from(self.use_cls)
    }

    /// The published layout of the file.
    pub(super) fn to_json(&self) -> Value {
        let mut own = Map::new();
        own.insert("architectures".into(), json!(["BertForMaskedLM"]));
        own.insert("type_vocab_size".into(), self.type_vocab_size.into());
        own.insert("use_values".into(), true.into());
        own.insert("use_cls_token".into(), self.use_cls.into());
        for kind in PRIORS {
            own.insert(format!("use_{kind}"), self.priors.contains(&kind).into());
        }
        self.bert.to_json(Value::Object(own))
    }
}
