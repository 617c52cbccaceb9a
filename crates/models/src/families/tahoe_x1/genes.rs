//! Matching the genes of a data set: Ensembl ids, exactly.

use std::collections::HashMap;

use microtome_core::{Error, GeneTable, Organism, Result, strip_version};

use super::vocabulary::Vocabulary;
use crate::{GeneMatch, Overlap};

/// Below this share of the data's genes in the vocabulary nothing useful is left of a cell.
const FLOOR: f64 = 0.10;

/// Matches genes by the published rule: the Ensembl id must be a key of the vocabulary. Columns of one id stay apart, so their token appears
/// once per column. Version suffixes are removed, which the original does not do.
pub(super) fn match_genes(v: &Vocabulary, genes: &GeneTable) -> Result<GeneMatch> {
    if !matches!(genes.organism, Organism::HomoSapiens | Organism::Unknown) {
        return Err(Error::mismatch("the data is of another species than the model")
            .expected("human genes (ENSG ids)")
            .found(format!("{} genes", genes.organism.name()))
            .remedy("map the genes to human one-to-one orthologs first, or use a model of that species"));
    }
    let ids = genes.ensembl.as_ref().ok_or_else(|| {
        Error::mismatch("the model names genes by Ensembl id, and the data has none")
            .expected("ids such as ENSG00000141510 in var_names or a column of var such as ensembl_id")
            .found(format!("for example \"{}\"", genes.names.first().map_or("", String::as_str)))
            .remedy("add Ensembl ids to var, or name the column that holds them")
    })?;
    let token_of_gene: Vec<Option<u32>> = ids.iter().map(|id| v.gene(id)).collect();
    let mut times: HashMap<u32, usize> = HashMap::new();
    for t in token_of_gene.iter().flatten() {
        *times.entry(*t).or_default() += 1;
    }
    let mut source = format!("Ensembl ids of {}", genes.ensembl_from.as_ref().map_or("var", |c| c.source.as_str()));
    if ids.iter().zip(&genes.names).any(|(id, name)| id != name && strip_version(name) == id) {
        source.push_str("; version suffixes removed");
    }
    let missing = genes.names.iter().zip(&token_of_gene).filter(|(n, t)| t.is_none() && !n.is_empty());
    let n_duplicates = token_of_gene.iter().flatten().filter(|t| times[t] > 1).count();
    let overlap = Overlap {
        n_genes: genes.len(),
        n_matched: token_of_gene.iter().flatten().count(),
        n_vocabulary: v.n_genes(),
        n_duplicates,
        duplicate_rule: if n_duplicates == 0 {
            "no two genes share an id".into()
        } else {
            "columns of one id are not added up, as published: the gene's token appears once per column".into()
        },
        n_renamed: 0,
        source,
        examples_missing: missing.map(|(n, _)| n.clone()).take(10).collect(),
    };
    let share = overlap.n_matched as f64 / overlap.n_genes.max(1) as f64;
    if overlap.n_matched == 0 || share < FLOOR {
        return Err(Error::mismatch("too few genes of the data are in the model's vocabulary")
            .expected(format!("at least {:.0} % of the genes", 100.0 * FLOOR))
            .found(format!(
                "{} of {} ({:.1} %), names from {}; not found for example: {}",
                overlap.n_matched,
                overlap.n_genes,
                100.0 * share,
                overlap.source,
                overlap.examples_missing.join(", ")
            ))
            .remedy("check that the right column of var is read and that the genes are human"));
    }
    Ok(GeneMatch { token_of_gene, sum_duplicates: false, counted: None, overlap })
}
