//! `vocab.json` (tokens and rows of the embedding table) and the file that numbers the drugs.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};

/// Largest vocabulary file that is read.
const MAX_BYTES: u64 = 64 << 20;
const DRUG: &str = "<drug>";

pub(super) struct Vocabulary {
    id_of: HashMap<String, u32>,
    names: Vec<Option<String>>,
    pub(super) cls: u32,
    /// Token whose vector is replaced by the drug's, where there is one.
    pub(super) drug: Option<u32>,
    n_genes: usize,
}

impl Vocabulary {
    /// Reads the tokens of a table of `rows` rows. Every row needs a token, except that a missing `<drug>` is the last row, which is where
    /// training appends it.
    pub(super) fn read(path: &Path, rows: usize) -> Result<Self> {
        Self::new(read_ids(path, "vocabulary")?, rows).map_err(|e| e.in_file(path))
    }

    /// Tokens of a file.
    pub(super) fn count(path: &Path) -> Result<usize> {
        Ok(read_ids(path, "vocabulary")?.len())
    }

    fn new(mut id_of: HashMap<String, u32>, rows: usize) -> Result<Self> {
        if id_of.len() + 1 == rows && !id_of.contains_key(DRUG) {
            id_of.insert(DRUG.into(), id_of.len() as u32);
        }
        if id_of.len() != rows {
            return Err(Error::mismatch("the vocabulary is not that of the model")
                .expected(format!("{rows} tokens, as many as the embedding table has rows"))
                .found(format!("{} tokens", id_of.len()))
                .remedy("copy vocab.json from the folder that the weights came from"));
        }
        let mut names: Vec<Option<String>> = vec![None; rows];
        for (token, &id) in BTreeMap::from_iter(&id_of) {
            let place = names.get_mut(id as usize).ok_or_else(|| {
                Error::unreadable("a token's id is beyond the embedding table")
                    .at_key(token.clone())
                    .expected(format!("an id below {rows}"))
                    .found(id.to_string())
            })?;
            if place.replace(token.clone()).is_some() {
                return Err(Error::unreadable("two tokens have one id").at_key(token.clone()).found(id.to_string()));
            }
        }
        let cls = id_of.get("<cls>").copied().ok_or_else(|| {
            Error::unreadable("the vocabulary lacks a special token").at_key("<cls>").expected("its id")
        })?;
        let drug = id_of.get(DRUG).copied();
        let n_genes = id_of.keys().filter(|n| !n.starts_with('<')).count();
        Ok(Self { id_of, names, cls, drug, n_genes })
    }

    pub(super) fn n_genes(&self) -> usize {
        self.n_genes
    }

    /// Id of a gene; special and unused tokens are no genes.
    pub(super) fn gene(&self, name: &str) -> Option<u32> {
        self.id_of.get(name).copied().filter(|_| !name.starts_with('<'))
    }

    pub(super) fn name(&self, token: u32) -> Option<&str> {
        self.names.get(token as usize)?.as_deref()
    }
}

/// Names of drugs and rows of the table of fingerprints.
pub(super) struct Drugs {
    pub(super) path: PathBuf,
    id_of: HashMap<String, u32>,
}

impl Drugs {
    pub(super) fn read(path: &Path, rows: usize) -> Result<Self> {
        let id_of = read_ids(path, "table of drugs")?;
        if let Some((name, id)) = BTreeMap::from_iter(&id_of).into_iter().find(|(_, id)| **id as usize >= rows) {
            return Err(Error::mismatch("a drug's number is beyond the table of fingerprints")
                .in_file(path)
                .at_key(name.clone())
                .expected(format!("below {rows}"))
                .found(id.to_string()));
        }
        Ok(Self { path: path.to_path_buf(), id_of })
    }

    /// Number of a drug. An unknown name is an error, or as published the empty drug 0.
    pub(super) fn id(&self, name: &str, as_published: bool) -> Result<u32> {
        match self.id_of.get(name) {
            Some(&id) => Ok(id),
            None if as_published => Ok(0),
            None => Err(Error::mismatch("the model does not know a drug")
                .in_file(&self.path)
                .expected(format!("one of {} names", self.id_of.len()))
                .found(format!("\"{name}\""))
                .remedy("rename it as in that file; the original takes the empty drug for unknown names")),
        }
    }
}

fn read_ids(path: &Path, what: &str) -> Result<HashMap<String, u32>> {
    let unreadable = |e: std::io::Error| {
        Error::unreadable(format!("cannot read the {what}"))
            .in_file(path)
            .caused_by(e)
            .remedy("copy it from the folder that the weights came from")
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_BYTES {
        return Err(Error::unreadable(format!("the {what} is too large to be one"))
            .in_file(path)
            .expected(format!("at most {MAX_BYTES} bytes"))
            .found(format!("{size} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    serde_json::from_str(&text).map_err(|e| {
        Error::unreadable(format!("the {what} is not a JSON object of names and numbers")).in_file(path).caused_by(e)
    })
}
