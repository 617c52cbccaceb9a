//! An opened scGPT.

use std::ops::Range;
use std::path::{Path, PathBuf};

use microtome_core::{Axis, BlockSite, Counts, Error, GeneTable, Matrix, Result, Site};
use microtome_weights::{Audit, Checkpoint};
use serde_json::json;

use super::batch_norm::BatchNorm;
use super::config::{Config, folder_of};
use super::genes::{self, NameTable};
use super::network::Network;
use super::tokens::{N_BINS, Recipe, Tokenizer};
use super::vocabulary::Vocabulary;
use super::{card, kit, presets};
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions};
use crate::nn::{Wanted, post_ln_weights};
use crate::parity::{KitCase, KitPlan};
use crate::{AttentionWeights, CellRule, Family, GeneMatch, Tap, Tokens};
use crate::BlockLayout;

/// Sites of this family alone.
pub(super) mod names {
    pub(in super::super) const EMBED_GENE: &str = "embed.gene";
    pub(in super::super) const EMBED_VALUE: &str = "embed.value";
    pub(in super::super) const GRN_SCORES: &str = "grn.scores";
    pub(in super::super) const GRN_RANKS: &str = "grn.rank_mean";
    pub(in super::super) const CELL_RAW: &str = "cell_embedding_raw";
    pub(in super::super) const MLM: &str = "readout.mlm";
    pub(in super::super) const MLM_ZERO: &str = "readout.mlm_zero_probs";
    pub(in super::super) const MVC: &str = "readout.mvc";
    pub(in super::super) const MVC_ZERO: &str = "readout.mvc_zero_probs";
    pub(in super::super) const CLS: &str = "readout.cls";
    pub(in super::super) const DAB: &str = "readout.dab";
}

pub(super) fn extra(name: &str) -> Site {
    Site::Extra(name.into())
}

/// Weight files in the order in which they are preferred.
const WEIGHTS: [&str; 3] = ["best_model.pt", "model.safetensors", "pytorch_model.bin"];

pub(super) struct ScGpt {
    pub(super) config: Config,
    pub(super) vocabulary: Vocabulary,
    pub(super) network: Network,
    gene_names: Option<NameTable>,
    info: ModelInfo,
    audit: Audit,
}

impl ScGpt {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let folder = folder_of(path);
        let config_path = folder.join("args.json");
        let config = Config::read(&config_path)?;
        let vocabulary_path = folder.join("vocab.json");
        let vocabulary = Vocabulary::read(&vocabulary_path)?;
        let gene_names = NameTable::find(&folder)?;
        let weights = weights_file(path, &folder)?;
        let checkpoint = Checkpoint::open(&weights)?;
        let (network, audit) =
            Network::load(&checkpoint, &config, vocabulary.len()).map_err(|e| e.in_file(&weights))?;
        let mut files = vec![
            ("weights".into(), weights),
            ("config".into(), config_path),
            ("vocabulary".into(), vocabulary_path),
        ];
        files.extend(gene_names.as_ref().map(|t| ("gene names".into(), t.path.clone())));
        let info = info(&config, &vocabulary, &network, files);
        Ok(Self { config, vocabulary, network, gene_names, info, audit })
    }

    /// Sites that need the output of the last block.
    pub(super) fn sites_beyond(&self) -> Vec<Site> {
        let heads = &self.network.heads;
        let readouts = [
            (heads.expression.is_some(), names::MLM),
            (heads.expression_zero.is_some(), names::MLM_ZERO),
            (heads.cell_query.is_some(), names::MVC),
            (heads.cell_query_zero.is_some(), names::MVC_ZERO),
            (heads.classes.is_some(), names::CLS),
            (heads.batches.is_some(), names::DAB),
        ];
        let readouts = readouts.into_iter().filter(|(there, _)| *there).map(|(_, n)| extra(n));
        [extra(names::CELL_RAW), Site::CellEmbedding].into_iter().chain(readouts).collect()
    }

    fn check_tokens(&self, tokens: &Tokens) -> Result<()> {
        if let Some(&id) = tokens.ids.iter().find(|&&id| id as usize >= self.vocabulary.len()) {
            return Err(Error::mismatch("a token is not in the model's vocabulary")
                .expected(format!("below {}", self.vocabulary.len()))
                .found(id.to_string()));
        }
        if let Some(cell) = (0..tokens.n_cells()).find(|&c| tokens.len_of(c) == 0) {
            return Err(Error::mismatch("a cell has no token, not even <cls>").found(format!("cell {cell} of the minibatch")));
        }
        Ok(())
    }
}

