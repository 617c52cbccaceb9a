//! An opened Geneformer.

use std::ops::Range;
use std::path::{Path, PathBuf};

use microtome_core::{Axis, BlockSite, Counts, Error, GeneTable, Result, Site};
use microtome_weights::{Audit, Checkpoint};
use serde_json::json;

use super::config::Config;
use super::network::Network;
use super::card;
use super::presets::{self, Generation, PUBLISHED};
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions};
use crate::hugging_face::{folder_of, weights_file};
use crate::nn::{Wanted, post_ln_weights};
use crate::tokenize::rank::{RankRule, Scaling};
use crate::tokenize::rank_vocabulary::RankVocabulary;
use crate::tokenize::{rank_files, rank_genes};
use crate::{AttentionWeights, CellRule, Family, GeneMatch, Tap, Tokens};
use crate::BlockLayout;
use crate::nn::bert::block_layout;

pub(super) const CELL_LAST_LAYER: &str = "cell_embedding.last_layer";
pub(super) const CELL_MEAN_MODE: &str = "cell_embedding.mean_mode";
pub(super) const MLM_TRANSFORM: &str = "readout.mlm_transform";
pub(super) const MLM_LOGITS: &str = "readout.mlm_logits";

const WEIGHTS_REMEDY: &str = "copy the file from the model's folder of Hugging Face ctheodoris/Geneformer";

pub(super) struct Geneformer {
    pub(super) vocabulary: RankVocabulary,
    generation: Generation,
    pub(super) network: Network,
    /// Published pooling; the site it applies to is [`Geneformer::cell_site`].
    pub(super) rule: CellRule,
    info: ModelInfo,
    audit: Audit,
}

impl Geneformer {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let folder = folder_of(path);
        let config_path = folder.join("config.json");
        Self::with_config(path, Config::read(&config_path)?)
    }

    /// Opens with a configuration that may differ from the file's; [`Geneformer::open`] is the way in.
    pub(super) fn with_config(path: &Path, config: Config) -> Result<Self> {
        let folder = folder_of(path);
        let weights = weights_file(path, WEIGHTS_REMEDY)?;
        let files = rank_files::find(&folder, Some(config.bert.vocab_size), &PUBLISHED)?;
        let vocabulary = RankVocabulary::read(&files)?;
        let generation = Generation::of(&vocabulary).map_err(|e| e.in_file(&files.tokens))?;
        check_generation(&config, generation).map_err(|e| e.in_file(&files.tokens))?;
        let checkpoint = Checkpoint::open(&weights)?;
        let (network, audit) = Network::load(&checkpoint, &config).map_err(|e| e.in_file(&weights))?;
        let rule = match generation {
            Generation::V1 => CellRule::Mean,
            Generation::V2 => CellRule::Token(0),
        };
        let mut named: Vec<(String, PathBuf)> =
            vec![("weights".into(), weights), ("config".into(), folder.join("config.json"))];
        named.extend(files.named());
        let info = info(&config, generation, &vocabulary, &network, named);
        Ok(Self { vocabulary, generation, network, rule, info, audit })
    }

    /// hidden_states[n_layers - 1] of the reference: the output of the second-to-last block, or the embedding of a
    /// one-block model.
    pub(super) fn cell_site(&self) -> Site {
        match self.info.n_blocks {
            0 | 1 => Site::Embed,
            n => Site::resid_post(n - 2),
        }
    }

    /// Sites of cell vectors that are pooled from `site`, with the rule of each.
    pub(super) fn pooled_from(&self, site: &Site) -> Vec<(Site, CellRule)> {
        let mut out = vec![];
        if *site == self.cell_site() {
            out.push((Site::CellEmbedding, self.rule));
            if self.generation == Generation::V2 {
                out.push((Site::Extra(CELL_MEAN_MODE.into()), CellRule::Mean));
            }
        }
        if self.info.n_blocks > 0 && *site == Site::resid_post(self.info.n_blocks - 1) {
            out.push((Site::Extra(CELL_LAST_LAYER.into()), self.rule));
        }
        out
    }
}

