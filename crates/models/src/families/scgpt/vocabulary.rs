//! `vocab.json`: tokens and their rows of the embedding table.

use std::collections::HashMap;
use std::path::Path;

use microtome_core::{Error, Result};

/// Largest vocabulary file that is read.
const MAX_BYTES: u64 = 64 << 20;
/// Special tokens, in the order in which the published loader appends those that a file lacks.
pub(super) const SPECIALS: [&str; 3] = ["<pad>", "<cls>", "<eoc>"];

pub(super) struct Vocabulary {
    id_of: HashMap<String, u32>,
    names: Vec<Option<String>>,
    pub(super) cls: u32,
    /// Specials that the file lacks.
    pub(super) appended: Vec<&'static str>,
}

impl Vocabulary {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let unreadable = |e: std::io::Error| {
            Error::unreadable("cannot read the vocabulary")
                .in_file(path)
                .caused_by(e)
                .remedy("copy vocab.json from the folder that best_model.pt came from")
        };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > MAX_BYTES {
            return Err(Error::unreadable("the vocabulary is too large to be one")
                .in_file(path)
                .expected(format!("at most {MAX_BYTES} bytes"))
                .found(format!("{size} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let id_of: HashMap<String, u32> = serde_json::from_str(&text).map_err(|e| {
            Error::unreadable("the vocabulary is not a JSON object of tokens and ids").in_file(path).caused_by(e)
        })?;
        Self::new(id_of).map_err(|e| e.in_file(path))
    }

    fn new(mut id_of: HashMap<String, u32>) -> Result<Self> {
        // Every id below the number of tokens, once: otherwise rows of the table would have no name, or two.
        let mut appended = vec![];
        for special in SPECIALS {
            if !id_of.contains_key(special) {
                let next = id_of.len() as u32;
                id_of.insert(special.to_string(), next);
                appended.push(special);
            }
        }
        let mut names: Vec<Option<String>> = vec![None; id_of.len()];
        for (token, &id) in std::collections::BTreeMap::from_iter(&id_of) {
            let place = names.get_mut(id as usize).ok_or_else(|| {
                Error::unreadable("a token's id is beyond the number of tokens")
                    .at_key(token.clone())
                    .expected(format!("an id below {}", id_of.len()))
                    .found(id.to_string())
            })?;
            if let Some(other) = place.replace(token.clone()) {
                return Err(Error::unreadable("two tokens have one id")
                    .at_key(token.clone())
                    .found(format!("{id}, which is also that of \"{other}\"")));
            }
        }
        let cls = id_of["<cls>"];
        Ok(Self { id_of, names, cls, appended })
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn n_genes(&self) -> usize {
        self.len() - SPECIALS.len()
    }

    /// Id of a gene; special tokens are no genes.
    pub(super) fn gene(&self, name: &str) -> Option<u32> {
        self.id_of.get(name).copied().filter(|_| !SPECIALS.contains(&name))
    }

    pub(super) fn name(&self, token: u32) -> Option<&str> {
        self.names.get(token as usize)?.as_deref()
    }

    /// How many genes of the vocabulary are bare Ensembl ids.
    pub(super) fn n_ensembl(&self) -> usize {
        self.names.iter().flatten().filter(|n| n.starts_with("ENSG")).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(text: &str) -> Result<Vocabulary> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vocab.json");
        std::fs::write(&path, text).unwrap();
        Vocabulary::read(&path)
    }

    #[test]
    fn specials_may_be_anywhere_and_missing_ones_come_last() {
        let v = vocabulary(r#"{"A": 3, "<cls>": 1, "B": 0, "<pad>": 2}"#).unwrap();
        assert_eq!((v.cls, v.name(2), v.len(), v.n_genes()), (1, Some("<pad>"), 5, 2));
        assert_eq!((v.name(4), v.gene("A"), v.gene("<cls>")), (Some("<eoc>"), Some(3), None));
        assert_eq!(v.appended, ["<eoc>"]);
        let bare = vocabulary(r#"{"A": 0}"#).unwrap();
        assert_eq!([1, 2, 3].map(|i| bare.name(i).unwrap()), SPECIALS);
    }

    #[test]
    fn ids_must_be_distinct_and_dense() {
        for (text, what) in [
            (r#"{"A": 0, "B": 0}"#, "two tokens"),
            (r#"{"A": 4000000000}"#, "beyond"),
            (r#"{"A": -1}"#, "not a JSON object"),
            (r#"[1]"#, "not a JSON object"),
        ] {
            assert!(vocabulary(text).err().unwrap().to_string().contains(what), "{text}");
        }
    }
}
