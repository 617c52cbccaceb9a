//! From counts to context tokens, ranked genes and padding. All arithmetic is `f64`, as published.

use microtome_core::{Counts, Error, Result};
use rayon::prelude::*;

use super::config::FIRST_GENE;
use super::contexts::N_CONTEXTS;
use super::recipe::{Padding, Ranking, Recipe, divisor};
use super::vocabulary::{Means, Vocabulary};
use crate::tokenize::numba_argsort::numba_argsort;
use crate::tokenize::rank::require_raw;
use crate::{GENE_MASK, GeneMatch, Tokens};

/// Counts per cell to which every cell is scaled.
const TARGET_SUM: f64 = 10_000.0;
/// Token column of what other tokens may attend to: 1 or 0.
pub const ATTENTION_MASK: &str = "attention_mask";
/// The padding token of the training code.
const TRAINING_PAD: u32 = 1;

pub(super) struct Tokenizer<'a> {
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) means: &'a Means,
    pub(super) recipe: Recipe,
    /// Longest input, padding included.
    pub(super) max_tokens: usize,
}

/// One cell before padding.
struct Cell {
    ids: Vec<u32>,
    scores: Vec<f64>,
    n_ties: u32,
    n_cut: u32,
}

impl Tokenizer<'_> {
    /// Tokens of every cell behind its contexts.
    pub(super) fn tokens(
        &self,
        counts: &Counts,
        genes: &GeneMatch,
        contexts: &[[Option<u32>; N_CONTEXTS]],
    ) -> Result<Tokens> {
        require_raw(counts)?;
        if self.max_tokens <= N_CONTEXTS {
            return Err(Error::usage("no gene fits behind the context tokens")
                .expected(format!("more than {N_CONTEXTS} tokens"))
                .found(self.max_tokens.to_string()));
        }
        let divisors: Vec<Option<Vec<f64>>> = self.divisors(contexts)?;
        let technologies: Vec<usize> = contexts.iter().map(|c| self.technology(c)).collect::<Result<_>>()?;
        let cells: Vec<Cell> = (0..counts.n_cells())
            .into_par_iter()
            .map(|cell| self.ranked(counts, cell, genes, divisors[technologies[cell]].as_deref()))
            .collect();
        let mut out = Tokens::new();
        let (mut visible, mut real) = (vec![], vec![]);
        for (cell, contexts) in cells.into_iter().zip(contexts) {
            self.push(&mut out, cell, contexts, [&mut visible, &mut real]);
        }
        for (name, column) in [(ATTENTION_MASK, visible), (GENE_MASK, real)] {
            out.per_token.insert(name, column);
        }
        Ok(out)
    }

    /// One cell with contexts and padding. A cell in which nothing can be attended to has no tokens at all.
    fn push(
        &self,
        out: &mut Tokens,
        cell: Cell,
        contexts: &[Option<u32>; N_CONTEXTS],
        [visible, real]: [&mut Vec<f32>; 2],
    ) {
        if cell.ids.is_empty() && contexts.iter().all(Option::is_none) {
            return out.push(&[], &[], cell.n_ties, cell.n_cut);
        }
        let (pad, pads_visible) = match self.recipe.padding {
            Padding::Own | Padding::None => (self.vocabulary.pad, false),
            Padding::Training => (TRAINING_PAD, false),
            Padding::Visible => (TRAINING_PAD, true),
        };
        let n = N_CONTEXTS + cell.ids.len();
        let length = if self.recipe.padding == Padding::None { n } else { self.max_tokens };
        let mut ids: Vec<u32> = contexts.iter().map(|c| c.unwrap_or(self.vocabulary.pad)).collect();
        ids.extend(&cell.ids);
        ids.resize(length, pad);
        let mut values = vec![0.0; N_CONTEXTS];
        // Genes without a technology mean have no score, whatever their count.
        values.extend(cell.scores.iter().map(|s| if s.is_nan() { 0.0 } else { *s as f32 }));
        values.resize(length, 0.0);
        for i in 0..length {
            let is_gene = (N_CONTEXTS..n).contains(&i);
            let seen = is_gene || contexts.get(i).map_or(pads_visible, Option::is_some);
            visible.push(f32::from(seen));
            real.push(f32::from(is_gene));
        }
        out.push(&ids, &values, cell.n_ties, cell.n_cut);
    }

    /// Scores of a cell's genes, descending.
    fn ranked(&self, counts: &Counts, cell: usize, genes: &GeneMatch, divisors: Option<&[f64]>) -> Cell {
        let mut row = vec![0.0f64; self.vocabulary.genes.len()];
        let (columns, values) = counts.row(cell);
        for (&g, &v) in columns.iter().zip(values) {
            if let Some(token) = genes.token_of_gene[g as usize] {
                row[token as usize - FIRST_GENE] += f64::from(v);
            }
        }
        let total: f64 = row.iter().sum();
        let scale = TARGET_SUM / if total == 0.0 { 1.0 } else { total };
        let mut found = vec![];
        let mut keys = vec![];
        for (gene, count) in row.into_iter().enumerate() {
            let scaled = count * scale;
            let score = match divisors {
                Some(d) => scaled / d[gene],
                None => scaled.ln_1p(),
            };
            if score != 0.0 {
                found.push(gene);
                keys.push(-score);
            }
        }
        let order = numba_argsort(&keys);
        let kept = order.len().min(self.max_tokens - N_CONTEXTS);
        let n_ties = order.windows(2).take(kept).filter(|w| keys[w[0]] == keys[w[1]]).count();
        Cell {
            ids: order[..kept].iter().map(|&i| (FIRST_GENE + found[i]) as u32).collect(),
            scores: order[..kept].iter().map(|&i| -keys[i]).collect(),
            n_ties: n_ties as u32,
            n_cut: (order.len() - kept) as u32,
        }
    }

    /// Divisors of every technology, in the order of the means; one without divisors for ranking by count alone.
    fn divisors(&self, contexts: &[[Option<u32>; N_CONTEXTS]]) -> Result<Vec<Option<Vec<f64>>>> {
        let ranking = self.recipe.ranking;
        if ranking == Ranking::Plain {
            return Ok(vec![None]);
        }
        if self.means.by_technology.is_empty() && !contexts.is_empty() {
            return Err(Error::unreadable("this recipe divides by a technology mean, and the model folder holds none")
                .in_file(&self.vocabulary.file)
                .expected("dissociated_mean_script.npy, merfish_mean_script.npy, ... beside the gene list")
                .remedy("copy the file of the technology from data/model_means of github theislab/nicheformer, or choose the recipe hf-default"));
        }
        let of = |means: &Vec<f64>| Some(means.iter().map(|&m| divisor(ranking, m)).collect());
        Ok(self.means.by_technology.values().map(of).collect())
    }

    /// Which of the means a cell is divided by: the only one, or that of its assay or modality.
    fn technology(&self, [_, assay, modality]: &[Option<u32>; N_CONTEXTS]) -> Result<usize> {
        if self.recipe.ranking == Ranking::Plain || self.means.by_technology.len() == 1 {
            return Ok(0);
        }
        let special = |name: &str| self.vocabulary.specials.get(name).copied();
        let is = |token: &Option<u32>, name: &str| token.is_some() && *token == special(name);
        let wanted = ["merfish", "cosmx", "xenium"].into_iter().find(|t| is(assay, &format!("[TECH_{t}]")));
        let wanted = wanted.or_else(|| is(modality, "[MODALITY_dissociated]").then_some("dissociated"));
        let place = wanted.and_then(|w| self.means.by_technology.keys().position(|k| k == w));
        place.ok_or_else(|| {
            let known: Vec<&str> = self.means.by_technology.keys().map(String::as_str).collect();
            Error::mismatch("it is not clear which technology mean a cell is divided by")
                .expected(format!("assay and modality that name one of: {}", known.join(", ")))
                .found(wanted.unwrap_or("neither is known, or no mean is of this assay"))
                .remedy("name assay and modality of the cells, keep one mean in the folder, or choose the recipe hf-default")
        })
    }
}
