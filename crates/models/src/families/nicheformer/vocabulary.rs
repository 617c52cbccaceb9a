//! Genes, special tokens and technology means of a checkpoint folder.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};
use serde_json::{Map, Value};

use super::config::FIRST_GENE;
use super::contexts;
use crate::var_names::var_names;

/// Largest `vocab.json` and technology mean that is read.
const MAX_BYTES: u64 = 16 << 20;
const VOCAB: &str = "vocab.json";
const GENES: &str = "model.h5ad";
pub(super) const MEANS: &str = "_mean_script.npy";
const REMEDY: &str = "copy data/model_means/model.h5ad of github theislab/nicheformer, or vocab.json of Hugging Face theislab/Nicheformer, into the model folder";

/// The padding and masking tokens of the training code.
const TRAINING_PAD: u32 = 1;
const TRAINING_MASK: u32 = 0;

/// What token ids mean.
#[derive(Clone, Debug)]
pub(super) struct Vocabulary {
    /// Gene of token `30 + i`.
    pub(super) genes: Vec<String>,
    /// Special tokens by the names of `vocab.json`.
    pub(super) specials: BTreeMap<String, u32>,
    pub(super) pad: u32,
    /// Name of each special token.
    names: HashMap<u32, String>,
    /// The file that was read.
    pub(super) file: PathBuf,
}

impl Vocabulary {
    /// Of a folder: `vocab.json`, otherwise the genes of `model.h5ad` under the tokens of the training code.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let json = folder.join(VOCAB);
        if json.is_file() {
            return Self::of_json(&json).map_err(|e| e.in_file(&json));
        }
        let file = folder.join(GENES);
        if !file.is_file() {
            return Err(Error::unreadable("the model's gene list is missing")
                .in_file(folder)
                .expected(format!("{VOCAB} or {GENES}"))
                .remedy(REMEDY));
        }
        Self::of_genes(var_names(&file)?, &file)
    }

    /// Genes under the special tokens of the training code.
    pub(super) fn of_genes(genes: Vec<String>, file: &Path) -> Result<Self> {
        let mut specials: BTreeMap<String, u32> =
            contexts::PUBLISHED.iter().map(|(n, id)| ((*n).to_string(), *id)).collect();
        specials.insert("[PAD]".into(), TRAINING_PAD);
        specials.insert("[MASK]".into(), TRAINING_MASK);
        Self::new(genes, specials, file.to_path_buf())
    }

    fn of_json(path: &Path) -> Result<Self> {
        let text = text(path)?;
        let map: Map<String, Value> = serde_json::from_str(&text)
            .map_err(|e| Error::unreadable("the vocabulary is not a JSON object").caused_by(e))?;
        let mut specials = BTreeMap::new();
        let mut genes = vec![];
        for (name, id) in map {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| {
                Error::unreadable("a token is not a whole number").at_key(name.clone()).found(id.to_string())
            })?;
            match (name.starts_with('['), id as usize >= FIRST_GENE) {
                (true, false) => {
                    specials.insert(name, id);
                }
                (false, true) => genes.push((id as usize - FIRST_GENE, name)),
                _ => {
                    return Err(Error::unreadable("tokens below 30 are special and all others genes")
                        .at_key(name)
                        .found(id.to_string()));
                }
            }
        }
        genes.sort_unstable();
        if let Some((at, (_, name))) = genes.iter().enumerate().find(|(at, (id, _))| at != id) {
            return Err(Error::unreadable("the genes of the vocabulary are not numbered one by one from 30")
                .at_key(name.clone())
                .expected((at + FIRST_GENE).to_string()));
        }
        Self::new(genes.into_iter().map(|(_, n)| n).collect(), specials, path.to_path_buf())
    }

    fn new(genes: Vec<String>, specials: BTreeMap<String, u32>, file: PathBuf) -> Result<Self> {
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = genes.iter().find(|g| !seen.insert(g.as_str())) {
            return Err(Error::unreadable("a gene is in the vocabulary twice")
                .in_file(&file)
                .at_key(twice.clone()));
        }
        let pad = *specials.get("[PAD]").ok_or_else(|| {
            Error::unreadable("the vocabulary lacks the padding token").in_file(&file).at_key("[PAD]")
        })?;
        let names = specials.iter().map(|(n, id)| (*id, n.clone())).collect();
        Ok(Self { genes, specials, pad, names, file })
    }

    /// Fails unless the network has as many genes.
    pub(super) fn check(&self, n_genes: usize) -> Result<()> {
        if self.genes.len() == n_genes {
            return Ok(());
        }
        Err(Error::mismatch("model and gene list do not belong together")
            .in_file(&self.file)
            .expected(format!("{n_genes} genes, from n_tokens"))
            .found(self.genes.len().to_string())
            .remedy(REMEDY))
    }

    pub(super) fn name(&self, token: u32) -> Option<&str> {
        match (token as usize).checked_sub(FIRST_GENE) {
            Some(gene) => self.genes.get(gene).map(String::as_str),
            None => self.names.get(&token).map(String::as_str),
        }
    }

    /// The published layout of `vocab.json`.
    pub(super) fn to_json(&self) -> Value {
        let genes = self.genes.iter().zip(FIRST_GENE..).map(|(g, id)| (g.clone(), id.into()));
        Value::Object(self.specials.iter().map(|(n, id)| (n.clone(), (*id).into())).chain(genes).collect())
    }
}

/// Mean counts of genes by technology: `dissociated`, `merfish`, ...
#[derive(Clone, Debug, Default)]
pub(super) struct Means {
    pub(super) by_technology: BTreeMap<String, Vec<f64>>,
    pub(super) files: Vec<PathBuf>,
}

impl Means {
    /// Every `*_mean_script.npy` of a folder.
    pub(super) fn read(folder: &Path, n_genes: usize) -> Result<Self> {
        let mut out = Self::default();
        let Ok(entries) = std::fs::read_dir(folder) else { return Ok(out) };
        let mut paths: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let Some(technology) = name.strip_suffix(MEANS).map(str::to_string) else { continue };
            check_size(&path)?;
            let means = microtome_weights::npy::read(&path)?.to_f64().map_err(|e| e.in_file(&path))?;
            if means.len() != n_genes {
                return Err(Error::mismatch("a technology mean is of another gene list")
                    .in_file(&path)
                    .expected(format!("{n_genes} numbers, one per gene of the model"))
                    .found(means.len().to_string()));
            }
            out.by_technology.insert(technology, means);
            out.files.push(path);
        }
        Ok(out)
    }
}

pub(super) fn check_size(path: &Path) -> Result<()> {
    let unreadable = |e| Error::unreadable("cannot read a file of the model").in_file(path).caused_by(e);
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_BYTES {
        return Err(Error::unreadable("the file is too large to be what its name says")
            .in_file(path)
            .expected(format!("at most {MAX_BYTES} bytes"))
            .found(format!("{size} bytes")));
    }
    Ok(())
}

fn text(path: &Path) -> Result<String> {
    check_size(path)?;
    std::fs::read_to_string(path)
        .map_err(|e| Error::unreadable("cannot read the vocabulary").in_file(path).caused_by(e))
}
