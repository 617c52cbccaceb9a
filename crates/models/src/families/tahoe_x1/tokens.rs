//! From counts to `<cls>`, the drug where there is one, and binned genes.

use microtome_core::{Counts, Error, Result, closest};
use rayon::prelude::*;

use super::config::Collator;
use super::vocabulary::{Drugs, Vocabulary};
use crate::tokenize::quantile_bins::{TorchRanks, torch_bins};
use crate::tokenize::rank::require_raw;
use crate::tokenize::subset::kept;
use crate::{GeneMatch, TokenizeOptions, Tokens};

/// Column of [`Tokens::per_cell`] with the number of the cell's drug.
pub(super) const DRUG: &str = "drug";

/// Published arithmetic of the quantiles, by the name of the recipe.
pub(super) const RECIPES: [(&str, TorchRanks); 2] =
    [("float64-ranks", TorchRanks::Double), ("float32-ranks", TorchRanks::Single)];

pub(super) struct Tokenizer<'a> {
    cls: u32,
    /// Token that stands for the drug, when drugs are given.
    drug: Option<u32>,
    collator: &'a Collator,
    options: &'a TokenizeOptions,
    ranks: TorchRanks,
    max_tokens: usize,
    /// Numbers of the cells' drugs.
    pub(super) drugs: Option<Vec<u32>>,
}

/// One cell; both vectors begin with the special tokens.
pub(super) struct Cell {
    pub(super) ids: Vec<u32>,
    pub(super) values: Vec<f32>,
    /// Before binning.
    pub(super) raw: Vec<f32>,
    n_cut: u32,
}

impl<'a> Tokenizer<'a> {
    pub(super) fn new(
        vocabulary: &Vocabulary,
        drugs: Option<&Drugs>,
        collator: &'a Collator,
        options: &'a TokenizeOptions,
    ) -> Result<Self> {
        let ranks = match options.recipe.as_deref() {
            None => TorchRanks::Double,
            Some(name) => RECIPES.iter().find(|(n, _)| *n == name).map(|(_, r)| *r).ok_or_else(|| {
                let names = RECIPES.map(|(n, _)| n);
                let near = closest(name, names);
                Error::usage("no such recipe of tahoe_x1")
                    .expected(names.join(", "))
                    .found(format!("\"{name}\""))
                    .remedy(near.map_or("choose one of them".into(), |n| format!("did you mean {n}?")))
            })?,
        };
        let max_tokens = options.max_tokens.unwrap_or(collator.max_tokens).min(collator.max_tokens);
        let (drug, numbers) = match &options.drugs {
            None => (None, None),
            Some(names) => {
                let (Some(table), Some(token)) = (drugs, vocabulary.drug) else {
                    return Err(Error::usage("this model takes no drugs")
                        .expected("a model with a drug token and the file that numbers its drugs beside it")
                        .remedy("leave the drugs out, or use the 3B model with drug_to_id_pad.json"));
                };
                let ids = names.iter().map(|n| table.id(n, options.as_published)).collect::<Result<_>>()?;
                (Some(token), Some(ids))
            }
        };
        let n_special = 1 + usize::from(drug.is_some());
        if max_tokens <= n_special {
            return Err(Error::usage("the cap on tokens per cell leaves no room for genes")
                .expected(format!("more than {n_special}"))
                .found(max_tokens.to_string()));
        }
        Ok(Self { cls: vocabulary.cls, drug, collator, options, ranks, max_tokens, drugs: numbers })
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
        let expressed = columns.iter().zip(values).filter(|(_, v)| **v != 0.0);
        let known = expressed.filter_map(|(&g, &v)| Some((genes.token_of_gene[g as usize]?, v)));
        let (ids, raw): (Vec<u32>, Vec<f32>) = known.unzip();
        let specials: Vec<u32> = [Some(self.cls), self.drug].into_iter().flatten().collect();
        // The published code leaves the first `keep_first_n_tokens` values alone, which without a drug is a gene's raw count.
        let kept_raw = if self.options.as_published {
            self.collator.keep_first.saturating_sub(specials.len()).min(ids.len()).min(self.max_tokens - specials.len())
        } else {
            0
        };
        let mut values = raw.clone();
        let bins = torch_bins(&raw[kept_raw..], self.collator.n_bins, self.collator.right_binning, self.ranks);
        for (value, bin) in values[kept_raw..].iter_mut().zip(bins) {
            *value = bin as f32;
        }
        let room = self.max_tokens - specials.len() - kept_raw;
        let stay = kept(&ids[kept_raw..], &raw[kept_raw..], room, self.options);
        let n_cut = ids.len() - kept_raw - stay.len();
        let places: Vec<usize> = (0..kept_raw).chain(stay.into_iter().map(|p| p + kept_raw)).collect();
        let before = vec![self.collator.pad_value; specials.len()];
        let with = |front: &[f32], all: &[f32]| front.iter().copied().chain(places.iter().map(|&p| all[p])).collect();
        Cell {
            values: with(&before, &values),
            raw: with(&before, &raw),
            ids: specials.into_iter().chain(places.iter().map(|&p| ids[p])).collect(),
            n_cut: n_cut as u32,
        }
    }

    pub(super) fn tokens(&self, cells: &[Cell]) -> Result<Tokens> {
        let mut tokens = Tokens::new();
        for c in cells {
            tokens.push(&c.ids, &c.values, 0, c.n_cut);
        }
        if let Some(drugs) = &self.drugs {
            if drugs.len() != cells.len() {
                return Err(Error::mismatch("one drug per cell is needed")
                    .expected(format!("{} drugs", cells.len()))
                    .found(drugs.len().to_string()));
            }
            tokens.per_cell.insert(DRUG, drugs.iter().map(|&d| d as f32).collect());
        }
        Ok(tokens)
    }
}
