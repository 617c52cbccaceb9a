//! Tests over the parity kit, which an independent forward pass made.

use crate::families::sccello::FAMILY;
use crate::families::sccello::model::ScCello;
use crate::test_kit::{self, Kit};
use crate::{Model, detect};

mod sabotage;

const KIT: Kit = Kit { family: "sccello", case: "zeroshot_like", weights: "model.safetensors" };

fn open() -> ScCello {
    ScCello::open(&KIT.checkpoint()).unwrap()
}

fn error(folder: &std::path::Path) -> String {
    ScCello::open(folder).err().unwrap().to_string()
}

#[test]
fn every_tensor_of_the_kit_is_within_tolerance() {
    assert_eq!(KIT.holds().tensors.len(), 31);
}

#[test]
fn forward_and_tokens_keep_their_promises() {
    let model = open();
    test_kit::forward_keeps_its_promises(&model, &KIT.cells().tokens(&model));
    test_kit::ranks_keep_their_promises(&model, &KIT.cells());
}

#[test]
fn every_tensor_is_accounted_for() {
    let model = open();
    let a = model.audit();
    assert!(a.unexpected.is_empty());
    // The second names of the two biases are absent, and said so.
    assert_eq!(a.missing.len(), 2, "{:?}", a.missing);
    // Buffer of positions, prototypes, projection (2), two buffers of the ontology, three legacy maps (2 each).
    assert_eq!(a.ignored.len(), 12, "{:?}", a.ignored);
    let (d, f, b) = (24, 40, 2);
    let block = 4 * (d * d + d) + 4 * d + 2 * d * f + f + d;
    let heads = 2 * (2 * (d * d + d) + 2 * d);
    assert_eq!(model.info().n_parameters, ((121 + 30 + 3 + 2) * d + b * block + heads) as u64);
    let more = KIT.altered(|t| {
        t.insert("bert.extra".into(), (vec![1], vec![0.0]));
    });
    assert!(error(more.path()).contains("extra"));
    for name in ["bert.embeddings.expbin_embeddings.weight", "cell_cls.predictions.dense_2.weight"] {
        let fewer = KIT.altered(|t| {
            t.remove(name);
        });
        assert!(error(fewer.path()).contains(name));
    }
}

#[test]
fn the_bias_may_be_stored_under_either_name_or_both() {
    let (short, long) = ("cls.predictions.bias", "cls.predictions.dense_2.bias");
    let renamed = KIT.altered(|t| {
        let bias = t.remove(short).unwrap();
        t.insert(long.into(), bias);
    });
    assert!(KIT.run(&ScCello::open(renamed.path()).unwrap()).passed);
    let both = KIT.altered(|t| {
        t.insert(long.into(), t[short].clone());
    });
    assert!(KIT.run(&ScCello::open(both.path()).unwrap()).passed);
    let differ = KIT.altered(|t| {
        let mut other = t[short].clone();
        other.1[0] += 1.0;
        t.insert(long.into(), other);
    });
    assert!(error(differ.path()).contains(long));
}

#[test]
fn a_fine_tuned_classifier_opens_with_the_heads_that_it_has() {
    let copy = KIT.with_text("config.json", "ForMaskedLM", "ForSequenceClassification");
    assert_eq!(detect(copy.path()).unwrap().id, "sccello");
    let bare = KIT.altered(|t| {
        t.retain(|n, _| n.starts_with("bert."));
        t.insert("classifier.weight".into(), (vec![3, 24], vec![0.1; 72]));
        t.insert("bert.pooler.dense.bias".into(), (vec![24], vec![0.0; 24]));
    });
    let model = ScCello::open(bare.path()).unwrap();
    assert_eq!(model.audit().ignored.len(), 2);
    assert!(model.sites().iter().all(|s| !s.site.to_string().starts_with("readout")));
    assert_eq!(model.network.cell_sites().len(), 1);
}

#[test]
fn configurations_are_never_defaulted() {
    for (from, to, word) in [
        ("\"tau\": 0.75", "\"tau\": 0", "tau"),
        ("\"tau\": 0.75,", "", "tau"),
        ("\"hidden_act\": \"relu\"", "\"hidden_act\": \"silu\"", "hidden_act"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "layer.2"),
        ("\"vocab_size\": 121", "\"vocab_size\": 125", "25,426"),
        ("\"max_position_embeddings\": 30", "\"max_position_embeddings\": 31", "position_embeddings"),
    ] {
        let e = error(KIT.with_text("config.json", from, to).path());
        assert!(e.contains(word), "{from} -> {to}: {e}");
    }
    let copy = KIT.altered(|_| {});
    std::fs::remove_file(copy.path().join("token_dictionary.pkl")).unwrap();
    assert!(error(copy.path()).contains("DeepGraphLearning/scCello"));
}

#[test]
fn symbols_come_from_the_table() {
    let var = microtome_core::Table { index: (0..40).map(|i| format!("SYM{i}")).collect(), columns: vec![] };
    let table = microtome_core::GeneTable::detect(&var, None, None).unwrap();
    assert_eq!(open().match_genes(&table).unwrap().overlap.n_matched, 40);
    let copy = KIT.with_text("vocab_id2name.csv", "id,name", "gene,name");
    assert!(error(copy.path()).contains("lacks a column"));
}

#[test]
fn a_twin_has_the_shape_and_the_vocabulary_but_other_weights() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("twin");
    (FAMILY.init_twin)(&KIT.checkpoint(), 3, &out).unwrap();
    let (twin, model) = (ScCello::open(&out).unwrap(), open());
    assert_eq!(KIT.cells().tokens(&twin), KIT.cells().tokens(&model));
    assert_eq!(twin.info().n_parameters, model.info().n_parameters);
    assert_eq!(twin.info().choices, model.info().choices);
    assert_ne!(twin.network.embedding.words, model.network.embedding.words);
    assert!(twin.network.embedding.others[2].iter().all(|v| *v == 0.0), "the row of padding");
}

#[test]
fn the_preset_over_real_dictionaries() {
    let Some(vocabulary) = test_kit::shared("reference/vocab/geneformer_30M") else { return };
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("m");
    (FAMILY.init)("zeroshot", &vocabulary, 1, &out).unwrap();
    let model = crate::open(&out).unwrap();
    assert_eq!((model.family().id, model.info().variant.as_str()), ("sccello", "zeroshot"));
    assert_eq!(model.info().n_parameters, FAMILY.variants[0].n_parameters);
}
