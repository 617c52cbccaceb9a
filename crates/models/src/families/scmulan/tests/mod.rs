//! Tests over the parity kit, which a NumPy forward pass made.

use microtome_core::{Counts, GeneTable, Site, Table};

use crate::families::scmulan::FAMILY;
use crate::families::scmulan::model::ScMulan;
use crate::families::scmulan::network::GENERATED;
use crate::taps::{Recorded, Recorder};
use crate::test_kit::{self, Kit, Tensors};
use crate::{Model, TokenizeOptions, detect};

mod sabotage;

const KIT: Kit = Kit { family: "scmulan", case: "small", weights: "ckpt_scMulan.pt" };

fn open() -> ScMulan {
    ScMulan::open(&KIT.checkpoint()).unwrap()
}

/// A copy with other tensors; what the published container states beside them stands in `config.json`.
fn altered(alter: impl FnOnce(&mut Tensors)) -> tempfile::TempDir {
    let copy = KIT.altered(|t| {
        let old = std::mem::take(t);
        t.extend(old.into_iter().map(|(n, v)| (n.trim_start_matches("model.").to_string(), v)));
        alter(t);
    });
    let config = format!("{:#}\n", open().config.to_json());
    std::fs::write(copy.path().join("config.json"), config).unwrap();
    copy
}

fn error(folder: &std::path::Path) -> String {
    ScMulan::open(folder).err().unwrap().to_string()
}

#[test]
fn every_tensor_of_the_kit_is_within_tolerance() {
    assert_eq!(KIT.holds().tensors.len(), 2 * 11 + 11);
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
    assert!(a.unexpected.is_empty() && a.missing.is_empty() && a.ignored.is_empty(), "{a:?}");
    let (d, v, b) = (24, 39, 2);
    assert_eq!(model.info().n_parameters, (3 * v * d + 11 * d + b * (12 * d * d + 13 * d) + 2 * d) as u64);
    let more = altered(|t| {
        t.insert("transformer.wpe.weight".into(), (vec![1], vec![0.0]));
    });
    assert!(error(more.path()).contains("wpe"));
    let fewer = altered(|t| {
        t.remove("epx_head.weight");
    });
    assert!(error(fewer.path()).contains("epx_head"));
    let compiled = altered(|t| {
        let old = std::mem::take(t);
        t.extend(old.into_iter().map(|(n, v)| (format!("_orig_mod.{n}"), v)));
    });
    assert!(KIT.run(&ScMulan::open(compiled.path()).unwrap()).passed);
}

#[test]
fn found_by_folder_or_file_and_what_does_not_fit_is_said() {
    let root = KIT.checkpoint();
    for path in [root.clone(), root.join("ckpt_scMulan.pt"), root.join("meta_info.pt")] {
        assert_eq!(detect(&path).unwrap().id, "scmulan", "{}", path.display());
        assert!(crate::open(&path).is_ok());
    }
    for (from, to, word) in [
        ("\"ele\": 1", "\"ele\": 2", "ele"),
        ("\"n_head\": 3", "\"n_head\": 5", "divisor"),
        ("\"vocab_size\": 39", "\"vocab_size\": 40", "token_set"),
        ("\"expression_level\": 10", "\"expression_level\": 9", "wee"),
        ("\"bias\": true", "\"bias\": false", "bias"),
        ("\"n_layer\": 2", "\"n_layer\": 99999999999", "n_layer"),
    ] {
        let copy = altered(|_| {});
        let path = copy.path().join("config.json");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let e = error(copy.path());
        assert!(e.contains(word), "{from} -> {to}: {e}");
    }
    let without = altered(|_| {});
    std::fs::remove_file(without.path().join("config.json")).unwrap();
    assert!(error(without.path()).contains("model_args"));
    let without = altered(|_| {});
    std::fs::remove_file(without.path().join("meta_info.pt")).unwrap();
    assert!(error(without.path()).contains("meta_info.pt"));
    assert!(!(FAMILY.detect)(without.path()));
}

