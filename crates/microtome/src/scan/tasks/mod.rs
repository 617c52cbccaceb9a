//! How the tasks of `eval` meet the command's options and the columns of a file: one adapter per task. The one list is at
//! the end of this file.

use microtome_core::{Column, Counts, Error, Progress, Result};
use microtome_eval::tasks::Task;
use microtome_eval::{Cells, Groups, Protocol, Representation, TaskOutcome};
use microtome_report::Colour;

use super::ScanOptions;
use crate::data::Data;

/// What a task is run on: cells, or genes for a task of genes.
pub(super) struct Input<'a> {
    /// The cells with their unit, or the genes with their group.
    pub(super) cells: &'a Cells,
    /// Row of the file of every cell, or gene of the file of every row.
    pub(super) rows: &'a [usize],
    /// Their raw counts.
    pub(super) counts: &'a Counts,
    /// Representations of these cells.
    pub(super) representations: &'a [Representation],
    pub(super) protocol: &'a Protocol,
    pub(super) progress: &'a dyn Progress,
}

/// A task whose options fit the data. It knows every row of the file, whatever cells are drawn later.
pub(super) trait Ready {
    /// What is asked, as the end of "which depth of a model ...".
    fn question(&self) -> String;

    /// Whether the task can use a row of the file.
    fn uses(&self, row: usize) -> bool;

    /// What a row needs to be used, for instance `a value in obs["day"]`.
    fn needs(&self) -> String;

    /// Refuses cells on which the task cannot be run, before anything is computed.
    fn check(&self, _rows: &[usize]) -> Result<()> {
        Ok(())
    }

    /// Scores all representations.
    fn run(&self, input: &Input<'_>) -> Result<TaskOutcome>;

    /// For a task whose rows are genes: which genes of the data it scores, of those that every model knows, and their
    /// groups. `None` for a task of cells.
    fn genes(&self, _known: &[bool]) -> Result<Option<GeneRows>> {
        Ok(None)
    }

    /// What the map of the cells is coloured with.
    fn colours(&self, rows: &[usize]) -> Vec<Colour>;
}

/// The rows of a task of genes.
pub(super) struct GeneRows {
    /// Genes of the data, ascending.
    pub(super) rows: Vec<usize>,
    /// Group of every row that resampling and folds keep together, where one was named.
    pub(super) groups: Option<Groups>,
}

/// Meets a task of the list.
pub(super) struct Adapter {
    pub(super) task: &'static Task,
    /// Reads columns and checks options. Errors say what is missing or wrong.
    pub(super) open: fn(&ScanOptions, &Data) -> Result<Box<dyn Ready>>,
}

macro_rules! adapters {
    ($($name:ident),* $(,)?) => {
        $(mod $name;)*
        static ADAPTERS: &[&Adapter] = &[$(&$name::ADAPTER),*];
    };
}

adapters! { trajectory, annotation, integration, perturbation, gene_function }

/// The adapters of the tasks that were asked for, each once.
pub(super) fn asked(options: &ScanOptions) -> Result<Vec<&'static Adapter>> {
    let known: Vec<&str> = ADAPTERS.iter().map(|a| a.task.id).collect();
    let mut out: Vec<&'static Adapter> = vec![];
    for id in &options.tasks {
        let found = ADAPTERS.iter().copied().find(|a| a.task.id == id).ok_or_else(|| {
            let near = microtome_core::closest(id, known.iter().copied());
            Error::usage("no such task")
                .at_key("--task")
                .expected(format!("one of: {}", known.join(", ")))
                .found(format!("\"{id}\""))
                .remedy(near.map_or("see microtome scan --help".into(), |n| format!("did you mean {n}?")))
        })?;
        if !out.iter().any(|a| a.task.id == found.task.id) {
            out.push(found);
        }
    }
    if options.task.strata.is_some() && out.iter().all(|a| a.task.id == "gene_function") {
        return Err(Error::usage("no task of this scan compares groups of cells")
            .at_key("--strata")
            .expected("a task whose rows are cells")
            .remedy("leave out --strata, or add another --task"));
    }
    if let Some(metric) = &options.task.headline {
        let metrics: Vec<&str> = out.iter().flat_map(|a| a.task.metrics).map(|m| m.id).collect();
        if !metrics.contains(&metric.as_str()) {
            let near = microtome_core::closest(metric, metrics.iter().copied());
            return Err(Error::usage("no task of this scan has such a metric")
                .at_key("--headline")
                .expected(format!("one of: {}", metrics.join(", ")))
                .found(format!("\"{metric}\""))
                .remedy(near.map_or("name another metric".into(), |n| format!("did you mean {n}?"))));
        }
    }
    Ok(out)
}

/// A column of `obs` that a task cannot do without, all rows of the file; `what` and `remedy` say so where `option` is
/// missing.
fn named_column(
    data: &Data,
    name: Option<&str>,
    option: &str,
    what: &str,
    remedy: &str,
) -> Result<(String, Column)> {
    let name = name.ok_or_else(|| Error::usage(what).at_key(option).remedy(remedy))?;
    let column = data.dataset.obs_column(name).map_err(|e| e.in_file(data.dataset.path()))?;
    Ok((name.to_string(), column))
}

/// The groups of a column of `obs` that an option names, every row of the file; `None` where the option is not given.
fn named_groups(data: &Data, name: Option<&str>, option: &str) -> Result<Option<Groups>> {
    let Some(name) = name else { return Ok(None) };
    let column = data.dataset.obs_column(name).map_err(|e| e.in_file(data.dataset.path()).at_key(option))?;
    Ok(Some(Groups::from_column(name, &column)))
}

/// The groups of `--strata`.
fn strata(options: &ScanOptions, data: &Data) -> Result<Option<Groups>> {
    named_groups(data, options.task.strata.as_deref(), "--strata")
}

/// The groups of some rows; a group without any of them keeps its place.
fn select(groups: &Groups, rows: &[usize]) -> Groups {
    Groups { codes: rows.iter().map(|&r| groups.codes[r]).collect(), ..groups.clone() }
}

/// The headline the user named, where it is one of this task's metrics.
fn headline<'a>(task: &Task, options: &'a ScanOptions) -> Option<&'a str> {
    options.task.headline.as_deref().filter(|h| task.metrics.iter().any(|m| m.id == *h))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_can_be_asked_for() {
        let ids = |tasks: &mut dyn Iterator<Item = &'static str>| -> Vec<&str> {
            let mut ids: Vec<&str> = tasks.collect();
            ids.sort_unstable();
            ids
        };
        let known = ids(&mut microtome_eval::tasks::TASKS.iter().map(|t| t.id));
        assert_eq!(ids(&mut ADAPTERS.iter().map(|a| a.task.id)), known);
    }
}
