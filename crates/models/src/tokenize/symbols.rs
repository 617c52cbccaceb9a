//! Matching the genes of a data set to a model's list of human symbols.

use std::collections::{HashMap, HashSet};

use microtome_core::{Error, GeneTable, Organism, Result};

use crate::{GeneMatch, Overlap};

/// Below this share of the genes in common (of the shorter of data and list, as some lists are short on purpose) nothing useful is
/// left of a cell.
const FLOOR: f64 = 0.10;

/// What becomes of several columns with one symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duplicates {
    /// The first counts.
    First,
    /// They are added up.
    Sum,
}

/// Exact, case-sensitive match of symbols: a gene's token is its place in the list, wherever its column is.
pub(crate) fn match_symbols(list: &[String], genes: &GeneTable, duplicates: Duplicates) -> Result<GeneMatch> {
    if !matches!(genes.organism, Organism::HomoSapiens | Organism::Unknown) {
        return Err(Error::mismatch("the data is of another species than the model")
            .expected("human genes")
            .found(format!("{} genes", genes.organism.name()))
            .remedy("map the genes to human one-to-one orthologs first, or use a model of that species"));
    }
    let (names, source) = match (&genes.symbols, &genes.symbols_from) {
        (Some(symbols), Some(from)) => (symbols, from.source.as_str()),
        _ => (&genes.names, "var_names"),
    };
    let index: HashMap<&str, u32> = list.iter().map(String::as_str).zip(0..).collect();
    let mut taken = HashSet::new();
    let mut n_duplicates = 0;
    let token_of_gene: Vec<Option<u32>> = names
        .iter()
        .map(|name| {
            let token = *index.get(name.as_str())?;
            let first = taken.insert(token);
            n_duplicates += usize::from(!first);
            (first || duplicates == Duplicates::Sum).then_some(token)
        })
        .collect();
    let n_matched = token_of_gene.iter().flatten().count();
    let missing = names.iter().filter(|n| !n.is_empty() && !index.contains_key(n.as_str()));
    let overlap = Overlap {
        n_genes: genes.len(),
        n_matched,
        n_vocabulary: list.len(),
        n_duplicates,
        duplicate_rule: match duplicates {
            _ if n_duplicates == 0 => "no two genes share a symbol of the list",
            Duplicates::First => "of several columns with one symbol the first is kept",
            Duplicates::Sum => "columns with one symbol are added up",
        }
        .into(),
        n_renamed: 0,
        source: format!(
            "symbols of {source}, matched exactly; genes of the list that the data lacks enter as zeros"
        ),
        examples_missing: missing.take(10).cloned().collect(),
    };
    check_overlap(&overlap, genes)?;
    Ok(GeneMatch { token_of_gene, sum_duplicates: duplicates == Duplicates::Sum, counted: None, overlap })
}

fn check_overlap(overlap: &Overlap, genes: &GeneTable) -> Result<()> {
    let shorter = overlap.n_genes.min(overlap.n_vocabulary);
    let share = overlap.n_matched as f64 / shorter.max(1) as f64;
    if overlap.n_matched > 0 && share >= FLOOR {
        return Ok(());
    }
    let remedy = if genes.symbols.is_none() && genes.ensembl.is_some() {
        "the model names genes by symbol: add a column gene_symbol to var"
    } else {
        "check that the right column of var is read and that the genes are human"
    };
    Err(Error::mismatch("too few genes of the data are in the model's gene list")
        .expected(format!("at least {:.0} % of the genes", 100.0 * FLOOR))
        .found(format!(
            "{} of {shorter} ({:.1} %), {}; not found for example: {}",
            overlap.n_matched,
            100.0 * share,
            overlap.source,
            overlap.examples_missing.join(", ")
        ))
        .remedy(remedy))
}
