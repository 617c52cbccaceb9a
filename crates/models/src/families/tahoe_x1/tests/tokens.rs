//! Tokens of kits and odd cells, and matching genes.

use microtome_core::{Counts, GeneTable, Table};

use super::kit::{Cells, golden, kits, open};
use crate::{GeneMatch, Model, Overlap, TokenizeOptions};

fn dense(rows: &[&[f32]]) -> Counts {
    let n = rows[0].len();
    let indptr = (0..=rows.len()).map(|c| c * n).collect();
    let indices = rows.iter().flat_map(|_| 0..n as u32).collect();
    Counts::new(n, indptr, indices, rows.concat()).unwrap()
}

fn genes(tokens: &[Option<u32>]) -> GeneMatch {
    GeneMatch { token_of_gene: tokens.to_vec(), sum_duplicates: false, counted: None, overlap: Overlap::default() }
}

fn table(index: &[String]) -> GeneTable {
    GeneTable::detect(&Table { index: index.to_vec(), columns: vec![] }, None, None).unwrap()
}

#[test]
fn the_first_gene_is_binned_unless_as_published() {
    let model = open(&golden());
    let counts = dense(&[&[700.0, 2.0, 5.0], &[0.0, 0.0, 0.0], &[0.0, 9.0, 0.0]]);
    let ids = genes(&[Some(5), None, Some(6)]);
    let default = TokenizeOptions::default();
    let published = TokenizeOptions { as_published: true, ..TokenizeOptions::default() };
    let t = model.tokenize(&counts, None, &ids, &default).unwrap();
    assert_eq!(t.cell(0), (&[1, 5, 6][..], &[-2.0, 50.0, 1.0][..]));
    assert_eq!((t.cell(1).0, t.cell(2).0), (&[1][..], &[1][..]), "cells without known genes are <cls> alone");
    let t = model.tokenize(&counts, None, &ids, &published).unwrap();
    assert_eq!(t.cell(0).1, [-2.0, 700.0, 1.0], "the trap: a raw count in the place of the drug");
    assert_eq!(t.cell(1).0, [1]);
    let drugs = |names: [&str; 3], as_published| TokenizeOptions {
        drugs: Some(names.map(String::from).to_vec()),
        as_published,
        ..TokenizeOptions::default()
    };
    let t = model.tokenize(&counts, None, &ids, &drugs(["Drug A"; 3], true)).unwrap();
    assert_eq!(t.cell(0), (&[1, 128, 5, 6][..], &[-2.0, -2.0, 50.0, 1.0][..]));
    let e = model.tokenize(&counts, None, &ids, &drugs(["Drug A", "Drug B", "aspirin"], false)).unwrap_err();
    assert!(e.to_string().contains("aspirin"), "{e}");
    let t = model.tokenize(&counts, None, &ids, &drugs(["Drug A", "Drug B", "aspirin"], true)).unwrap();
    assert_eq!(t.per_cell["drug"], [1.0, 2.0, 0.0]);
}

#[test]
fn long_cells_are_cut_after_binning() {
    for kit in kits() {
        let (model, cells) = (open(&kit), Cells::read(&kit));
        let all = cells.tokens(&model, &TokenizeOptions::default());
        for as_published in [false, true] {
            let options = TokenizeOptions { max_tokens: Some(6), as_published, ..TokenizeOptions::default() };
            let full = cells.tokens(&model, &TokenizeOptions { as_published, ..TokenizeOptions::default() });
            let cut = cells.tokens(&model, &options);
            for c in 0..all.n_cells() {
                assert_eq!(cut.len_of(c), full.len_of(c).min(6));
                assert_eq!(cut.n_cut[c] as usize, full.len_of(c) - cut.len_of(c));
                let pairs = |t: &crate::Tokens| -> Vec<(u32, u32)> {
                    t.cell(c).0.iter().copied().zip(t.cell(c).1.iter().map(|v| v.to_bits())).collect()
                };
                let whole = pairs(&full);
                assert!(pairs(&cut).iter().all(|p| whole.contains(p)));
                if as_published && model.collator.keep_first == 2 && full.len_of(c) > 1 {
                    assert_eq!(pairs(&cut)[1], whole[1], "the first gene stays");
                }
            }
        }
        let none = TokenizeOptions { max_tokens: Some(1), ..TokenizeOptions::default() };
        let matched = model.match_genes(&cells.genes()).unwrap();
        assert!(model.tokenize(&cells.counts, None, &matched, &none).is_err());
    }
}

#[test]
fn recipes_and_drugs_that_do_not_exist_are_refused() {
    let (counts, ids) = (dense(&[&[1.0]]), genes(&[Some(5)]));
    let recipe = |name: &str| TokenizeOptions { recipe: Some(name.into()), ..TokenizeOptions::default() };
    let model = open(&golden());
    assert!(model.tokenize(&counts, None, &ids, &recipe("float32-ranks")).is_ok());
    let e = model.tokenize(&counts, None, &ids, &recipe("float32-rank")).unwrap_err().to_string();
    assert!(e.contains("did you mean float32-ranks"), "{e}");
    for kit in kits() {
        let model = open(&kit);
        if model.network.drugs.is_none() {
            let options = TokenizeOptions { drugs: Some(vec!["Drug A".into()]), ..TokenizeOptions::default() };
            let e = model.tokenize(&counts, None, &ids, &options).unwrap_err().to_string();
            assert!(e.contains("takes no drugs"), "{e}");
        }
    }
}

#[test]
fn genes_are_matched_by_id() {
    let (model, cells) = (open(&golden()), Cells::read(&golden()));
    let matched = model.match_genes(&cells.genes()).unwrap();
    assert!(matched.overlap.n_matched > 40 && matched.overlap.source.contains("ensembl_id"));
    let known = |i: u32| model.vocabulary.name(i).unwrap().to_string();
    let versioned = table(&[format!("{}.7", known(3)), known(4), known(4)]);
    let matched = model.match_genes(&versioned).unwrap();
    assert_eq!(matched.token_of_gene, [Some(3), Some(4), Some(4)]);
    assert_eq!((matched.overlap.n_duplicates, matched.sum_duplicates), (2, false));
    assert!(matched.overlap.source.contains("version"));
    let mouse: Vec<String> = (0..30).map(|i| format!("ENSMUSG{i:011}")).collect();
    assert!(model.match_genes(&table(&mouse)).unwrap_err().to_string().contains("mouse"));
    let unknown: Vec<String> = (0..30).map(|i| format!("ENSG99{i:09}")).collect();
    assert!(model.match_genes(&table(&unknown)).unwrap_err().to_string().contains("too few genes"));
    let symbols: Vec<String> = (0..30).map(|i| format!("GENE{i}")).collect();
    assert!(model.match_genes(&table(&symbols)).unwrap_err().to_string().contains("Ensembl id"));
}
