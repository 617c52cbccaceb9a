//! An opened GeneRAIN-GPT.

use std::ops::Range;
use std::path::{Path, PathBuf};

use microtome_core::{Counts, Error, GeneTable, Matrix, Result, Site};
use microtome_weights::{Audit, Checkpoint, Loader};
use serde_json::json;

use super::bins::{N_BINS, Reference};
use super::card::{self, VARIANTS};
use super::config::{Config, read_vocabulary};
use super::files::{Files, only};
use crate::hugging_face::folder_of;
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions};
use crate::nn::Wanted;
use crate::nn::gpt::lm::GptLm;
use crate::{BlockLayout, CellRule, Family, GeneMatch, Tap, Tokens};

pub(super) struct GeneRain {
    pub(super) config: Config,
    /// Names by token.
    pub(super) names: Vec<String>,
    pub(super) reference: Option<Reference>,
    pub(super) network: GptLm,
    /// A convention of ours, of `final_norm`.
    pub(super) rule: CellRule,
    pub(super) folder: PathBuf,
    info: ModelInfo,
    audit: Audit,
}

impl GeneRain {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let folder = folder_of(path);
        let files = Files::find(&folder)?;
        let config = Config::read(&files.params)?;
        let names = read_vocabulary(&files.vocabulary)?;
        let reference =
            files.reference.as_ref().map(|(matrix, symbols)| Reference::read(matrix, symbols)).transpose()?;
        let weights = weights_file(path)?;
        let checkpoint = Checkpoint::open(&weights)?;
        let (network, audit) = load(&checkpoint, names.len(), &config).map_err(|e| e.in_file(&weights))?;
        let info = info(&config, names.len(), &audit, weights, &files);
        Ok(Self { config, names, reference, network, rule: CellRule::Mean, folder, info, audit })
    }
}

fn load(checkpoint: &Checkpoint, vocabulary: usize, config: &Config) -> Result<(GptLm, Audit)> {
    const SCOPE: &str = "model_state_dict";
    let loader = Loader::new(checkpoint);
    if checkpoint.names().iter().any(|n| n.starts_with(SCOPE)) {
        loader.scope(SCOPE)?;
    }
    // Of distributed training.
    loader.strip_prefix("module.")?;
    loader.strip_prefix("gene_expr_transformer.")?;
    if loader.names().iter().any(|n| n.starts_with("bert_for_masked_lm_model.")) {
        return Err(Error::unsupported("of the authors' models this version runs the GPT ones only")
            .expected("gene_expr_transformer.gpt.*")
            .found("gene_expr_transformer.bert_for_masked_lm_model.*"));
    }
    loader.strip_prefix("gpt.")?;
    let network = GptLm::load(&loader, vocabulary, config.n_positions, &config.shape)?;
    Ok((network, loader.finish(true)?))
}

impl Model for GeneRain {
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
        GptLm::sites(self.info.n_blocks)
    }

    fn cell_rule(&self) -> (CellRule, Site) {
        (self.rule, Site::FinalNorm)
    }

    fn tokens_are_ordered(&self) -> bool {
        true
    }

    fn gene_tokens(&self, n: usize) -> Range<usize> {
        0..n
    }

    fn token_name(&self, token: u32) -> Option<&str> {
        self.names.get(token as usize).map(String::as_str)
    }

    fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch> {
        self.match_symbols(genes)
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
        Matrix::new(self.info.d_vocab, self.info.d_model, self.network.words.clone()).ok()
    }

    fn block_layout(&self, block: usize) -> Option<BlockLayout> {
        self.network.stack.block_layout(block)
    }

    fn forward(&self, tokens: &Tokens, tap: &mut dyn Tap) -> Result<()> {
        let wanted = Wanted::ask(tap, self.sites().into_iter().map(|s| s.site));
        if wanted.is_empty() || tokens.n_cells() == 0 {
            return Ok(());
        }
        self.network.check(tokens)?;
        self.network.run(tokens, &wanted, self.rule, |n| self.gene_tokens(n), tap)
    }
}

/// The weights that a path means: itself, `model.safetensors`, or the only `.pth` of a folder.
fn weights_file(path: &Path) -> Result<PathBuf> {
    if path.is_file() && path.extension().is_some_and(|e| e == "pth" || e == "safetensors") {
        return Ok(path.to_path_buf());
    }
    let folder = folder_of(path);
    let own = folder.join("model.safetensors");
    if own.is_file() {
        return Ok(own);
    }
    only(&folder, ".pth")?.ok_or_else(|| {
        Error::unreadable("the model's weights are missing").in_file(&folder).expected("a .pth or model.safetensors")
    })
}

fn info(config: &Config, vocabulary: usize, audit: &Audit, weights: PathBuf, files: &Files) -> ModelInfo {
    let s = &config.shape;
    let mut named = vec![
        ("weights".into(), weights),
        ("parameters".into(), files.params.clone()),
        ("vocabulary".into(), files.vocabulary.clone()),
    ];
    if let Some((matrix, symbols)) = &files.reference {
        named.extend([("reference".into(), matrix.clone()), ("genes of the reference".into(), symbols.clone())]);
    }
    let choices = json!({
        "cell_embedding": "mean of final_norm over the genes: a convention of ours, none is published",
        "vocabulary": config.genes,
        "bins": format!("{N_BINS} by gene, every cell alone beside the reference (as published: five cells together)"),
        "target_sum": "1e7, then log10",
        "genes": "expressed genes by falling bin; equal bins by the vocabulary's order (the authors' order is undefined)",
        "few_genes": "cells with 2,000 expressed genes or fewer, which the authors leave out, are kept",
        "attention": "causal",
        "activation": "gelu_erf",
        "layer_norm_eps": format!("{:e}", s.eps),
    });
    let variant = VARIANTS.iter().find(|v| {
        let of = Config::of_variant(v);
        (of.shape, of.n_positions) == (*s, config.n_positions)
    });
    ModelInfo {
        family: card::FAMILY.id,
        variant: variant.map_or("custom", |v| v.id).into(),
        n_blocks: s.n_blocks,
        d_model: s.d_model,
        n_heads: s.n_heads,
        d_mlp: s.d_mlp,
        max_tokens: config.n_positions,
        d_vocab: vocabulary,
        n_parameters: audit.used.iter().map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum(),
        files: named,
        choices: choices.as_object().cloned().unwrap_or_default(),
    }
}
