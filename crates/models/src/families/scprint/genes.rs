//! Matching the genes of a data set: by Ensembl id, within the organism of the cells.

use std::collections::{HashMap, HashSet};

use microtome_core::{Error, GeneTable, Organism, Result, strip_version};

use super::ontology::Ontology;
use crate::{GeneMatch, Overlap};

/// Below this share of the data's genes in the vocabulary nothing useful is left of a cell.
const FLOOR: f64 = 0.10;
/// Organisms of the published files: taxon and prefix of their Ensembl ids.
const TAXA: [(&str, &str, Organism); 2] = [
    ("NCBITaxon:9606", "ENSG", Organism::HomoSapiens),
    ("NCBITaxon:10090", "ENSMUSG", Organism::MusMusculus),
];

/// The genes of a model.
#[derive(Clone, Debug)]
pub(super) struct Vocabulary {
    pub(super) genes: Vec<String>,
    index: HashMap<String, u32>,
    organisms: Vec<String>,
    pub(super) ontology: Option<Ontology>,
}

impl Vocabulary {
    pub(super) fn new(genes: Vec<String>, organisms: Vec<String>, ontology: Option<Ontology>) -> Self {
        let index = genes.iter().cloned().zip(0..).collect();
        Self { genes, index, organisms, ontology }
    }

    /// Tokens of all genes of the organism that a gene belongs to, ascending.
    pub(super) fn of_organism(&self, token: u32) -> Vec<u32> {
        let prefix = self.genes.get(token as usize).map_or("", |g| letters(g));
        (0..self.genes.len() as u32).filter(|&t| letters(&self.genes[t as usize]) == prefix).collect()
    }

    /// The organism of the data, if the model knows it: taxon and prefix.
    fn taxon(&self, genes: &GeneTable) -> Result<(&'static str, &'static str)> {
        let known = TAXA.iter().find(|(taxon, _, organism)| {
            *organism == genes.organism && self.organisms.iter().any(|o| o == taxon)
        });
        known.map(|(taxon, prefix, _)| (*taxon, *prefix)).ok_or_else(|| {
            Error::mismatch("the data is of a species that the model does not know, or of none that can be told")
                .expected(self.organisms.join(" or "))
                .found(format!("{} genes", genes.organism.name()))
                .remedy("give var a column ensembl_id with ENSG or ENSMUSG ids, or use a model of that species")
        })
    }

    /// Ids are matched as they are spelled, as published; an id with a version counts where the plain one is not in the data. Of several
    /// columns with one id the first counts.
    pub(super) fn match_genes(&self, genes: &GeneTable) -> Result<GeneMatch> {
        let (taxon, prefix) = self.taxon(genes)?;
        let of_taxon = |id: &str| letters(id) == prefix;
        let in_model = |id: &str| self.index.get(id).copied().filter(|_| of_taxon(id));
        let known = |id: &str| match &self.ontology {
            Some(o) => o.has(id, taxon) || in_model(id).is_some(),
            None => of_taxon(id),
        };
        let Names { ids, source } = self.names(genes, taxon)?;
        let spelled: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let mut taken: HashSet<&str> = HashSet::new();
        let (mut n_duplicates, mut n_renamed) = (0, 0);
        let resolved: Vec<Option<&str>> = ids
            .iter()
            .map(|id| {
                let plain = strip_version(id);
                let id = if plain == id || spelled.contains(plain) { id.as_str() } else { plain };
                if !known(id) {
                    return None;
                }
                let first = taken.insert(id);
                n_duplicates += usize::from(!first);
                n_renamed += usize::from(first && !spelled.contains(id));
                first.then_some(id)
            })
            .collect();
        let token_of_gene: Vec<Option<u32>> = resolved.iter().map(|r| r.and_then(in_model)).collect();
        let n_matched = token_of_gene.iter().flatten().count();
        let missing = ids.iter().zip(&token_of_gene).filter(|(id, t)| t.is_none() && !id.is_empty());
        let overlap = Overlap {
            n_genes: genes.len(),
            n_matched,
            n_vocabulary: self.genes.iter().filter(|g| of_taxon(g)).count(),
            n_duplicates,
            duplicate_rule: if n_duplicates == 0 {
                "no two genes share an id".into()
            } else {
                "of several columns with one id the first is kept".into()
            },
            n_renamed,
            source,
            examples_missing: missing.take(10).map(|(id, _)| id.clone()).collect(),
        };
        check_overlap(&overlap)?;
        let counted = Some(resolved.iter().map(Option::is_some).collect());
        Ok(GeneMatch { token_of_gene, sum_duplicates: false, counted, overlap })
    }

    fn names(&self, genes: &GeneTable, taxon: &str) -> Result<Names> {
        let depth = match &self.ontology {
            Some(_) => "the depth of a cell is over all genes of ontology_genes.csv",
            None => {
                "the depth of a cell is over all genes of the data with an Ensembl id of the organism, because there is \
                 no ontology_genes.csv (the published depth is over the genes of the authors' gene ontology)"
            }
        };
        if let (Some(ids), Some(from)) = (&genes.ensembl, &genes.ensembl_from) {
            // The index is taken as it is spelled; other columns come without versions.
            let ids = if from.source == "var_names" { &genes.names } else { ids };
            return Ok(Names { ids: ids.clone(), source: format!("Ensembl ids of {}; {depth}", from.source) });
        }
        if let (Some(symbols), Some(from), Some(ontology)) = (&genes.symbols, &genes.symbols_from, &self.ontology) {
            let ids = symbols.iter().map(|s| ontology.id_of(s, taxon).unwrap_or_default().to_string()).collect();
            let source = format!("symbols of {}, translated by ontology_genes.csv; {depth}", from.source);
            return Ok(Names { ids, source });
        }
        Err(Error::mismatch("the model names genes by Ensembl id, and the data has none")
            .expected("Ensembl ids in var_names or a column of var")
            .found(format!("for example \"{}\"", genes.names.first().map_or("", String::as_str)))
            .remedy("add a column ensembl_id to var, or put ontology_genes.csv with symbols beside the checkpoint"))
    }
}

struct Names {
    /// Ensembl id per gene, empty where there is none.
    ids: Vec<String>,
    source: String,
}

/// An id without its digits: the species.
fn letters(id: &str) -> &str {
    id.trim_end_matches(|c: char| c.is_ascii_digit())
}

fn check_overlap(overlap: &Overlap) -> Result<()> {
    let share = overlap.n_matched as f64 / overlap.n_genes.max(1) as f64;
    if overlap.n_matched > 0 && share >= FLOOR {
        return Ok(());
    }
    Err(Error::mismatch("too few genes of the data are in the model's vocabulary")
        .expected(format!("at least {:.0} % of the genes", 100.0 * FLOOR))
        .found(format!(
            "{} of {} ({:.1} %), {}; not found for example: {}",
            overlap.n_matched,
            overlap.n_genes,
            100.0 * share,
            overlap.source,
            overlap.examples_missing.join(", ")
        ))
        .remedy("check that the right column of var is read"))
}
