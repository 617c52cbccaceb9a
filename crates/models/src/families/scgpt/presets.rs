//! Published sizes.

use super::config::Config;
use crate::Variant;

/// Tokens of the whole-human model, special ones included.
const HUMAN: usize = 60_697;
/// Tokens of the blood model.
const BLOOD: usize = 36_574;

const fn variant(id: &'static str, name: &'static str, d_vocab: usize) -> Variant {
    let (n_blocks, d, f) = (12, 512, 512);
    let n_parameters = parameters(n_blocks, d, f, d_vocab);
    Variant { id, name, n_blocks, d_model: d, n_heads: 8, d_mlp: f, max_tokens: 1200, d_vocab, n_parameters }
}

/// Parameters of a pre-trained file with the expression, cell-query and one-class readouts, without the flag encoder.
const fn parameters(n_blocks: usize, d: usize, f: usize, vocabulary: usize) -> u64 {
    let square = d * d + d;
    let encoders = vocabulary * d + 2 * d + 2 * d + square + 2 * d;
    let block = 4 * square + (f * d + f) + (d * f + d) + 4 * d;
    let decoder = 2 * square + d + 1;
    let query = square + d * d;
    let classes = 2 * (square + 2 * d) + d + 1;
    (encoders + n_blocks * block + decoder + query + classes) as u64
}

/// Published models. They share one network and differ in vocabulary and weights; the vocabulary sizes of the organ models other than
/// blood are those of their own `vocab.json` and are not known here, so they are covered by `init_twin` and open like any other.
pub(super) const VARIANTS: &[Variant] = &[
    variant("human", "scGPT whole-human", HUMAN),
    variant("cp", "scGPT_CP (continually pre-trained whole-human)", HUMAN),
    variant("blood", "scGPT_bc (blood)", BLOOD),
];

/// Preset id of a configuration, `custom` when it has no published size. The two whole-human models share their dimensions; the plain
/// one is named.
pub(super) fn name_of(config: &Config, d_vocab: usize) -> &'static str {
    let same = |v: &&Variant| Config::of_variant(v).size() == config.size() && v.d_vocab == d_vocab;
    VARIANTS.iter().find(same).map_or("custom", |v| v.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_human_model_has_its_published_size() {
        // 51,857,922 in the 208 MB file, of which the flag encoder holds 2 x 512.
        assert_eq!(VARIANTS[0].n_parameters, 51_857_922 - 1024);
        assert_eq!(name_of(&Config::of_variant(&VARIANTS[2]), BLOOD), "blood");
        assert_eq!(name_of(&Config::of_variant(&VARIANTS[2]), 7), "custom");
    }
}
