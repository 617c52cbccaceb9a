//! An opened Geneformer.

use std::ops::Range;
use std::path::{Path, PathBuf};

use microtome_core::{Axis, BlockSite, Counts, Error, GeneTable, Result, Site};
use microtome_weights::{Audit, Checkpoint};
use serde_json::json;

use super::config::Config;
use super::network::Network;
use super::presets::{self, Generation};
use super::vocabulary::Vocabulary;
use super::{card, dictionaries, genes};
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions};
use crate::nn::{Wanted, post_ln_weights};
use crate::tokenize::rank::RankRule;
use crate::{AttentionWeights, CellRule, Family, GeneMatch, Tap, Tokens};

pub(super) const CELL_LAST_LAYER: &str = "cell_embedding.last_layer";
pub(super) const CELL_MEAN_MODE: &str = "cell_embedding.mean_mode";
pub(super) const MLM_TRANSFORM: &str = "readout.mlm_transform";
pub(super) const MLM_LOGITS: &str = "readout.mlm_logits";

/// Weight files in the order in which they are preferred.
const WEIGHTS: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

pub(super) struct Geneformer {
    pub(super) vocabulary: Vocabulary,
    pub(super) network: Network,
    /// Published pooling; the site it applies to is [`Geneformer::cell_site`].
    pub(super) rule: CellRule,
    info: ModelInfo,
    audit: Audit,
}

impl Geneformer {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let folder = dictionaries::folder_of(path);
        let config_path = folder.join("config.json");
        Self::with_config(path, Config::read(&config_path)?)
    }

    /// Opens with a configuration that may differ from the file's; [`Geneformer::open`] is the way in.
    pub(super) fn with_config(path: &Path, config: Config) -> Result<Self> {
        let folder = dictionaries::folder_of(path);
        let weights = weights_file(path)?;
        let files = dictionaries::find(&folder, Some(config.vocab_size))?;
        let vocabulary = Vocabulary::read(&files)?;
        check_generation(&config, &vocabulary).map_err(|e| e.in_file(&files.tokens))?;
        let checkpoint = Checkpoint::open(&weights)?;
        let (network, audit) = Network::load(&checkpoint, &config).map_err(|e| e.in_file(&weights))?;
        let rule = match vocabulary.generation {
            Generation::V1 => CellRule::Mean,
            Generation::V2 => CellRule::Token(0),
        };
        let mut named: Vec<(String, PathBuf)> = vec![
            ("weights".into(), weights),
            ("config".into(), folder.join("config.json")),
            ("token dictionary".into(), files.tokens),
            ("gene medians".into(), files.medians),
        ];
        named.extend(files.mapping.map(|p| ("Ensembl mapping".into(), p)));
        named.extend(files.names.map(|p| ("gene names".into(), p)));
        let info = info(&config, &vocabulary, &network, named);
        Ok(Self { vocabulary, network, rule, info, audit })
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
            if self.vocabulary.generation == Generation::V2 {
                out.push((Site::Extra(CELL_MEAN_MODE.into()), CellRule::Mean));
            }
        }
        if self.info.n_blocks > 0 && *site == Site::resid_post(self.info.n_blocks - 1) {
            out.push((Site::Extra(CELL_LAST_LAYER.into()), self.rule));
        }
        out
    }

    fn check_tokens(&self, tokens: &Tokens) -> Result<()> {
        if let Some(&id) = tokens.ids.iter().find(|&&id| id as usize >= self.info.d_vocab) {
            return Err(Error::mismatch("a token is not in the model's vocabulary")
                .expected(format!("below {}", self.info.d_vocab))
                .found(id.to_string()));
        }
        let longest = (0..tokens.n_cells()).map(|c| tokens.len_of(c)).max().unwrap_or(0);
        if longest > self.info.max_tokens {
            return Err(Error::mismatch("a cell is longer than the model's positions")
                .expected(format!("at most {} tokens", self.info.max_tokens))
                .found(longest.to_string()));
        }
        Ok(())
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

    fn gene_tokens(&self, n: usize) -> Range<usize> {
        match self.vocabulary.generation {
            Generation::V1 => 0..n,
            Generation::V2 => 1.min(n)..n.saturating_sub(1).max(1.min(n)),
        }
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
        totals: Option<CellTotals<'_>>,
        genes: &GeneMatch,
        options: &TokenizeOptions,
    ) -> Result<Tokens> {
        let cap = options.max_tokens.unwrap_or(self.info.max_tokens);
        let rule = RankRule {
            divisor: &self.vocabulary.medians,
            first: self.vocabulary.cls,
            last: self.vocabulary.eos,
            max_tokens: cap.min(self.info.max_tokens),
        };
        rule.tokenize(counts, totals, genes)
    }

    fn attention_weights(&self, block: usize) -> Option<AttentionWeights> {
        self.network.blocks.get(block).and_then(post_ln_weights)
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

fn weights_file(path: &Path) -> Result<PathBuf> {
    if path.is_file() && path.file_name().is_some_and(|n| n != "config.json") {
        return Ok(path.to_path_buf());
    }
    let folder = dictionaries::folder_of(path);
    WEIGHTS.iter().map(|name| folder.join(name)).find(|p| p.is_file()).ok_or_else(|| {
        Error::unreadable("the model's weights are missing")
            .in_file(&folder)
            .expected(WEIGHTS.join(", "))
            .remedy("copy the file from the model's folder of Hugging Face ctheodoris/Geneformer")
    })
}

/// A published size must come with the dictionaries of its own generation.
fn check_generation(config: &Config, vocabulary: &Vocabulary) -> Result<()> {
    match presets::generation_of_size(config.vocab_size) {
        Some(wanted) if wanted != vocabulary.generation => Err(Error::mismatch(
            "model and dictionaries are of different generations",
        )
        .expected(format!("{} dictionaries", wanted.name()))
        .found(format!(
            "{} dictionaries ({} <cls> and <eos>)",
            vocabulary.generation.name(),
            if vocabulary.generation == Generation::V2 { "with" } else { "without" }
        ))
        .remedy("V1 models go with the gc30M dictionaries, V2 models with the gc95M or gc104M ones")),
        _ => Ok(()),
    }
}

fn info(
    config: &Config,
    vocabulary: &Vocabulary,
    network: &Network,
    files: Vec<(String, PathBuf)>,
) -> ModelInfo {
    let v2 = vocabulary.generation == Generation::V2;
    let choices = json!({
        "generation": vocabulary.generation.name(),
        "special_tokens": if v2 { json!(["<cls>", "<eos>"]) } else { json!([]) },
        "cell_embedding": if v2 { "<cls> token of the second-to-last block" }
            else { "mean over genes of the second-to-last block" },
        "activation": "relu",
        "layer_norm_eps": format!("{:e}", config.layer_norm_eps),
        "position_embedding": "absolute, learned",
        "target_sum": 10_000,
        "ties": "equal values keep the order of the genes in the data; the original's order is undefined",
        "mapping_dictionary": if vocabulary.has_mapping() { "used" } else { "absent: ids stand for themselves" },
        "readout": if network.head.is_some() { "masked genes, decoder tied to the word table" } else { "none" },
    });
    ModelInfo {
        family: card::FAMILY.id,
        variant: presets::name_of(config).to_string(),
        n_blocks: config.n_blocks,
        d_model: config.d_model,
        n_heads: config.n_heads,
        d_mlp: config.d_mlp,
        max_tokens: config.max_tokens,
        d_vocab: config.vocab_size,
        n_parameters: network.n_parameters,
        files,
        choices: choices.as_object().cloned().unwrap_or_default(),
    }
}
