//! `config.json`.

use std::path::Path;

use microtome_core::{Error, Result};
use microtome_kernels::Activation;
use serde_json::{Value, json};

use crate::Variant;
use crate::json::JsonConfig;
use crate::nn::bert::BertConfig;
use crate::tokenize::rank_files::PublishedIn;

const ARCHITECTURES: [&str; 2] =
    ["PrototypeContrastiveForMaskedLM", "PrototypeContrastiveForSequenceClassification"];

/// Where the dictionaries are published.
pub(super) const DICTIONARIES: PublishedIn = PublishedIn {
    folders: &["data/token_vocabulary", "token_vocabulary"],
    added: 1,
    expected: "token_dictionary.pkl and gene_median_dictionary.pkl",
    remedy: "copy both (and vocab_id2name.csv) from data/token_vocabulary of github DeepGraphLearning/scCello into the folder",
    belongs: "the model's vocabulary is the dictionary of the first Geneformer (25,426 entries) and <cls>",
};

/// A BERT configuration and what scCello has besides.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Config {
    pub(super) bert: BertConfig,
    /// Temperature of the contrasts, by which cosines of the masked-gene readout are divided.
    pub(super) tau: f32,
}

fn architecture(json: &JsonConfig) -> Option<&str> {
    json.get("architectures")?.as_array()?.first()?.as_str()
}

/// Whether a file is a configuration of this family.
pub(super) fn is_ours(path: &Path) -> bool {
    JsonConfig::read(path).is_ok_and(|j| architecture(&j).is_some_and(|a| ARCHITECTURES.contains(&a)))
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let json = JsonConfig::read(path)?;
        let bert = BertConfig::read(&json, &["relu", "gelu"]).map_err(|e| e.in_file(path))?;
        let tau = json.number("tau")?;
        if tau <= 0.0 {
            return Err(Error::unreadable("the temperature is not positive")
                .in_file(path)
                .at_key("tau")
                .found(tau.to_string()));
        }
        Ok(Self { bert, tau })
    }

    /// A published size. The published temperature is not known here; 1 leaves the cosines as they are.
    pub(super) fn of_variant(v: &Variant, vocab_size: usize) -> Self {
        let bert = BertConfig { vocab_size, ..BertConfig::of_variant(v, v.max_tokens, Activation::Relu) };
        Self { bert, tau: 1.0 }
    }

    /// The published layout of the file.
    pub(super) fn to_json(&self) -> Value {
        self.bert.to_json(json!({
            "architectures": [ARCHITECTURES[0]],
            "tau": self.tau.to_string().parse::<f64>().unwrap_or(1.0),
        }))
    }
}
