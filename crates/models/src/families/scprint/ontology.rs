//! The genes that count towards a cell's depth. The authors take them from a gene ontology data base, which no checkpoint carries; a
//! table `ontology_genes.csv` beside the checkpoint stands in for it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};

const NAME: &str = "ontology_genes.csv";
/// Largest table that is read.
const MAX_BYTES: u64 = 64 << 20;

/// Ensembl ids known to the ontology, with their organism, and symbols.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ontology {
    pub(super) path: PathBuf,
    organism_of: HashMap<String, String>,
    /// First id of a symbol, by organism and symbol.
    by_symbol: HashMap<(String, String), String>,
}

impl Ontology {
    /// The table in the folder, in `aux/` beside it or beside it; `None` where there is none.
    pub(super) fn near(folder: &Path) -> Result<Option<Self>> {
        let mut places = vec![folder.join(NAME)];
        if let Some(parent) = folder.canonicalize().ok().as_deref().and_then(Path::parent) {
            places.extend([parent.join("aux").join(NAME), parent.join(NAME)]);
        }
        let Some(path) = places.into_iter().find(|p| p.is_file()) else { return Ok(None) };
        let unreadable =
            |e: std::io::Error| Error::unreadable("cannot read the table of genes").in_file(&path).caused_by(e);
        if std::fs::metadata(&path).map_err(unreadable)?.len() > MAX_BYTES {
            return Err(Error::unreadable("the table of genes is too large to be one").in_file(&path));
        }
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        let mut out = Self::parse(&text).map_err(|e| e.in_file(&path))?;
        out.path = path;
        Ok(Some(out))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let cells = |line: &str| -> Vec<String> {
            line.split(',').map(|c| c.trim().trim_matches('"').to_string()).collect()
        };
        let header = cells(lines.next().unwrap_or_default());
        let column = |name: &str| {
            header.iter().position(|h| h == name).ok_or_else(|| {
                Error::unreadable("the table of genes lacks a column")
                    .expected(name)
                    .found(header.join(", "))
            })
        };
        let (id, organism) = (column("ensembl_gene_id")?, column("organism")?);
        let symbol = header.iter().position(|h| h == "symbol");
        let mut out = Self::default();
        for (i, line) in lines.enumerate().filter(|(_, l)| !l.is_empty()) {
            let row = cells(line);
            let at = |c: usize| {
                row.get(c).filter(|v| !v.is_empty()).cloned().ok_or_else(|| {
                    Error::unreadable("a line of the table of genes is incomplete").at_key(format!("line {}", i + 2))
                })
            };
            let (id, organism) = (at(id)?, at(organism)?);
            if let Some(symbol) = symbol.and_then(|s| row.get(s)).filter(|s| !s.is_empty()) {
                out.by_symbol.entry((organism.clone(), symbol.clone())).or_insert_with(|| id.clone());
            }
            out.organism_of.insert(id, organism);
        }
        Ok(out)
    }

    /// Whether a gene is known for an organism.
    pub(super) fn has(&self, id: &str, organism: &str) -> bool {
        self.organism_of.get(id).is_some_and(|o| o == organism)
    }

    /// The id of a symbol; of several the first in the table, as in the original.
    pub(super) fn id_of(&self, symbol: &str, organism: &str) -> Option<&str> {
        self.by_symbol.get(&(organism.to_string(), symbol.to_string())).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_by_column_name() {
        let t = "symbol,organism,ensembl_gene_id\nA,NCBITaxon:9606,ENSG1\nA,NCBITaxon:9606,ENSG2\n,NCBITaxon:10090,ENSMUSG1\n";
        let o = Ontology::parse(t).unwrap();
        assert!(o.has("ENSG2", "NCBITaxon:9606") && !o.has("ENSG2", "NCBITaxon:10090") && !o.has("X", "NCBITaxon:9606"));
        assert_eq!(o.id_of("A", "NCBITaxon:9606"), Some("ENSG1"));
        assert_eq!(o.id_of("A", "NCBITaxon:10090"), None);
        assert!(Ontology::parse("symbol\nA\n").unwrap_err().to_string().contains("ensembl_gene_id"));
        assert!(Ontology::parse("ensembl_gene_id,organism\nA\n").unwrap_err().to_string().contains("line 2"));
    }
}
