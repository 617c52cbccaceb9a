//! The table of genes: one row per gene that at least one model knows.

use std::collections::HashMap;
use std::path::Path;

use microtome_core::{Error, GeneTable, Result};
use serde::Serialize;

use crate::{output, perturb::quoted};

/// Largest table that is read.
const MAX_BYTES: u64 = 256 << 20;

/// A gene.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gene {
    /// Ensembl id, or the name in the data where it has none. Unique in a table.
    pub id: String,
    /// Symbol, empty where the data has none.
    pub symbol: String,
    /// Name in `var_names`.
    pub var_name: String,
}

/// Genes in the order of the data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeneList {
    /// The genes.
    pub genes: Vec<Gene>,
}

impl GeneList {
    /// The genes of a data set for which `keep` holds, and the row of the list for every gene of the data. Of genes that share an
    /// id the first is taken.
    pub(crate) fn of_data(table: &GeneTable, keep: impl Fn(usize) -> bool) -> (Self, Vec<Option<usize>>) {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let (mut genes, mut rows) = (Vec::new(), vec![None; table.len()]);
        for gene in (0..table.len()).filter(|&g| keep(g)) {
            let var_name = table.names[gene].clone();
            let pick = |all: &Option<Vec<String>>| all.as_ref().map(|v| v[gene].clone()).unwrap_or_default();
            let (ensembl, symbol) = (pick(&table.ensembl), pick(&table.symbols));
            let id = if ensembl.is_empty() { var_name.clone() } else { ensembl };
            if seen.contains_key(&id) {
                continue;
            }
            seen.insert(id.clone(), genes.len());
            rows[gene] = Some(genes.len());
            genes.push(Gene { id, symbol, var_name });
        }
        (Self { genes }, rows)
    }

    /// Number of genes.
    pub fn len(&self) -> usize {
        self.genes.len()
    }

    /// True without genes.
    pub fn is_empty(&self) -> bool {
        self.genes.is_empty()
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut text = String::from("gene_id,symbol,var_name\n");
        for g in &self.genes {
            text.push_str(&format!("{},{},{}\n", quoted(&g.id), quoted(&g.symbol), quoted(&g.var_name)));
        }
        output::write_atomic(path, text.as_bytes())
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = crate::read_table::text(path, MAX_BYTES)?;
        let rows = crate::read_table::rows(&text, ',').map_err(|e| e.in_file(path))?;
        let mut genes = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (i, row) in rows.into_iter().enumerate() {
            let Ok([id, symbol, var_name]) = <[String; 3]>::try_from(row) else {
                return Err(Error::unreadable("a row of the table of genes has another number of columns")
                    .in_file(path)
                    .at_key(format!("row {i}"))
                    .expected("gene_id,symbol,var_name"));
            };
            if i == 0 {
                continue;
            }
            if !seen.insert(id.clone()) {
                return Err(Error::unreadable("a gene is in the table twice").in_file(path).at_key(id));
            }
            genes.push(Gene { id, symbol, var_name });
        }
        Ok(Self { genes })
    }
}
