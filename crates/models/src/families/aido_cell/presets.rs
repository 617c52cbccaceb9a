//! Published sizes.

use super::config::Config;
use crate::Variant;

const GENES: usize = 19_264;
const BINS: usize = 100;

const fn variant(id: &'static str, name: &'static str, [n_blocks, d, n_heads, d_mlp]: [usize; 4]) -> Variant {
    let max_tokens = GENES + 2;
    let values = 2 * BINS + (BINS * BINS + BINS) + BINS * d + 2 * d;
    let block = 4 * d * d + 3 * d * d_mlp + 4 * d;
    let head = (d * d + d) + 2 * d + (d + 1);
    let n_parameters = (values + max_tokens * d + n_blocks * block + 2 * d + head) as u64;
    Variant { id, name, n_blocks, d_model: d, n_heads, d_mlp, max_tokens, d_vocab: max_tokens, n_parameters }
}

/// Sizes with published files. Source: `config.json` of `genbio-ai/AIDO.Cell-100M` and the file sizes of all three.
pub(super) const VARIANTS: &[Variant] = &[
    variant("3m", "AIDO.Cell-3M", [6, 128, 4, 320]),
    variant("10m", "AIDO.Cell-10M", [8, 256, 8, 640]),
    variant("100m", "AIDO.Cell-100M", [18, 640, 20, 1664]),
];

/// Preset id of a configuration, `custom` when it has no published size.
pub(super) fn name_of(config: &Config) -> &'static str {
    VARIANTS.iter().find(|v| Config::of_variant(v) == *config).map_or("custom", |v| v.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_are_the_published_ones() {
        let counts: Vec<u64> = VARIANTS.iter().map(|v| v.n_parameters).collect();
        assert_eq!(counts, [3_640_125, 11_073_085, 99_864_381]);
        assert!(VARIANTS.iter().all(|v| v.d_model == 32 * v.n_heads));
    }
}
