//! Published sizes.

use super::config::Config;
use crate::Variant;

/// `<pad>`, `<cls>`, `<eoc>`, 62,710 genes and 7 unused tokens.
const VOCABULARY: usize = 62_720;

const fn variant(
    id: &'static str,
    name: &'static str,
    [n_blocks, d_model, n_heads, max_tokens, d_vocab]: [usize; 5],
) -> Variant {
    let n_parameters = parameters(n_blocks, d_model, d_vocab);
    Variant { id, name, n_blocks, d_model, n_heads, d_mlp: 4 * d_model, max_tokens, d_vocab, n_parameters }
}

/// Parameters without drug encoder and without the two rows of the flag encoder.
const fn parameters(n_blocks: usize, d: usize, vocabulary: usize) -> u64 {
    let square = d * d + d;
    let encoders = vocabulary * d + 2 * d + 2 * d + square + 2 * d;
    let block = 4 * square + (4 * d * d + 4 * d) + (4 * d * d + d) + 4 * d;
    let readouts = square + d + 1 + square + d * d;
    (encoders + n_blocks * block + 2 * d + readouts) as u64
}

/// All published sizes. Heads are 64 wide in the smallest model and 128 in the others.
pub(super) const VARIANTS: &[Variant] = &[
    variant("70m", "Tx1-70M", [12, 512, 8, 1024, VOCABULARY]),
    variant("1b", "Tx1-1.3B", [24, 2048, 16, 1024, VOCABULARY]),
    variant("3b", "Tx1-3B (drug encoder and its token come with the checkpoint)", [32, 2560, 20, 2048, VOCABULARY]),
];

/// Preset id of a configuration, `custom` when it has no published size. A drug token more or less does not matter.
pub(super) fn name_of(config: &Config) -> &'static str {
    let same = |v: &&Variant| {
        Config::of_variant(v).size() == config.size() && (v.d_vocab..=v.d_vocab + 1).contains(&config.vocab_size)
    };
    VARIANTS.iter().find(same).map_or("custom", |v| v.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_are_the_published_ones() {
        let flags = |v: &Variant| 2 * v.d_model as u64;
        let counts: Vec<u64> = VARIANTS.iter().map(|v| v.n_parameters + flags(v)).collect();
        assert_eq!(counts, [70_996_993, 1_353_854_977, 2_704_460_801]);
        assert_eq!(name_of(&Config { vocab_size: VOCABULARY + 1, ..Config::of_variant(&VARIANTS[2]) }), "3b");
        assert_eq!(name_of(&Config { vocab_size: 5, ..Config::of_variant(&VARIANTS[2]) }), "custom");
    }
}
