//! Published sizes.

use super::config::Config;
use crate::Variant;

const D: usize = 2048;
/// Columns of the protein vectors (ESM-2 3B).
const PROTEIN: usize = 2560;
/// Entries of the assay vocabulary.
const ASSAYS: usize = 40;

const fn variant(id: &'static str, name: &'static str, d_vocab: usize, d_gene_head: usize) -> Variant {
    let n_parameters = parameters(d_vocab, d_gene_head);
    Variant {
        id,
        name,
        n_blocks: 12,
        d_model: D,
        n_heads: 16,
        d_mlp: D,
        max_tokens: 2048,
        d_vocab,
        n_parameters,
    }
}

/// Parameters with the frozen table of protein vectors.
const fn parameters(v: usize, h: usize) -> u64 {
    const fn layer(n_in: usize, n_out: usize) -> usize {
        n_in * n_out + n_out
    }
    let genes = v * PROTEIN + layer(PROTEIN, D) + 2 * D + layer(D, D);
    let block = 6 * D * D + 4 * D;
    let counts = v + layer(2 * D, D / 2) + D + layer(D / 2, 1);
    let head = layer(D, h) + 2 * h + layer(h, v);
    (genes + ASSAYS * D + 12 * block + counts + head) as u64
}

/// Width of the gene head of a preset: stated for Sapiens, the one that gives the published parameter count for Metazoa.
pub(super) fn d_gene_head(id: &str) -> usize {
    if id == "metazoa" { 512 } else { 2048 }
}

/// Published models.
pub(super) const VARIANTS: &[Variant] = &[
    variant("sapiens", "tf_sapiens", 23_829, 2048),
    variant("exemplar", "tf_exemplar", 110_290, 2048),
    variant("metazoa", "tf_metazoa", 247_388, 512),
];

/// Preset id of a configuration, `custom` when it has no published size.
pub(super) fn name_of(c: &Config, d_vocab: usize) -> &'static str {
    let same = |v: &&Variant| {
        (v.n_blocks, v.d_model, v.n_heads, v.d_mlp, v.max_tokens, v.d_vocab)
            == (c.n_blocks, c.d_model, c.n_heads, c.d_mlp, c.seq_len + 1, d_vocab)
    };
    VARIANTS.iter().find(same).map_or("custom", |v| v.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trained_parts_have_their_published_sizes() {
        // 368 and 444 million are stated besides the frozen tables.
        let trained = |v: &Variant| (v.n_parameters - (v.d_vocab * PROTEIN) as u64) as f64 / 1e6;
        assert!((trained(&VARIANTS[0]) - 368.8).abs() < 0.3, "{}", trained(&VARIANTS[0]));
        assert!((trained(&VARIANTS[2]) - 444.0).abs() < 0.5, "{}", trained(&VARIANTS[2]));
    }
}
