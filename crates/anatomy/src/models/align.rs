//! One gene list for several models, with a count at every loss.

use microtome_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What happened to the genes of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneLoss {
    /// Model.
    pub model: String,
    /// Rows.
    pub listed: u64,
    /// Rows without a usable identifier (empty).
    pub unnamed: u64,
    /// Rows whose identifier another row of the model has too; all of them are left out, since which is meant is unknown.
    pub ambiguous: u64,
    /// Genes that remain.
    pub usable: u64,
    /// Genes that all models have.
    pub shared: u64,
    /// Usable genes that some other model lacks.
    pub not_shared: u64,
    /// Genes that would be shared if this model were left out, less those shared with it.
    pub costs: u64,
}

/// Shared genes and where they are in every model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alignment {
    /// Identifiers, rising.
    pub genes: Vec<String>,
    /// Row of every shared gene, per model.
    pub rows: Vec<Vec<usize>>,
    /// Losses, per model.
    pub losses: Vec<GeneLoss>,
}

/// Shared genes of models given by name and identifier per row, compared verbatim (strip version suffixes first).
///
/// Errors without models. No shared gene is not an error; the losses say why.
pub fn align(models: &[(String, Vec<String>)]) -> Result<Alignment> {
    if models.is_empty() {
        return Err(Error::usage("there is no model to align").expected("at least one"));
    }
    // Per gene: the row in every model that has it once.
    let mut table: BTreeMap<&str, Vec<Option<usize>>> = BTreeMap::new();
    let mut losses = Vec::new();
    for (m, (name, ids)) in models.iter().enumerate() {
        let mut seen: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (row, id) in ids.iter().enumerate().filter(|(_, id)| !id.is_empty()) {
            seen.entry(id).or_default().push(row);
        }
        let named: u64 = seen.values().map(|rows| rows.len() as u64).sum();
        let mut usable = 0;
        for (id, rows) in seen {
            if let [row] = rows[..] {
                usable += 1;
                table.entry(id).or_insert_with(|| vec![None; models.len()])[m] = Some(row);
            }
        }
        losses.push(GeneLoss {
            model: name.clone(),
            listed: ids.len() as u64,
            unnamed: ids.len() as u64 - named,
            ambiguous: named - usable,
            usable,
            shared: 0,
            not_shared: 0,
            costs: 0,
        });
    }
    let mut out = Alignment { genes: Vec::new(), rows: vec![Vec::new(); models.len()], losses };
    for (id, rows) in table {
        let missing: Vec<usize> = (0..models.len()).filter(|&m| rows[m].is_none()).collect();
        match missing[..] {
            [] => {
                out.genes.push(id.to_owned());
                rows.iter().zip(&mut out.rows).for_each(|(row, rows)| rows.extend(row));
            }
            [only] if models.len() > 1 => out.losses[only].costs += 1,
            _ => {}
        }
    }
    let shared = out.genes.len() as u64;
    for loss in &mut out.losses {
        loss.shared = shared;
        loss.not_shared = loss.usable - shared;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lost_gene_is_counted() {
        let ids = |s: &str| s.split(' ').map(|v| if v == "-" { String::new() } else { v.into() }).collect();
        let models = [
            ("a".to_owned(), ids("g3 g1 g2 g9 -")),
            ("b".to_owned(), ids("g1 g2 g2 g3 g8")),
            ("c".to_owned(), ids("g8 g3 g1 g2")),
        ];
        let out = align(&models).unwrap();
        assert_eq!(out.genes, ["g1", "g3"]);
        assert_eq!(out.rows, [vec![1, 0], vec![0, 3], vec![2, 1]]);
        let loss = &out.losses[1];
        assert_eq!((loss.listed, loss.ambiguous, loss.usable, loss.shared, loss.not_shared), (5, 2, 3, 2, 1));
        // g2 is missing in b only, g8 in a only, g9 in two.
        assert_eq!(out.losses.iter().map(|l| l.costs).collect::<Vec<_>>(), [1, 1, 0]);
        assert_eq!(out.losses[0].unnamed, 1);
        assert!(align(&[]).is_err());
    }
}
