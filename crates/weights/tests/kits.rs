//! Every published container and vocabulary in the shared folder opens, lists and reads.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

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

/// The checksum of `golden/checkpoints/kit_digests.py`, where an independent reader computed it.
fn digest(checkpoint: &Checkpoint) -> u32 {
    let mut crc = flate2::Crc::new();
    for name in checkpoint.names() {
        let shape = &checkpoint.info(name).unwrap().shape;
        crc.update(format!("{name}{shape:?}").replace(' ', "").as_bytes());
        let bytes: Vec<u8> =
            checkpoint.read_f64(name).unwrap().into_iter().flat_map(f64::to_le_bytes).collect();
        crc.update(&bytes);
    }
    crc.sum()
}

#[test]
fn every_checkpoint_of_the_kits_holds_what_an_independent_reader_found() {
    let Some(parity) = shared("parity") else { return };
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/checkpoints/kit_digests.tsv");
    let mut seen = std::collections::BTreeMap::new();
    for line in std::fs::read_to_string(table).unwrap().lines() {
        let [file, count, crc] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let checkpoint = Checkpoint::open(&parity.join(file)).unwrap();
        assert_eq!(checkpoint.names().len().to_string(), count, "{file}");
        assert_eq!(format!("{:08x}", digest(&checkpoint)), crc, "{file}");
        for name in checkpoint.names() {
            let info = checkpoint.info(name).unwrap();
            assert_eq!(checkpoint.read_i64(name).is_ok(), info.dtype.is_integer(), "{file}: {name}");
            let (narrow, wide) = (checkpoint.read_f32(name).unwrap(), checkpoint.read_f64(name).unwrap());
            assert!(
                narrow.iter().zip(&wide).all(|(n, w)| n.to_bits() == (*w as f32).to_bits()),
                "{file}: {name}"
            );
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
