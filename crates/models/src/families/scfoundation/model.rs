//! An opened scFoundation.

use std::ops::Range;
use std::path::{Path, PathBuf};

use microtome_core::{Axis, BlockSite, Counts, Error, GeneTable, Matrix, Result, Site};
use microtome_weights::{Audit, Checkpoint};
use serde_json::json;

use super::config::{self, Config};
use super::network::Network;
use super::{card, decoder, files, kit, tokens};
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions};
use crate::nn::{Wanted, post_ln_weights};
use crate::parity::{KitCase, KitPlan};
use crate::tokenize::gene_list;
use crate::tokenize::symbols::{Duplicates, match_symbols};
use crate::{AttentionWeights, BlockLayout, CellRule, Family, GeneMatch, MASKED, Rewritten, Tap, Tokens};

pub(super) const BIN_WEIGHT: &str = "embed.bin_weight";
pub(super) const VALUE: &str = "embed.value";
pub(super) const MAX_EMBEDDING: &str = "cell_embedding_max";
pub(super) const EXPRESSION: &str = "readout.expression";
/// Names of the rows behind the genes.
const DEPTH_TOKENS: [&str; 2] = ["<T>", "<S>"];
/// Name of the run with one maximum of the decoder's keys for all cells of a minibatch (`gene_batch` of the reference), and of the
/// Column that asks for one maximum of the decoder's keys over all cells of a minibatch, as the original computes it.
pub(super) const SHARED_MAXIMUM: &str = "shared_key_maximum";

/// `pool_type all`: S, T, maximum and mean over the genes.
pub(super) const CELL_RULE: CellRule =
    CellRule::Parts(&[CellRule::FromEnd(0), CellRule::FromEnd(1), CellRule::Max, CellRule::Mean]);

pub(super) struct ScFoundation {
    pub(super) network: Network,
    pub(super) genes: Vec<String>,
    pub(super) info: ModelInfo,
    config: Config,
    audit: Audit,
    weights: PathBuf,
    /// Sub-model of the file.
    part_name: &'static str,
    /// What tests do to every sub-model that is opened.
    #[cfg(test)]
    pub(super) alter: fn(&mut Network),
}

impl ScFoundation {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let (weights, named) = files::weights(path)?;
        Self::open_part(&weights, named.as_deref())
    }

    fn open_part(weights: &Path, named: Option<&str>) -> Result<Self> {
        let checkpoint = Checkpoint::open(weights)?;
        let part = files::choose(&checkpoint, named)?;
        let config = Config::read(&checkpoint, part)?;
        let (list, genes) = gene_list::find(&gene_list::folder_of(weights), Some(config.n_genes))?;
        let (network, audit) = Network::load(&checkpoint, part, &config).map_err(|e| e.in_file(weights))?;
        let files = vec![("weights".into(), weights.to_path_buf()), ("gene list".into(), list)];
        let info = info(&config, &network, part, &files::parts(&checkpoint), files);
        Ok(Self {
            network,
            genes,
            info,
            config,
            audit,
            weights: weights.to_path_buf(),
            part_name: part,
            #[cfg(test)]
            alter: |_| {},
        })
    }

    /// Another sub-model of the same file.
    pub(super) fn part(&self, name: &str) -> Result<Self> {
        #[cfg_attr(not(test), allow(unused_mut, reason = "altered by tests"))]
        let mut part = Self::open_part(&self.weights, Some(name))?;
        #[cfg(test)]
        {
            part.alter = self.alter;
            (self.alter)(&mut part.network);
        }
        Ok(part)
    }

    /// Ids ascending within the list, T and S last, values above zero or masked: anything else did not come from this tokeniser.
    fn check_tokens(&self, tokens: &Tokens) -> Result<()> {
        let n = self.genes.len() as u32;
        for cell in 0..tokens.n_cells() {
            let (ids, values) = tokens.cell(cell);
            let refuse = |what: &str, found: String| {
                Error::mismatch(what).at_key(format!("cell {cell} of the minibatch")).found(found)
            };
            if ids.is_empty() {
                continue;
            }
            if !ids.ends_with(&[n, n + 1]) || !ids.is_sorted_by(|a, b| a < b) {
                return Err(refuse("tokens must be rows of the gene list in ascending order, then T and S", {
                    format!("{:?}", &ids[ids.len().saturating_sub(3)..])
                }));
            }
            let genes = values.len() - 2;
            let wrong = |(i, v): &(usize, &f32)| !(**v > 0.0 && v.is_finite() || *i < genes && **v == MASKED);
            if let Some((_, v)) = values.iter().enumerate().find(wrong) {
                return Err(refuse("a token has no value that the network takes", v.to_string())
                    .expected("a finite number above zero, or the mask"));
            }
        }
        Ok(())
    }
}

impl ScFoundation {
    /// The same cells with one maximum of the decoder's key kernel over all of them, as the original computes it for a batch.
    pub(super) fn share_maximum(tokens: &Tokens) -> Tokens {
        let mut shared = tokens.clone();
        shared.per_cell.insert(SHARED_MAXIMUM, vec![1.0; tokens.n_cells()]);
        shared
    }
}

