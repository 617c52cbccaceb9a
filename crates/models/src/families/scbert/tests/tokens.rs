//! From counts to tokens.

use microtome_core::{Counts, GeneTable, Table};

use super::kit::{golden, open};
use crate::{GeneMatch, Model, TokenizeOptions};

fn recipe(name: &str) -> TokenizeOptions {
    TokenizeOptions { recipe: Some(name.into()), ..TokenizeOptions::default() }
}

/// The second gene of the list, an unknown one, the first, and the second again.
fn small(model: &crate::families::scbert::model::ScBert) -> GeneMatch {
    let [a, b] = [&model.genes[0], &model.genes[1]];
    let index = [b, "UNKNOWN1", a, b].iter().map(|s| (*s).to_string()).collect();
    model.match_genes(&GeneTable::detect(&Table { index, columns: vec![] }, None, None).unwrap()).unwrap()
}

fn counts(rows: &[[f32; 4]]) -> Counts {
    let indices = rows.iter().flat_map(|_| 0..4).collect();
    Counts::new(4, (0..=rows.len()).map(|r| r * 4).collect(), indices, rows.concat()).unwrap()
}

#[test]
fn bins_of_log2_expression_in_the_order_of_the_list() {
    let model = open(&golden());
    let t = model.tokenize(&counts(&[[1.0, 9.0, 9999.0, 0.0]]), None, &small(&model), &TokenizeOptions::default()).unwrap();
    let (ids, values) = t.cell(0);
    assert_eq!((ids.len(), &ids[..3], ids[47]), (48, &[5, 1, 0][..], 0));
    assert!((f64::from(values[0]) - 10_000f64.log2()).abs() < 1e-5);
    assert_eq!(values[1], 1.0);
}

#[test]
fn duplicates_are_added_up_and_an_empty_cell_is_all_zeros() {
    let model = open(&golden());
    let genes = small(&model);
    let run = |rows: &[[f32; 4]]| model.tokenize(&counts(rows), None, &genes, &TokenizeOptions::default()).unwrap();
    assert_eq!(run(&[[1.0, 0.0, 5.0, 2.0]]), run(&[[3.0, 7.0, 5.0, 0.0]]));
    let empty = run(&[[0.0, 5.0, 0.0, 0.0]]);
    assert!(empty.ids.iter().all(|id| *id == 0) && empty.values.iter().all(|v| *v == 0.0));
}

#[test]
fn the_published_filter_leaves_cells_out_and_caps_are_refused() {
    let model = open(&golden());
    let genes = small(&model);
    let cell = counts(&[[1.0, 0.0, 5.0, 2.0]]);
    assert_eq!(model.tokenize(&cell, None, &genes, &recipe("preprocess.py")).unwrap().len_of(0), 0);
    assert!(model.tokenize(&cell, None, &genes, &recipe("other")).unwrap_err().to_string().contains("preprocess.py"));
    let cap = TokenizeOptions { max_tokens: Some(47), ..TokenizeOptions::default() };
    assert!(model.tokenize(&cell, None, &genes, &cap).is_err());
    let logged = counts(&[[0.5, 0.0, 5.0, 2.0]]);
    assert!(model.tokenize(&logged, None, &genes, &TokenizeOptions::default()).is_err());
}
