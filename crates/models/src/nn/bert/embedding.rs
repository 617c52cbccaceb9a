//! The sum of tables under a norm that BERT starts with.

use microtome_core::Result;
use microtome_kernels::{LayerNorm, Lookup, gather_sum};
use microtome_weights::Loader;

use super::BertConfig;
use crate::Tokens;
use crate::nn::stored;

/// `LN(word[id] + others[..][0] + position[place])`, added in this order.
pub(crate) struct BertEmbedding {
    pub(crate) words: Vec<f32>,
    /// Tables of which every token takes the first row: token types, or what a family has in their place.
    pub(crate) others: Vec<Vec<f32>>,
    pub(crate) positions: Vec<f32>,
    pub(crate) norm: LayerNorm,
}

impl BertEmbedding {
    /// Reads `PREFIXembeddings.*`; `others` are names and numbers of rows.
    pub(crate) fn load(
        loader: &Loader<'_>,
        prefix: &str,
        config: &BertConfig,
        others: &[(&str, usize)],
    ) -> Result<Self> {
        let d = config.d_model;
        let table =
            |name: &str, rows: usize| loader.f32(&format!("{prefix}embeddings.{name}.weight"), &[rows, d]);
        let words = table("word_embeddings", config.vocab_size)?;
        let positions = table("position_embeddings", config.max_positions)?;
        let others = others.iter().map(|(name, rows)| table(name, *rows)).collect::<Result<_>>()?;
        let norm =
            stored::layer_norm(loader, &format!("{prefix}embeddings.LayerNorm"), d, config.layer_norm_eps)?;
        loader.ignore(&format!("{prefix}embeddings.position_ids"), "a buffer that counts 0, 1, 2, ...");
        Ok(Self { words, others, positions, norm })
    }

    /// `[token, d]`; places are counted within a cell.
    pub(crate) fn apply(&self, tokens: &Tokens) -> Vec<f32> {
        let (n, d) = (tokens.ids.len(), self.norm.width());
        let places: Vec<u32> = tokens.offsets.windows(2).flat_map(|w| 0..(w[1] - w[0]) as u32).collect();
        let zeros = vec![0u32; n];
        let mut lookups = vec![Lookup { table: &self.words, ids: &tokens.ids }];
        lookups.extend(self.others.iter().map(|table| Lookup { table, ids: &zeros }));
        lookups.push(Lookup { table: &self.positions, ids: &places });
        let mut sum = vec![0.0; n * d];
        gather_sum(&lookups, d, &mut sum);
        let mut out = vec![0.0; n * d];
        self.norm.apply(&sum, n, &mut out);
        out
    }
}
