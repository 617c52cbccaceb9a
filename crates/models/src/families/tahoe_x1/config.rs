//! `model_config.yml` and `collator_config.yml`.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use microtome_kernels::Activation;
use serde_json::Value;

use crate::Variant;
use crate::json::JsonConfig;
use crate::nn::{QueryActivation, ReadoutActivation};
use crate::yaml;

pub(super) const MODEL_CONFIG: &str = "model_config.yml";
pub(super) const COLLATOR_CONFIG: &str = "collator_config.yml";

/// The folder of a checkpoint that may be named by one of its files.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    if path.is_file() { path.parent().unwrap_or(Path::new(".")).to_path_buf() } else { path.to_path_buf() }
}

/// Readout of expression per token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Decoder {
    pub(super) n_layers: usize,
    pub(super) activation: ReadoutActivation,
}

/// Readout of expression from the cell's vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CellQuery {
    pub(super) activation: QueryActivation,
    pub(super) scaled: bool,
}

/// The network.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) n_blocks: usize,
    pub(super) d_model: usize,
    pub(super) n_heads: usize,
    pub(super) d_mlp: usize,
    pub(super) vocab_size: usize,
    pub(super) activation: Activation,
    /// Of the block norms and the final norm; the encoders' norms are always 1e-5.
    pub(super) norm_eps: f32,
    pub(super) max_value: f32,
    pub(super) value_activation: Activation,
    pub(super) value_norm: bool,
    pub(super) gene_norm: bool,
    pub(super) decoder: Decoder,
    pub(super) cell_query: Option<CellQuery>,
    /// Activation of the drug encoder, in models that have one.
    pub(super) drug_activation: Option<ReadoutActivation>,
}

/// How cells become tokens.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Collator {
    pub(super) pad_value: f32,
    pub(super) max_tokens: usize,
    pub(super) n_bins: usize,
    pub(super) right_binning: bool,
    /// Tokens in front whose values the published binning leaves alone, and whether the file says so.
    pub(super) keep_first: usize,
    pub(super) keep_first_stated: bool,
    /// Name of the file that numbers the drugs.
    pub(super) drug_file: Option<String>,
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = yaml::read(path)?;
        file.one_of("norm_scheme", &["pre"])?;
        file.one_of("cell_emb_style", &["cls"])?;
        if file.boolean("use_glu")? {
            return Err(Error::unsupported("gated feed-forward parts were never published for this family")
                .in_file(path)
                .at_key("use_glu")
                .expected("false"));
        }
        let attention = file.object("attn_config")?;
        attention.one_of("attn_type", &["grouped_query_attention", "multihead_attention"])?;
        let norm = file.object("norm_config")?;
        norm.one_of("norm_type", &["layernorm", "low_precision_layernorm"])?;
        let value = file.object("expression_encoder")?;
        value.one_of("input_emb_style", &["continuous"])?;
        let decoder = file.object("expression_decoder")?;
        decoder.exactly("n_outputs", 1)?;
        let d_model = file.dimension("d_model")?;
        let d_mlp = d_model.saturating_mul(file.dimension("expansion_ratio")?);
        let config = Self {
            n_blocks: file.dimension("n_layers")?,
            d_model,
            n_heads: file.dimension("n_heads")?,
            d_mlp,
            vocab_size: file.dimension("vocab_size")?,
            activation: kernel(&file, "transformer_activation")?,
            norm_eps: norm.epsilon("eps")?,
            max_value: value.number("max_value")?,
            value_activation: kernel(&value, "activation")?,
            value_norm: value.boolean("use_norm")?,
            gene_norm: file.object("gene_encoder")?.boolean("use_norm")?,
            decoder: Decoder { n_layers: decoder.dimension("n_layers")?, activation: readout(&decoder, "activation")? },
            cell_query: section(&file, "mvc").then(|| cell_query(&file)).transpose()?,
            drug_activation: section(&file, "chemical_encoder")
                .then(|| readout(&file.object("chemical_encoder")?, "activation"))
                .transpose()?,
        };
        if !config.d_model.is_multiple_of(config.n_heads) {
            return Err(Error::unreadable("the width does not divide into the heads")
                .in_file(path)
                .at_key("n_heads")
                .expected(format!("a divisor of d_model {}", config.d_model))
                .found(config.n_heads.to_string()));
        }
        Ok(config)
    }

    pub(super) fn of_variant(v: &Variant) -> Self {
        let big = v.d_model >= 2560;
        let activation = if big { Activation::GeluErf } else { Activation::Relu };
        let decoder = if big { ReadoutActivation::Kernel(Activation::GeluErf) } else { ReadoutActivation::LeakyRelu(SLOPE) };
        Self {
            n_blocks: v.n_blocks,
            d_model: v.d_model,
            n_heads: v.n_heads,
            d_mlp: v.d_mlp,
            vocab_size: v.d_vocab,
            activation,
            norm_eps: 1e-5,
            max_value: 512.0,
            value_activation: activation,
            value_norm: true,
            gene_norm: true,
            decoder: Decoder { n_layers: 1, activation: decoder },
            cell_query: Some(CellQuery { activation: QueryActivation::Sigmoid, scaled: true }),
            drug_activation: None,
        }
    }

    pub(super) fn size(&self) -> [usize; 4] {
        [self.n_blocks, self.d_model, self.n_heads, self.d_mlp]
    }
}

