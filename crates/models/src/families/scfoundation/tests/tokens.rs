//! From counts to tokens.

use microtome_core::{Counts, GeneTable, Table};

use super::kit::{Cells, golden, open};
use crate::{GeneMatch, Model, TokenizeOptions, Tokens};

fn table(names: &[&str]) -> GeneTable {
    let var = Table { index: names.iter().map(|s| (*s).to_string()).collect(), columns: vec![] };
    GeneTable::detect(&var, None, None).unwrap()
}

fn recipe(name: &str) -> TokenizeOptions {
    TokenizeOptions { recipe: Some(name.into()), ..TokenizeOptions::default() }
}

fn counts(rows: &[&[f32]]) -> Counts {
    let width = rows[0].len();
    let indices = rows.iter().flat_map(|_| 0..width as u32).collect();
    let indptr = (0..=rows.len()).map(|r| r * width).collect();
    Counts::new(width, indptr, indices, rows.concat()).unwrap()
}

/// Three columns: `AMD1` (row 2), an unknown one, `ACTB` (row 1).
fn small(model: &dyn Model) -> GeneMatch {
    model.match_genes(&table(&["AMD1", "UNKNOWN1", "ACTB"])).unwrap()
}

fn tokens(rows: &[&[f32]], options: &TokenizeOptions) -> Tokens {
    let model = open("cell");
    model.tokenize(&counts(rows), None, &small(&model), options).unwrap()
}

#[test]
fn the_row_of_the_list_is_the_identity_and_unknown_genes_do_not_count() {
    let t = tokens(&[&[3.0, 50.0, 1.0]], &TokenizeOptions::default());
    assert_eq!(t.ids, [1, 2, 120, 121]);
    let close = |a: f32, b: f64| assert!((f64::from(a) - b).abs() < 1e-6, "{a} {b}");
    close(t.values[0], 2501f64.ln());
    close(t.values[1], 7501f64.ln());
    assert_eq!(t.values[2], 4.0);
    close(t.values[3], 4f64.log10());
}

#[test]
fn targets_of_read_depth() {
    let rows: &[&[f32]] = &[&[30.0, 0.0, 10.0]];
    let t_of = |name: &str| f64::from(tokens(rows, &recipe(name)).values[2]);
    for (name, want) in [("t4.5", 4.5), ("f1", 40f64.log10()), ("f2.5", 2.0), ("a5", 40f64.log10() + 5.0)] {
        assert!((t_of(name) - want).abs() < 1e-6, "{name}");
    }
    let model = open("cell");
    let genes = small(&model);
    for name in ["", "4", "x4", "t0", "t-1", "f0", "tx", "tinf", "bulk:0", "bulk:", "bulky", "t102", "t103"] {
        let e = model.tokenize(&counts(rows), None, &genes, &recipe(name)).unwrap_err();
        assert!(e.to_string().contains("recipe"), "{name}: {e}");
    }
}

#[test]
fn bulk_scales_to_the_median_of_the_company_or_to_a_given_total() {
    let rows: &[&[f32]] = &[&[30.0, 0.0, 10.0], &[60.0, 0.0, 20.0], &[0.0, 9.0, 0.0]];
    let t = tokens(rows, &recipe("bulk"));
    // Totals 40 and 80 (the empty one does not count): median 60.
    let (x, y) = (15f64.ln_1p(), 45f64.ln_1p());
    for cell in 0..2 {
        let (ids, values) = t.cell(cell);
        assert_eq!(ids, [1, 2, 120, 121]);
        for (got, want) in values.iter().zip([x, y, (x + y).log10(), (x + y).log10()]) {
            assert!((f64::from(*got) - want).abs() < 1e-6);
        }
    }
    assert_eq!(t.len_of(2), 0);
    let given = tokens(rows, &recipe("bulk:60"));
    assert_eq!(given, t);
    assert_eq!(tokens(&rows[1..2], &recipe("bulk:60")), given.select(&[1]));
    assert_ne!(tokens(&rows[1..2], &recipe("bulk")), t.select(&[1]), "the company decides");
}

