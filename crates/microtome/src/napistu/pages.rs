//! The JSON blocks of a store.

use serde_json::{Value, json};

use crate::gene_store::{Gene, ModelEntry};

/// One record per gene. The name in the vocabulary is the id, which is unique.
pub(super) fn annotations(genes: &[&Gene]) -> Vec<Value> {
    genes
        .iter()
        .map(
            |g| json!({"vocab_name": g.id, "ensembl_gene": g.id, "symbol": g.symbol, "var_name": g.var_name}),
        )
        .collect()
}

/// What a matrix of gene vectors says about itself.
pub(super) struct Block<'a> {
    pub(super) genes: &'a [&'a Gene],
    pub(super) model: &'a ModelEntry,
    pub(super) layer: Option<usize>,
    pub(super) dataset: Option<&'a str>,
    pub(super) uri: Option<&'a str>,
    pub(super) category: Option<&'a str>,
}

impl Block<'_> {
    pub(super) fn json(&self, annotations: &[Value]) -> Value {
        json!({
            "ordered_genes": self.genes.iter().map(|g| &g.id).collect::<Vec<_>>(),
            "gene_annotations": annotations,
            "model_name": self.model.name,
            "model_variant": null,
            "layer_idx": self.layer,
            "dataset_name": self.dataset,
            "dataset_uri": self.uri,
            "category": self.category,
        })
    }
}

/// `residuals_index.yaml`: texts always in double quotes, so that a category such as `0` or `yes` stays a text.
pub(super) fn index(dataset: &str, categories: &[(String, String)]) -> String {
    let quoted = |t: &str| Value::from(t).to_string();
    let mut out = format!("datasets:\n  {}:\n", quoted(dataset));
    for (category, stem) in categories {
        out.push_str(&format!("    {}: {}\n", quoted(category), quoted(stem)));
    }
    out
}
