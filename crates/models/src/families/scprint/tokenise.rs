//! Tokens of a cell: cell tokens first, then genes.

use microtome_core::{Counts, Error, Result, closest};
use rayon::prelude::*;

use super::hyper::{Hyper, Normalisation};
use crate::tokenize::rank::require_raw;
use crate::tokenize::subset::{cell_rng, kept, uniform};
use crate::{GeneMatch, POOL_MASK, TokenizeOptions, Tokens};

/// Column of raw counts per token, zero for cell tokens.
pub(super) const COUNTS: &str = "counts";
/// Column of the total per cell over all genes of the ontology.
pub(super) const DEPTH: &str = "depth";
/// Column of the total per cell over its gene tokens, by which the expression readout is scaled.
pub(super) const SELECTED: &str = "selected_counts";

/// A published way of choosing a cell's genes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recipe {
    /// The expressed genes.
    Expressed,
    /// Every gene of the organism, zeros included.
    All,
    /// The expressed genes, with the depth that the authors denoise at.
    Denoise,
}

impl Recipe {
    pub(super) const ALL: [(&str, Self); 3] =
        [("expressed", Self::Expressed), ("all", Self::All), ("denoise", Self::Denoise)];

    pub(super) fn parse(name: Option<&str>) -> Result<Self> {
        let Some(name) = name else { return Ok(Self::Expressed) };
        Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, r)| *r).ok_or_else(|| {
            let near = closest(name, Self::ALL.iter().map(|(n, _)| *n));
            Error::usage("no such recipe of scprint")
                .expected(format!("one of: {}", Self::ALL.map(|(n, _)| n).join(", ")))
                .found(format!("\"{name}\""))
                .remedy(near.map_or("choose a published recipe".into(), |n| format!("did you mean {n}?")))
        })
    }
}

/// A token in front of the genes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CellToken {
    /// Embeds `log2(1 + depth)`.
    Depth,
    /// Whether the cell is a sum of cells; 0 for single cells.
    Metacell,
    /// A row of the class table: 0 is the base token, the classes follow.
    Row(u32),
}

/// The tokens in front and how they are numbered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CellTokens {
    pub(super) order: Vec<CellToken>,
    n_genes: u32,
}

impl CellTokens {
    /// The first release puts the depth token behind the base token, later ones put depth and metacell tokens in front of it.
    pub(super) fn new(n_genes: usize, n_classes: usize, depth: bool, metacell: bool, first_release: bool) -> Self {
        let mut order: Vec<CellToken> = (0..=n_classes as u32).map(CellToken::Row).collect();
        if metacell {
            order.insert(0, CellToken::Metacell);
        }
        if depth {
            order.insert(usize::from(first_release), CellToken::Depth);
        }
        Self { order, n_genes: n_genes as u32 }
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn id(&self, token: CellToken) -> u32 {
        self.n_genes
            + match token {
                CellToken::Depth => 0,
                CellToken::Metacell => 1,
                CellToken::Row(r) => 2 + r,
            }
    }

    /// Position of the token of class `i`.
    pub(super) fn of_class(&self, i: usize) -> usize {
        let row = CellToken::Row(i as u32 + 1);
        self.order.iter().position(|t| *t == row).unwrap_or(self.order.len())
    }

    /// As parity kits number it.
    pub(super) fn coded(&self, token: u32) -> i64 {
        match token.checked_sub(self.n_genes) {
            None => i64::from(token),
            Some(0) => -1,
            Some(1) => -2,
            Some(row) => -(10 + i64::from(row) - 2),
        }
    }
}

/// The rule of one model.
pub(super) struct Tokeniser<'a> {
    pub(super) hyper: &'a Hyper,
    pub(super) cell_tokens: &'a CellTokens,
    /// Most genes per cell.
    pub(super) max_genes: usize,
}

/// A cell's genes: tokens and counts.
type Genes = (Vec<u32>, Vec<f32>);

