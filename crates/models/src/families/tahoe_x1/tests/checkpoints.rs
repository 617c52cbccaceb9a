//! Opening good, odd and bad checkpoints.

use super::kit::{altered, edited, golden, kits, open};
use crate::families::tahoe_x1::model::TahoeX1;
use crate::{Model, detect};

fn error(folder: &std::path::Path) -> String {
    TahoeX1::open(folder).err().unwrap().to_string()
}

#[test]
fn every_tensor_is_accounted_for() {
    for kit in kits() {
        let model = open(&kit);
        assert!(model.audit().unexpected.is_empty() && model.audit().missing.is_empty());
        assert_eq!(model.info().variant, "custom");
        assert_eq!(detect(&kit.join("checkpoint")).unwrap().id, "tahoe_x1");
    }
    assert!(open(&golden()).info().files.iter().any(|(role, _)| role == "drugs"));
}

#[test]
fn strict_about_what_is_there_and_what_is_not() {
    let kit = golden();
    let more = altered(&kit, |t| {
        t.insert("model.extra.weight".into(), (vec![1], vec![0.0]));
    });
    assert!(error(more.path()).contains("extra.weight"));
    let fewer = altered(&kit, |t| {
        t.remove("model.transformer_encoder.layers.1.up_proj.weight");
    });
    assert!(error(fewer.path()).contains("layers.1.up_proj.weight"));
    let bare = altered(&kit, |t| {
        *t = std::mem::take(t).into_iter().map(|(n, v)| (n.trim_start_matches("model.").to_string(), v)).collect();
    });
    assert!(super::kit::run(&kit, &TahoeX1::open(bare.path()).unwrap()).passed, "without the prefix");
    // Loaded without its drug encoder, as the authors' loader does by default.
    let without = altered(&kit, |t| t.retain(|n, _| !n.contains("chem_encoder")));
    let model = TahoeX1::open(without.path()).unwrap();
    assert!(model.network.drugs.is_none());
    assert!(model.sites().iter().all(|s| s.site.to_string() != "embed.chem"));
}

#[test]
fn configurations_are_never_guessed() {
    let kit = golden();
    for (file, from, to, word) in [
        ("model_config.yml", "n_heads: 5", "n_heads: 4", "divisor"),
        ("model_config.yml", "d_model: 35\n", "", "d_model"),
        ("model_config.yml", "norm_scheme: pre", "norm_scheme: post", "norm_scheme"),
        ("model_config.yml", "use_glu: false", "use_glu: true", "use_glu"),
        ("model_config.yml", "  eps: 1.0e-05\n", "", "eps"),
        ("model_config.yml", "transformer_activation: gelu", "transformer_activation: swish", "transformer_activation"),
        ("model_config.yml", "norm_type: layernorm", "norm_type: rmsnorm", "norm_type"),
        ("model_config.yml", "scaled_dot_product: true", "scaled_dot_product: 1", "scaled_dot_product"),
        ("model_config.yml", "vocab_size: 129", "vocab_size: 131", "131 tokens"),
        ("model_config.yml", "name: tahoe_x1", "name: [", "YAML"),
        ("collator_config.yml", "num_bins: 51\n", "", "num_bins"),
        ("collator_config.yml", "do_binning: true", "do_binning: false", "do_binning"),
        ("collator_config.yml", "right_binning: false\n", "", "right_binning"),
        ("vocab.json", "\"<cls>\"", "\"<CLS>\"", "<cls>"),
        ("vocab.json", "\"<drug>\": 128", "\"<drug>\": 500", "<drug>"),
        ("drug_to_id_pad.json", "\"Drug H\": 8", "\"Drug H\": 80", "Drug H"),
    ] {
        let folder = edited(&kit, file, from, to);
        let e = error(folder.path());
        assert!(e.contains(word), "{from} -> {to}: {e}");
    }
    let folder = altered(&kit, |_| {});
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert!(error(folder.path()).contains("best-model.pt"));
}

#[test]
fn a_drug_token_that_the_vocabulary_lacks_is_the_last_row() {
    let folder = edited(&golden(), "vocab.json", ",\n  \"<drug>\": 128", "");
    assert_eq!(TahoeX1::open(folder.path()).unwrap().vocabulary.drug, Some(128));
}
