//! The OBO format: `[Term]` stanzas with `id`, `name`, exact synonyms, `alt_id` and `is_a` (the only relation that counts
//! as a step). Obsolete terms are left out.

use std::io::{BufRead, BufReader, Read};

use microtome_core::{Error, Result};

use super::{MAX_BYTES, MAX_TERMS, TermList};

pub(super) fn read(text: impl Read) -> Result<TermList> {
    let mut out = TermList::default();
    let mut term: Option<(String, Vec<String>, Vec<String>)> = None;
    let bad = |e: std::io::Error| Error::unreadable("cannot read the ontology").caused_by(e);
    for line in BufReader::new(text.take(MAX_BYTES)).lines() {
        let line = line.map_err(bad)?;
        let line = line.trim();
        if line.starts_with('[') {
            if let Some((id, parents, also)) = term.take() {
                out.push(id, parents, also);
            }
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
    if let Some((id, parents, also)) = term {
        out.push(id, parents, also);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "format-version: 1.2\n\n[Term]\nid: CL:1\nname: cell\n\n[Term]\nid: CL:2\nname: T cell\nalt_id: CL:9\nsynonym: \"T-lymphocyte\" EXACT []\nsynonym: \"thing\" RELATED []\nis_a: CL:1 {x=\"y\"} ! cell\nis_a: GO:7 ! not here\n\n[Term]\nid: CL:3\nname: old\nis_obsolete: true\n\n[Typedef]\nid: part_of\nname: part of\n";

    #[test]
    fn terms_names_and_parents_are_read() {
        let obo = read(SMALL.as_bytes()).unwrap();
        assert_eq!(obo.ids, ["CL:1", "CL:2"]);
        assert_eq!(obo.parents[1], ["CL:1", "GO:7"]);
        let index = obo.index();
        for text in ["CL:2", "CL:9", "t CELL", "T-lymphocyte"] {
            assert_eq!(obo.find(&index, text), Some(1), "{text}");
        }
        assert_eq!(obo.find(&index, "thing"), None);
        assert_eq!(obo.find(&index, "part of"), None);
    }

    #[test]
    fn damaged_files_never_panic() {
        for end in 0..SMALL.len() {
            let _ = read(&SMALL.as_bytes()[..end]);
        }
        assert!(read(&[0x5b_u8, 0xff, 0xfe, 0x0a][..]).is_err(), "not text");
    }
}