impl Tokeniser<'_> {
    /// All expressed genes of every cell in the order of the vocabulary; of more than fit, those with the highest counts (ties: the first
    /// of the vocabulary). As published, genes are drawn instead, and short cells are filled up with genes that are not expressed;
    /// `all` are the genes to draw those from.
    pub(super) fn tokenize(
        &self,
        counts: &Counts,
        genes: &GeneMatch,
        options: &TokenizeOptions,
        all: &[u32],
    ) -> Result<Tokens> {
        let chosen: Vec<(Genes, u32, u32)> = (0..counts.n_cells())
            .into_par_iter()
            .map(|cell| {
                let found = expressed(counts, cell, genes);
                if options.as_published { self.drawn(found, options, all) } else { self.highest(found) }
            })
            .collect();
        self.assemble(counts, genes, chosen, !options.as_published)
    }

    /// Exactly these genes of every cell.
    pub(super) fn tokenize_genes(&self, counts: &Counts, genes: &GeneMatch, chosen: &[Vec<u32>]) -> Result<Tokens> {
        if chosen.len() != counts.n_cells() {
            return Err(Error::usage("one list of genes per cell is needed")
                .expected(format!("{} lists", counts.n_cells()))
                .found(chosen.len().to_string()));
        }
        let n = self.hyper.genes.len();
        if let Some(bad) = chosen.iter().flatten().find(|&&t| t as usize >= n) {
            return Err(Error::usage("a chosen token is not a gene of the model")
                .expected(format!("below {n}"))
                .found(bad.to_string()));
        }
        let cells = (0..counts.n_cells())
            .map(|cell| {
                let (ids, values) = expressed(counts, cell, genes);
                let at: std::collections::HashMap<u32, f32> = ids.into_iter().zip(values).collect();
                let values = chosen[cell].iter().map(|t| at.get(t).copied().unwrap_or(0.0)).collect();
                ((chosen[cell].clone(), values), 0, 0)
            })
            .collect();
        self.assemble(counts, genes, cells, true)
    }

    fn highest(&self, (ids, values): Genes) -> (Genes, u32, u32) {
        if ids.len() <= self.max_genes {
            return ((ids, values), 0, 0);
        }
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(ids[a].cmp(&ids[b])));
        let cut = order.split_off(self.max_genes);
        // Genes on the kept side that tie with one on the other.
        let border = values[cut[0]];
        let ties = order.iter().filter(|&&i| values[i] == border).count();
        order.sort_unstable();
        let pick = order.iter().map(|&i| (ids[i], values[i])).unzip();
        (pick, ties as u32, cut.len() as u32)
    }

    fn drawn(&self, (ids, values): Genes, options: &TokenizeOptions, all: &[u32]) -> (Genes, u32, u32) {
        let n_cut = ids.len().saturating_sub(self.max_genes) as u32;
        let places = kept(&ids, &values, self.max_genes, options);
        let (mut out_ids, mut out): Genes = places.iter().map(|&p| (ids[p], values[p])).unzip();
        let mut rest: Vec<u32> = all.iter().copied().filter(|t| ids.binary_search(t).is_err()).collect();
        let room = self.max_genes.saturating_sub(out_ids.len()).min(rest.len());
        let mut rng = cell_rng(options.seed, &ids, &values);
        for i in 0..room {
            let other = i + (uniform(&mut rng) * (rest.len() - i) as f64) as usize;
            rest.swap(i, other);
        }
        let mut fill = rest[..room].to_vec();
        fill.sort_unstable();
        out.extend(vec![0.0; fill.len()]);
        out_ids.extend(fill);
        ((out_ids, out), 0, n_cut)
    }

    fn assemble(
        &self,
        counts: &Counts,
        genes: &GeneMatch,
        cells: Vec<(Genes, u32, u32)>,
        empty_is_zero: bool,
    ) -> Result<Tokens> {
        let c = self.cell_tokens;
        let in_front: Vec<u32> = c.order.iter().map(|t| c.id(*t)).collect();
        let pooled: Vec<usize> = self.hyper.pooled.iter().map(|&i| c.of_class(i)).collect();
        let mut tokens = Tokens::new();
        let (mut raw, mut marks) = (vec![], vec![]);
        let (mut depths, mut totals) = (vec![], vec![]);
        for (cell, ((ids, cell_counts), n_ties, n_cut)) in cells.into_iter().enumerate() {
            let depth = depth(counts, cell, genes);
            let total = cell_counts.iter().map(|&v| f64::from(v)).sum::<f64>() as f32;
            let special = c.order.iter().map(|t| if *t == CellToken::Depth { depth_value(depth) } else { 0.0 });
            let normal = cell_counts.iter().map(|&v| match self.hyper.normalisation {
                Normalisation::Log => (1.0 + v).log2(),
                Normalisation::Sum if total == 0.0 && empty_is_zero => 0.0,
                Normalisation::Sum => v / total,
            });
            let values: Vec<f32> = special.chain(normal).collect();
            let ids: Vec<u32> = in_front.iter().copied().chain(ids).collect();
            tokens.push(&ids, &values, n_ties, n_cut);
            raw.extend(in_front.iter().map(|_| 0.0).chain(cell_counts));
            marks.extend((0..ids.len()).map(|i| if pooled.contains(&i) { 1.0 } else { 0.0 }));
            depths.push(depth);
            totals.push(total);
        }
        tokens.per_token.insert(COUNTS, raw);
        tokens.per_token.insert(POOL_MASK, marks);
        tokens.per_cell.insert(DEPTH, depths);
        tokens.per_cell.insert(SELECTED, totals);
        Ok(tokens)
    }
}

/// What the depth token and the decoder take.
pub(super) fn depth_value(depth: f32) -> f32 {
    (1.0 + depth).log2()
}

/// Errors that concern the whole matrix.
pub(super) fn check(counts: &Counts, genes: &GeneMatch) -> Result<()> {
    let lengths = [Some(genes.token_of_gene.len()), genes.counted.as_ref().map(Vec::len)];
    if let Some(n) = lengths.into_iter().flatten().find(|&n| n != counts.n_genes()) {
        return Err(Error::mismatch("the gene match belongs to another matrix")
            .expected(format!("{} genes", counts.n_genes()))
            .found(format!("{n} genes")));
    }
    require_raw(counts)
}

/// Expressed genes of the model, in the order of the vocabulary.
fn expressed(counts: &Counts, cell: usize, genes: &GeneMatch) -> Genes {
    let (columns, values) = counts.row(cell);
    let mut found: Vec<(u32, f32)> = columns
        .iter()
        .zip(values)
        .filter(|(_, v)| **v != 0.0)
        .filter_map(|(&g, &v)| genes.token_of_gene[g as usize].map(|t| (t, v)))
        .collect();
    found.sort_unstable_by_key(|(t, _)| *t);
    found.into_iter().unzip()
}

/// Total counts of a cell over all genes that count.
fn depth(counts: &Counts, cell: usize, genes: &GeneMatch) -> f32 {
    let (columns, values) = counts.row(cell);
    let counts_in = |g: u32| match &genes.counted {
        Some(counted) => counted[g as usize],
        None => genes.token_of_gene[g as usize].is_some(),
    };
    columns.iter().zip(values).filter(|(g, _)| counts_in(**g)).map(|(_, &v)| f64::from(v)).sum::<f64>() as f32
}
