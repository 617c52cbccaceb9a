//! An opened tGPT.

use std::ops::Range;
use std::path::Path;

use microtome_core::{Counts, Error, GeneTable, Matrix, Result, Site};
use microtome_weights::{Audit, Checkpoint, Loader};
use serde_json::json;

use super::card::{self, VARIANTS};
use super::config::Config;
use super::tokens::WINDOW;
use super::vocabulary::Vocabulary;
use crate::hugging_face::{folder_of, weights_file};
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions};
use crate::nn::Wanted;
use crate::nn::gpt::lm::GptLm;
use crate::{BlockLayout, CellRule, Family, GeneMatch, Tap, Tokens};

pub(super) struct Tgpt {
    pub(super) config: Config,
    pub(super) vocabulary: Vocabulary,
    pub(super) network: GptLm,
    /// Published pooling of `final_norm`.
    pub(super) rule: CellRule,
    info: ModelInfo,
    audit: Audit,
}

impl Tgpt {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let folder = folder_of(path);
        let (config_path, vocabulary_path) = (folder.join("config.json"), folder.join("tokenizer.json"));
        let config = Config::read(&config_path)?;
        let vocabulary = Vocabulary::read(&vocabulary_path)?;
        if vocabulary.len() != config.vocab_size {
            return Err(Error::mismatch("model and tokeniser do not belong together")
                .in_file(vocabulary_path)
                .expected(format!("{} entries (vocab_size of config.json)", config.vocab_size))
                .found(vocabulary.len().to_string()));
        }
        let weights = weights_file(path, "copy the file from Hugging Face lixiangchun/transcriptome-gpt-1024-8-16-64")?;
        let checkpoint = Checkpoint::open(&weights)?;
        let loader = Loader::new(&checkpoint);
        let network = GptLm::load(&loader, config.vocab_size, config.n_positions, &config.shape)
            .map_err(|e| e.in_file(&weights))?;
        let audit = loader.finish(true).map_err(|e| e.in_file(&weights))?;
        let n_parameters = audit.used.iter().map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum();
        let files = vec![
            ("weights".into(), weights),
            ("config".into(), config_path),
            ("tokeniser".into(), vocabulary_path),
        ];
        let variant = VARIANTS.iter().find(|v| Config::of_variant(v) == config);
        let choices = json!({
            "cell_embedding": "mean of final_norm over the genes, as published",
            "window": format!("{WINDOW} tokens, </b> and </s> among them, as published; up to {} when asked for", config.n_positions),
            "ties": "equal counts by the vocabulary's order; as published: in the order of the columns",
            "symbols": "- and . are written _; genes outside the vocabulary are left out",
            "attention": "causal: a gene sees more expressed genes only",
            "activation": "gelu_tanh",
            "layer_norm_eps": format!("{:e}", config.shape.eps),
        });
        let info = ModelInfo {
            family: card::FAMILY.id,
            variant: variant.map_or("custom", |v| v.id).into(),
            n_blocks: config.shape.n_blocks,
            d_model: config.shape.d_model,
            n_heads: config.shape.n_heads,
            d_mlp: config.shape.d_mlp,
            max_tokens: config.n_positions,
            d_vocab: config.vocab_size,
            n_parameters,
            files,
            choices: choices.as_object().cloned().unwrap_or_default(),
        };
        Ok(Self { config, vocabulary, network, rule: CellRule::Mean, info, audit })
    }
}

impl Model for Tgpt {
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
        1.min(n)..n.saturating_sub(1).max(1.min(n))
    }

    fn token_name(&self, token: u32) -> Option<&str> {
        self.vocabulary.names.get(token as usize).map(String::as_str)
    }

    fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch> {
        self.vocabulary.match_genes(genes)
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
