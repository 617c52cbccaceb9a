//! Ontologies in the OBO format, and where the labels of a data set stand in them.

use std::collections::HashMap;
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

/// An OBO file: `[Term]` stanzas with `id`, `name`, exact synonyms, `alt_id` and `is_a` (the only relation that counts as
/// a step). Obsolete terms are left out.
#[derive(Debug, Default)]
struct Obo {
    ids: Vec<String>,
    parents: Vec<Vec<String>>,
    /// Other ids, names and exact synonyms in lower case.
    also: HashMap<String, usize>,
}

impl Obo {
    fn read(text: impl Read) -> Result<Self> {
        let mut out = Self::default();
        let mut term: Option<(String, Vec<String>, Vec<String>)> = None;
        let bad = |e: std::io::Error| Error::unreadable("cannot read the ontology").caused_by(e);
        for line in BufReader::new(text.take(MAX_BYTES)).lines() {
            let line = line.map_err(bad)?;
            let line = line.trim();
            if line.starts_with('[') {
                out.push(term.take());
                if line == "[Term]" {
                    term = Some(Default::default());
                }
                continue;
            }
            let (Some(t), Some((key, value))) = (term.as_mut(), line.split_once(": ")) else { continue };
            // A comment begins with " ! ".
            let value = value.split(" ! ").next().unwrap_or_default().trim();
            match key {
                "id" => t.0 = value.into(),
                "is_a" => t.1.push(value.split_whitespace().next().unwrap_or_default().into()),
                "name" | "alt_id" => t.2.push(value.into()),
                "synonym" if value.contains("\" EXACT") => {
                    t.2.extend(value.split('"').nth(1).map(String::from));
                }
                "is_obsolete" if value == "true" => term = None,
                _ => {}
            }
            if out.ids.len() > MAX_TERMS {
                return Err(Error::unsupported("too many terms").expected(format!("at most {MAX_TERMS}")));
            }
        }
        out.push(term);
        Ok(out)
    }

    fn push(&mut self, term: Option<(String, Vec<String>, Vec<String>)>) {
        let Some((id, parents, also)) = term.filter(|t| !t.0.is_empty()) else { return };
        let at = self.ids.len();
        for name in also {
            self.also.entry(name.to_lowercase()).or_insert(at);
        }
        self.ids.push(id);
        self.parents.push(parents);
    }

    /// Term of an id, other id, name or synonym.
    fn find(&self, index: &HashMap<&str, usize>, text: &str) -> Option<usize> {
        index.get(text).or_else(|| self.also.get(&text.to_lowercase())).copied()
    }
}

/// Reads an ontology and finds the terms of the labels: by the column `key` of ids where it is named, otherwise by a column
/// of ids under a usual name, otherwise by the label itself (an id, a name or an exact synonym).
pub(crate) fn terms_of(path: &Path, key: Option<&str>, data: &Data, labels: &Column) -> Result<Terms> {
    let file = std::fs::File::open(path).map_err(|e| {
        Error::unreadable("cannot open the ontology").in_file(path).at_key("--ontology").caused_by(e)
    })?;
    let obo = Obo::read(file).map_err(|e| e.in_file(path))?;
    if obo.ids.is_empty() {
        return Err(Error::unreadable("the file holds no terms")
            .in_file(path)
            .expected("an ontology in the OBO format, such as cl-basic.obo")
            .remedy("give an .obo file; compressed files and OWL are not read"));
    }
    let index: HashMap<&str, usize> = obo.ids.iter().enumerate().map(|(i, id)| (id.as_str(), i)).collect();
    let there = data.dataset.obs_column_names()?;
    let column = key.or_else(|| ID_COLUMNS.into_iter().find(|c| there.iter().any(|n| n == c)));
    let ids = column.map(|c| data.dataset.obs_column(c)).transpose()?;
    let (names, codes) = labels.groups();
    let mut term_of = HashMap::new();
    let mut without = vec![];
    for (label, name) in names.iter().enumerate() {
        let id = ids.as_ref().and_then(|ids| most_frequent(ids, &codes, label as u32));
        let found = id.and_then(|id| obo.find(&index, &id)).or_else(|| obo.find(&index, name));
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
    let parents = obo
        .parents
        .iter()
        .map(|p| p.iter().filter_map(|id| index.get(id.as_str()).map(|&i| i as u32)).collect())
        .collect();
    Ok(Terms { term_of, note, ontology: Ontology::new(obo.ids.clone(), parents)? })
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

    const SMALL: &str = "format-version: 1.2\n\n[Term]\nid: CL:1\nname: cell\n\n[Term]\nid: CL:2\nname: T cell\nalt_id: CL:9\nsynonym: \"T-lymphocyte\" EXACT []\nsynonym: \"thing\" RELATED []\nis_a: CL:1 {x=\"y\"} ! cell\nis_a: GO:7 ! not here\n\n[Term]\nid: CL:3\nname: old\nis_obsolete: true\n\n[Typedef]\nid: part_of\nname: part of\n";

    #[test]
    fn terms_names_and_parents_are_read() {
        let obo = Obo::read(SMALL.as_bytes()).unwrap();
        assert_eq!(obo.ids, ["CL:1", "CL:2"]);
        assert_eq!(obo.parents[1], ["CL:1", "GO:7"]);
        let index = obo.ids.iter().enumerate().map(|(i, id)| (id.as_str(), i)).collect();
        for text in ["CL:2", "CL:9", "t CELL", "T-lymphocyte"] {
            assert_eq!(obo.find(&index, text), Some(1), "{text}");
        }
        assert_eq!(obo.find(&index, "thing"), None);
        assert_eq!(obo.find(&index, "part of"), None);
    }

    #[test]
    fn damaged_files_never_panic() {
        for end in 0..SMALL.len() {
            let _ = Obo::read(&SMALL.as_bytes()[..end]);
        }
        assert!(Obo::read(&[0x5b_u8, 0xff, 0xfe, 0x0a][..]).is_err(), "not text");
        assert!(Obo::read(&b"\x28\xb5\x2f\xfd"[..]).is_err(), "compressed");
    }
}
