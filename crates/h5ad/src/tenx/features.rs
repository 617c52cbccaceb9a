//! Feature lists: which are genes, and their table.

use std::collections::BTreeMap;

use microtome_core::{Column, Error, Result, Table};

use crate::sparse::GeneMap;

/// The feature type that is kept.
const GENES: &str = "Gene Expression";

/// One row per feature. Empty columns are absent.
#[derive(Debug, Default)]
pub(super) struct Features {
    pub(super) ids: Vec<String>,
    pub(super) names: Vec<String>,
    pub(super) types: Vec<String>,
    pub(super) genomes: Vec<String>,
}

impl Features {
    /// The table of genes, which features they are, and a note about those left out.
    pub(super) fn genes(self, key: &str) -> Result<(Table, GeneMap, Vec<String>)> {
        let n = self.ids.len();
        for (what, column) in
            [("names", &self.names), ("feature types", &self.types), ("genomes", &self.genomes)]
        {
            if !column.is_empty() && column.len() != n {
                return Err(Error::unreadable(format!("{what} and ids of features disagree in number"))
                    .at_key(key)
                    .expected(n.to_string())
                    .found(column.len().to_string()));
            }
        }
        let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
        let mut rows = vec![];
        for i in 0..n {
            match self.types.get(i).map_or(GENES, String::as_str) {
                GENES => rows.push(i),
                other => *left_out.entry(other).or_default() += 1,
            }
        }
        if rows.is_empty() && n > 0 {
            return Err(Error::unsupported("no genes among the features")
                .at_key(key)
                .expected(format!("features of type \"{GENES}\""))
                .found(left_out.into_keys().collect::<Vec<_>>().join(", ")));
        }
        let notes = if left_out.is_empty() {
            vec![]
        } else {
            let parts: Vec<String> = left_out.iter().map(|(t, n)| format!("{n} of type {t}")).collect();
            vec![format!("kept {} features of type {GENES}; left out {}", rows.len(), parts.join(", "))]
        };
        let mut map = vec![u32::MAX; n];
        for (new, &old) in rows.iter().enumerate() {
            map[old] = new as u32;
        }
        let pick = |column: &[String]| -> Vec<String> { rows.iter().map(|&i| column[i].clone()).collect() };
        let mut columns = vec![("gene_ids".to_string(), text(pick(&self.ids)))];
        if !self.types.is_empty() {
            columns.push(("feature_types".into(), text(pick(&self.types))));
        }
        if !self.genomes.is_empty() {
            columns.push(("genome".into(), text(pick(&self.genomes))));
        }
        let index = if self.names.is_empty() { pick(&self.ids) } else { pick(&self.names) };
        let n_kept = rows.len();
        Ok((Table { index, columns }, GeneMap { map, n_kept }, notes))
    }
}

fn text(values: Vec<String>) -> Column {
    Column::Text(values.into_iter().map(Some).collect())
}
