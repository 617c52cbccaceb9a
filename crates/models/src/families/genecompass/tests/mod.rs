//! Tests over the parity kit, which an independent forward pass made.

use crate::families::genecompass::model::GeneCompass;
use crate::families::genecompass::{FAMILY, card};
use crate::test_kit::{self, Kit};
use crate::{Model, Tokens, detect};

mod sabotage;

const KIT: Kit = Kit { family: "genecompass", case: "base_like", weights: "pytorch_model.bin" };

fn open() -> GeneCompass {
    GeneCompass::open(&KIT.checkpoint()).unwrap()
}

fn error(folder: &std::path::Path) -> String {
    GeneCompass::open(folder).err().unwrap().to_string()
}

#[test]
fn every_tensor_of_the_kit_is_within_tolerance() {
    assert_eq!(KIT.holds().tensors.len(), 32);
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
    assert!(a.unexpected.is_empty() && a.missing.is_empty());
    // Two buffers and three tied tensors.
    assert_eq!(a.ignored.len(), 5, "{:?}", a.ignored);
    assert_eq!(model.info().n_parameters, card::parameters([2, 24, 40, 118, 28], &[24, 10, 14, 7]));
    let more = KIT.altered(|t| {
        t.insert("bert.extra".into(), (vec![1], vec![0.0]));
    });
    assert!(error(more.path()).contains("extra"));
    let fewer = KIT.altered(|t| {
        t.remove("bert.cls_embedding.weight");
    });
    assert!(error(fewer.path()).contains("cls_embedding"));
    let bare = KIT.altered(|t| t.retain(|n, _| !n.starts_with("cls")));
    let bare = GeneCompass::open(bare.path()).unwrap();
    assert!(bare.sites().iter().all(|s| !s.site.to_string().starts_with("readout")));
}

#[test]
fn a_checkpoint_without_its_priors_is_refused_with_the_reason() {
    let copy = KIT.altered(|t| {
        t.remove("bert.embeddings.co_exp_knowledge");
    });
    let e = error(copy.path());
    assert!(e.contains("does not hold its prior knowledge") && e.contains("co_exp_knowledge"), "{e}");
    let short = KIT.altered(|t| {
        let (shape, v) = t.get_mut("bert.embeddings.co_exp_knowledge").unwrap();
        shape[0] -= 1;
        let n = shape[0] * shape[1];
        v.truncate(n);
    });
    assert!(error(short.path()).contains("row per token"));
}

#[test]
fn variants_that_are_not_built_are_refused() {
    for (from, to, word) in [
        ("\"use_values\": true", "\"use_values\": false", "use_values"),
        ("\"use_values\": true", "\"use_values\": true, \"concat_values_first\": true", "concat_values_first"),
        ("\"use_values\": true", "\"use_values\": true, \"use_value_emb\": true", "use_value_emb"),
        ("\"use_values\": true", "\"use_values\": 1", "use_values"),
        ("\"use_cls_token\": true", "\"use_cls_token\": false", "cls_embedding"),
        ("\"use_peca_grn\": true", "\"use_peca_grn\": false", "cat_fc"),
        ("\"hidden_act\": \"gelu\"", "\"hidden_act\": \"silu\"", "hidden_act"),
        ("\"vocab_size\": 118", "\"vocab_size\": 119", "50,558"),
    ] {
        let e = error(KIT.with_text("config.json", from, to).path());
        assert!(e.contains(word), "{from} -> {to}: {e}");
    }
    let copy = KIT.altered(|_| {});
    std::fs::remove_file(copy.path().join("human_mouse_tokens.pickle")).unwrap();
    assert!(error(copy.path()).contains("xCompass-AI/GeneCompass"));
}

