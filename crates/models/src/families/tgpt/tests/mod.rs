//! Tests over the parity kit, which Hugging Face's GPT-2 and tokeniser made.

use microtome_core::{Counts, GeneTable, Table};

use crate::families::tgpt::FAMILY;
use crate::families::tgpt::model::Tgpt;
use crate::test_kit::{self, Kit};
use crate::{GeneMatch, Model, TokenizeOptions, detect};

mod sabotage;

const KIT: Kit = Kit { family: "tgpt", case: "small", weights: "pytorch_model.bin" };

fn open() -> Tgpt {
    Tgpt::open(&KIT.checkpoint()).unwrap()
}

fn error(folder: &std::path::Path) -> String {
    Tgpt::open(folder).err().unwrap().to_string()
}

#[test]
fn every_tensor_of_the_kit_is_within_tolerance() {
    assert_eq!(KIT.holds().tensors.len(), 2 * 11 + 8);
}

#[test]
fn the_forward_pass_keeps_its_promises() {
    let model = open();
    test_kit::forward_keeps_its_promises(&model, &KIT.cells().tokens(&model));
}

#[test]
fn every_tensor_is_accounted_for() {
    let model = open();
    let a = model.audit();
    assert!(a.unexpected.is_empty() && a.missing.is_empty());
    // Two masks and two constants of the blocks, and the tied map.
    assert_eq!(a.ignored.len(), 5, "{:?}", a.ignored);
    let (d, v, n, b) = (24, 64, 32, 2);
    assert_eq!(model.info().n_parameters, ((v + n) * d + b * (12 * d * d + 13 * d) + 2 * d) as u64);
    let more = KIT.altered(|t| {
        t.insert("transformer.extra".into(), (vec![1], vec![0.0]));
    });
    assert!(error(more.path()).contains("extra"));
    let fewer = KIT.altered(|t| {
        t.remove("transformer.h.1.mlp.c_proj.bias");
    });
    assert!(error(fewer.path()).contains("h.1.mlp.c_proj.bias"));
    let untied = KIT.altered(|t| t.get_mut("lm_head.weight").unwrap().1[3] += 1.0);
    assert!(error(untied.path()).contains("lm_head.weight"));
    // As `GPT2Model` saves itself.
    let bare = KIT.altered(|t| {
        t.remove("lm_head.weight");
        let old = std::mem::take(t);
        t.extend(old.into_iter().map(|(n, v)| (n.trim_start_matches("transformer.").to_string(), v)));
    });
    assert!(KIT.run(&Tgpt::open(bare.path()).unwrap()).passed);
}

#[test]
fn found_by_folder_or_file_and_what_does_not_fit_is_said() {
    let root = KIT.checkpoint();
    for path in [root.clone(), root.join("pytorch_model.bin"), root.join("config.json")] {
        assert_eq!(detect(&path).unwrap().id, "tgpt", "{}", path.display());
    }
    for (from, to, word) in [
        ("\"gelu_new\"", "\"gelu\"", "activation_function"),
        ("\"layer_norm_epsilon\": 1e-05,", "", "layer_norm_epsilon"),
        ("\"n_head\": 3", "\"n_head\": 5", "divisor"),
        ("\"vocab_size\": 64", "\"vocab_size\": 65", "tokeniser"),
        ("\"n_inner\": null", "\"n_inner\": 7", "c_fc"),
        ("\"n_positions\": 32", "\"n_positions\": 33", "wpe"),
        ("\"n_inner\": null", "\"n_inner\": null, \"scale_attn_by_inverse_layer_idx\": true", "inverse_layer"),
    ] {
        let e = error(KIT.with_text("config.json", from, to).path());
        assert!(e.contains(word), "{from} -> {to}: {e}");
    }
    for (from, to, word) in [
        ("\"WordLevel\"", "\"BPE\"", "type"),
        ("\"ACTB\": 7", "\"ACTB\": 6", "one by one"),
        ("\"</b>\": 1", "\"<b>\": 1", "</b>"),
        ("\"Whitespace\"", "\"ByteLevel\"", "type"),
    ] {
        let copy = KIT.with_text("tokenizer.json", from, to);
        let e = error(copy.path());
        assert!(e.contains(word), "{from} -> {to}: {e}");
        assert!(!(FAMILY.detect)(copy.path()));
    }
}

