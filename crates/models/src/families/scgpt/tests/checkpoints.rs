//! Opening good, odd and bad checkpoints.

use super::kit::{altered, golden, kits, open};
use crate::families::scgpt::model::ScGpt;
use crate::{Model, detect};

fn error(folder: &std::path::Path) -> String {
    ScGpt::open(folder).err().unwrap().to_string()
}

#[test]
fn every_tensor_is_accounted_for() {
    for kit in kits() {
        let model = open(&kit);
        assert!(model.audit().unexpected.is_empty() && model.audit().missing.is_empty());
        for t in &model.audit().ignored {
            assert!(t.name == "flag_encoder.weight" || t.name.ends_with("num_batches_tracked"), "{}", t.name);
        }
        assert_eq!(model.info().variant, "custom");
        assert_eq!(detect(&kit.join("checkpoint")).unwrap().id, "scgpt");
        assert_eq!(detect(&kit.join("checkpoint/best_model.pt")).unwrap().id, "scgpt");
    }
}

#[test]
fn all_names_of_the_attention_are_one_layout() {
    let kit = golden();
    let site = microtome_core::Site::Extra("embed.gene".into());
    for to in ["Wqkv.", "in_proj_"] {
        let folder = altered(&kit, |t| {
            *t = std::mem::take(t)
                .into_iter()
                .map(|(n, v)| (n.replace("_impl.Wqkv.", to).replace("_impl.out_proj", "out_proj"), v))
                .collect();
        });
        assert!(super::kit::run(&kit, &ScGpt::open(folder.path()).unwrap()).passed, "{to}");
    }
    let wrapped = altered(&kit, |t| {
        *t = std::mem::take(t).into_iter().map(|(n, v)| (format!("module.{n}"), v)).collect();
    });
    assert!(ScGpt::open(wrapped.path()).unwrap().sites().iter().any(|s| s.site == site));
    let none = altered(&kit, |t| t.retain(|n, _| !n.contains("Wqkv")));
    assert!(error(none.path()).contains("in_proj_weight"));
}

#[test]
fn strict_about_what_is_there_and_what_is_not() {
    let kit = golden();
    let more = altered(&kit, |t| {
        t.insert("extra.weight".into(), (vec![1], vec![0.0]));
    });
    assert!(error(more.path()).contains("extra.weight"));
    let fewer = altered(&kit, |t| {
        t.remove("transformer_encoder.layers.1.linear2.bias");
    });
    assert!(error(fewer.path()).contains("layers.1.linear2.bias"));
    let headless = altered(&kit, |t| {
        t.retain(|n, _| !["decoder.", "mvc_decoder.", "cls_decoder.", "grad_"].iter().any(|p| n.starts_with(p)));
    });
    let model = ScGpt::open(headless.path()).unwrap();
    assert!(model.sites().iter().all(|s| !s.site.to_string().starts_with("readout.")));
}

#[test]
fn configurations_and_vocabularies_are_never_guessed() {
    let kit = golden();
    let edit = |file: &str, from: &str, to: &str| {
        let folder = altered(&kit, |_| {});
        let path = folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        error(folder.path())
    };
    for (from, to, word) in [
        ("\"nheads\": 3", "\"nheads\": 4", "divisor"),
        ("\"embsize\": 18,", "", "embsize"),
        ("\"pad_value\": -2,", "", "pad_value"),
        ("\"max_seq_len\": 1201,", "", "max_seq_len"),
        ("\"nlayers\": 2", "\"nlayers\": 3", "layers.2"),
        ("\"input_emb_style\": \"continuous\"", "\"input_emb_style\": \"category\"", "continuous"),
        ("\"input_style\": \"binned\"", "\"input_style\": \"log1p\"", "binned"),
    ] {
        let e = edit("args.json", from, to);
        assert!(e.contains(word), "{from}: {e}");
    }
    let e = edit("vocab.json", "\"TDGP1\": 89,", "");
    assert!(e.contains("id") || e.contains("vocab.json"), "{e}");
    let e = edit("vocab.json", "\"TDGP1\": 89,", "\"TDGP1\": 89, \"MORE\": 93,");
    assert!(e.contains("encoder.embedding.weight") && e.contains("vocab.json"), "{e}");
    let folder = altered(&kit, |_| {});
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert!(error(folder.path()).contains("best_model.pt"));
    std::fs::remove_file(folder.path().join("vocab.json")).unwrap();
    assert!(error(folder.path()).contains("copy vocab.json"));
}
