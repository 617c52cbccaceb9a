//! Opening good, odd and bad checkpoints.

use std::path::Path;

use super::kit::{Cells, altered, golden, open, record, shared, with_reader};
use crate::families::scbert::FAMILY;
use crate::families::scbert::model::ScBert;
use crate::{Model, detect};

fn error(path: &Path) -> String {
    ScBert::open(path).err().unwrap().to_string()
}

#[test]
fn every_tensor_is_accounted_for() {
    let model = open(&golden());
    let audit = model.audit();
    assert!(audit.unexpected.is_empty() && audit.missing.is_empty());
    assert!(audit.ignored.iter().any(|t| t.name.starts_with("optimizer_state_dict") && t.reason.contains("outside")));
    let i = model.info();
    assert_eq!((i.n_blocks, i.d_model, i.n_heads, i.d_mlp, i.max_tokens, i.d_vocab), (2, 20, 2, 80, 48, 7));
    assert_eq!(i.n_parameters, parameters([2, 20, 16, 80, 48]));
    assert_eq!(FAMILY.variants[0].n_parameters, parameters([6, 200, 640, 800, 16_907]));
    assert_eq!(model.token_name(6), Some("<mask>"));
    assert_eq!(model.gene_table().unwrap().rows(), 47);
}

/// Blocks, width, heads times their width, feed-forward width, tokens; seven bins.
fn parameters([blocks, d, inner, f, tokens]: [u64; 5]) -> u64 {
    let block = 4 * inner * d + d + 2 * f * d + f + d + 4 * d;
    7 * d + tokens * d + blocks * block + 2 * d + 7 * d + 7
}

#[test]
fn strict_about_what_is_there_and_what_is_not() {
    let p = "model_state_dict.";
    let more = altered(|t| {
        t.insert(format!("{p}extra.weight"), (vec![1], vec![0.0]));
    });
    assert!(error(more.path()).contains("extra.weight"));
    for name in ["performer.net.layers.1.0.fn.fast_attention.projection_matrix", "norm.bias", "to_out.bias"] {
        let fewer = altered(|t| {
            t.remove(&format!("{p}{name}")).unwrap();
        });
        assert!(error(fewer.path()).contains(name), "{name}");
    }
    let heads = altered(|t| {
        let (shape, values) = t.get_mut(&format!("{p}performer.net.layers.0.0.fn.to_q.weight")).unwrap();
        shape[0] = 15;
        values.truncate(15 * 20);
    });
    assert!(error(heads.path()).contains("whole heads"));
}

#[test]
fn the_order_of_genes_must_be_there_and_fit() {
    let copy = altered(|_| {});
    let order = copy.path().join("gene_order.txt");
    std::fs::write(&order, "A\nB\n").unwrap();
    let e = error(copy.path());
    assert!(e.contains("do not belong together") && e.contains("47 genes"), "{e}");
    std::fs::write(&order, "A\nA\n").unwrap();
    assert!(error(copy.path()).contains("named twice"));
    std::fs::remove_file(&order).unwrap();
    std::fs::remove_file(copy.path().join("panglao_10000.h5ad")).unwrap();
    let e = error(copy.path());
    assert!(e.contains("order of the model's genes is missing") && e.contains("gene_order.txt"), "{e}");
    assert_eq!(detect(copy.path()).unwrap().id, "scbert", "the weights alone tell");
}

#[test]
fn found_by_folder_or_file_and_never_confused() {
    with_reader();
    let folder = golden().join("checkpoint");
    for path in [folder.clone(), folder.join("panglao_pretrain.pth")] {
        assert_eq!(detect(&path).unwrap().id, "scbert");
        assert!(crate::open(&path).is_ok());
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(detect(empty.path()).is_err());
    std::fs::write(empty.path().join("other.pth"), b"not weights").unwrap();
    assert!(detect(empty.path()).is_err());
}

#[test]
fn a_fine_tuned_classifier_names_its_classes() {
    let Some(kit) = shared("parity/scbert/finetuned_like") else { return };
    let model = open(&kit);
    let site = microtome_core::Site::Extra("readout.class_prob".into());
    assert_eq!(model.labels(&site).unwrap(), ["B", "DC", "Mono", "NK", "T"]);
    assert!(model.labels(&microtome_core::Site::Embed).is_none());
    let tokens = Cells::read(&kit).tokens(&model);
    let probabilities = record(&model, &tokens, &site);
    assert!(probabilities.chunks(5).all(|p| (p.iter().sum::<f32>() - 1.0).abs() < 1e-5));
}

#[test]
fn a_twin_keeps_positions_and_order_and_draws_the_rest() {
    with_reader();
    let dir = tempfile::tempdir().unwrap();
    let of = golden().join("checkpoint");
    let twin = |seed: u64, name: &str| {
        let out = dir.path().join(name);
        (FAMILY.init_twin)(&of, seed, &out).unwrap();
        assert!((FAMILY.init_twin)(&of, seed, &out).is_err(), "nothing is overwritten");
        assert_eq!(detect(&out).unwrap().id, "scbert");
        ScBert::open(&out).unwrap()
    };
    let (a, b, c, model) = (twin(1, "a"), twin(1, "b"), twin(2, "c"), open(&golden()));
    assert_eq!(a.network.bins, b.network.bins);
    assert_ne!(a.network.bins, c.network.bins);
    assert_eq!(a.network.positions, model.network.positions);
    assert_eq!(a.network.shape, model.network.shape);
    assert_eq!((a.info().n_parameters, &a.genes), (model.info().n_parameters, &model.genes));
    let tokens = Cells::read(&golden()).tokens(&a);
    assert!(record(&a, &tokens, &microtome_core::Site::CellEmbedding).iter().all(|v| v.is_finite()));
    let e = (FAMILY.init)("panglao", &of, 1, &dir.path().join("x")).unwrap_err().to_string();
    assert!(e.contains("not of the published size"), "{e}");
    assert!((FAMILY.init)("pang", &of, 1, &dir.path().join("x")).is_err());
}
