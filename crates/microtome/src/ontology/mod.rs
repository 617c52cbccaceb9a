//! Ontologies, and where the labels of a data set stand in them.

mod json;
mod obo;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use microtome_core::{Column, Error, Result};
use microtome_eval::Groups;
use microtome_eval::metrics::ontology::Ontology;

use crate::data::Data;

/// Columns of `obs` in which term ids are looked for.
const ID_COLUMNS: [&str; 3] = ["cell_type_ontology_term_id", "cell_ontology_term_id", "cell_ontology_id"];
/// Most bytes and terms that are read.
const MAX_BYTES: u64 = 1 << 30;
const MAX_TERMS: usize = 10_000_000;
/// First bytes of packed files.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Terms of labels.
pub(crate) struct Terms {
    pub(crate) ontology: Ontology,
    term_of: HashMap<String, u32>,
    /// Labels without a term, for the report.
    pub(crate) note: Option<String>,
}

impl Terms {
    /// The term of a label, or [`Groups::MISSING`].
    pub(crate) fn of_label(&self, label: &str) -> u32 {
        self.term_of.get(label).copied().unwrap_or(Groups::MISSING)
    }
}

/// Terms as a file lists them.
#[derive(Debug, Default)]
struct TermList {
    ids: Vec<String>,
    /// Ids of the parents of every term; some may not be in the file.
    parents: Vec<Vec<String>>,
    /// Other ids, names and exact synonyms in lower case.
    also: HashMap<String, usize>,
}

impl TermList {
    /// Adds a term with its parents and what else it is called; one without an id is none.
    fn push(&mut self, id: String, parents: Vec<String>, also: Vec<String>) {
        if id.is_empty() {
            return;
        }
        let at = self.ids.len();
        for name in also {
            self.also.entry(name.to_lowercase()).or_insert(at);
        }
        self.ids.push(id);
        self.parents.push(parents);
    }

    fn index(&self) -> HashMap<&str, usize> {
        self.ids.iter().enumerate().map(|(i, id)| (id.as_str(), i)).collect()
    }

    /// Term of an id, other id, name or synonym.
    fn find(&self, index: &HashMap<&str, usize>, text: &str) -> Option<usize> {
        index.get(text).or_else(|| self.also.get(&text.to_lowercase())).copied()
    }
}

/// Reads an ontology of either format, packed with zstd or gzip or not; told apart by content.
fn read(path: &Path) -> Result<TermList> {
    let failed = |e: std::io::Error| Error::unreadable("cannot read the ontology").in_file(path).caused_by(e);
    let file = File::open(path).map_err(|e| failed(e).at_key("--ontology"))?;
    let mut packed = BufReader::new(file);
    let start = packed.fill_buf().map_err(failed)?;
    let text: Box<dyn Read> = if start.starts_with(&ZSTD) {
        Box::new(rust_zstd::DecompressReader::new(packed))
    } else if start.starts_with(&GZIP) {
        Box::new(flate2::bufread::MultiGzDecoder::new(packed))
    } else {
        Box::new(packed)
    };
    let mut text = BufReader::new(text);
    let json = text.fill_buf().map_err(failed)?.trim_ascii_start().starts_with(b"{");
    let list = if json { json::read(text) } else { obo::read(text) }.map_err(|e| e.in_file(path))?;
    if list.ids.is_empty() {
        return Err(Error::unreadable("the file holds no terms")
            .in_file(path)
            .expected("an ontology in the OBO format, such as cl-basic.obo, or the JSON of CELLxGENE")
            .remedy("give an .obo, .json, .json.zst or .gz file; OWL is not read"));
    }
    Ok(list)
}

