//! From odd cells to tokens.

use microtome_core::{Counts, GeneTable, Table};

use super::kit::{Cells, open};
use crate::{Model, TokenizeOptions};

fn table(symbols: &[&str]) -> GeneTable {
    let var = Table { index: symbols.iter().map(|s| (*s).to_string()).collect(), columns: vec![] };
    GeneTable::detect(&var, None, None).unwrap()
}

fn counts(rows: &[&[f32]]) -> Counts {
    let n = rows[0].len();
    let indptr = (0..=rows.len()).map(|i| i * n).collect();
    let indices = rows.iter().flat_map(|_| 0..n as u32).collect();
    Counts::new(n, indptr, indices, rows.concat()).unwrap()
}

#[test]
fn empty_one_gene_duplicates_and_order() {
    let model = open();
    let g: Vec<&str> = model.genes.iter().map(String::as_str).take(4).collect();
    let names = [g[3], g[0], g[3], g[1], "not-a-gene"];
    let genes = model.match_genes(&table(&names)).unwrap();
    assert_eq!(genes.token_of_gene, [Some(4), Some(1), None, Some(2), None]);
    assert_eq!((genes.overlap.n_duplicates, genes.overlap.n_matched), (1, 3));
    let rows: [&[f32]; 3] =
        [&[0.0, 0.0, 9.0, 0.0, 5.0], &[0.0, 3.0, 0.0, 0.0, 7.0], &[1.0, 2.0, 0.0, 1.0, 0.0]];
    let t = model.tokenize(&counts(&rows), None, &genes, &TokenizeOptions::default()).unwrap();
    assert_eq!((t.len_of(0), t.len_of(1), t.len_of(2)), (0, 2, 4));
    let (ids, values) = t.cell(1);
    assert_eq!(ids, [144, 1]);
    // The total is over known genes only.
    assert!((values[1] - 10_001f32.ln()).abs() < 1e-6);
    let names: Vec<&str> = t.cell(2).0.iter().map(|&id| model.token_name(id).unwrap()).collect();
    let mut sorted = names[1..].to_vec();
    sorted.sort_unstable();
    assert_eq!(names[0], "<cls>");
    assert_eq!(names[1..], sorted);
}

#[test]
fn cells_beyond_a_hundred_thousand_counts_are_scaled_down_first() {
    let model = open();
    let g: Vec<&str> = model.genes.iter().map(String::as_str).take(3).collect();
    let genes = model.match_genes(&table(&g)).unwrap();
    // 400,000 counts: divided by 4, halves to even, zeros dropped.
    let rows: [&[f32]; 1] = [&[399_988.0, 2.0, 10.0]];
    let t = model.tokenize(&counts(&rows), None, &genes, &TokenizeOptions::default()).unwrap();
    assert_eq!(t.len_of(0), 3, "0.5 becomes 0 and is dropped, 2.5 becomes 2");
    let smallest = t.cell(0).1[1..].iter().copied().fold(f32::INFINITY, f32::min);
    let expected = (1e4 * 2.0 / (99_997.0f64 + 2.0)).ln_1p();
    assert!((f64::from(smallest) - expected).abs() < 1e-6, "{smallest} {expected}");
}

#[test]
fn too_many_genes_keep_the_highest_or_a_draw_of_their_own() {
    let model = open();
    let names: Vec<&str> = model.genes.iter().map(String::as_str).collect();
    let genes = model.match_genes(&table(&names)).unwrap();
    let row: Vec<f32> = (0..names.len()).map(|i| 1.0 + (i % 50) as f32).collect();
    let cell = counts(&[&row]);
    let run = |options: &TokenizeOptions| model.tokenize(&cell, None, &genes, options).unwrap();
    let top = TokenizeOptions { max_tokens: Some(11), ..Default::default() };
    let t = run(&top);
    assert_eq!((t.len_of(0), t.n_cut[0] as usize), (11, names.len() - 10));
    assert!(t.cell(0).0[1..].iter().all(|&id| row[id as usize - 1] >= 46.0));
    let drawn = TokenizeOptions { as_published: true, ..top.clone() };
    assert_eq!(run(&drawn), run(&drawn));
    let seeds: std::collections::BTreeSet<Vec<u32>> =
        (0..5).map(|seed| run(&TokenizeOptions { seed, ..drawn.clone() }).ids).collect();
    assert!(seeds.len() > 1, "draws follow the seed");
    assert!(run(&TokenizeOptions { max_tokens: Some(1000), ..drawn.clone() }).len_of(0) == names.len() + 1);
    let e = model.tokenize(&cell, None, &genes, &TokenizeOptions { max_tokens: Some(1), ..top }).unwrap_err();
    assert!(e.to_string().contains("at least 2"));
}

#[test]
fn foreign_genes_and_values_are_refused() {
    let model = open();
    let e = model.match_genes(&table(&["ENSMUSG00000000001", "ENSMUSG00000000003"])).unwrap_err().to_string();
    assert!(e.contains("another species"), "{e}");
    assert!(model.match_genes(&table(&["x1", "x2"])).unwrap_err().to_string().contains("too few"));
    let genes = model.match_genes(&table(&[&model.genes[0]])).unwrap();
    let e = model.tokenize(&counts(&[&[0.5]]), None, &genes, &Default::default()).unwrap_err();
    assert!(e.to_string().contains("raw counts"));
}

#[test]
fn the_order_of_columns_and_rows_changes_nothing() {
    let (model, cells) = (open(), Cells::read());
    let tokens = cells.tokens(&model);
    let n = cells.var.index.len();
    let back: Vec<&str> = cells.var.index.iter().rev().map(String::as_str).collect();
    let genes = model.match_genes(&table(&back)).unwrap();
    let rows: Vec<Vec<f32>> = (0..cells.counts.n_cells())
        .map(|c| {
            let mut row = vec![0.0; n];
            let (columns, values) = cells.counts.row(c);
            columns.iter().zip(values).for_each(|(&g, &v)| row[n - 1 - g as usize] = v);
            row
        })
        .collect();
    let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let turned = model.tokenize(&counts(&rows), None, &genes, &Default::default()).unwrap();
    assert_eq!(turned, tokens);
}