impl Model for ScFoundation {
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
        const VECTOR: &[Axis] = &[Axis::Cell, Axis::DModel];
        let mut out = vec![];
        let mut push = |site: Site, axes: &[Axis]| out.push(SiteInfo { site, axes: axes.to_vec() });
        push(Site::Extra(BIN_WEIGHT.into()), STREAM);
        push(Site::Extra(VALUE.into()), STREAM);
        push(Site::Embed, STREAM);
        for block in 0..self.info.n_blocks {
            for place in BlockSite::ALL {
                push(Site::Block(block, place), place.axes());
            }
        }
        push(Site::FinalNorm, STREAM);
        push(Site::CellEmbedding, VECTOR);
        push(Site::Extra(MAX_EMBEDDING.into()), VECTOR);
        for (site, like) in decoder::sites(self.network.decoder.performer.blocks.len()) {
            push(site, like.axes());
        }
        push(Site::GeneEmbedding, STREAM);
        push(Site::Extra(EXPRESSION.into()), &[Axis::Cell, Axis::Gene]);
        out
    }

    fn cell_rule(&self) -> (CellRule, Site) {
        (CELL_RULE, Site::FinalNorm)
    }

    fn gene_tokens(&self, n: usize) -> Range<usize> {
        0..n.saturating_sub(2)
    }

    fn token_name(&self, token: u32) -> Option<&str> {
        let token = token as usize;
        let depth = || DEPTH_TOKENS.get(token.checked_sub(self.genes.len())?).copied();
        self.genes.get(token).map(String::as_str).or_else(depth)
    }

    fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch> {
        match_symbols(&self.genes, genes, Duplicates::Sum)
    }

    fn tokenize(
        &self,
        counts: &Counts,
        _totals: Option<CellTotals<'_>>,
        genes: &GeneMatch,
        options: &TokenizeOptions,
    ) -> Result<Tokens> {
        tokens::tokenize(&self.config, counts, genes, options)
    }

    fn gene_table(&self) -> Option<Matrix> {
        let rows = self.genes.len();
        Matrix::new(rows, self.network.d, self.network.positions[..rows * self.network.d].to_vec()).ok()
    }

    fn kit_plan(&self, case: &KitCase<'_>) -> Result<KitPlan> {
        kit::plan(self, case)
    }

    fn labels(&self, site: &Site) -> Option<&[String]> {
        (*site == Site::Extra(EXPRESSION.into())).then_some(&self.genes)
    }

    fn rows(&self, n: usize, wanted: &[Site]) -> usize {
        let after = |s: &Site| match s {
            Site::GeneEmbedding => true,
            Site::Extra(name) => name.starts_with(decoder::PREFIX) || name == EXPRESSION,
            _ => false,
        };
        if wanted.iter().any(after) { n + self.info.d_vocab } else { n }
    }

    fn attention_weights(&self, block: usize) -> Option<AttentionWeights> {
        self.network.blocks.get(block).and_then(post_ln_weights)
    }

    fn block_layout(&self, block: usize) -> Option<BlockLayout> {
        self.network.block_layout(block)
    }

    /// The file of the untrained models, which states in its header what the pickle of the published one does.
    fn rewritten(&self) -> Rewritten {
        let config = json!({ self.part_name: self.config.to_json() }).to_string();
        Rewritten { file: files::UNTRAINED, metadata: vec![(config::METADATA.into(), config)], ..Rewritten::default() }
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

fn info(
    c: &Config,
    network: &Network,
    part: &str,
    parts: &[&str],
    files: Vec<(String, PathBuf)>,
) -> ModelInfo {
    let variant = card::VARIANTS.iter().find(|v| Config::published(v, v.d_vocab - 2) == *c);
    let d = &c.decoder;
    let choices = json!({
        "sub_model": part,
        "sub_models": parts,
        "cell_embedding": "S | T | maximum over genes | mean over genes, of the final norm",
        "gene_embedding": "decoder, before the readout; every gene of the list, then T and S",
        "decoder": {
            "blocks": d.n_blocks, "d_model": d.d_model, "heads": d.n_heads, "d_head": d.d_head,
            "d_mlp": network.decoder.performer.d_mlp(),
            "random_features": network.decoder.performer.features.first().map(|f| f.n_features()),
            "key_maximum": "per cell; the run gene_batch takes one over the minibatch, as published for it",
        },
        "recipes": "t4 (default), tN, fN or aN for token T; bulk (scaled to the median over the samples that are tokenised together, \
                    as published) or bulk:TOTAL",
        "bins": c.n_bins,
        "bin_alpha": c.bin_alpha,
        "activation": "relu in the encoder, exact gelu in the decoder",
        "layer_norm_eps": "1e-5",
        "target_sum": 10_000,
        "without_result": "cells whose T or S is not above zero get no tokens; the published pooling fails on them",
    });
    ModelInfo {
        family: card::FAMILY.id,
        variant: variant.map_or("custom", |v| v.id).to_string(),
        n_blocks: c.n_blocks,
        d_model: c.d_model,
        n_heads: c.n_heads,
        d_mlp: 4 * c.d_model,
        max_tokens: c.n_rows(),
        d_vocab: c.n_rows(),
        n_parameters: network.n_parameters,
        files,
        choices: choices.as_object().cloned().unwrap_or_default(),
    }
}