#[test]
fn a_cell_is_its_most_expressed_genes_between_markers() {
    let model = open();
    let cells = KIT.cells();
    let genes = model.match_genes(&cells.genes()).unwrap();
    assert_eq!((genes.overlap.n_matched, genes.overlap.n_genes, genes.overlap.n_vocabulary), (60, 64, 60));
    let tokens = |options: &TokenizeOptions| model.tokenize(&cells.counts, None, &genes, options);
    let capped = |n| tokens(&TokenizeOptions { max_tokens: Some(n), ..TokenizeOptions::default() });
    let (all, few) = (tokens(&TokenizeOptions::default()).unwrap(), capped(5).unwrap());
    for c in 0..all.n_cells() {
        let ((ids, values), few) = (all.cell(c), few.cell(c).0);
        assert_eq!((ids[0], ids[ids.len() - 1]), (1, 2));
        assert!(values[1..ids.len() - 1].windows(2).all(|w| w[0] >= w[1]));
        assert!(few.len() <= 5 && few[..few.len() - 1] == ids[..few.len() - 1]);
    }
    assert!(all.n_ties.iter().any(|&n| n > 5), "counts are full of ties");
    assert!(capped(2).is_err());
    // A cell without a known gene is two markers.
    let nothing = Counts::new(cells.counts.n_genes(), vec![0, 0], vec![], vec![]).unwrap();
    assert_eq!(model.tokenize(&nothing, None, &genes, &TokenizeOptions::default()).unwrap().ids, [1, 2]);
}

#[test]
fn the_order_of_columns_matters_as_published_only() {
    let model = open();
    let genes = |tokens: [u32; 3]| GeneMatch {
        token_of_gene: tokens.map(Some).to_vec(),
        sum_duplicates: true,
        counted: None,
        overlap: crate::Overlap::default(),
    };
    let counts = Counts::new(3, vec![0, 3], vec![0, 1, 2], vec![2.0, 2.0, 5.0]).unwrap();
    let ids = |tokens, as_published| {
        let options = TokenizeOptions { as_published, ..TokenizeOptions::default() };
        model.tokenize(&counts, None, &genes(tokens), &options).unwrap().ids
    };
    assert_eq!(ids([9, 8, 7], false), [1, 7, 8, 9, 2]);
    assert_eq!(ids([8, 9, 7], false), [1, 7, 8, 9, 2]);
    assert_eq!(ids([9, 8, 7], true), [1, 7, 9, 8, 2]);
}

#[test]
fn symbols_are_written_as_the_authors_do_and_added_up() {
    let model = open();
    let names = ["HLA-A", "HLA.A", "HLA_DRB1", "RP11-34P13.7", "hla-a", "</b>", "GENE0"];
    let var = Table { index: names.map(str::to_string).to_vec(), columns: vec![] };
    let genes = model.match_genes(&GeneTable::detect(&var, None, None).unwrap()).unwrap();
    let found: Vec<Option<&str>> =
        genes.token_of_gene.iter().map(|t| t.and_then(|t| model.token_name(t))).collect();
    let expected =
        [Some("HLA_A"), Some("HLA_A"), Some("HLA_DRB1"), Some("RP11_34P13_7"), None, None, Some("GENE0")];
    assert_eq!(found, expected);
    let counts = Counts::new(7, vec![0, 4], vec![0, 1, 3, 6], vec![2.0, 2.0, 3.0, 1.0]).unwrap();
    let tokens = model.tokenize(&counts, None, &genes, &TokenizeOptions::default()).unwrap();
    assert_eq!(tokens.values, [0.0, 4.0, 3.0, 1.0, 0.0]);
    let mouse = Table { index: (0..50).map(|i| format!("ENSMUSG{i:011}")).collect(), columns: vec![] };
    assert!(model.match_genes(&GeneTable::detect(&mouse, None, None).unwrap()).is_err());
}

#[test]
fn a_twin_has_the_shape_and_the_vocabulary_but_other_weights() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("twin");
    (FAMILY.init_twin)(&KIT.checkpoint(), 3, &out).unwrap();
    let (twin, model) = (Tgpt::open(&out).unwrap(), open());
    assert_eq!(detect(&out).unwrap().id, "tgpt");
    assert_eq!(KIT.cells().tokens(&twin), KIT.cells().tokens(&model));
    assert_eq!(twin.info().n_parameters, model.info().n_parameters);
    assert_eq!(twin.info().choices, model.info().choices);
    assert_ne!(twin.network.words, model.network.words);
    assert!((FAMILY.init_twin)(&KIT.checkpoint(), 3, &out).is_err(), "nothing is overwritten");
    let e = (FAMILY.init)("1024-8-16", &KIT.checkpoint(), 0, &dir.path().join("x")).unwrap_err().to_string();
    assert!(e.contains("did you mean 1024-8-16-64?"), "{e}");
}
