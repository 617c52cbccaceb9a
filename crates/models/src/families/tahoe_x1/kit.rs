//! Parity kits of this family: published and corrected binning, drugs, sampled token lists, and both generations of torch's quantiles.

use microtome_core::{Error, Result};

use super::model::TahoeX1;
use super::tokens::DRUG;
use crate::parity::{KitCase, KitPlan, padded_per_token};
use crate::taps::{Averaged, GeneMeanTap};
use crate::tokenize::quantile_bins::{TorchRanks, torch_bins, torch_edges, torch_grades};
use crate::{Model, TokenizeOptions, Tokens};

const READ: &str = "a recorded random list of tokens, which is read rather than computed";

pub(super) fn plan(model: &TahoeX1, case: &KitCase<'_>) -> Result<KitPlan> {
    let options = TokenizeOptions { as_published: true, ..TokenizeOptions::default() };
    let published = model.tokenizer(&options)?;
    let cells = published.cells(case.cells.counts, case.genes)?;
    let tokens = published.tokens(&cells)?;
    let mut plan = KitPlan::new(tokens.clone());
    if case.has("tokens.values_raw") {
        let raw: Vec<f32> = cells.iter().flat_map(|c| c.raw.iter().copied()).collect();
        let pad = case.read_floats("tokens.values_raw")?.0.get(1).copied().unwrap_or(0);
        let (shape, values) = padded_per_token(&tokens, &raw, pad);
        plan.floats("tokens.values_raw", shape, values);
    }
    if case.has("corrected.tokens.values") {
        let corrected = model.tokenize(case.cells.counts, None, case.genes, &TokenizeOptions::default())?;
        plan.runs.push(("corrected".into(), corrected));
    }
    if case.has("chem.drug_ids") {
        add_drugs(&mut plan, model, case)?;
    }
    if case.has("sampled.cell_index") {
        let all = given(case, "sampled.tokens.ids", "sampled.tokens.values", None)?;
        plan.runs.push(("sampled".into(), all));
        for name in ["sampled.cell_index", "sampled.tokens.ids", "sampled.tokens.values"] {
            plan.skip(name, READ);
        }
    }
    if case.has("binning.values") {
        add_function_rows(&mut plan, case)?;
    }
    if case.has("gene_embedding.token_ids") {
        add_gene_vectors(&mut plan, model, &tokens)?;
    }
    Ok(plan)
}

/// The drug token, and what the published collator makes of a batch of one cell with it.
fn add_drugs(plan: &mut KitPlan, model: &TahoeX1, case: &KitCase<'_>) -> Result<()> {
    let drugs = Some(case.obs_texts(DRUG)?);
    let options = TokenizeOptions { as_published: true, drugs, ..TokenizeOptions::default() };
    let tokenizer = model.tokenizer(&options)?;
    let tokens = tokenizer.tokens(&tokenizer.cells(case.cells.counts, case.genes)?)?;
    let ids = tokenizer.drugs.clone().unwrap_or_default();
    plan.ints("chem.drug_ids", vec![ids.len()], ids.iter().map(|&d| i64::from(d)).collect());
    if case.has("chem.batch1.tokens.ids") {
        let mut batch1 = given(case, "chem.batch1.tokens.ids", "chem.batch1.tokens.values", Some("chem.batch1.tokens.len"))?;
        batch1.per_cell.insert(DRUG, tokens.per_cell.get(DRUG).cloned().unwrap_or_default());
        plan.runs.push(("chem.batch1".into(), batch1));
        for name in ["ids", "values", "len"] {
            plan.skip(&format!("chem.batch1.tokens.{name}"), READ);
        }
    }
    plan.runs.push(("chem".into(), tokens));
    Ok(())
}

