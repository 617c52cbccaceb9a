//! Gene stores: what the genes of each category of cells look like inside one or more models, on disk in open formats.
//!
//! ```text
//! manifest.json                             what is where: sites, norm placement, pooling, cell counts, seeds, hashes
//! genes.csv                                 gene_id,symbol,var_name: one row per gene that a model knows
//! models/<model>/static.safetensors         gene (rows of genes.csv), gene_embedding [gene, d]
//! models/<model>/attention.safetensors      blocks.{i}.attn.w_q|w_k|w_v|w_o|b_q|b_k|b_v|b_o, blocks.{i}.norm1|norm2.weight|bias
//! models/<model>/<category>.safetensors     gene, n_cells [gene], <site>.mean [gene, d], <site>.variance [gene],
//!                                           <site>.cells [cell, d], flow [block, 4], token_curvature [block]
//! ```
//!
//! `manifest.json` is written last: its presence says that the store is whole.

mod attention;
mod genes;
mod manifest;
mod read;
mod write;

pub use attention::{BlockAttention, NormKind};
pub use genes::{Gene, GeneList};
pub use manifest::{CategoryEntry, CategoryFile, GeneStoreManifest, KeyValue, ModelEntry, SiteEntry};
pub(crate) use manifest::{FORMAT, VERSION};
pub(crate) use read::matrix;
pub use read::{GeneStore, SiteMeans, StoredFlow};
pub(crate) use write::{
    CellView, is_whole, stem_of, write_attention, write_category, write_manifest, write_static, write_vectors,
};

/// Name of the manifest.
pub(crate) const MANIFEST: &str = "manifest.json";
/// Name of the table of genes.
pub(crate) const GENES: &str = "genes.csv";
