//! An opened Tahoe-x1.

use std::ops::Range;
use std::path::{Path, PathBuf};

use microtome_core::{Axis, BlockSite, Counts, Error, GeneTable, Result, Site};
use microtome_weights::{Audit, Checkpoint};
use serde_json::json;

use super::config::{COLLATOR_CONFIG, Collator, Config, MODEL_CONFIG, folder_of};
use super::network::{Network, activation_name};
use super::tokens::{RECIPES, Tokenizer};
use super::vocabulary::{Drugs, Vocabulary};
use super::{card, genes, kit, presets};
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions};
use crate::nn::{Wanted, PreLnBlock};
use crate::parity::{KitCase, KitPlan};
use crate::{AttentionWeights, BlockLayout, CellRule, Family, GeneMatch, Tap, Tokens};

/// Sites of this family alone.
pub(super) mod names {
    pub(in super::super) const EMBED_GENE: &str = "embed.gene";
    pub(in super::super) const EMBED_VALUE: &str = "embed.value";
    pub(in super::super) const EMBED_CHEM: &str = "embed.chem";
    pub(in super::super) const CELL_RAW: &str = "cell_embedding.raw";
    pub(in super::super) const EXPRESSION: &str = "readout.expr_preds";
    pub(in super::super) const CELL_QUERY: &str = "readout.mvc_output";
}

pub(super) fn extra(name: &str) -> Site {
    Site::Extra(name.into())
}

/// Weight files in the order in which they are preferred.
const WEIGHTS: [&str; 3] = ["model.safetensors", "model.safetensors.index.json", "best-model.pt"];

pub(super) struct TahoeX1 {
    pub(super) collator: Collator,
    pub(super) vocabulary: Vocabulary,
    pub(super) network: Network,
    drugs: Option<Drugs>,
    info: ModelInfo,
    audit: Audit,
}

impl TahoeX1 {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::with_config(path, &Config::read(&folder_of(path).join(MODEL_CONFIG))?)
    }

    /// Opens with a configuration that may differ from the file's; [`TahoeX1::open`] is the way in.
    pub(super) fn with_config(path: &Path, config: &Config) -> Result<Self> {
        let folder = folder_of(path);
        let collator = Collator::read(&folder.join(COLLATOR_CONFIG))?;
        let vocabulary_path = folder.join("vocab.json");
        let vocabulary = Vocabulary::read(&vocabulary_path, config.vocab_size)?;
        let weights = weights_file(path, &folder)?;
        let checkpoint = Checkpoint::open(&weights)?;
        let (network, audit) = Network::load(&checkpoint, config).map_err(|e| e.in_file(&weights))?;
        let table = collator.drug_file.as_ref().map(|n| folder.join(n)).filter(|p| p.is_file());
        let drugs = match (&network.drugs, table) {
            (Some(encoder), Some(path)) => Some(Drugs::read(&path, encoder.n)?),
            _ => None,
        };
        let mut files = vec![
            ("weights".into(), weights),
            ("config".into(), folder.join(MODEL_CONFIG)),
            ("collator config".into(), folder.join(COLLATOR_CONFIG)),
            ("vocabulary".into(), vocabulary_path),
        ];
        files.extend(drugs.as_ref().map(|d| ("drugs".into(), d.path.clone())));
        let info = info(config, &collator, &network, drugs.is_some(), files);
        Ok(Self { collator, vocabulary, network, drugs, info, audit })
    }

    /// Sites that need the output of the last block.
    pub(super) fn sites_beyond(&self) -> Vec<Site> {
        let mut out = vec![Site::FinalNorm, extra(names::CELL_RAW), Site::CellEmbedding, extra(names::EXPRESSION)];
        out.extend(self.network.cell_query.as_ref().map(|_| extra(names::CELL_QUERY)));
        out
    }

    pub(super) fn tokenizer<'o>(&'o self, options: &'o TokenizeOptions) -> Result<Tokenizer<'o>> {
        Tokenizer::new(&self.vocabulary, self.drugs.as_ref(), &self.collator, options)
    }

    fn check_tokens(&self, tokens: &Tokens) -> Result<()> {
        if let Some(&id) = tokens.ids.iter().find(|&&id| id as usize >= self.info.d_vocab) {
            return Err(Error::mismatch("a token is not in the model's vocabulary")
                .expected(format!("below {}", self.info.d_vocab))
                .found(id.to_string()));
        }
        if let Some(cell) = (0..tokens.n_cells()).find(|&c| tokens.len_of(c) == 0) {
            return Err(Error::mismatch("a cell has no token, not even <cls>").found(format!("cell {cell} of the minibatch")));
        }
        Ok(())
    }
}

