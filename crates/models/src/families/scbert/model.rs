//! An opened scBERT.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use microtome_core::{Axis, BlockSite, Counts, Error, GeneTable, Matrix, Result, Site};
use microtome_weights::{Audit, Checkpoint};
use serde_json::json;

use super::network::{Head, Network};
use super::{card, files, kit, tokens};
use crate::model::{CellTotals, Model, ModelInfo, SiteInfo, TokenizeOptions};
use crate::nn::{Wanted, block_extras};
use crate::parity::{KitCase, KitPlan};
use crate::tokenize::symbols::{Duplicates, match_symbols};
use crate::{CellRule, Family, GeneMatch, Tap, Tokens};

pub(super) const LAST_TOKEN: &str = "cell_embedding_last_token";
pub(super) const TOKEN_LOGITS: &str = "readout.token_logits";
pub(super) const CLASS_LOGITS: &str = "readout.class_logits";
pub(super) const CLASS_PROB: &str = "readout.class_prob";
pub(super) const CLASS: &str = "readout.class";

pub(super) struct ScBert {
    pub(super) network: Network,
    pub(super) genes: Vec<String>,
    labels: Option<Vec<String>>,
    info: ModelInfo,
    audit: Audit,
}

impl ScBert {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let weights = files::weights(path)?;
        let checkpoint = Checkpoint::open(&weights)?;
        let (network, audit) = Network::load(&checkpoint).map_err(|e| e.in_file(&weights))?;
        let (order, genes) = files::gene_order(&weights)?;
        if genes.len() + 1 != network.shape.n_tokens {
            return Err(Error::mismatch("model and order of genes do not belong together")
                .in_file(order)
                .expected(format!("{} genes, one fewer than positions", network.shape.n_tokens - 1))
                .found(genes.len().to_string()));
        }
        let mut named = vec![("weights".to_string(), weights.clone()), ("gene order".into(), order)];
        let labels = match &network.head {
            Head::Classes { maps, .. } => files::labels(&weights, maps[2].n_out())?,
            Head::Bins(_) => None,
        };
        let labels = labels.map(|(path, labels)| {
            named.push(("class names".into(), path));
            labels
        });
        let info = info(&network, labels.is_some(), named);
        Ok(Self { network, genes, labels, info, audit })
    }

    /// Readouts of the head there is.
    pub(super) fn readouts(&self) -> Vec<Site> {
        let names: &[&str] = match self.network.head {
            Head::Bins(_) => &[TOKEN_LOGITS],
            Head::Classes { .. } => &[CLASS_LOGITS, CLASS_PROB, CLASS],
        };
        names.iter().map(|n| Site::Extra((*n).into())).collect()
    }

    fn check_tokens(&self, tokens: &Tokens) -> Result<()> {
        let s = self.network.shape;
        if let Some(&id) = tokens.ids.iter().find(|&&id| id as usize >= s.vocab) {
            return Err(Error::mismatch("a token is not in the model's vocabulary")
                .expected(format!("below {}", s.vocab))
                .found(id.to_string()));
        }
        match (0..tokens.n_cells()).map(|c| tokens.len_of(c)).find(|n| *n != 0 && *n != s.n_tokens) {
            Some(n) => Err(Error::mismatch("a cell does not have every gene of the list")
                .expected(format!("{} tokens, or none for a cell that is left out", s.n_tokens))
                .found(n.to_string())),
            None => Ok(()),
        }
    }
}

