//! A vocabulary made of the data: its genes, their medians, and samples of their values.

use std::collections::{HashMap, HashSet};

use microtome_core::{Error, GeneTable, Result};
use microtome_models::families::geneformer::GeneformerGene;

use crate::data::Data;

/// Cells of each file whose values are looked at, at most: rows at even distances.
const CELLS: usize = 10_000;
const CHUNK: usize = 512;

/// What a new model may be made of.
pub(crate) struct Material<'a> {
    pub(crate) data: &'a [Data],
    /// Training cells among those of all files, ascending.
    pub(crate) train: &'a [usize],
}

/// Which of its names a gene goes by: as the family looks it up when it meets data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// The symbol; in files without symbols the Ensembl id.
    SymbolOrId,
    /// The symbol; in files without symbols what `var_names` says.
    SymbolOrName,
}

impl Spelling {
    fn of(self, genes: &GeneTable) -> &[String] {
        match (&genes.symbols, self) {
            (Some(symbols), _) => symbols,
            (None, Self::SymbolOrId) => genes.ensembl.as_ref().unwrap_or(&genes.names),
            (None, Self::SymbolOrName) => &genes.names,
        }
    }
}

/// A gene that was found expressed.
struct Found {
    name: String,
    symbol: Option<String>,
    values: Vec<f32>,
}

/// Every gene that is found, with its non-zero median per 10,000 counts, as the published dictionaries are made. Genes come in the order
/// of the files.
pub(crate) fn vocabulary(files: &[Data]) -> Result<Vec<GeneformerGene>> {
    let ids = |genes: &GeneTable, i: usize| genes.ensembl.as_ref().unwrap_or(&genes.names)[i].clone();
    let found = found(files, ids, str::to_uppercase)?;
    Ok(found
        .into_iter()
        .map(|Found { name, symbol, mut values }| {
            values.sort_by(f32::total_cmp);
            let middle = values.len() / 2;
            let upper = f64::from(values[middle]);
            let even = values.len().is_multiple_of(2);
            let median = if even { f64::midpoint(f64::from(values[middle - 1]), upper) } else { upper };
            GeneformerGene { ensembl_id: name, symbol, median }
        })
        .collect())
}

/// Every gene that is found, by Ensembl id, with its mean per 10,000 counts over the cells in which it is found.
pub(super) fn means(files: &[Data]) -> Result<Vec<(String, f64)>> {
    let ids = |genes: &GeneTable, i: usize| genes.ensembl.as_ref().unwrap_or(&genes.names)[i].clone();
    let mean = |values: &[f32]| values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
    let found = found(files, ids, str::to_string)?;
    Ok(found.into_iter().map(|f| (f.name, mean(&f.values))).collect())
}

/// Names of every gene that is found expressed, each once.
pub(super) fn names(files: &[Data], spelling: Spelling) -> Result<Vec<String>> {
    let found = found(files, |genes, i| spelling.of(genes)[i].clone(), str::to_string)?;
    if found.is_empty() {
        return Err(Error::mismatch("no gene with a name is expressed in the data")
            .expected("gene symbols in var_names or a column of var such as feature_name"));
    }
    Ok(found.into_iter().map(|f| f.name).collect())
}

/// Genes by name, as one where `same` says so.
fn found(
    files: &[Data],
    name: impl Fn(&GeneTable, usize) -> String,
    same: impl Fn(&str) -> String,
) -> Result<Vec<Found>> {
    let mut place: HashMap<String, usize> = HashMap::new();
    let mut genes: Vec<Found> = vec![];
    for data in files {
        let symbols = data.genes.symbols.as_ref();
        let places: Vec<usize> = (0..data.genes.len())
            .map(|i| {
                let name = name(&data.genes, i);
                *place.entry(same(&name)).or_insert_with(|| {
                    let symbol = symbols.map(|s| s[i].clone()).filter(|s| !s.is_empty());
                    genes.push(Found { name, symbol, values: vec![] });
                    genes.len() - 1
                })
            })
            .collect();
        for range in ranges(data.cells.len()) {
            let counts = data.counts(range)?;
            for cell in 0..counts.n_cells() {
                let total = counts.total(cell);
                let (indices, row) = counts.row(cell);
                for (gene, value) in indices.iter().zip(row).filter(|(_, v)| **v > 0.0) {
                    genes[places[*gene as usize]].values.push((f64::from(*value) / total * 1e4) as f32);
                }
            }
        }
    }
    genes.retain(|g| !g.values.is_empty() && !g.name.is_empty() && !g.name.starts_with('<'));
    Ok(genes)
}

/// All cells, or chunks at even distances.
fn ranges(n: usize) -> Vec<std::ops::Range<usize>> {
    let chunks: Vec<_> = (0..n).step_by(CHUNK).map(|s| s..(s + CHUNK).min(n)).collect();
    let wanted = CELLS / CHUNK;
    if chunks.len() <= wanted {
        return chunks;
    }
    (0..wanted).map(|i| chunks[i * chunks.len() / wanted].clone()).collect()
}

impl Material<'_> {
    /// `of(count, total of the cell)` of these genes (by symbol, or by name where there are none; of several columns of one name the
    /// first) in at most `n` training cells at even distances, `[cell, gene]`.
    pub(super) fn sample(
        &self,
        n: usize,
        genes: &[String],
        of: &dyn Fn(f32, f64) -> f32,
    ) -> Result<Vec<f32>> {
        let n = n.min(self.train.len());
        let chosen: Vec<usize> = (0..n).map(|i| self.train[i * self.train.len() / n]).collect();
        let column: HashMap<&str, usize> = genes.iter().map(String::as_str).zip(0..).collect();
        let mut out = vec![];
        let (mut rest, mut start) = (&chosen[..], 0);
        for data in self.data {
            let end = start + data.cells.len();
            let (here, later) = rest.split_at(rest.partition_point(|p| *p < end));
            rest = later;
            let mut taken = HashSet::new();
            let columns: Vec<Option<usize>> = Spelling::SymbolOrName
                .of(&data.genes)
                .iter()
                .map(|name| column.get(name.as_str()).copied().filter(|c| taken.insert(*c)))
                .collect();
            for some in here.chunks(CHUNK) {
                let counts = data.counts_at(&some.iter().map(|p| p - start).collect::<Vec<_>>())?;
                for cell in 0..counts.n_cells() {
                    let mut row = vec![0.0; genes.len()];
                    let total = counts.total(cell);
                    let (indices, values) = counts.row(cell);
                    for (gene, value) in indices.iter().zip(values).filter(|(_, v)| **v > 0.0) {
                        if let Some(c) = columns[*gene as usize] {
                            row[c] = of(*value, total);
                        }
                    }
                    out.extend(row);
                }
            }
            start = end;
        }
        Ok(out)
    }
}
