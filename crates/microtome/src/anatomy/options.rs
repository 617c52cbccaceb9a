//! What an extraction is asked to do, and what came out.

use std::path::PathBuf;

use serde::Serialize;

use crate::data::DataOptions;

/// Gene vectors per category, written into a gene store.
#[derive(Clone, Debug)]
pub struct ExtractOptions {
    /// Cells.
    pub data: DataOptions,
    /// Checkpoints.
    pub models: Vec<PathBuf>,
    /// Columns of `obs` whose values together make a category.
    pub categories: Vec<String>,
    /// Most cells drawn per category.
    pub max_cells: usize,
    /// Categories with fewer cells are left out.
    pub min_cells: usize,
    /// Sites, comma separated, with `*`.
    pub sites: String,
    /// Whether an untrained twin of every model is extracted beside it.
    pub with_twins: bool,
    /// Folder of the store.
    pub out: PathBuf,
    /// Go on with an unfinished run.
    pub resume: bool,
    /// Replace an earlier store.
    pub overwrite: bool,
    /// The command line, for the manifest.
    pub command: Vec<String>,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct ExtractReport {
    /// Folder of the store.
    pub out: PathBuf,
    /// Models and controls.
    pub models: Vec<String>,
    /// Categories with the number of cells averaged.
    pub categories: Vec<(String, usize)>,
    /// Genes in the table.
    pub n_genes: usize,
    /// Categories of models that were taken from an unfinished run.
    pub n_reused: usize,
    /// Wall seconds.
    pub seconds: f64,
    /// Things to know.
    pub notes: Vec<String>,
}

/// The workflow: extraction and everything that is looked at afterwards.
#[derive(Clone, Debug)]
pub struct AnatomyOptions {
    /// What is extracted; its folder is the result folder.
    pub extract: ExtractOptions,
    /// Most genes over which models are compared.
    pub n_genes: usize,
    /// Numbers of strongest edges.
    pub ks: Vec<usize>,
    /// Tables whose first two columns name genes.
    pub networks: Vec<PathBuf>,
    /// GMT files.
    pub gene_sets: Vec<PathBuf>,
    /// Whether the cells run a second time for their own attention.
    pub exact_attention: bool,
}

/// What came out; also `summary.json`.
#[derive(Clone, Debug, Serialize)]
pub struct AnatomyReport {
    /// Folder with the result.
    pub out: PathBuf,
    /// The page to look at.
    pub report: PathBuf,
    /// The gene store.
    pub store: PathBuf,
    /// Models and controls.
    pub models: Vec<String>,
    /// Categories with the number of genes compared.
    pub categories: Vec<(String, usize)>,
    /// What was found, in words.
    pub sentences: Vec<String>,
    /// Things to know.
    pub notes: Vec<String>,
    /// Wall seconds in all.
    pub seconds: f64,
}
