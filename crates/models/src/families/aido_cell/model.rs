//! An opened AIDO.Cell.

use std::ops::Range;
use std::path::{Path, PathBuf};

use microtome_core::{Axis, BlockSite, Counts, Error, GeneTable, Matrix, Result, Site};
use microtome_weights::{Audit, Checkpoint};
use rayon::prelude::*;
use serde_json::json;

use super::config::Config;
use super::network::Network;
use super::{card, presets};
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions};
use crate::nn::{Wanted, PreLnBlock};
use crate::tokenize::gene_list;
use crate::tokenize::rank::require_raw;
use crate::tokenize::soft_bins::{align, depth_value, log1p_cp10k};
use crate::tokenize::symbols::{Duplicates, match_symbols};
use crate::{AttentionWeights, BlockLayout, CellRule, Family, GeneMatch, POOL_MASK, Tap, Tokens};

pub(super) const VALUE_EMBEDDING: &str = "value_embedding";
pub(super) const MLM: &str = "readout.mlm";
/// Names of the two tokens behind the genes.
const DEPTH_TOKENS: [&str; 2] = ["<depth 1>", "<depth 2>"];

/// Weight files in the order in which they are preferred.
const WEIGHTS: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

pub(super) struct AidoCell {
    pub(super) network: Network,
    genes: Vec<String>,
    info: ModelInfo,
    audit: Audit,
}

impl AidoCell {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::with_config(path, &Config::read(&gene_list::folder_of(path).join("config.json"))?)
    }

    /// Opens with a configuration that may differ from the file's; [`AidoCell::open`] is the way in.
    pub(super) fn with_config(path: &Path, config: &Config) -> Result<Self> {
        let folder = gene_list::folder_of(path);
        let weights = weights_file(path, &folder)?;
        let (list, genes) = gene_list::find(&folder, Some(config.n_genes))?;
        let checkpoint = Checkpoint::open(&weights)?;
        let (network, audit) = Network::load(&checkpoint, config).map_err(|e| e.in_file(&weights))?;
        let files = vec![
            ("weights".into(), weights),
            ("config".into(), folder.join("config.json")),
            ("gene list".into(), list),
        ];
        let info = info(config, &network, files);
        Ok(Self { network, genes, info, audit })
    }

    fn check_tokens(&self, tokens: &Tokens) -> Result<()> {
        let n = self.info.max_tokens;
        if let Some(&id) = tokens.ids.iter().find(|&&id| id as usize >= n) {
            return Err(Error::mismatch("a token is not in the model's vocabulary")
                .expected(format!("below {n}"))
                .found(id.to_string()));
        }
        let longest = (0..tokens.n_cells()).map(|c| tokens.len_of(c)).max().unwrap_or(0);
        if longest > n {
            return Err(Error::mismatch("a cell is longer than the model's positions")
                .expected(format!("at most {n} tokens"))
                .found(longest.to_string()));
        }
        Ok(())
    }
}

