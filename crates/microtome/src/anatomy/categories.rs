//! The categories of cells, and the cells drawn for each.

use std::collections::BTreeMap;

use microtome_core::{Error, Result};
use microtome_numerics::resample::Rng;

use crate::data::Data;
use crate::gene_store::{CategoryEntry, KeyValue};

/// A category with its cells.
#[derive(Clone, Debug)]
pub(super) struct Category {
    pub(super) entry: CategoryEntry,
    /// Rows of the file, ascending.
    pub(super) cells: Vec<usize>,
}

/// Groups the cells of `data` by `columns` and draws at most `max` of each group, without replacement; every category is drawn with the
/// seed alone, so that it does not depend on the others. Groups below `min` cells are left out and noted.
pub(super) fn draw(
    data: &mut Data,
    columns: &[String],
    min: usize,
    max: usize,
    seed: u64,
) -> Result<Vec<Category>> {
    let mut values = Vec::with_capacity(columns.len());
    for name in columns {
        let column = data.obs_column(name).map_err(|e| e.in_file(data.dataset.path()))?;
        values.push((0..column.len()).map(|i| column.text(i)).collect::<Vec<_>>());
    }
    let mut groups: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
    let mut missing = 0;
    for (at, &cell) in data.cells.iter().enumerate() {
        match values.iter().map(|v| v[at].clone()).collect::<Option<Vec<String>>>() {
            Some(key) => groups.entry(key).or_default().push(cell),
            None => missing += 1,
        }
    }
    let all = columns.join(", ");
    if missing > 0 {
        data.notes.push(format!("{missing} of {} cells have no {all} and are left out", data.cells.len()));
    }
    let (mut out, mut small) = (Vec::new(), Vec::new());
    for (key, cells) in groups {
        let name = key.join(" / ");
        let n_available = cells.len();
        if n_available < min {
            small.push(format!("{name} ({n_available})"));
            continue;
        }
        let cells = if n_available > max {
            let mut drawn = Rng::new(seed).choose(n_available, max);
            drawn.sort_unstable();
            drawn.into_iter().map(|i| cells[i]).collect()
        } else {
            cells
        };
        let keys = columns.iter().cloned().zip(key);
        let entry = CategoryEntry {
            name,
            keys: keys.map(|(column, value)| KeyValue { column, value }).collect(),
            n_available,
            n_cells: cells.len(),
        };
        out.push(Category { entry, cells });
    }
    if !small.is_empty() {
        data.notes.push(format!("left out with fewer than {min} cells: {}", small.join(", ")));
    }
    if out.is_empty() {
        return Err(Error::usage("no category has enough cells")
            .in_file(data.dataset.path())
            .at_key(format!("obs: {all}"))
            .expected(format!("{min} cells or more"))
            .remedy("name another --category, or lower --min-cells"));
    }
    Ok(out)
}
