//! From counts to `<cls>` and binned genes, by the two published recipes.

use microtome_core::{Counts, Error, Result, closest};
use rayon::prelude::*;

use crate::tokenize::quantile_bins::{Admissible, numpy_edges};
use crate::tokenize::rank::require_raw;
use crate::tokenize::subset::{cell_rng, kept, uniform};
use crate::{GeneMatch, TokenizeOptions, Tokens};

/// Bins, zero included: fixed in the published collator, whatever `args.json` says.
pub const N_BINS: usize = 51;
/// Counts per cell to which the fine-tuning recipes scale.
const TARGET_SUM: f32 = 10_000.0;
/// Column of [`Tokens::per_cell`] with the batch of each cell.
pub(super) const BATCH: &str = "batch";

/// A published way of preparing cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recipe {
    /// `embed_data`: raw counts of the expressed genes.
    ZeroShot,
    /// The same with 0 as the value of `<cls>`.
    ZeroShotClsZero,
    /// `Preprocessor` and `tokenize_and_pad_batch`: scaled to 10,000 counts and log-transformed, zeros are tokens too, `<cls>` has value 0.
    FineTuning,
    /// The same without the logarithm.
    FineTuningNoLog,
}

impl Recipe {
    pub(super) const ALL: [(&'static str, Self); 4] = [
        ("zero-shot", Self::ZeroShot),
        ("zero-shot-cls-0", Self::ZeroShotClsZero),
        ("fine-tuning", Self::FineTuning),
        ("fine-tuning-no-log", Self::FineTuningNoLog),
    ];

    fn parse(name: Option<&str>) -> Result<Self> {
        let Some(name) = name else { return Ok(Self::ZeroShot) };
        let found = Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, r)| *r);
        found.ok_or_else(|| {
            let names = Self::ALL.map(|(n, _)| n);
            let near = closest(name, names);
            Error::usage("no such recipe of scgpt")
                .expected(names.join(", "))
                .found(format!("\"{name}\""))
                .remedy(near.map_or("choose a published recipe".into(), |n| format!("did you mean {n}?")))
        })
    }

    fn with_zeros(self) -> bool {
        matches!(self, Self::FineTuning | Self::FineTuningNoLog)
    }

    fn cls_value(self, pad_value: f32) -> f32 {
        if self == Self::ZeroShot { pad_value } else { 0.0 }
    }
}

/// Where the draws of [`Admissible::draw`] come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Draws<'a> {
    /// One half for every gene: the middle of the interval that the published draw is uniform over.
    Middle,
    /// A random number per gene, as published.
    Random(u64),
    /// `[cell, token]` with `<cls>` in front: recorded draws.
    Given { values: &'a [f64], width: usize },
}

/// One cell; all vectors begin with `<cls>`.
pub(super) struct Cell {
    pub(super) ids: Vec<u32>,
    pub(super) bins: Vec<f32>,
    /// What was binned.
    pub(super) input: Vec<f32>,
    pub(super) edges: Vec<f64>,
    pub(super) n_ties: u32,
    pub(super) n_cut: u32,
}

pub(super) struct Tokenizer<'a> {
    pub(super) recipe: Recipe,
    pub(super) cls: u32,
    pub(super) pad_value: f32,
    pub(super) max_tokens: usize,
    pub(super) draws: Draws<'a>,
    pub(super) options: &'a TokenizeOptions,
}

impl<'a> Tokenizer<'a> {
    pub(super) fn new(cls: u32, pad_value: f32, max_tokens: usize, options: &'a TokenizeOptions) -> Result<Self> {
        let max_tokens = options.max_tokens.unwrap_or(max_tokens).min(max_tokens);
        if max_tokens < 2 {
            return Err(Error::usage("the cap on tokens per cell leaves no room for genes")
                .expected("more than 1 (<cls> is one)")
                .found(max_tokens.to_string()));
        }
        let recipe = Recipe::parse(options.recipe.as_deref())?;
        let draws = if options.as_published { Draws::Random(options.seed) } else { Draws::Middle };
        Ok(Self { recipe, cls, pad_value, max_tokens, draws, options })
    }

