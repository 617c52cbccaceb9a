//! Finding the dictionaries.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};

use crate::tokenize::rank_files::DictionaryFiles;
use crate::tokenize::rank_vocabulary::RankVocabulary;

const MEDIANS: &str = "human_gene_median_after_filter.pickle";
const REMEDY: &str = "copy human_mouse_tokens.pickle and human_gene_median_after_filter.pickle into the folder, from prior_knowledge and \
                      scdata/dict of the files that the README of github xCompass-AI/GeneCompass links to";

/// Token dictionaries under their published names.
fn is_tokens(name: &str) -> bool {
    name == "human_mouse_tokens.pickle"
        || ((name.starts_with("h&m_token") || name.starts_with("h_m_token")) && name.ends_with(".pickle"))
}

fn is_names(name: &str) -> bool {
    name.starts_with("Gene_id_name_dict") && name.ends_with(".pickle")
}

/// The folder, places within it, and the published places beside it.
fn places(folder: &Path) -> Vec<PathBuf> {
    let within = |p: &Path| vec![p.to_path_buf(), p.join("dict"), p.join("prior_knowledge"), p.join("scdata/dict")];
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let mut out = within(folder);
    out.extend(whole.ancestors().skip(1).take(2).flat_map(within));
    out
}

/// The first file of a fitting name, in the order of places and then of names.
fn first(folder: &Path, fits: impl Fn(&str) -> bool) -> Option<PathBuf> {
    places(folder).into_iter().find_map(|place| {
        let entries = std::fs::read_dir(place).ok()?.flatten();
        let mut found: Vec<PathBuf> = entries
            .map(|e| e.path())
            .filter(|p| p.is_file() && p.file_name().and_then(|n| n.to_str()).is_some_and(&fits))
            .collect();
        found.sort();
        found.into_iter().next()
    })
}

/// The dictionaries of a model folder.
pub(super) fn find(folder: &Path) -> Result<DictionaryFiles> {
    let missing = |what: &str| {
        Error::unreadable("a dictionary of the model is missing").in_file(folder).expected(what).remedy(REMEDY)
    };
    Ok(DictionaryFiles {
        tokens: first(folder, is_tokens).ok_or_else(|| missing("human_mouse_tokens.pickle"))?,
        medians: first(folder, |n| n == MEDIANS).ok_or_else(|| missing(MEDIANS))?,
        mapping: None,
        names: first(folder, is_names),
    })
}

/// The human genes of the dictionaries; genes without a median are divided by 1, as published.
pub(super) fn read(files: &DictionaryFiles) -> Result<RankVocabulary> {
    Ok(RankVocabulary::read_with(files, Some(1.0))?.only_genes(|name| name.starts_with("ENSG")))
}

/// Fails unless dictionary and model are of one size.
pub(super) fn check(vocabulary: &RankVocabulary, vocab_size: usize, files: &DictionaryFiles) -> Result<()> {
    if vocabulary.len() == vocab_size {
        return Ok(());
    }
    Err(Error::mismatch("model and dictionary do not belong together: the vocabulary has another size")
        .in_file(&files.tokens)
        .expected(format!("{vocab_size} entries, the model's vocab_size"))
        .found(vocabulary.len().to_string())
        .remedy("the published checkpoints (50,558 entries) go with human_mouse_tokens.pickle"))
}
