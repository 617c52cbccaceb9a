//! What a family is and what an opened model can do.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use microtome_core::{
    Axis, BlockSite, Counts, Error, GeneNamespace, GeneTable, Matrix, Organism, Result, Site,
};
use serde::Serialize;

use crate::parity::{KitCase, KitPlan};
use crate::{AttentionWeights, BlockLayout, Evidence, Rewritten, Tap, Tokens};

/// Licences of a family, shown wherever the family is.
#[derive(Clone, Debug, Serialize)]
pub struct LicenceInfo {
    /// Licence of the authors' code.
    pub code: &'static str,
    /// Licence of the published weights.
    pub weights: &'static str,
    /// True when either forbids commercial use.
    pub non_commercial: bool,
}

/// A published size or version.
#[derive(Clone, Debug, Serialize)]
pub struct Variant {
    /// Preset id for `init --preset`, such as `v1-10m`.
    pub id: &'static str,
    /// Published name.
    pub name: &'static str,
    /// Blocks.
    pub n_blocks: usize,
    /// Residual width.
    pub d_model: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Feed-forward width.
    pub d_mlp: usize,
    /// Longest input in tokens.
    pub max_tokens: usize,
    /// Vocabulary size, including special tokens.
    pub d_vocab: usize,
    /// Parameters of the published file.
    pub n_parameters: u64,
}

/// A model family: a visible static per file in `families/`.
#[derive(Serialize)]
pub struct Family {
    /// `[a-z0-9_]+`.
    pub id: &'static str,
    /// Published name.
    pub name: &'static str,
    /// One sentence for a reader.
    pub about: &'static str,
    /// Paper, as a DOI or arXiv id.
    pub paper: &'static str,
    /// `repository@commit` of the reference implementation.
    pub reference: &'static str,
    /// Licences.
    pub licence: LicenceInfo,
    /// Organisms the family was trained on.
    pub organisms: &'static [Organism],
    /// How the vocabulary names genes.
    pub namespace: GeneNamespace,
    /// Where the norm sits.
    pub norm_placement: &'static str,
    /// Files a checkpoint folder needs, for a reader.
    pub files: &'static [&'static str],
    /// Published sizes.
    pub variants: &'static [Variant],
    /// What the implementation was held against.
    pub evidence: Evidence,
    /// What was compared with it, and what was not.
    pub verified: &'static str,
    /// Looks at a folder or file, never loads. True when it is of this family.
    #[serde(skip)]
    pub detect: fn(&Path) -> bool,
    /// Opens a checkpoint.
    #[serde(skip)]
    pub open: fn(&Path) -> Result<Box<dyn Model>>,
    /// Writes an untrained model of a preset over the vocabulary files of `like` into the folder `out`.
    #[serde(skip)]
    pub init: fn(preset: &str, like: &Path, seed: u64, out: &Path) -> Result<()>,
    /// Writes an untrained twin (same shape, same vocabulary) of the checkpoint `of` into the folder `out`.
    #[serde(skip)]
    pub init_twin: fn(of: &Path, seed: u64, out: &Path) -> Result<()>,
}

/// A site a model offers.
#[derive(Clone, Debug, Serialize)]
pub struct SiteInfo {
    /// The site.
    pub site: Site,
    /// Its axes.
    pub axes: Vec<Axis>,
}

/// The embedding and every place of `n_blocks` blocks, in the order of the forward pass.
pub(crate) fn stream_sites(n_blocks: usize) -> Vec<SiteInfo> {
    let embed = SiteInfo { site: Site::Embed, axes: vec![Axis::Cell, Axis::Token, Axis::DModel] };
    let place = |block, p: BlockSite| SiteInfo { site: Site::Block(block, p), axes: p.axes().to_vec() };
    let blocks = (0..n_blocks).flat_map(|block| BlockSite::ALL.into_iter().map(move |p| place(block, p)));
    std::iter::once(embed).chain(blocks).collect()
}

/// Dimensions and identity of an opened model.
#[derive(Clone, Debug, Serialize)]
pub struct ModelInfo {
    /// Family id.
    pub family: &'static str,
    /// Preset id when the dimensions are those of a published variant, otherwise `custom`.
    pub variant: String,
    /// Blocks.
    pub n_blocks: usize,
    /// Residual width.
    pub d_model: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Feed-forward width.
    pub d_mlp: usize,
    /// Longest input in tokens.
    pub max_tokens: usize,
    /// Vocabulary size.
    pub d_vocab: usize,
    /// Parameters counted from the tensors in use.
    pub n_parameters: u64,
    /// Files that were read, with the role of each (`weights`, `config`, `token dictionary`, ...).
    pub files: Vec<(String, PathBuf)>,
    /// Published choices in force, by name: pooling, specials, activation, eps, ...
    pub choices: serde_json::Map<String, serde_json::Value>,
}

