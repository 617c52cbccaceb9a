//! The network: a BERT whose embedding has three one-row tables in place of token types, and two heads.

use std::sync::OnceLock;

use microtome_core::{Result, Site};
use microtome_kernels::{Activation, Linear, Mask, PostLnBlock};
use microtome_weights::{Audit, Checkpoint, Loader};

use super::config::Config;
use super::head::Head;
use crate::nn::bert::{self, BertEmbedding};
use crate::nn::{Wanted, normalised_rows, offer_cells, pool_cells, run_post_ln_stack};
use crate::{CellRule, SiteData, Tap, Tokens};

pub(super) const CELL_CLS: &str = "cell_embedding.cell_cls";
pub(super) const MLM_TRANSFORM: &str = "readout.mlm_transform";
pub(super) const MLM_LOGITS: &str = "readout.mlm_logits";

/// Tables of which there is one row; "legacy" in the published code.
pub(super) const TABLES: [&str; 3] = ["tf_class_embeddings", "tf_superclass_embeddings", "expbin_embeddings"];

pub(super) struct Network {
    pub(super) embedding: BertEmbedding,
    pub(super) blocks: Vec<PostLnBlock>,
    pub(super) cell_head: Option<Head>,
    pub(super) gene_head: Option<Head>,
    pub(super) tau: f32,
    /// Published pooling.
    pub(super) rule: CellRule,
    /// The word table through the gene head, rows of unit length; made on first use, since most runs never read out.
    truth: OnceLock<Linear>,
    pub(super) n_parameters: u64,
}

impl Network {
    pub(super) fn load(checkpoint: &Checkpoint, config: &Config) -> Result<(Self, Audit)> {
        let loader = Loader::new(checkpoint);
        let bert = &config.bert;
        let embedding = BertEmbedding::load(&loader, "bert.", bert, &TABLES.map(|t| (t, 1)))?;
        let blocks = bert::blocks(&loader, "bert.", bert)?;
        let head = |name: &str| {
            let there = loader.names().iter().any(|n| n.starts_with(&format!("{name}.")));
            there.then(|| Head::load(&loader, name, bert)).transpose()
        };
        let (cell_head, gene_head) = (head("cell_cls")?, head("cls")?);
        loader.ignore("bert.pooler.*", "the published pooler returns <cls> as it is and does not use its weights");
        loader.ignore("classifier.*", "head of a fine-tuned classifier; the network below it is what is run");
        loader.ignore("learned_centroid.weight", "prototypes of cell types, used by the training loss only");
        loader.ignore("affine_projection.*", "used by the training loss only");
        loader.ignore("binary_ce_loss_transform_*", "used by no published code");
        loader.ignore("cell_type_ancestor_mask", "relations of the Cell Ontology, used by the training loss only");
        loader.ignore("ctgraph_sim", "relations of the Cell Ontology, used by the training loss only");
        let audit = loader.finish(true)?;
        let n_parameters =
            audit.used.iter().map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum();
        let (tau, rule, truth) = (config.tau, CellRule::Token(0), OnceLock::new());
        Ok((Self { embedding, blocks, cell_head, gene_head, tau, rule, truth, n_parameters }, audit))
    }

    /// Sites of cell vectors.
    pub(super) fn cell_sites(&self) -> Vec<Site> {
        let contrasted = self.cell_head.as_ref().map(|_| Site::Extra(CELL_CLS.into()));
        std::iter::once(Site::CellEmbedding).chain(contrasted).collect()
    }

    /// The forward pass up to the last wanted site.
    pub(super) fn run(&self, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let d = self.embedding.norm.width();
        let mut x = self.embedding.apply(tokens);
        if wanted.has(&Site::Embed) {
            tap.offer(&Site::Embed, tokens, SiteData::Tokens { data: &x, width: d })?;
        }
        let readouts = [MLM_TRANSFORM, MLM_LOGITS].map(|n| Site::Extra(n.into()));
        let beyond = self.cell_sites().iter().chain(&readouts).any(|s| wanted.has(s));
        if !run_post_ln_stack(&self.blocks, &mut x, tokens, Mask::FULL, wanted, beyond, tap)? {
            return Ok(());
        }
        let genes = |n: usize| 1.min(n)..n;
        if wanted.has(&Site::CellEmbedding) {
            offer_cells(tap, &Site::CellEmbedding, tokens, &x, d, self.rule, genes)?;
        }
        let contrasted = Site::Extra(CELL_CLS.into());
        if let (true, Some(head)) = (wanted.has(&contrasted), &self.cell_head) {
            let cells = pool_cells(tokens, &x, d, self.rule, genes);
            let data = normalised_rows(&head.apply(&cells, tokens.n_cells()), d);
            tap.offer(&contrasted, tokens, SiteData::Cells { data: &data, width: d })?;
        }
        self.read_out(tokens, &x, wanted, tap)
    }

    /// Cosines of every position with every gene, both through the gene head, divided by the temperature.
    fn read_out(&self, tokens: &Tokens, x: &[f32], wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let [transform, logits] = [MLM_TRANSFORM, MLM_LOGITS].map(|n| Site::Extra(n.into()));
        let Some(head) = &self.gene_head else { return Ok(()) };
        if !wanted.has(&transform) && !wanted.has(&logits) {
            return Ok(());
        }
        let (rows, d) = (tokens.ids.len(), self.embedding.norm.width());
        let transformed = head.apply(x, rows);
        if wanted.has(&transform) {
            tap.offer(&transform, tokens, SiteData::Tokens { data: &transformed, width: d })?;
        }
        if wanted.has(&logits) {
            let truth = self.truth.get_or_init(|| {
                let words = &self.embedding.words;
                let n = words.len() / d;
                Linear::pack(&normalised_rows(&head.apply(words, n), d), n, d, None)
            });
            let mut data = vec![0.0; rows * truth.n_out()];
            truth.apply(&normalised_rows(&transformed, d), rows, Activation::None, &mut data);
            data.iter_mut().for_each(|v| *v /= self.tau);
            tap.offer(&logits, tokens, SiteData::Tokens { data: &data, width: truth.n_out() })?;
        }
        Ok(())
    }
}
