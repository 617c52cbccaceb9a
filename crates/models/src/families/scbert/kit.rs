//! Parity kits of this family: which cells the published filter keeps, gene vectors per cell, and the published attention sum.

use microtome_core::{BlockSite, Error, Result, Site};
use microtome_kernels::{Activation, KeyMaximum, Rows, linear_attention_rows};

use super::model::ScBert;
use super::tokens::{FILTERED, MIN_GENES};
use crate::parity::{KitCase, KitPlan};
use crate::taps::{Recorded, Recorder};
use crate::{Model, TokenizeOptions, Tokens};

pub(super) fn plan(model: &ScBert, case: &KitCase<'_>) -> Result<KitPlan> {
    // Kits of models with fewer genes than the filter asks for skip it.
    let recipe = (model.genes.len() >= MIN_GENES).then(|| FILTERED.to_string());
    let options = TokenizeOptions { recipe, ..TokenizeOptions::default() };
    let all = model.tokenize(case.cells.counts, None, case.genes, &options)?;
    let kept: Vec<usize> = (0..all.n_cells()).filter(|&c| all.len_of(c) > 0).collect();
    let tokens = all.select(&kept);
    let mut plan = KitPlan::new(tokens.clone());
    plan.ints("tokens.cell_index", vec![kept.len()], kept.iter().map(|&c| c as i64).collect());
    if case.has("gene_embedding") {
        gene_vectors(&mut plan, model, &tokens)?;
    }
    if case.has("readout.official_attn_map") {
        attention_sum(&mut plan, model, &tokens)?;
    }
    Ok(plan)
}

/// The final norm without the token behind the genes.
fn gene_vectors(plan: &mut KitPlan, model: &ScBert, tokens: &Tokens) -> Result<()> {
    let (n, d) = (model.network.shape.n_tokens, model.network.shape.d_model);
    let rows = record(model, tokens, &Site::FinalNorm)?;
    let values = rows.chunks_exact(n * d).flat_map(|cell| &cell[..(n - 1) * d]).copied().collect();
    plan.floats("gene_embedding", vec![tokens.n_cells(), n - 1, d], values);
    Ok(())
}

/// What `output_attentions` of the reference returns and `attn_sum_save.py` makes of it: weights of each block taken on the stream
/// *after* the block's attention was added, averaged over heads and blocks; then the share of every key.
fn attention_sum(plan: &mut KitPlan, model: &ScBert, tokens: &Tokens) -> Result<()> {
    let (s, n_cells) = (model.network.shape, tokens.n_cells());
    let (n, d, inner) = (s.n_tokens, s.d_model, s.n_heads * s.d_head);
    let mut map = vec![0.0f32; n_cells * n * n];
    let share = 1.0 / (s.n_heads * s.n_blocks) as f32;
    let queries: Vec<usize> = (0..n).collect();
    for (i, (block, features)) in
        model.network.performer.blocks.iter().zip(&model.network.performer.features).enumerate()
    {
        let x = record(model, tokens, &Site::Block(i, BlockSite::ResidMid))?;
        let mut normed = vec![0.0; x.len()];
        block.norm1.apply(&x, x.len() / d, &mut normed);
        let mut qkv = vec![0.0; x.len() / d * 3 * inner];
        block.qkv.apply(&normed, x.len() / d, Activation::None, &mut qkv);
        let [q, k] = [0, 1].map(|part| Rows::columns(&qkv, 3 * inner, part * inner));
        let maxima = features.key_maxima(k, &tokens.offsets, s.n_heads, KeyMaximum::Cell);
        for ((span, maximum), map) in tokens.offsets.windows(2).zip(maxima).zip(map.chunks_exact_mut(n * n)) {
            let mut of_heads = vec![0.0; s.n_heads * n * n];
            linear_attention_rows(q, k, span[0]..span[1], &queries, s.n_heads, features, maximum, &mut of_heads);
            for head in of_heads.chunks_exact(n * n) {
                map.iter_mut().zip(head).for_each(|(m, w)| *m += share * w);
            }
        }
    }
    let mut sums = Vec::with_capacity(n_cells * n);
    for map in map.chunks_exact(n * n) {
        let of_keys: Vec<f64> = (0..n).map(|k| map.iter().skip(k).step_by(n).map(|w| f64::from(*w)).sum()).collect();
        let all: f64 = of_keys.iter().sum();
        sums.extend(of_keys.iter().map(|x| (x / all) as f32));
    }
    plan.floats("readout.official_attn_map", vec![n_cells, n, n], map);
    plan.floats("readout.official_attn_sum", vec![n_cells, n], sums);
    Ok(())
}

fn record(model: &ScBert, tokens: &Tokens, site: &Site) -> Result<Vec<f32>> {
    let mut recorder = Recorder::new([site.clone()]);
    model.forward(tokens, &mut recorder)?;
    match recorder.take(site) {
        Some(Recorded::Tokens { data, .. }) => Ok(data),
        _ => Err(Error::unsupported("the model does not offer this site per token").at_key(site.to_string())),
    }
}
