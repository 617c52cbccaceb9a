//! What the forward pass promises.

use microtome_core::{Silent, Site};

use super::kit::{Cells, golden, kits, open};
use crate::taps::{MeanQueryKeyTap, Pooling, Recorded, Recorder};
use crate::{Model, Tokens, pool_cells};

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
        let tokens = cells.tokens(&model);
        let extra = ["readout.mean", "readout.cls.cell_type_ontology_term_id", "cell_tokens"];
        let sites = extra.map(|s| Site::Extra(s.into())).into_iter().chain([Site::FinalNorm, Site::CellEmbedding]);
        for site in sites {
            let together = rows(&model, &tokens, &site);
            let alone: Vec<f32> =
                (0..tokens.n_cells()).flat_map(|c| rows(&model, &tokens.select(&[c]), &site)).collect();
            assert_eq!(together, alone, "{site}");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            assert_eq!(together, pool.install(|| rows(&model, &tokens, &site)), "{site}");
        }
        let own = pool_cells(&model, &tokens, &[Site::FinalNorm], Pooling::Published, 99, &Silent).unwrap();
        let cell = pool_cells(&model, &tokens, &[Site::CellEmbedding], Pooling::Published, 1, &Silent).unwrap();
        assert_eq!(own, cell, "the published rule at the published site is the published vector");
    }
}

#[test]
fn each_site_alone_is_the_same_as_among_all() {
    for kit in kits() {
        let (model, cells) = (open(&kit), Cells::read(&kit));
        let tokens = cells.tokens(&model).select(&[3, 2]);
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
fn a_cell_without_genes_has_a_cell_vector_and_no_mean_over_genes() {
    let kit = golden();
    let (model, cells) = (open(&kit), Cells::read(&kit));
    let mut empty = microtome_core::Counts::empty(cells.counts.n_genes());
    empty.append(&microtome_core::Counts::new(cells.counts.n_genes(), vec![0, 0], vec![], vec![]).unwrap()).unwrap();
    let genes = model.match_genes(&microtome_core::GeneTable::detect(&cells.var, None, None).unwrap()).unwrap();
    let tokens = model.tokenize(&empty, None, &genes, &Default::default()).unwrap();
    let run = |pooling| pool_cells(&model, &tokens, &[Site::FinalNorm], pooling, 99, &Silent).unwrap();
    assert!(run(Pooling::Published).matrices[0].data().iter().all(|v| v.is_finite()));
    assert_eq!(run(Pooling::Mean).missing, [0]);
    assert!(rows(&model, &tokens, &Site::Extra("readout.mean".into())).iter().all(|v| *v == 0.0));
}

#[test]
fn tokens_from_elsewhere_are_refused() {
    let model = open(&golden());
    let mut recorder = Recorder::new([Site::Embed, Site::Extra("readout.mean".into())]);
    let mut tokens = Tokens::new();
    tokens.push(&[model.info().d_vocab as u32], &[0.0], 0, 0);
    assert!(model.forward(&tokens, &mut recorder).unwrap_err().to_string().contains("vocabulary"));
    let mut tokens = Tokens::new();
    tokens.push(&[1, 2], &[0.0; 2], 0, 0);
    assert!(model.forward(&tokens, &mut recorder).unwrap_err().to_string().contains("cell tokens"));
    let mut tokens = Tokens::new();
    tokens.push(&[1; 20], &[0.0; 20], 0, 0);
    assert!(model.forward(&tokens, &mut recorder).unwrap_err().to_string().contains("tokeniser"));
    // No metacell table in this model.
    let mut tokens = Tokens::new();
    tokens.push(&[model.hyper.genes.len() as u32 + 1; 20], &[0.0; 20], 0, 0);
    assert!(model.forward(&tokens, &mut recorder).is_err());
}

#[test]
fn static_gene_vectors_are_the_protein_table() {
    let model = open(&golden());
    let table = model.gene_table().unwrap();
    assert_eq!(table.rows(), model.hyper.genes.len());
    assert_eq!(table.data(), model.network.gene_table);
}

#[test]
fn queries_and_keys_of_unlike_cells_are_not_averaged() {
    let (model, cells) = (open(&golden()), Cells::read(&golden()));
    let tokens = cells.tokens(&model);
    assert!(model.forward(&tokens, &mut MeanQueryKeyTap::new(0..2)).is_err());
}

#[test]
fn labels_name_the_columns_of_class_readouts() {
    for kit in kits() {
        let model = open(&kit);
        for class in &model.hyper.classes {
            let labels = model.labels(&Site::Extra(format!("readout.cls.{}", class.name))).unwrap();
            assert_eq!(labels.len(), class.n);
        }
        assert!(model.labels(&Site::FinalNorm).is_none());
    }
}
