//! Tokenising: fixed length, raw counts only, odd cells.

use microtome_core::{Counts, GeneTable, Table};

use super::kit::{Cells, golden, open, small_kits};
use crate::{Model, POOL_MASK, TokenizeOptions};

/// Counts over the genes of the kit: cell by cell, `(gene of the data, count)`.
fn counts(n_genes: usize, cells: &[&[(u32, f32)]]) -> Counts {
    let mut indptr = vec![0];
    let (mut indices, mut values) = (vec![], vec![]);
    for cell in cells {
        indices.extend(cell.iter().map(|(g, _)| *g));
        values.extend(cell.iter().map(|(_, v)| *v));
        indptr.push(values.len());
    }
    Counts::new(n_genes, indptr, indices, values).unwrap()
}

#[test]
fn empty_and_one_gene_cells_have_defined_values() {
    let kit = golden();
    let (model, cells) = (open(&kit), Cells::read(&kit));
    let genes = model.match_genes(&GeneTable::detect(&cells.var, None, None).unwrap()).unwrap();
    let known = genes.token_of_gene.iter().position(Option::is_some).unwrap() as u32;
    let unknown = genes.token_of_gene.iter().position(Option::is_none).unwrap() as u32;
    let n = cells.counts.n_genes();
    let few = counts(n, &[&[], &[(known, 3.0)], &[(unknown, 9.0)], &[(known, 250_000.0)]]);
    let tokens = model.tokenize(&few, None, &genes, &TokenizeOptions::default()).unwrap();
    let last = model.info().max_tokens - 1;
    for cell in [0, 2] {
        let (_, values) = tokens.cell(cell);
        assert!(values[..last - 1].iter().all(|v| *v == 0.0), "a cell without listed genes is all zeros");
        assert_eq!(values[last], 5.0);
    }
    let (ids, values) = tokens.cell(1);
    let token = genes.token_of_gene[known as usize].unwrap();
    assert_eq!(ids[token as usize], token);
    assert!((values[token as usize] - 10_001f32.ln()).abs() < 1e-6);
    assert_eq!(values.iter().filter(|v| **v != 0.0).count(), 3);
    let deep = tokens.cell(3).1[last];
    assert!((deep - 250_000f32.log10()).abs() < 1e-6 && deep > 5.0);
    let published = TokenizeOptions { as_published: true, ..TokenizeOptions::default() };
    let published = model.tokenize(&few, None, &genes, &published).unwrap();
    assert!(published.cell(0).1[0].is_nan());
    assert_eq!(published.cell(1), tokens.cell(1));
}

#[test]
fn order_of_rows_and_company_change_nothing() {
    for kit in small_kits() {
        let (model, cells) = (open(&kit), Cells::read(&kit));
        let genes = model.match_genes(&GeneTable::detect(&cells.var, None, None).unwrap()).unwrap();
        let all = cells.tokens(&model);
        let reversed: Vec<usize> = (0..all.n_cells()).rev().collect();
        let options = TokenizeOptions::default();
        let back = model.tokenize(&cells.counts.select_cells(&reversed), None, &genes, &options).unwrap();
        assert_eq!(back, all.select(&reversed));
        assert_eq!(all.per_token[POOL_MASK].len(), all.ids.len());
    }
}

#[test]
fn refuses_caps_foreign_matches_and_processed_values() {
    let kit = golden();
    let (model, cells) = (open(&kit), Cells::read(&kit));
    let genes = model.match_genes(&GeneTable::detect(&cells.var, None, None).unwrap()).unwrap();
    let capped = TokenizeOptions { max_tokens: Some(50), ..TokenizeOptions::default() };
    let e = model.tokenize(&cells.counts, None, &genes, &capped).unwrap_err().to_string();
    assert!(e.contains("cannot be cut short"), "{e}");
    let other = Counts::empty(3);
    assert!(model.tokenize(&other, None, &genes, &TokenizeOptions::default()).is_err());
    let logs = counts(cells.counts.n_genes(), &[&[(0, 0.5)]]);
    let e = model.tokenize(&logs, None, &genes, &TokenizeOptions::default()).unwrap_err().to_string();
    assert!(e.contains("raw counts"), "{e}");
    let none = Table { index: vec![], columns: vec![] };
    assert!(model.match_genes(&GeneTable::detect(&none, None, None).unwrap()).is_err());
}