/// How the genes of a data set meet a model's vocabulary.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Overlap {
    /// Genes of the data.
    pub n_genes: usize,
    /// Genes of the data that are in the vocabulary.
    pub n_matched: usize,
    /// Genes of the vocabulary.
    pub n_vocabulary: usize,
    /// Genes of the data that share a vocabulary entry with another gene of the data.
    pub n_duplicates: usize,
    /// What happens to them.
    pub duplicate_rule: String,
    /// Genes renamed through a mapping table (retired ids, symbols).
    pub n_renamed: usize,
    /// Where the names were taken from.
    pub source: String,
    /// Up to 10 names of the data that were not found.
    pub examples_missing: Vec<String>,
}

/// Genes of one data set matched to one model's vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneMatch {
    /// Vocabulary token per gene of the data, `None` when not in the vocabulary.
    pub token_of_gene: Vec<Option<u32>>,
    /// Whether genes that share a token are added up; otherwise each of them gives a token of its own.
    pub sum_duplicates: bool,
    /// Genes of the data that count towards a cell's total, where the published total is over more than the matched
    /// genes and less than all of them; otherwise `None`.
    pub counted: Option<Vec<bool>>,
    /// Report.
    pub overlap: Overlap,
}

/// How one vector is made of a cell's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CellRule {
    /// Mean over the cell's gene tokens (special tokens left out).
    Mean,
    /// The token at this position.
    Token(usize),
    /// Mean over the tokens that the tokeniser marked (column [`crate::POOL_MASK`] of [`Tokens`]).
    Marked,
    /// Greatest number per column over the cell's gene tokens.
    Max,
    /// Greatest number per column over all tokens.
    MaxOfAll,
    /// The token at this position from the end (0 is the last).
    FromEnd(usize),
    /// Several of the above, one after the other.
    Parts(&'static [CellRule]),
}

impl CellRule {
    /// Width of the vector that is made of tokens of this width.
    pub fn width(self, of_token: usize) -> usize {
        match self {
            Self::Parts(parts) => parts.iter().map(|p| p.width(of_token)).sum(),
            _ => of_token,
        }
    }
}

/// Total counts of the cells as the data set states them (`obs["n_counts"]` where a family reads it).
#[derive(Clone, Copy, Debug)]
pub struct CellTotals<'a> {
    /// Total per cell over all genes.
    pub values: &'a [f64],
    /// True when the file stores them as `f32`, which decides the precision of the published arithmetic.
    pub single_precision: bool,
}

/// Choices of tokenising.
#[derive(Clone, Debug, Default)]
pub struct TokenizeOptions {
    /// Cap on tokens per cell below the model's own maximum.
    pub max_tokens: Option<usize>,
    /// Draw at random where the published pipeline does, instead of by the family's deterministic rule. Draws depend on the seed
    /// and on the cell's own counts only, never on its neighbours or on the order of rows.
    pub as_published: bool,
    /// Seed of those draws, and of the fixed choice of genes where a cell does not fit.
    pub seed: u64,
    /// A published way of preparing cells, by name, where a family has several; the first of its card when `None`.
    pub recipe: Option<String>,
    /// Batch of every cell of the counts, as a rank among the sorted labels of the whole data set, for models that were
    /// fine-tuned with a batch label.
    pub batches: Option<Vec<u32>>,
    /// Assay of every cell of the counts by name (`obs["assay"]`), for models that take one; unknown where there is none.
    pub assays: Option<Vec<String>>,
    /// Name of the drug that every cell of the counts was treated with, for models that take one.
    pub drugs: Option<Vec<String>>,
    /// What every cell of the counts is, by column of `obs`, for models that take it as tokens (Nicheformer: `specie`, `assay`,
    /// `modality`).
    pub contexts: BTreeMap<String, Vec<String>>,
}

