//! Opening good, odd and bad checkpoints.

use microtome_core::ErrorKind;

use super::kit::{KITS, altered, checkpoint, open, with_config};
use crate::families::geneformer::model::Geneformer;
use crate::{Model, detect};

fn error(folder: &std::path::Path) -> String {
    Geneformer::open(folder).err().unwrap().to_string()
}

#[test]
fn every_tensor_is_accounted_for() {
    let v1 = open(KITS[0]);
    let ignored: Vec<&str> = v1.audit().ignored.iter().map(|t| t.name.as_str()).collect();
    for name in
        ["bert.embeddings.position_ids", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"]
    {
        assert!(ignored.contains(&name), "{ignored:?}");
    }
    assert!(v1.audit().ignored.iter().all(|t| !t.reason.is_empty()));
    assert!(v1.audit().unexpected.is_empty());
    assert!(open(KITS[1]).audit().ignored.is_empty());
    let i = v1.info();
    assert_eq!((i.n_blocks, i.d_model, i.n_heads, i.d_mlp, i.max_tokens, i.d_vocab), (3, 24, 3, 40, 36, 203));
    assert_eq!(i.variant, "custom");
    // (203 + 36 + 2 + 2) * 24, three blocks, head.
    let block = 4 * (24 * 24 + 24) + 2 * 24 + (40 * 24 + 40) + (24 * 40 + 24) + 2 * 24;
    assert_eq!(i.n_parameters, 243 * 24 + 3 * block + 24 * 24 + 24 + 48 + 203);
}

#[test]
fn strict_about_what_is_there_and_what_is_not() {
    let more = altered(&checkpoint(KITS[1]), |t| {
        t.insert("bert.extra.weight".into(), (vec![1], vec![0.0]));
    });
    assert!(error(more.path()).contains("bert.extra.weight"));
    let fewer = altered(&checkpoint(KITS[1]), |t| {
        t.remove("bert.encoder.layer.1.output.dense.bias");
    });
    assert!(error(fewer.path()).contains("bert.encoder.layer.1.output.dense.bias"));
    let shape = altered(&checkpoint(KITS[1]), |t| {
        t.get_mut("bert.encoder.layer.0.intermediate.dense.bias").unwrap().0 = vec![2, 31];
    });
    assert!(error(shape.path()).contains("bert.encoder.layer.0.intermediate.dense.bias"));
    let untied = altered(&checkpoint(KITS[0]), |t| {
        t.get_mut("cls.predictions.decoder.weight").unwrap().1[0] += 1.0;
    });
    assert!(error(untied.path()).contains("cls.predictions.decoder.weight"));
}

#[test]
fn configurations_are_never_defaulted() {
    let folder = checkpoint(KITS[0]);
    for (from, to, word) in [
        ("\"hidden_act\": \"relu\"", "\"hidden_act\": \"gelu\"", "hidden_act"),
        ("\"position_embedding_type\": \"absolute\"", "\"position_embedding_type\": \"relative_key\"", "absolute"),
        ("\"layer_norm_eps\": 1e-12,", "", "layer_norm_eps"),
        ("\"num_attention_heads\": 3,", "", "num_attention_heads"),
        ("\"num_attention_heads\": 3", "\"num_attention_heads\": 5", "divisor"),
        ("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 99999999999", "num_hidden_layers"),
        ("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4", "layer.3"),
        ("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2", "layer.2"),
        ("\"hidden_size\": 24", "\"hidden_size\": 48", "word_embeddings"),
        ("\"BertForMaskedLM\"", "\"BertForQuestionAnswering\"", "architectures"),
        ("\"model_type\": \"bert\"", "\"model_type\": \"gpt2\"", "model_type"),
        ("\"vocab_size\": 203", "\"vocab_size\": 204", "V1 models"),
        ("{", "[", "JSON"),
    ] {
        let copy = with_config(&folder, from, to);
        let e = error(copy.path());
        assert!(e.contains(word), "{from} -> {to}: {e}");
    }
}

#[test]
fn dictionaries_of_the_other_generation_are_refused() {
    let copy = altered(&checkpoint(KITS[0]), |_| {});
    for entry in std::fs::read_dir(copy.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "pkl") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let e = error(copy.path());
    assert!(e.contains("token dictionary is missing") && e.contains("ctheodoris/Geneformer"), "{e}");
    for entry in std::fs::read_dir(checkpoint(KITS[1])).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "pkl") {
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let e = Geneformer::open(copy.path()).err().unwrap();
    assert_eq!(e.kind(), ErrorKind::Mismatch);
    assert!(e.to_string().contains("V1 models") && e.to_string().contains("with 215"), "{e}");
}

#[test]
fn a_fine_tuned_classifier_opens_without_readouts() {
    let head = altered(&checkpoint(KITS[1]), |t| {
        t.retain(|n, _| !n.starts_with("cls."));
        t.insert("classifier.weight".into(), (vec![3, 36], vec![0.1; 108]));
        t.insert("classifier.bias".into(), (vec![3], vec![0.0; 3]));
        t.insert("bert.pooler.dense.weight".into(), (vec![36, 36], vec![0.1; 36 * 36]));
        t.insert("bert.pooler.dense.bias".into(), (vec![36], vec![0.0; 36]));
    });
    let model = Geneformer::open(head.path()).unwrap();
    assert_eq!(model.audit().ignored.len(), 4);
    assert!(model.sites().iter().all(|s| !s.site.to_string().starts_with("readout")));
    let none = altered(&checkpoint(KITS[1]), |t| t.retain(|n, _| !n.starts_with("cls.")));
    assert!(error(none.path()).contains("masked-gene head"));
}

#[test]
fn found_by_folder_or_file_and_never_loaded() {
    for (kit, file) in KITS.into_iter().zip(["pytorch_model.bin", "model.safetensors"]) {
        assert_eq!(detect(&checkpoint(kit)).unwrap().id, "geneformer");
        let model = crate::open(&checkpoint(kit).join(file)).unwrap();
        assert!(model.info().files.iter().any(|(role, p)| role == "weights" && p.ends_with(file)));
    }
    let broken = altered(&checkpoint(KITS[0]), |_| {});
    std::fs::write(broken.path().join("model.safetensors"), b"not weights").unwrap();
    assert!(detect(broken.path()).is_ok(), "detection looks at the configuration only");
    assert!(Geneformer::open(broken.path()).is_err());
}
