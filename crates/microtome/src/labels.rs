//! Columns of `obs` kept for a whole run, small: every distinct value once, and a number per cell.

use std::collections::HashMap;

use microtome_core::{Column, Error, Result};
use microtome_h5ad::{Dataset, ObsRows, TableRows, parts};

/// One text per row of the file.
pub(crate) struct Labels {
    names: Vec<String>,
    codes: Vec<u32>,
}

impl Labels {
    /// The column `key` of `obs`.
    ///
    /// # Errors
    /// No such column; a cell without a value; a damaged file.
    pub(crate) fn read(dataset: &Dataset, obs: &ObsRows, key: &str) -> Result<Self> {
        let mut labels = Self { names: vec![], codes: Vec::with_capacity(obs.n_rows()) };
        let mut known: HashMap<String, u32> = HashMap::new();
        each_part(dataset, obs, key, |start, column| {
            for row in 0..column.len() {
                let text = column.text(row).ok_or_else(|| {
                    Error::usage("a cell has no value")
                        .in_file(dataset.path())
                        .at_key(format!("obs[\"{key}\"], row {}", start + row))
                        .remedy("fill the column, or leave such cells out of the file")
                })?;
                let next = known.len() as u32;
                labels.codes.push(*known.entry(text).or_insert(next));
            }
            Ok(())
        })?;
        let mut names: Vec<(u32, String)> = known.into_iter().map(|(name, code)| (code, name)).collect();
        names.sort_unstable();
        labels.names = names.into_iter().map(|(_, name)| name).collect();
        Ok(labels)
    }

    /// The same text for every one of `n` rows.
    pub(crate) fn same(text: &str, n: usize) -> Self {
        Self { names: vec![text.into()], codes: vec![0; n] }
    }

    /// Texts of some rows of the file.
    pub(crate) fn of(&self, rows: &[usize]) -> Vec<String> {
        rows.iter().map(|&r| self.names[self.codes[r] as usize].clone()).collect()
    }

    /// Rank of every row's text among the sorted texts of the file.
    pub(crate) fn ranks(self) -> Vec<u32> {
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        order.sort_by(|&a, &b| self.names[a].cmp(&self.names[b]));
        let mut rank = vec![0; order.len()];
        order.into_iter().enumerate().for_each(|(r, code)| rank[code] = r as u32);
        self.codes.into_iter().map(|code| rank[code as usize]).collect()
    }
}

/// Hands out a column of `obs` part by part, each with its first row.
pub(crate) fn each_part(
    dataset: &Dataset,
    obs: &ObsRows,
    key: &str,
    mut take: impl FnMut(usize, Column) -> Result<()>,
) -> Result<()> {
    let Some(i) = obs.columns().iter().position(|(name, _)| name == key) else {
        // Says what there is instead.
        return dataset.obs_column(key).and_then(|column| take(0, column));
    };
    for part in parts(obs.n_rows()) {
        take(part.start, obs.column(i, part)?)?;
    }
    Ok(())
}
