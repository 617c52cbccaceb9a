//! The embedding of genes: identity, expression and prior knowledge, joined and mixed.

use std::collections::HashMap;

use microtome_core::{Error, Result};
use microtome_kernels::{Activation, LayerNorm, Linear};
use microtome_weights::{Checkpoint, Loader};
use rayon::prelude::*;

use super::config::Config;
use crate::Tokens;
use crate::nn::{sigmoid, stored};

/// Epsilon of the norm within the mixture: torch's default, which the published code does not change.
const MIX_EPS: f32 = 1e-5;
/// Genes whose joined vectors exist at one time.
const ROWS: usize = 512;

/// One kind of prior knowledge: a fixed matrix `[token, d_prior]` that stays in the file, and the map to the width of the model.
struct Prior {
    name: String,
    map: Linear,
}

pub(super) struct KnowledgeEmbedding {
    checkpoint: Checkpoint,
    pub(super) words: Vec<f32>,
    priors: Vec<Prior>,
    /// `P1` over `[word; priors]` with its bias; the column of the value is apart.
    joined: Linear,
    pub(super) value: Vec<f32>,
    pub(super) mix_norm: LayerNorm,
    /// Factor within the logistic of the activation: 1.702 makes it the quick GELU.
    pub(super) gate: f32,
    out: Linear,
    types: Vec<f32>,
    pub(super) positions: Vec<f32>,
    pub(super) norm: LayerNorm,
    /// Vector of the species token of human cells, where there is one.
    pub(super) species: Option<Vec<f32>>,
    vocab_size: usize,
}

impl KnowledgeEmbedding {
    /// Reads `bert.embeddings.*` and `bert.cls_embedding.weight`; `checkpoint` is the file of the loader, opened once more.
    pub(super) fn load(loader: &Loader<'_>, checkpoint: Checkpoint, config: &Config) -> Result<Self> {
        let (d, n, c) = (config.bert.d_model, config.bert.vocab_size, &config.bert);
        let e = "bert.embeddings";
        let words = loader.f32(&format!("{e}.word_embeddings.weight"), &[n, d])?;
        let priors: Vec<Prior> =
            config.priors.iter().map(|kind| prior(loader, kind, n, d)).collect::<Result<_>>()?;
        let m = format!("{e}.concat_embeddings");
        let n_in = (1 + priors.len()) * d + 1;
        let weight = loader.f32(&format!("{m}.cat_fc.weight"), &[d, n_in])?;
        let bias = loader.f32(&format!("{m}.cat_fc.bias"), &[d])?;
        // Columns: word, value, priors.
        let value = weight.chunks_exact(n_in).map(|row| row[d]).collect();
        let rest: Vec<f32> =
            weight.chunks_exact(n_in).flat_map(|row| row[..d].iter().chain(&row[d + 1..]).copied()).collect();
        let species = if config.use_cls {
            Some(loader.f32("bert.cls_embedding.weight", &[2, d])?[..d].to_vec())
        } else {
            None
        };
        loader.ignore(&format!("{e}.position_ids"), "a buffer that counts 0, 1, 2, ...");
        loader.ignore(&format!("{e}.homologous_index"), "rows of prior knowledge for mouse cells, which are refused");
        Ok(Self {
            checkpoint,
            words,
            joined: Linear::pack(&rest, d, n_in - 1, Some(&bias)),
            priors,
            value,
            mix_norm: stored::layer_norm(loader, &format!("{m}.cat_ln"), d, MIX_EPS)?,
            gate: 1.702,
            out: stored::linear(loader, &format!("{m}.cat_proj"), d, d)?,
            types: loader.f32(&format!("{e}.token_type_embeddings.weight"), &[config.type_vocab_size, d])?,
            positions: loader.f32(&format!("{e}.position_embeddings.weight"), &[c.max_positions, d])?,
            norm: stored::layer_norm(loader, &format!("{e}.LayerNorm"), d, c.layer_norm_eps)?,
            species,
            vocab_size: n,
        })
    }

