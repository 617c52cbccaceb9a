//! The genes over which models are compared in a category: those that every model shows, most cells first.

use std::collections::HashMap;

use microtome_core::{Matrix, Result, Role};

use crate::gene_store::{GeneStore, ModelEntry};

/// Identifiers of the genes of every model, by its name.
pub(super) type Ids = Vec<(String, Vec<String>)>;

/// Rows of the table of genes, ascending: the `most` genes that every model of the store holds in this category, ranked by the smallest
/// number of cells any model shows them in, then by the sum over models, then by row. And the identifiers of all genes of every model.
pub(super) fn genes(store: &GeneStore, category: &str, most: usize) -> Result<(Vec<usize>, Ids)> {
    let models: Vec<&ModelEntry> = store.manifest().models.iter().filter(|m| m.role == Role::Model).collect();
    let mut seen: HashMap<usize, (usize, u64, u64)> = HashMap::new();
    let mut ids = vec![];
    for model in &models {
        let Some(site) = model.sites.first() else { continue };
        let means = store.means(model, category, &site.site)?;
        for (&gene, &n) in means.genes.iter().zip(&means.n_cells) {
            let entry = seen.entry(gene).or_insert((0, u64::MAX, 0));
            *entry = (entry.0 + 1, entry.1.min(n), entry.2 + n);
        }
        let names = means.genes.iter().map(|&g| store.genes().genes[g].id.clone()).collect();
        ids.push((model.name.clone(), names));
    }
    let mut all: Vec<(usize, u64, u64)> = seen
        .into_iter()
        .filter(|(_, (n, ..))| *n == models.len())
        .map(|(g, (_, min, sum))| (g, min, sum))
        .collect();
    all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(b.2.cmp(&a.2)).then(a.0.cmp(&b.0)));
    let mut genes: Vec<usize> = all.into_iter().take(most).map(|(g, ..)| g).collect();
    genes.sort_unstable();
    Ok((genes, ids))
}

/// Vectors of these genes that need no cells; `None` where the family has none or a gene lacks one.
pub(super) fn static_vectors(
    store: &GeneStore,
    model: &ModelEntry,
    genes: &[usize],
) -> Result<Option<Matrix>> {
    let Some((rows, vectors)) = store.static_vectors(model)? else { return Ok(None) };
    let place: HashMap<usize, usize> = rows.into_iter().enumerate().map(|(i, row)| (row, i)).collect();
    let rows: Option<Vec<usize>> = genes.iter().map(|g| place.get(g).copied()).collect();
    Ok(rows.map(|rows| vectors.select_rows(&rows)))
}

/// Means of these genes at every site of a model, in order of depth.
pub(super) fn streams(
    store: &GeneStore,
    model: &ModelEntry,
    category: &str,
    genes: &[usize],
) -> Result<Vec<Matrix>> {
    let mut out = Vec::with_capacity(model.sites.len());
    for site in &model.sites {
        let means = store.means(model, category, &site.site)?;
        let place: HashMap<usize, usize> = means.genes.iter().enumerate().map(|(i, &g)| (g, i)).collect();
        let rows: Vec<usize> = genes.iter().filter_map(|g| place.get(g).copied()).collect();
        out.push(means.mean.select_rows(&rows));
    }
    Ok(out)
}
