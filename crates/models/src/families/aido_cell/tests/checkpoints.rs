//! Opening good, odd and bad checkpoints.

use super::kit::{altered, golden, kits, open, with_config};
use crate::families::aido_cell::model::AidoCell;
use crate::{Model, detect};

fn error(folder: &std::path::Path) -> String {
    AidoCell::open(folder).err().unwrap().to_string()
}

#[test]
fn every_tensor_is_accounted_for() {
    for kit in kits() {
        let model = open(&kit);
        assert!(model.audit().unexpected.is_empty());
        assert!(model.audit().ignored.iter().all(|t| t.name == "cls.predictions.decoder.bias"));
        assert_eq!(model.info().variant, "custom");
        assert_eq!(detect(&kit.join("checkpoint")).unwrap().id, "aido_cell");
    }
    let model = open(&golden());
    let i = model.info();
    assert_eq!((i.n_blocks, i.d_model, i.n_heads, i.d_mlp, i.max_tokens), (3, 16, 2, 24, 90));
    assert_eq!(model.audit().ignored.len(), 1, "the same bias under its second name");
}

#[test]
fn one_bias_key_or_two_and_either_name() {
    let kit = golden();
    let (first, second) = ("cls.predictions.bias", "cls.predictions.decoder.bias");
    for dropped in [first, second] {
        let folder = altered(&kit, |t| {
            t.remove(dropped);
        });
        assert!(AidoCell::open(folder.path()).unwrap().network.head.is_some(), "without {dropped}");
    }
    let differing = altered(&kit, |t| t.get_mut(second).unwrap().1[0] += 1.0);
    assert!(error(differing.path()).contains("decoder.bias"));
    let neither = altered(&kit, |t| t.retain(|n, _| n != first && n != second));
    assert!(error(neither.path()).contains("cls.predictions.bias"));
    let bare = altered(&kit, |t| {
        *t = std::mem::take(t)
            .into_iter()
            .filter_map(|(n, v)| Some((n.strip_prefix("bert.")?.to_string(), v)))
            .collect();
    });
    let model = AidoCell::open(bare.path()).unwrap();
    assert!(model.network.head.is_none());
    assert!(model.sites().iter().all(|s| s.site.to_string() != "readout.mlm"));
}

#[test]
fn strict_about_what_is_there_and_what_is_not() {
    let kit = golden();
    let more = altered(&kit, |t| {
        t.insert("bert.extra.weight".into(), (vec![1], vec![0.0]));
    });
    assert!(error(more.path()).contains("bert.extra.weight"));
    let fewer = altered(&kit, |t| {
        t.remove("bert.encoder.layer.1.mlp.up_proj.weight");
    });
    assert!(error(fewer.path()).contains("encoder.layer.1.mlp.up_proj.weight"));
    let biased = altered(&kit, |t| {
        t.insert("bert.encoder.layer.0.mlp.up_proj.bias".into(), (vec![24], vec![0.0; 24]));
    });
    assert!(error(biased.path()).contains("up_proj.bias"), "a bias that the configuration denies");
}

#[test]
fn configurations_are_never_defaulted() {
    let kit = golden();
    for (from, to, word) in [
        ("\"normalization_type\": \"LayerNorm\",", "", "normalization_type"),
        ("\"normalization_type\": \"LayerNorm\"", "\"normalization_type\": \"RMSNorm\"", "bias"),
        ("\"add_linear_bias\": false,", "", "add_linear_bias"),
        ("\"add_linear_bias\": false", "\"add_linear_bias\": true", "bias"),
        ("\"max_position_embeddings\": 88,", "", "max_position_embeddings"),
        ("\"max_position_embeddings\": 88", "\"max_position_embeddings\": 87", "87 genes"),
        ("\"bin_alpha\": 1.0,", "", "bin_alpha"),
        ("\"layer_norm_eps\": 1e-05,", "", "layer_norm_eps"),
        ("\"hidden_act\": \"swiglu\"", "\"hidden_act\": \"gelu\"", "swiglu"),
        ("\"position_embedding_type\": \"absolute\"", "\"position_embedding_type\": \"rope\"", "absolute"),
        ("\"num_attention_heads\": 2", "\"num_attention_heads\": 3", "divisor"),
        ("\"mask_token_id\": -1", "\"mask_token_id\": -5", "mask_token_id"),
        ("{", "[", "JSON"),
    ] {
        let copy = with_config(&kit, from, to);
        let e = error(copy.path());
        assert!(e.contains(word), "{from} -> {to}: {e}");
    }
}

#[test]
fn a_missing_gene_list_says_where_to_get_it() {
    let copy = altered(&golden(), |_| {});
    for entry in std::fs::read_dir(copy.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "tsv") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let e = error(copy.path());
    assert!(e.contains("gene list is missing") && e.contains("scFoundation"), "{e}");
    assert!(detect(copy.path()).is_ok(), "detection looks at the configuration only");
}
