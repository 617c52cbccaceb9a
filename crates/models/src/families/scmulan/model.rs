//! An opened scMulan.

use std::ops::Range;
use std::path::{Path, PathBuf};

use microtome_core::{Counts, Error, GeneTable, Matrix, Result, Site};
use microtome_weights::{Audit, Checkpoint};
use serde_json::json;

use super::card::{self, VARIANTS};
use super::config::{self, Config};
use super::meta::{self, Meta};
use super::network::Network;
use crate::hugging_face::folder_of;
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions};
use crate::nn::Wanted;
use crate::{BlockLayout, CellRule, Family, GeneMatch, Rewritten, Tap, Tokens};

pub(super) struct ScMulan {
    pub(super) config: Config,
    pub(super) meta: Meta,
    pub(super) network: Network,
    /// Whether tokens of the input may be generated again; never, unless a test says so.
    pub(super) repeats: bool,
    /// Position of the published vector in the last pass, counted from 1 at its end; 2, unless a test says otherwise.
    pub(super) vector_from_end: usize,
    info: ModelInfo,
    audit: Audit,
}

impl ScMulan {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let folder = folder_of(path);
        let (meta, meta_path) = Meta::read(&folder)?;
        let weights = weights_file(path)?;
        let checkpoint = Checkpoint::open(&weights)?;
        let config = config_of(&checkpoint, &folder)?;
        if meta.tokens.len() != config.vocab_size {
            return Err(Error::mismatch("model and vocabulary do not belong together")
                .in_file(meta_path)
                .at_key("token_set")
                .expected(format!("{} tokens (vocab_size of the model)", config.vocab_size))
                .found(meta.tokens.len().to_string()));
        }
        let (network, audit) = Network::load(&checkpoint, &config).map_err(|e| e.in_file(&weights))?;
        let info = info(&config, &meta, &network, vec![("weights".into(), weights), ("vocabulary".into(), meta_path)]);
        Ok(Self { config, meta, network, repeats: false, vector_from_end: 2, info, audit })
    }

    fn check_tokens(&self, tokens: &Tokens) -> Result<()> {
        if let Some(id) = tokens.ids.iter().find(|&&id| id as usize >= self.config.vocab_size) {
            return Err(Error::mismatch("a token is not in the model's vocabulary")
                .expected(format!("below {}", self.config.vocab_size))
                .found(id.to_string()));
        }
        let longest = (0..tokens.n_cells()).map(|c| tokens.len_of(c)).max().unwrap_or(0);
        if longest > self.info.max_tokens {
            return Err(Error::mismatch("a cell has more tokens than the model has genes")
                .expected(format!("at most {} (every gene and the task)", self.info.max_tokens))
                .found(longest.to_string()));
        }
        let is_level = |v: f32| v.fract() == 0.0 && (0.0..=self.config.n_levels as f32).contains(&v);
        match tokens.values.iter().find(|v| !is_level(**v)) {
            Some(v) => Err(Error::mismatch("a value is not a level of expression")
                .expected(format!("a whole number from 0 to {}", self.config.n_levels))
                .found(v.to_string())),
            None => Ok(()),
        }
    }
}

impl Model for ScMulan {
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
        Network::sites(self.info.n_blocks)
    }

    /// The published vector is of a generated token and so of no position of the input; at other sites the task token stands in.
    fn cell_rule(&self) -> (CellRule, Site) {
        (CellRule::FromEnd(0), Site::FinalNorm)
    }

    fn gene_tokens(&self, n: usize) -> Range<usize> {
        0..n.saturating_sub(1)
    }

    fn token_name(&self, token: u32) -> Option<&str> {
        self.meta.tokens.get(token as usize).map(String::as_str)
    }

    fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch> {
        self.meta.match_genes(genes)
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
        Matrix::new(self.config.vocab_size, self.info.d_model, self.network.words.clone()).ok()
    }

    fn block_layout(&self, block: usize) -> Option<BlockLayout> {
        self.network.stack.block_layout(block)
    }

    /// With the configuration that untrained models have, which states what the pickle of the published file does.
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

/// The dimensions stand in the published container, or in `config.json` beside other containers.
pub(super) fn config_of(checkpoint: &Checkpoint, folder: &Path) -> Result<Config> {
    match checkpoint.value("model_args") {
        None if config::is_ours(folder) => Config::read(folder),
        _ => Config::of_checkpoint(checkpoint),
    }
}

/// The weights that a path means: itself, `model.safetensors`, or the only `.pt` of a folder besides the vocabulary.
pub(super) fn weights_file(path: &Path) -> Result<PathBuf> {
    let is_weights = |n: &std::ffi::OsStr| n != "config.json" && n != meta::FILE;
    if path.is_file() && path.file_name().is_some_and(is_weights) {
        return Ok(path.to_path_buf());
    }
    let folder = folder_of(path);
    let own = folder.join("model.safetensors");
    if own.is_file() {
        return Ok(own);
    }
    let found = checkpoints(&folder);
    match &found[..] {
        [one] => Ok(one.clone()),
        _ => Err(Error::unreadable("the folder does not hold one checkpoint")
            .in_file(&folder)
            .expected("one .pt besides meta_info.pt, such as ckpt_scMulan.pt, or model.safetensors")
            .found(format!("{} such files", found.len()))
            .remedy("name the file itself")),
    }
}

/// Every `.pt` of a folder but the vocabulary.
pub(super) fn checkpoints(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let is_one = |p: &PathBuf| {
        p.extension().is_some_and(|e| e == "pt") && p.file_name().is_some_and(|n| n != meta::FILE) && p.is_file()
    };
    entries.filter(is_one).collect()
}

fn info(config: &Config, meta: &Meta, network: &Network, files: Vec<(String, PathBuf)>) -> ModelInfo {
    let s = &config.shape;
    let choices = json!({
        "cell_embedding": "final_norm of the last pass of a greedy generation of at most 3 tokens, last position but one, as published",
        "cell_embedding.task_token": "final_norm at <PCT>, without generation: cheap, and not the reference",
        "generation": "greedy; tokens of the input but its last are never generated; equal logits by the vocabulary's order",
        "genes": "expressed genes from the end of the list of genes to its beginning, then <PCT>",
        "bins": format!("{} of equal width between 0 and the cell's greatest log1p value, closed on the right", config.n_levels),
        "target_sum": 10_000,
        "totals": "over all genes of the data (the authors: over 42,117 unified symbols)",
        "positions": format!("none; training saw at most {} tokens", config.block_size),
        "attention": "causal",
        "activation": "gelu_tanh",
        "layer_norm_eps": format!("{:e}", s.eps),
    });
    let variant = VARIANTS.iter().find(|v| {
        let of = Config::of_variant(v);
        of.shape == *s && of.n_levels == config.n_levels
    });
    ModelInfo {
        family: card::FAMILY.id,
        variant: variant.map_or("custom", |v| v.id).into(),
        n_blocks: s.n_blocks,
        d_model: s.d_model,
        n_heads: s.n_heads,
        d_mlp: s.d_mlp,
        max_tokens: meta.genes.len() + 1,
        d_vocab: config.vocab_size,
        n_parameters: network.n_parameters,
        files,
        choices: choices.as_object().cloned().unwrap_or_default(),
    }
}