#[test]
fn genes_come_backwards_in_the_order_of_the_list() {
    let model = open();
    let names = |at: [usize; 3]| at.map(|i| model.meta.genes[i].clone());
    let [a, b, c] = names([2, 9, 20]);
    let var = Table { index: vec![b.clone(), a.clone(), c.clone(), "NOTINIT".into(), b], columns: vec![] };
    let genes = model.match_genes(&GeneTable::detect(&var, None, None).unwrap()).unwrap();
    assert_eq!((genes.overlap.n_matched, genes.overlap.n_duplicates), (4, 1));
    let counts = Counts::new(5, vec![0, 5, 5], vec![0, 1, 2, 3, 4], vec![1.0, 1.0, 90.0, 7.0, 1.0]).unwrap();
    let tokens = model.tokenize(&counts, None, &genes, &TokenizeOptions::default()).unwrap();
    let found: Vec<&str> = tokens.cell(0).0.iter().map(|&t| model.token_name(t).unwrap()).collect();
    assert_eq!(found, [c.as_str(), model.meta.genes[9].as_str(), a.as_str(), "<PCT>"]);
    // 90, 2 (two columns added up) and 1 of 100 counts: log1p of 9000, 200 and 100.
    assert_eq!(tokens.cell(0).1, [10.0, 6.0, 6.0, 0.0]);
    assert_eq!(tokens.cell(1).0, [model.meta.task]);
    let short = TokenizeOptions { max_tokens: Some(2), ..TokenizeOptions::default() };
    let short = model.tokenize(&counts, None, &genes, &short).unwrap();
    assert_eq!((short.len_of(0), short.n_cut[0], short.cell(0).0[1]), (2, 2, model.meta.task));
    let none = TokenizeOptions { max_tokens: Some(1), ..TokenizeOptions::default() };
    assert!(model.tokenize(&counts, None, &genes, &none).is_err());
}

#[test]
fn a_short_list_of_genes_is_enough_for_data_with_many() {
    let model = open();
    let table = |n_known: usize| {
        let others = (0..2000).map(|i| format!("OTHER{i}"));
        let index = model.meta.genes.iter().take(n_known).cloned().chain(others).collect();
        GeneTable::detect(&Table { index, columns: vec![] }, None, None).unwrap()
    };
    let found = model.match_genes(&table(model.meta.genes.len())).unwrap();
    assert_eq!(found.overlap.n_matched, model.meta.genes.len());
    let e = model.match_genes(&table(2)).unwrap_err().to_string();
    assert!(e.contains("2 of 30 (6.7 %)"), "{e}");
}

#[test]
fn generation_names_tokens_and_needs_none() {
    let model = open();
    let site = Site::Extra(GENERATED.into());
    let mut tokens = KIT.cells().tokens(&model);
    tokens.push(&[], &[], 0, 0);
    tokens.push(&[model.meta.task], &[0.0], 0, 0);
    let mut recorder = Recorder::new([site.clone(), Site::CellEmbedding]);
    model.forward(&tokens, &mut recorder).unwrap();
    let (Some(Recorded::Cells { data, width }), Some(Recorded::Cells { data: vectors, width: d })) =
        (recorder.take(&site), recorder.take(&Site::CellEmbedding))
    else {
        panic!("both sites are per cell")
    };
    let cells: Vec<&[f32]> = data.chunks_exact(width).collect();
    let names: Vec<&str> =
        cells[0].iter().filter(|t| **t >= 0.0).map(|&t| model.token_name(t as u32).unwrap()).collect();
    println!("{names:?}");
    assert!(!names.is_empty());
    let n = cells.len();
    assert_eq!(cells[n - 2], [-1.0; 3], "a cell without tokens cannot be continued");
    assert!(vectors[(n - 2) * d..(n - 1) * d].iter().all(|v| v.is_nan()));
    assert!(cells[n - 1][0] >= 0.0, "the task alone is enough");
}

#[test]
fn a_twin_has_the_shape_and_the_vocabulary_but_other_weights() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("twin");
    (FAMILY.init_twin)(&KIT.checkpoint(), 3, &out).unwrap();
    let (twin, model) = (ScMulan::open(&out).unwrap(), open());
    assert_eq!(detect(&out).unwrap().id, "scmulan");
    assert_eq!(KIT.cells().tokens(&twin), KIT.cells().tokens(&model));
    assert_eq!(twin.info().n_parameters, model.info().n_parameters);
    assert_eq!((twin.info().choices.clone(), &twin.config), (model.info().choices.clone(), &model.config));
    assert_ne!(twin.network.words, model.network.words);
    // A twin of a twin, and of the preset.
    (FAMILY.init_twin)(&out, 3, &dir.path().join("again")).unwrap();
    assert!((FAMILY.init_twin)(&KIT.checkpoint(), 3, &out).is_err(), "nothing is overwritten");
    let e = (FAMILY.init)("defaul", &KIT.checkpoint(), 0, &dir.path().join("x")).unwrap_err().to_string();
    assert!(e.contains("did you mean default?"), "{e}");
}
