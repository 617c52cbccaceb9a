//! The vocabulary: special tokens of the configuration, then the genes of every species' file, and assays of their own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};

use super::config::{ASSAYS, Config};
use crate::json::JsonConfig;

/// Genes and assays.
pub(super) struct Vocabulary {
    names: Vec<String>,
    index: HashMap<String, u32>,
    n_special: usize,
    /// Assays by id.
    assays: HashMap<String, u32>,
    assay_names: Vec<String>,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) unknown_assay: u32,
    pub(super) files: Vec<(String, PathBuf)>,
}

impl Vocabulary {
    pub(super) fn read(folder: &Path, config: &Config) -> Result<Self> {
        let (mut names, mut index, mut files) = (vec![], HashMap::new(), vec![]);
        // The first occurrence of a name counts.
        let mut add = |name: String| {
            if !index.contains_key(&name) {
                index.insert(name.clone(), names.len() as u32);
                names.push(name);
            }
        };
        config.specials.iter().cloned().for_each(&mut add);
        for file in &config.gene_files {
            let path = folder.join("vocabs").join(file);
            crate::tables::texts(&path, "keys")?.into_iter().for_each(&mut add);
            files.push(("genes".to_string(), path));
        }
        let special = |name: &str| {
            index.get(name).copied().filter(|t| (*t as usize) < config.specials.len()).ok_or_else(|| {
                Error::unreadable("the configuration lacks a special token")
                    .in_file(folder.join("config.json"))
                    .at_key("special_tokens")
                    .expected(name.to_string())
                    .found(config.specials.join(", "))
            })
        };
        special("[PAD]")?;
        let (start, end) = (special("[START]")?, special("[END]")?);
        let path = folder.join(ASSAYS);
        let (assays, assay_names) = assays(&path)?;
        let unknown_assay = assays.get(&config.unknown_assay).copied().ok_or_else(|| {
            Error::unreadable("the assays lack the one for data of an unknown assay")
                .in_file(&path)
                .at_key(config.unknown_assay.clone())
        })?;
        files.push(("assays".to_string(), path));
        let n_special = config.specials.len();
        Ok(Self { names, index, n_special, assays, assay_names, start, end, unknown_assay, files })
    }

    /// Special tokens and genes.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn n_genes(&self) -> usize {
        self.names.len() - self.n_special
    }

    pub(super) fn n_assays(&self) -> usize {
        self.assay_names.len()
    }

    pub(super) fn gene(&self, id: &str) -> Option<u32> {
        self.index.get(id).copied().filter(|t| *t as usize >= self.n_special)
    }

    /// Id of an assay, that of the unknown one where the name is not known.
    pub(super) fn assay(&self, name: &str) -> u32 {
        self.assays.get(name).copied().unwrap_or(self.unknown_assay)
    }

    /// Assays are numbered behind the genes.
    pub(super) fn name(&self, token: u32) -> Option<&str> {
        let at = token as usize;
        let assay = || self.assay_names.get(at.checked_sub(self.names.len())?);
        self.names.get(at).or_else(assay).map(String::as_str)
    }
}

fn assays(path: &Path) -> Result<(HashMap<String, u32>, Vec<String>)> {
    let file = JsonConfig::read(path)?;
    let wrong = |found: String| {
        Error::unreadable("the assays are not numbered from 0 on without gaps").in_file(path).found(found)
    };
    let n = file.entries().count();
    let mut names = vec![String::new(); n];
    let mut ids = HashMap::new();
    for (name, id) in file.entries() {
        let id = id
            .as_u64()
            .map(|i| i as usize)
            .filter(|i| *i < n)
            .ok_or_else(|| wrong(format!("{name}: {id}")))?;
        if ids.values().any(|i| *i == id as u32) {
            return Err(wrong(format!("{id} twice")));
        }
        ids.insert(name.clone(), id as u32);
        names[id].clone_from(name);
    }
    Ok((ids, names))
}
