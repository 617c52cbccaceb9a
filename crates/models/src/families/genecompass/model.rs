//! An opened GeneCompass.

use std::ops::Range;
use std::path::{Path, PathBuf};

use microtome_core::{Axis, Counts, GeneTable, Matrix, Result, Site};
use microtome_weights::Audit;
use serde_json::json;

use super::card::{self, VARIANTS};
use super::config::Config;
use super::files;
use super::network::{MLM_LOGITS, MLM_TRANSFORM, Network, VALUE};
use crate::hugging_face::{folder_of, weights_file};
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions, stream_sites};
use crate::nn::Wanted;
use crate::tokenize::rank::{RankRule, Scaling};
use crate::tokenize::rank_genes;
use crate::tokenize::rank_vocabulary::RankVocabulary;
use crate::{CellRule, Family, GeneMatch, Tap, Tokens};
use crate::BlockLayout;
use crate::nn::bert::block_layout;

const WEIGHTS_REMEDY: &str = "download the folder GeneCompass_Base or GeneCompass_Small that the README of github xCompass-AI/GeneCompass links to";
/// Name of the token in front of human cells.
const SPECIES: &str = "<cls:human>";

pub(super) struct GeneCompass {
    pub(super) vocabulary: RankVocabulary,
    pub(super) network: Network,
    pub(super) scaling: Scaling,
    /// Token in front of every cell, behind those of the dictionary.
    pub(super) species: Option<u32>,
    info: ModelInfo,
    audit: Audit,
}

impl GeneCompass {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let folder = folder_of(path);
        let config_path = folder.join("config.json");
        let config = Config::read(&config_path)?;
        let weights = weights_file(path, WEIGHTS_REMEDY)?;
        let files = files::find(&folder)?;
        let vocabulary = files::read(&files)?;
        files::check(&vocabulary, config.bert.vocab_size, &files)?;
        let (network, audit) = Network::load(&weights, &config).map_err(|e| e.in_file(&weights))?;
        let mut named = vec![("weights".to_string(), weights), ("config".into(), config_path)];
        named.extend(files.named());
        let info = info(&config, &network, named);
        let species = config.use_cls.then_some(config.bert.vocab_size as u32);
        Ok(Self { vocabulary, network, scaling: Scaling::Log2, species, info, audit })
    }
}

impl Model for GeneCompass {
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
        let mut out = stream_sites(self.info.n_blocks);
        for (site, _) in self.network.cells() {
            out.push(SiteInfo { site, axes: vec![Axis::Cell, Axis::DModel] });
        }
        let mut readout = |name: &str, last: Option<Axis>| {
            let axes = [Axis::Cell, Axis::Token].into_iter().chain(last).collect();
            out.push(SiteInfo { site: Site::Extra(name.into()), axes });
        };
        if self.network.genes.is_some() {
            readout(MLM_TRANSFORM, Some(Axis::DModel));
            readout(MLM_LOGITS, Some(Axis::Vocab));
        }
        if self.network.values.is_some() {
            readout(VALUE, None);
        }
        out
    }

    /// The species token of the last block; the mean over genes where there is none.
    fn cell_rule(&self) -> (CellRule, Site) {
        (self.network.rule, Site::resid_post(self.info.n_blocks - 1))
    }

    fn tokens_are_ordered(&self) -> bool {
        true
    }

    fn gene_tokens(&self, n: usize) -> Range<usize> {
        self.network.gene_tokens(n)
    }

    fn token_name(&self, token: u32) -> Option<&str> {
        if self.species == Some(token) { Some(SPECIES) } else { self.vocabulary.name(token) }
    }

    fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch> {
        rank_genes::match_genes(&self.vocabulary, genes)
    }

    fn tokenize(
        &self,
        counts: &Counts,
        totals: Option<CellTotals<'_>>,
        genes: &GeneMatch,
        options: &TokenizeOptions,
    ) -> Result<Tokens> {
        let cap = options.max_tokens.unwrap_or(self.info.max_tokens);
        let rule = RankRule {
            divisor: &self.vocabulary.medians,
            scaling: self.scaling,
            first: self.species,
            last: None,
            max_tokens: cap.min(self.info.max_tokens),
        };
        rule.tokenize(counts, totals, genes)
    }

    fn gene_table(&self) -> Option<Matrix> {
        Matrix::new(self.vocabulary.len(), self.info.d_model, self.network.embedding.words.clone()).ok()
    }

    fn block_layout(&self, block: usize) -> Option<BlockLayout> {
        self.network.blocks.get(block).and_then(|b| block_layout("bert.", block, b))
    }

    fn forward(&self, tokens: &Tokens, tap: &mut dyn Tap) -> Result<()> {
        let wanted = Wanted::ask(tap, self.sites().into_iter().map(|s| s.site));
        if wanted.is_empty() || tokens.n_cells() == 0 {
            return Ok(());
        }
        tokens.check(self.info.d_vocab, self.info.max_tokens)?;
        self.network.run(tokens, &wanted, tap)
    }
}

fn info(config: &Config, network: &Network, files: Vec<(String, PathBuf)>) -> ModelInfo {
    let bert = &config.bert;
    let published = |v: &&crate::Variant| Config::of_variant(v, v.d_vocab - 1) == *config;
    let choices = json!({
        "species_token": if config.use_cls { json!(SPECIES) } else { json!(null) },
        "cell_embedding": if config.use_cls { "species token of the last block" } else { "mean over genes of the last block" },
        "activation": bert.activation_name(),
        "layer_norm_eps": format!("{:e}", bert.layer_norm_eps),
        "position_embedding": "absolute, learned; none for the species token",
        "values": "log2(1 + count / median), without scaling to a total; a gene without a median is divided by 1",
        "priors": config.priors,
        "filters": "none; the published script also leaves out cells by counts and mitochondrial share",
        "ties": "equal values keep the order of the genes in the data; the original's order is undefined",
        "readout": [network.genes.as_ref().map(|_| "genes"), network.values.as_ref().map(|_| "values")],
    });
    ModelInfo {
        family: card::FAMILY.id,
        variant: VARIANTS.iter().find(published).map_or("custom", |v| v.id).to_string(),
        n_blocks: bert.n_blocks,
        d_model: bert.d_model,
        n_heads: bert.n_heads,
        d_mlp: bert.d_mlp,
        max_tokens: bert.max_positions + usize::from(config.use_cls),
        d_vocab: config.d_vocab(),
        n_parameters: network.n_parameters,
        files,
        choices: choices.as_object().cloned().unwrap_or_default(),
    }
}
