//! Matching the genes of a data set: symbols in any case, of the species that fits.

use std::collections::HashMap;

use microtome_core::{Error, GeneTable, Organism, Result};

use super::species::{AllSpecies, Species};
use crate::{GeneMatch, Overlap};

/// Below this share of the data's genes in the species' dictionary nothing useful is left of a cell.
const FLOOR: f64 = 0.10;

/// The reference's name of an organism.
fn species_of(organism: &Organism) -> Option<&str> {
    Some(match organism {
        Organism::HomoSapiens => "human",
        Organism::MusMusculus => "mouse",
        Organism::Other(prefix) => match prefix.as_str() {
            "ENSDARG" => "zebrafish",
            "ENSXETG" => "frog",
            "ENSMICG" => "mouse_lemur",
            "ENSSSCG" => "pig",
            "ENSMFAG" => "macaca_fascicularis",
            "ENSMMUG" => "macaca_mulatta",
            other => other,
        },
        Organism::Unknown => return None,
    })
}

/// Matches genes by symbol, whatever the case, to the species that the data's ids name, or else to the one that knows most of them.
pub(super) fn match_genes(all: &AllSpecies, genes: &GeneTable) -> Result<GeneMatch> {
    let (names, source) = match (&genes.symbols, &genes.symbols_from) {
        (Some(symbols), from) => (symbols, from.as_ref().map_or("var".to_string(), |c| c.source.clone())),
        (None, _) => (&genes.names, "var_names".to_string()),
    };
    let species = species(all, genes, names)?;
    let token_of_gene: Vec<Option<u32>> = names.iter().map(|n| species.row(n)).collect();
    let mut times: HashMap<u32, usize> = HashMap::new();
    for t in token_of_gene.iter().flatten() {
        *times.entry(*t).or_default() += 1;
    }
    let n_duplicates = token_of_gene.iter().flatten().filter(|t| times[t] > 1).count();
    let missing = names.iter().zip(&token_of_gene).filter(|(n, t)| t.is_none() && !n.is_empty());
    let overlap = Overlap {
        n_genes: genes.len(),
        n_matched: token_of_gene.iter().flatten().count(),
        n_vocabulary: species.len(),
        n_duplicates,
        duplicate_rule: if n_duplicates == 0 {
            "no two genes share a name".into()
        } else {
            "columns of one name are not added up, as published: each can be drawn".into()
        },
        n_renamed: 0,
        source: format!("symbols of {source} in any case, as {} genes", species.name),
        examples_missing: missing.map(|(n, _)| n.clone()).take(10).collect(),
    };
    check_overlap(&overlap, genes)?;
    Ok(GeneMatch { token_of_gene, sum_duplicates: false, counted: None, overlap })
}

fn species<'a>(all: &'a AllSpecies, genes: &GeneTable, names: &[String]) -> Result<&'a Species> {
    let known = || all.species.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
    // Symbols alone do not tell the species for sure, ids do.
    let named = genes.ensembl.as_ref().and_then(|_| species_of(&genes.organism));
    if let Some(wanted) = named {
        return all.species.iter().find(|s| s.name == wanted).ok_or_else(|| {
            Error::mismatch("the data is of a species whose proteins are not beside the model")
                .expected(format!("one of: {}", known()))
                .found(format!("{} genes", genes.organism.name()))
                .remedy("add the species' protein embeddings (protein_embeddings.tar.gz holds those of eight species)")
        });
    }
    let hits = |s: &Species| names.iter().filter(|n| s.row(n).is_some()).count();
    let best = all.species.iter().map(|s| (hits(s), s)).collect::<Vec<_>>();
    let most = best.iter().map(|(n, _)| *n).max().unwrap_or(0);
    let mut of_most = best.iter().filter(|(n, _)| *n == most).map(|(_, s)| *s);
    match (of_most.next(), of_most.next()) {
        (Some(species), other) if other.is_none() || most == 0 => Ok(species),
        _ => Err(Error::mismatch("the genes fit several species equally well")
            .expected("symbols of one species, or a column of Ensembl ids")
            .found(format!("{most} genes each in more than one of: {}", known()))),
    }
}

fn check_overlap(overlap: &Overlap, genes: &GeneTable) -> Result<()> {
    let share = overlap.n_matched as f64 / overlap.n_genes.max(1) as f64;
    if overlap.n_matched > 0 && share >= FLOOR {
        return Ok(());
    }
    Err(Error::mismatch("too few genes of the data are in the model's dictionaries")
        .expected(format!("at least {:.0} % of the genes", 100.0 * FLOOR))
        .found(format!(
            "{} of {} ({:.1} %), {}; not found for example: {}",
            overlap.n_matched,
            overlap.n_genes,
            100.0 * share,
            overlap.source,
            overlap.examples_missing.join(", ")
        ))
        .remedy(if genes.symbols.is_none() {
            "add a column of symbols to var (such as feature_name): the model does not know Ensembl ids"
        } else {
            "check that the right column of var is read and that the proteins of its species are beside the model"
        }))
}
