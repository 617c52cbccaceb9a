//! Matching the genes of a data set: symbols, exactly as they are spelled.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use microtome_core::{Error, GeneTable, Organism, Result, strip_version};

use super::vocabulary::Vocabulary;
use crate::{GeneMatch, Overlap};

/// Below this share of the data's genes in the vocabulary nothing useful is left of a cell.
const FLOOR: f64 = 0.10;
/// Largest table of gene names that is read.
const MAX_BYTES: u64 = 64 << 20;
/// The authors' table of Ensembl ids and symbols.
pub(super) const GENE_TABLE: &str = "gene_info.csv";

/// Ensembl ids and symbols beside a checkpoint.
pub(super) struct NameTable {
    pub(super) path: PathBuf,
    symbol_of: HashMap<String, String>,
}

impl NameTable {
    /// `gene_info.csv` in the folder of the checkpoint or the one above, where there is one.
    pub(super) fn find(folder: &Path) -> Result<Option<Self>> {
        let above = folder.parent().map(|p| p.join(GENE_TABLE));
        let found = [Some(folder.join(GENE_TABLE)), above].into_iter().flatten().find(|p| p.is_file());
        found.map(|path| Self::read(&path)).transpose()
    }

    fn read(path: &Path) -> Result<Self> {
        let unreadable =
            |e: std::io::Error| Error::unreadable("cannot read the table of gene names").in_file(path).caused_by(e);
        if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_BYTES {
            return Err(Error::unreadable("the table of gene names is too large to be one").in_file(path));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let mut lines = text.lines();
        let header = fields(lines.next().unwrap_or_default());
        let column = |name: &str| {
            header.iter().position(|h| h == name).ok_or_else(|| {
                Error::unreadable("the table of gene names lacks a column")
                    .in_file(path)
                    .at_key(name.to_string())
                    .expected("a header with feature_id and feature_name")
                    .found(header.join(", "))
            })
        };
        let (id, symbol) = (column("feature_id")?, column("feature_name")?);
        let row = |line: &str| {
            let f = fields(line);
            Some((strip_version(f.get(id)?).to_string(), f.get(symbol)?.clone()))
        };
        let symbol_of = lines.filter_map(row).filter(|(id, s)| !id.is_empty() && !s.is_empty()).collect();
        Ok(Self { path: path.to_path_buf(), symbol_of })
    }
}

/// Fields of a line of comma-separated values; quoted fields may hold commas and doubled quotes.
fn fields(line: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                if let Some(field) = out.last_mut() {
                    field.push('"');
                }
            }
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(String::new()),
            c => {
                if let Some(field) = out.last_mut() {
                    field.push(c);
                }
            }
        }
    }
    out
}

/// Matches genes by the published rule: the name must be a key of the vocabulary, letter by letter. Columns of one name stay apart, so
/// their token appears once per column. Data with Ensembl ids alone are translated by the table beside the checkpoint.
pub(super) fn match_genes(v: &Vocabulary, table: Option<&NameTable>, genes: &GeneTable) -> Result<GeneMatch> {
    if !matches!(genes.organism, Organism::HomoSapiens | Organism::Unknown) {
        return Err(Error::mismatch("the data is of another species than the model")
            .expected("human genes (human symbols)")
            .found(format!("{} genes", genes.organism.name()))
            .remedy("map the genes to human one-to-one orthologs first, or use a model of that species"));
    }
    let (names, source, n_renamed) = names(v, table, genes)?;
    let token_of_gene: Vec<Option<u32>> = names.iter().map(|n| v.gene(n)).collect();
    let mut times: HashMap<u32, usize> = HashMap::new();
    for t in token_of_gene.iter().flatten() {
        *times.entry(*t).or_default() += 1;
    }
    let missing = names.iter().zip(&token_of_gene).filter(|(n, t)| t.is_none() && !n.is_empty());
    let n_duplicates = token_of_gene.iter().flatten().filter(|t| times[t] > 1).count();
    let overlap = Overlap {
        n_genes: genes.len(),
        n_matched: token_of_gene.iter().flatten().count(),
        n_vocabulary: v.n_genes(),
        n_duplicates,
        duplicate_rule: if n_duplicates == 0 {
            "no two genes share a name".into()
        } else {
            "columns of one name are not added up, as published: the gene's token appears once per column".into()
        },
        n_renamed,
        source,
        examples_missing: missing.map(|(n, _)| n.clone()).take(10).collect(),
    };
    check_overlap(&overlap, table.is_some() || genes.symbols.is_some())?;
    Ok(GeneMatch { token_of_gene, sum_duplicates: false, counted: None, overlap })
}

/// Names to look up, where they come from, and how many were translated.
fn names(v: &Vocabulary, table: Option<&NameTable>, genes: &GeneTable) -> Result<(Vec<String>, String, usize)> {
    if let Some(symbols) = &genes.symbols {
        let from = genes.symbols_from.as_ref().map_or("var", |c| c.source.as_str());
        return Ok((symbols.clone(), format!("symbols of {from}, as they are spelled"), 0));
    }
    let Some(ids) = &genes.ensembl else {
        return Err(Error::mismatch("no gene names were found in the data")
            .expected("gene symbols in var_names or a column of var such as feature_name")
            .found(format!("for example \"{}\"", genes.names.first().map_or("", String::as_str)))
            .remedy("name the column that holds them"));
    };
    let from = genes.ensembl_from.as_ref().map_or("var", |c| c.source.as_str());
    let Some(table) = table else {
        let source = format!("Ensembl ids of {from}; only {} genes of the vocabulary are named by id", v.n_ensembl());
        return Ok((ids.clone(), source, 0));
    };
    let mut n_renamed = 0;
    let translate = |id: &String| match table.symbol_of.get(id) {
        Some(symbol) if v.gene(id).is_none() => {
            n_renamed += usize::from(v.gene(symbol).is_some());
            symbol.clone()
        }
        _ => id.clone(),
    };
    let names = ids.iter().map(translate).collect();
    Ok((names, format!("Ensembl ids of {from}, translated to symbols by {GENE_TABLE}"), n_renamed))
}

fn check_overlap(overlap: &Overlap, named: bool) -> Result<()> {
    let share = overlap.n_matched as f64 / overlap.n_genes.max(1) as f64;
    if overlap.n_matched > 0 && share >= FLOOR {
        return Ok(());
    }
    Err(Error::mismatch("too few genes of the data are in the model's vocabulary")
        .expected(format!("at least {:.0} % of the genes", 100.0 * FLOOR))
        .found(format!(
            "{} of {} ({:.1} %), names from {}; not found for example: {}",
            overlap.n_matched,
            overlap.n_genes,
            100.0 * share,
            overlap.source,
            overlap.examples_missing.join(", ")
        ))
        .remedy(if named {
            "check that the right column of var is read and that the genes are human; symbols must match letter by letter".into()
        } else {
            format!(
                "add a column of symbols to var (such as feature_name), or put {GENE_TABLE} (columns feature_id, feature_name) beside \
                 the checkpoint"
            )
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_fields_keep_their_commas() {
        assert_eq!(fields(r#"a,"b,c","d ""e""",,f"#), ["a", "b,c", r#"d "e""#, "", "f"]);
        assert_eq!(fields(""), [""]);
    }
}
