//! Configuration inside the checkpoint: `model_config[model]` overlaid with `dataset_config["rnaseq"]`, as the reference merges them.

use microtome_core::{Error, Result};
use microtome_weights::{Checkpoint, pickle};
use serde_json::{Map, Value, json};

use crate::Variant;
use crate::json::MAX_DIMENSION;

/// The one architecture of the family.
const MODEL: &str = "mae_autobin";
/// Metadata key of untrained models, whose container cannot hold a dictionary.
pub(super) const METADATA: &str = "config";
/// Nesting of the configuration that is followed.
const MAX_DEPTH: usize = 8;

/// The part of the configuration that matters for inference.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    /// Genes of the list; the network has two more rows for T and S, and one for padding.
    pub(super) n_genes: usize,
    pub(super) n_blocks: usize,
    pub(super) d_model: usize,
    pub(super) n_heads: usize,
    pub(super) decoder: DecoderConfig,
    pub(super) n_bins: usize,
    pub(super) bin_alpha: f32,
    /// Values that select the mask row and the padding row of the value embedding.
    pub(super) mask_value: f32,
    pub(super) pad_value: f32,
}

/// Dimensions of the Performer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DecoderConfig {
    pub(super) n_blocks: usize,
    pub(super) d_model: usize,
    pub(super) n_heads: usize,
    pub(super) d_head: usize,
}

/// Whether the checkpoint holds this sub-model.
pub(super) fn is_there(checkpoint: &Checkpoint, part: &str) -> bool {
    whole(checkpoint, part).is_some_and(|c| c["model"] == MODEL)
}

/// `{part}.config`, from the pickled object or from the metadata.
fn whole(checkpoint: &Checkpoint, part: &str) -> Option<Value> {
    if let Some(value) = checkpoint.value(&format!("{part}.config")) {
        return Some(plain(value, 0));
    }
    let (_, text) = checkpoint.metadata().iter().find(|(k, _)| k == METADATA)?;
    let all: Value = serde_json::from_str(text).ok()?;
    all.get(part).cloned()
}

/// Dictionaries, texts, numbers and booleans; everything else becomes null.
fn plain(value: &pickle::Value, depth: usize) -> Value {
    if let Some(dict) = value.as_dict().filter(|_| depth < MAX_DEPTH) {
        let entry = |(k, v): &(pickle::Value, pickle::Value)| Some((k.as_str()?.to_string(), plain(v, depth + 1)));
        return Value::Object(dict.entries().iter().filter_map(entry).collect());
    }
    let number = || value.as_i64().map(Value::from).or_else(|| value.as_f64().map(Value::from));
    let text = || value.as_str().map(Value::from);
    value.as_bool().map(Value::from).or_else(number).or_else(text).unwrap_or(Value::Null)
}

impl Config {
    pub(super) fn read(checkpoint: &Checkpoint, part: &str) -> Result<Self> {
        let whole = whole(checkpoint, part).unwrap_or(Value::Null);
        Self::parse(&whole).map_err(|e| e.in_file(checkpoint.path()))
    }

    fn parse(whole: &Value) -> Result<Self> {
        let fields = Fields::merge(whole)?;
        let (encoder, decoder) = (fields.inner("encoder")?, fields.inner("decoder")?);
        encoder.exactly("module_type", &json!("transformer"))?;
        encoder.exactly("norm_first", &json!(false))?;
        decoder.exactly("module_type", &json!("performer"))?;
        let seq_len = fields.dimension("seq_len")?;
        let config = Self {
            n_genes: seq_len.checked_sub(2).filter(|n| *n > 0).ok_or_else(|| {
                Error::unreadable("no room for genes beside T and S").at_key("seq_len").found(seq_len.to_string())
            })?,
            n_blocks: encoder.dimension("depth")?,
            d_model: encoder.dimension("hidden_dim")?,
            n_heads: encoder.dimension("heads")?,
            decoder: DecoderConfig {
                n_blocks: decoder.dimension("depth")?,
                d_model: decoder.dimension("hidden_dim")?,
                n_heads: decoder.dimension("heads")?,
                d_head: decoder.dimension("dim_head")?,
            },
            n_bins: fields.dimension("bin_num")?,
            bin_alpha: fields.number("bin_alpha")?,
            mask_value: fields.number("mask_token_id")?,
            pad_value: fields.number("pad_token_id")?,
        };
        if !config.d_model.is_multiple_of(config.n_heads) {
            return Err(Error::unreadable("the width does not divide into the heads")
                .at_key("encoder.heads")
                .expected(format!("a divisor of hidden_dim {}", config.d_model))
                .found(config.n_heads.to_string()));
        }
        Ok(config)
    }

