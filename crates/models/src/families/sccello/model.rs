//! An opened scCello.

use std::ops::Range;
use std::path::{Path, PathBuf};

use microtome_core::{Axis, Counts, GeneTable, Matrix, Result, Site};
use microtome_weights::{Audit, Checkpoint};
use serde_json::json;

use super::card::{self, VARIANTS};
use super::config::{Config, DICTIONARIES};
use super::network::{MLM_LOGITS, MLM_TRANSFORM, Network};
use crate::hugging_face::{folder_of, weights_file};
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions, stream_sites};
use crate::nn::Wanted;
use crate::nn::bert::BertConfig;
use crate::tokenize::rank::{RankRule, Scaling};
use crate::tokenize::{rank_files, rank_genes};
use crate::tokenize::rank_vocabulary::RankVocabulary;
use crate::{CellRule, Family, GeneMatch, Tap, Tokens};
use crate::BlockLayout;
use crate::nn::bert::block_layout;

pub(super) struct ScCello {
    pub(super) vocabulary: RankVocabulary,
    pub(super) network: Network,
    pub(super) scaling: Scaling,
    info: ModelInfo,
    audit: Audit,
}

impl ScCello {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let folder = folder_of(path);
        let config_path = folder.join("config.json");
        let config = Config::read(&config_path)?;
        let weights = weights_file(path, "download the folder of Hugging Face katarinayuan/scCello-zeroshot")?;
        let files = rank_files::find(&folder, Some(config.bert.vocab_size), &DICTIONARIES)?;
        let vocabulary = RankVocabulary::read(&files)?.with_cls();
        let checkpoint = Checkpoint::open(&weights)?;
        let (network, audit) = Network::load(&checkpoint, &config).map_err(|e| e.in_file(&weights))?;
        let mut named = vec![("weights".to_string(), weights), ("config".into(), config_path)];
        named.extend(files.named());
        let info = info(&config, &network, named);
        Ok(Self { vocabulary, network, scaling: Scaling::KnownGenes, info, audit })
    }
}

impl Model for ScCello {
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
        for site in self.network.cell_sites() {
            out.push(SiteInfo { site, axes: vec![Axis::Cell, Axis::DModel] });
        }
        if self.network.gene_head.is_some() {
            for (name, last) in [(MLM_TRANSFORM, Axis::DModel), (MLM_LOGITS, Axis::Vocab)] {
                out.push(SiteInfo { site: Site::Extra(name.into()), axes: vec![Axis::Cell, Axis::Token, last] });
            }
        }
        out
    }

    /// `<cls>` of the last block.
    fn cell_rule(&self) -> (CellRule, Site) {
        (self.network.rule, Site::resid_post(self.info.n_blocks - 1))
    }

    fn tokens_are_ordered(&self) -> bool {
        true
    }

    fn gene_tokens(&self, n: usize) -> Range<usize> {
        1.min(n)..n
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
            scaling: self.scaling,
            first: self.vocabulary.cls,
            last: None,
            max_tokens: cap.min(self.info.max_tokens),
        };
        rule.tokenize(counts, totals, genes)
    }

    fn gene_table(&self) -> Option<Matrix> {
        Matrix::new(self.info.d_vocab, self.info.d_model, self.network.embedding.words.clone()).ok()
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
    let published = |v: &&crate::Variant| BertConfig::of_variant(v, v.max_tokens, bert.activation).same_size(bert);
    let choices = json!({
        "special_tokens": ["<cls>"],
        "cell_embedding": "<cls> of the last block",
        "activation": bert.activation_name(),
        "layer_norm_eps": format!("{:e}", bert.layer_norm_eps),
        "position_embedding": "absolute, learned",
        "target_sum": 10_000,
        "total": "over the genes of the vocabulary",
        "tau": config.tau,
        "ties": "equal values keep the order of the genes in the data; the original's order is undefined",
        "readout": if network.gene_head.is_some() { "cosines with the genes, divided by tau" } else { "none" },
    });
    ModelInfo {
        family: card::FAMILY.id,
        variant: VARIANTS.iter().find(published).map_or("custom", |v| v.id).to_string(),
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