    /// Every cell by itself: nothing here depends on other cells.
    pub(super) fn cells(&self, counts: &Counts, genes: &GeneMatch) -> Result<Vec<Cell>> {
        if genes.token_of_gene.len() != counts.n_genes() {
            return Err(Error::mismatch("the gene match belongs to another matrix")
                .expected(format!("{} genes", counts.n_genes()))
                .found(format!("{} genes", genes.token_of_gene.len())));
        }
        require_raw(counts)?;
        Ok((0..counts.n_cells()).into_par_iter().map(|c| self.cell(counts, c, genes)).collect())
    }

    fn cell(&self, counts: &Counts, cell: usize, genes: &GeneMatch) -> Cell {
        let (columns, values) = counts.row(cell);
        let known = columns.iter().zip(values).filter_map(|(&g, &v)| Some((g, genes.token_of_gene[g as usize]?, v)));
        let (mut ids, mut input): (Vec<u32>, Vec<f32>) = if self.recipe.with_zeros() {
            let mut row = vec![0.0; genes.token_of_gene.len()];
            known.for_each(|(g, _, v)| row[g as usize] = v);
            let all = genes.token_of_gene.iter().zip(&row).filter_map(|(t, &v)| Some(((*t)?, v)));
            all.unzip()
        } else {
            known.filter(|(_, _, v)| *v != 0.0).map(|(_, t, v)| (t, v)).unzip()
        };
        if self.recipe.with_zeros() {
            normalise(&mut input, self.recipe == Recipe::FineTuning);
        }
        let mut sorted: Vec<f32> = input.iter().filter(|v| **v > 0.0).copied().collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let edges = numpy_edges(&sorted, N_BINS - 1);
        let draws = self.draws(cell, &ids, &input);
        let mut n_ties = 0;
        let bin = |(&v, u): (&f32, f64)| {
            if v <= 0.0 {
                return 0.0;
            }
            let admissible = Admissible::of(&edges, f64::from(v));
            n_ties += u32::from(admissible.lower() != admissible.upper());
            admissible.draw(u) as f32
        };
        let mut bins: Vec<f32> = input.iter().zip(draws).map(bin).collect();
        let stay = kept(&ids, &input, self.max_tokens - 1, self.options);
        let n_cut = stay_count(&input) - stay_count(&stay.iter().map(|&p| input[p]).collect::<Vec<_>>());
        if stay.len() < ids.len() {
            ids = stay.iter().map(|&p| ids[p]).collect();
            input = stay.iter().map(|&p| input[p]).collect();
            bins = stay.iter().map(|&p| bins[p]).collect();
        }
        ids.insert(0, self.cls);
        input.insert(0, 0.0);
        bins.insert(0, self.recipe.cls_value(self.pad_value));
        Cell { ids, bins, input, edges, n_ties, n_cut }
    }

    fn draws(&self, cell: usize, ids: &[u32], input: &[f32]) -> Vec<f64> {
        match self.draws {
            Draws::Middle => vec![0.5; ids.len()],
            Draws::Random(seed) => {
                let mut rng = cell_rng(seed, ids, input);
                ids.iter().map(|_| uniform(&mut rng)).collect()
            }
            Draws::Given { values, width } => {
                let row = values.get(cell * width..(cell + 1) * width).unwrap_or_default();
                (1..=ids.len()).map(|t| row.get(t).copied().unwrap_or(0.0)).collect()
            }
        }
    }

    pub(super) fn tokens(&self, cells: &[Cell]) -> Result<Tokens> {
        let mut tokens = Tokens::new();
        for c in cells {
            tokens.push(&c.ids, &c.bins, c.n_ties, c.n_cut);
        }
        if let Some(batches) = &self.options.batches {
            if batches.len() != cells.len() {
                return Err(Error::mismatch("one batch per cell is needed")
                    .expected(format!("{} batches", cells.len()))
                    .found(batches.len().to_string()));
            }
            tokens.per_cell.insert(BATCH, batches.iter().map(|&b| b as f32).collect());
        }
        Ok(tokens)
    }
}

/// Expressed genes.
fn stay_count(input: &[f32]) -> u32 {
    input.iter().filter(|v| **v > 0.0).count() as u32
}

/// scanpy's `normalize_total` to 10,000 and `log1p`, in `f32` as there. A cell without counts stays as it is.
fn normalise(values: &mut [f32], log: bool) {
    let total: f32 = values.iter().sum();
    let scale = if total > 0.0 { total / TARGET_SUM } else { 1.0 };
    for v in values {
        *v /= scale;
        if log {
            *v = f64::from(*v).ln_1p() as f32;
        }
    }
}
