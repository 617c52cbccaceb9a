//! An opened CellFM.

use std::ops::Range;
use std::path::{Path, PathBuf};

use microtome_core::{Axis, Counts, Error, GeneTable, Matrix, Result, Site};
use microtome_weights::{Audit, Checkpoint};
use serde_json::{Value, json};

use super::config::{Config, LAYER_NORM_EPS, LEAKY_SLOPE, declared_heads};
use super::gene_list::{self, folder_of};
use super::network::Network;
use super::presets::VARIANTS;
use super::tokens::{self, MAX_GENES};
use super::{card, genes, kit, retention};
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions};
use crate::nn::Wanted;
use crate::parity::{KitCase, KitPlan};
use crate::{CellRule, Family, GeneMatch, Tap, Tokens};

pub(super) const GENE_WISE: &str = "readout.gene_wise";
pub(super) const CELL_WISE: &str = "readout.cell_wise";

pub(super) struct CellFm {
    pub(super) genes: Vec<String>,
    /// Place of every token among the sorted symbols.
    order: Vec<u32>,
    pub(super) network: Network,
    config: Config,
    weights: PathBuf,
    info: ModelInfo,
    audit: Audit,
}

impl CellFm {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::with_heads(path, declared_heads(&folder_of(path))?)
    }

    /// Opens with a number of heads that no file states; published heads are 32 wide.
    pub(super) fn with_heads(path: &Path, n_heads: Option<usize>) -> Result<Self> {
        let weights = weights_file(path)?;
        let checkpoint = Checkpoint::open(&weights)?;
        let config = Config::of_checkpoint(&checkpoint, n_heads)?;
        let (list, genes) = gene_list::find(&folder_of(path), Some(config.n_rows))?;
        let (network, audit) = Network::load(&checkpoint, &config).map_err(|e| e.in_file(&weights))?;
        let mut sorted: Vec<usize> = (0..genes.len()).collect();
        sorted.sort_unstable_by_key(|&i| &genes[i]);
        let mut order = vec![0; config.n_rows + 1];
        for (place, gene) in (0..).zip(sorted) {
            order[gene + 1] = place;
        }
        let info =
            info(&config, &network, vec![("weights".into(), weights.clone()), ("gene list".into(), list)]);
        Ok(Self { genes, order, network, config, weights, info, audit })
    }

    /// Token of the cell, behind the rows of the gene table.
    pub(super) fn cls(&self) -> u32 {
        self.config.n_rows as u32
    }

    fn check_tokens(&self, tokens: &Tokens) -> Result<()> {
        if let Some(id) = tokens.ids.iter().find(|&&id| id > self.cls()) {
            return Err(Error::mismatch("a token is not in the model's vocabulary")
                .expected(format!("at most {}, the cell token", self.cls()))
                .found(id.to_string()));
        }
        match (0..tokens.n_cells()).find(|&c| tokens.len_of(c) == 1) {
            Some(cell) => Err(Error::mismatch(
                "a cell of one token has no genes, and values are scaled by their number",
            )
            .at_key(format!("cell {cell}"))
            .expected("the cell token and at least one gene")),
            None => Ok(()),
        }
    }
}

impl Model for CellFm {
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
        let mut out = vec![(Site::Embed, vec![Axis::Cell, Axis::Token, Axis::DModel])];
        out.extend((0..self.config.n_blocks).flat_map(retention::sites));
        out.push((Site::CellEmbedding, vec![Axis::Cell, Axis::DModel]));
        out.extend([GENE_WISE, CELL_WISE].map(|n| (Site::Extra(n.into()), vec![Axis::Cell, Axis::Gene])));
        out.into_iter().map(|(site, axes)| SiteInfo { site, axes }).collect()
    }

    fn cell_rule(&self) -> (CellRule, Site) {
        (CellRule::Token(0), Site::resid_post(self.config.n_blocks - 1))
    }

    fn gene_tokens(&self, n: usize) -> Range<usize> {
        1.min(n)..n
    }

    fn token_name(&self, token: u32) -> Option<&str> {
        match token {
            0 => Some("<pad>"),
            t if t == self.cls() => Some("<cls>"),
            t => self.genes.get(t as usize - 1).map(String::as_str),
        }
    }

    fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch> {
        genes::match_genes(&self.genes, genes)
    }

    fn tokenize(
        &self,
        counts: &Counts,
        _totals: Option<CellTotals<'_>>,
        genes: &GeneMatch,
        options: &TokenizeOptions,
    ) -> Result<Tokens> {
        tokens::tokens(counts, genes, &self.order, self.cls(), options)
    }

    fn gene_table(&self) -> Option<Matrix> {
        Matrix::new(self.config.n_rows + 1, self.network.d, self.network.words.clone()).ok()
    }

    fn declared_by(&self, manifest: &Value) -> Result<Option<Box<dyn Model>>> {
        let heads = manifest["config"]["heads"].as_u64().and_then(|n| usize::try_from(n).ok());
        match heads {
            Some(n) if n != self.config.n_heads => {
                Ok(Some(Box::new(Self::with_heads(&self.weights, Some(n))?)))
            }
            _ => Ok(None),
        }
    }

    fn kit_plan(&self, case: &KitCase<'_>) -> Result<KitPlan> {
        kit::plan(self, case)
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

/// The weights that a path means: itself, `model.safetensors`, or the only MindSpore checkpoint of a folder.
pub(super) fn weights_file(path: &Path) -> Result<PathBuf> {
    if path.is_file() && path.file_name().is_some_and(|n| n != "config.json") {
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
            .expected("one .ckpt, such as CellFM_80M_weight.ckpt, or model.safetensors")
            .found(format!("{} files .ckpt", found.len()))
            .remedy("name the file itself")),
    }
}

/// Every `.ckpt` of a folder.
pub(super) fn checkpoints(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "ckpt") && p.is_file()).collect()
}

fn info(config: &Config, network: &Network, files: Vec<(String, PathBuf)>) -> ModelInfo {
    let variant = VARIANTS.iter().find(|v| {
        (v.n_blocks, v.d_model, v.n_heads, v.d_vocab)
            == (config.n_blocks, config.d_model, config.n_heads, config.n_rows + 1)
    });
    let choices = json!({
        "cell_embedding": "cell token of the last block",
        "mixer": "linear attention, ReLU features, not normalised over keys, rescaled per head, SiLU gate",
        "map": "relu(q) . relu(k) / d_head, non-negative, not normalised",
        "attn.z": "rescaled and gated, what the output map takes",
        "deep_norm_alpha": config.alpha(),
        "layer_norm_eps": format!("{LAYER_NORM_EPS:e}"),
        "leaky_relu_slope": LEAKY_SLOPE,
        "feed_forward": "bilinear, no activation",
        "heads": "not in the published file: of width 32 unless config.json says otherwise",
        "most_genes": MAX_GENES,
        "too_many_genes": "the highest counts stay (as published: a draw by log1p of the counts)",
        "target_sum": 10_000,
    });
    ModelInfo {
        family: card::FAMILY.id,
        variant: variant.map_or("custom", |v| v.id).to_string(),
        n_blocks: config.n_blocks,
        d_model: config.d_model,
        n_heads: config.n_heads,
        d_mlp: config.d_model,
        max_tokens: MAX_GENES + 1,
        d_vocab: config.n_rows + 1,
        n_parameters: network.n_parameters,
        files,
        choices: choices.as_object().cloned().unwrap_or_default(),
    }
}
