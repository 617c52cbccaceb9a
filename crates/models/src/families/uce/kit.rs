//! Parity kits of this family: the recorded draws of numpy, one padded batch, helical's sentences, readouts of chosen genes.

use microtome_core::{Error, Result, Site};

use super::model::Uce;
use super::sentence::{Drawn, Gene, PAD, draw, probabilities, sentence};
use super::tokens::{Cell, tokens};
use crate::parity::{KitCase, KitPlan};
use crate::taps::{Recorded, Recorder};
use crate::tokenize::numpy_random::LegacyNumpy;
use crate::{Model, TokenizeOptions};

pub(super) fn plan(model: &Uce, case: &KitCase<'_>) -> Result<KitPlan> {
    let seed = case.manifest["seed"].as_u64().and_then(|s| u32::try_from(s).ok());
    let seed =
        seed.ok_or_else(|| Error::unreadable("the manifest lacks the seed of the sampler").at_key("seed"))?;
    let counts = case.cells.counts;
    let cells: Vec<Vec<Gene>> =
        (0..counts.n_cells()).map(|c| model.genes_of(counts, c, case.genes)).collect();
    // The kit seeds once and draws cell after cell.
    let mut numpy = LegacyNumpy::new(seed);
    let drawn: Vec<Drawn> =
        cells.iter().map(|genes| draw(genes, model.settings.sample_size, &mut numpy)).collect();
    let sentences = || -> Vec<Cell> {
        let made =
            cells.iter().zip(&drawn).map(|(genes, drawn)| sentence(genes, drawn, model.chromosome_offset).0);
        made.map(|ids| Cell { values: vec![0.0; ids.len()], is_gene: vec![0.0; ids.len()], ids, n_cut: 0 })
            .collect()
    };
    let mut plan = KitPlan::new(tokens(sentences(), 1));

    let padded = tokens(sentences(), cells.len());
    let longest = padded.offsets.get(1).copied().unwrap_or(0);
    let mask = padded.ids.iter().map(|&id| i64::from(id != PAD)).collect();
    plan.ints("padded.mask", vec![cells.len(), longest], mask);
    plan.runs.push(("padded".into(), padded));
    let helical = TokenizeOptions { recipe: Some("helical".into()), ..TokenizeOptions::default() };
    plan.runs.push(("helical".into(), model.tokenize(counts, None, case.genes, &helical)?));

    add_sampling(&mut plan, model, case, &drawn)?;
    add_readouts(&mut plan, model, case)?;
    Ok(plan)
}

/// Probabilities, draws and the tables they go by, over the genes of the data that the model knows.
fn add_sampling(plan: &mut KitPlan, model: &Uce, case: &KitCase<'_>, drawn: &[Drawn]) -> Result<()> {
    let counts = case.cells.counts;
    let columns: Vec<(usize, u32)> =
        case.genes.token_of_gene.iter().enumerate().filter_map(|(i, t)| Some((i, (*t)?))).collect();
    let n = columns.len();
    let mut at = vec![0; counts.n_genes()];
    columns.iter().enumerate().for_each(|(k, (column, _))| at[*column] = k);
    let (mut weights, mut choice) = (vec![], vec![]);
    for (cell, drawn) in drawn.iter().enumerate() {
        let mut row = vec![0.0; n];
        let (genes, values) = counts.row(cell);
        let known: Vec<usize> = (0..genes.len())
            .filter(|&i| case.genes.token_of_gene[genes[i] as usize].is_some() && values[i] > 0.0)
            .collect();
        let p = probabilities(known.iter().map(|&i| values[i]));
        known.iter().zip(p).for_each(|(&i, p)| row[at[genes[i] as usize]] = p);
        weights.extend(row);
        choice.extend(drawn.choice.iter().map(|&i| at[genes[known[i]] as usize] as i64));
    }
    let places: Vec<_> = columns.iter().filter_map(|(_, row)| model.species.place(*row)).collect();
    plan.floats("sampling.weights", vec![drawn.len(), n], weights);
    plan.ints("sampling.choice_idx", vec![drawn.len(), model.settings.sample_size], choice);
    plan.ints("sampling.gene_column", vec![n], columns.iter().map(|(c, _)| *c as i64).collect());
    plan.ints("sampling.gene_rows", vec![n], columns.iter().map(|(_, r)| i64::from(*r)).collect());
    plan.ints("sampling.gene_chrom", vec![n], places.iter().map(|p| i64::from(p.chromosome)).collect());
    plan.ints("sampling.gene_start", vec![n], places.iter().map(|p| p.start).collect());
    // One more than the code, so that 0 can be padding.
    let most = drawn.iter().map(|d| d.chromosomes.len()).max().unwrap_or(0);
    let mut order = vec![0i64; drawn.len() * most];
    for (row, drawn) in order.chunks_mut(most.max(1)).zip(drawn) {
        row.iter_mut().zip(&drawn.chromosomes).for_each(|(o, c)| *o = i64::from(*c) + 1);
    }
    plan.ints("sampling.chrom_order", vec![drawn.len(), most], order);
    Ok(())
}

/// The gene layer of the kit's choice of rows, and their expression in every cell.
fn add_readouts(plan: &mut KitPlan, model: &Uce, case: &KitCase<'_>) -> Result<()> {
    let (_, rows) = case.read_ints("readout.query_rows")?;
    plan.skip("readout.query_rows", "says which genes are asked for, so it is read rather than computed");
    let beyond = || {
        Error::unreadable("the kit asks for a row that the table does not have").at_key("readout.query_rows")
    };
    let rows: Vec<u32> = rows
        .iter()
        .map(|&r| {
            u32::try_from(r).ok().filter(|r| (*r as usize) < model.network.table.rows).ok_or_else(beyond)
        })
        .collect::<Result<_>>()?;
    let vectors = model.network.gene_vectors(&rows)?;
    let mut recorder = Recorder::new([Site::CellEmbedding]);
    model.forward(&plan.tokens, &mut recorder)?;
    if let Some(Recorded::Cells { data, width }) = recorder.take(&Site::CellEmbedding) {
        let logits: Vec<f32> = data
            .chunks_exact(width)
            .flat_map(|cell| model.network.expression_logits(cell, &vectors))
            .collect();
        plan.floats("readout.expression_logit", vec![data.len() / width, rows.len()], logits);
    }
    let width = vectors.len() / rows.len().max(1);
    plan.floats("readout.gene_embedding_layer", vec![rows.len(), width], vectors);
    Ok(())
}
