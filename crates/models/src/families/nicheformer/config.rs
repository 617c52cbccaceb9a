//! Dimensions: from `config.json` (Hugging Face) or from the `hyper_parameters` of a Lightning checkpoint.

use std::path::Path;

use microtome_core::{Error, Result};
use microtome_weights::Checkpoint;
use serde_json::{Value, json};

use crate::Variant;
use crate::json::{JsonConfig, MAX_DIMENSION};

/// The published epsilon of every norm; the code sets it, no file states it.
pub(super) const LAYER_NORM_EPS: f32 = 1e-12;
/// Token of the first gene.
pub(super) const FIRST_GENE: usize = 30;
/// Rows of the embedding beyond `n_tokens`.
const SPARE_ROWS: usize = 5;

/// Dimensions of a network.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) n_blocks: usize,
    pub(super) d_model: usize,
    pub(super) n_heads: usize,
    pub(super) d_mlp: usize,
    /// Tokens of a cell, padding included.
    pub(super) context_length: usize,
    /// Columns of the masked-gene head: 30 and the genes.
    pub(super) n_tokens: usize,
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let c = JsonConfig::read(path)?;
        c.one_of("model_type", &["nicheformer"])?;
        if !c.boolean("learnable_pe")? {
            return Err(sinusoids().in_file(path));
        }
        let config = Self {
            n_blocks: c.dimension("nlayers")?,
            d_model: c.dimension("dim_model")?,
            n_heads: c.dimension("nheads")?,
            d_mlp: c.dimension("dim_feedforward")?,
            context_length: c.dimension("context_length")?,
            n_tokens: c.dimension("n_tokens")?,
        };
        config.check().map_err(|e| e.in_file(path))?;
        Ok(config)
    }

    pub(super) fn of_checkpoint(checkpoint: &Checkpoint) -> Result<Self> {
        let value = |key: &str| {
            let key = format!("hyper_parameters.{key}");
            checkpoint.value(&key).ok_or_else(|| {
                Error::unreadable("the checkpoint lacks a hyperparameter that decides the arithmetic")
                    .in_file(checkpoint.path())
                    .at_key(key)
                    .remedy("take the checkpoint that the authors' trainer wrote; a bare state_dict does not say how many heads it has")
            })
        };
        let dimension = |key: &str| {
            let n = value(key)?.as_i64().and_then(|n| u64::try_from(n).ok());
            n.filter(|n| (1..=MAX_DIMENSION).contains(n)).map(|n| n as usize).ok_or_else(|| {
                Error::unreadable("not a usable dimension")
                    .in_file(checkpoint.path())
                    .at_key(format!("hyper_parameters.{key}"))
                    .expected(format!("a whole number from 1 to {MAX_DIMENSION}"))
            })
        };
        if value("learnable_pe")?.as_bool() != Some(true) {
            return Err(sinusoids().in_file(checkpoint.path()));
        }
        let config = Self {
            n_blocks: dimension("nlayers")?,
            d_model: dimension("dim_model")?,
            n_heads: dimension("nheads")?,
            d_mlp: dimension("dim_feedforward")?,
            context_length: dimension("context_length")?,
            n_tokens: dimension("n_tokens")?,
        };
        config.check().map_err(|e| e.in_file(checkpoint.path()))?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        if !self.d_model.is_multiple_of(self.n_heads) {
            return Err(Error::unreadable("the width does not divide into the heads")
                .at_key("nheads")
                .expected(format!("a divisor of dim_model {}", self.d_model))
                .found(self.n_heads.to_string()));
        }
        if self.context_length <= super::contexts::N_CONTEXTS || self.n_tokens <= FIRST_GENE {
            return Err(Error::unreadable("the context or the vocabulary has no room for genes")
                .at_key("context_length, n_tokens")
                .expected(format!("more than 3 and more than {FIRST_GENE}"))
                .found(format!("{} and {}", self.context_length, self.n_tokens)));
        }
        Ok(())
    }

    /// Rows of the embedding.
    pub(super) fn n_rows(&self) -> usize {
        self.n_tokens + SPARE_ROWS
    }

    pub(super) fn n_genes(&self) -> usize {
        self.n_tokens - FIRST_GENE
    }

    pub(super) fn of_variant(v: &Variant, n_genes: usize) -> Self {
        Self {
            n_blocks: v.n_blocks,
            d_model: v.d_model,
            n_heads: v.n_heads,
            d_mlp: v.d_mlp,
            context_length: v.max_tokens,
            n_tokens: FIRST_GENE + n_genes,
        }
    }

    /// The published layout of `config.json`.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "architectures": ["NicheformerForMaskedLM"],
            "assay": true,
            "batch_first": true,
            "cls_classes": 164,
            "context_length": self.context_length,
            "dim_feedforward": self.d_mlp,
            "dim_model": self.d_model,
            "dropout": 0.0,
            "learnable_pe": true,
            "masking_p": 0.15,
            "modality": true,
            "model_type": "nicheformer",
            "n_tokens": self.n_tokens,
            "nheads": self.n_heads,
            "nlayers": self.n_blocks,
            "specie": true,
            "supervised_task": null,
            "torch_dtype": "float32",
        })
    }
}

fn sinusoids() -> Error {
    Error::unsupported("positions that are not learned are not published and not supported")
        .at_key("learnable_pe")
        .expected("true")
}
