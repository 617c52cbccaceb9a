//! Tests over the parity kit, which Hugging Face's GPT-2 made behind bins from the specification.

use microtome_core::{GeneTable, Table};

use crate::families::generain::FAMILY;
use crate::families::generain::model::GeneRain;
use crate::test_kit::{self, Kit};
use crate::{Model, TokenizeOptions, detect};

mod sabotage;

const KIT: Kit = Kit { family: "generain", case: "gpt_binning_by_gene", weights: "model.rank0.epoch50.pth" };
const PARAMS: &str = "exp2_GPT_Binning_By_Gene.param_config.json";
const REFERENCE: &str = "human_gene_v2.2_with_zero_expr_genes_bin_tot2000_gene2vec_0.005_subsampled.npy";

fn open() -> GeneRain {
    GeneRain::open(&KIT.checkpoint()).unwrap()
}

fn error(folder: &std::path::Path) -> String {
    GeneRain::open(folder).err().unwrap().to_string()
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
    // Two masks, the tied map, two tensors of the optimiser.
    assert_eq!(a.ignored.len(), 5, "{:?}", a.ignored);
    let (d, v, n, b) = (24, 63, 30, 2);
    assert_eq!(model.info().n_parameters, ((v + n) * d + b * (12 * d * d + 13 * d) + 2 * d) as u64);
    let name = |n: &str| format!("model_state_dict.gene_expr_transformer.gpt.{n}");
    let more = KIT.altered(|t| {
        t.insert(name("extra"), (vec![1], vec![0.0]));
    });
    assert!(error(more.path()).contains("extra"));
    let fewer = KIT.altered(|t| {
        t.remove(&name("transformer.wpe.weight"));
    });
    assert!(error(fewer.path()).contains("wpe"));
    let bert = KIT.altered(|t| {
        let old = std::mem::take(t);
        t.extend(old.into_iter().map(|(n, v)| (n.replace(".gpt.", ".bert_for_masked_lm_model."), v)));
    });
    assert!(error(bert.path()).contains("GPT ones only"));
    // Of distributed training, without the trainer's wrapping.
    let bare = KIT.altered(|t| {
        let old = std::mem::take(t);
        t.extend(old.into_iter().filter_map(|(n, v)| {
            Some((n.strip_prefix("model_state_dict.")?.replace("gene_expr", "module.gene_expr"), v))
        }));
    });
    assert!(KIT.run(&GeneRain::open(bare.path()).unwrap()).passed);
}

#[test]
fn found_by_folder_or_file_and_what_does_not_fit_is_said() {
    let root = KIT.checkpoint();
    for path in [root.clone(), root.join("model.rank0.epoch50.pth"), root.join(PARAMS)] {
        assert_eq!(detect(&path).unwrap().id, "generain", "{}", path.display());
        assert!(crate::open(&path).is_ok());
    }
    for (from, to, word) in [
        ("\"GPT\"", "\"Bert_pred_tokens\"", "GPT ones only"),
        ("\"uniform_bin_count_keep_ones\"", "\"Direct_quantile\"", "Binning-By-Gene"),
        ("\"gelu\"", "\"relu\"", "HIDDEN_ACT"),
        ("\"LAYER_NORM_EPS\": 1e-10,", "", "LAYER_NORM_EPS"),
        ("\"NUM_HEADS\": 3", "\"NUM_HEADS\": 5", "divisor"),
        ("\"MODEL_DEPTH\": 2", "\"MODEL_DEPTH\": 3", "h.2"),
        ("\"NUM_OF_GENES_SELECTED\": 30", "\"NUM_OF_GENES_SELECTED\": 31", "wpe"),
    ] {
        let e = error(KIT.with_text(PARAMS, from, to).path());
        assert!(e.contains(word), "{from} -> {to}: {e}");
    }
    let e = error(KIT.with_text("gene2vec_gene_to_idx.json", ": 7,", ": 6,").path());
    assert!(e.contains("one by one"), "{e}");
    let copy = KIT.altered(|_| {});
    std::fs::write(copy.path().join("coding_lncrna_gene_to_idx.json"), "{}").unwrap();
    assert!(error(copy.path()).contains("several models"));
    let copy = KIT.altered(|_| {});
    std::fs::remove_file(copy.path().join(PARAMS)).unwrap();
    assert!(error(copy.path()).contains("heads") && !(FAMILY.detect)(copy.path()));
}

