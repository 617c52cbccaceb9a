//! Gene identity: which column of `var` holds Ensembl ids, which holds symbols, and of which organism.

use std::collections::HashSet;

use crate::{Error, Result, Table};

/// How genes are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GeneNamespace {
    /// Ensembl gene ids such as `ENSG00000141510`.
    Ensembl,
    /// Symbols such as `TP53`.
    Symbol,
}

/// Organism, as far as gene ids tell.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Organism {
    /// `ENSG...`
    HomoSapiens,
    /// `ENSMUSG...`
    MusMusculus,
    /// Any other Ensembl prefix, verbatim, for instance `ENSGALG`.
    Other(String),
    /// Nothing tells.
    Unknown,
}

impl Organism {
    /// Name for messages.
    pub fn name(&self) -> String {
        match self {
            Self::HomoSapiens => "human".into(),
            Self::MusMusculus => "mouse".into(),
            Self::Other(prefix) => match prefix.as_str() {
                "ENSGALG" => "chicken (ENSGALG)".into(),
                "ENSDARG" => "zebrafish (ENSDARG)".into(),
                "ENSRNOG" => "rat (ENSRNOG)".into(),
                "ENSMMUG" => "macaque (ENSMMUG)".into(),
                "ENSSSCG" => "pig (ENSSSCG)".into(),
                _ => format!("the species of {prefix} ids"),
            },
            Self::Unknown => "unknown".into(),
        }
    }
}

/// Where a kind of gene name was found.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct GeneColumn {
    /// `var_names` or `var["..."]`.
    pub source: String,
    /// Share of rows that look like this kind of name.
    pub share: f64,
}

/// The genes of a data set with what is known of their names.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneTable {
    /// `var_names`.
    pub names: Vec<String>,
    /// Ensembl id per gene, version stripped; entries of another shape are kept as they are, empty where there is none.
    pub ensembl: Option<Vec<String>>,
    /// Symbol per gene, empty where there is none.
    pub symbols: Option<Vec<String>>,
    /// Where the Ensembl ids come from.
    pub ensembl_from: Option<GeneColumn>,
    /// Where the symbols come from.
    pub symbols_from: Option<GeneColumn>,
    /// What the ids say about the organism.
    pub organism: Organism,
}

/// `ENSG00000141510.17` -> `ENSG00000141510`; anything else is returned as it is (`.` occurs in clone-based
/// symbols such as `RP11-34P13.7`). A PAR-Y suffix (`ENSG....5_PAR_Y`) is not a version and is kept.
pub fn strip_version(id: &str) -> &str {
    match id.split_once('.') {
        Some((stem, version))
            if ensembl_prefix(stem).is_some()
                && !version.is_empty()
                && version.bytes().all(|b| b.is_ascii_digit()) =>
        {
            stem
        }
        _ => id,
    }
}

/// The species prefix of an Ensembl gene id (`ENSG`, `ENSMUSG`), or `None` when it is not one.
fn ensembl_prefix(id: &str) -> Option<&str> {
    let digits = id.bytes().rev().take_while(u8::is_ascii_digit).count();
    let prefix = &id.get(..id.len() - digits)?;
    let shape = prefix.len() >= 4
        && prefix.len() <= 10
        && prefix.get(..3).is_some_and(|p| p.eq_ignore_ascii_case("ENS"))
        && prefix.bytes().last().is_some_and(|b| b.eq_ignore_ascii_case(&b'G'))
        && prefix.bytes().all(|b| b.is_ascii_alphabetic());
    (shape && digits >= 6).then_some(*prefix)
}

fn is_ensembl(id: &str) -> bool {
    ensembl_prefix(strip_version(id)).is_some()
}

/// Something that can be a symbol: not empty, not an id, not a bare number.
fn is_symbol(name: &str) -> bool {
    !name.is_empty()
        && !is_ensembl(name)
        && name.bytes().any(|b| b.is_ascii_alphabetic())
        && !name.contains(' ')
}

