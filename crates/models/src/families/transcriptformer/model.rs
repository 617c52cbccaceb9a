//! An opened TranscriptFormer.

use std::ops::Range;
use std::path::{Path, PathBuf};

use microtome_core::{Axis, BlockSite, Counts, Error, GeneTable, Matrix, Result, Site};
use microtome_weights::{Audit, Checkpoint};
use serde_json::json;

use super::config::{Config, folder_of};
use super::network::Network;
use super::norms::norm_site;
use super::vocabulary::Vocabulary;
use super::{card, genes, kit, presets};
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions};
use crate::nn::{Wanted, PreLnBlock};
use crate::parity::{KitCase, KitPlan};
use crate::{AttentionWeights, BlockLayout, CellRule, Family, GeneMatch, Tap, Tokens};

/// Sites of this family alone.
pub(super) mod names {
    pub(in super::super) const MU: &str = "readout.mu";
    pub(in super::super) const NEXT: &str = "readout.gene_logit";
    pub(in super::super) const NEXT_LOSS: &str = "readout.gene_llh";
    pub(in super::super) const LOSS: &str = "readout.llh";
    /// Of the likelihood pass, in which a count biases later queries only.
    pub(in super::super) const STRICT_MU: &str = "readout.mu_strict_bias";
    pub(in super::super) const STRICT_LOSS: &str = "readout.llh_strict_bias";
}

pub(super) fn extra(name: &str) -> Site {
    Site::Extra(name.into())
}

/// Weight files in the order in which they are preferred.
const WEIGHTS: [&str; 2] = ["model_weights.pt", "model.safetensors"];

pub(super) struct TranscriptFormer {
    pub(super) config: Config,
    pub(super) vocabulary: Vocabulary,
    pub(super) network: Network,
    /// How attention is masked; all four are as published unless a test says otherwise.
    pub(super) causal: bool,
    pub(super) hides_unknown: bool,
    pub(super) counts_in_attention: bool,
    /// Whether the likelihood pass hides a gene's own count from it.
    pub(super) strict_likelihood: bool,
    info: ModelInfo,
    audit: Audit,
}

impl TranscriptFormer {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let folder = folder_of(path);
        let config_path = folder.join("config.json");
        let config = Config::read(&config_path)?;
        let vocabulary = Vocabulary::read(&folder, &config)?;
        let weights = weights_file(path, &folder)?;
        let (network, audit) = Network::load(Checkpoint::open(&weights)?, &config, &vocabulary)
            .map_err(|e| e.in_file(&weights))?;
        let mut files = vec![("weights".into(), weights), ("config".into(), config_path)];
        files.extend(vocabulary.files.iter().cloned());
        let choices = json!({
            "cell_embedding": "sum over [START] and the genes of the last block, divided by the window, as published",
            "gene_embedding": "static: token vectors; contextual: the last block at the position that predicts the gene",
            "passes": "every site is of the embedding pass (a count biases its own query too) but readout.*_strict_bias, which are of the \
                       likelihood pass (earlier keys only), run once more when one of them is wanted",
            "gene_order": "vocabulary; as published: columns of the data. Attention is causal, so it matters",
            "long_cells": "a fixed choice of genes for all cells; as published: the first columns",
            "assay": "each cell's own where given, else unknown, which is hidden from attention",
            "clip_counts": config.clip,
            "soft_cap": config.soft_cap,
            "residual": "sub-layers are added to their normed input",
            "layer_norm_eps": "0.00001",
            "activation": "gelu_erf",
        });
        let info = ModelInfo {
            family: card::FAMILY.id,
            variant: presets::name_of(&config, vocabulary.len()).into(),
            n_blocks: config.n_blocks,
            d_model: config.d_model,
            n_heads: config.n_heads,
            d_mlp: config.d_mlp,
            max_tokens: config.seq_len + 1,
            d_vocab: vocabulary.len(),
            n_parameters: network.n_parameters,
            files,
            choices: choices.as_object().cloned().unwrap_or_default(),
        };
        Ok(Self {
            config,
            vocabulary,
            network,
            causal: true,
            hides_unknown: true,
            counts_in_attention: true,
            strict_likelihood: true,
            info,
            audit,
        })
    }

    /// Readouts of the likelihood pass, which is a forward pass of its own.
    pub(super) fn sites_of_likelihood() -> [Site; 2] {
        [names::STRICT_MU, names::STRICT_LOSS].map(extra)
    }

    /// Sites that need the output of the last block.
    pub(super) fn sites_beyond(&self) -> Vec<Site> {
        let next = self.network.next.is_some();
        let readouts =
            [(true, names::MU), (next, names::NEXT), (next, names::NEXT_LOSS), (true, names::LOSS)];
        let readouts = readouts.into_iter().filter(|(there, _)| *there).map(|(_, n)| extra(n));
        std::iter::once(Site::CellEmbedding).chain(readouts).collect()
    }

    fn check_tokens(&self, tokens: &Tokens) -> Result<()> {
        let limit = self.vocabulary.len() + self.vocabulary.n_assays();
        if let Some(&id) = tokens.ids.iter().find(|&&id| id as usize >= limit) {
            return Err(Error::mismatch("a token is not in the model's vocabulary")
                .expected(format!("below {limit}"))
                .found(id.to_string()));
        }
        let is_gene = |t: &f32| *t < self.vocabulary.len() as f32;
        if !tokens
            .per_token
            .get(super::tokens::TARGET)
            .is_some_and(|t| t.len() == tokens.ids.len() && t.iter().all(is_gene))
        {
            return Err(Error::mismatch("the tokens do not say which genes are predicted")
                .expected("tokens made by this model's tokeniser"));
        }
        Ok(())
    }
}

