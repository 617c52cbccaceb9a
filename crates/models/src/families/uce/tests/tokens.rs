//! Sentences: deterministic by default, drawn as published, and odd inputs.

use microtome_core::{Counts, Table};

use super::kit::{Cells, golden, open};
use crate::families::uce::model::Uce;
use crate::families::uce::sentence::{CLS, PAD};
use crate::taps::Pooling;
use crate::{GENE_MASK, GeneMatch, Model, TokenizeOptions, pool_cells};
use microtome_core::{Silent, Site};

fn model() -> Uce {
    open(&golden())
}

#[test]
fn neither_rows_nor_columns_nor_neighbours_change_a_cell() {
    let (model, cells) = (model(), Cells::read(&golden()));
    let n = cells.counts.n_cells();
    let genes = cells.genes(&model);
    let back: Vec<usize> = (0..n).rev().collect();
    let drawn = TokenizeOptions { as_published: true, seed: 3, ..TokenizeOptions::default() };
    let plain = TokenizeOptions::default();
    let tokens = model.tokenize(&cells.counts, None, &genes, &plain).unwrap();
    let reversed = model.tokenize(&cells.counts.select_cells(&back), None, &genes, &plain).unwrap();
    assert_eq!(reversed, tokens.select(&back));
    assert!((0..n).all(|c| tokens.cell(c).0[0] == CLS && !tokens.cell(c).0.contains(&PAD)));

    // Columns in reverse order.
    let g = cells.counts.n_genes();
    let mirrored = mirror(&cells.counts);
    let mut mirrored_genes: GeneMatch = genes.clone();
    mirrored_genes.token_of_gene.reverse();
    assert_eq!(model.tokenize(&mirrored, None, &mirrored_genes, &plain).unwrap(), tokens);
    assert_eq!(mirrored.n_genes(), g);

    // Draws follow the seed and the cell, padding the batch.
    let first = model.tokenize(&cells.counts, None, &genes, &drawn).unwrap();
    assert_eq!(first, model.tokenize(&cells.counts, None, &genes, &drawn).unwrap());
    let other = TokenizeOptions { seed: 4, ..drawn.clone() };
    assert_ne!(first.ids, model.tokenize(&cells.counts, None, &genes, &other).unwrap().ids);
    let alone = model.tokenize(&cells.counts.select_cells(&[1]), None, &genes, &drawn).unwrap();
    let real = |ids: &[u32]| ids.iter().copied().filter(|&i| i != PAD).collect::<Vec<_>>();
    assert_eq!(real(first.cell(1).0), real(&alone.ids));
    let longest = (0..n).map(|c| real(first.cell(c).0).len()).max().unwrap();
    assert!((0..n).all(|c| first.len_of(c) == longest));
}

fn mirror(counts: &Counts) -> Counts {
    let g = counts.n_genes() as u32;
    let (mut indptr, mut indices, mut values) = (vec![0], vec![], vec![]);
    for cell in 0..counts.n_cells() {
        let (columns, row) = counts.row(cell);
        indices.extend(columns.iter().rev().map(|c| g - 1 - c));
        values.extend(row.iter().rev());
        indptr.push(indices.len());
    }
    Counts::new(counts.n_genes(), indptr, indices, values).unwrap()
}

#[test]
fn results_do_not_depend_on_minibatches_or_threads() {
    let (model, cells) = (model(), Cells::read(&golden()));
    let tokens = cells.tokens(&model, &TokenizeOptions::default());
    let sites = [Site::CellEmbedding, Site::resid_post(1)];
    let run = |budget: usize| pool_cells(&model, &tokens, &sites, Pooling::Mean, budget, &Silent).unwrap();
    let all = run(1 << 20);
    assert_eq!(all, run(1));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(all, pool.install(|| run(64)));
    // A mean over genes leaves chromosomes and brackets out.
    let mask = tokens.column(GENE_MASK, 0).unwrap();
    assert_eq!(mask.iter().sum::<f32>() as usize, model.settings.sample_size);
    assert_ne!(
        all.matrices[1],
        pool_cells(&model, &tokens, &sites, Pooling::Token(0), 64, &Silent).unwrap().matrices[1]
    );
}

#[test]
fn odd_cells_have_a_defined_sentence() {
    let model = model();
    let cells = Cells::read(&golden());
    let genes = cells.genes(&model);
    let known: Vec<u32> = (0..genes.token_of_gene.len())
        .filter(|&i| genes.token_of_gene[i].is_some())
        .map(|i| i as u32)
        .collect();
    let n = known.len();
    // Empty; one gene; all genes.
    let indices: Vec<u32> = known[..1].iter().chain(&known).copied().collect();
    let counts =
        Counts::new(cells.counts.n_genes(), vec![0, 0, 1, 1 + n], indices, vec![5.0; n + 1]).unwrap();
    for as_published in [false, true] {
        let options = TokenizeOptions { as_published, ..TokenizeOptions::default() };
        let tokens = model.tokenize(&counts, None, &genes, &options).unwrap();
        let real = |c: usize| tokens.cell(c).0.iter().filter(|i| **i != PAD).count();
        assert_eq!((real(0), real(1)), (1, model.settings.sample_size + 3));
        assert!(tokens.n_cut[2] as usize >= n - model.settings.sample_size);
        let out = pool_cells(&model, &tokens, &[Site::CellEmbedding], Pooling::Published, 1 << 20, &Silent)
            .unwrap();
        assert!(out.matrices[0].data().iter().all(|v| v.is_finite()));
    }
    for cap in [4, 7, 20] {
        let options = TokenizeOptions { max_tokens: Some(cap), ..TokenizeOptions::default() };
        let tokens = model.tokenize(&counts, None, &genes, &options).unwrap();
        assert!((0..3).all(|c| tokens.len_of(c) <= cap) && tokens.len_of(2) > 3, "{cap}");
    }
    let tiny = TokenizeOptions { max_tokens: Some(3), ..TokenizeOptions::default() };
    assert!(model.tokenize(&counts, None, &genes, &tiny).is_err());
    let unknown = TokenizeOptions { recipe: Some("helicl".into()), ..TokenizeOptions::default() };
    assert!(model.tokenize(&counts, None, &genes, &unknown).unwrap_err().to_string().contains("helical"));
    let fractions = Counts::new(cells.counts.n_genes(), vec![0, 1], vec![known[0]], vec![0.5]).unwrap();
    assert!(model.tokenize(&fractions, None, &genes, &TokenizeOptions::default()).is_err());
}

#[test]
fn genes_of_another_species_are_refused() {
    let model = model();
    let names = |f: &dyn Fn(usize) -> String| Table { index: (0..50).map(f).collect(), columns: vec![] };
    for table in [names(&|i| format!("ENSDARG{i:011}")), names(&|i| format!("NOSUCH{i}"))] {
        let genes = microtome_core::GeneTable::detect(&table, None, None).unwrap();
        assert!(model.match_genes(&genes).is_err());
    }
}