impl Model for Geneformer {
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
        let mut out = vec![];
        let mut stream = |site: Site, axes: &[Axis]| {
            out.push(SiteInfo { site: site.clone(), axes: axes.to_vec() });
            for (cell_site, _) in self.pooled_from(&site) {
                out.push(SiteInfo { site: cell_site, axes: vec![Axis::Cell, Axis::DModel] });
            }
        };
        stream(Site::Embed, &[Axis::Cell, Axis::Token, Axis::DModel]);
        for block in 0..self.info.n_blocks {
            for place in BlockSite::ALL {
                stream(Site::Block(block, place), place.axes());
            }
        }
        if self.network.head.is_some() {
            stream(Site::Extra(MLM_TRANSFORM.into()), &[Axis::Cell, Axis::Token, Axis::DModel]);
            stream(Site::Extra(MLM_LOGITS.into()), &[Axis::Cell, Axis::Token, Axis::Vocab]);
        }
        out
    }

    fn cell_rule(&self) -> (CellRule, Site) {
        (self.rule, self.cell_site())
    }

    fn tokens_are_ordered(&self) -> bool {
        true
    }

    fn gene_tokens(&self, n: usize) -> Range<usize> {
        match self.generation {
            Generation::V1 => 0..n,
            Generation::V2 => 1.min(n)..n.saturating_sub(1).max(1.min(n)),
        }
    }

    fn token_name(&self, token: u32) -> Option<&str> {
        self.vocabulary.name(token)
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
            scaling: Scaling::AllGenes,
            first: self.vocabulary.cls,
            last: self.vocabulary.eos,
            max_tokens: cap.min(self.info.max_tokens),
        };
        rule.tokenize(counts, totals, genes)
    }

    fn attention_weights(&self, block: usize) -> Option<AttentionWeights> {
        self.network.blocks.get(block).and_then(post_ln_weights)
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
        self.run(tokens, &wanted, tap)
    }
}

/// A published size must come with the dictionaries of its own generation.
fn check_generation(config: &Config, found: Generation) -> Result<()> {
    match presets::generation_of_size(config.bert.vocab_size) {
        Some(wanted) if wanted != found => Err(Error::mismatch(
            "model and dictionaries are of different generations",
        )
        .expected(format!("{} dictionaries", wanted.name()))
        .found(format!(
            "{} dictionaries ({} <cls> and <eos>)",
            found.name(),
            if found == Generation::V2 { "with" } else { "without" }
        ))
        .remedy("V1 models go with the gc30M dictionaries, V2 models with the gc95M or gc104M ones")),
        _ => Ok(()),
    }
}

fn info(
    config: &Config,
    generation: Generation,
    vocabulary: &RankVocabulary,
    network: &Network,
    files: Vec<(String, PathBuf)>,
) -> ModelInfo {
    let v2 = generation == Generation::V2;
    let bert = &config.bert;
    let choices = json!({
        "generation": generation.name(),
        "special_tokens": if v2 { json!(["<cls>", "<eos>"]) } else { json!([]) },
        "cell_embedding": if v2 { "<cls> token of the second-to-last block" }
            else { "mean over genes of the second-to-last block" },
        "activation": "relu",
        "layer_norm_eps": format!("{:e}", bert.layer_norm_eps),
        "position_embedding": "absolute, learned",
        "target_sum": 10_000,
        "ties": "equal values keep the order of the genes in the data; the original's order is undefined",
        "mapping_dictionary": if vocabulary.has_mapping() { "used" } else { "absent: ids stand for themselves" },
        "readout": if network.head.is_some() { "masked genes, decoder tied to the word table" } else { "none" },
    });
    ModelInfo {
        family: card::FAMILY.id,
        variant: presets::name_of(config).to_string(),
        n_blocks: bert.n_blocks,
        d_model: bert.d_model,
        n_heads: bert.n_heads,
        d_mlp: bert.d_mlp,
        max_tokens: bert.max_positions,
        d_vocab: bert.vocab_size,
        n_parameters: network.n_parameters,
        files,
        choices: choices.as_object().cloned().unwrap_or_default(),
    }
}
