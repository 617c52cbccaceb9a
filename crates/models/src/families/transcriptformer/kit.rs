//! Parity kits of this family: columns in the order of the file, and tensors over the genes that positions predict.

use microtome_core::Result;

use super::likelihood::targets;
use super::model::{TranscriptFormer, extra, names};
use crate::parity::{KitCase, KitPlan};
use crate::taps::{Recorded, Recorder};
use crate::{Model, TokenizeOptions, Tokens};

pub(super) fn plan(model: &TranscriptFormer, case: &KitCase<'_>) -> Result<KitPlan> {
    let options = TokenizeOptions {
        as_published: true,
        assays: Some(case.obs_texts("assay")?),
        ..TokenizeOptions::default()
    };
    let tokens = model.sequences(case.cells.counts, case.genes, &options)?;
    let mut plan = KitPlan::new(tokens.clone());
    let of_cells: Vec<Vec<(usize, u32, f32)>> = (0..tokens.n_cells()).map(|c| targets(&tokens, c)).collect();
    let longest = of_cells.iter().map(Vec::len).max().unwrap_or(0);
    let shape = vec![tokens.n_cells(), longest];
    plan.ints("tokens.n_targets", vec![tokens.n_cells()], of_cells.iter().map(|t| t.len() as i64).collect());
    let ids =
        of_cells.iter().flat_map(|t| padded(t.iter().map(|(_, g, _)| i64::from(*g)), longest)).collect();
    plan.ints("tokens.target_ids", shape.clone(), ids);
    let counts = of_cells.iter().flat_map(|t| padded(t.iter().map(|(_, _, n)| *n), longest)).collect();
    plan.floats("tokens.target_counts", shape, counts);

    let last = model.cell_rule().1;
    let sites = [
        (last, "gene_embedding"),
        (extra(names::MU), names::MU),
        (extra(names::NEXT), names::NEXT),
        (extra(names::NEXT_LOSS), names::NEXT_LOSS),
        (extra(names::LOSS), names::LOSS),
        (extra(names::STRICT_MU), names::STRICT_MU),
    ];
    let mut recorder = Recorder::new(sites.iter().map(|(s, _)| s.clone()));
    model.forward(&tokens, &mut recorder)?;
    for (site, name) in sites {
        add(&mut plan, name, recorder.take(&site), &tokens, &of_cells, longest);
    }
    Ok(plan)
}

/// The rows that predict a gene, per cell, padded with zeros.
fn add(
    plan: &mut KitPlan,
    name: &str,
    recorded: Option<Recorded>,
    tokens: &Tokens,
    of_cells: &[Vec<(usize, u32, f32)>],
    longest: usize,
) {
    match recorded {
        Some(Recorded::Cells { data, .. }) => plan.floats(name, vec![data.len()], data),
        Some(Recorded::Tokens { data, width }) => {
            let mut out = vec![];
            for (cell, targets) in of_cells.iter().enumerate() {
                let row = |i: usize| (tokens.offsets[cell] + i) * width;
                let rows = targets.iter().flat_map(|(i, _, _)| &data[row(*i)..row(*i) + width]).copied();
                out.extend(padded(rows, longest * width));
            }
            let mut shape = vec![of_cells.len(), longest, width];
            shape.truncate(if width == 1 { 2 } else { 3 });
            plan.floats(name, shape, out);
        }
        _ => {}
    }
}

fn padded<T: Copy + Default>(values: impl Iterator<Item = T>, n: usize) -> Vec<T> {
    let mut out: Vec<T> = values.collect();
    out.resize(n, T::default());
    out
}
