//! Model families, tokenisers, shared network blocks and taps.
//!
//! Start with [`open`]: it finds the family of a checkpoint and returns a [`Model`].

mod attention_view;
mod attention_weights;
mod block_layout;
mod dimensions;
mod evidence;
pub mod families;
pub mod grn;
mod hugging_face;
pub mod isp;
mod json;
mod model;
mod nn;
pub mod parity;
mod plan;
mod tables;
mod tap;
pub mod taps;
#[cfg(test)]
mod test_kit;
pub mod tokenize;
mod tokens;
mod untrained;
mod var_names;
mod yaml;

pub use attention_view::{AttentionView, attention_site};
pub use attention_weights::{AttentionWeights, NormPlace, NormWeights};
pub use block_layout::{BlockLayout, StoredMap, no_block_layout};
pub use dimensions::Dimensions;
pub use evidence::Evidence;
pub use families::{detect, families, find_family, open, open_in, open_shuffled};
pub use microtome_kernels::{Precision, release_activations};
pub use model::{
    CellRule, CellTotals, Family, GeneMatch, LicenceInfo, Model, ModelInfo, Overlap, SiteInfo,
    TokenizeOptions, Variant,
};
pub use plan::{minibatches, pool_cells, work};
pub use tables::{TextsReader, provide_hdf5_texts};
pub use tap::{MapKind, SiteData, Tap};
pub use tokens::{GENE_MASK, MASKED, POOL_MASK, Tokens};
pub use var_names::{ReadVarNames, provide_var_names};
pub use yaml::read_mapping as read_yaml;
