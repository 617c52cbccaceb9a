//! Matching the genes of a data set to the model's list of human and mouse Ensembl ids.

use std::collections::{HashMap, HashSet};

use microtome_core::{Error, GeneTable, Organism, Result};

use super::config::FIRST_GENE;
use crate::{GeneMatch, Overlap};

/// Below this share of the data's genes in the list nothing useful is left of a cell.
const FLOOR: f64 = 0.10;

/// Exact match of Ensembl ids without version. The reference cannot read data in which an id comes twice; here such columns are
/// added up.
pub(super) fn match_genes(list: &[String], genes: &GeneTable) -> Result<GeneMatch> {
    if let Organism::Other(_) = genes.organism {
        return Err(Error::mismatch("the data is of another species than the model")
            .expected("human genes, or mouse genes mapped to human ones")
            .found(format!("{} genes", genes.organism.name()))
            .remedy("map the genes to human one-to-one orthologs first"));
    }
    let Some(ids) = &genes.ensembl else {
        return Err(Error::mismatch("the data names genes by symbol, and the model knows Ensembl ids only")
            .expected("Ensembl ids (ENSG...) in var_names or a column of var")
            .found(format!("for example \"{}\"", genes.names.first().map_or("", String::as_str)))
            .remedy("add Ensembl ids to var and name the column that holds them"));
    };
    let index: HashMap<&str, u32> = list.iter().map(String::as_str).zip(FIRST_GENE as u32..).collect();
    let token_of_gene: Vec<Option<u32>> = ids.iter().map(|id| index.get(id.as_str()).copied()).collect();
    let mut seen = HashSet::new();
    let n_duplicates = token_of_gene.iter().flatten().filter(|t| !seen.insert(**t)).count();
    let missing = ids.iter().zip(&token_of_gene).filter(|(id, t)| t.is_none() && !id.is_empty());
    let overlap = Overlap {
        n_genes: genes.len(),
        n_matched: token_of_gene.iter().flatten().count(),
        n_vocabulary: list.len(),
        n_duplicates,
        duplicate_rule: if n_duplicates == 0 {
            "no two genes share an id".into()
        } else {
            "columns with the same id are added up; the reference refuses them".into()
        },
        n_renamed: 0,
        source: format!(
            "Ensembl ids of {}, matched exactly; genes outside the list are left out before totals are taken",
            genes.ensembl_from.as_ref().map_or("var", |c| c.source.as_str())
        ),
        examples_missing: missing.map(|(id, _)| id.clone()).take(10).collect(),
    };
    let share = overlap.n_matched as f64 / overlap.n_genes.max(1) as f64;
    if overlap.n_matched == 0 || share < FLOOR {
        let remedy = if genes.organism == Organism::MusMusculus {
            "the list holds human ids and only those mouse ids that have no human ortholog: map mouse genes to human orthologs first"
        } else {
            "check that the right column of var is read"
        };
        return Err(Error::mismatch("too few genes of the data are in the model's gene list")
            .expected(format!("at least {:.0} % of the genes", 100.0 * FLOOR))
            .found(format!(
                "{} of {} ({:.1} %); not found for example: {}",
                overlap.n_matched,
                overlap.n_genes,
                100.0 * share,
                overlap.examples_missing.join(", ")
            ))
            .remedy(remedy));
    }
    Ok(GeneMatch { token_of_gene, sum_duplicates: true, counted: None, overlap })
}