const ENSEMBL_NAMES: [&str; 9] = [
    "ensembl_id",
    "ensembl_ids",
    "ensembl",
    "gene_id",
    "gene_ids",
    "feature_id",
    "ensembl_gene_id",
    "ENSEMBL",
    "ensembl.id",
];
const SYMBOL_NAMES: [&str; 9] = [
    "gene_symbol",
    "gene_symbols",
    "symbol",
    "feature_name",
    "gene_name",
    "gene_names",
    "gene_short_name",
    "SYMBOL",
    "hgnc_symbol",
];

impl GeneTable {
    /// Finds out what the columns of `var` hold.
    ///
    /// A named column of conventional name wins, then `var_names`, then any other text column; within these the
    /// column with the larger share of fitting values. `ensembl_column` / `symbol_column` override the search
    /// (`var_names` stands for the index).
    pub fn detect(var: &Table, ensembl_column: Option<&str>, symbol_column: Option<&str>) -> Result<Self> {
        let ensembl = pick(var, ensembl_column, &ENSEMBL_NAMES, is_ensembl, 0.5)?;
        let symbols = pick(var, symbol_column, &SYMBOL_NAMES, is_symbol, 0.5)?;
        // A column picked as symbols must not be the one that was picked as ids.
        let symbols = symbols.filter(|(s, _)| ensembl.as_ref().is_none_or(|(e, _)| e.source != s.source));
        // Entries of another shape stay as they are: published mapping tables know retired ids and symbols too.
        let ensembl = ensembl.map(|(from, values)| {
            (from, values.iter().map(|v| strip_version(v.trim()).to_string()).collect::<Vec<_>>())
        });
        let organism = organism_of(
            ensembl.as_ref().map_or(&[][..], |(_, v)| v),
            symbols.as_ref().map_or(&[][..], |(_, v)| v),
        );
        let (ensembl_from, ensembl) = ensembl.unzip();
        let (symbols_from, symbols) = symbols.unzip();
        Ok(Self { names: var.index.clone(), ensembl, symbols, ensembl_from, symbols_from, organism })
    }

