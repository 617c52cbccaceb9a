//! Order of genes, odd cells, and independence of a cell from its neighbours.

use microtome_core::{Counts, Silent, Site, Table};

use super::kit::{Cells, golden, open};
use crate::families::transcriptformer::init::{init_preset, init_twin};
use crate::taps::Pooling;
use crate::{Model, TokenizeOptions, pool_cells};

#[test]
fn the_default_order_is_that_of_the_vocabulary_and_nothing_else_matters() {
    let (model, cells) = (open(&golden()), Cells::read(&golden()));
    let genes = cells.genes(&model);
    let plain = TokenizeOptions::default();
    let published = TokenizeOptions { as_published: true, ..plain.clone() };
    let n = cells.counts.n_cells();
    let tokens = |options: &TokenizeOptions| model.tokenize(&cells.counts, None, &genes, options).unwrap();
    let (ours, theirs) = (tokens(&plain), tokens(&published));
    assert_ne!(ours.ids, theirs.ids);
    assert!((0..n).all(|c| ours.cell(c).0[2..].is_sorted()));
    let back: Vec<usize> = (0..n).rev().collect();
    let reversed = model.tokenize(&cells.counts.select_cells(&back), None, &genes, &plain).unwrap();
    assert_eq!(reversed, ours.select(&back));

    let sites = [Site::CellEmbedding, Site::resid_post(0)];
    let run = |budget: usize| pool_cells(&model, &ours, &sites, Pooling::Mean, budget, &Silent).unwrap();
    let all = run(1 << 20);
    assert_eq!(all, run(1));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(all, pool.install(|| run(30)));
}

#[test]
fn odd_cells_have_a_defined_sequence() {
    let (model, cells) = (open(&golden()), Cells::read(&golden()));
    let genes = cells.genes(&model);
    let known: Vec<u32> = (0..genes.token_of_gene.len())
        .filter(|&i| genes.token_of_gene[i].is_some())
        .map(|i| i as u32)
        .collect();
    let n = known.len();
    let indices: Vec<u32> = known[..1].iter().chain(&known).copied().collect();
    let counts =
        Counts::new(cells.counts.n_genes(), vec![0, 0, 1, 1 + n], indices, vec![99.0; n + 1]).unwrap();
    for as_published in [false, true] {
        let options = TokenizeOptions { as_published, ..TokenizeOptions::default() };
        let tokens = model.tokenize(&counts, None, &genes, &options).unwrap();
        assert_eq!([tokens.len_of(0), tokens.len_of(1), tokens.len_of(2)], [2, 3, model.config.seq_len + 1]);
        assert_eq!(tokens.n_cut[2] as usize, n - model.config.seq_len);
        assert_eq!(tokens.cell(1).1, [1.0, 1.0, model.config.clip]);
        let out =
            pool_cells(&model, &tokens, &[Site::CellEmbedding], Pooling::Published, 4096, &Silent).unwrap();
        assert!(out.matrices[0].data().iter().all(|v| v.is_finite()));
    }
    let short = TokenizeOptions { max_tokens: Some(5), ..TokenizeOptions::default() };
    assert_eq!(model.tokenize(&counts, None, &genes, &short).unwrap().len_of(2), 5);
    let tiny = TokenizeOptions { max_tokens: Some(2), ..TokenizeOptions::default() };
    assert!(model.tokenize(&counts, None, &genes, &tiny).is_err());
    let wrong = TokenizeOptions { assays: Some(vec![]), ..TokenizeOptions::default() };
    assert!(model.tokenize(&counts, None, &genes, &wrong).is_err());
    for id in ["ENSGALG", "NOSUCH"] {
        let table = Table { index: (0..50).map(|i| format!("{id}{i:011}")).collect(), columns: vec![] };
        let genes = microtome_core::GeneTable::detect(&table, None, None).unwrap();
        assert!(model.match_genes(&genes).is_err());
    }
}

#[test]
fn a_twin_has_the_same_shape_and_other_weights() {
    let kit = open(&golden());
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("twin");
    init_twin(&golden().join("checkpoint"), 5, &out).unwrap();
    assert_eq!(crate::detect(&out).unwrap().id, "transcriptformer");
    let twin = crate::open(&out).unwrap();
    assert_eq!(twin.info().n_parameters, kit.info().n_parameters);
    let cells = Cells::read(&golden());
    let vectors = |m: &dyn Model| {
        let tokens = cells.tokens(m, &TokenizeOptions::default());
        pool_cells(m, &tokens, &[Site::CellEmbedding], Pooling::Published, 4096, &Silent).unwrap()
    };
    assert_ne!(vectors(twin.as_ref()), vectors(&kit));
    assert!(init_twin(&golden().join("checkpoint"), 5, &out).unwrap_err().to_string().contains("already"));
    let e = init_preset("sapien", &golden().join("checkpoint"), 0, &folder.path().join("x")).unwrap_err();
    assert!(e.to_string().contains("did you mean sapiens?"), "{e}");
}
