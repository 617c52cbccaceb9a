//! An opened Nicheformer.

use std::ops::Range;
use std::path::{Path, PathBuf};

use microtome_core::{Axis, BlockSite, Counts, Error, GeneTable, Matrix, Result, Site};
use microtome_weights::{Audit, Checkpoint};
use serde_json::json;

use super::config::{Config, LAYER_NORM_EPS};
use super::contexts::{self, N_CONTEXTS};
use super::network::Network;
use super::presets::VARIANTS;
use super::recipe::Recipe;
use super::tokens::{ATTENTION_MASK, Tokenizer};
use super::vocabulary::{Means, Vocabulary};
use super::{card, genes, kit};
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions};
use crate::nn::{Wanted, post_ln_weights};
use crate::parity::{KitCase, KitPlan};
use crate::{AttentionWeights, BlockLayout, CellRule, Family, GeneMatch, Rewritten, Tap, Tokens};

pub(super) const WITH_CONTEXT: &str = "cell_embedding_with_context";
pub(super) const MASKED_MEAN: &str = "cell_embedding_masked_mean";
pub(super) const MLM_LOGITS: &str = "readout.mlm_logits";

/// Weight files of the Hugging Face layout, in the order in which they are preferred.
const WEIGHTS: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

pub(super) struct Nicheformer {
    pub(super) vocabulary: Vocabulary,
    pub(super) means: Means,
    pub(super) network: Network,
    config: Config,
    info: ModelInfo,
    audit: Audit,
}

impl Nicheformer {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let folder = folder_of(path);
        let (weights, config) = parts(path)?;
        let vocabulary = Vocabulary::read(&folder)?;
        vocabulary.check(config.n_genes())?;
        let means = Means::read(&folder, config.n_genes())?;
        let checkpoint = Checkpoint::open(&weights)?;
        let (network, audit) = Network::load(&checkpoint, &config).map_err(|e| e.in_file(&weights))?;
        let info = info(&config, &vocabulary, &means, &network, weights);
        Ok(Self { vocabulary, means, network, config, info, audit })
    }

    /// The recipe in force: by name, or by what the folder holds.
    fn recipe(&self, options: &TokenizeOptions) -> Result<Recipe> {
        Recipe::parse(options.recipe.as_deref().unwrap_or(default_recipe(&self.means)))
    }

    fn check_tokens(&self, tokens: &Tokens) -> Result<()> {
        if let Some(id) = tokens.ids.iter().find(|&&id| id as usize >= self.info.d_vocab) {
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
        match tokens.per_token.get(ATTENTION_MASK) {
            Some(mask) if mask.len() != tokens.ids.len() => {
                Err(Error::usage("the attention mask is not as long as the tokens").at_key(ATTENTION_MASK))
            }
            _ => Ok(()),
        }
    }
}

impl Model for Nicheformer {
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
        let mut out = vec![SiteInfo { site: Site::Embed, axes: vec![Axis::Cell, Axis::Token, Axis::DModel] }];
        for block in 0..self.info.n_blocks {
            let places = BlockSite::ALL.into_iter();
            out.extend(places.map(|p| SiteInfo { site: Site::Block(block, p), axes: p.axes().to_vec() }));
        }
        let cells = self.cell_sites().into_iter();
        out.extend(cells.map(|site| SiteInfo { site, axes: vec![Axis::Cell, Axis::DModel] }));
        if self.network.head.is_some() {
            let axes = vec![Axis::Cell, Axis::Token, Axis::Vocab];
            out.push(SiteInfo { site: Site::Extra(MLM_LOGITS.into()), axes });
        }
        out
    }

    /// Mean over every position behind the contexts, padding included.
    fn cell_rule(&self) -> (CellRule, Site) {
        (CellRule::Mean, Site::resid_post(self.info.n_blocks - 1))
    }

    /// Everything behind the contexts; which of it is padding, the column [`crate::GENE_MASK`] says.
    fn tokens_are_ordered(&self) -> bool {
        true
    }

    fn gene_tokens(&self, n: usize) -> Range<usize> {
        N_CONTEXTS.min(n)..n
    }

    fn token_name(&self, token: u32) -> Option<&str> {
        self.vocabulary.name(token)
    }

    fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch> {
        genes::match_genes(&self.vocabulary.genes, genes)
    }

    fn tokenize(
        &self,
        counts: &Counts,
        _totals: Option<CellTotals<'_>>,
        genes: &GeneMatch,
        options: &TokenizeOptions,
    ) -> Result<Tokens> {
        let cap = options.max_tokens.unwrap_or(self.info.max_tokens);
        let tokenizer = Tokenizer {
            vocabulary: &self.vocabulary,
            means: &self.means,
            recipe: self.recipe(options)?,
            max_tokens: cap.min(self.info.max_tokens),
        };
        let contexts = contexts::tokens(&self.vocabulary.specials, &options.contexts, counts.n_cells())?;
        tokenizer.tokens(counts, genes, &contexts)
    }

    fn gene_table(&self) -> Option<Matrix> {
        Matrix::new(self.info.d_vocab, self.network.d, self.network.words.clone()).ok()
    }

    fn kit_plan(&self, case: &KitCase<'_>) -> Result<KitPlan> {
        kit::plan(self, case)
    }

    fn attention_weights(&self, block: usize) -> Option<AttentionWeights> {
        self.network.blocks.get(block).and_then(post_ln_weights)
    }

    fn block_layout(&self, block: usize) -> Option<BlockLayout> {
        self.network.block_layout(block)
    }

    fn key_bias(&self, tokens: &Tokens) -> Option<Vec<f32>> {
        Some(self.hidden_keys(tokens))
    }

    /// With the configuration in the layout of Hugging Face, which states what a Lightning checkpoint does.
    fn rewritten(&self) -> Rewritten {
        let text = format!("{:#}\n", self.config.to_json());
        Rewritten { texts: vec![("config.json".into(), text)], ..Rewritten::default() }
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

fn default_recipe(means: &Means) -> &'static str {
    if means.by_technology.is_empty() { "hf-default" } else { "paper-notebook" }
}

