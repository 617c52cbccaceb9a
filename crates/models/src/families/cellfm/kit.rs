//! Parity kits of this family number genes without the cell token.

use microtome_core::{Result, Site};

use super::model::CellFm;
use crate::parity::{KitCase, KitPlan, padded_per_token};
use crate::taps::{Recorded, Recorder};
use crate::{Model, TokenizeOptions, Tokens};

pub(super) fn plan(model: &CellFm, case: &KitCase<'_>) -> Result<KitPlan> {
    let options = TokenizeOptions::default();
    let tokens = model.tokenize(case.cells.counts, None, case.genes, &options)?;
    let mut plan = KitPlan::new(tokens.clone());
    let mut bare = Tokens::new();
    for cell in 0..tokens.n_cells() {
        let (ids, values) = tokens.cell(cell);
        let first = 1.min(ids.len());
        bare.push(&ids[first..], &values[first..], 0, 0);
    }
    let pad =
        if case.has("tokens.ids") { case.read_ints("tokens.ids")?.0.get(1).copied().unwrap_or(0) } else { 0 };
    let ids: Vec<i64> = bare.ids.iter().map(|&i| i64::from(i)).collect();
    let (shape, ids) = padded_per_token(&bare, &ids, pad);
    plan.ints("tokens.ids", shape, ids);
    let (shape, values) = padded_per_token(&bare, &bare.values, pad);
    plan.floats("tokens.values", shape, values);
    let lengths: Vec<i64> = (0..bare.n_cells()).map(|c| bare.len_of(c) as i64).collect();
    plan.ints("tokens.len", vec![lengths.len()], lengths);
    if case.has("gene_embedding") {
        add_gene_vectors(&mut plan, model, &tokens, pad)?;
    }
    Ok(plan)
}

/// `[cell, gene, d]` of the last block, without the cell token.
fn add_gene_vectors(plan: &mut KitPlan, model: &CellFm, tokens: &Tokens, pad: usize) -> Result<()> {
    let (_, site): (_, Site) = model.cell_rule();
    let mut recorder = Recorder::new([site.clone()]);
    model.forward(tokens, &mut recorder)?;
    let Some(Recorded::Tokens { data, width }) = recorder.take(&site) else { return Ok(()) };
    let longest = (0..tokens.n_cells()).map(|c| tokens.len_of(c).saturating_sub(1)).max().unwrap_or(0);
    let pad = pad.max(longest);
    let mut out = vec![0.0; tokens.n_cells() * pad * width];
    for (cell, out) in out.chunks_mut((pad * width).max(1)).enumerate() {
        let (first, end) = (tokens.offsets[cell], tokens.offsets[cell + 1]);
        let genes = &data[(first + 1).min(end) * width..end * width];
        out[..genes.len()].copy_from_slice(genes);
    }
    plan.floats("gene_embedding", vec![tokens.n_cells(), pad, width], out);
    Ok(())
}