    /// The published size over a list of this many genes.
    pub(super) fn published(v: &Variant, n_genes: usize) -> Self {
        Self {
            n_genes,
            n_blocks: v.n_blocks,
            d_model: v.d_model,
            n_heads: v.n_heads,
            decoder: DecoderConfig { n_blocks: 6, d_model: 512, n_heads: 8, d_head: 64 },
            n_bins: 100,
            bin_alpha: 1.0,
            mask_value: 102.0,
            pad_value: 103.0,
        }
    }

    /// Rows of a cell in the decoder: genes, T, S.
    pub(super) fn n_rows(&self) -> usize {
        self.n_genes + 2
    }

    /// The published layout, with the fields that are read.
    pub(super) fn to_json(&self) -> Value {
        let n = self.n_rows();
        let d = &self.decoder;
        json!({
            "model": MODEL,
            "model_config": { MODEL: {
                "gene_num": n,
                "seq_len": n,
                "encoder": {
                    "hidden_dim": self.d_model, "depth": self.n_blocks, "heads": self.n_heads,
                    "dim_head": self.d_model / self.n_heads, "seq_len": n, "module_type": "transformer",
                    "norm_first": false,
                },
                "decoder": {
                    "hidden_dim": d.d_model, "depth": d.n_blocks, "heads": d.n_heads, "dim_head": d.d_head,
                    "seq_len": n, "module_type": "performer", "norm_first": false,
                },
                "bin_num": self.n_bins,
                "bin_alpha": self.bin_alpha,
                "mask_token_id": self.mask_value,
                "pad_token_id": self.pad_value,
                "model": MODEL,
            } },
            "dataset_config": { "rnaseq": { "bin_num": self.n_bins } },
        })
    }
}

/// Fields of one dictionary, with the name of it for messages.
struct Fields {
    map: Map<String, Value>,
    at: String,
}

impl Fields {
    /// The second dictionary wins, as in the reference.
    fn merge(whole: &Value) -> Result<Self> {
        let missing = |key: &str| {
            Error::unreadable("the configuration in the checkpoint lacks a part").at_key(key).expected("a dictionary")
        };
        if whole["model"] != MODEL {
            return Err(Error::unsupported("not an architecture of this family")
                .at_key("config.model")
                .expected(format!("\"{MODEL}\""))
                .found(whole["model"].to_string()));
        }
        let mut map =
            whole["model_config"][MODEL].as_object().cloned().ok_or_else(|| missing("config.model_config"))?;
        let data = whole["dataset_config"]["rnaseq"].as_object();
        map.extend(data.cloned().ok_or_else(|| missing("config.dataset_config.rnaseq"))?);
        Ok(Self { map, at: String::new() })
    }

    fn inner(&self, key: &str) -> Result<Self> {
        let map = self.field(key, "a dictionary")?.as_object().cloned();
        let map = map.ok_or_else(|| self.wrong(key, "a dictionary"))?;
        Ok(Self { map, at: format!("{key}.") })
    }

    fn field(&self, key: &str, expected: &str) -> Result<&Value> {
        self.map.get(key).ok_or_else(|| {
            Error::unreadable("the configuration lacks a field that decides the arithmetic")
                .at_key(format!("{}{key}", self.at))
                .expected(expected)
                .remedy("take the checkpoint as published")
        })
    }

    fn wrong(&self, key: &str, expected: &str) -> Error {
        Error::unsupported("the configuration holds a value that this family does not have")
            .at_key(format!("{}{key}", self.at))
            .expected(expected)
            .found(self.map.get(key).map_or(String::new(), Value::to_string))
    }

    fn exactly(&self, key: &str, wanted: &Value) -> Result<()> {
        let expected = wanted.to_string();
        if self.field(key, &expected)? == wanted { Ok(()) } else { Err(self.wrong(key, &expected)) }
    }

    fn dimension(&self, key: &str) -> Result<usize> {
        let expected = format!("a whole number from 1 to {MAX_DIMENSION}");
        let n = self.field(key, &expected)?.as_u64().filter(|n| (1..=MAX_DIMENSION).contains(n));
        n.and_then(|n| usize::try_from(n).ok()).ok_or_else(|| self.wrong(key, &expected))
    }

    fn number(&self, key: &str) -> Result<f32> {
        let x = self.field(key, "a number")?.as_f64().map(|x| x as f32).filter(|x| x.is_finite());
        x.ok_or_else(|| self.wrong(key, "a number"))
    }
}
