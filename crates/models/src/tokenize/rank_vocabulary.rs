//! Tokens, medians and gene names of models that rank genes by median-scaled expression.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use microtome_core::{Error, Result};
use microtome_weights::{read_str_float_dict, read_str_int_dict, read_str_str_dict};

use super::rank_files::DictionaryFiles;

const CLS: &str = "<cls>";
const EOS: &str = "<eos>";
/// Largest table of symbols that is read.
const MAX_TABLE: u64 = 16 << 20;

/// Everything between a gene name and a token.
#[derive(Clone, Debug)]
pub(crate) struct RankVocabulary {
    /// Name per token.
    names: Vec<String>,
    /// Gene tokens by Ensembl id; special tokens are not genes and not in here.
    genes: HashMap<String, u32>,
    /// Non-zero median expression per token, NaN for special tokens.
    pub(crate) medians: Vec<f64>,
    /// Upper-case id or symbol -> token; `None` where no mapping dictionary was published (every id stands for itself).
    mapping: Option<HashMap<String, u32>>,
    /// Symbol -> Ensembl id; empty where the file is absent.
    symbols: HashMap<String, String>,
    pub(crate) cls: Option<u32>,
    pub(crate) eos: Option<u32>,
}

impl RankVocabulary {
    /// Reads the dictionaries; every gene needs a median.
    pub(crate) fn read(files: &DictionaryFiles) -> Result<Self> {
        Self::read_with(files, None)
    }

    /// As [`RankVocabulary::read`], with this median for genes that have none.
    pub(crate) fn read_with(files: &DictionaryFiles, without: Option<f64>) -> Result<Self> {
        let tokens = read_str_int_dict(&files.tokens)?;
        let (names, genes) = index(&tokens).map_err(|e| e.in_file(&files.tokens))?;
        let special = |name: &str| names.iter().position(|n| n == name).map(|i| i as u32);
        let (cls, eos) = (special(CLS), special(EOS));
        let medians = medians(&files.medians, &names, without)?;
        let mapping = files.mapping.as_deref().map(|p| mapping(p, &genes)).transpose()?;
        let symbols = match &files.names {
            Some(path) => symbols(path)?,
            None => HashMap::new(),
        };
        Ok(Self { names, genes, medians, mapping, symbols, cls, eos })
    }

    /// With `<cls>` as the last token, as the families have it that took over the first Geneformer's dictionary; where the file
    /// holds one, it stays.
    pub(crate) fn with_cls(mut self) -> Self {
        if self.cls.is_none() {
            self.cls = Some(self.names.len() as u32);
            self.names.push(CLS.into());
            self.medians.push(f64::NAN);
        }
        self
    }

    /// With fewer genes: the others keep their tokens, but no data is matched to them.
    pub(crate) fn only_genes(mut self, keep: impl Fn(&str) -> bool) -> Self {
        self.genes.retain(|name, _| keep(name));
        self
    }

    /// Entries, special tokens included.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn n_genes(&self) -> usize {
        self.genes.len()
    }

    pub(crate) fn name(&self, token: u32) -> Option<&str> {
        self.names.get(token as usize).map(String::as_str)
    }

    pub(crate) fn has_mapping(&self) -> bool {
        self.mapping.is_some()
    }

    pub(crate) fn has_symbols(&self) -> bool {
        !self.symbols.is_empty()
    }

    /// Token of an id through the mapping, exactly as spelled.
    pub(crate) fn mapped(&self, id: &str) -> Option<u32> {
        self.mapping.as_ref().unwrap_or(&self.genes).get(id).copied()
    }

    /// As if no mapping dictionary had been published.
    #[cfg(test)]
    pub(crate) fn forget_mapping(&mut self) {
        self.mapping = None;
    }

    /// Ensembl id of a symbol, exactly as spelled.
    pub(crate) fn id_of_symbol(&self, symbol: &str) -> Option<&str> {
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
            return Err(Error::unreadable("two entries share a token")
                .at_key(name.clone())
                .found(token.to_string()));
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

fn medians(path: &Path, names: &[String], without: Option<f64>) -> Result<Vec<f64>> {
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
            None => without.ok_or_else(|| {
                Error::mismatch("a gene of the token dictionary has no median")
                    .in_file(path)
                    .at_key(name.clone())
                    .remedy("take both dictionaries from one release")
            }),
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

/// Ensembl id per symbol: a pickled dictionary in either direction, or a table with the columns `id` and `name`.
fn symbols(path: &Path) -> Result<HashMap<String, String>> {
    let is_id = |text: &str| text.starts_with("ENSG") || text.starts_with("ENSMUSG");
    if path.extension().is_none_or(|e| e != "csv") {
        let pairs = read_str_str_dict(path)?;
        return Ok(pairs
            .into_iter()
            .map(|(a, b)| if is_id(&a) && !is_id(&b) { (b, a) } else { (a, b) })
            .collect());
    }
    let unreadable =
        |e: std::io::Error| Error::unreadable("cannot read the table of symbols").in_file(path).caused_by(e);
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_TABLE {
        return Err(Error::unreadable("the table of symbols is too large to be one").in_file(path));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let mut lines =
        text.lines().map(|l| l.split(',').map(|f| f.trim().trim_matches('"')).collect::<Vec<_>>());
    let header = lines.next().unwrap_or_default();
    let column = |name: &str| {
        header.iter().position(|h| *h == name).ok_or_else(|| {
            Error::unreadable("the table of symbols lacks a column")
                .in_file(path)
                .at_key(name)
                .found(header.join(", "))
        })
    };
    let (id, name) = (column("id")?, column("name")?);
    Ok(lines.filter_map(|f| Some(((*f.get(name)?).to_string(), (*f.get(id)?).to_string()))).collect())
}