#[test]
fn cells_without_a_published_result_get_no_tokens() {
    let t = tokens(&[&[0.0, 5.0, 0.0], &[0.0, 0.0, 1.0], &[0.0, 0.0, 2.0]], &TokenizeOptions::default());
    assert_eq!((t.len_of(0), t.n_cut[0]), (0, 0));
    assert_eq!((t.len_of(1), t.n_cut[1]), (0, 1), "S of a single count is zero");
    assert_eq!((t.len_of(2), t.n_cut[2]), (3, 0));
    // T below zero.
    let below = tokens(&[&[0.0, 0.0, 2.0]], &recipe("a-1"));
    assert_eq!((below.len_of(0), below.n_cut[0]), (0, 1));
}

#[test]
fn duplicates_are_added_up_and_order_of_columns_does_not_matter() {
    let model = open("cell");
    let genes = model.match_genes(&table(&["ACTB", "AMD1", "ACTB"])).unwrap();
    assert!(genes.sum_duplicates && genes.overlap.n_duplicates > 0);
    assert!(genes.overlap.duplicate_rule.contains("added up"));
    let t = model.tokenize(&counts(&[&[1.0, 4.0, 2.0]]), None, &genes, &TokenizeOptions::default()).unwrap();
    let other = tokens(&[&[4.0, 0.0, 3.0]], &TokenizeOptions::default());
    assert_eq!(t, other);
}

#[test]
fn a_cap_keeps_the_genes_of_greatest_value_in_their_order() {
    let model = open("cell");
    let cells = Cells::read(&golden());
    let all = cells.tokens(&model);
    let options = TokenizeOptions { max_tokens: Some(7), ..TokenizeOptions::default() };
    let few = model.tokenize(&cells.counts, None, &cells.genes(&model), &options).unwrap();
    for c in 0..all.n_cells() {
        let ((ids, values), (kept, of_kept)) = (all.cell(c), few.cell(c));
        assert_eq!(kept.len(), ids.len().min(7));
        assert_eq!(few.n_cut[c] as usize, ids.len() - kept.len());
        assert!(kept.is_sorted() && kept.ends_with(&[120, 121]));
        let least = of_kept[..kept.len() - 2].iter().copied().fold(f32::INFINITY, f32::min);
        let left_out = ids.iter().zip(values).filter(|(id, _)| !kept.contains(id));
        assert!(left_out.into_iter().all(|(_, v)| *v <= least));
    }
    let none = TokenizeOptions { max_tokens: Some(2), ..TokenizeOptions::default() };
    assert!(model.tokenize(&cells.counts, None, &cells.genes(&model), &none).is_err());
}

#[test]
fn what_is_not_raw_counts_of_human_symbols_is_refused() {
    let model = open("cell");
    let genes = small(&model);
    let e = model.tokenize(&counts(&[&[0.5, 1.0, 2.0]]), None, &genes, &TokenizeOptions::default()).unwrap_err();
    assert!(e.to_string().contains("log-normalised"), "{e}");
    assert!(model.tokenize(&counts(&[&[1.0]]), None, &genes, &TokenizeOptions::default()).is_err());
    // Case-sensitive, as published.
    let e = model.match_genes(&table(&["actb", "Amd1", "Foo"])).unwrap_err();
    assert!(e.to_string().contains("too few genes"), "{e}");
    let ids: Vec<String> = (0..30).map(|i| format!("ENSG{i:011}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let e = model.match_genes(&table(&ids)).unwrap_err();
    assert!(e.to_string().contains("by symbol"), "{e}");
    let mouse: Vec<String> = (0..30).map(|i| format!("ENSMUSG{i:011}")).collect();
    let mouse: Vec<&str> = mouse.iter().map(String::as_str).collect();
    assert!(model.match_genes(&table(&mouse)).unwrap_err().to_string().contains("species"));
}