impl Model for ScBert {
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
        const STREAM: &[Axis] = &[Axis::Cell, Axis::Token, Axis::DModel];
        const VECTOR: &[Axis] = &[Axis::Cell, Axis::DModel];
        let mut out = vec![];
        let mut push = |site: Site, axes: &[Axis]| out.push(SiteInfo { site, axes: axes.to_vec() });
        push(Site::Embed, STREAM);
        for block in 0..self.info.n_blocks {
            // Linear attention has no scores.
            for place in BlockSite::ALL.into_iter().filter(|p| *p != BlockSite::Scores) {
                for (site, _) in block_extras(block).into_iter().filter(|(_, before)| *before == place) {
                    push(site, if place == BlockSite::Pattern { BlockSite::Q.axes() } else { STREAM });
                }
                push(Site::Block(block, place), place.axes());
            }
        }
        push(Site::FinalNorm, STREAM);
        push(Site::CellEmbedding, VECTOR);
        push(Site::Extra(LAST_TOKEN.into()), VECTOR);
        for site in self.readouts() {
            let per_token = site == Site::Extra(TOKEN_LOGITS.into());
            push(site, if per_token { &[Axis::Cell, Axis::Token, Axis::Vocab] } else { VECTOR });
        }
        out
    }

    fn cell_rule(&self) -> (CellRule, Site) {
        (CellRule::Mean, Site::FinalNorm)
    }

    fn gene_tokens(&self, n: usize) -> Range<usize> {
        0..n.saturating_sub(1)
    }

    fn token_name(&self, token: u32) -> Option<&str> {
        const NAMES: [&str; 7] = ["<bin 0>", "<bin 1>", "<bin 2>", "<bin 3>", "<bin 4>", "<bin 5>", "<mask>"];
        NAMES.get(token as usize).copied().filter(|_| self.network.shape.vocab == NAMES.len())
    }

    fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch> {
        match_symbols(&self.genes, genes, Duplicates::Sum)
    }

    fn tokenize(
        &self,
        counts: &Counts,
        _totals: Option<CellTotals<'_>>,
        genes: &GeneMatch,
        options: &TokenizeOptions,
    ) -> Result<Tokens> {
        // The last entry of the vocabulary is the mask of pre-training.
        let top = self.network.shape.vocab as u32 - 2;
        tokens::tokenize(self.genes.len(), top, counts, genes, options)
    }

    fn gene_table(&self) -> Option<Matrix> {
        let (n, d) = (self.genes.len(), self.network.shape.d_model);
        Matrix::new(n, d, self.network.positions[..n * d].iter().map(|x| *x as f32).collect()).ok()
    }

    fn kit_plan(&self, case: &KitCase<'_>) -> Result<KitPlan> {
        kit::plan(self, case)
    }

    fn labels(&self, site: &Site) -> Option<&[String]> {
        let of_classes = [CLASS_LOGITS, CLASS_PROB].iter().any(|n| *site == Site::Extra((*n).into()));
        self.labels.as_deref().filter(|_| of_classes)
    }

    /// Tokens are bins; the gene is the place in the cell.
    fn gene_ids<'t>(&self, tokens: &'t Tokens) -> Cow<'t, [u32]> {
        (0..tokens.n_cells()).flat_map(|c| 0..tokens.len_of(c) as u32).collect()
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

fn info(network: &Network, named: bool, files: Vec<(String, PathBuf)>) -> ModelInfo {
    let s = network.shape;
    let published = |v: &crate::Variant| {
        [v.n_blocks, v.d_model, v.n_heads, v.d_mlp, v.max_tokens, v.d_vocab]
            == [s.n_blocks, s.d_model, s.n_heads, s.d_mlp, s.n_tokens, s.vocab]
    };
    let choices = json!({
        "cell_embedding": "mean over genes of the final norm; a convention, nothing is published without fine-tuning",
        "attention": "random features of the softmax kernel, one maximum of the keys per cell",
        "random_features": s.n_features,
        "d_head": s.d_head,
        "activation": "exact gelu",
        "layer_norm_eps": "1e-5",
        "target_sum": 10_000,
        "recipes": format!("all-cells (default), or {} to leave out cells with fewer than {} genes", tokens::FILTERED, tokens::MIN_GENES),
        "readout": match (&network.head, named) {
            (Head::Bins(_), _) => "pre-training: bins of every token",
            (Head::Classes { .. }, true) => "fine-tuned classes, named by label_dict",
            (Head::Classes { .. }, false) => "fine-tuned classes without names: no label_dict",
        },
    });
    ModelInfo {
        family: card::FAMILY.id,
        variant: card::VARIANTS.iter().find(|v| published(v)).map_or("custom", |v| v.id).to_string(),
        n_blocks: s.n_blocks,
        d_model: s.d_model,
        n_heads: s.n_heads,
        d_mlp: s.d_mlp,
        max_tokens: s.n_tokens,
        d_vocab: s.vocab,
        n_parameters: network.n_parameters,
        files,
        choices: choices.as_object().cloned().unwrap_or_default(),
    }
}
