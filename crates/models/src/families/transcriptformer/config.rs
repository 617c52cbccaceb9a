//! `config.json`: what decides the arithmetic and the vocabulary.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use serde_json::{Map, Value, json};

use crate::Variant;
use crate::json::{JsonConfig, MAX_DIMENSION};

pub(super) const ASSAYS: &str = "vocabs/assay_vocab.json";
/// Clip of the published command line, where the configuration has none.
const CLIP: f32 = 30.0;

/// The folder of a checkpoint that may be named by one of its files.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    if path.is_file() { path.parent().unwrap_or(Path::new(".")).to_path_buf() } else { path.to_path_buf() }
}

/// Whether a configuration names this family.
pub(super) fn is_ours(path: &Path) -> bool {
    JsonConfig::read(path).is_ok_and(|c| {
        c.get("model")
            .and_then(|m| m["_target_"].as_str())
            .is_some_and(|t| t.starts_with("transcriptformer."))
    })
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) n_blocks: usize,
    pub(super) d_model: usize,
    pub(super) n_heads: usize,
    pub(super) d_mlp: usize,
    /// Genes that a cell may have.
    pub(super) seq_len: usize,
    pub(super) soft_cap: f32,
    pub(super) count_eps: f32,
    pub(super) attn_bias: bool,
    pub(super) mlp_bias: bool,
    pub(super) d_gene_head: usize,
    pub(super) softplus_approx: bool,
    pub(super) clip: f32,
    pub(super) gene_files: Vec<String>,
    pub(super) specials: Vec<String>,
    pub(super) unknown_assay: String,
}

struct Reader<'a> {
    map: &'a Map<String, Value>,
    path: &'a Path,
}

impl Reader<'_> {
    fn wrong(&self, key: &str, expected: &str) -> Error {
        Error::unreadable(
            "a field of the configuration that decides the arithmetic is missing or of another kind",
        )
        .in_file(self.path)
        .at_key(key)
        .expected(expected)
        .found(self.map.get(key).map_or("nothing".into(), Value::to_string))
    }

    fn size(&self, key: &str) -> Result<usize> {
        let n = self.map.get(key).and_then(Value::as_u64).filter(|n| (1..=MAX_DIMENSION).contains(n));
        n.map(|n| n as usize).ok_or_else(|| self.wrong(key, "a positive whole number"))
    }

    fn number(&self, key: &str) -> Result<f32> {
        let x = self
            .map
            .get(key)
            .and_then(Value::as_f64)
            .map(|x| x as f32)
            .filter(|x| x.is_finite() && *x >= 0.0);
        x.ok_or_else(|| self.wrong(key, "a number that is not negative"))
    }

    fn flag(&self, key: &str) -> Result<bool> {
        self.map.get(key).and_then(Value::as_bool).ok_or_else(|| self.wrong(key, "true or false"))
    }

    fn text(&self, key: &str) -> Result<String> {
        self.map.get(key).and_then(Value::as_str).map(str::to_string).ok_or_else(|| self.wrong(key, "a text"))
    }

    fn texts(&self, key: &str) -> Result<Vec<String>> {
        let list = self.map.get(key).and_then(Value::as_array);
        let texts =
            list.and_then(|l| l.iter().map(|v| v.as_str().map(str::to_string)).collect::<Option<Vec<_>>>());
        texts.filter(|t| !t.is_empty()).ok_or_else(|| self.wrong(key, "a list of texts"))
    }

    fn exactly(&self, key: &str, wanted: &Value) -> Result<()> {
        if self.map.get(key) == Some(wanted) { Ok(()) } else { Err(self.wrong(key, &wanted.to_string())) }
    }
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = JsonConfig::read(path)?;
        let part = |name: &str| {
            file.get("model").and_then(|m| m[name].as_object()).ok_or_else(|| {
                Error::unreadable("the configuration lacks a part")
                    .in_file(path)
                    .at_key(format!("model.{name}"))
            })
        };
        let model = Reader { map: part("model_config")?, path };
        let data = Reader { map: part("data_config")?, path };
        let loss = Reader { map: part("loss_config")?, path };
        model.exactly("activation", &json!("gelu"))?;
        model.exactly("mu_link_fn", &json!("softmax"))?;
        model.exactly("aux_len", &json!(1))?;
        data.exactly("gene_pad_token", &json!("[PAD]"))?;
        data.exactly("pad_zeros", &json!(true))?;
        if data.map.get("normalize_to_scale").and_then(Value::as_f64).is_some_and(|x| x != 0.0) {
            return Err(data.wrong("normalize_to_scale", "0"));
        }
        let config = Self {
            n_blocks: model.size("num_layers")?,
            d_model: model.size("embed_dim")?,
            n_heads: model.size("num_heads")?,
            d_mlp: model.size("model_dim")?,
            seq_len: model.size("seq_len")?,
            soft_cap: model.number("softcap")?,
            count_eps: model.number("log_counts_eps")?,
            attn_bias: model.flag("attn_bias")?,
            mlp_bias: model.flag("fw_bias")?,
            d_gene_head: model.size("gene_head_hidden_dim")?,
            softplus_approx: loss.flag("softplus_approx")?,
            clip: match data.map.get("clip_counts") {
                None | Some(Value::Null) => CLIP,
                Some(_) => data.number("clip_counts")?,
            },
            gene_files: data.texts("esm2_mappings")?,
            specials: data.texts("special_tokens")?,
            unknown_assay: data.text("aux_pad_token")?,
        };
        if !config.d_model.is_multiple_of(config.n_heads) {
            return Err(model.wrong("num_heads", &format!("a divisor of embed_dim {}", config.d_model)));
        }
        // Names are joined to the folder of the vocabularies: they must stay inside it.
        if config.gene_files.iter().any(|f| f.contains(['/', '\\']) || f.contains("..")) {
            return Err(data.wrong("esm2_mappings", "names of files"));
        }
        Ok(config)
    }

    /// The same with the dimensions of a published size.
    pub(super) fn resized(&self, v: &Variant, d_gene_head: usize) -> Self {
        Self {
            n_blocks: v.n_blocks,
            d_model: v.d_model,
            n_heads: v.n_heads,
            d_mlp: v.d_mlp,
            seq_len: v.max_tokens - 1,
            d_gene_head,
            ..self.clone()
        }
    }

    /// In the layout of the published file.
    pub(super) fn to_json(&self) -> Value {
        json!({"model": {
            "_target_": "transcriptformer.model.model.Transcriptformer",
            "data_config": {
                "_target_": "transcriptformer.data.dataclasses.DataConfig",
                "aux_cols": "assay", "gene_col_name": "ensembl_id", "clip_counts": self.clip, "pad_zeros": true,
                "normalize_to_scale": 0, "gene_pad_token": "[PAD]", "aux_pad_token": self.unknown_assay,
                "esm2_mappings": self.gene_files, "special_tokens": self.specials,
            },
            "model_config": {
                "_target_": "transcriptformer.data.dataclasses.ModelConfig",
                "log_counts_eps": self.count_eps, "num_heads": self.n_heads, "num_layers": self.n_blocks,
                "model_dim": self.d_mlp, "embed_dim": self.d_model, "seq_len": self.seq_len, "aux_len": 1,
                "activation": "gelu", "fw_bias": self.mlp_bias, "softcap": self.soft_cap, "attn_bias": self.attn_bias,
                "mu_link_fn": "softmax", "gene_head_hidden_dim": self.d_gene_head,
            },
            "loss_config": {"softplus_approx": self.softplus_approx},
        }})
    }
}
