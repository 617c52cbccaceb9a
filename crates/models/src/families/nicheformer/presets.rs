//! Published sizes.

use crate::Variant;

pub(super) const VARIANTS: &[Variant] = &[Variant {
    id: "nicheformer",
    name: "Nicheformer",
    n_blocks: 12,
    d_model: 512,
    n_heads: 16,
    d_mlp: 1024,
    max_tokens: 1500,
    d_vocab: 20_345,
    // Embeddings, positions, 12 blocks and the masked-gene head; the unused template block and the unused heads are not counted.
    n_parameters: 46_852_468,
}];
