//! Opening good, odd and bad checkpoints; untrained models.

use super::kit::{Cells, HF, LIGHTNING, altered, checkpoint, dir, kits, open, with_text};
use crate::families::nicheformer::FAMILY;
use crate::families::nicheformer::model::Nicheformer;
use crate::{Model, detect};

fn error(folder: &std::path::Path) -> String {
    Nicheformer::open(folder).err().unwrap().to_string()
}

#[test]
fn every_tensor_is_accounted_for() {
    for kit in kits() {
        let model = open(&kit.join("checkpoint"));
        assert!(
            model.audit().unexpected.is_empty() && model.audit().ignored.iter().all(|t| !t.reason.is_empty())
        );
        assert!(model.audit().ignored.iter().any(|t| t.name.contains("encoder_layer.linear1.weight")));
        assert_eq!(model.info().variant, "custom");
        let i = model.info();
        let (d, f) = (i.d_model, i.d_mlp);
        let block = 4 * d * d + 4 * d + 2 * d * f + d + f + 4 * d;
        let heads = (i.d_vocab - 5) * (d + 1);
        let n = (i.d_vocab + i.max_tokens) * d + i.n_blocks * block + heads;
        assert_eq!(i.n_parameters, n as u64);
    }
}

#[test]
fn strict_about_what_is_there_and_what_is_not() {
    let more = altered(|t| {
        t.insert("nicheformer.extra".into(), (vec![1], vec![0.0]));
    });
    assert!(error(more.path()).contains("extra"));
    let fewer = altered(|t| {
        t.remove("nicheformer.encoder.layers.1.norm2.bias");
    });
    assert!(error(fewer.path()).contains("encoder.layers.1.norm2.bias"));
    let bare = altered(|t| t.retain(|n, _| !n.starts_with("classifier_head")));
    assert!(open(bare.path()).sites().iter().all(|s| !s.site.to_string().starts_with("readout")));
}

#[test]
fn configurations_and_vocabularies_are_checked() {
    for (from, to, word) in [
        ("\"nheads\": 7,", "", "nheads"),
        ("\"nheads\": 7", "\"nheads\": 5", "divisor"),
        ("\"learnable_pe\": true", "\"learnable_pe\": false", "learnable_pe"),
        ("\"nlayers\": 2", "\"nlayers\": 3", "layers.2"),
        ("\"n_tokens\": 175", "\"n_tokens\": 176", "gene list"),
        ("\"context_length\": 34", "\"context_length\": 3", "context_length"),
        ("\"dim_feedforward\": 40", "\"dim_feedforward\": 99999999999", "dim_feedforward"),
    ] {
        let copy = with_text("config.json", from, to);
        let e = error(copy.path());
        assert!(e.contains(word), "{from} -> {to}: {e}");
    }
    for (from, to, word) in [
        ("\"[PAD]\": 0,", "", "[PAD]"),
        (": 31,", ": 31.5,", "whole number"),
        (": 31,", ": 30,", "one by one"),
        (": 31,", ": 29,", "below 30"),
    ] {
        let copy = with_text("vocab.json", from, to);
        let e = error(copy.path());
        assert!(e.contains(word), "{from} -> {to}: {e}");
    }
    let none = altered(|_| {});
    std::fs::remove_file(none.path().join("vocab.json")).unwrap();
    assert!(error(none.path()).contains("gene list is missing"));
}

#[test]
fn the_gene_list_may_be_an_h5ad_file() {
    let copy = altered(|_| {});
    std::fs::remove_file(copy.path().join("vocab.json")).unwrap();
    std::fs::copy(checkpoint().join("model.h5ad"), copy.path().join("model.h5ad")).unwrap();
    let (json, h5ad) = (open(&checkpoint()), open(copy.path()));
    assert_eq!(json.vocabulary.genes, h5ad.vocabulary.genes);
    assert_eq!((json.vocabulary.pad, h5ad.vocabulary.pad), (0, 1), "the two codes disagree on padding");
}

#[test]
fn found_by_folder_or_file_and_never_loaded() {
    assert_eq!(detect(&checkpoint().join("model.safetensors")).unwrap().id, "nicheformer");
    for kit in kits() {
        assert_eq!(detect(&kit.join("checkpoint")).unwrap().id, "nicheformer");
    }
    if let Some(kit) = dir(LIGHTNING[0]) {
        assert_eq!(detect(&kit.join("checkpoint/nicheformer.ckpt")).unwrap().id, "nicheformer");
    }
    let other = with_text("config.json", "\"nicheformer\"", "\"bert\"");
    assert!(!(FAMILY.detect)(other.path()));
}

#[test]
fn untrained_models_open_and_follow_their_seed() {
    for kit in kits() {
        let (of, dir) = (kit.join("checkpoint"), tempfile::tempdir().unwrap());
        let twin = |seed: u64| {
            let out = dir.path().join(seed.to_string());
            (FAMILY.init_twin)(&of, seed, &out).unwrap();
            open(&out)
        };
        let (a, trained) = (twin(1), open(&of));
        assert_eq!(a.vocabulary.genes, trained.vocabulary.genes);
        assert_eq!(a.info().n_parameters, trained.info().n_parameters);
        assert_ne!(a.network.words, twin(2).network.words);
        let cells = Cells::read(&kit);
        assert_eq!(cells.tokens(&a, None), cells.tokens(&trained, None), "same cells, same tokens");
        assert!((FAMILY.init_twin)(&of, 1, &dir.path().join("1")).is_err(), "nothing is overwritten");
    }
    let dir = tempfile::tempdir().unwrap();
    let e = (FAMILY.init)("nicheformr", &checkpoint(), 1, dir.path()).unwrap_err().to_string();
    assert!(e.contains("did you mean nicheformer?"), "{e}");
    assert!(super::kit::dir(HF).is_some());
}

#[test]
fn kits_of_other_families_are_left_alone() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared =
        std::env::var_os("MICROTOME_SHARED").map_or_else(|| here.join("../../../shared"), Into::into);
    let list = |path: &std::path::Path| -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|e| e.path()).filter(|p| p.is_dir()).collect()
    };
    for root in [here.join("../../golden/models"), shared.join("parity")] {
        if !root.exists() {
            println!("skipped: {} is not there (set MICROTOME_SHARED to the shared data)", root.display());
        }
        for family in list(&root) {
            for kit in list(&family) {
                let ours = family.ends_with(FAMILY.id);
                assert_eq!((FAMILY.detect)(&kit.join("checkpoint")), ours, "{}", kit.display());
            }
        }
    }
}
