//! Published sizes.

use microtome_core::{Error, Result};

use crate::Variant;

use super::config::Config;
use crate::tokenize::rank_files::PublishedIn;
use crate::tokenize::rank_vocabulary::RankVocabulary;

/// V1 models rank over the dictionary of 2021 without special tokens; V2 models over the one of 2024 with
/// `<cls>` in front and `<eos>` behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Genecorpus-30M dictionaries, no special tokens, cell vector by mean.
    V1,
    /// Genecorpus-95M/104M dictionaries, `<cls>` and `<eos>`, cell vector by `<cls>`.
    V2,
}

/// Where the dictionaries are published.
pub(super) const PUBLISHED: PublishedIn = PublishedIn {
    folders: &["geneformer"],
    added: 0,
    expected: "token_dictionary_gc104M.pkl (V2), token_dictionary_gc30M.pkl (V1), or either under a plain or gc95M name",
    remedy: "copy the dictionaries from geneformer/ (V1: geneformer/gene_dictionaries_30m/) of the model's repository, Hugging \
             Face ctheodoris/Geneformer, into the folder",
    belongs: "V1 models (2,048 tokens, 25,426 entries) go with the gc30M dictionaries, V2 models (4,096 tokens, 20,275 \
              entries) with the gc95M or gc104M ones",
};

impl Generation {
    /// By the special tokens.
    pub(super) fn of(vocabulary: &RankVocabulary) -> Result<Self> {
        match (vocabulary.cls, vocabulary.eos) {
            (Some(_), Some(_)) => Ok(Self::V2),
            (None, None) => Ok(Self::V1),
            _ => Err(Error::unreadable("the token dictionary has only one of <cls> and <eos>")
                .expected("both (V2) or neither (V1)")),
        }
    }

    /// `V1` or `V2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "V1",
            Self::V2 => "V2",
        }
    }
}

const V1_VOCABULARY: usize = 25_426;
const V2_VOCABULARY: usize = 20_275;

pub(super) fn is_published_vocabulary(n: usize) -> bool {
    n == V1_VOCABULARY || n == V2_VOCABULARY
}

/// Published generation of a vocabulary size.
pub(super) fn generation_of_size(n: usize) -> Option<Generation> {
    match n {
        V1_VOCABULARY => Some(Generation::V1),
        V2_VOCABULARY => Some(Generation::V2),
        _ => None,
    }
}

const fn variant(
    id: &'static str,
    name: &'static str,
    [n_blocks, d_model, n_heads, d_mlp, max_tokens, d_vocab]: [usize; 6],
) -> Variant {
    let n_parameters = parameters(n_blocks, d_model, d_mlp, max_tokens, d_vocab);
    Variant { id, name, n_blocks, d_model, n_heads, d_mlp, max_tokens, d_vocab, n_parameters }
}

/// Parameters of `BertForMaskedLM` with a tied decoder and without a pooler.
const fn parameters(n_blocks: usize, d: usize, f: usize, max_tokens: usize, vocabulary: usize) -> u64 {
    let embeddings = (vocabulary + max_tokens + 2) * d + 2 * d;
    let block = 4 * (d * d + d) + 2 * d + (f * d + f) + (d * f + d) + 2 * d;
    let head = d * d + d + 2 * d + vocabulary;
    (embeddings + n_blocks * block + head) as u64
}

/// All published sizes. Sources: the `config.json` files of the reference; feed-forward width of `20l-95m` inferred from
/// its 151.3 M parameters, its number of heads unverified (presumed 14, width 64 as everywhere else).
pub(super) const VARIANTS: &[Variant] = &[
    variant("v1-10m", "Geneformer-V1-10M (gf-6L-30M-i2048)", [6, 256, 4, 512, 2048, V1_VOCABULARY]),
    variant("v1-12l", "Geneformer 12L 30M (gf-12L-30M-i2048)", [12, 512, 8, 1024, 2048, V1_VOCABULARY]),
    variant("v2-104m", "Geneformer-V2-104M", [12, 768, 12, 3072, 4096, V2_VOCABULARY]),
    variant("v2-104m-clcancer", "Geneformer-V2-104M_CLcancer", [12, 768, 12, 3072, 4096, V2_VOCABULARY]),
    variant("v2-316m", "Geneformer-V2-316M", [18, 1152, 18, 4608, 4096, V2_VOCABULARY]),
    variant("12l-95m", "gf-12L-95M-i4096", [12, 512, 8, 1024, 4096, V2_VOCABULARY]),
    variant(
        "20l-95m",
        "gf-20L-95M-i4096 (head count unverified)",
        [20, 896, 14, 1792, 4096, V2_VOCABULARY],
    ),
];

/// Preset id of a configuration, `custom` when it has no published size. The two published 104M models share their
/// dimensions; the plain one is named.
pub(super) fn name_of(config: &Config) -> &'static str {
    VARIANTS.iter().find(|v| Config::of_variant(v).same_size(config)).map_or("custom", |v| v.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_are_the_published_ones() {
        let count = |id: &str| VARIANTS.iter().find(|v| v.id == id).unwrap().n_parameters;
        assert_eq!(count("v1-10m"), 10_288_722);
        assert_eq!(count("v1-12l"), 39_591_250);
        assert_eq!(count("v2-104m"), 104_386_867);
        assert_eq!(count("v2-104m-clcancer"), 104_386_867);
        assert_eq!(count("v2-316m"), 316_354_867);
        assert_eq!((count("12l-95m") as f64 / 1e5).round() / 10.0, 38.0);
        assert_eq!((count("20l-95m") as f64 / 1e5).round() / 10.0, 151.3);
    }

    #[test]
    fn heads_are_64_wide() {
        assert!(VARIANTS.iter().all(|v| v.d_model == 64 * v.n_heads));
    }
}
