//! The three tokens in front of the genes: species, assay, modality.

use std::collections::BTreeMap;

use microtome_core::{Error, Result, closest};

/// Columns of `obs` in the order of their tokens, with the word of `vocab.json` for each.
pub(super) const COLUMNS: [(&str, &str); 3] =
    [("specie", "SPECIES"), ("assay", "TECH"), ("modality", "MODALITY")];
/// Tokens in front of the genes.
pub(super) const N_CONTEXTS: usize = COLUMNS.len();
/// What a cell may say when a context is not known: the token of padding, which no query sees.
pub(super) const UNKNOWN: &str = "unknown";

/// Names of the published special tokens, as `vocab.json` spells them.
pub(super) const PUBLISHED: [(&str, u32); 18] = [
    ("[CLS]", 2),
    ("[MODALITY_dissociated]", 3),
    ("[MODALITY_spatial]", 4),
    ("[SPECIES_human]", 5),
    ("[SPECIES_mouse]", 6),
    ("[TECH_merfish]", 7),
    ("[TECH_cosmx]", 8),
    ("[TECH_nanostring_digital_spatial_profiling]", 8),
    ("[TECH_xenium]", 9),
    ("[TECH_10x_5__v2]", 10),
    ("[TECH_10x_3__v3]", 11),
    ("[TECH_10x_3__v2]", 12),
    ("[TECH_10x_5__v1]", 13),
    ("[TECH_10x_3__v1]", 14),
    ("[TECH_10x_3__transcription_profiling]", 15),
    ("[TECH_10x_5__transcription_profiling]", 16),
    ("[TECH_cite-seq]", 17),
    ("[TECH_smart-seq_v4]", 18),
];

/// `10x 3' v3` becomes `10x_3__v3`.
fn spelled(value: &str) -> String {
    value.trim().to_lowercase().replace([' ', '\''], "_")
}

/// Tokens of the three contexts of every cell, `None` where one is unknown. Without columns all are.
pub(super) fn tokens(
    specials: &BTreeMap<String, u32>,
    contexts: &BTreeMap<String, Vec<String>>,
    n_cells: usize,
) -> Result<Vec<[Option<u32>; N_CONTEXTS]>> {
    if let Some(other) = contexts.keys().find(|k| !COLUMNS.iter().any(|(c, _)| c == k)) {
        return Err(Error::usage("nicheformer has no such context")
            .expected("specie, assay, modality")
            .found(format!("\"{other}\"")));
    }
    let mut out = vec![[None; N_CONTEXTS]; n_cells];
    for (place, (column, word)) in COLUMNS.into_iter().enumerate() {
        let Some(values) = contexts.get(column) else { continue };
        if values.len() != n_cells {
            return Err(Error::usage("a context is not given for every cell")
                .at_key(column)
                .expected(format!("{n_cells} values"))
                .found(values.len().to_string()));
        }
        for (cell, value) in out.iter_mut().zip(values) {
            cell[place] = token(specials, column, word, value)?;
        }
    }
    Ok(out)
}

/// Whether the vocabulary has a token for a value of a column.
pub(super) fn is_known(specials: &BTreeMap<String, u32>, column: &str, value: &str) -> bool {
    COLUMNS
        .iter()
        .any(|(c, word)| *c == column && specials.contains_key(&format!("[{word}_{}]", spelled(value))))
}

fn token(specials: &BTreeMap<String, u32>, column: &str, word: &str, value: &str) -> Result<Option<u32>> {
    let value = spelled(value);
    if value == UNKNOWN {
        return Ok(None);
    }
    if let Some(&id) = specials.get(&format!("[{word}_{value}]")) {
        return Ok(Some(id));
    }
    let known: Vec<&str> = specials
        .keys()
        .filter_map(|k| k.strip_prefix('[')?.strip_suffix(']')?.strip_prefix(word)?.strip_prefix('_'))
        .collect();
    Err(Error::mismatch("the model has no token for what a cell is")
        .at_key(format!("obs/{column}"))
        .expected(format!("one of: {}, or {UNKNOWN}", known.join(", ")))
        .found(format!("\"{value}\""))
        .remedy(closest(&value, known.iter().copied()).map_or_else(
            || format!("give all cells another: --assume {column}={UNKNOWN}"),
            |n| format!("did you mean {n}? --assume {column}={n} gives it to all cells"),
        )))
}