#[test]
fn without_the_reference_a_model_opens_but_no_cell_is_tokenised() {
    let copy = KIT.altered(|_| {});
    std::fs::remove_file(copy.path().join(REFERENCE)).unwrap();
    let model = GeneRain::open(copy.path()).unwrap();
    let cells = KIT.cells();
    let e = cells.tokens_with(&model, &TokenizeOptions::default()).unwrap_err().to_string();
    assert!(e.contains("_subsampled.npy"), "{e}");
    let copy = KIT.altered(|_| {});
    let genes = copy.path().join(REFERENCE.replace(".npy", ".gene_symbols.txt"));
    std::fs::write(&genes, "A\nB\n").unwrap();
    assert!(error(copy.path()).contains("columns"));
    std::fs::remove_file(&genes).unwrap();
    assert!(error(copy.path()).contains("gene_symbols.txt"));
}

#[test]
fn genes_fall_by_bin_and_unknown_ones_are_reported() {
    let (model, cells) = (open(), KIT.cells());
    let genes = model.match_genes(&cells.genes()).unwrap();
    let o = &genes.overlap;
    // 58 of the vocabulary, 6 of which the reference lacks or the data does; ONLYHERE1 is in the reference alone.
    assert!(o.n_matched < 58 && o.n_genes == 61 && o.source.contains("lacks them"), "{o:?}");
    let tokens = cells.tokens(&model);
    assert!(tokens.n_cut[0] > 0 && tokens.values.iter().all(|v| (2.0..=2000.0).contains(v)));
    for c in 0..tokens.n_cells() {
        assert!(tokens.cell(c).1.windows(2).all(|w| w[0] >= w[1]));
    }
    let capped = TokenizeOptions { max_tokens: Some(3), ..TokenizeOptions::default() };
    assert_eq!(cells.tokens_with(&model, &capped).unwrap().cell(0).0, &tokens.cell(0).0[..3]);
    let published = TokenizeOptions { as_published: true, ..TokenizeOptions::default() };
    let e = cells.tokens_with(&model, &published).unwrap_err().to_string();
    assert!(e.contains("four cells"), "{e}");
    let mouse = Table { index: (0..50).map(|i| format!("ENSMUSG{i:011}")).collect(), columns: vec![] };
    assert!(model.match_genes(&GeneTable::detect(&mouse, None, None).unwrap()).is_err());
}

#[test]
fn a_twin_has_the_shape_and_the_vocabulary_but_other_weights() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("twin");
    (FAMILY.init_twin)(&KIT.checkpoint(), 3, &out).unwrap();
    let (twin, model) = (GeneRain::open(&out).unwrap(), open());
    assert_eq!(detect(&out).unwrap().id, "generain");
    assert_eq!(KIT.cells().tokens(&twin), KIT.cells().tokens(&model));
    assert_eq!(twin.info().n_parameters, model.info().n_parameters);
    assert_eq!((twin.info().choices.clone(), &twin.config), (model.info().choices.clone(), &model.config));
    assert_ne!(twin.network.words, model.network.words);
    assert!((FAMILY.init_twin)(&KIT.checkpoint(), 3, &out).is_err(), "nothing is overwritten");
    let e = (FAMILY.init)("gpt-binning", &KIT.checkpoint(), 0, &dir.path().join("x")).unwrap_err().to_string();
    assert!(e.contains("gpt-binning-by-gene"), "{e}");
}
