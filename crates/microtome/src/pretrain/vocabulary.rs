//! A vocabulary made of the data: its genes and their medians.

use std::collections::HashMap;

use microtome_core::Result;
use microtome_models::families::geneformer::GeneformerGene;

use crate::data::Data;

/// Cells of each file whose values are looked at, at most: rows at even distances.
const CELLS: usize = 10_000;
const CHUNK: usize = 512;

/// Every gene that is found, with its non-zero median per 10,000 counts, as the published dictionaries are made. Genes come in the order
/// of the files.
pub(crate) fn vocabulary(files: &[Data]) -> Result<Vec<GeneformerGene>> {
    let mut place: HashMap<String, usize> = HashMap::new();
    let mut genes: Vec<(String, Option<String>, Vec<f32>)> = vec![];
    for data in files {
        let ids = data.genes.ensembl.as_ref().unwrap_or(&data.genes.names);
        let symbols = data.genes.symbols.as_ref();
        let places: Vec<usize> = ids
            .iter()
            .enumerate()
            .map(|(i, id)| {
                *place.entry(id.to_uppercase()).or_insert_with(|| {
                    let symbol = symbols.map(|s| s[i].clone()).filter(|s| !s.is_empty());
                    genes.push((id.clone(), symbol, vec![]));
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
                    genes[places[*gene as usize]].2.push((f64::from(*value) / total * 1e4) as f32);
                }
            }
        }
    }
    let found = genes
        .into_iter()
        .filter(|(id, _, values)| !values.is_empty() && !id.is_empty() && !id.starts_with('<'));
    Ok(found
        .map(|(ensembl_id, symbol, mut values)| {
            values.sort_by(f32::total_cmp);
            let middle = values.len() / 2;
            let upper = f64::from(values[middle]);
            let even = values.len().is_multiple_of(2);
            let median = if even { f64::midpoint(f64::from(values[middle - 1]), upper) } else { upper };
            GeneformerGene { ensembl_id, symbol, median }
        })
        .collect())
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
