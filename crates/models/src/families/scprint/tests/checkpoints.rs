//! Opening good, odd and bad checkpoints.

use serde_json::{Map, Value, json};

use super::kit::{Tensors, altered, file, golden, kits, open};
use crate::families::scprint::model::ScPrint;
use crate::{Model, detect};

fn error(alter: impl FnOnce(&mut Tensors, &mut Map<String, Value>)) -> String {
    let folder = altered(&golden(), alter);
    ScPrint::open(folder.path()).err().unwrap().to_string()
}

#[test]
fn every_tensor_is_accounted_for_and_training_state_is_left_alone() {
    for kit in kits() {
        let model = open(&kit);
        let audit = model.audit();
        assert!(audit.unexpected.is_empty() && audit.missing.is_empty());
        assert!(audit.used.iter().all(|t| t.name.starts_with("state_dict.")));
        assert!(audit.ignored.iter().all(|t| !t.reason.is_empty()));
        let trained = kit.ends_with("v1_small");
        let outside = audit.ignored.iter().filter(|t| t.reason.starts_with("outside")).count();
        assert_eq!(outside > 0, trained || kit.ends_with("nodepth_metacell_gqa_log"));
        assert_eq!(detect(&kit.join("checkpoint")).unwrap().id, "scprint");
        assert_eq!(detect(&file(&kit)).unwrap().id, "scprint");
        assert_eq!(crate::open(&file(&kit)).unwrap().info().n_blocks, model.info().n_blocks);
    }
}

#[test]
fn features_are_told_by_names_and_shapes() {
    for kit in kits() {
        let model = open(&kit);
        let c = &model.info().choices;
        let expected = match kit.file_name().unwrap().to_str().unwrap() {
            "v1_small" => (json!(["base", "depth", "cell_type_ontology_term_id"]), false, 2, 2),
            "v15_classlist_mouse" => (json!(["depth", "base", "cell_type_ontology_term_id"]), false, 4, 3),
            "nodepth_metacell_gqa_log" => (json!(["metacell", "base", "cell_type_ontology_term_id"]), true, 2, 3),
            other => panic!("{other}"),
        };
        let order = json!(c["cell_tokens"].as_array().unwrap()[..3]);
        let found = (order, c["expression_decoder_takes_depth"] == true, c["key_value_heads"].clone(), c["value_encoder_layers"].clone());
        assert_eq!(found, (expected.0, expected.1, json!(expected.2), json!(expected.3)));
    }
}

#[test]
fn strict_about_what_is_there_and_what_is_not() {
    assert!(error(|t, _| drop(t.insert("extra.weight".into(), (vec![1], vec![0.0])))).contains("extra.weight"));
    assert!(error(|t, _| drop(t.remove("transformer.norm.bias"))).contains("transformer.norm.bias"));
    assert!(error(|t, _| drop(t.remove("pos_encoder.pe"))).contains("pos_encoder.pe"));
    let e = error(|t, _| t.get_mut("class_encoder.embedding.weight").unwrap().0 = vec![20, 9]);
    assert!(e.contains("class_encoder"), "{e}");
    let e = error(|t, _| {
        t.insert("metacell_encoder.embedding.weight".into(), (vec![3, 20], vec![0.0; 60]));
    });
    assert!(e.contains("metacell_encoder"), "{e}");
}

#[test]
fn hyper_parameters_are_required_and_checked() {
    let set = |key: &'static str, value: Value| error(move |_, h| drop(h.insert(key.into(), value)));
    let unset = |key: &'static str| error(move |_, h| drop(h.remove(key)));
    for key in ["genes", "organisms", "d_model", "nlayers", "nhead", "classes", "label_counts"] {
        assert!(unset(key).contains(key), "{key}: {}", unset(key));
    }
    for (key, value, word) in [
        ("nhead", json!(3), "divisor"),
        ("nlayers", json!(3), "blocks.2"),
        ("nlayers", json!(1), "blocks.1"),
        ("num_heads_kv", json!(2), "key/value heads"),
        ("normalization", json!("raw"), "normalization"),
        ("transformer", json!("hyper"), "transformer"),
        ("cell_specific_blocks", json!(true), "cell_specific_blocks"),
        ("compress_class_dim", json!({"a": 1}), "compress_class_dim"),
        ("expr_emb_style", json!("binned"), "expr_emb_style"),
        ("attn_bias", json!("chromosome"), "attn_bias"),
        ("prenorm", json!(false), "prenorm"),
        ("zinb", json!(false), "zinb"),
        ("expr_encoder_layers", json!(2), "expr_encoder_layers"),
        ("pred_embedding", json!(["tissue"]), "pred_embedding"),
        ("genes", json!({"NCBITaxon:9606": ["ENSG00000000001"]}), "genes"),
        ("genes", json!(["ENSG00000000001", "ENSG00000000001"]), "twice"),
        ("genes", json!(["ENSG00000000001"]), "embedding"),
    ] {
        let e = set(key, value.clone());
        assert!(e.contains(word), "{key} {value}: {e}");
    }
}

#[test]
fn what_a_file_does_not_say_is_stated_and_not_guessed_silently() {
    let folder = altered(&golden(), |_, h| {
        h.remove("normalization");
        h.insert("pred_embedding".into(), json!([]));
    });
    let model = ScPrint::open(folder.path()).unwrap();
    let choices = &model.info().choices;
    assert!(choices["normalisation"].as_str().unwrap().contains("sum"));
    assert!(choices["cell_embedding_by"].as_str().unwrap().contains("names none"));
    assert!(choices["cell_embedding"].as_str().unwrap().contains("sex_ontology_term_id"));
}

#[test]
fn several_files_and_bare_weights_are_refused() {
    let folder = altered(&golden(), |_, _| {});
    let copy = folder.path().join("other.safetensors");
    std::fs::copy(folder.path().join("scprint.safetensors"), &copy).unwrap();
    assert!(ScPrint::open(folder.path()).err().unwrap().to_string().contains("several"));
    assert!(ScPrint::open(&copy).is_ok(), "the file itself can be named");
    std::fs::write(&copy, b"damaged").unwrap();
    assert!(ScPrint::open(folder.path()).is_ok(), "a file that is no checkpoint is passed over");
    assert!(ScPrint::open(&copy).is_err());
}