#[test]
fn fewer_priors_and_no_species_token_are_read_from_the_configuration() {
    // Without the last prior: its columns leave the joined map. Without the species token: the vector leaves the file.
    let copy = KIT.altered(|t| {
        t.retain(|n, _| !n.contains("peca_grn") && !n.contains("cls_embedding"));
        let (shape, v) = t.get_mut("bert.embeddings.concat_embeddings.cat_fc.weight").unwrap();
        *v = v.chunks_exact(shape[1]).flat_map(|row| row[..shape[1] - 24].to_vec()).collect();
        shape[1] -= 24;
    });
    let path = copy.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("\"use_peca_grn\": true", "\"use_peca_grn\": false");
    std::fs::write(&path, text.replace("\"use_cls_token\": true", "\"use_cls_token\": false")).unwrap();
    let model = GeneCompass::open(copy.path()).unwrap();
    assert_eq!((model.info().max_tokens, model.info().d_vocab), (28, 118));
    assert_eq!(model.cell_rule().0, crate::CellRule::Mean);
    let tokens = KIT.cells().tokens(&model);
    assert!(tokens.ids.iter().all(|&id| id < 118));
    test_kit::forward_keeps_its_promises(&model, &tokens);
}

#[test]
fn mouse_cells_are_refused_and_mouse_genes_never_matched() {
    let model = open();
    let table = |names: Vec<String>| {
        let var = microtome_core::Table { index: names, columns: vec![] };
        microtome_core::GeneTable::detect(&var, None, None).unwrap()
    };
    let mouse: Vec<String> = (94..118).map(|t| model.token_name(t).unwrap().to_string()).collect();
    assert!(mouse.iter().all(|n| n.starts_with("ENSMUSG")));
    assert!(model.match_genes(&table(mouse)).unwrap_err().to_string().contains("species"));
    // Symbols of the dictionary: 92 human genes come first, then those of mouse.
    let symbols = table((80..100).map(|i| format!("SYM{i}")).collect());
    assert_eq!(model.match_genes(&symbols).unwrap().overlap.n_matched, 12);
}

#[test]
fn the_species_token_is_first_and_only_there() {
    let model = open();
    assert_eq!(model.token_name(118), Some("<cls:human>"));
    let mut recorder = crate::taps::Recorder::new([microtome_core::Site::Embed]);
    for ids in [vec![5, 118], vec![5, 6], vec![118, 118]] {
        let mut tokens = Tokens::new();
        tokens.push(&ids, &vec![1.0; ids.len()], 0, 0);
        let e = model.forward(&tokens, &mut recorder).unwrap_err().to_string();
        assert!(e.contains("species token"), "{e}");
    }
}

#[test]
fn found_by_its_configuration_only() {
    assert_eq!(detect(&KIT.checkpoint().join("pytorch_model.bin")).unwrap().id, "genecompass");
    let other = KIT.with_text("config.json", "\"use_promoter\": true,", "");
    assert!(detect(other.path()).is_err(), "a BERT without the switches is of no family");
}

#[test]
fn a_twin_keeps_the_priors_and_draws_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("twin");
    (FAMILY.init_twin)(&KIT.checkpoint(), 3, &out).unwrap();
    let (twin, model) = (GeneCompass::open(&out).unwrap(), open());
    assert_eq!(KIT.cells().tokens(&twin), KIT.cells().tokens(&model));
    assert_eq!(twin.info().n_parameters, model.info().n_parameters);
    assert_eq!(twin.info().choices, model.info().choices);
    assert_ne!(twin.network.embedding.words, model.network.embedding.words);
    let priors = |folder: &std::path::Path, file: &str| {
        let file = microtome_weights::Checkpoint::open(&folder.join(file)).unwrap();
        file.read_f32("bert.embeddings.promoter_knowledge").unwrap()
    };
    assert_eq!(priors(&out, "model.safetensors"), priors(&KIT.checkpoint(), "pytorch_model.bin"));
}

#[test]
fn presets_over_the_dictionaries_of_a_kit() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("m");
    (FAMILY.init)("small", &KIT.checkpoint(), 1, &out).unwrap();
    let model = crate::open(&out).unwrap();
    assert_eq!((model.info().n_blocks, model.info().d_vocab, model.info().max_tokens), (6, 119, 2049));
    assert_eq!(model.info().variant, "custom", "the published sizes have the published vocabulary");
    assert_eq!(model.info().n_parameters, card::parameters([6, 768, 3072, 118, 2048], &[768; 4]));
    let e = (FAMILY.init)("bose", &KIT.checkpoint(), 1, &dir.path().join("x")).unwrap_err().to_string();
    assert!(e.contains("did you mean base"), "{e}");
}