/// Reads an ontology and finds the terms of the labels: by the column `key` of ids where it is named, otherwise by a column
/// of ids under a usual name, otherwise by the label itself (an id, a name or an exact synonym).
pub(crate) fn terms_of(path: &Path, key: Option<&str>, data: &Data, labels: &Column) -> Result<Terms> {
    let list = read(path)?;
    let index = list.index();
    let there = data.dataset.obs_column_names()?;
    let column = key.or_else(|| ID_COLUMNS.into_iter().find(|c| there.iter().any(|n| n == c)));
    let ids = column.map(|c| data.dataset.obs_column(c)).transpose()?;
    let (names, codes) = labels.groups();
    let mut term_of = HashMap::new();
    let mut without = vec![];
    for (label, name) in names.iter().enumerate() {
        let id = ids.as_ref().and_then(|ids| most_frequent(ids, &codes, label as u32));
        let found = id.and_then(|id| list.find(&index, &id)).or_else(|| list.find(&index, name));
        match found {
            Some(term) => {
                term_of.insert(name.clone(), term as u32);
            }
            None => without.push(name.clone()),
        }
    }
    if term_of.is_empty() {
        return Err(Error::mismatch("no label has a term in the ontology")
            .in_file(path)
            .at_key("--ontology-key")
            .expected("labels that are ids, names or exact synonyms of terms, or a column of ids beside them")
            .found(format!("labels such as \"{}\"", names.first().map_or("", String::as_str)))
            .remedy("name the column of obs that holds ids such as CL:0000084 with --ontology-key"));
    }
    let note = (!without.is_empty()).then(|| {
        let shown = without[..without.len().min(5)].join(", ");
        format!(
            "{} of {} labels have no term in the ontology, for example {shown}",
            without.len(),
            names.len()
        )
    });
    let parents = list
        .parents
        .iter()
        .map(|p| p.iter().filter_map(|id| index.get(id.as_str()).map(|&i| i as u32)).collect())
        .collect();
    Ok(Terms { term_of, note, ontology: Ontology::new(list.ids.clone(), parents)? })
}

/// The value that most rows of a label have; the first of equals by name.
fn most_frequent(ids: &Column, codes: &[Option<u32>], label: u32) -> Option<String> {
    let mut counts = std::collections::BTreeMap::new();
    for (row, _) in codes.iter().enumerate().filter(|(_, c)| **c == Some(label)) {
        if let Some(id) = ids.text(row) {
            *counts.entry(id).or_insert(0usize) += 1;
        }
    }
    counts.into_iter().rev().max_by_key(|c| c.1).map(|c| c.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two publications of the Cell Ontology, of different dates, agree on what most cell types are.
    #[test]
    fn both_publications_of_the_cell_ontology_agree() {
        let root = std::env::var_os("MICROTOME_SHARED").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
            std::path::PathBuf::from,
        );
        let folder = root.join("reference/ontology");
        let (obo, json) = (folder.join("cl-basic.obo"), folder.join("CL-ontology-v2026-03-26.json.zst"));
        if !obo.exists() || !json.exists() {
            println!("skipped: {} is not there (set MICROTOME_SHARED to the shared data)", folder.display());
            return;
        }
        let (obo, json) = (read(&obo).unwrap(), read(&json).unwrap());
        assert!(json.ids.len() > 2500, "{}", json.ids.len());
        let (a, b) = (obo.index(), json.index());
        let cells = |parents: &[String]| {
            let mut p: Vec<String> = parents.iter().filter(|p| p.starts_with("CL:")).cloned().collect();
            p.sort();
            p
        };
        let shared: Vec<&str> = a.keys().filter(|id| b.contains_key(*id)).copied().collect();
        let same =
            shared.iter().filter(|id| cells(&obo.parents[a[*id]]) == cells(&json.parents[b[*id]])).count();
        println!("{} of {} shared terms have the same parents", same, shared.len());
        // Years of revisions lie between the two releases; relations other than is_a taken for parents would leave few alike.
        assert!(shared.len() > 2000 && same * 2 > shared.len(), "{same} of {}", shared.len());
        assert_eq!(json.find(&b, "b cell").map(|t| json.ids[t].as_str()), Some("CL:0000236"));
    }

    #[test]
    fn what_is_no_ontology_is_refused_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in
            [("a.obo", &b"nothing"[..]), ("b.zst", &ZSTD[..]), ("c.gz", &GZIP[..]), ("d.json", &b"{"[..])]
        {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let e = read(&path).unwrap_err().to_string();
            assert!(e.contains(name), "{e}");
        }
    }
}
