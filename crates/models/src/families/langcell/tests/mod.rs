//! Tests over the parity kit, which an independent forward pass made.

use crate::families::langcell::FAMILY;
use crate::families::langcell::model::LangCell;
use crate::test_kit::{self, Kit};
use crate::{Model, detect};

mod sabotage;

const KIT: Kit = Kit { family: "langcell", case: "cell_tower", weights: "cell_bert/pytorch_model.bin" };

fn open() -> LangCell {
    LangCell::open(&KIT.checkpoint()).unwrap()
}

fn error(folder: &std::path::Path) -> String {
    LangCell::open(folder).err().unwrap().to_string()
}

#[test]
fn every_tensor_of_the_kit_is_within_tolerance() {
    let report = KIT.holds();
    assert_eq!(report.tensors.len(), 29);
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
    assert!(a.unexpected.is_empty() && a.missing.is_empty() && a.used.iter().any(|t| t.name == "cell_proj.weight"));
    assert_eq!(a.ignored.len(), 1, "{:?}", a.ignored);
    let (d, f, b) = (24, 40, 2);
    let block = 4 * (d * d + d) + 4 * d + 2 * d * f + f + d;
    assert_eq!(model.info().n_parameters, ((121 + 30 + 2 + 2) * d + b * block + 16 * d + 16) as u64);
    let more = KIT.altered(|t| {
        t.insert("bert.extra".into(), (vec![1], vec![0.0]));
    });
    assert!(error(more.path()).contains("extra"));
    let fewer = KIT.altered(|t| {
        t.remove("bert.encoder.layer.1.output.dense.bias");
    });
    assert!(error(fewer.path()).contains("layer.1.output.dense.bias"));
    // With and without the prefix, and with what the published code leaves alone.
    let bare = KIT.altered(|t| {
        let old = std::mem::take(t);
        t.extend(old.into_iter().map(|(n, v)| (n.trim_start_matches("bert.").to_string(), v)));
        t.insert("pooler.dense.bias".into(), (vec![24], vec![0.0; 24]));
        t.insert("cls.predictions.bias".into(), (vec![121], vec![0.0; 121]));
    });
    let bare = LangCell::open(bare.path()).unwrap();
    assert_eq!(bare.audit().ignored.len(), 2);
    assert!(KIT.run(&bare).passed);
}

#[test]
fn found_by_folder_file_or_tower_and_what_lacks_is_said() {
    let root = KIT.checkpoint();
    for path in [root.clone(), root.join("cell_proj.bin"), root.join("cell_bert"), root.join("cell_bert/config.json")] {
        assert_eq!(detect(&path).unwrap().id, "langcell", "{}", path.display());
        assert!(crate::open(&path).is_ok());
    }
    let copy = KIT.altered(|_| {});
    std::fs::remove_file(copy.path().join("cell_proj.bin")).unwrap();
    assert!(error(copy.path()).contains("projection"));
    let copy = KIT.altered(|_| {});
    std::fs::remove_file(copy.path().join("gene_median_dictionary.pkl")).unwrap();
    assert!(error(copy.path()).contains("PharMolix/LangCell"));
    for (from, to, word) in [
        ("\"hidden_act\": \"relu\"", "\"hidden_act\": \"mish\"", "hidden_act"),
        ("\"layer_norm_eps\": 1e-12,", "", "layer_norm_eps"),
        ("\"num_attention_heads\": 3", "\"num_attention_heads\": 5", "divisor"),
        ("\"vocab_size\": 121", "\"vocab_size\": 122", "25,426"),
        ("\"type_vocab_size\": 2", "\"type_vocab_size\": 3", "token_type"),
        ("\"hidden_size\": 24", "\"hidden_size\": 27", "word_embeddings"),
    ] {
        let e = error(KIT.with_text("cell_bert/config.json", from, to).path());
        assert!(e.contains(word), "{from} -> {to}: {e}");
    }
}

#[test]
fn names_of_tokens_and_symbols_of_the_dictionary() {
    let model = open();
    assert_eq!(model.token_name(120), Some("<cls>"));
    assert_eq!(model.token_name(121), None);
    let var = microtome_core::Table { index: (0..40).map(|i| format!("SYM{i}")).collect(), columns: vec![] };
    let table = microtome_core::GeneTable::detect(&var, None, None).unwrap();
    assert_eq!(model.match_genes(&table).unwrap().overlap.n_matched, 40);
}

#[test]
fn a_twin_has_the_shape_and_the_vocabulary_but_other_weights() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("twin");
    (FAMILY.init_twin)(&KIT.checkpoint(), 3, &out).unwrap();
    let (twin, model) = (LangCell::open(&out).unwrap(), open());
    assert_eq!(KIT.cells().tokens(&twin), KIT.cells().tokens(&model));
    assert_eq!(twin.info().n_parameters, model.info().n_parameters);
    assert_eq!(twin.info().choices, model.info().choices);
    assert_ne!(twin.network.embedding.words, model.network.embedding.words);
    assert!((FAMILY.init_twin)(&KIT.checkpoint(), 3, &out).is_err(), "nothing is overwritten");
}

#[test]
fn the_preset_over_real_dictionaries() {
    let Some(vocabulary) = test_kit::shared("reference/vocab/geneformer_30M") else { return };
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("m");
    (FAMILY.init)("langcell", &vocabulary, 1, &out).unwrap();
    let model = crate::open(&out).unwrap();
    assert_eq!(model.info().variant, "langcell");
    assert_eq!(model.info().n_parameters, FAMILY.variants[0].n_parameters);
    let e = (FAMILY.init)("langcel", &vocabulary, 1, &dir.path().join("x")).unwrap_err().to_string();
    assert!(e.contains("did you mean langcell"), "{e}");
}
