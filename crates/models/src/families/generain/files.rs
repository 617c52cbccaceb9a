//! The files of a model folder, whose names carry what they belong to.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};

use crate::json::JsonConfig;

const PARAMS: &str = ".param_config.json";
const VOCABULARY: &str = "gene_to_idx.json";
const REFERENCE: &str = "_subsampled.npy";

/// Found in one folder.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) params: PathBuf,
    pub(super) vocabulary: PathBuf,
    /// Expression of the corpus's subsample, with its symbols; not needed to open a model.
    pub(super) reference: Option<(PathBuf, PathBuf)>,
}

/// Whether a file of parameters is of this family.
pub(super) fn is_ours(params: &Path) -> bool {
    JsonConfig::read(params).is_ok_and(|c| c.get("TRANSFORMER_MODEL_NAME").is_some() && c.get("MODEL_DEPTH").is_some())
}

impl Files {
    pub(super) fn find(folder: &Path) -> Result<Self> {
        let params = only(folder, PARAMS)?.ok_or_else(|| {
            lacks(folder, PARAMS).remedy("copy the model's file from jsons/ of github suzheng/GeneRAIN: no other states the heads")
        })?;
        let vocabulary = only(folder, VOCABULARY)?.ok_or_else(|| {
            lacks(folder, VOCABULARY).remedy("copy gene2vec_gene_to_idx.json or coding_lncrna_gene_to_idx.json from the authors' data/embedding")
        })?;
        let reference = match only(folder, REFERENCE)? {
            None => None,
            Some(matrix) => {
                let symbols = matrix.with_extension("gene_symbols.txt");
                if !symbols.is_file() {
                    return Err(Error::unreadable("the reference of the bins lacks its list of genes")
                        .in_file(matrix)
                        .expected(symbols.display().to_string()));
                }
                Some((matrix, symbols))
            }
        };
        Ok(Self { params, vocabulary, reference })
    }

    pub(super) fn all(&self) -> Vec<PathBuf> {
        let reference = self.reference.iter().flat_map(|(a, b)| [a.clone(), b.clone()]);
        [self.params.clone(), self.vocabulary.clone()].into_iter().chain(reference).collect()
    }
}

/// The only file of a folder whose name ends so.
pub(super) fn only(folder: &Path, end: &str) -> Result<Option<PathBuf>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let fits = |p: &PathBuf| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.ends_with(end)) && p.is_file();
    let mut found: Vec<PathBuf> = entries.filter(fits).collect();
    found.sort();
    match &found[..] {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        [first, second, ..] => Err(Error::unreadable("the folder holds files of several models")
            .in_file(folder)
            .expected(format!("one file *{end}"))
            .found(format!("{} and {}", first.display(), second.display()))),
    }
}

fn lacks(folder: &Path, end: &str) -> Error {
    Error::unreadable("a file of the model is missing").in_file(folder).expected(format!("*{end}"))
}
