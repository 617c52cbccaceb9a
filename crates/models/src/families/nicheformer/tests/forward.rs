//! What the forward pass promises: independence of company, order and threads, and nothing computed in vain.

use microtome_core::{Silent, Site};

use super::kit::{Cells, HF, checkpoint, dir, open};
use crate::taps::{Pooling, Recorded, Recorder};
use crate::{Model, Tokens, pool_cells};

fn rows(model: &dyn Model, tokens: &Tokens, site: &Site) -> Vec<f32> {
    let mut recorder = Recorder::new([site.clone()]);
    model.forward(tokens, &mut recorder).unwrap();
    match recorder.take(site) {
        Some(Recorded::Tokens { data, .. } | Recorded::Cells { data, .. }) => data,
        other => panic!("{other:?}"),
    }
}

fn kit() -> (crate::families::nicheformer::model::Nicheformer, Cells) {
    (open(&checkpoint()), Cells::read(&dir(HF).unwrap()))
}

#[test]
fn a_cell_does_not_depend_on_its_neighbours_order_or_threads() {
    let (model, cells) = kit();
    let tokens = cells.tokens(&model, None);
    for site in [Site::resid_post(1), Site::CellEmbedding] {
        let together = rows(&model, &tokens, &site);
        let alone: Vec<f32> =
            (0..tokens.n_cells()).flat_map(|c| rows(&model, &tokens.select(&[c]), &site)).collect();
        assert_eq!(together, alone);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(together, pool.install(|| rows(&model, &tokens, &site)));
        let back: Vec<usize> = (0..tokens.n_cells()).rev().collect();
        let reversed = rows(&model, &tokens.select(&back), &site);
        let width = together.len() / tokens.n_cells();
        let expected: Vec<f32> = together.chunks(width).rev().flatten().copied().collect();
        assert_eq!(reversed, expected);
    }
}

#[test]
fn each_site_alone_equals_all_together() {
    let (model, cells) = kit();
    let tokens = cells.tokens(&model, None).select(&[0, 3]);
    let sites: Vec<Site> = model.sites().into_iter().map(|s| s.site).collect();
    let mut all = Recorder::new(sites.clone());
    model.forward(&tokens, &mut all).unwrap();
    assert_eq!(all.sites().count(), sites.len());
    for site in &sites {
        let mut one = Recorder::new([site.clone()]);
        model.forward(&tokens, &mut one).unwrap();
        assert_eq!(one.get(site), all.get(site), "{site}");
    }
}

#[test]
fn pooling_with_and_without_pads() {
    let (model, cells) = kit();
    let padded = cells.tokens(&model, None);
    let bare = cells.tokens(&model, Some("hf-default-unpadded"));
    let (_, site) = model.cell_rule();
    let pool = |tokens: &Tokens, site: &Site, pooling| {
        pool_cells(&model, tokens, std::slice::from_ref(site), pooling, 64, &Silent)
            .unwrap()
            .matrices
            .remove(0)
    };
    let published = pool(&padded, &site, Pooling::Published);
    assert_eq!(published, pool(&padded, &Site::CellEmbedding, Pooling::Published));
    let genes = pool(&padded, &site, Pooling::Mean);
    let masked = Site::Extra("cell_embedding_masked_mean".into());
    assert_eq!(genes, pool(&padded, &masked, Pooling::Published));
    // Pads are hidden as keys, so genes do not feel them.
    let unpadded = pool(&bare, &site, Pooling::Published);
    for (a, b) in genes.data().iter().zip(unpadded.data()) {
        assert!((a - b).abs() < 2e-6, "{a} {b}");
    }
    assert!(published.data().iter().zip(genes.data()).any(|(a, b)| (a - b).abs() > 0.1));
}

#[test]
fn perturbation_needs_no_columns() {
    let (model, cells) = kit();
    let tokens = cells.tokens(&model, Some("hf-default-unpadded")).select(&[0, 4]);
    let bare = Tokens { per_token: std::collections::BTreeMap::new(), ..tokens.clone() };
    let site = model.cell_rule().1;
    let pool = |t: &Tokens| {
        let site = std::slice::from_ref(&site);
        pool_cells(&model, t, site, Pooling::Published, 64, &Silent).unwrap()
    };
    assert!(pool(&bare).missing.is_empty());
    assert_eq!(pool(&bare), pool(&tokens));
}

#[test]
fn a_cell_without_tokens_is_missing_and_foreign_tokens_are_refused() {
    let (model, cells) = kit();
    let mut tokens = cells.tokens(&model, None).select(&[0]);
    tokens.push(&[], &[], 0, 0);
    let pooled =
        pool_cells(&model, &tokens, &[Site::CellEmbedding], Pooling::Published, 64, &Silent).unwrap();
    assert_eq!(pooled.missing, [1]);
    let mut foreign = Tokens::new();
    foreign.push(&[180], &[0.0], 0, 0);
    let mut recorder = Recorder::new([Site::Embed]);
    assert!(model.forward(&foreign, &mut recorder).unwrap_err().to_string().contains("vocabulary"));
    let mut long = Tokens::new();
    long.push(&[30; 35], &[0.0; 35], 0, 0);
    assert!(model.forward(&long, &mut recorder).unwrap_err().to_string().contains("at most 34"));
}
