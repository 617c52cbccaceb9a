//! One vector per cell and site, streaming: nothing larger than a minibatch is kept of the tokens.

use std::fmt;
use std::str::FromStr;

use microtome_core::{Error, Matrix, Result, Site};

use crate::model::{CellRule, Model};
use crate::{GENE_MASK, POOL_MASK, SiteData, Tap, Tokens};

/// How a cell's token vectors become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooling {
    /// The family's published rule, applied to whichever site is asked for.
    #[default]
    Published,
    /// Mean over the gene tokens (special tokens left out).
    Mean,
    /// The token at this position.
    Token(usize),
}

impl Pooling {
    /// The rule in force for a model.
    pub fn rule(self, model: &dyn Model) -> CellRule {
        match self {
            Self::Published => model.cell_rule().0,
            Self::Mean => CellRule::Mean,
            Self::Token(i) => CellRule::Token(i),
        }
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published => f.write_str("published"),
            Self::Mean => f.write_str("mean"),
            Self::Token(i) => write!(f, "token:{i}"),
        }
    }
}

impl FromStr for Pooling {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "published" => Ok(Self::Published),
            "mean" => Ok(Self::Mean),
            _ => text.strip_prefix("token:").and_then(|i| i.parse().ok()).map(Self::Token).ok_or_else(|| {
                Error::usage("not a pooling rule")
                    .expected("published, mean or token:POSITION (token:0 is the first token)")
                    .found(format!("\"{text}\""))
            }),
        }
    }
}

/// Per-cell vectors of several sites, cells in input order.
#[derive(Clone, Debug, PartialEq)]
pub struct Pooled {
    /// One `[cell, width]` matrix per wanted site, in the order in which they were asked for.
    /// A cell that has no token to pool is a row of NaN.
    pub matrices: Vec<Matrix>,
    /// Cells (in ascending order) that had no token to pool, so that their rows are NaN.
    pub missing: Vec<usize>,
}

/// Pools token sites per cell; sites that are per cell already are taken as they are.
/// Attention maps have no per-cell vector and are refused.
pub struct PoolTap<'a> {
    model: &'a dyn Model,
    rule: CellRule,
    /// Leave out padding that is part of the tokens.
    genes_only: bool,
    sites: Vec<Site>,
    out: Vec<Option<Matrix>>,
    missing: Vec<bool>,
    minibatch: Vec<usize>,
}

impl<'a> PoolTap<'a> {
    /// Pools `sites` for `n_cells` cells.
    pub fn new(model: &'a dyn Model, sites: &[Site], pooling: Pooling, n_cells: usize) -> Result<Self> {
        for site in sites {
            if site.to_string().ends_with(".scores") || site.to_string().ends_with(".pattern") {
                return Err(Error::usage("an attention map has no vector per cell")
                    .at_key(site.to_string())
                    .expected("a token or cell site, such as blocks.3.resid_post"));
            }
        }
        Ok(Self {
            model,
            rule: pooling.rule(model),
            genes_only: pooling == Pooling::Mean,
            sites: sites.to_vec(),
            out: vec![None; sites.len()],
            missing: vec![false; n_cells],
            minibatch: vec![],
        })
    }

    /// Says which cells the next forward pass holds.
    pub fn set_minibatch(&mut self, cells: &[usize]) {
        self.minibatch = cells.to_vec();
    }

    /// The vectors. Errors when a wanted site was never offered although there are cells.
    pub fn finish(self) -> Result<Pooled> {
        let n_cells = self.missing.len();
        let missing = (0..n_cells).filter(|&c| self.missing[c]).collect();
        let matrices = self
            .out
            .into_iter()
            .zip(&self.sites)
            .map(|(m, site)| match m {
                Some(m) => Ok(m),
                None if n_cells == 0 => Ok(Matrix::zeros(0, 0)),
                None => Err(Error::usage("the model does not offer this site").at_key(site.to_string())),
            })
            .collect::<Result<_>>()?;
        Ok(Pooled { matrices, missing })
    }
}

impl Tap for PoolTap<'_> {
    fn wants(&self, site: &Site) -> bool {
        self.sites.contains(site)
    }

    fn offer(&mut self, site: &Site, tokens: &Tokens, data: SiteData<'_>) -> Result<()> {
        let Some(index) = self.sites.iter().position(|s| s == site) else { return Ok(()) };
        let (values, width, per_cell) = match data {
            SiteData::Tokens { data, width } => (data, width, false),
            SiteData::Heads { data, n_heads, d_head } => (data, n_heads * d_head, false),
            SiteData::Cells { data, width } => (data, width, true),
            SiteData::Map { .. } | SiteData::Attention(_) => {
                return Err(Error::usage("an attention map has no vector per cell").at_key(site.to_string()));
            }
        };
        if self.minibatch.len() != tokens.n_cells() {
            return Err(Error::usage("the pooling tap was not told which cells this minibatch holds")
                .expected(format!("{} cells", tokens.n_cells()))
                .found(format!("{} cells", self.minibatch.len())));
        }
        let n_cells = self.missing.len();
        let columns = if per_cell { width } else { self.rule.width(width) };
        let out = self.out[index].get_or_insert_with(|| Matrix::zeros(n_cells, columns));
        for (i, &cell) in self.minibatch.iter().enumerate() {
            let row = out.row_mut(cell);
            if per_cell {
                row.copy_from_slice(&values[i * width..(i + 1) * width]);
                self.missing[cell] |= row.iter().any(|v| v.is_nan());
            } else {
                let span = tokens.offsets[i]..tokens.offsets[i + 1];
                let (rule, marks) = match tokens.column(GENE_MASK, i).filter(|_| self.genes_only) {
                    Some(genes) => (CellRule::Marked, Some(genes)),
                    None => (self.rule, tokens.column(POOL_MASK, i)),
                };
                let pooled = crate::nn::pool_cell(
                    &values[span.start * width..span.end * width],
                    width,
                    rule,
                    self.model.gene_tokens(span.len()),
                    marks,
                    row,
                );
                self.missing[cell] |= !pooled;
            }
        }
        Ok(())
    }
}
