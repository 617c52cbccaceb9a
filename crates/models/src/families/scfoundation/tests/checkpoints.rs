//! Opening good, odd and bad checkpoints.

use std::path::Path;

use microtome_core::ErrorKind;
use serde_json::{Value, json};

use super::kit::{altered, golden, open};
use crate::families::scfoundation::model::ScFoundation;
use crate::{Model, detect};

fn error(path: &Path) -> String {
    ScFoundation::open(path).err().unwrap().to_string()
}

#[test]
fn every_tensor_is_accounted_for() {
    let model = open("rde");
    let audit = model.audit();
    assert!(audit.unexpected.is_empty() && audit.missing.is_empty());
    assert!(audit.used.iter().all(|t| t.name.starts_with("rde.state_dict.model.")));
    let reason = |name: &str| audit.ignored.iter().find(|t| t.name == name).map(|t| t.reason.clone()).unwrap();
    assert!(reason("rde.state_dict.model.token_emb.emb_pad.weight").contains("padding"));
    assert!(reason("rde.state_dict.model.decoder.performer.calls_since_last_redraw").contains("redrawn"));
    assert!(reason("cell.state_dict.model.pos_emb.weight").contains("outside"));
    let i = model.info();
    assert_eq!((i.n_blocks, i.d_model, i.n_heads, i.d_mlp, i.max_tokens, i.d_vocab), (3, 20, 4, 80, 122, 122));
    assert_eq!((i.variant.as_str(), i.choices["sub_model"].as_str()), ("custom", Some("rde")));
    assert_eq!(i.n_parameters, parameters([122, 3, 20, 12], [2, 16, 24]));
    assert_eq!(model.token_name(1), Some("ACTB"));
    assert_eq!((model.token_name(120), model.token_name(121), model.token_name(122)), (Some("<T>"), Some("<S>"), None));
}

/// Rows, blocks, width, bins of the encoder; blocks, width, heads times their width of the decoder.
fn parameters([rows, blocks, d, bins]: [u64; 4], [layers, dd, inner]: [u64; 3]) -> u64 {
    let values = 2 * bins + bins * bins + bins + bins * d + 2 * d;
    let block = 4 * d * d + 4 * d + 8 * d * d + 5 * d + 4 * d;
    let layer = 3 * (inner * dd + inner) + inner * dd + dd + 8 * dd * dd + 5 * dd + 4 * dd;
    values + (rows + 1) * d + blocks * block + 2 * d + dd * d + dd + layers * layer + 4 * dd + dd + 1
}

#[test]
fn the_published_size_has_the_parameters_of_its_card() {
    let v = &super::super::card::VARIANTS[0];
    assert_eq!(v.n_parameters, parameters([19_266, 12, 768, 100], [6, 512, 512]));
}

#[test]
fn strict_about_what_is_there_and_what_is_not() {
    let p = "cell.state_dict.model.";
    let more = altered(
        |t| {
            t.insert(format!("{p}extra.weight"), (vec![1], vec![0.0]));
        },
        |_| {},
    );
    assert!(error(more.path()).contains("extra.weight"));
    for name in ["decoder.performer.net.layers.1.0.fn.fast_attention.projection_matrix", "encoder.norm.bias", "to_final.bias"] {
        let fewer = altered(
            |t| {
                t.remove(&format!("{p}{name}")).unwrap();
            },
            |_| {},
        );
        assert!(error(fewer.path()).contains(name), "{name}");
        // The other sub-models are complete.
        assert!(ScFoundation::open(Path::new(&format!("{}#gene", fewer.path().display()))).is_ok());
    }
    let shape = altered(
        |t| {
            t.get_mut(&format!("{p}decoder.performer.net.layers.0.0.fn.fast_attention.projection_matrix")).unwrap().0 = vec![12, 5];
        },
        |_| {},
    );
    assert!(error(shape.path()).contains("projection_matrix"));
}

