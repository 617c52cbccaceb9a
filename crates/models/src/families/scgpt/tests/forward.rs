//! What the forward pass promises.

use microtome_core::{Silent, Site};

use super::kit::{Cells, golden, kits, open};
use crate::families::scgpt::tokens::BATCH;
use crate::taps::{Pooling, Recorded, Recorder};
use crate::{Model, TokenizeOptions, Tokens, pool_cells};

fn options(cells: &Cells) -> TokenizeOptions {
    let batches = (0..cells.counts.n_cells() as u32).map(|c| c % 3).collect();
    TokenizeOptions { batches: Some(batches), ..TokenizeOptions::default() }
}

fn rows(model: &dyn Model, tokens: &Tokens, site: &Site) -> Vec<f32> {
    let mut recorder = Recorder::new([site.clone()]);
    model.forward(tokens, &mut recorder).unwrap();
    match recorder.take(site) {
        Some(Recorded::Tokens { data, .. } | Recorded::Cells { data, .. }) => data,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cell_does_not_depend_on_its_neighbours_order_or_threads() {
    for kit in kits() {
        let (model, cells) = (open(&kit), Cells::read(&kit));
        let tokens = cells.tokens(&model, &options(&cells));
        for site in [model.cell_rule().1, Site::CellEmbedding, Site::Extra("readout.mlm".into())] {
            let together = rows(&model, &tokens, &site);
            let alone: Vec<f32> =
                (0..tokens.n_cells()).flat_map(|c| rows(&model, &tokens.select(&[c]), &site)).collect();
            assert_eq!(together, alone, "{site}");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            assert_eq!(together, pool.install(|| rows(&model, &tokens, &site)), "{site}");
        }
        let order: Vec<usize> = (0..tokens.n_cells()).rev().collect();
        let wide = rows(&model, &tokens, &Site::CellEmbedding);
        let d = wide.len() / order.len();
        let back = rows(&model, &tokens.select(&order), &Site::CellEmbedding);
        assert!(back.chunks(d).rev().eq(wide.chunks(d)));
        let site = [model.cell_rule().1];
        let pooled = pool_cells(&model, &tokens, &site, Pooling::Published, 60, &Silent).unwrap();
        let raw = rows(&model, &tokens, &Site::Extra("cell_embedding_raw".into()));
        assert_eq!(pooled.matrices[0].data(), raw, "the published rule is <cls>");
    }
}

#[test]
fn each_site_alone_is_the_same_as_among_all() {
    for kit in kits() {
        let (model, cells) = (open(&kit), Cells::read(&kit));
        let tokens = cells.tokens(&model, &options(&cells)).select(&[3, 2]);
        let sites: Vec<Site> = model.sites().into_iter().map(|s| s.site).collect();
        let mut full = Recorder::new(sites.clone());
        model.forward(&tokens, &mut full).unwrap();
        assert_eq!(full.sites().count(), sites.len(), "every site that is listed is offered");
        for site in &sites {
            let mut one = Recorder::new([site.clone()]);
            model.forward(&tokens, &mut one).unwrap();
            assert_eq!(one.get(site), full.get(site), "{site}");
        }
    }
}

#[test]
fn foreign_tokens_and_batches_are_refused() {
    let model = open(&golden());
    let error = |tokens: &Tokens| {
        let mut recorder = Recorder::new([Site::Embed]);
        model.forward(tokens, &mut recorder).unwrap_err().to_string()
    };
    let mut tokens = Tokens::new();
    tokens.push(&[model.info().d_vocab as u32], &[0.0], 0, 0);
    assert!(error(&tokens).contains("vocabulary"));
    let mut tokens = Tokens::new();
    tokens.push(&[1], &[0.0], 0, 0);
    assert!(error(&tokens).contains("fine-tuned with a batch label"));
    tokens.per_cell.insert(BATCH, vec![3.0]);
    assert!(error(&tokens).contains("batch below 3"));
    tokens.per_cell.insert(BATCH, vec![2.0]);
    let mut recorder = Recorder::new([Site::Embed]);
    model.forward(&tokens, &mut recorder).unwrap();
    let mut none = Tokens::new();
    none.push(&[], &[], 0, 0);
    assert!(error(&none).contains("not even <cls>"));
}