impl Model for TahoeX1 {
    fn family(&self) -> &'static Family {
        &card::FAMILY
    }

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn audit(&self) -> &Audit {
        &self.audit
    }

    fn sites(&self) -> Vec<SiteInfo> {
        const STREAM: &[Axis] = &[Axis::Cell, Axis::Token, Axis::DModel];
        let mut out = vec![];
        let mut push = |site: Site, axes: &[Axis]| out.push(SiteInfo { site, axes: axes.to_vec() });
        push(extra(names::EMBED_GENE), STREAM);
        push(extra(names::EMBED_VALUE), STREAM);
        if self.network.drugs.is_some() {
            push(extra(names::EMBED_CHEM), &[Axis::Cell, Axis::DModel]);
        }
        push(Site::Embed, STREAM);
        for block in 0..self.info.n_blocks {
            for place in BlockSite::ALL {
                push(Site::Block(block, place), place.axes());
            }
        }
        for site in self.sites_beyond() {
            let axes: &[Axis] = match &site {
                Site::FinalNorm => STREAM,
                Site::Extra(name) if name.starts_with("readout.") => &[Axis::Cell, Axis::Token],
                _ => &[Axis::Cell, Axis::DModel],
            };
            push(site, axes);
        }
        out
    }

    /// The published vector is this one divided by its length (site `cell_embedding`).
    fn cell_rule(&self) -> (CellRule, Site) {
        (CellRule::Token(0), Site::FinalNorm)
    }

    /// With a drug, the token of the drug is the first of these.
    fn gene_tokens(&self, n: usize) -> Range<usize> {
        1.min(n)..n
    }

    fn token_name(&self, token: u32) -> Option<&str> {
        self.vocabulary.name(token)
    }

    fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch> {
        genes::match_genes(&self.vocabulary, genes)
    }

    fn tokenize(
        &self,
        counts: &Counts,
        _totals: Option<CellTotals<'_>>,
        genes: &GeneMatch,
        options: &TokenizeOptions,
    ) -> Result<Tokens> {
        let tokenizer = self.tokenizer(options)?;
        tokenizer.tokens(&tokenizer.cells(counts, genes)?)
    }

    fn kit_plan(&self, case: &KitCase<'_>) -> Result<KitPlan> {
        kit::plan(self, case)
    }

    fn attention_weights(&self, block: usize) -> Option<AttentionWeights> {
        self.network.blocks.get(block).and_then(PreLnBlock::weights)
    }

    fn block_layout(&self, block: usize) -> Option<BlockLayout> {
        self.network.block_layout(block)
    }

    fn forward(&self, tokens: &Tokens, tap: &mut dyn Tap) -> Result<()> {
        let wanted = Wanted::ask(tap, self.sites().into_iter().map(|s| s.site));
        if wanted.is_empty() || tokens.n_cells() == 0 {
            return Ok(());
        }
        self.check_tokens(tokens)?;
        self.run(tokens, &wanted, tap)
    }
}

/// The weights of a checkpoint.
pub(super) fn weights_file(path: &Path, folder: &Path) -> Result<PathBuf> {
    if path.is_file() && path.extension().is_some_and(|e| e != "json" && e != "yml") {
        return Ok(path.to_path_buf());
    }
    WEIGHTS.iter().map(|name| folder.join(name)).find(|p| p.is_file()).ok_or_else(|| {
        Error::unreadable("the model's weights are missing")
            .in_file(folder)
            .expected(WEIGHTS.join(", "))
            .remedy("copy model.safetensors from the model's folder of Hugging Face tahoebio/Tahoe-x1")
    })
}

fn info(
    c: &Config,
    collator: &Collator,
    network: &Network,
    drugs: bool,
    files: Vec<(String, PathBuf)>,
) -> ModelInfo {
    let stated = if collator.keep_first_stated { "stated" } else { "not stated: the published default" };
    let first_raw = "every gene is binned; as published, without a drug the first expressed gene keeps its raw count and stays";
    let choices = json!({
        "cell_embedding": "<cls> of final_norm divided by its length; cell_embedding.raw before the division",
        "gene_embedding": "final_norm at the gene, averaged over cells",
        "cls_value": collator.pad_value,
        "n_bins": collator.n_bins,
        "right_binning": collator.right_binning,
        "recipes": RECIPES.map(|(n, _)| n),
        "quantile_ranks": "float64 (torch since June 2026); recipe float32-ranks for earlier torch",
        "keep_first_n_tokens": format!("{} ({stated})", collator.keep_first),
        "first_gene": if collator.keep_first > 1 { first_raw } else { "every gene is binned" },
        "long_cells": "a fixed choice of genes for all cells; as published: a random choice per cell",
        "drugs": match (&network.drugs, drugs) {
            (None, _) => "none",
            (Some(_), true) => "taken when given: <drug> behind <cls>, its vector replaced by the drug's",
            (Some(_), false) => "an encoder without the file that numbers the drugs: not usable",
        },
        "norm_eps": format!("{} in blocks and final norm, 0.00001 in the encoders", c.norm_eps),
        "activation": activation_name(c.activation),
        "attention": "full multi-head attention without mask (kv_nheads, attn_impl and use_attn_mask have no effect in the published code)",
        "precision": "f32; the authors run bf16 on a GPU",
    });
    ModelInfo {
        family: card::FAMILY.id,
        variant: presets::name_of(c).to_string(),
        n_blocks: c.n_blocks,
        d_model: c.d_model,
        n_heads: c.n_heads,
        d_mlp: c.d_mlp,
        max_tokens: collator.max_tokens,
        d_vocab: c.vocab_size,
        n_parameters: network.n_parameters,
        files,
        choices: choices.as_object().cloned().unwrap_or_default(),
    }
}