impl Model for TranscriptFormer {
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
        push(Site::Embed, STREAM);
        for block in 0..self.info.n_blocks {
            for place in BlockSite::ALL {
                push(Site::Block(block, place), place.axes());
                match place {
                    BlockSite::ResidPre => push(norm_site(block, 1), STREAM),
                    BlockSite::ResidMid => push(norm_site(block, 2), STREAM),
                    _ => {}
                }
            }
        }
        for site in self.sites_beyond().into_iter().chain(Self::sites_of_likelihood()) {
            let axes: &[Axis] = if site == Site::CellEmbedding {
                &[Axis::Cell, Axis::DModel]
            } else if site == extra(names::LOSS) || site == extra(names::STRICT_LOSS) {
                &[Axis::Cell]
            } else if site == extra(names::NEXT) {
                STREAM
            } else {
                &[Axis::Cell, Axis::Token]
            };
            push(site, axes);
        }
        out
    }

    /// The published vector is this mean times the share of the window that is filled (site `cell_embedding`).
    fn cell_rule(&self) -> (CellRule, Site) {
        let last = self.info.n_blocks.checked_sub(1);
        (CellRule::Marked, last.map_or(Site::Embed, Site::resid_post))
    }

    fn gene_tokens(&self, n: usize) -> Range<usize> {
        2.min(n)..n
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
        self.sequences(counts, genes, options)
    }

    fn gene_table(&self) -> Option<Matrix> {
        self.network.gene_table()
    }

    fn kit_plan(&self, case: &KitCase<'_>) -> Result<KitPlan> {
        kit::plan(self, case)
    }

    /// Kits number assays from 0 on, as their own vocabulary does.
    fn kit_token(&self, token: u32) -> i64 {
        let n = self.vocabulary.len() as u32;
        i64::from(token.checked_sub(n).unwrap_or(token))
    }

    fn attention_weights(&self, block: usize) -> Option<AttentionWeights> {
        self.network.blocks.get(block).and_then(PreLnBlock::weights)
    }

    fn block_layout(&self, block: usize) -> Option<BlockLayout> {
        self.network.block_layout(block, self.causal)
    }

    fn key_bias(&self, tokens: &Tokens) -> Option<Vec<f32>> {
        Some(self.count_bias(tokens))
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
    if path.is_file() && path.extension().is_some_and(|e| e != "json") {
        return Ok(path.to_path_buf());
    }
    WEIGHTS.iter().map(|name| folder.join(name)).find(|p| p.is_file()).ok_or_else(|| {
        Error::unreadable("the model's weights are missing")
            .in_file(folder)
            .expected(WEIGHTS.join(" or "))
            .remedy("unpack the model's tar.gz from the project's bucket")
    })
}
