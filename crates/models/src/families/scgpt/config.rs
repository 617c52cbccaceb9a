//! `args.json`: the training arguments that decide the arithmetic.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use serde_json::{Value, json};

use crate::Variant;
use crate::json::JsonConfig;

/// The folder of a checkpoint that may be named by one of its files.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    if path.is_file() { path.parent().unwrap_or(Path::new(".")).to_path_buf() } else { path.to_path_buf() }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) n_blocks: usize,
    pub(super) d_model: usize,
    pub(super) n_heads: usize,
    pub(super) d_mlp: usize,
    /// Longest cell in tokens, `<cls>` included.
    pub(super) max_tokens: usize,
    pub(super) pad_value: f32,
    pub(super) mask_value: f32,
    /// `n_bins` of the file; the published collator bins into 51 whatever it says.
    pub(super) stated_bins: Option<u64>,
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = JsonConfig::read(path)?;
        file.one_of("input_style", &["binned"])?;
        file.one_of("input_emb_style", &["continuous"])?;
        file.one_of("pad_token", &["<pad>"])?;
        let config = Self {
            n_blocks: file.dimension("nlayers")?,
            d_model: file.dimension("embsize")?,
            n_heads: file.dimension("nheads")?,
            d_mlp: file.dimension("d_hid")?,
            max_tokens: file.dimension("max_seq_len")?,
            pad_value: file.number("pad_value")?,
            mask_value: file.number("mask_value")?,
            stated_bins: file.get("n_bins").and_then(Value::as_u64),
        };
        if !config.d_model.is_multiple_of(config.n_heads) {
            return Err(Error::unreadable("the width does not divide into the heads")
                .in_file(path)
                .at_key("nheads")
                .expected(format!("a divisor of embsize {}", config.d_model))
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
            pad_value: -2.0,
            mask_value: -1.0,
            stated_bins: Some(51),
        }
    }

    pub(super) fn size(&self) -> [usize; 5] {
        [self.n_blocks, self.d_model, self.n_heads, self.d_mlp, self.max_tokens]
    }

    /// The fields of the published file that inference reads.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "nlayers": self.n_blocks, "embsize": self.d_model, "nheads": self.n_heads, "d_hid": self.d_mlp,
            "max_seq_len": self.max_tokens, "pad_token": "<pad>", "pad_value": self.pad_value as i64,
            "mask_value": self.mask_value as i64, "n_bins": 51, "n_layers_cls": 3,
            "input_style": "binned", "input_emb_style": "continuous", "MVC": true,
        })
    }
}

/// Whether a file is an `args.json` of scGPT: its own words for the dimensions, all of them.
pub(super) fn is_ours(path: &Path) -> bool {
    JsonConfig::read(path).is_ok_and(|f| ["embsize", "nheads", "d_hid", "nlayers"].iter().all(|k| f.get(k).is_some()))
}
