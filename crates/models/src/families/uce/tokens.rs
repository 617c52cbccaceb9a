//! Sentences of the cells of a data set.

use microtome_core::{Counts, Error, Result, closest};
use rand_chacha::rand_core::RngCore;
use rayon::prelude::*;

use super::model::Uce;
use super::sentence::{Even, Gene, PAD, draw, sentence};
use crate::tokenize::numpy_random::{Draws, LegacyNumpy, Pcg64};
use crate::tokenize::rank::require_raw;
use crate::tokenize::subset::cell_rng;
use crate::{GENE_MASK, GeneMatch, TokenizeOptions, Tokens};

/// Cells per batch of the published scripts.
const BATCH: usize = 25;
/// Seed of the deterministic draws of helical.
const HELICAL_SEED: u64 = 42;

/// A way of preparing cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recipe {
    /// The reference's, sampled evenly unless asked to draw as published.
    Uce,
    /// helical 2.2.0: numpy's default generator with seed 42 for every cell.
    Helical,
}

impl Recipe {
    pub(super) const ALL: [(&'static str, Self); 2] = [("uce", Self::Uce), ("helical", Self::Helical)];

    fn parse(name: Option<&str>) -> Result<Self> {
        let Some(name) = name else { return Ok(Self::Uce) };
        Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, r)| *r).ok_or_else(|| {
            let names = Self::ALL.map(|(n, _)| n);
            Error::usage("no such recipe of uce")
                .expected(names.join(", "))
                .found(format!("\"{name}\""))
                .remedy(
                    closest(name, names)
                        .map_or("choose one of them".into(), |n| format!("did you mean {n}?")),
                )
        })
    }
}

/// One sentence.
pub(super) struct Cell {
    pub(super) ids: Vec<u32>,
    pub(super) values: Vec<f32>,
    pub(super) is_gene: Vec<f32>,
    pub(super) n_cut: u32,
}

impl Uce {
    pub(super) fn sentences(
        &self,
        counts: &Counts,
        genes: &GeneMatch,
        options: &TokenizeOptions,
    ) -> Result<Tokens> {
        if genes.token_of_gene.len() != counts.n_genes() {
            return Err(Error::mismatch("the gene match belongs to another matrix")
                .expected(format!("{} genes", counts.n_genes()))
                .found(format!("{} genes", genes.token_of_gene.len())));
        }
        require_raw(counts)?;
        let recipe = Recipe::parse(options.recipe.as_deref())?;
        let cap = options.max_tokens.unwrap_or(usize::MAX).min(self.settings.max_tokens);
        if cap < 4 {
            return Err(Error::usage("the cap on tokens per cell leaves no room for genes")
                .expected("at least 4 ([CLS], a chromosome, a gene, a bracket)")
                .found(cap.to_string()));
        }
        let cells: Vec<Cell> = (0..counts.n_cells())
            .into_par_iter()
            .map(|c| {
                let mut genes = self.genes_of(counts, c, genes);
                let n = self.n_draws(&genes, cap);
                match recipe {
                    Recipe::Helical => self.cell(&genes, n, &mut Pcg64::new(HELICAL_SEED)),
                    Recipe::Uce if options.as_published => {
                        let rows: Vec<u32> = genes.iter().map(|g| g.row).collect();
                        let values: Vec<f32> = genes.iter().map(|g| g.count).collect();
                        let seed = cell_rng(options.seed, &rows, &values).next_u32();
                        self.cell(&genes, n, &mut LegacyNumpy::new(seed))
                    }
                    Recipe::Uce => {
                        // By row, so that the order of columns does not matter.
                        genes.sort_by_key(|g| g.row);
                        self.cell(&genes, n, &mut Even::new(n))
                    }
                }
            })
            .collect();
        let batch = if options.as_published { BATCH } else { 1 };
        Ok(tokens(cells, batch))
    }

    /// Expressed genes of a cell, in the order of columns.
    pub(super) fn genes_of(&self, counts: &Counts, cell: usize, genes: &GeneMatch) -> Vec<Gene> {
        let (columns, values) = counts.row(cell);
        let gene = |(&g, &count): (&u32, &f32)| {
            let row = genes.token_of_gene[g as usize].filter(|_| count > 0.0)?;
            Some(Gene { row, place: self.species.place(row)?, count })
        };
        columns.iter().zip(values).filter_map(gene).collect()
    }

    /// Draws that fit: at worst every chromosome of the cell takes two tokens besides its genes.
    pub(super) fn n_draws(&self, genes: &[Gene], cap: usize) -> usize {
        let mut chromosomes: Vec<u32> = genes.iter().map(|g| g.place.chromosome).collect();
        chromosomes.sort_unstable();
        chromosomes.dedup();
        let room = cap.saturating_sub(1);
        let fits = room.saturating_sub(2 * chromosomes.len()).max(room / 3);
        self.settings.sample_size.min(fits)
    }

    pub(super) fn cell(&self, genes: &[Gene], n: usize, draws: &mut impl Draws) -> Cell {
        let drawn = draw(genes, n, draws);
        let (ids, of) = sentence(genes, &drawn, self.chromosome_offset);
        let mut rows: Vec<u32> = drawn.choice.iter().map(|&i| genes[i].row).collect();
        let mut all: Vec<u32> = genes.iter().map(|g| g.row).collect();
        for list in [&mut rows, &mut all] {
            list.sort_unstable();
            list.dedup();
        }
        Cell {
            ids,
            values: of.iter().map(|o| o.map_or(0.0, |i| genes[i].count)).collect(),
            is_gene: of.iter().map(|o| f32::from(u8::from(o.is_some()))).collect(),
            n_cut: (all.len() - rows.len()) as u32,
        }
    }
}

/// Sentences one after the other; each is padded to the longest of its `batch`, which is what the reference lets a cell attend to.
pub(super) fn tokens(mut cells: Vec<Cell>, batch: usize) -> Tokens {
    for batch in cells.chunks_mut(batch.max(1)) {
        let longest = batch.iter().map(|c| c.ids.len()).max().unwrap_or(0);
        for cell in batch {
            cell.ids.resize(longest, PAD);
            cell.values.resize(longest, 0.0);
            cell.is_gene.resize(longest, 0.0);
        }
    }
    let mut out = Tokens::new();
    let mut is_gene = vec![];
    for cell in &cells {
        out.push(&cell.ids, &cell.values, 0, cell.n_cut);
        is_gene.extend_from_slice(&cell.is_gene);
    }
    out.per_token.insert(GENE_MASK, is_gene);
    out
}
