//! Every published container and vocabulary in the shared folder opens, lists and reads.

use std::path::{Path, PathBuf};

use microtome_weights::{
    Checkpoint, Format, Value, npy, read_str_float_dict, read_str_int_dict, read_str_str_dict,
};

/// The shared data folder, or a note that the test is skipped.
fn shared(inside: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("MICROTOME_SHARED") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let path = root.join(inside);
    if !path.exists() {
        println!("skipped: {} is absent (set MICROTOME_SHARED)", path.display());
        return None;
    }
    Some(path)
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out);
        } else {
            out.push(path);
        }
    }
}

#[test]
fn every_checkpoint_of_the_kits_opens_lists_and_reads() {
    let Some(parity) = shared("parity") else { return };
    let mut all = Vec::new();
    files(&parity, &mut all);
    all.sort();
    let mut seen = std::collections::BTreeMap::new();
    for path in all {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if !["pt", "bin", "ckpt", "pth", "torch", "safetensors", "npz", "npy"].contains(&extension) {
            continue;
        }
        let checkpoint = Checkpoint::open(&path).unwrap_or_else(|e| panic!("{e}"));
        let names = checkpoint.names();
        assert!(!names.is_empty(), "{}", path.display());
        for name in names {
            let info = checkpoint.info(name).unwrap();
            let n: usize = info.shape.iter().product();
            assert_eq!(checkpoint.read_f32(name).unwrap().len(), n, "{name}");
            assert_eq!(checkpoint.read_f64(name).unwrap().len(), n, "{name}");
            assert_eq!(checkpoint.read_i64(name).is_ok(), info.dtype.is_integer(), "{name}");
        }
        *seen.entry(checkpoint.format().to_string()).or_insert(0) += 1;
    }
    println!("{seen:?}");
    for format in [Format::Safetensors, Format::TorchZip, Format::TorchLegacy, Format::Npy, Format::MindSpore]
    {
        assert!(seen.contains_key(&format.to_string()), "no {format} kit");
    }
}

#[test]
fn metadata_of_a_lightning_checkpoint_is_accessible() {
    let Some(path) = shared("parity/scprint/v1_small/checkpoint/small-v1.ckpt") else { return };
    let checkpoint = Checkpoint::open(&path).unwrap();
    let genes = checkpoint.value("hyper_parameters.genes").and_then(Value::as_list).unwrap();
    assert!(genes.iter().all(|g| g.as_str().is_some_and(|g| g.starts_with("ENS"))));
    assert!(checkpoint.value("hyper_parameters.classes").and_then(Value::as_dict).is_some());
    assert!(checkpoint.names().iter().any(|n| n.starts_with("callbacks.")));
}

#[test]
fn geneformer_dictionaries_have_their_published_sizes() {
    let Some(vocab) = shared("reference/vocab") else { return };
    let old = |f: &str| vocab.join("geneformer_30M").join(f);
    let new = |f: &str| vocab.join("geneformer_gc95M").join(f);

    let tokens = read_str_int_dict(&old("token_dictionary.pkl")).unwrap();
    assert_eq!(tokens.len(), 25_426);
    assert_eq!(tokens[..2], [("<pad>".to_owned(), 0), ("<mask>".to_owned(), 1)]);
    assert!(tokens.iter().enumerate().all(|(i, (_, id))| *id == i as i64));
    let medians = read_str_float_dict(&old("gene_median_dictionary.pkl")).unwrap();
    assert_eq!(medians.len(), 25_424);
    assert_eq!(medians[0], ("ENSG00000000003".to_owned(), 2.001186019549122));
    assert_eq!(medians[25_423], ("ENSGR0000265658".to_owned(), 2.298263211418726));
    assert_eq!(read_str_str_dict(&old("gene_name_id_dict.pkl")).unwrap().len(), 40_248);

    assert_eq!(read_str_int_dict(&new("token_dictionary_gc95M.pkl")).unwrap().len(), 20_275);
    let medians95 = read_str_float_dict(&new("gene_median_dictionary_gc95M.pkl")).unwrap();
    assert_eq!(medians95.len(), 42_005);
    assert_eq!(medians95[0], ("ENSG00000121410".to_owned(), 1.7629378614450941));
    for (file, n) in [("ensembl_mapping_dict_gc95M.pkl", 173_697), ("gene_name_id_dict_gc95M.pkl", 63_675)] {
        let names = read_str_str_dict(&new(file)).unwrap();
        assert_eq!(names.len(), n);
        assert_eq!(names[0].1, "ENSG00000277411");
    }
    assert!(read_str_int_dict(&new("gene_name_id_dict_gc95M.pkl")).is_err());
}

#[test]
fn scbert_labels_are_arrays_of_text() {
    let Some(folder) = shared("parity/scbert/finetuned_like/checkpoint") else { return };
    let Value::Array(names) = microtome_weights::pickle::read_file(&folder.join("label_dict")).unwrap()
    else {
        panic!("not an array")
    };
    assert!(!names.to_strings().unwrap().is_empty());
    let Value::Array(codes) = microtome_weights::pickle::read_file(&folder.join("label")).unwrap() else {
        panic!("not an array")
    };
    assert!(codes.to_i64().unwrap().iter().all(|c| *c >= 0));
}

#[test]
fn nicheformer_means_are_one_array() {
    let Some(path) = shared("reference/vocab/nicheformer/dissociated_mean_script.npy") else { return };
    let means = npy::read(&path).unwrap();
    assert_eq!(means.shape().iter().product::<usize>(), means.to_f64().unwrap().len());
}
