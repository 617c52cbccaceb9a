//! What a gene store says about itself.

use microtome_core::{InputFile, Role};
use serde::{Deserialize, Serialize};

use super::BlockAttention;

/// Name of the format.
pub(crate) const FORMAT: &str = "microtome-gene-store";
/// Version of the format.
pub(crate) const VERSION: u32 = 1;

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneStoreManifest {
    /// Name of the format.
    pub format: String,
    /// Version of the format.
    pub version: u32,
    /// Version of the program that wrote it.
    pub microtome: String,
    /// The command that wrote it.
    pub command: Vec<String>,
    /// Name of the data set.
    pub dataset: String,
    /// Files of the data set.
    pub inputs: Vec<InputFile>,
    /// Where counts were read from.
    pub slot: String,
    /// `ensembl_id`, or `var_name` where the data has no Ensembl ids.
    pub gene_namespace: String,
    /// Rows of `genes.csv`.
    pub n_genes: usize,
    /// SHA-256 of `genes.csv`.
    pub genes_sha256: String,
    /// Columns of `obs` that make the categories.
    pub category_columns: Vec<String>,
    /// Categories in order.
    pub categories: Vec<CategoryEntry>,
    /// Most cells drawn per category.
    pub max_cells_per_category: usize,
    /// Seed of the draw.
    pub seed: u64,
    /// What a mean is over.
    pub pooling: String,
    /// Models and controls.
    pub models: Vec<ModelEntry>,
}

/// A category of cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategoryEntry {
    /// Values joined by ` / `.
    pub name: String,
    /// One value per column.
    pub keys: Vec<KeyValue>,
    /// Cells of this category in the data.
    pub n_available: usize,
    /// Cells that were averaged.
    pub n_cells: usize,
}

/// A value of a column of `obs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyValue {
    /// Column.
    pub column: String,
    /// Value.
    pub value: String,
}

/// A model or control in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// Name, and folder below `models/`.
    pub name: String,
    /// Folder below `models/`.
    pub folder: String,
    /// Family.
    pub family: String,
    /// Variant.
    pub variant: String,
    /// Model or control.
    pub role: Role,
    /// For an untrained twin: the model it is a twin of.
    pub twin_of: Option<String>,
    /// Files of the checkpoint.
    pub inputs: Vec<InputFile>,
    /// Where the norms sit, in words.
    pub norm_placement: String,
    /// Blocks.
    pub n_blocks: usize,
    /// Width of the stream.
    pub d_model: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Published choices in force.
    pub choices: serde_json::Map<String, serde_json::Value>,
    /// SHA-256 of `static.safetensors`, where the family has gene vectors without cells.
    pub static_sha256: Option<String>,
    /// SHA-256 of `attention.safetensors`, where the family has softmax attention.
    pub attention_sha256: Option<String>,
    /// Heads and norms of every block, where the family has softmax attention.
    pub attention: Vec<BlockAttention>,
    /// Sites in the order of the forward pass.
    pub sites: Vec<SiteEntry>,
    /// Files by category.
    pub categories: Vec<CategoryFile>,
}

/// A site of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteEntry {
    /// Name, such as `blocks.3.resid_post`.
    pub site: String,
    /// Depth, where the site is on the stream.
    pub depth: Option<f64>,
    /// Width of a vector.
    pub width: usize,
}

/// The file of one model and category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategoryFile {
    /// Category.
    pub category: String,
    /// File below the model's folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Genes with at least one cell.
    pub n_genes: usize,
}