impl Collator {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = yaml::read(path)?;
        if !file.boolean("do_binning")? {
            return Err(Error::unsupported("values without bins were never published for this family")
                .in_file(path)
                .at_key("do_binning")
                .expected("true"));
        }
        // The published code takes 1 where the file says nothing.
        let keep_first_stated = file.get("keep_first_n_tokens").is_some();
        let keep_first = if keep_first_stated { file.dimension("keep_first_n_tokens")? } else { 1 };
        let drugs = section(&file, "drug_to_id_path").then(|| file.object("drug_to_id_path")).transpose()?;
        let named = drugs.as_ref().and_then(|d| d.get("local")).and_then(Value::as_str);
        // The name alone: the file lies beside the checkpoint, wherever it lay in training.
        let drug_file = named.and_then(|n| Path::new(n).file_name()).map(|n| n.to_string_lossy().into_owned());
        // Nothing is padded here, but a file without it is not one of this family's.
        file.number("pad_token_id")?;
        Ok(Self {
            pad_value: file.number("pad_value")?,
            max_tokens: file.dimension("max_length")?,
            n_bins: file.dimension("num_bins")?,
            right_binning: file.boolean("right_binning")?,
            keep_first,
            keep_first_stated,
            drug_file,
        })
    }
}

/// Slope below zero of `leaky_relu`.
const SLOPE: f32 = 0.01;

/// Whether a section is there and holds something.
fn section(file: &JsonConfig, key: &str) -> bool {
    file.get(key).is_some_and(|v| !v.is_null())
}

fn kernel(file: &JsonConfig, key: &str) -> Result<Activation> {
    Ok(match file.one_of(key, &["relu", "gelu"])? {
        "relu" => Activation::Relu,
        _ => Activation::GeluErf,
    })
}

fn readout(file: &JsonConfig, key: &str) -> Result<ReadoutActivation> {
    Ok(match file.one_of(key, &["relu", "gelu", "leaky_relu"])? {
        "relu" => ReadoutActivation::Kernel(Activation::Relu),
        "gelu" => ReadoutActivation::Kernel(Activation::GeluErf),
        _ => ReadoutActivation::LeakyRelu(SLOPE),
    })
}

fn cell_query(file: &JsonConfig) -> Result<CellQuery> {
    let section = file.object("mvc")?;
    section.one_of("arch_style", &["inner product"])?;
    let activation = match section.one_of("query_activation", &["sigmoid", "tanh"])? {
        "sigmoid" => QueryActivation::Sigmoid,
        _ => QueryActivation::Tanh,
    };
    Ok(CellQuery { activation, scaled: section.boolean("scaled_dot_product")? })
}

/// Whether a file is a `model_config.yml` of this family: its own sections, all of them.
pub(super) fn is_ours(path: &Path) -> bool {
    let keys = ["d_model", "n_layers", "gene_encoder", "expression_encoder", "expression_decoder"];
    yaml::read(path).is_ok_and(|f| keys.iter().all(|k| f.get(k).is_some()))
}
