//! Finding the pickled dictionaries of models that rank genes by median-scaled expression, under any of their published names.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use microtome_weights::read_str_int_dict;

/// Suffixes under which the four files were published, newest first; plain names are those of the first release.
const SUFFIXES: [&str; 4] = ["_gc104M", "_gc95M", "_gc30M", ""];
const V1_FOLDER: &str = "gene_dictionaries_30m";
/// The symbols of scCello: a table with the columns `id` and `name`.
const SYMBOLS_TABLE: &str = "vocab_id2name.csv";

/// The four files; mapping and names are optional.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DictionaryFiles {
    pub(crate) tokens: PathBuf,
    pub(crate) medians: PathBuf,
    pub(crate) mapping: Option<PathBuf>,
    pub(crate) names: Option<PathBuf>,
}

/// Where a family publishes its dictionaries.
pub(crate) struct PublishedIn {
    /// Folders of the family's repository that hold them, looked for in the model's folder and beside it.
    pub(crate) folders: &'static [&'static str],
    /// Entries that the model adds behind those of the dictionary, unless the file has them.
    pub(crate) added: usize,
    /// The files, for a reader.
    pub(crate) expected: &'static str,
    /// Where to get them.
    pub(crate) remedy: &'static str,
    /// Which belong to which model.
    pub(crate) belongs: &'static str,
}

impl DictionaryFiles {
    /// Every file there is, with its role.
    pub(crate) fn named(self) -> impl Iterator<Item = (String, PathBuf)> {
        let optional = [("Ensembl mapping", self.mapping), ("gene names", self.names)];
        let optional = optional.into_iter().filter_map(|(role, path)| Some((role, path?)));
        let both = [("token dictionary", self.tokens), ("gene medians", self.medians)].into_iter();
        both.chain(optional).map(|(role, path)| (role.to_string(), path))
    }

    /// Every file there is.
    pub(crate) fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [Some(&self.tokens), Some(&self.medians), self.mapping.as_ref(), self.names.as_ref()]
            .into_iter()
            .flatten()
    }
}

/// Places to look, nearest first. The first group that holds any token dictionary decides: dictionaries beside the
/// model are never passed over in favour of others further away.
fn groups(folder: &Path, published: &PublishedIn) -> Vec<Vec<PathBuf>> {
    let pair = |p: PathBuf| vec![p.join(V1_FOLDER), p];
    let mut out = vec![pair(folder.to_path_buf())];
    out.extend(published.folders.iter().map(|f| pair(folder.join(f))));
    // `canonicalize` so that the parent of `.` is found as well.
    if let Some(parent) = folder.canonicalize().ok().as_deref().and_then(Path::parent) {
        out.extend(published.folders.iter().map(|f| pair(parent.join(f))));
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
pub(crate) fn any_near(folder: &Path, published: &PublishedIn) -> bool {
    groups(folder, published).iter().any(|g| !sets(g).is_empty())
}

/// The dictionaries of a checkpoint folder whose vocabulary has `vocab_size` entries (any size when `None`).
pub(crate) fn find(
    folder: &Path,
    vocab_size: Option<usize>,
    published: &PublishedIn,
) -> Result<DictionaryFiles> {
    let groups = groups(folder, published);
    let Some(found) = groups.iter().map(|g| sets(g)).find(|s| !s.is_empty()) else {
        return Err(Error::unreadable("the model's token dictionary is missing")
            .in_file(folder)
            .expected(published.expected)
            .found(format!(
                "none in the folder, in {V1_FOLDER}/, or in {}/ of the folder or its parent",
                published.folders.join("/, ")
            ))
            .remedy(published.remedy));
    };
    let mut sizes = vec![];
    for (tokens, dir, suffix) in found {
        if let Some(wanted) = vocab_size {
            let n = read_str_int_dict(&tokens)?.len();
            if n != wanted && n + published.added != wanted {
                sizes.push(format!("{} with {n}", tokens.display()));
                continue;
            }
        }
        return complete(tokens, dir, suffix, published);
    }
    let wanted = vocab_size.unwrap_or_default();
    Err(Error::mismatch("model and dictionaries do not belong together: the vocabulary has another size")
        .in_file(folder)
        .expected(format!("{wanted} entries, the model's vocab_size"))
        .found(sizes.join("; "))
        .remedy(published.belongs))
}

fn complete(tokens: PathBuf, dir: &Path, suffix: &str, published: &PublishedIn) -> Result<DictionaryFiles> {
    let medians = present(dir, "gene_median_dictionary", suffix).ok_or_else(|| {
        Error::unreadable("the gene median dictionary is missing beside the token dictionary")
            .in_file(dir.join(format!("gene_median_dictionary{suffix}.pkl")))
            .remedy(format!("it lies beside the token dictionary: {}", published.remedy))
    })?;
    Ok(DictionaryFiles {
        tokens,
        medians,
        mapping: present(dir, "ensembl_mapping_dict", suffix),
        names: present(dir, "gene_name_id_dict", suffix)
            .or_else(|| Some(dir.join(SYMBOLS_TABLE)).filter(|p| p.is_file())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: PublishedIn = PublishedIn {
        folders: &["geneformer"],
        added: 0,
        expected: "the dictionaries",
        remedy: "copy them from ctheodoris/Geneformer",
        belongs: "V1 models go with gc30M",
    };

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
        let v1 = find(&model, Some(9), &PUBLISHED).unwrap();
        assert!(v1.tokens.ends_with("gene_dictionaries_30m/token_dictionary_gc30M.pkl"));
        assert!(v1.mapping.is_none());
        assert!(
            find(&model, Some(7), &PUBLISHED)
                .unwrap()
                .tokens
                .ends_with("geneformer/token_dictionary_gc104M.pkl")
        );
        let e = find(&model, Some(8), &PUBLISHED).unwrap_err().to_string();
        assert!(e.contains("with 7") && e.contains("with 9") && e.contains("V1 models"), "{e}");
        // A dictionary beside the model is not passed over.
        touch(&model.join("token_dictionary.pkl"), 3);
        assert!(find(&model, Some(9), &PUBLISHED).unwrap_err().to_string().contains("with 3"));
    }

    #[test]
    fn says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("m");
        std::fs::create_dir(&folder).unwrap();
        let e = find(&folder, None, &PUBLISHED).unwrap_err().to_string();
        assert!(e.contains("ctheodoris/Geneformer"), "{e}");
        touch(&folder.join("token_dictionary_gc95M.pkl"), 3);
        let e = find(&folder, None, &PUBLISHED).unwrap_err().to_string();
        assert!(e.contains("gene_median_dictionary_gc95M.pkl"), "{e}");
    }
}
