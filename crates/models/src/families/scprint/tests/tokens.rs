//! Tokenising: odd cells, caps, and what is drawn only when asked for.

use microtome_core::{Counts, GeneTable};

use super::kit::{Cells, golden, kits, open};
use crate::{GeneMatch, Model, TokenizeOptions};

fn matched(model: &dyn Model, cells: &Cells) -> GeneMatch {
    model.match_genes(&GeneTable::detect(&cells.var, None, None).unwrap()).unwrap()
}

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
fn empty_and_one_gene_cells_have_defined_tokens() {
    let kit = golden();
    let (model, cells) = (open(&kit), Cells::read(&kit));
    let genes = matched(&model, &cells);
    let known = genes.token_of_gene.iter().position(Option::is_some).unwrap() as u32;
    let n = cells.counts.n_genes();
    let few = counts(n, &[&[], &[(known, 4.0)]]);
    let tokens = model.tokenize(&few, None, &genes, &TokenizeOptions::default()).unwrap();
    let front = model.network.cell_tokens.len();
    assert_eq!((tokens.len_of(0), tokens.len_of(1)), (front, front + 1));
    assert_eq!(tokens.per_cell["depth"], [0.0, 4.0]);
    assert_eq!(tokens.cell(1).1[front], 1.0, "the whole of the selected counts");
    assert!((tokens.cell(1).1[0] - 5f32.log2()).abs() < 1e-6, "the depth token");
    // Genes without counts, chosen on purpose: zeros by default, 0 / 0 never silently.
    let chosen = vec![vec![genes.token_of_gene[known as usize].unwrap()]; 2];
    let zeros = model.tokenize_genes(&few, &genes, &chosen).unwrap();
    assert_eq!(zeros.cell(0).1[front], 0.0);
    assert!(model.tokenize_genes(&few, &genes, &chosen[..1]).is_err());
    assert!(model.tokenize_genes(&few, &genes, &vec![vec![u32::MAX]; 2]).is_err());
}

#[test]
fn caps_keep_the_highest_counts_and_report_the_rest() {
    let kit = golden();
    let (model, cells) = (open(&kit), Cells::read(&kit));
    let genes = matched(&model, &cells);
    let known: Vec<u32> = (0..cells.counts.n_genes() as u32).filter(|g| genes.token_of_gene[*g as usize].is_some()).collect();
    let cell: Vec<(u32, f32)> = known.iter().take(4).zip([5.0, 2.0, 2.0, 9.0]).map(|(g, v)| (*g, v)).collect();
    let one = counts(cells.counts.n_genes(), &[&cell]);
    let front = model.network.cell_tokens.len();
    let options = TokenizeOptions { max_tokens: Some(front + 3), ..TokenizeOptions::default() };
    let tokens = model.tokenize(&one, None, &genes, &options).unwrap();
    let mut kept: Vec<f32> = tokens.column("counts", 0).unwrap()[front..].to_vec();
    kept.sort_by(f32::total_cmp);
    assert_eq!(kept, [2.0, 5.0, 9.0]);
    assert_eq!((tokens.n_cut[0], tokens.n_ties[0]), (1, 1));
    assert!(tokens.cell(0).0[front..].is_sorted(), "in the order of the vocabulary");
    let small = TokenizeOptions { max_tokens: Some(front), ..options };
    assert!(model.tokenize(&one, None, &genes, &small).unwrap_err().to_string().contains("no room"));
}

#[test]
fn draws_follow_the_seed_and_the_cell_alone() {
    let kit = golden();
    let (model, cells) = (open(&kit), Cells::read(&kit));
    let genes = matched(&model, &cells);
    let front = model.network.cell_tokens.len();
    let options =
        TokenizeOptions { max_tokens: Some(front + 60), as_published: true, seed: 5, ..Default::default() };
    let run = |counts: &Counts, o: &TokenizeOptions| model.tokenize(counts, None, &genes, o).unwrap();
    let tokens = run(&cells.counts, &options);
    assert!((0..tokens.n_cells()).all(|c| tokens.len_of(c) == front + 60), "short cells are filled up");
    let reversed: Vec<usize> = (0..tokens.n_cells()).rev().collect();
    let back = run(&cells.counts.select_cells(&reversed), &options).select(&reversed);
    assert_eq!(back.ids, tokens.ids);
    assert_ne!(run(&cells.counts, &TokenizeOptions { seed: 6, ..options.clone() }).ids, tokens.ids);
    for cell in 0..tokens.n_cells() {
        let mut ids = tokens.cell(cell).0.to_vec();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), front + 60, "no gene twice");
        assert!(ids.iter().all(|&t| model.token_name(t).is_some_and(|n| !n.starts_with("ENSG"))), "mouse genes only");
    }
}

#[test]
fn recipes_are_named() {
    let kit = golden();
    let (model, cells) = (open(&kit), Cells::read(&kit));
    let genes = matched(&model, &cells);
    let front = model.network.cell_tokens.len();
    let recipe = |name: &str, max_tokens| {
        let options = TokenizeOptions { recipe: Some(name.into()), max_tokens, ..Default::default() };
        model.tokenize(&cells.counts, None, &genes, &options)
    };
    let n_mouse = model.hyper.genes.iter().filter(|g| g.starts_with("ENSMUSG")).count();
    let all = recipe("all", None).unwrap();
    assert!((0..all.n_cells()).all(|c| all.len_of(c) == front + n_mouse));
    assert!(recipe("all", Some(50)).unwrap_err().to_string().contains("cannot be cut short"));
    let (plain, deep) = (recipe("expressed", None).unwrap(), recipe("denoise", None).unwrap());
    assert_eq!(plain, cells.tokens(&model));
    assert_eq!(plain.ids, deep.ids);
    assert_eq!(deep.per_cell["depth"][0], 3.0 * plain.per_cell["depth"][0]);
    assert!(recipe("denoised", None).unwrap_err().to_string().contains("did you mean denoise"));
}

#[test]
fn order_of_rows_changes_nothing() {
    for kit in kits() {
        let (model, cells) = (open(&kit), Cells::read(&kit));
        let all = cells.tokens(&model);
        let reversed: Vec<usize> = (0..all.n_cells()).rev().collect();
        let genes = matched(&model, &cells);
        let options = TokenizeOptions::default();
        let back = model.tokenize(&cells.counts.select_cells(&reversed), None, &genes, &options).unwrap();
        assert_eq!(back, all.select(&reversed));
    }
}

#[test]
fn processed_values_and_foreign_matches_are_refused() {
    let kit = golden();
    let (model, cells) = (open(&kit), Cells::read(&kit));
    let genes = matched(&model, &cells);
    let options = TokenizeOptions::default();
    let logs = counts(cells.counts.n_genes(), &[&[(0, 0.5)]]);
    assert!(model.tokenize(&logs, None, &genes, &options).unwrap_err().to_string().contains("raw counts"));
    assert!(model.tokenize(&Counts::empty(3), None, &genes, &options).is_err());
}
