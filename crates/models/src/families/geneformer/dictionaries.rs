//! Finding the pickled dictionaries of a checkpoint under any of their published names.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use microtome_weights::read_str_int_dict;

/// Suffixes under which the four files were published, newest first; plain names are those of the first release.
const SUFFIXES: [&str; 4] = ["_gc104M", "_gc95M", "_gc30M", ""];
const V1_FOLDER: &str = "gene_dictionaries_30m";

/// The four files; mapping and names are optional.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DictionaryFiles {
    pub(super) tokens: PathBuf,
    pub(super) medians: PathBuf,
    pub(super) mapping: Option<PathBuf>,
    pub(super) names: Option<PathBuf>,
}

/// The folder a checkpoint path means: itself, or the parent of a weights file.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.to_path_buf();
    }
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Places to look, nearest first. The first group that holds any token dictionary decides: dictionaries beside the
/// model are never passed over in favour of others further away.
fn groups(folder: &Path) -> Vec<Vec<PathBuf>> {
    let pair = |p: PathBuf| vec![p.join(V1_FOLDER), p];
    let mut out = vec![pair(folder.to_path_buf()), pair(folder.join("geneformer"))];
    // `canonicalize` so that the parent of `.` is found as well.
    if let Some(parent) = folder.canonicalize().ok().as_deref().and_then(Path::parent) {
        out.push(pair(parent.join("geneformer")));
        out.push(pair(parent.to_path_buf()));
    }
    out
}

fn present(folder: &Path, stem: &str, suffix: &str) -> Option<PathBuf> {
    let path = folder.join(format!("{stem}{suffix}.pkl"));
    path.is_file().then_some(path)
}

/// Every set of dictionaries within one group, as (token dictionary, folder, suffix).
fn sets(group: &[PathBuf]) -> Vec<(PathBuf, &Path, &'static str)> {
    group
        .iter()
        .flat_map(|dir| {
            SUFFIXES.iter().filter_map(move |s| {
                present(dir, "token_dictionary", s).map(|tokens| (tokens, dir.as_path(), *s))
            })
        })
        .collect()
}

/// Whether a token dictionary is in any of the usual places.
pub(super) fn any_near(folder: &Path) -> bool {
    groups(folder).iter().any(|g| !sets(g).is_empty())
}

/// The dictionaries of a checkpoint folder whose vocabulary has `vocab_size` entries (any size when `None`).
pub(super) fn find(folder: &Path, vocab_size: Option<usize>) -> Result<DictionaryFiles> {
    let groups = groups(folder);
    let Some(found) = groups.iter().map(|g| sets(g)).find(|s| !s.is_empty()) else {
        return Err(Error::unreadable("the model's token dictionary is missing")
            .in_file(folder)
            .expected(
                "token_dictionary_gc104M.pkl (V2), token_dictionary_gc30M.pkl (V1), or either under a plain or gc95M name",
            )
            .found("none in the folder, in gene_dictionaries_30m/, or in geneformer/ of the folder or its parent")
            .remedy(
                "copy the dictionaries from geneformer/ (V1: geneformer/gene_dictionaries_30m/) of the model's \
                 repository, Hugging Face ctheodoris/Geneformer, into the folder",
            ));
    };
    let mut sizes = vec![];
    for (tokens, dir, suffix) in found {
        if let Some(wanted) = vocab_size {
            let n = read_str_int_dict(&tokens)?.len();
            if n != wanted {
                sizes.push(format!("{} with {n}", tokens.display()));
                continue;
            }
        }
        return complete(tokens, dir, suffix);
    }
    let wanted = vocab_size.unwrap_or_default();
    Err(Error::mismatch("model and dictionaries do not belong together: the vocabulary has another size")
        .in_file(folder)
        .expected(format!("{wanted} entries, the model's vocab_size"))
        .found(sizes.join("; "))
        .remedy(
            "V1 models (2,048 tokens, 25,426 entries) go with the gc30M dictionaries, V2 models (4,096 tokens, 20,275 \
             entries) with the gc95M or gc104M ones",
        ))
}

fn complete(tokens: PathBuf, dir: &Path, suffix: &str) -> Result<DictionaryFiles> {
    let medians = present(dir, "gene_median_dictionary", suffix).ok_or_else(|| {
        Error::unreadable("the gene median dictionary is missing beside the token dictionary")
            .in_file(dir.join(format!("gene_median_dictionary{suffix}.pkl")))
            .remedy("copy it from the same folder of Hugging Face ctheodoris/Geneformer as the token dictionary")
    })?;
    Ok(DictionaryFiles {
        tokens,
        medians,
        mapping: present(dir, "ensembl_mapping_dict", suffix),
        names: present(dir, "gene_name_id_dict", suffix),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path, entries: usize) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let dict: Vec<(String, i64)> = (0..entries).map(|i| (format!("g{i}"), i as i64)).collect();
        microtome_weights::write_str_int_dict(path, &dict).unwrap();
    }

    #[test]
    fn published_layout_picks_the_set_that_fits() {
        let root = tempfile::tempdir().unwrap();
        let g = root.path().join("geneformer");
        for (dir, suffix, n) in [(g.clone(), "_gc104M", 7), (g.join(V1_FOLDER), "_gc30M", 9)] {
            touch(&dir.join(format!("token_dictionary{suffix}.pkl")), n);
            touch(&dir.join(format!("gene_median_dictionary{suffix}.pkl")), n);
        }
        let model = root.path().join("Geneformer-V1-10M");
        std::fs::create_dir(&model).unwrap();
        let v1 = find(&model, Some(9)).unwrap();
        assert!(v1.tokens.ends_with("gene_dictionaries_30m/token_dictionary_gc30M.pkl"));
        assert!(v1.mapping.is_none());
        assert!(find(&model, Some(7)).unwrap().tokens.ends_with("geneformer/token_dictionary_gc104M.pkl"));
        let e = find(&model, Some(8)).unwrap_err().to_string();
        assert!(e.contains("with 7") && e.contains("with 9") && e.contains("V1 models"), "{e}");
        // A dictionary beside the model is not passed over.
        touch(&model.join("token_dictionary.pkl"), 3);
        assert!(find(&model, Some(9)).unwrap_err().to_string().contains("with 3"));
    }

    #[test]
    fn says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("m");
        std::fs::create_dir(&folder).unwrap();
        let e = find(&folder, None).unwrap_err().to_string();
        assert!(e.contains("ctheodoris/Geneformer"), "{e}");
        touch(&folder.join("token_dictionary_gc95M.pkl"), 3);
        let e = find(&folder, None).unwrap_err().to_string();
        assert!(e.contains("gene_median_dictionary_gc95M.pkl"), "{e}");
    }
}
