//! Matching the genes of a data set: Ensembl ids of any species of the vocabulary.

use std::collections::HashSet;

use microtome_core::{Error, GeneTable, Result};

use super::vocabulary::Vocabulary;
use crate::{GeneMatch, Overlap};

/// Below this share of the data's genes in the vocabulary nothing useful is left of a cell.
const FLOOR: f64 = 0.10;

/// Matches ids cut at their first dot. Of columns of one id the first counts (`--remove-duplicate-genes`; the original stops without it).
pub(super) fn match_genes(v: &Vocabulary, genes: &GeneTable) -> Result<GeneMatch> {
    let Some(ids) = &genes.ensembl else {
        return Err(Error::mismatch("no Ensembl ids were found in the data")
            .expected("var[\"ensembl_id\"] or Ensembl ids as var_names")
            .found(format!("for example \"{}\"", genes.names.first().map_or("", String::as_str)))
            .remedy("add a column of Ensembl ids to var, or name the one that holds them"));
    };
    let mut seen = HashSet::new();
    let mut n_duplicates = 0;
    let token = |id: &String| {
        let token = v.gene(id.split('.').next().unwrap_or_default())?;
        let first = seen.insert(token);
        n_duplicates += usize::from(!first);
        first.then_some(token)
    };
    let token_of_gene: Vec<Option<u32>> = ids.iter().map(token).collect();
    let n_matched = token_of_gene.iter().flatten().count() + n_duplicates;
    let missing =
        ids.iter().filter(|id| v.gene(id.split('.').next().unwrap_or_default()).is_none() && !id.is_empty());
    let overlap = Overlap {
        n_genes: genes.len(),
        n_matched,
        n_vocabulary: v.n_genes(),
        n_duplicates,
        duplicate_rule: if n_duplicates == 0 {
            "no two genes share an id".into()
        } else {
            "of columns of one id the first counts, the others are left out".into()
        },
        n_renamed: 0,
        source: format!(
            "Ensembl ids of {}",
            genes.ensembl_from.as_ref().map_or("var", |c| c.source.as_str())
        ),
        examples_missing: missing.take(10).cloned().collect(),
    };
    let share = overlap.n_matched as f64 / overlap.n_genes.max(1) as f64;
    if overlap.n_matched == 0 || share < FLOOR {
        return Err(Error::mismatch("too few genes of the data are in the model's vocabulary")
            .expected(format!("at least {:.0} % of the genes", 100.0 * FLOOR))
            .found(format!(
                "{} of {} ({:.1} %); not found for example: {}",
                overlap.n_matched,
                overlap.n_genes,
                100.0 * share,
                overlap.examples_missing.join(", ")
            ))
            .remedy("use a model whose vocabulary holds the species of the data"));
    }
    Ok(GeneMatch { token_of_gene, sum_duplicates: false, counted: None, overlap })
}
