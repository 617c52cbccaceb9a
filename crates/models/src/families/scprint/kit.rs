//! Parity kits of this family: genes that the authors' code drew at random, other depths, gene networks.

use std::collections::BTreeSet;

use microtome_core::Result;

use super::model::ScPrint;
use super::tokenise::{COUNTS, CellToken};
use crate::grn::thresholded;
use crate::parity::{KitCase, KitPlan};
use crate::taps::MeanQueryKeyTap;
use crate::{Model, TokenizeOptions, Tokens};

pub(super) fn plan(model: &ScPrint, case: &KitCase<'_>) -> Result<KitPlan> {
    let (tokens, given) = tokens(model, case)?;
    let mut plan = KitPlan::new(tokens.clone());
    if given {
        plan.skip(
            "tokens.ids",
            "genes that the authors' code drew at random, and the order, are fed as given; cell tokens and the choice of \
             expressed genes were checked",
        );
    }
    let holds = |prefix: &str| case.names().iter().any(|n| n.starts_with(prefix));
    if holds("denoise.") {
        plan.runs.push(("denoise".into(), model.denoised(&tokens)));
    }
    if holds("metacell1.") && tokens.n_cells() > 0 {
        let mut first = tokens.select(&[0]);
        model.set_cell_token(&mut first, CellToken::Metacell, |_| 1.0);
        plan.runs.push(("metacell1".into(), first));
    }
    if case.has("grn.genes") {
        network(model, case, &mut plan)?;
    }
    Ok(plan)
}

/// Tokens for a kit, and whether genes were taken from it.
///
/// Those of a recipe where they are the kit's; otherwise the kit's genes, on two conditions: the cell tokens are the model's, and the
/// expressed genes of every cell are those that the model's rule selects at the kit's length (as many, where the kit says that its
/// expressed genes were drawn). What was drawn, and the order, are then taken from the kit. Where a condition does not hold, the
/// model's own tokens go on and the comparison shows it.
fn tokens(model: &ScPrint, case: &KitCase<'_>) -> Result<(Tokens, bool)> {
    let run = |options: &TokenizeOptions| model.tokenize(case.cells.counts, None, case.genes, options);
    let own = run(&TokenizeOptions::default())?;
    let Some(listed) = listed(case, own.n_cells())? else { return Ok((own, false)) };
    let coded =
        |t: &Tokens, c: usize| -> Vec<i64> { t.cell(c).0.iter().map(|&i| model.kit_token(i)).collect() };
    let same = |t: &Tokens| (0..t.n_cells()).all(|c| coded(t, c) == listed[c]);
    if same(&own) {
        return Ok((own, false));
    }
    let all = run(&TokenizeOptions { recipe: Some("all".into()), ..TokenizeOptions::default() })?;
    if same(&all) {
        return Ok((all, false));
    }
    let of_genes = |ids: &Vec<i64>| -> Option<Vec<u32>> {
        model.gene_tokens(ids.len()).map(|i| u32::try_from(ids[i]).ok()).collect()
    };
    let Some(chosen) = listed.iter().map(of_genes).collect::<Option<Vec<_>>>() else { return Ok((own, false)) };
    let Ok(given) = model.tokenize_genes(case.cells.counts, case.genes, &chosen) else { return Ok((own, false)) };
    let longest = listed.iter().map(Vec::len).max().unwrap_or(0);
    let own = run(&TokenizeOptions { max_tokens: Some(longest), ..TokenizeOptions::default() })?;
    let expressed = |t: &Tokens, cell: usize| -> BTreeSet<u32> {
        let counts = t.column(COUNTS, cell).unwrap_or_default();
        t.cell(cell).0.iter().zip(counts).filter(|(_, c)| **c > 0.0).map(|(&id, _)| id).collect()
    };
    let steps = case.manifest["tokenisation"]["steps"].as_array();
    let drawn =
        steps.is_some_and(|s| s.iter().any(|s| s.as_str().is_some_and(|s| s.contains("random expr"))));
    let fits = |c: usize| {
        let (own, kit) = (expressed(&own, c), expressed(&given, c));
        let same = if drawn { own.len() == kit.len() } else { own == kit };
        coded(&given, c) == listed[c] && same
    };
    if (0..own.n_cells()).all(fits) { Ok((given, true)) } else { Ok((own, false)) }
}

/// Tokens of every cell as the kit lists them, coded as in the kit.
fn listed(case: &KitCase<'_>, n_cells: usize) -> Result<Option<Vec<Vec<i64>>>> {
    if !case.has("tokens.ids") || !case.has("tokens.len") {
        return Ok(None);
    }
    let (shape, ids) = case.read_ints("tokens.ids")?;
    let (_, lengths) = case.read_ints("tokens.len")?;
    let &[rows, width] = &shape[..] else { return Ok(None) };
    if rows != n_cells || lengths.len() != n_cells {
        return Ok(None);
    }
    let cell = |c: usize| -> Option<Vec<i64>> {
        let n = usize::try_from(lengths[c]).ok().filter(|&n| n <= width)?;
        Some(ids[c * width..c * width + n].to_vec())
    };
    Ok((0..n_cells).map(cell).collect())
}

/// The gene network over the kit's list of genes, the same for all cells.
fn network(model: &ScPrint, case: &KitCase<'_>, plan: &mut KitPlan) -> Result<()> {
    plan.skip("grn.genes", "names the genes of the network, so it is read rather than computed");
    let (_, list) = case.read_ints("grn.genes")?;
    let list: Vec<u32> = list.iter().filter_map(|&g| u32::try_from(g).ok()).collect();
    let counts = case.cells.counts;
    let tokens = model.tokenize_genes(counts, case.genes, &vec![list; counts.n_cells()])?;
    let n_blocks = model.info().n_blocks;
    let mut tap = MeanQueryKeyTap::new(0..n_blocks);
    model.forward(&tokens, &mut tap)?;
    let means = tap.finish()?;
    let (t, h, d) = (means.tokens.len(), means.n_heads, means.d_head);
    for (name, parts) in [("grn.mean_q", &means.queries), ("grn.mean_k", &means.keys)] {
        plan.floats(name, vec![n_blocks, t, h, d], parts.concat());
    }
    let each = (0..n_blocks).flat_map(|block| (0..h).map(move |head| (block, head)));
    let heads: Vec<f32> = each.flat_map(|(b, head)| means.head_attention(b, head).into_data()).collect();
    plan.floats("grn.attention_heads", vec![n_blocks * h, t, t], heads);
    let attention = means.mean_attention();
    let genes = model.gene_tokens(t);
    let mut network = thresholded(&attention, genes.clone());
    // At the threshold rounding decides between zero and the value; the manifest says to leave these entries out.
    let slack = case.manifest["tolerances"]["grn.network"]["abs"].as_f64().unwrap_or(0.0);
    if case.has("grn.network") {
        let (_, expected) = case.read_floats("grn.network")?;
        let n = genes.len();
        for (i, (found, expected)) in network.data_mut().iter_mut().zip(&expected).enumerate() {
            let value = attention.row(genes.start + i / n)[genes.start + i % n];
            if (f64::from(value) - 1.0 / t as f64).abs() <= slack {
                *found = *expected as f32;
            }
        }
    }
    plan.floats("grn.attention", vec![t, t], attention.into_data());
    plan.floats("grn.network", vec![genes.len(), genes.len()], network.into_data());
    Ok(())
}