/// The folder a checkpoint path means: itself, or the parent of a weights file.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.to_path_buf();
    }
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// The Lightning checkpoint that a path means: itself, or the only `.ckpt` of a folder without `config.json`.
pub(super) fn lightning(path: &Path) -> Option<PathBuf> {
    let is = |p: &Path| p.extension().is_some_and(|e| e == "ckpt") && p.is_file();
    if path.is_file() {
        return is(path).then(|| path.to_path_buf());
    }
    if path.join("config.json").is_file() {
        return None;
    }
    let found: Vec<PathBuf> =
        std::fs::read_dir(path).ok()?.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| is(p)).collect();
    match &found[..] {
        [one] => Some(one.clone()),
        _ => None,
    }
}

/// Weights and dimensions.
pub(super) fn parts(path: &Path) -> Result<(PathBuf, Config)> {
    if let Some(file) = lightning(path) {
        let config = Config::of_checkpoint(&Checkpoint::open(&file)?)?;
        return Ok((file, config));
    }
    let folder = folder_of(path);
    let config = Config::read(&folder.join("config.json"))?;
    if path.is_file() && path.file_name().is_some_and(|n| n != "config.json") {
        return Ok((path.to_path_buf(), config));
    }
    let weights = WEIGHTS.iter().map(|n| folder.join(n)).find(|p| p.is_file()).ok_or_else(|| {
        Error::unreadable("the model's weights are missing")
            .in_file(&folder)
            .expected(format!("{}, or a .ckpt of the authors' trainer", WEIGHTS.join(", ")))
    })?;
    Ok((weights, config))
}

fn info(
    config: &Config,
    vocabulary: &Vocabulary,
    means: &Means,
    network: &Network,
    weights: PathBuf,
) -> ModelInfo {
    let mut files =
        vec![("weights".to_string(), weights), ("gene list".to_string(), vocabulary.file.clone())];
    files.extend(means.files.iter().map(|f| ("technology mean".to_string(), f.clone())));
    let choices = json!({
        "recipes": Recipe::ALL.map(|(n, _)| n),
        "recipe": default_recipe(means),
        "context_columns": contexts::COLUMNS.map(|(c, _)| c),
        "unknown_context": "a hidden padding token in its place",
        "padding_token": vocabulary.pad,
        "cell_embedding": "mean over all positions behind the three contexts, padding included (genes alone where a recipe does not pad)",
        "ties": "numba 0.68.1 argsort, which is not stable",
        "target_sum": 10_000,
        "activation": "relu",
        "layer_norm_eps": format!("{LAYER_NORM_EPS:e}"),
        "position_embedding": "learned, contexts at 0 to 2",
        "readout": if network.head.is_some() { "masked genes" } else { "none" },
    });
    let published = VARIANTS
        .iter()
        .find(|v| Config::of_variant(v, config.n_genes()) == *config && v.d_vocab == config.n_rows());
    ModelInfo {
        family: card::FAMILY.id,
        variant: published.map_or("custom", |v| v.id).to_string(),
        n_blocks: config.n_blocks,
        d_model: config.d_model,
        n_heads: config.n_heads,
        d_mlp: config.d_mlp,
        max_tokens: config.context_length,
        d_vocab: config.n_rows(),
        n_parameters: network.n_parameters,
        files,
        choices: choices.as_object().cloned().unwrap_or_default(),
    }
}