    /// `[token, d]`. Where there is a species token, it is the first of every cell.
    pub(super) fn apply(&self, tokens: &Tokens) -> Result<Vec<f32>> {
        let d = self.norm.width();
        self.check(tokens)?;
        let (slots, known) = self.known(&tokens.ids)?;
        let first = usize::from(self.species.is_some());
        let mut hidden = vec![0.0; tokens.ids.len() * d];
        hidden.par_chunks_mut(d).enumerate().for_each(|(t, row)| {
            if let Some(&slot) = slots.get(&tokens.ids[t]) {
                let of_gene = &known[slot * d..(slot + 1) * d];
                let value = tokens.values[t];
                row.iter_mut().zip(of_gene).zip(&self.value).for_each(|((h, k), w)| *h = k + value * w);
            }
        });
        let rows = tokens.ids.len();
        let mut normed = vec![0.0; hidden.len()];
        self.mix_norm.apply(&hidden, rows, &mut normed);
        normed.par_iter_mut().for_each(|v| *v *= sigmoid(self.gate * *v));
        self.out.apply(&normed, rows, Activation::None, &mut hidden);
        for span in tokens.offsets.windows(2) {
            let genes = (span[0] + first).min(span[1])..span[1];
            for (place, row) in hidden[genes.start * d..genes.end * d].chunks_exact_mut(d).enumerate() {
                let position = &self.positions[place * d..(place + 1) * d];
                row.iter_mut().zip(&self.types).zip(position).for_each(|((h, t), p)| *h = *h + t + p);
            }
        }
        self.norm.apply(&hidden, rows, &mut normed);
        if let Some(species) = &self.species {
            for span in tokens.offsets.windows(2).filter(|s| s[0] < s[1]) {
                normed[span[0] * d..(span[0] + 1) * d].copy_from_slice(species);
            }
        }
        Ok(normed)
    }

    /// The species token is the first of every cell and nowhere else.
    fn check(&self, tokens: &Tokens) -> Result<()> {
        let Some(_) = &self.species else { return Ok(()) };
        for cell in 0..tokens.n_cells() {
            let (ids, _) = tokens.cell(cell);
            let at: Vec<usize> = (0..ids.len()).filter(|&i| ids[i] as usize == self.vocab_size).collect();
            if !ids.is_empty() && at != [0] {
                return Err(Error::mismatch("the species token must be the first token of a cell and occur once")
                    .expected(format!("token {} in front", self.vocab_size))
                    .found(format!("at {at:?} of {} tokens of cell {cell}", ids.len())));
            }
        }
        Ok(())
    }

    /// What a gene's vector before the norm has without the value: `P1 [word; priors] + b`, `[gene, d]` of the genes that occur, and
    /// where each lies.
    fn known(&self, ids: &[u32]) -> Result<(HashMap<u32, usize>, Vec<f32>)> {
        let d = self.norm.width();
        let mut genes: Vec<u32> = ids.iter().copied().filter(|&id| (id as usize) < self.vocab_size).collect();
        genes.sort_unstable();
        genes.dedup();
        let mut known = vec![0.0; genes.len() * d];
        let width = self.joined.n_in();
        for (genes, out) in genes.chunks(ROWS).zip(known.chunks_mut(ROWS * d)) {
            let rows: Vec<usize> = genes.iter().map(|&g| g as usize).collect();
            let mut joined = vec![0.0; rows.len() * width];
            for (row, &g) in joined.chunks_exact_mut(width).zip(&rows) {
                row[..d].copy_from_slice(&self.words[g * d..(g + 1) * d]);
            }
            for (k, prior) in self.priors.iter().enumerate() {
                let facts = self.checkpoint.read_rows_f32(&prior.name, &rows)?;
                let mut mapped = vec![0.0; rows.len() * d];
                prior.map.apply(&facts, rows.len(), Activation::None, &mut mapped);
                for (row, mapped) in joined.chunks_exact_mut(width).zip(mapped.chunks_exact(d)) {
                    row[(1 + k) * d..(2 + k) * d].copy_from_slice(mapped);
                }
            }
            self.joined.apply(&joined, rows.len(), Activation::None, out);
        }
        Ok((genes.into_iter().zip(0..).collect(), known))
    }
}

fn prior(loader: &Loader<'_>, kind: &str, n: usize, d: usize) -> Result<Prior> {
    let buffer = format!("bert.embeddings.{kind}_knowledge");
    let width = match loader.shape(&buffer) {
        Some(&[rows, width]) if rows == n && width > 0 => width,
        Some(other) => {
            return Err(Error::mismatch("prior knowledge is not a matrix with a row per token")
                .at_key(buffer)
                .expected(format!("[{n}, width]"))
                .found(format!("{other:?}")));
        }
        None => {
            return Err(Error::unsupported("the checkpoint does not hold its prior knowledge")
                .at_key(buffer)
                .expected("the matrix that the published code registers as a buffer and saves with the weights")
                .remedy("this version does not rebuild it from the prior_knowledge pickles: save the model with its buffers"));
        }
    };
    Ok(Prior {
        name: loader.table(&buffer, &[n, width])?,
        map: stored::linear(loader, &format!("bert.embeddings.{kind}_embeddings.linear1"), d, width)?,
    })
}
