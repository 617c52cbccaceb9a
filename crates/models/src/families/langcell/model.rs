//! An opened LangCell.

use std::ops::Range;
use std::path::Path;

use microtome_core::{Axis, Counts, GeneTable, Matrix, Result, Site};
use microtome_weights::Audit;
use serde_json::json;

use super::card::{self, VARIANTS};
use super::files::{self, Config, Files};
use super::network::{CELL_CLS, Network};
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions, stream_sites};
use crate::nn::Wanted;
use crate::nn::bert::BertConfig;
use crate::tokenize::rank::{RankRule, Scaling};
use crate::tokenize::rank_genes;
use crate::tokenize::rank_vocabulary::RankVocabulary;
use crate::{CellRule, Family, GeneMatch, Tap, Tokens};
use crate::{BlockLayout, Rewritten};
use crate::nn::bert::block_layout;

pub(super) struct LangCell {
    pub(super) vocabulary: RankVocabulary,
    pub(super) network: Network,
    info: ModelInfo,
    audit: Audit,
}

impl LangCell {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let (files, config) = files::find(path)?;
        let vocabulary = RankVocabulary::read(&files.dictionaries)?.with_cls();
        let (network, audit) = Network::load(&files, &config)?;
        let info = info(&config, &network, files);
        Ok(Self { vocabulary, network, info, audit })
    }
}

impl Model for LangCell {
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
        for site in [Site::Extra(CELL_CLS.into()), Site::CellEmbedding] {
            out.push(SiteInfo { site, axes: vec![Axis::Cell, Axis::DModel] });
        }
        out
    }

    /// `<cls>`; the site `cell_embedding` is its projection.
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
            scaling: Scaling::AllGenes,
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
        self.network.blocks.get(block).and_then(|b| block_layout("", block, b))
    }

    fn rewritten(&self) -> Rewritten {
        Rewritten { folder: files::TOWER, ..Rewritten::default() }
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

fn info(config: &Config, network: &Network, files: Files) -> ModelInfo {
    let bert = &config.bert;
    let published = |v: &&crate::Variant| BertConfig::of_variant(v, v.max_tokens, bert.activation).same_size(bert);
    let choices = json!({
        "special_tokens": ["<cls>"],
        "cell_embedding": format!("<cls> of the last block through a linear map to {}, divided by its length", network.projection.n_out()),
        "activation": bert.activation_name(),
        "layer_norm_eps": format!("{:e}", bert.layer_norm_eps),
        "position_embedding": "absolute, learned",
        "target_sum": 10_000,
        "ties": "equal values keep the order of the genes in the data; the original's order is undefined",
        "text_tower": "not read: it takes text",
    });
    let mut named = vec![
        ("weights".to_string(), files.weights),
        ("projection".into(), files.projection),
        ("config".into(), files.config),
    ];
    named.extend(files.dictionaries.named());
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
        files: named,
        choices: choices.as_object().cloned().unwrap_or_default(),
    }
}
