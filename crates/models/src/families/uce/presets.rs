//! Published sizes.

use crate::Variant;

/// Rows of the published token table.
const ROWS: usize = 145_469;
pub(super) const TOKEN_DIM: usize = 5120;

const fn variant(id: &'static str, name: &'static str, n_blocks: usize) -> Variant {
    let (d, d_mlp) = (1280, 5120);
    let n_parameters = parameters(n_blocks, d, d_mlp);
    Variant {
        id,
        name,
        n_blocks,
        d_model: d,
        n_heads: 20,
        d_mlp,
        max_tokens: 1536,
        d_vocab: ROWS,
        n_parameters,
    }
}

/// Parameters with the frozen token table and the positions.
const fn parameters(n_blocks: usize, d: usize, f: usize) -> u64 {
    const fn layer(n_in: usize, n_out: usize) -> usize {
        n_in * n_out + n_out
    }
    let encoders = 2 * (layer(TOKEN_DIM, d) + 2 * d);
    let block = 4 * layer(d, d) + layer(d, f) + layer(f, d) + 4 * d;
    let decoder = layer(d, 1024) + 2048 + layer(1024, d) + 2 * d + layer(d, d) + 2 * d + layer(d, d);
    let binary = layer(2 * d, 2048) + 4096 + layer(2048, 512) + 1024 + layer(512, 128) + 256 + layer(128, 1);
    (encoders + n_blocks * block + decoder + binary + ROWS * TOKEN_DIM + 1536 * d) as u64
}

/// Published models.
pub(super) const VARIANTS: &[Variant] =
    &[variant("4l", "UCE 4-layer", 4), variant("33l", "UCE 33-layer (33l_8ep_1024t_1280)", 33)];

/// Preset id of dimensions, `custom` when they are not published ones.
pub(super) fn name_of(n_blocks: usize, d_model: usize, n_heads: usize, d_mlp: usize) -> &'static str {
    let same =
        |v: &&Variant| (v.n_blocks, v.d_model, v.n_heads, v.d_mlp) == (n_blocks, d_model, n_heads, d_mlp);
    VARIANTS.iter().find(same).map_or("custom", |v| v.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_are_those_of_the_published_files() {
        // 104.1 and 674.7 million besides the frozen table of 744.8 million and the positions.
        let own = |v: &Variant| v.n_parameters - (ROWS * TOKEN_DIM + 1536 * 1280) as u64;
        assert_eq!((own(&VARIANTS[0]) as f64 / 1e5).round() / 10.0, 104.1);
        assert_eq!((own(&VARIANTS[1]) as f64 / 1e5).round() / 10.0, 674.7);
        assert_eq!(name_of(33, 1280, 20, 5120), "33l");
        assert_eq!(name_of(33, 1280, 10, 5120), "custom");
    }
}