#[test]
fn configurations_are_never_defaulted() {
    let cases: [(&str, Option<Value>, &str); 9] = [
        ("seq_len", None, "seq_len"),
        ("seq_len", Some(json!(2)), "no room"),
        ("seq_len", Some(json!(99_999_999_999u64)), "seq_len"),
        ("bin_alpha", None, "bin_alpha"),
        ("mask_token_id", None, "mask_token_id"),
        ("encoder/norm_first", Some(json!(true)), "norm_first"),
        ("encoder/heads", Some(json!(3)), "divisor"),
        ("decoder/module_type", Some(json!("transformer")), "module_type"),
        ("encoder/depth", Some(json!(4)), "transformer_encoder.3"),
    ];
    for (key, value, word) in cases {
        let copy = altered(|_| {}, |c| {
            let mut at = &mut c["cell"]["model_config"]["mae_autobin"];
            let (path, last) = key.rsplit_once('/').map_or((None, key), |(p, l)| (Some(p), l));
            if let Some(path) = path {
                at = &mut at[path];
            }
            match value {
                Some(v) => at[last] = v,
                None => {
                    at.as_object_mut().unwrap().remove(last);
                }
            }
        });
        let e = error(copy.path());
        assert!(e.contains(word), "{key}: {e}");
    }
    // The data set's part wins over the model's.
    let bins = altered(|_| {}, |c| c["cell"]["dataset_config"]["rnaseq"]["bin_num"] = json!(11));
    assert!(error(bins.path()).contains("token_emb"), "{}", error(bins.path()));
    let none = altered(|_| {}, |c| *c = json!({}));
    assert!(error(none.path()).contains("sub-model"));
}

#[test]
fn the_gene_list_must_be_there_and_fit() {
    let copy = altered(|_| {}, |_| {});
    let list = copy.path().join("OS_scRNA_gene_index.19264.tsv");
    let text = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, text.lines().take(100).fold(String::new(), |s, l| s + l + "\n")).unwrap();
    let e = ScFoundation::open(copy.path()).err().unwrap();
    assert!(e.kind() == ErrorKind::Mismatch && e.to_string().contains("with 99"), "{e}");
    std::fs::remove_file(&list).unwrap();
    let e = error(copy.path());
    assert!(e.contains("gene list is missing") && e.contains("biomap-research/scFoundation"), "{e}");
    assert_eq!(detect(copy.path()).unwrap().id, "scfoundation", "the weights alone tell");
}

#[test]
fn found_by_folder_file_and_part_and_never_loaded() {
    let folder = golden().join("checkpoint");
    let file = folder.join("models.ckpt");
    for path in [folder.clone(), file.clone(), format!("{}#gene", file.display()).into()] {
        assert_eq!(detect(&path).unwrap().id, "scfoundation");
        assert!(crate::open(&path).is_ok());
    }
    let part = |path: &Path| ScFoundation::open(path).unwrap().info().choices["sub_model"].clone();
    assert_eq!(part(&folder), "cell");
    assert_eq!(part(Path::new(&format!("{}#rde", folder.display()))), "rde");
    let e = error(Path::new(&format!("{}#genes", folder.display())));
    assert!(e.contains("cell, rde, gene") && e.contains("genes"), "{e}");
    // As in the repository: weights in models/, the list one folder above.
    let repository = tempfile::tempdir().unwrap();
    std::fs::create_dir(repository.path().join("models")).unwrap();
    let copy = |from: &Path, to: &str| std::fs::write(repository.path().join(to), std::fs::read(from).unwrap()).unwrap();
    copy(&file, "models/models.ckpt");
    copy(&folder.join("OS_scRNA_gene_index.19264.tsv"), "OS_scRNA_gene_index.19264.tsv");
    for path in ["", "models", "models/models.ckpt"] {
        assert!(crate::open(&repository.path().join(path)).is_ok(), "{path}");
    }
    std::fs::write(repository.path().join("models/models.ckpt"), b"not weights").unwrap();
    assert!(detect(&repository.path().join("models")).is_ok(), "names and the list are enough");
    assert!(crate::open(repository.path()).is_err());
}
