//! Training parameters (`*.param_config.json`) and vocabulary (`*gene_to_idx.json`).

use std::collections::HashSet;
use std::path::Path;

use microtome_core::{Error, Result};
use microtome_kernels::Activation;
use serde_json::{Value, json};

use crate::Variant;
use crate::json::JsonConfig;
use crate::nn::gpt::GptShape;

/// Feed-forward width over residual width; the class's default, which no file overrides.
pub(super) const WIDER: usize = 4;

/// The part that matters for inference.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) shape: GptShape,
    pub(super) n_positions: usize,
    /// `gene2vec` or `coding_lncrna`.
    pub(super) genes: String,
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let c = JsonConfig::read(path)?;
        let refused = |what: &str, key: &str| {
            let found = c.get(key).map_or("nothing".into(), Value::to_string);
            Error::unsupported(what.to_string()).in_file(path).at_key(key).found(found)
        };
        c.one_of("TRANSFORMER_MODEL_NAME", &["GPT"]).map_err(|_| {
            refused("of the authors' models this version runs the GPT ones only", "TRANSFORMER_MODEL_NAME").expected("\"GPT\"")
        })?;
        // The models on z-scores order genes by another measure, whose statistics are not part of the release.
        c.one_of("EXPR_DISCRETIZATION_METHOD", &["uniform_bin_count_keep_ones"]).map_err(|_| {
            refused("of the authors' normalisations this version knows Binning-By-Gene only", "EXPR_DISCRETIZATION_METHOD")
                .expected("\"uniform_bin_count_keep_ones\", that of exp2 and exp7")
        })?;
        c.one_of("TRANSFORMER_HIDDEN_ACT_FUNC", &["gelu"])?;
        let (d_model, n_heads) = (c.dimension("HIDDEN_SIZE")?, c.dimension("NUM_HEADS")?);
        if !d_model.is_multiple_of(n_heads) {
            return Err(Error::unreadable("the width does not divide into the heads")
                .in_file(path)
                .at_key("NUM_HEADS")
                .expected(format!("a divisor of HIDDEN_SIZE {d_model}"))
                .found(n_heads.to_string()));
        }
        let shape = GptShape {
            n_blocks: c.dimension("MODEL_DEPTH")?,
            d_model,
            n_heads,
            d_mlp: WIDER * d_model,
            eps: c.epsilon("LAYER_NORM_EPS")?,
            activation: Activation::GeluErf,
            bias: true,
        };
        let genes = c.get("GENE_EMB_NAME").and_then(Value::as_str).unwrap_or("not stated").to_string();
        Ok(Self { shape, n_positions: c.dimension("NUM_OF_GENES_SELECTED")?, genes })
    }

    pub(super) fn of_variant(v: &Variant) -> Self {
        let shape = GptShape {
            n_blocks: v.n_blocks,
            d_model: v.d_model,
            n_heads: v.n_heads,
            d_mlp: v.d_mlp,
            eps: 1e-10,
            activation: Activation::GeluErf,
            bias: true,
        };
        Self { shape, n_positions: v.max_tokens, genes: "gene2vec".into() }
    }

    pub(super) fn to_json(&self) -> Value {
        let s = &self.shape;
        json!({
            "GENE_EMB_NAME": self.genes,
            "TRANSFORMER_MODEL_NAME": "GPT",
            "LAYER_NORM_EPS": s.eps.to_string().parse::<f64>().unwrap_or(1e-10),
            "TRANSFORMER_HIDDEN_ACT_FUNC": "gelu",
            "HIDDEN_SIZE": s.d_model,
            "NUM_OF_GENES_SELECTED": self.n_positions,
            "MODEL_DEPTH": s.n_blocks,
            "NUM_HEADS": s.n_heads,
            "EXPR_DISCRETIZATION_METHOD": "uniform_bin_count_keep_ones",
        })
    }
}

/// Names by token: every number from 0 on, each once.
pub(super) fn read_vocabulary(path: &Path) -> Result<Vec<String>> {
    let file = JsonConfig::read(path)?;
    let n = file.entries().count();
    let mut names = vec![String::new(); n];
    let mut seen = HashSet::new();
    for (name, id) in file.entries() {
        let slot = id.as_u64().and_then(|i| usize::try_from(i).ok()).filter(|i| seen.insert(*i));
        slot.and_then(|i| names.get_mut(i))
            .ok_or_else(|| {
                Error::unreadable("the vocabulary does not number its entries one by one")
                    .in_file(path)
                    .at_key(name.clone())
                    .expected(format!("a number of its own below {n}"))
                    .found(id.to_string())
            })?
            .clone_from(name);
    }
    Ok(names)
}