/// Tokens as the kit lists them.
fn given(case: &KitCase<'_>, ids: &str, values: &str, lengths: Option<&str>) -> Result<Tokens> {
    let (shape, ids_found) = case.read_ints(ids)?;
    let (_, values_found) = case.read_floats(values)?;
    let wrong = || Error::unreadable("the kit's list of tokens does not fit together").at_key(ids.to_string());
    let &[n_cells, width] = &shape[..] else { return Err(wrong()) };
    if values_found.len() != ids_found.len() {
        return Err(wrong());
    }
    let lengths = match lengths {
        Some(name) => case.read_ints(name)?.1,
        None => vec![width as i64; n_cells],
    };
    let mut tokens = Tokens::new();
    for (cell, &n) in lengths.iter().enumerate().take(n_cells) {
        let n = usize::try_from(n).ok().filter(|n| *n <= width).ok_or_else(wrong)?;
        let span = cell * width..cell * width + n;
        let ids = ids_found[span.clone()].iter().map(|&i| u32::try_from(i).map_err(|_| wrong()));
        let values: Vec<f32> = values_found[span].iter().map(|&v| v as f32).collect();
        tokens.push(&ids.collect::<Result<Vec<u32>>>()?, &values, 0, 0);
    }
    Ok(tokens)
}

/// Mean vectors of genes; special tokens are left out, as in the authors' script.
fn add_gene_vectors(plan: &mut KitPlan, model: &TahoeX1, tokens: &Tokens) -> Result<()> {
    let mut tap = GeneMeanTap::new(model, &[model.cell_rule().1], Averaged::All);
    model.forward(tokens, &mut tap)?;
    let means = tap.finish_one()?;
    let is_gene = |t: u32| model.token_name(t).is_some_and(|n| !n.starts_with('<'));
    let rows: Vec<usize> = (0..means.tokens.len()).filter(|&i| is_gene(means.tokens[i])).collect();
    let ids = rows.iter().map(|&i| i64::from(means.tokens[i])).collect();
    plan.ints("gene_embedding.token_ids", vec![rows.len()], ids);
    let genes = means.means.select_rows(&rows);
    plan.floats("gene_embedding", vec![genes.rows(), genes.cols()], genes.into_data());
    Ok(())
}

/// `binning.*`: what the published function makes of vectors, with both generations of ranks.
fn add_function_rows(plan: &mut KitPlan, case: &KitCase<'_>) -> Result<()> {
    let (shape, values) = case.read_floats("binning.values")?;
    let (_, lengths) = case.read_ints("binning.len")?;
    let wrong = || Error::unreadable("the kit's vectors to bin do not fit together").at_key("binning.values");
    let &[n, width] = &shape[..] else { return Err(wrong()) };
    if lengths.len() != n {
        return Err(wrong());
    }
    plan.skip("binning.values", "input of the binning function, read rather than computed");
    plan.skip("binning.len", "lengths of that input");
    let grades = torch_grades(50);
    plan.floats("binning.grades", vec![grades.len()], grades);
    let rows = values.chunks_exact(width.max(1)).zip(&lengths);
    let vectors: Vec<Vec<f32>> =
        rows.map(|(row, &n)| row.iter().take(usize::try_from(n).unwrap_or(0)).map(|&v| v as f32).collect()).collect();
    let mut differ = vec![0i64; n];
    for (suffix, ranks) in [("", TorchRanks::Double), ("_f32ranks", TorchRanks::Single)] {
        let (mut left, mut right, mut quantiles) = (vec![], vec![], vec![]);
        for (vector, differ) in vectors.iter().zip(&mut differ) {
            let padded = |bins: Vec<usize>| {
                let bins = bins.into_iter().map(|b| b as i64);
                bins.chain(std::iter::repeat(0)).take(width).collect::<Vec<_>>()
            };
            left.extend(padded(torch_bins(vector, 51, false, ranks)));
            right.extend(padded(torch_bins(vector, 51, true, ranks)));
            let other = torch_bins(vector, 51, false, TorchRanks::Single);
            *differ = i64::from(other != torch_bins(vector, 51, false, TorchRanks::Double));
            let mut sorted: Vec<f32> = vector.iter().copied().filter(|v| *v != 0.0).collect();
            sorted.sort_unstable_by(f32::total_cmp);
            quantiles.extend(torch_edges(&sorted, 50, ranks));
        }
        plan.ints(&format!("binning.left{suffix}"), vec![n, width], left);
        plan.ints(&format!("binning.right{suffix}"), vec![n, width], right);
        plan.floats(&format!("binning.quantiles{suffix}"), vec![n, 50], quantiles);
    }
    plan.ints("binning.conventions_differ", vec![n], differ);
    Ok(())
}
