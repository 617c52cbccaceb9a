//! The Cell Ontology as CELLxGENE publishes it: one JSON object, term ids to `label`, `synonyms` and `ancestors`, the latter
//! with their distance in `is_a` steps. Parents are the ancestors at distance 1.

use std::fmt;
use std::io::Read;

use microtome_core::{Error, Result};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{MAX_BYTES, MAX_TERMS, TermList};

#[derive(Deserialize)]
struct Term {
    #[serde(default)]
    ancestors: std::collections::BTreeMap<String, u32>,
    #[serde(default)]
    label: String,
    #[serde(default)]
    synonyms: Vec<String>,
    #[serde(default)]
    deprecated: bool,
}

/// Terms in the order of the file, one at a time, so that a hostile file cannot fill the memory with anything but terms.
struct Terms(TermList);

impl<'de> Deserialize<'de> for Terms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct ById;
        impl<'de> Visitor<'de> for ById {
            type Value = Terms;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of terms by id, each with label and ancestors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Terms, A::Error> {
                let mut out = TermList::default();
                while let Some((id, term)) = map.next_entry::<String, Term>()? {
                    if term.deprecated {
                        continue;
                    }
                    if out.ids.len() >= MAX_TERMS {
                        return Err(serde::de::Error::custom(format!("more than {MAX_TERMS} terms")));
                    }
                    let parents = term.ancestors.into_iter().filter(|a| a.1 == 1).map(|a| a.0).collect();
                    let names = std::iter::once(term.label).chain(term.synonyms);
                    out.push(id, parents, names.filter(|n| !n.is_empty()).collect());
                }
                Ok(Terms(out))
            }
        }
        deserializer.deserialize_map(ById)
    }
}

pub(super) fn read(text: impl Read) -> Result<TermList> {
    let text = std::io::BufReader::new(text.take(MAX_BYTES));
    let Terms(list) = serde_json::from_reader(text)
        .map_err(|e| Error::unreadable("cannot read the ontology as JSON").caused_by(e))?;
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"{"CL:1":{"ancestors":{},"label":"cell","deprecated":false},
        "CL:2":{"ancestors":{"CL:1":1},"label":"T cell","synonyms":["T-lymphocyte"],"comments":["x"]},
        "CL:3":{"ancestors":{"CL:1":2,"CL:2":1,"GO:7":1},"label":"T helper","deprecated":false},
        "CL:4":{"ancestors":{},"label":"","deprecated":true,"replaced_by":"CL:3"}}"#;

    #[test]
    fn parents_are_the_ancestors_one_step_up() {
        let list = read(SMALL.as_bytes()).unwrap();
        assert_eq!(list.ids, ["CL:1", "CL:2", "CL:3"], "what is deprecated is left out");
        assert_eq!(list.parents, [vec![], vec!["CL:1".to_string()], vec!["CL:2".into(), "GO:7".into()]]);
        let index = list.index();
        for text in ["CL:2", "t cell", "T-LYMPHOCYTE"] {
            assert_eq!(list.find(&index, text), Some(1), "{text}");
        }
    }

    #[test]
    fn damaged_files_never_panic() {
        for end in 0..SMALL.len() {
            assert!(read(&SMALL.as_bytes()[..end]).is_err(), "{end}");
        }
        assert!(read(&b"[1, 2]"[..]).is_err());
        assert!(read(&br#"{"CL:1": {"ancestors": {"CL:2": -1}}}"#[..]).is_err());
    }
}
