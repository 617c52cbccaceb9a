//! Dimensions. A MindSpore checkpoint states none: all but the heads follow from the shapes of its tensors.

use std::path::Path;

use microtome_core::{Error, Result};
use microtome_weights::Checkpoint;
use serde_json::{Value, json};

use crate::json::{JsonConfig, MAX_DIMENSION};

/// MindSpore's default of `nn.LayerNorm`.
pub(super) const LAYER_NORM_EPS: f32 = 1e-7;
/// MindSpore's default of `nn.LeakyReLU`.
pub(super) const LEAKY_SLOPE: f32 = 0.2;
/// Width of a head in every published size.
const D_HEAD: usize = 32;

/// Dimensions of a network.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) n_blocks: usize,
    pub(super) d_model: usize,
    pub(super) n_heads: usize,
    /// Soft bins of the value encoder.
    pub(super) n_bins: usize,
    /// Rows of the gene table: padding, genes, and spare rows up to a multiple of 8.
    pub(super) n_rows: usize,
}

impl Config {
    /// From shapes, with this many heads, or heads of the published width where `None`.
    pub(super) fn of_checkpoint(checkpoint: &Checkpoint, n_heads: Option<usize>) -> Result<Self> {
        let shape = |name: &str, n_axes: usize| {
            let shape = checkpoint.info(name).map(|i| i.shape.clone()).unwrap_or_default();
            let usable = shape.len() == n_axes && shape.iter().all(|&n| n > 0 && n as u64 <= MAX_DIMENSION);
            if usable { Ok(shape) } else { Err(lacking(checkpoint, name, n_axes)) }
        };
        let genes = shape("gene_emb", 2)?;
        let n_bins = shape("value_enc.value_enc.w1.weight", 2)?[0];
        let is_block = |i: &usize| checkpoint.info(&format!("encoder.{i}.attn.q_proj.weight")).is_some();
        let n_blocks = (0..).take_while(is_block).count();
        let d_model = genes[1];
        let n_heads = match n_heads {
            Some(n) => n,
            None if d_model.is_multiple_of(D_HEAD) => d_model / D_HEAD,
            None => {
                return Err(Error::unsupported(
                    "the file does not say how many heads it has, and its width is not published",
                )
                .in_file(checkpoint.path())
                .expected(format!("a width of whole heads of {D_HEAD}, or config.json with n_heads"))
                .found(format!("width {d_model}")));
            }
        };
        Self { n_blocks, d_model, n_heads, n_bins, n_rows: genes[0] }
            .checked()
            .map_err(|e| e.in_file(checkpoint.path()))
    }

    fn checked(self) -> Result<Self> {
        if self.n_heads == 0 || !self.d_model.is_multiple_of(self.n_heads) {
            return Err(Error::unreadable("the width does not divide into the heads")
                .at_key("n_heads")
                .expected(format!("a divisor of {}", self.d_model))
                .found(self.n_heads.to_string()));
        }
        if self.n_blocks == 0 {
            return Err(
                Error::unreadable("the checkpoint has no blocks").at_key("encoder.0.attn.q_proj.weight")
            );
        }
        Ok(self)
    }

    pub(super) fn d_head(&self) -> usize {
        self.d_model / self.n_heads
    }

    /// Factor of the stream in DeepNorm (Wang et al. 2022, encoder): `(2 n_blocks)^(1/4)`.
    pub(super) fn alpha(&self) -> f32 {
        (2.0 * self.n_blocks as f64).powf(0.25) as f32
    }

    /// `config.json` of untrained models; published files come without one.
    pub(super) fn to_json(&self) -> Value {
        json!({ "model_type": "cellfm", "n_heads": self.n_heads })
    }
}

/// Heads that a `config.json` beside the weights declares.
pub(super) fn declared_heads(folder: &Path) -> Result<Option<usize>> {
    let path = folder.join("config.json");
    if !path.is_file() {
        return Ok(None);
    }
    let config = JsonConfig::read(&path)?;
    config.one_of("model_type", &["cellfm"])?;
    config.dimension("n_heads").map(Some)
}

fn lacking(checkpoint: &Checkpoint, name: &str, n_axes: usize) -> Error {
    Error::unreadable("the checkpoint lacks a tensor that states its size")
        .in_file(checkpoint.path())
        .at_key(name.to_string())
        .expected(format!("{n_axes} axes"))
}