/// An opened model.
pub trait Model: Send + Sync {
    /// Its family.
    fn family(&self) -> &'static Family;
    /// Dimensions, files, choices.
    fn info(&self) -> &ModelInfo;
    /// What became of every tensor of the checkpoint.
    fn audit(&self) -> &microtome_weights::Audit;
    /// Every site the model can offer, in the order of the forward pass.
    fn sites(&self) -> Vec<SiteInfo>;
    /// Published pooling of a cell, and the site that it pools.
    fn cell_rule(&self) -> (CellRule, Site);
    /// Range of a cell's own gene tokens within its `n` tokens (special tokens excluded).
    fn gene_tokens(&self, n: usize) -> std::ops::Range<usize>;
    /// Whether a cell's gene tokens stand in an order that means something, such as falling expression.
    fn tokens_are_ordered(&self) -> bool {
        false
    }
    /// Vocabulary name of a token (Ensembl id, symbol or special).
    fn token_name(&self, token: u32) -> Option<&str>;
    /// Matches the genes of a data set. Fails when the organism or the overlap make the result meaningless.
    fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch>;
    /// Tokens of every cell. Errors when the values are not raw counts.
    /// Without `totals` every cell's counts are summed over all genes of the data, matched or not.
    fn tokenize(
        &self,
        counts: &Counts,
        totals: Option<CellTotals<'_>>,
        genes: &GeneMatch,
        options: &TokenizeOptions,
    ) -> Result<Tokens>;
    /// The published gene vectors that need no cells, `[token, d]`; `None` where the family has none.
    fn gene_table(&self) -> Option<Matrix> {
        None
    }
    /// Weights of the softmax attention of a block; `None` where the family has none, or no such block.
    fn attention_weights(&self, _block: usize) -> Option<AttentionWeights> {
        None
    }
    /// Where the checkpoint keeps the weights of a block; `None` where it cannot be trained outside of the engine, or there is
    /// no such block.
    fn block_layout(&self, _block: usize) -> Option<BlockLayout> {
        None
    }
    /// What every token adds as a key to the scores of the attention of every block, before a cap (`-inf` hides it), one number per
    /// token; `None` where nothing is added.
    fn key_bias(&self, _tokens: &Tokens) -> Option<Vec<f32>> {
        None
    }
    /// How the model is written again as safetensors, where that takes more than its tensors and the files it was read from.
    fn rewritten(&self) -> Rewritten {
        Rewritten::default()
    }
    /// Which gene every token stands for, as [`GeneMatch::token_of_gene`] counts: the token itself, but for families whose tokens
    /// are values and whose genes are places.
    fn gene_ids<'t>(&self, tokens: &'t Tokens) -> Cow<'t, [u32]> {
        Cow::Borrowed(&tokens.ids)
    }
    /// The model as a kit's manifest declares it, for families whose checkpoints do not state everything (CellFM, UCE: the
    /// number of heads); `None` when this model agrees with it.
    fn declared_by(&self, _manifest: &serde_json::Value) -> Result<Option<Box<dyn Model>>> {
        Ok(None)
    }
    /// How the cells of a parity kit become tokens, and what the kit holds besides the sites of one run.
    fn kit_plan(&self, case: &KitCase<'_>) -> Result<KitPlan> {
        let options = TokenizeOptions::default();
        Ok(KitPlan::new(self.tokenize(case.cells.counts, case.cells.totals, case.genes, &options)?))
    }
    /// How parity kits number a token: as the model does, but for families whose special tokens have codes of their own.
    fn kit_token(&self, token: u32) -> i64 {
        i64::from(token)
    }
    /// Names of the columns of a readout site, such as class labels; `None` where they have none.
    fn labels(&self, _site: &Site) -> Option<&[String]> {
        None
    }
    /// Tokens for exactly these genes of each cell (vocabulary tokens, zeros included), in this order.
    /// Errors for families whose input is not a free choice of genes.
    fn tokenize_genes(&self, _counts: &Counts, _genes: &GeneMatch, _chosen: &[Vec<u32>]) -> Result<Tokens> {
        Err(Error::unsupported("the input of this family is not a free choice of genes")
            .at_key(self.family().id))
    }
    /// Rows that run for a cell of `n` tokens when these sites are wanted: more than `n` where a decoder runs over every gene.
    /// Minibatches are made under a budget of rows.
    fn rows(&self, n: usize, _wanted: &[Site]) -> usize {
        n
    }
    /// Runs a minibatch, offering every wanted site. Blocks after the last wanted site are not run.
    fn forward(&self, tokens: &Tokens, tap: &mut dyn Tap) -> Result<()>;
}
