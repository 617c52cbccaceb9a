//! Published sizes.

use crate::Variant;

const fn variant(id: &'static str, name: &'static str, n_blocks: usize, d_vocab: usize) -> Variant {
    const D: usize = 1536;
    let block = 8 * D * D + 4 * D;
    let values = 1 + 256 + 256 * 256 + 256 * D;
    let readouts = 2 * D * D + D;
    Variant {
        id,
        name,
        n_blocks,
        d_model: D,
        n_heads: 48,
        d_mlp: D,
        max_tokens: super::tokens::MAX_GENES + 1,
        d_vocab,
        // Of what is run: the mask and zero vectors of training are not counted.
        n_parameters: (d_vocab * D + n_blocks * block + values + readouts) as u64,
    }
}

/// `d_vocab` counts the rows of the gene table, padded to a multiple of 8, and the cell token.
pub(super) const VARIANTS: &[Variant] =
    &[variant("80m", "CellFM 80M", 2, 27_856 + 1), variant("800m", "CellFM 800M", 40, 24_080 + 1)];
