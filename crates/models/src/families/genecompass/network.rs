//! The network: a BERT over mixed gene vectors behind a species token, and heads for genes and values.

use std::ops::Range;
use std::path::Path;

use microtome_core::{Result, Site};
use microtome_kernels::{Activation, LayerNorm, Linear, Mask, PostLnBlock};
use microtome_weights::{Audit, Checkpoint, Loader};

use super::config::Config;
use super::embedding::KnowledgeEmbedding;
use crate::nn::bert::{self, BertConfig};
use crate::nn::{MaskedHead, Wanted, offer_cells, run_post_ln_stack, stored};
use crate::{CellRule, SiteData, Tap, Tokens};

pub(super) const GENE_MEAN: &str = "cell_embedding.gene_mean";
pub(super) const MLM_TRANSFORM: &str = "readout.mlm_transform";
pub(super) const MLM_LOGITS: &str = "readout.mlm_logits";
pub(super) const VALUE: &str = "readout.value";

const WORDS: &str = "bert.embeddings.word_embeddings.weight";

pub(super) struct Network {
    pub(super) embedding: KnowledgeEmbedding,
    pub(super) blocks: Vec<PostLnBlock>,
    pub(super) genes: Option<MaskedHead>,
    pub(super) values: Option<ValueHead>,
    /// Published pooling.
    pub(super) rule: CellRule,
    pub(super) n_parameters: u64,
}

/// `decoder(norm(act(dense(x)))) + bias`, one number per token.
pub(super) struct ValueHead {
    dense: Linear,
    pub(super) activation: Activation,
    norm: LayerNorm,
    decoder: Linear,
}

impl ValueHead {
    fn load(loader: &Loader<'_>, name: &str, c: &BertConfig) -> Result<Self> {
        let d = c.d_model;
        loader.tied(&format!("{name}.decoder.bias"), &format!("{name}.bias"))?;
        let weight = loader.f32(&format!("{name}.decoder.weight"), &[1, d])?;
        let bias = loader.f32(&format!("{name}.bias"), &[1])?;
        Ok(Self {
            dense: stored::linear(loader, &format!("{name}.transform.dense"), d, d)?,
            activation: c.activation,
            norm: stored::layer_norm(loader, &format!("{name}.transform.LayerNorm"), d, c.layer_norm_eps)?,
            decoder: Linear::pack(&weight, 1, d, Some(&bias)),
        })
    }

    fn apply(&self, x: &[f32], rows: usize) -> Vec<f32> {
        let mut hidden = vec![0.0; rows * self.dense.n_out()];
        self.dense.apply(x, rows, self.activation, &mut hidden);
        let mut normed = vec![0.0; hidden.len()];
        self.norm.apply(&hidden, rows, &mut normed);
        let mut out = vec![0.0; rows];
        self.decoder.apply(&normed, rows, Activation::None, &mut out);
        out
    }
}

impl Network {
    pub(super) fn load(weights: &Path, config: &Config) -> Result<(Self, Audit)> {
        let checkpoint = Checkpoint::open(weights)?;
        let loader = Loader::new(&checkpoint);
        let embedding = KnowledgeEmbedding::load(&loader, Checkpoint::open(weights)?, config)?;
        let blocks = bert::blocks(&loader, "bert.", &config.bert)?;
        let has = |prefix: &str| loader.names().iter().any(|n| n.starts_with(prefix));
        let genes = has("cls.predictions.")
            .then(|| bert::masked_head(&loader, "cls.predictions", WORDS, &config.bert))
            .transpose()?;
        let values = has("cls4value.predictions.")
            .then(|| ValueHead::load(&loader, "cls4value.predictions", &config.bert))
            .transpose()?;
        loader.ignore("bert.pooler.*", "pooler of a fine-tuned classifier; the published cell vector does not use it");
        loader.ignore("classifier.*", "head of a fine-tuned classifier; the network below it is what is run");
        let audit = loader.finish(true)?;
        let n_parameters =
            audit.used.iter().map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum();
        let rule = if config.use_cls { CellRule::Token(0) } else { CellRule::Mean };
        Ok((Self { embedding, blocks, genes, values, rule, n_parameters }, audit))
    }

    /// Range of the genes within the `n` tokens of a cell.
    pub(super) fn gene_tokens(&self, n: usize) -> Range<usize> {
        usize::from(self.embedding.species.is_some()).min(n)..n
    }

    /// Sites of cell vectors with the rule of each.
    pub(super) fn cells(&self) -> Vec<(Site, CellRule)> {
        let mean = (Site::Extra(GENE_MEAN.into()), CellRule::Mean);
        let species = self.embedding.species.is_some();
        std::iter::once((Site::CellEmbedding, self.rule)).chain(species.then_some(mean)).collect()
    }

    /// The forward pass up to the last wanted site.
    pub(super) fn run(&self, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let d = self.embedding.norm.width();
        let mut x = self.embedding.apply(tokens)?;
        if wanted.has(&Site::Embed) {
            tap.offer(&Site::Embed, tokens, SiteData::Tokens { data: &x, width: d })?;
        }
        let readouts = [MLM_TRANSFORM, MLM_LOGITS, VALUE].map(|n| Site::Extra(n.into()));
        let cells = self.cells();
        let beyond = cells.iter().map(|(s, _)| s).chain(&readouts).any(|s| wanted.has(s));
        if !run_post_ln_stack(&self.blocks, &mut x, tokens, Mask::FULL, wanted, beyond, tap)? {
            return Ok(());
        }
        for (site, rule) in cells {
            if wanted.has(&site) {
                offer_cells(tap, &site, tokens, &x, d, rule, |n| self.gene_tokens(n))?;
            }
        }
        self.read_out(tokens, &x, wanted, tap)
    }

    fn read_out(&self, tokens: &Tokens, x: &[f32], wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let [transform, logits, value] = [MLM_TRANSFORM, MLM_LOGITS, VALUE].map(|n| Site::Extra(n.into()));
        let (rows, d) = (tokens.ids.len(), self.embedding.norm.width());
        if let (true, Some(head)) = (wanted.has(&transform) || wanted.has(&logits), &self.genes) {
            let transformed = head.transform(x, rows);
            if wanted.has(&transform) {
                tap.offer(&transform, tokens, SiteData::Tokens { data: &transformed, width: d })?;
            }
            if wanted.has(&logits) {
                let data = head.logits(&transformed, rows, &self.embedding.words);
                tap.offer(&logits, tokens, SiteData::Tokens { data: &data, width: head.bias.len() })?;
            }
        }
        if let (true, Some(head)) = (wanted.has(&value), &self.values) {
            let data = head.apply(x, rows);
            tap.offer(&value, tokens, SiteData::Tokens { data: &data, width: 1 })?;
        }
        Ok(())
    }
}
