//! Tokens, medians and gene names of a checkpoint.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use microtome_core::{Error, Result};
use microtome_weights::{read_str_float_dict, read_str_int_dict, read_str_str_dict};

use super::dictionaries::DictionaryFiles;
use super::presets::Generation;

const CLS: &str = "<cls>";
const EOS: &str = "<eos>";

/// Everything between a gene name and a token.
#[derive(Clone, Debug)]
pub(super) struct Vocabulary {
    pub(super) generation: Generation,
    /// Name per token.
    names: Vec<String>,
    /// Gene tokens by Ensembl id; special tokens are not genes and not in here.
    genes: HashMap<String, u32>,
    /// Non-zero median expression per token, NaN for special tokens.
    pub(super) medians: Vec<f64>,
    /// Upper-case id or symbol -> token; `None` where no mapping dictionary was published (every id stands for itself).
    mapping: Option<HashMap<String, u32>>,
    /// Symbol -> Ensembl id; empty where the file is absent.
    symbols: HashMap<String, String>,
    pub(super) cls: Option<u32>,
    pub(super) eos: Option<u32>,
}

impl Vocabulary {
    pub(super) fn read(files: &DictionaryFiles) -> Result<Self> {
        let tokens = read_str_int_dict(&files.tokens)?;
        let (names, genes) = index(&tokens).map_err(|e| e.in_file(&files.tokens))?;
        let special = |name: &str| names.iter().position(|n| n == name).map(|i| i as u32);
        let (cls, eos) = (special(CLS), special(EOS));
        let generation = match (cls, eos) {
            (Some(_), Some(_)) => Generation::V2,
            (None, None) => Generation::V1,
            _ => {
                return Err(Error::unreadable("the token dictionary has only one of <cls> and <eos>")
                    .in_file(&files.tokens)
                    .expected("both (V2) or neither (V1)"));
            }
        };
        let medians = medians(&files.medians, &names)?;
        let mapping = files.mapping.as_deref().map(|p| mapping(p, &genes)).transpose()?;
        let symbols = match &files.names {
            Some(path) => read_str_str_dict(path)?.into_iter().collect(),
            None => HashMap::new(),
        };
        Ok(Self { generation, names, genes, medians, mapping, symbols, cls, eos })
    }

    /// Entries, special tokens included.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn n_genes(&self) -> usize {
        self.genes.len()
    }

    pub(super) fn name(&self, token: u32) -> Option<&str> {
        self.names.get(token as usize).map(String::as_str)
    }

    pub(super) fn has_mapping(&self) -> bool {
        self.mapping.is_some()
    }

    pub(super) fn has_symbols(&self) -> bool {
        !self.symbols.is_empty()
    }

    /// Token of an id through the mapping, exactly as spelled.
    pub(super) fn mapped(&self, id: &str) -> Option<u32> {
        self.mapping.as_ref().unwrap_or(&self.genes).get(id).copied()
    }

    /// As if no mapping dictionary had been published.
    #[cfg(test)]
    pub(super) fn forget_mapping(&mut self) {
        self.mapping = None;
    }

    /// Ensembl id of a symbol, exactly as spelled.
    pub(super) fn id_of_symbol(&self, symbol: &str) -> Option<&str> {
        self.symbols.get(symbol).map(String::as_str)
    }
}

/// Names by token and gene tokens by name. Tokens must be `0..n`, each once.
fn index(tokens: &[(String, i64)]) -> Result<(Vec<String>, HashMap<String, u32>)> {
    let mut names = vec![String::new(); tokens.len()];
    let mut seen = HashSet::new();
    for (name, token) in tokens {
        let slot = usize::try_from(*token).ok().and_then(|t| names.get_mut(t)).ok_or_else(|| {
            Error::unreadable("a token lies outside the dictionary")
                .at_key(name.clone())
                .expected(format!("0 to {}", tokens.len().saturating_sub(1)))
                .found(token.to_string())
        })?;
        if !seen.insert(token) {
            return Err(Error::unreadable("two entries share a token").at_key(name.clone()).found(token.to_string()));
        }
        slot.clone_from(name);
    }
    let genes: HashMap<String, u32> = names
        .iter()
        .enumerate()
        .filter(|(_, n)| !(n.starts_with('<') && n.ends_with('>')))
        .map(|(i, n)| (n.clone(), i as u32))
        .collect();
    if genes.is_empty() {
        return Err(Error::unreadable("the token dictionary holds no genes"));
    }
    Ok((names, genes))
}

fn medians(path: &Path, names: &[String]) -> Result<Vec<f64>> {
    let medians: HashMap<String, f64> = read_str_float_dict(path)?.into_iter().collect();
    names
        .iter()
        .map(|name| match medians.get(name) {
            Some(&m) if m.is_finite() && m > 0.0 => Ok(m),
            Some(&m) => Err(Error::unreadable("a gene median is not a positive number")
                .in_file(path)
                .at_key(name.clone())
                .found(m.to_string())),
            None if name.starts_with('<') => Ok(f64::NAN),
            None => Err(Error::mismatch("a gene of the token dictionary has no median")
                .in_file(path)
                .at_key(name.clone())
                .remedy("take both dictionaries from one release")),
        })
        .collect()
}

/// Entries whose target is a gene of the vocabulary; all others are as good as absent.
fn mapping(path: &Path, genes: &HashMap<String, u32>) -> Result<HashMap<String, u32>> {
    Ok(read_str_str_dict(path)?
        .into_iter()
        .filter_map(|(from, to)| genes.get(&to).map(|&t| (from, t)))
        .collect())
}
