//! `meta_info.pt`: the list of all tokens and the list of genes, in the orders that decide token numbers and the order of input.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use microtome_core::{Error, GeneTable, Result};
use microtome_weights::{Checkpoint, Value};

use crate::tokenize::symbols::{Duplicates, match_symbols};
use crate::{GeneMatch, Overlap};

pub(super) const FILE: &str = "meta_info.pt";
/// The task "predict the cell's type".
const TASK: &str = "<PCT>";

/// Vocabulary of a model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Meta {
    /// Names by token.
    pub(super) tokens: Vec<String>,
    /// Symbols in the order of the list of genes.
    pub(super) genes: Vec<String>,
    /// Token of every gene of that list.
    token_of_gene: Vec<u32>,
    /// Place in that list of every token that is a gene.
    pub(super) place: HashMap<u32, usize>,
    pub(super) task: u32,
}

impl Meta {
    pub(super) fn read(folder: &Path) -> Result<(Self, PathBuf)> {
        let path = folder.join(FILE);
        let file = Checkpoint::open(&path).map_err(|e| {
            e.remedy("take meta_info.pt from scMulan/utils of github SuperBianC/scMulan")
        })?;
        let list = |key: &str| texts(&file, key);
        let meta = Self::new(list("token_set")?, list("gene_set")?).map_err(|e| e.in_file(&path))?;
        Ok((meta, path))
    }

    fn new(tokens: Vec<String>, genes: Vec<String>) -> Result<Self> {
        let mut index = HashMap::new();
        for (i, name) in (0u32..).zip(&tokens) {
            if index.insert(name.as_str(), i).is_some() {
                return Err(Error::unreadable("a token is listed twice").at_key("token_set").found(name.clone()));
            }
        }
        let number = |name: &str| {
            index.get(name).copied().ok_or_else(|| {
                Error::unreadable("the list of tokens lacks one that the model needs")
                    .at_key("token_set")
                    .expected(format!("\"{name}\""))
            })
        };
        let token_of_gene: Vec<u32> = genes.iter().map(|g| number(g)).collect::<Result<_>>()?;
        if genes.is_empty() || genes.iter().collect::<HashSet<_>>().len() != genes.len() {
            return Err(Error::unreadable("the list of genes is empty or names a gene twice").at_key("gene_set"));
        }
        let place = token_of_gene.iter().copied().zip(0..).collect();
        let task = number(TASK)?;
        drop(index);
        Ok(Self { tokens, genes, token_of_gene, place, task })
    }

    /// Symbols as they are in the data; columns of one symbol are added up.
    pub(super) fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch> {
        let found = match_symbols(&self.genes, genes, Duplicates::Sum)?;
        let token = |place: &Option<u32>| place.and_then(|p| self.token_of_gene.get(p as usize).copied());
        let overlap = Overlap {
            source: format!("{} (not expressed); symbols are not unified first, as the authors do", found.overlap.source),
            ..found.overlap
        };
        Ok(GeneMatch { token_of_gene: found.token_of_gene.iter().map(token).collect(), overlap, ..found })
    }
}

fn texts(file: &Checkpoint, key: &str) -> Result<Vec<String>> {
    let wrong = |found: &str| {
        Error::unreadable("the vocabulary file lacks a list of names")
            .in_file(file.path())
            .at_key(key)
            .expected("a list of texts, in order")
            .found(found)
    };
    let value = file.value(key).ok_or_else(|| wrong("nothing"))?;
    // A set has no order that a token number could mean.
    if matches!(value, Value::Set(_)) {
        return Err(wrong(value.kind()));
    }
    let list = value.as_list().ok_or_else(|| wrong(value.kind()))?;
    list.iter().map(|v| v.as_str().map(str::to_string).ok_or_else(|| wrong(v.kind()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_checked() {
        let list = |names: &[&str]| names.iter().map(|n| (*n).to_string()).collect::<Vec<String>>();
        let tokens = list(&["<#E#>", "B", "A", "<PCT>"]);
        let meta = Meta::new(tokens.clone(), list(&["A", "B"])).unwrap();
        assert_eq!((meta.task, &meta.token_of_gene[..], meta.place[&1]), (3, &[2, 1][..], 1));
        for (tokens, genes, word) in [
            (list(&["A", "A", "<PCT>"]), list(&["A"]), "twice"),
            (list(&["A"]), list(&["A"]), "<PCT>"),
            (tokens.clone(), list(&["C"]), "\"C\""),
            (tokens.clone(), list(&["A", "A"]), "gene_set"),
            (tokens, list(&[]), "gene_set"),
        ] {
            let e = Meta::new(tokens, genes).unwrap_err().to_string();
            assert!(e.contains(word), "{e}");
        }
    }
}
