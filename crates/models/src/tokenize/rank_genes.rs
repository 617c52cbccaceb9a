//! Matching the genes of a data set, by the published rules and with everything reported.

use std::collections::{HashMap, HashSet};

use microtome_core::{Error, GeneTable, Organism, Result};

use super::rank_vocabulary::RankVocabulary;
use crate::{GeneMatch, Overlap};

/// Below this share of the data's genes in the vocabulary nothing useful is left of a cell.
const FLOOR: f64 = 0.10;
/// A vocabulary of symbols in capitals matches symbols of another species once these are put in capitals;
/// above this share of such matches the data is taken for another species.
const FOREIGN: f64 = 0.5;

/// Matches genes. As in the original, the id is put in capitals and looked up in the mapping dictionary, whose entries with
/// targets outside the vocabulary do not count. Genes that share a target are added up when the number of distinct
/// targets differs from the number of distinct ids that the mapping knows as they are spelled. (The same id in two
/// columns does not change these numbers, so such columns alone stay apart and give the token twice.)
pub(crate) fn match_genes(vocabulary: &RankVocabulary, genes: &GeneTable) -> Result<GeneMatch> {
    check_organism(genes)?;
    let Names { ids, source, n_respelled } = names(vocabulary, genes)?;
    let token_of_gene: Vec<Option<u32>> =
        ids.iter().map(|id| vocabulary.mapped(&id.to_uppercase())).collect();
    let known: HashSet<&str> =
        ids.iter().map(String::as_str).filter(|id| vocabulary.mapped(id).is_some()).collect();
    let targets: HashSet<u32> = known.iter().filter_map(|id| vocabulary.mapped(id)).collect();
    let sum_duplicates = known.len() != targets.len();

    let mut times: HashMap<u32, usize> = HashMap::new();
    for t in token_of_gene.iter().flatten() {
        *times.entry(*t).or_default() += 1;
    }
    let n_matched = token_of_gene.iter().flatten().count();
    let renamed = ids.iter().zip(&token_of_gene).filter(|(id, token)| {
        token.is_some_and(|t| vocabulary.name(t).is_some_and(|name| !name.eq_ignore_ascii_case(id)))
    });
    let overlap = Overlap {
        n_genes: genes.len(),
        n_matched,
        n_vocabulary: vocabulary.n_genes(),
        n_duplicates: token_of_gene.iter().flatten().filter(|t| times[t] > 1).count(),
        duplicate_rule: duplicate_rule(sum_duplicates, times.values().any(|&n| n > 1)),
        n_renamed: renamed.count(),
        source,
        examples_missing: examples_missing(genes, &token_of_gene),
    };
    check_overlap(&overlap, n_respelled, genes)?;
    Ok(GeneMatch { token_of_gene, sum_duplicates, counted: None, overlap })
}

fn duplicate_rule(sum: bool, any: bool) -> String {
    match (sum, any) {
        (true, _) => "genes that share an id after mapping are added up, as published",
        (false, true) => {
            "columns with the very same id are not added up, as published: the gene's token appears once per column"
        }
        (false, false) => "no two genes share an id",
    }
    .into()
}

fn examples_missing(genes: &GeneTable, tokens: &[Option<u32>]) -> Vec<String> {
    let missing = genes.names.iter().zip(tokens).filter(|(_, t)| t.is_none());
    missing.map(|(n, _)| n.clone()).filter(|n| !n.is_empty()).take(10).collect()
}

struct Names {
    /// Ensembl id (or what stands in the column) per gene, empty where there is none.
    ids: Vec<String>,
    source: String,
    /// Symbols found only after putting them in capitals.
    n_respelled: usize,
}

fn names(vocabulary: &RankVocabulary, genes: &GeneTable) -> Result<Names> {
    let from = |c: &Option<microtome_core::GeneColumn>| {
        c.as_ref().map_or_else(|| "var".to_string(), |c| c.source.clone())
    };
    let mapped = if vocabulary.has_mapping() {
        "through the mapping dictionary"
    } else {
        "as they are: the model has no mapping dictionary, so retired ids are not renamed"
    };
    if let Some(ids) = &genes.ensembl {
        let mut source = format!("Ensembl ids of {}, {mapped}", from(&genes.ensembl_from));
        if ids
            .iter()
            .zip(&genes.names)
            .any(|(id, name)| id != name && microtome_core::strip_version(name) == id)
        {
            source.push_str("; version suffixes removed");
        }
        return Ok(Names { ids: ids.clone(), source, n_respelled: 0 });
    }
    let Some(symbols) = &genes.symbols else {
        return Err(Error::mismatch("no gene names were found in the data")
            .expected("Ensembl ids (ENSG...) or gene symbols in var_names or a column of var")
            .found(format!("for example \"{}\"", genes.names.first().map_or("", String::as_str)))
            .remedy("name the column that holds them"));
    };
    if !vocabulary.has_symbols() && !vocabulary.has_mapping() {
        return Err(Error::mismatch("the data names genes by symbol, and the model has no table of symbols")
            .expected("Ensembl ids in the data, or gene_name_id_dict*.pkl beside the model")
            .remedy("copy the dictionary into the model folder, or add Ensembl ids to var"));
    }
    let mut n_respelled = 0;
    let ids = symbols
        .iter()
        .map(|symbol| match vocabulary.id_of_symbol(symbol) {
            Some(id) => id.to_string(),
            None => {
                let upper = symbol.to_uppercase();
                let hit = vocabulary.id_of_symbol(&upper).map(str::to_string);
                n_respelled +=
                    usize::from(upper != *symbol && (hit.is_some() || vocabulary.mapped(&upper).is_some()));
                hit.unwrap_or_else(|| symbol.clone())
            }
        })
        .collect();
    let source = format!(
        "symbols of {}, translated by the model's gene_name_id_dict, then {mapped}",
        from(&genes.symbols_from)
    );
    Ok(Names { ids, source, n_respelled })
}

fn check_organism(genes: &GeneTable) -> Result<()> {
    match genes.organism {
        Organism::HomoSapiens | Organism::Unknown => Ok(()),
        _ => Err(Error::mismatch("the data is of another species than the model")
            .expected("human genes (ENSG ids or human symbols)")
            .found(format!("{} genes", genes.organism.name()))
            .remedy("map the genes to human one-to-one orthologs first, or use a model of that species")),
    }
}

fn check_overlap(overlap: &Overlap, n_respelled: usize, genes: &GeneTable) -> Result<()> {
    if n_respelled as f64 > FOREIGN * overlap.n_matched as f64 && n_respelled >= 20 {
        return Err(Error::mismatch(
            "the gene symbols are not spelled as human ones; is this another species?",
        )
        .expected("human symbols such as ACTB")
        .found(format!(
            "{n_respelled} of {} known symbols match only when put in capitals, for example \"{}\"",
            overlap.n_matched,
            genes.symbols.iter().flatten().find(|s| s.to_uppercase() != **s).map_or("", String::as_str)
        ))
        .remedy("map the genes to human one-to-one orthologs first, or add human Ensembl ids to var"));
    }
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
    Ok(())
}
