//! The tasks of one scan: the cells each can use, its run, its map.

use std::borrow::Cow;
use std::collections::BTreeSet;

use microtome_core::{Counts, Progress, Result};
use microtome_eval::{Cells, Groups, Protocol, Representation, TaskOutcome, controls};

use super::map::Map;
use super::tasks::{Adapter, Input, Ready};
use super::{ScanOptions, battery};
use crate::data::{Data, DataOptions};

/// Exact nearest neighbours cost the square of the number of cells; of more than these a sample is drawn.
const MAX_CELLS: usize = 100_000;

/// One task with the cells it can use.
pub(super) struct Part {
    pub(super) adapter: &'static Adapter,
    pub(super) ready: Box<dyn Ready>,
    /// Its cells as positions among the cells of the scan, ascending.
    pub(super) positions: Vec<usize>,
    /// The same cells as rows of the file.
    pub(super) rows: Vec<usize>,
    /// What is said about cells it cannot use.
    left_out: Option<String>,
}

/// A finished task.
pub(super) struct Done {
    pub(super) part: Part,
    pub(super) outcome: TaskOutcome,
    pub(super) map: Option<Map>,
}

/// Opens the data, checks every task's options and keeps the cells that some task can use, at most as many as asked for.
pub(super) fn open(
    options: &ScanOptions,
    adapters: &[&'static Adapter],
    progress: &dyn Progress,
) -> Result<(Data, Vec<Part>)> {
    let mut data = Data::open(&DataOptions { max_cells: None, ..options.data.clone() })?;
    let ready: Vec<Box<dyn Ready>> =
        adapters.iter().map(|a| (a.open)(options, &data)).collect::<Result<_>>()?;
    if let Some(unit) = &options.unit {
        // A wrong name is refused before anything is drawn.
        data.obs_column(unit).map_err(|e| e.in_file(data.dataset.path()))?;
    }
    let all = data.cells.clone();
    data.retain(|row| ready.iter().any(|r| r.uses(row)));
    if let Some(max) = options.data.max_cells {
        data.keep_at_most(max, options.data.seed);
    }
    // Drawn before the models run: no cell is run that no task looks at.
    if data.cells.len() > MAX_CELLS {
        data.notes.push(format!(
            "tasks compare exact nearest neighbours, which costs the square of the number of cells: at most {MAX_CELLS} are used; embed runs all of them"
        ));
        data.keep_at_most(MAX_CELLS, options.data.seed);
    }
    let n = data.cells.len();
    let mut parts = vec![];
    for (adapter, ready) in adapters.iter().copied().zip(ready) {
        let positions: Vec<usize> = (0..n).filter(|&i| ready.uses(data.cells[i])).collect();
        let rows: Vec<usize> = positions.iter().map(|&i| data.cells[i]).collect();
        let lost = all.iter().filter(|&&row| !ready.uses(row)).count();
        let left_out = (lost > 0)
            .then(|| format!("{lost} of {} cells are left out: they lack {}", all.len(), ready.needs()));
        ready.check(&rows)?;
        parts.push(Part { adapter, ready, positions, rows, left_out });
    }
    for note in data.notes.iter().chain(parts.iter().filter_map(|p| p.left_out.as_ref())) {
        progress.note(note);
    }
    Ok((data, parts))
}

/// What all tasks of a scan share.
pub(super) struct Shared<'a> {
    pub(super) options: &'a ScanOptions,
    pub(super) data: &'a Data,
    /// Raw counts of the cells of the scan.
    pub(super) counts: &'a Counts,
    /// Models and their twins on the cells of the scan.
    pub(super) models: &'a [Representation],
    pub(super) protocol: &'a Protocol,
    pub(super) progress: &'a dyn Progress,
}

/// Runs every task. A task's baselines are made from its own cells alone, so that its scores do not depend on what else
/// is asked for in the same scan; tasks with the same cells share them.
pub(super) fn run(parts: Vec<Part>, shared: &Shared<'_>) -> Result<Vec<Done>> {
    let mut out: Vec<Done> = vec![];
    let mut made: Option<(Vec<usize>, Vec<Representation>)> = None;
    for part in parts {
        shared.progress.check()?;
        let counts = if part.positions.len() == shared.data.cells.len() {
            Cow::Borrowed(shared.counts)
        } else {
            Cow::Owned(shared.counts.select_cells(&part.positions))
        };
        let representations = match made.take() {
            Some((positions, representations)) if positions == part.positions => representations,
            _ => representations(&part, &counts, shared)?,
        };
        let cells = describe(&part, shared)?;
        let input = Input {
            cells: &cells,
            rows: &part.rows,
            counts: &counts,
            representations: &representations,
            protocol: shared.protocol,
            progress: shared.progress,
        };
        let mut outcome = part.ready.run(&input)?;
        outcome.notes.splice(0..0, part.left_out.clone());
        if shared.options.compare.transforms {
            battery::run(part.ready.as_ref(), &input, &mut outcome)?;
        }
        let map = match Map::chosen(&outcome, &representations) {
            None => None,
            Some(wanted) => match out.iter().find(|d| d.part.positions == part.positions && d.shows(&wanted))
            {
                Some(done) => done.map.clone(),
                None => Some(Map::draw(wanted, shared.options.data.seed, shared.progress)?),
            },
        };
        made = Some((part.positions.clone(), representations));
        out.push(Done { part, outcome, map });
    }
    Ok(out)
}

impl Done {
    fn shows(&self, (r, site): &(&Representation, String)) -> bool {
        self.map.as_ref().is_some_and(|m| m.model == r.model && m.site == *site)
    }
}

/// Models on the cells of a task, and baselines made from them.
fn representations(part: &Part, counts: &Counts, shared: &Shared<'_>) -> Result<Vec<Representation>> {
    let seed = shared.options.data.seed;
    let select =
        |r: &Representation| Representation { matrix: r.matrix.select_rows(&part.positions), ..r.clone() };
    let mut out: Vec<Representation> = if part.positions.len() == shared.data.cells.len() {
        shared.models.to_vec()
    } else {
        shared.models.iter().map(select).collect()
    };
    out.extend(controls::baselines(counts, seed, shared.progress)?);
    if let Some(key) = &shared.options.data.prepare.batch_key {
        let column = shared.data.dataset.obs_column(key)?.select(&part.rows);
        let batches = Groups::from_column(key.clone(), &column);
        out.extend(controls::batch_baselines(counts, &batches, seed, shared.progress)?);
    }
    Ok(out)
}

fn describe(part: &Part, shared: &Shared<'_>) -> Result<Cells> {
    let cells = Cells::new(shared.data.name(), part.rows.len());
    match &shared.options.unit {
        None => Ok(cells),
        Some(name) => {
            let column = shared.data.dataset.obs_column(name)?.select(&part.rows);
            cells.with_unit(Groups::from_column(name.clone(), &column))
        }
    }
}

/// Models that have an answer in some task.
pub(super) fn answered(done: &[Done]) -> BTreeSet<&str> {
    done.iter().flat_map(|d| &d.outcome.summaries).map(|s| s.model.as_str()).collect()
}
