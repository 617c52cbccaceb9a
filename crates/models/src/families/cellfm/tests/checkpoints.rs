//! Opening good, odd and bad checkpoints; untrained models.

use super::kit::{Cells, HEADS, LIST, altered, checkpoint, open, with_heads};
use crate::families::cellfm::FAMILY;
use crate::families::cellfm::model::CellFm;
use crate::{Model, detect};

fn error(folder: &std::path::Path) -> String {
    CellFm::open(folder).err().unwrap().to_string()
}

#[test]
fn every_tensor_is_accounted_for() {
    let model = open();
    let audit = model.audit();
    assert!(audit.unexpected.is_empty() && audit.ignored.iter().all(|t| !t.reason.is_empty()));
    assert_eq!(audit.ignored.len(), 2 + 14 + 5);
    let i = model.info();
    assert_eq!((i.n_blocks, i.d_model, i.n_heads, i.d_vocab), (2, 32, 4, 145));
    assert_eq!(
        i.n_parameters as usize,
        145 * 32 + 1 + 256 + 65536 + 256 * 32 + 2 * (8 * 1024 + 128) + 2 * 1024 + 32
    );
    assert_eq!(i.variant, "custom");
    // The file alone leads to heads of the published width.
    assert_eq!(CellFm::open(&checkpoint()).unwrap().info().n_heads, 1);
    assert_eq!(FAMILY.variants.iter().map(|v| v.n_parameters / 100_000).collect::<Vec<_>>(), [857, 7973]);
}

#[test]
fn strict_about_what_is_there_and_what_is_not() {
    let more = altered(|t| {
        t.insert("ST_emb.weight".into(), (vec![1], vec![0.0]));
    });
    assert!(error(more.path()).contains("ST_emb"));
    for gone in ["encoder.1.post_norm2.beta", "gene_emb", "value_dec.w2.weight"] {
        let fewer = altered(|t| {
            t.remove(gone);
        });
        assert!(error(fewer.path()).contains(gone), "{gone}");
    }
    let shape = altered(|t| {
        t.insert("cls_token".into(), (vec![1, 1, 16], vec![0.0; 16]));
    });
    assert!(error(shape.path()).contains("cls_token"));
}

#[test]
fn heads_and_gene_lists_are_checked() {
    let copy = altered(|_| {});
    let write = |name: &str, text: &str| std::fs::write(copy.path().join(name), text).unwrap();
    for (text, word) in [
        (r#"{"model_type": "cellfm", "n_heads": 5}"#, "divisor"),
        (r#"{"model_type": "cellfm"}"#, "n_heads"),
        (r#"{"model_type": "bert", "n_heads": 4}"#, "model_type"),
    ] {
        write("config.json", text);
        let e = error(copy.path());
        assert!(e.contains(word), "{text}: {e}");
    }
    write("config.json", r#"{"model_type": "cellfm", "n_heads": 8}"#);
    assert_eq!(CellFm::open(copy.path()).unwrap().info().n_heads, 8);
    write(LIST, "gene\nA\nB\n");
    assert!(error(copy.path()).contains("do not belong together"));
    std::fs::remove_file(copy.path().join(LIST)).unwrap();
    assert!(error(copy.path()).contains("gene list is missing"));
    let odd = altered(|t| {
        t.retain(|n, _| n != "gene_emb");
        t.insert("gene_emb".into(), (vec![144, 24], vec![0.0; 144 * 24]));
    });
    std::fs::remove_file(odd.path().join("config.json")).unwrap();
    assert!(error(odd.path()).contains("how many heads"));
}

#[test]
fn found_by_folder_or_file_and_never_loaded() {
    assert_eq!(detect(&checkpoint()).unwrap().id, "cellfm");
    assert_eq!(detect(&checkpoint().join("CellFM_80M_weight.ckpt")).unwrap().id, "cellfm");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("base_weight.ckpt"), b"not weights").unwrap();
    assert!(!(FAMILY.detect)(dir.path()), "any .ckpt would do otherwise");
    std::fs::copy(checkpoint().join(LIST), dir.path().join(LIST)).unwrap();
    assert!((FAMILY.detect)(dir.path()), "detection does not load");
    assert!(CellFm::open(dir.path()).is_err());
}

#[test]
fn untrained_models_open_and_follow_their_seed() {
    let dir = tempfile::tempdir().unwrap();
    let of = altered(|_| {});
    let twin = |seed: u64| {
        let out = dir.path().join(seed.to_string());
        (FAMILY.init_twin)(of.path(), seed, &out).unwrap();
        CellFm::open(&out).unwrap()
    };
    let (a, trained) = (twin(1), with_heads(&checkpoint(), HEADS));
    assert_eq!(a.info().n_heads, HEADS);
    assert_eq!((&a.genes, a.info().n_parameters), (&trained.genes, trained.info().n_parameters));
    assert_ne!(a.network.words, twin(2).network.words);
    let cells = Cells::read();
    assert_eq!(cells.tokens(&a), cells.tokens(&trained));
    assert!((FAMILY.init_twin)(of.path(), 1, &dir.path().join("1")).is_err(), "nothing is overwritten");
    assert_eq!(detect(&dir.path().join("1")).unwrap().id, "cellfm");
    let e = (FAMILY.init)("80", &checkpoint(), 1, dir.path()).unwrap_err().to_string();
    assert!(e.contains("80m"), "{e}");
}

#[test]
fn kits_of_other_families_are_left_alone() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared =
        std::env::var_os("MICROTOME_SHARED").map_or_else(|| here.join("../../../shared"), Into::into);
    let list = |path: &std::path::Path| -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|e| e.path()).filter(|p| p.is_dir()).collect()
    };
    for root in [here.join("../../golden/models"), shared.join("parity")] {
        if !root.exists() {
            println!("skipped: {} is not there (set MICROTOME_SHARED to the shared data)", root.display());
        }
        for family in list(&root) {
            for kit in list(&family) {
                let ours = family.ends_with(FAMILY.id);
                assert_eq!((FAMILY.detect)(&kit.join("checkpoint")), ours, "{}", kit.display());
            }
        }
    }
}