impl Model for ScGpt {
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
        push(Site::Embed, STREAM);
        for block in 0..self.info.n_blocks {
            if block + 1 == self.info.n_blocks {
                push(extra(names::GRN_SCORES), &[Axis::Cell, Axis::Head, Axis::Query, Axis::Key]);
                push(extra(names::GRN_RANKS), &[Axis::Cell, Axis::Query, Axis::Key]);
            }
            for place in BlockSite::ALL {
                push(Site::Block(block, place), place.axes());
            }
        }
        for site in self.sites_beyond() {
            let per_token = [names::MLM, names::MLM_ZERO, names::MVC, names::MVC_ZERO].map(extra).contains(&site);
            push(site, if per_token { &[Axis::Cell, Axis::Token] } else { &[Axis::Cell, Axis::DModel] });
        }
        out
    }

    /// The published vector is this one divided by its length (site `cell_embedding`).
    fn cell_rule(&self) -> (CellRule, Site) {
        let last = self.info.n_blocks.checked_sub(1);
        (CellRule::Token(0), last.map_or(Site::Embed, Site::resid_post))
    }

    fn gene_tokens(&self, n: usize) -> Range<usize> {
        1.min(n)..n
    }

    fn token_name(&self, token: u32) -> Option<&str> {
        self.vocabulary.name(token)
    }

    fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch> {
        genes::match_genes(&self.vocabulary, self.gene_names.as_ref(), genes)
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

    fn gene_table(&self) -> Option<Matrix> {
        self.network.gene_table()
    }

    fn kit_plan(&self, case: &KitCase<'_>) -> Result<KitPlan> {
        kit::plan(self, case)
    }

    fn attention_weights(&self, block: usize) -> Option<AttentionWeights> {
        self.network.blocks.get(block).and_then(post_ln_weights)
    }

    fn block_layout(&self, block: usize) -> Option<BlockLayout> {
        self.network.blocks.get(block).and_then(|b| self.network.block_layout(block, b))
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

impl ScGpt {
    pub(super) fn tokenizer<'o>(&self, options: &'o TokenizeOptions) -> Result<Tokenizer<'o>> {
        Tokenizer::new(self.vocabulary.cls, self.config.pad_value, self.config.max_tokens, options)
    }
}

fn weights_file(path: &Path, folder: &Path) -> Result<PathBuf> {
    if path.is_file() && path.extension().is_some_and(|e| e != "json") {
        return Ok(path.to_path_buf());
    }
    WEIGHTS.iter().map(|name| folder.join(name)).find(|p| p.is_file()).ok_or_else(|| {
        Error::unreadable("the model's weights are missing")
            .in_file(folder)
            .expected(WEIGHTS.join(", "))
            .remedy("copy best_model.pt from the model's folder of the scGPT model zoo")
    })
}

fn info(c: &Config, vocabulary: &Vocabulary, network: &Network, files: Vec<(String, PathBuf)>) -> ModelInfo {
    let with_batches =
        network.heads.batch_encoder.is_some() || matches!(network.batch_norm, BatchNorm::PerBatch(_));
    let choices = json!({
        "cell_embedding": "<cls> of the last block divided by its length; cell_embedding_raw before the division",
        "gene_embedding": "static: norm of the embedding rows; contextual: output of the last block",
        "cls_value": format!("{} (recipe zero-shot), 0 (fine-tuning recipes)", c.pad_value),
        "recipes": Recipe::ALL.map(|(n, _)| n),
        "n_bins": N_BINS,
        "n_bins_stated": c.stated_bins,
        "ties": "the middle of the published interval; as published: a random bin of it",
        "long_cells": "a fixed choice of genes for all cells; as published: a random choice per cell",
        "empty_cell": "<cls> alone (the original fails)",
        "batch_norm": network.batch_norm.name(),
        "batch_label": if with_batches { "needed: each cell's own" } else { "none" },
        "attention_layout": format!("{}*", network.layout),
        "specials_appended": vocabulary.appended,
        "layer_norm_eps": "0.00001",
        "activation": "relu",
        "readouts": network.heads.names(),
        "grn": "query row, key column: the column of a gene is its influence on others",
    });
    ModelInfo {
        family: card::FAMILY.id,
        variant: presets::name_of(c, vocabulary.len()).to_string(),
        n_blocks: c.n_blocks,
        d_model: c.d_model,
        n_heads: c.n_heads,
        d_mlp: c.d_mlp,
        max_tokens: c.max_tokens,
        d_vocab: vocabulary.len(),
        n_parameters: network.n_parameters,
        files,
        choices: choices.as_object().cloned().unwrap_or_default(),
    }
}
