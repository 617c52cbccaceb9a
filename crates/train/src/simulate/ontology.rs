//! The hierarchy of cell types as an ontology.

use std::fmt::Write;

use serde_json::{Value, json};

use super::tree::Tree;

/// Column of `obs` with the ids of terms, under the name that CELLxGENE uses.
pub(super) const ID_COLUMN: &str = "cell_type_ontology_term_id";

/// Id of a term: simulated types are nowhere else, so they have a prefix of their own.
pub(super) fn term_id(term: usize) -> String {
    format!("SIM:{:07}", term + 1)
}

/// Names of the terms right below the root, and which of them each term belongs to (the root to the first).
pub(super) fn classes(tree: &Tree) -> (Vec<String>, Vec<u32>) {
    let names =
        tree.segments.iter().filter(|s| s.parent == Some(0)).map(|s| s.name.clone()).collect::<Vec<_>>();
    let of = tree.segments.iter().map(|s| s.branch.map_or(0, |b| b - 1)).collect();
    (names, of)
}

/// Every term with its parent, the root first.
pub(super) fn truth(tree: &Tree) -> Vec<Value> {
    tree.segments
        .iter()
        .enumerate()
        .map(|(t, s)| json!({ "id": term_id(t), "name": s.name, "parent": s.parent.map(term_id) }))
        .collect()
}

/// OBO 1.4.
pub(super) fn obo(tree: &Tree) -> String {
    let mut out = String::from("format-version: 1.4\nontology: simulated_cell_types\n");
    for (t, s) in tree.segments.iter().enumerate() {
        let _ = write!(out, "\n[Term]\nid: {}\nname: {}\n", term_id(t), s.name);
        if let Some(p) = s.parent {
            let _ = writeln!(out, "is_a: {} ! {}", term_id(p), tree.segments[p].name);
        }
    }
    out
}