    /// Number of genes.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True when there are no genes.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

type Picked = Option<(GeneColumn, Vec<String>)>;

fn pick(
    var: &Table,
    wanted: Option<&str>,
    conventional: &[&str],
    fits: fn(&str) -> bool,
    floor: f64,
) -> Result<Picked> {
    let texts = |name: &str| -> Result<Vec<String>> {
        if name == "var_names" {
            return Ok(var.index.clone());
        }
        let column = var.column("var", name)?;
        Ok((0..column.len()).map(|i| column.text(i).unwrap_or_default()).collect())
    };
    let share = |values: &[String]| {
        values.iter().filter(|v| fits(v.trim())).count() as f64 / values.len().max(1) as f64
    };
    let label = |name: &str| if name == "var_names" { name.to_string() } else { format!("var[\"{name}\"]") };
    if let Some(name) = wanted {
        let values = texts(name)?;
        let share = share(&values);
        if share == 0.0 && !values.is_empty() {
            return Err(Error::usage(
                "the column that was named for genes holds nothing that looks like gene names",
            )
            .at_key(label(name))
            .found(format!("for example \"{}\"", values[0]))
            .remedy("name another column, or leave the option out to have it detected"));
        }
        return Ok(Some((GeneColumn { source: label(name), share }, values)));
    }
    let others = var.columns.iter().map(|(n, _)| n.as_str()).filter(|n| !conventional.contains(n));
    let groups: [Vec<&str>; 3] = [
        conventional.iter().copied().filter(|c| var.columns.iter().any(|(n, _)| n == c)).collect(),
        vec!["var_names"],
        others.collect(),
    ];
    for group in groups {
        let mut best: Picked = None;
        for name in group {
            let values = texts(name)?;
            let share = share(&values);
            if share >= floor && best.as_ref().is_none_or(|(b, _)| share > b.share) {
                best = Some((GeneColumn { source: label(name), share }, values));
            }
        }
        if best.is_some() {
            return Ok(best);
        }
    }
    Ok(None)
}

fn organism_of(ensembl: &[String], symbols: &[String]) -> Organism {
    let mut prefixes = std::collections::BTreeMap::<String, usize>::new();
    for id in ensembl {
        if let Some(p) = ensembl_prefix(id) {
            *prefixes.entry(p.to_uppercase()).or_default() += 1;
        }
    }
    if let Some((prefix, _)) = prefixes.into_iter().max_by_key(|(_, n)| *n) {
        return match prefix.as_str() {
            "ENSG" => Organism::HomoSapiens,
            "ENSMUSG" => Organism::MusMusculus,
            _ => Organism::Other(prefix),
        };
    }
    // Human symbols are upper-case, mouse symbols are capitalised; a few genes named in both settle it.
    let letters: Vec<&String> = symbols.iter().filter(|s| s.len() >= 3 && is_symbol(s)).collect();
    if letters.len() < 20 {
        return Organism::Unknown;
    }
    let set: HashSet<&str> = letters.iter().map(|s| s.as_str()).collect();
    let human = ["ACTB", "GAPDH", "MALAT1", "RPLP0", "B2M"].iter().filter(|g| set.contains(**g)).count();
    let mouse = ["Actb", "Gapdh", "Malat1", "Rplp0", "B2m"].iter().filter(|g| set.contains(**g)).count();
    let title = letters
        .iter()
        .filter(|s| {
            let b = s.as_bytes();
            b[0].is_ascii_uppercase()
                && b[1..].iter().any(u8::is_ascii_lowercase)
                && !b[1..].iter().any(u8::is_ascii_uppercase)
        })
        .count() as f64
        / letters.len() as f64;
    match (human, mouse) {
        (h, m) if m > h && title > 0.5 => Organism::MusMusculus,
        (h, m) if h > m && title < 0.5 => Organism::HomoSapiens,
        _ => Organism::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Column;

    fn text(v: &[&str]) -> Column {
        Column::Text(v.iter().map(|s| Some((*s).to_string())).collect())
    }

    #[test]
    fn versions_are_stripped_from_ids_only() {
        assert_eq!(strip_version("ENSG00000141510.17"), "ENSG00000141510");
        assert_eq!(strip_version("RP11-34P13.7"), "RP11-34P13.7");
        assert_eq!(strip_version("ENSG00000002586.20_PAR_Y"), "ENSG00000002586.20_PAR_Y");
        assert_eq!(strip_version("ENSMUSG00000059552.1"), "ENSMUSG00000059552");
    }

    #[test]
    fn detects_columns_and_organism() {
        let var = Table {
            index: vec!["TP53".into(), "ACTB".into()],
            columns: vec![("gene_ids".into(), text(&["ENSG00000141510.1", "ENSG00000075624"]))],
        };
        let g = GeneTable::detect(&var, None, None).unwrap();
        assert_eq!(g.ensembl.unwrap()[0], "ENSG00000141510");
        assert_eq!(g.ensembl_from.unwrap().source, "var[\"gene_ids\"]");
        assert_eq!(g.symbols_from.unwrap().source, "var_names");
        assert_eq!(g.organism, Organism::HomoSapiens);
    }

    #[test]
    fn override_must_exist_and_fit() {
        let var = Table { index: vec!["1".into()], columns: vec![("n".into(), Column::Float(vec![1.0]))] };
        assert!(GeneTable::detect(&var, Some("nope"), None).is_err());
        assert!(GeneTable::detect(&var, Some("n"), None).unwrap_err().what().contains("nothing that looks"));
        let g = GeneTable::detect(&var, None, None).unwrap();
        assert!(g.ensembl.is_none() && g.symbols.is_none());
    }
}
