//! The model families. Adding one is adding a file here and a word to the list.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result, closest};
use microtome_kernels::{Precision, with_precision};

use crate::{Family, Model};

macro_rules! families {
    ($($name:ident),* $(,)?) => {
        $(pub mod $name;)*
        static FAMILIES: &[&Family] = &[$(&$name::FAMILY),*];
    };
}

families! {
    aido_cell,
    cellfm,
    genecompass,
    geneformer,
    generain,
    langcell,
    nicheformer,
    scbert,
    sccello,
    scfoundation,
    scgpt,
    scmulan,
    scprint,
    tahoe_x1,
    tgpt,
    transcriptformer,
    uce,
}

/// Every family of this build.
pub fn families() -> &'static [&'static Family] {
    FAMILIES
}

/// The family called `id`.
pub fn find_family(id: &str) -> Result<&'static Family> {
    FAMILIES.iter().copied().find(|f| f.id == id).ok_or_else(|| {
        let ids: Vec<&str> = FAMILIES.iter().map(|f| f.id).collect();
        let near = closest(id, ids.iter().copied());
        Error::usage("no such model family")
            .expected(format!("one of: {}", ids.join(", ")))
            .found(format!("\"{id}\""))
            .remedy(near.map_or("list them with: microtome models".into(), |n| format!("did you mean {n}?")))
    })
}

/// Splits `PATH#PART`, by which one of several models in a checkpoint is named. A path that exists as it is has no part.
pub fn split_part(path: &Path) -> (PathBuf, Option<String>) {
    let whole = || (path.to_path_buf(), None);
    if path.exists() {
        return whole();
    }
    match path.to_str().and_then(|p| p.rsplit_once('#')) {
        Some((file, part)) if Path::new(file).exists() => (PathBuf::from(file), Some(part.to_string())),
        _ => whole(),
    }
}

/// The family of a checkpoint folder or file (`PATH#PART` is looked at as `PATH`). Looks at file names and small configuration files, never loads.
pub fn detect(path: &Path) -> Result<&'static Family> {
    let (path, _) = split_part(path);
    let path = path.as_path();
    if !path.exists() {
        return Err(Error::unreadable("no such file or folder").in_file(path));
    }
    FAMILIES.iter().copied().find(|f| (f.detect)(path)).ok_or_else(|| {
        let wanted: Vec<String> =
            FAMILIES.iter().map(|f| format!("{} ({})", f.name, f.files.join(", "))).collect();
        Error::unsupported("not a checkpoint of a family that this version knows")
            .in_file(path)
            .expected(wanted.join("; "))
            .remedy("name the checkpoint folder as published, with its config and dictionaries")
    })
}

/// Opens a checkpoint of whichever family it is, in f32.
pub fn open(path: &Path) -> Result<Box<dyn Model>> {
    open_in(path, Precision::F32)
}

/// Opens a checkpoint of whichever family it is. In bf16 the factors of linear maps and of attention are rounded; sums, norms, softmax
/// and the residual stream stay f32.
pub fn open_in(path: &Path, precision: Precision) -> Result<Box<dyn Model>> {
    let family = detect(path)?;
    with_precision(precision, || (family.open)(path))
}

/// As [`open_in`], with the entries of every floating-point tensor in random order: a control that keeps the distribution of the
/// weights and loses where training put them. Vectors of other models that a family reads beside its weights (protein language
/// models) are shuffled too.
pub fn open_shuffled(path: &Path, precision: Precision, seed: u64) -> Result<Box<dyn Model>> {
    microtome_weights::with_shuffled_tensors(seed, || open_in(path, precision))
}

#[cfg(test)]
mod tests {
    use microtome_core::Site;

    use super::*;
    use crate::TokenizeOptions;
    use crate::taps::{Recorded, Recorder};

    #[test]
    fn the_list_and_the_kits_agree_both_ways() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models");
        let mut kits: Vec<String> = std::fs::read_dir(&golden)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|n| golden.join(n).is_dir())
            .collect();
        kits.sort();
        let mut ids: Vec<&str> = families().iter().map(|f| f.id).collect();
        ids.sort_unstable();
        assert_eq!(kits, ids, "one folder of parity kits per family, and no other");
        for id in ids {
            assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            let kit = std::fs::read_dir(golden.join(id)).unwrap().next().unwrap().unwrap().path();
            assert_eq!(detect(&kit.join("checkpoint")).unwrap().id, id);
        }
    }

    #[test]
    fn every_family_runs_with_its_weights_shuffled() {
        crate::provide_hdf5_texts(microtome_h5ad::read_texts);
        crate::provide_var_names(|path| Ok(microtome_h5ad::open(path)?.var(&microtome_h5ad::Slot::X)?.index));
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/models");
        for family in families() {
            let kit = std::fs::read_dir(golden.join(family.id)).unwrap().next().unwrap().unwrap().path();
            let path = kit.join("checkpoint");
            let first = |model: &dyn Model| {
                let cells = crate::test_kit::Cells::read(&kit);
                // Some scGPT models want to know each cell's batch.
                let batches = Some(vec![0; cells.counts.n_cells()]);
                let options = TokenizeOptions { batches, ..TokenizeOptions::default() };
                let tokens = cells.tokens_with(model, &options).unwrap().select(&[0]);
                let site = Site::resid_post(model.info().n_blocks - 1);
                let mut recorder = Recorder::new([site.clone()]);
                model.forward(&tokens, &mut recorder).unwrap();
                match recorder.take(&site) {
                    Some(Recorded::Tokens { data, .. } | Recorded::Cells { data, .. }) => data,
                    other => panic!("{}: {other:?}", family.id),
                }
            };
            let plain = first(open(&path).unwrap().as_ref());
            let shuffled = |seed| first(open_shuffled(&path, Precision::F32, seed).unwrap().as_ref());
            let (one, two) = (shuffled(1), shuffled(2));
            assert!(one.iter().all(|v| v.is_finite()), "{}", family.id);
            assert!(one != plain && two != plain && one != two, "{}: nothing was shuffled", family.id);
            assert_eq!(one, shuffled(1), "{}: the same seed, the same weights", family.id);
        }
    }

    #[test]
    fn a_slip_is_answered_with_a_suggestion() {
        let e = find_family("genformer").err().unwrap();
        assert!(e.to_string().contains("did you mean geneformer?"), "{e}");
        assert!(find_family("geneformer").is_ok());
        assert!(detect(Path::new("/nowhere/at/all")).is_err());
        let empty = tempfile::tempdir().unwrap();
        assert!(detect(empty.path()).err().unwrap().to_string().contains("config"));
    }
}
