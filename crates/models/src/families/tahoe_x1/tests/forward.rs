//! What the forward pass promises.

use microtome_core::Site;

use super::kit::{Cells, golden, kits, open};
use crate::families::tahoe_x1::tokens::DRUG;
use crate::taps::{Recorded, Recorder};
use crate::{Model, TokenizeOptions, Tokens};

fn rows(model: &dyn Model, tokens: &Tokens, site: &Site) -> Vec<f32> {
    let mut recorder = Recorder::new([site.clone()]);
    model.forward(tokens, &mut recorder).unwrap();
    match recorder.take(site) {
        Some(Recorded::Tokens { data, .. } | Recorded::Cells { data, .. }) => data,
        other => panic!("{other:?}"),
    }
}

/// With drugs where the model takes them.
fn options(kit: &std::path::Path, cells: &Cells) -> TokenizeOptions {
    let drugs = open(kit).network.drugs.is_some();
    let drugs = drugs.then(|| (0..cells.counts.n_cells()).map(|c| ["Drug A", "Drug C"][c % 2].to_string()).collect());
    TokenizeOptions { drugs, ..TokenizeOptions::default() }
}

#[test]
fn a_cell_does_not_depend_on_its_neighbours_order_or_threads() {
    for kit in kits() {
        let (model, cells) = (open(&kit), Cells::read(&kit));
        let tokens = cells.tokens(&model, &options(&kit, &cells));
        for site in [Site::FinalNorm, Site::CellEmbedding, Site::Extra("readout.mvc_output".into())] {
            let together = rows(&model, &tokens, &site);
            let alone: Vec<f32> =
                (0..tokens.n_cells()).flat_map(|c| rows(&model, &tokens.select(&[c]), &site)).collect();
            assert_eq!(together, alone, "{site}");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            assert_eq!(together, pool.install(|| rows(&model, &tokens, &site)), "{site}");
        }
        let order: Vec<usize> = (0..tokens.n_cells()).rev().collect();
        let there = rows(&model, &tokens, &Site::CellEmbedding);
        let back = rows(&model, &tokens.select(&order), &Site::CellEmbedding);
        let d = model.info().d_model;
        assert!(back.chunks(d).rev().eq(there.chunks(d)));
    }
}

#[test]
fn each_site_alone_is_the_same_as_among_all() {
    for kit in kits() {
        let (model, cells) = (open(&kit), Cells::read(&kit));
        let tokens = cells.tokens(&model, &options(&kit, &cells)).select(&[3, 2]);
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
fn foreign_tokens_and_drugs_are_refused() {
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
    tokens.per_cell.insert(DRUG, vec![1.0]);
    assert!(error(&tokens).contains("no token for it"));
    let mut tokens = Tokens::new();
    tokens.push(&[1, 128], &[0.0; 2], 0, 0);
    tokens.per_cell.insert(DRUG, vec![900.0]);
    assert!(error(&tokens).contains("fingerprints"));
}
