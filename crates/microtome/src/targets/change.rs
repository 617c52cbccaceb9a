//! How a model's readout of every gene changes when a regulator is deleted.

use std::collections::HashMap;

use microtome_core::{Progress, Result, Silent};
use microtome_models::isp::{self, Edit, MaskedReadout};
use microtome_models::{Model, Tokens};
use microtome_numerics::resample::Rng;
use serde::{Deserialize, Serialize};

use crate::budget::tokens_together;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readout {
    /// Which genes a masked-gene model expects in hidden places.
    MaskedGene,
    /// How far the vector of every remaining gene moves.
    Embedding,
}

/// The cells of every regulator and what is hidden in them: the same for every model of a vocabulary.
pub(super) struct Plan<'a> {
    pub(super) tokens: &'a Tokens,
    /// Token of every gene of the data.
    pub(super) token_of_gene: &'a [Option<u32>],
    /// Token and cells of every regulator.
    pub(super) regulators: Vec<(u32, Vec<usize>)>,
    /// Share of a cell's genes that is hidden, for [`Readout::MaskedGene`].
    pub(super) hidden: f64,
    pub(super) seed: u64,
}

impl Plan<'_> {
    /// Change of every gene of the data by every deleted regulator, `[regulator][gene]`, mean over its cells; NaN for genes that the
    /// readout does not tell of. For masked genes: the logarithm of how often the gene is expected in hidden places with the regulator,
    /// over how often without it, so that a gene that the regulator speaks for has a number above 0. For embeddings: one minus
    /// the cosine, which has no sign.
    ///
    /// # Errors
    /// When the model has no such readout or cannot be run, or the user stops.
    pub(super) fn changes(
        &self,
        model: &dyn Model,
        readout: Readout,
        name: &str,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<f64>>> {
        let total: usize = self.regulators.iter().map(|(_, cells)| cells.len()).sum();
        progress.begin(&format!("deleting regulators in {name}"), total as u64, "cells");
        let out = self
            .regulators
            .iter()
            .map(|(regulator, cells)| {
                progress.check()?;
                let of_token = match readout {
                    Readout::MaskedGene => self.expected(model, *regulator, cells)?,
                    Readout::Embedding => self.moved(model, *regulator, cells)?,
                };
                progress.advance(cells.len() as u64);
                let number = |t: &Option<u32>| t.and_then(|t| of_token.get(&t).copied()).unwrap_or(f64::NAN);
                Ok(self.token_of_gene.iter().map(number).collect())
            })
            .collect::<Result<Vec<Vec<f64>>>>()?;
        progress.end();
        Ok(out)
    }

    fn edits(&self, model: &dyn Model, regulator: u32, cells: &[usize]) -> Vec<(usize, Edit)> {
        let edit = |&c: &usize| {
            let ids = self.tokens.cell(c).0;
            isp::delete(ids, model.gene_tokens(ids.len()), &[regulator]).map(|e| (c, e))
        };
        cells.iter().filter_map(edit).collect()
    }

    fn expected(&self, model: &dyn Model, regulator: u32, cells: &[usize]) -> Result<HashMap<u32, f64>> {
        let readout = MaskedReadout::of(model)?;
        let edits = self.edits(model, regulator, cells);
        let sides = edits.iter().map(|(c, e)| readout.hide(e, &self.places(model, *c, e)));
        let (before, after): (Vec<_>, Vec<_>) = sides.unzip();
        let (before, after) =
            (readout.expected(&before, tokens_together())?, readout.expected(&after, tokens_together())?);
        let ratio =
            |(t, (b, a)): (usize, (&f64, &f64))| (*b > 0.0 && *a > 0.0).then(|| (t as u32, (b / a).ln()));
        Ok(before.iter().zip(&after).enumerate().filter_map(ratio).collect())
    }

    /// Places of the cell that are hidden, at least one: drawn by the cell, so that regulators and models see the same ones but for
    /// the regulator itself, which is never hidden.
    fn places(&self, model: &dyn Model, cell: usize, edit: &Edit) -> Vec<usize> {
        let genes = model.gene_tokens(edit.original.len());
        let n = ((genes.len() as f64 * self.hidden).round() as usize).max(1);
        let mut rng = Rng::stream(self.seed, cell as u64);
        let drawn = rng.permutation(genes.len()).into_iter().map(|p| genes.start + p);
        drawn.filter(|p| !edit.original_positions.contains(p)).take(n).collect()
    }

    fn moved(&self, model: &dyn Model, regulator: u32, cells: &[usize]) -> Result<HashMap<u32, f64>> {
        let edits: Vec<Edit> = self.edits(model, regulator, cells).into_iter().map(|(_, e)| e).collect();
        let mut sums: HashMap<u32, (f64, u32)> = HashMap::new();
        for effect in isp::effects(model, &edits, tokens_together(), &Silent)? {
            for (token, cosine) in effect.genes {
                let sum = sums.entry(token).or_default();
                *sum = (sum.0 + 1.0 - cosine, sum.1 + 1);
            }
        }
        Ok(sums.into_iter().map(|(t, (sum, n))| (t, sum / f64::from(n))).collect())
    }
}