impl Model for AidoCell {
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
        push(Site::Extra(VALUE_EMBEDDING.into()), STREAM);
        push(Site::Embed, STREAM);
        for block in 0..self.info.n_blocks {
            for place in BlockSite::ALL {
                push(Site::Block(block, place), place.axes());
            }
        }
        push(Site::FinalNorm, STREAM);
        push(Site::CellEmbedding, &[Axis::Cell, Axis::DModel]);
        if self.network.head.is_some() {
            push(Site::Extra(MLM.into()), &[Axis::Cell, Axis::Token]);
        }
        out
    }

    fn cell_rule(&self) -> (CellRule, Site) {
        (CellRule::Marked, Site::FinalNorm)
    }

    fn gene_tokens(&self, n: usize) -> Range<usize> {
        0..n.saturating_sub(2)
    }

    fn token_name(&self, token: u32) -> Option<&str> {
        let token = token as usize;
        let depth = || DEPTH_TOKENS.get(token - self.genes.len()).copied();
        self.genes.get(token).map(String::as_str).or_else(depth)
    }

    fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch> {
        match_symbols(&self.genes, genes, Duplicates::First)
    }

    fn tokenize(
        &self,
        counts: &Counts,
        _totals: Option<CellTotals<'_>>,
        genes: &GeneMatch,
        options: &TokenizeOptions,
    ) -> Result<Tokens> {
        let n_tokens = self.info.max_tokens;
        if let Some(cap) = options.max_tokens.filter(|&m| m < n_tokens) {
            return Err(Error::usage("this model takes every gene of its list; its cells cannot be cut short")
                .expected(format!("{n_tokens} tokens or no cap"))
                .found(cap.to_string()));
        }
        if genes.token_of_gene.len() != counts.n_genes() {
            return Err(Error::mismatch("the gene match belongs to another matrix")
                .expected(format!("{} genes", counts.n_genes()))
                .found(format!("{} genes", genes.token_of_gene.len())));
        }
        require_raw(counts)?;
        let n_cells = counts.n_cells();
        let mut values = vec![0.0; n_cells * n_tokens];
        values.par_chunks_mut(n_tokens).enumerate().for_each(|(cell, row)| {
            let (row, depth) = row.split_at_mut(self.genes.len());
            align(counts, cell, genes, row);
            let total = log1p_cp10k(row, !options.as_published);
            depth.fill(depth_value(total));
        });
        let ids: Vec<u32> = (0..n_tokens as u32).collect();
        // The genes that the data names, measured or not, and the depth tokens.
        let mut marks = vec![0.0; n_tokens];
        for &token in genes.token_of_gene.iter().flatten() {
            marks[token as usize] = 1.0;
        }
        marks[self.genes.len()..].fill(1.0);
        let mut tokens = Tokens::new();
        for row in values.chunks_exact(n_tokens) {
            tokens.push(&ids, row, 0, 0);
        }
        tokens.per_token.insert(POOL_MASK, marks.repeat(n_cells));
        Ok(tokens)
    }

    fn gene_table(&self) -> Option<Matrix> {
        Matrix::new(self.info.max_tokens, self.info.d_model, self.network.positions.clone()).ok()
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

fn weights_file(path: &Path, folder: &Path) -> Result<PathBuf> {
    if path.is_file() && path.file_name().is_some_and(|n| n != "config.json") {
        return Ok(path.to_path_buf());
    }
    WEIGHTS.iter().map(|name| folder.join(name)).find(|p| p.is_file()).ok_or_else(|| {
        Error::unreadable("the model's weights are missing")
            .in_file(folder)
            .expected(WEIGHTS.join(", "))
            .remedy("copy the file from the model's folder on Hugging Face, such as genbio-ai/AIDO.Cell-3M")
    })
}

fn info(config: &Config, network: &Network, files: Vec<(String, PathBuf)>) -> ModelInfo {
    let choices = json!({
        "tokens": "all genes of the list in its order, absent ones as zeros, then two depth tokens",
        "value": "ln(1 + 1e4 count / total of the listed genes), soft-binned",
        "depth_tokens": "max(log10 total, 5), twice",
        "bins": config.n_bins,
        "bin_alpha": config.bin_alpha.to_string(),
        "norm": config.norm_name(),
        "norm_eps": config.norm_eps.to_string(),
        "linear_bias": config.linear_bias,
        "activation": "SwiGLU",
        "attention_mask": "none: the published network ignores it, absent genes attend and are attended to",
        "cell_embedding": "mean of final_norm over the genes that the data names and both depth tokens",
        "gene_embedding": "final_norm per gene; static: rows of the position table",
        "empty_cell": "zeros and depth 5; NaN when tokenised as published (0 / 0)",
        "precision": "f32; the authors run bf16 on a GPU",
        "readout": if network.head.is_some() { "ln(1 + CP10k) per token" } else { "none" },
    });
    ModelInfo {
        family: card::FAMILY.id,
        variant: presets::name_of(config).to_string(),
        n_blocks: config.n_blocks,
        d_model: config.d_model,
        n_heads: config.n_heads,
        d_mlp: config.d_mlp,
        max_tokens: config.n_tokens(),
        d_vocab: config.n_tokens(),
        n_parameters: network.n_parameters,
        files,
        choices: choices.as_object().cloned().unwrap_or_default(),
    }
}
