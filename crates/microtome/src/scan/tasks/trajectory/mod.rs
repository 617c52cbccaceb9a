//! `trajectory`: `--time`, `--root`, `--neighbors`, `--palantir`, `--clone`, `--strata`.

mod time;

use microtome_core::{Error, Result};
use microtome_eval::{Groups, TaskOutcome};
use microtome_eval::tasks::trajectory::{Root, TASK, TrajectoryOptions, run};
use microtome_report::Colour;

use super::{Adapter, Input, Ready, headline, named_groups, select, strata};
use crate::data::Data;
use crate::scan::ScanOptions;
use crate::scan::options::DEFAULT_NEIGHBORS;

pub(super) static ADAPTER: Adapter = Adapter { task: &TASK, open };

struct Trajectory {
    name: String,
    /// Time of every row of the file, NaN where missing.
    time: Vec<f64>,
    note: Option<String>,
    /// Row of the named root cell and its name.
    root: Option<(usize, String)>,
    neighbors: usize,
    headline: Option<String>,
    palantir: bool,
    /// Groups of every row of the file.
    strata: Option<Groups>,
    /// Clones of every row of the file.
    clones: Option<Groups>,
    path: std::path::PathBuf,
}

fn open(options: &ScanOptions, data: &Data) -> Result<Box<dyn Ready>> {
    let name = options.task.time.clone().ok_or_else(|| {
        Error::usage("the trajectory task needs the true time of the cells")
            .at_key("--time")
            .remedy("name the column of obs that holds time, stage or order, as in --time pseudotime")
    })?;
    let (time, note) = time::read(data, &name)?;
    Ok(Box::new(Trajectory {
        root: options.task.root.as_deref().map(|root| find_root(root, data)).transpose()?,
        neighbors: options.task.neighbors.unwrap_or(DEFAULT_NEIGHBORS),
        headline: headline(&TASK, options).map(String::from),
        palantir: options.task.palantir || options.task.headline.as_deref() == Some("palantir_spearman"),
        strata: strata(options, data)?,
        clones: named_groups(data, options.task.clone.as_deref(), "--clone")?,
        path: data.dataset.path().to_path_buf(),
        name,
        time,
        note,
    }))
}

fn find_root(name: &str, data: &Data) -> Result<(usize, String)> {
    let names = data.dataset.obs_names()?;
    let row = names.iter().position(|n| n == name).ok_or_else(|| {
        Error::usage("no such cell")
            .in_file(data.dataset.path())
            .at_key("--root")
            .expected(format!("a name of obs_names such as \"{}\"", names.first().map_or("", String::as_str)))
            .found(format!("\"{name}\""))
    })?;
    Ok((row, name.to_string()))
}

impl Trajectory {
    fn times(&self, rows: &[usize]) -> Vec<f64> {
        rows.iter().map(|&row| self.time[row]).collect()
    }
}

impl Ready for Trajectory {
    fn question(&self) -> String {
        format!("orders cells by {}", self.name)
    }

    fn uses(&self, row: usize) -> bool {
        !self.time[row].is_nan()
    }

    fn needs(&self) -> String {
        format!("a value in obs[\"{}\"]", self.name)
    }

    fn check(&self, rows: &[usize]) -> Result<()> {
        if rows.len() <= self.neighbors {
            return Err(Error::usage("too few cells for the neighbour graph")
                .in_file(&self.path)
                .expected(format!("more than {} cells with a {}", self.neighbors, self.name))
                .found(rows.len().to_string())
                .remedy("give more cells, or fewer --neighbors"));
        }
        if let Some((row, name)) = &self.root
            && rows.binary_search(row).is_err()
        {
            return Err(Error::usage("the root cell is not among the cells that are used")
                .at_key("--root")
                .found(format!("\"{name}\" has no time, or was not drawn by --max-cells"))
                .remedy("name another root, or raise --max-cells"));
        }
        Ok(())
    }

    fn run(&self, input: &Input<'_>) -> Result<TaskOutcome> {
        let mut task = TrajectoryOptions::new(self.name.clone(), self.times(input.rows));
        if let Some((row, _)) = &self.root {
            task.root = input.rows.binary_search(row).map_or(task.root, Root::Cell);
        }
        task.k = self.neighbors;
        task.palantir = self.palantir;
        task.strata = self.strata.as_ref().map(|s| select(s, input.rows));
        task.clones = self.clones.as_ref().map(|c| select(c, input.rows));
        if let Some(id) = &self.headline {
            task = task.with_headline(id)?;
        }
        let mut outcome = run(input.cells, input.representations, &task, input.protocol, input.progress)?;
        outcome.notes.splice(0..0, self.note.clone());
        Ok(outcome)
    }

    fn colours(&self, rows: &[usize]) -> Vec<Colour> {
        vec![Colour::Continuous { name: self.name.clone(), values: self.times(rows) }]
    }
}
