//! `scan`, the main job: every block of every model, scored beside controls and baselines.

mod files;
mod map;
mod options;
mod page;
mod subject;
mod time;

use std::time::Instant;

use microtome_core::{Error, Progress, Result, RunCard};
use microtome_eval::tasks::trajectory::{Root, TrajectoryOptions};
use microtome_eval::tasks::{TASKS, trajectory};
use microtome_eval::{Cells, Groups, Protocol, controls};

pub(crate) use files::PAGE;
use map::Map;
pub use options::{ScanOptions, ScanReport};
use subject::{Context, Subject};

use crate::card::{self, VERSION};
use crate::data::Data;
use crate::output::{self, WORK};
use crate::{embed, hash};

/// The file whose presence says that a scan is finished.
pub(crate) const FINISHED: &str = "summary.json";

/// Exact nearest neighbours cost the square of the number of cells; beyond this a sample is asked for.
const MAX_CELLS: usize = 100_000;

/// Runs the main job.
pub fn scan(options: &ScanOptions, progress: &dyn Progress) -> Result<ScanReport> {
    let begun = Instant::now();
    check_tasks(options)?;
    output::check_folder(&options.out, FINISHED, options.resume, options.overwrite)?;
    let (mut data, time) = open_data(options, progress)?;
    let cells = describe_cells(options, &data)?;
    let root = find_root(options, &data)?;
    let label = options
        .label
        .as_deref()
        .map(|name| data.obs_column(name).map(|c| (name.to_string(), c)))
        .transpose()?;
    let mut subjects = Vec::new();
    for path in &options.models {
        let subject = Subject::open(path, &data, options.run.precision)?;
        data.add_contexts(subject.opened().model.as_ref())?;
        subjects.push(subject);
    }
    subject::distinct_names(&mut subjects);
    // Everything that can be refused has been; only now something is written.
    output::make_folder(&options.out, FINISHED, options.overwrite)?;
    let work = options.out.join(WORK);
    let data_files = hash::inputs("data", &options.data.path)?;
    let counts = data.counts(0..data.cells.len())?;
    let context = Context { data: &data, data_files: &data_files, options, work: &work, progress };
    let mut representations = Vec::new();
    for subject in &mut subjects {
        representations.extend(subject.run(&context)?);
    }
    representations.extend(controls::baselines(&counts, options.data.seed, progress)?);

    let mut card = RunCard {
        microtome: VERSION.into(),
        command: options.command.clone(),
        inputs: data_files.into_iter().chain(subjects.iter().flat_map(|s| s.inputs().to_vec())).collect(),
        seed: options.data.seed,
        precision: options.run.precision.name().into(),
        choices: run_choices(options, &subjects, &data),
    };
    let mut task = TrajectoryOptions::new(time.name.clone(), time.values.clone());
    task.root = root;
    task.k = options.neighbors;
    let protocol = Protocol {
        seed: options.data.seed,
        n_bootstrap: options.n_bootstrap,
        run_card: card::card_hash(&card)?,
        ..Protocol::default()
    };
    let outcome = trajectory::run(&cells, &representations, &task, &protocol, progress)?;
    card.choices.insert("trajectory".into(), outcome.choices.clone().into());
    let map = Map::draw(&outcome, &representations, options.data.seed, progress)?;
    let page = page::build(page::Parts {
        options,
        data: &data,
        subjects: &subjects,
        outcome: &outcome,
        map: map.as_ref(),
        label,
        time: &time,
        card,
        seconds: begun.elapsed().as_secs_f64(),
    });
    files::write(&options.out, &page, &data, &outcome, &representations, map.as_ref(), progress)?;
    std::fs::remove_dir_all(&work).map_err(|e| {
        Error::output("cannot remove the finished run's work folder").in_file(&work).caused_by(e)
    })?;
    Ok(ScanReport {
        out: options.out.clone(),
        report: options.out.join("report.html"),
        summaries: outcome.summaries,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

fn check_tasks(options: &ScanOptions) -> Result<()> {
    let known: Vec<&str> = TASKS.iter().map(|t| t.id).collect();
    for task in &options.tasks {
        if !known.contains(&task.as_str()) {
            let near = microtome_core::closest(task, known.iter().copied());
            return Err(Error::usage("no such task")
                .at_key("--task")
                .expected(format!("one of: {}", known.join(", ")))
                .found(format!("\"{task}\""))
                .remedy(near.map_or("see microtome scan --help".into(), |n| format!("did you mean {n}?"))));
        }
    }
    Ok(())
}

/// The time of the chosen cells.
struct Time {
    name: String,
    values: Vec<f64>,
}

/// Opens the data and keeps the cells that can be scored: those with a time, at most as many as asked for.
fn open_data(options: &ScanOptions, progress: &dyn Progress) -> Result<(Data, Time)> {
    let name = options.time.clone().ok_or_else(|| {
        Error::usage("the trajectory task needs the true time of the cells")
            .at_key("--time")
            .remedy("name the column of obs that holds time, stage or order, as in --time pseudotime")
    })?;
    let mut data = Data::open(&crate::data::DataOptions { max_cells: None, ..options.data.clone() })?;
    let (time, note) = time::read(&data, &name)?;
    data.notes.extend(note);
    let missing = time.iter().filter(|t| t.is_nan()).count();
    if missing > 0 {
        data.notes.push(format!("{missing} of {} cells have no {name} and are left out", time.len()));
        data.retain(|cell| !time[cell].is_nan());
    }
    if let Some(max) = options.data.max_cells {
        data.keep_at_most(max, options.data.seed);
    }
    let n = data.cells.len();
    if n > MAX_CELLS {
        return Err(Error::usage("too many cells for exact nearest neighbours")
            .in_file(&options.data.path)
            .expected(format!("at most {MAX_CELLS}"))
            .found(n.to_string())
            .remedy(format!("pass --max-cells {MAX_CELLS} (or fewer) to draw a sample")));
    }
    if n <= options.neighbors {
        return Err(Error::usage("too few cells for the neighbour graph")
            .in_file(&options.data.path)
            .expected(format!("more than {} cells with a {name}", options.neighbors))
            .found(n.to_string())
            .remedy("give more cells, or fewer --neighbors"));
    }
    for note in &data.notes {
        progress.note(note);
    }
    let values = data.cells.iter().map(|&c| time[c]).collect();
    Ok((data, Time { name, values }))
}

fn describe_cells(options: &ScanOptions, data: &Data) -> Result<Cells> {
    let cells = Cells::new(data.name(), data.cells.len());
    match &options.unit {
        None => Ok(cells),
        Some(name) => cells.with_unit(Groups::from_column(name.clone(), &data.obs_column(name)?)),
    }
}

fn find_root(options: &ScanOptions, data: &Data) -> Result<Root> {
    let Some(name) = &options.root else { return Ok(Root::EarliestTime { n_roots: 20 }) };
    let names = data.dataset.obs_names()?;
    let row = names.iter().position(|n| n == name).ok_or_else(|| {
        Error::usage("no such cell")
            .in_file(&options.data.path)
            .at_key("--root")
            .expected(format!("a name of obs_names such as \"{}\"", names.first().map_or("", String::as_str)))
            .found(format!("\"{name}\""))
    })?;
    data.cells.binary_search(&row).map(Root::Cell).map_err(|_| {
        Error::usage("the root cell is not among the cells that are used")
            .at_key("--root")
            .found(format!("\"{name}\" has no time, or was not drawn by --max-cells"))
            .remedy("name another root, or raise --max-cells")
    })
}

fn run_choices(
    options: &ScanOptions,
    subjects: &[Subject],
    data: &Data,
) -> serde_json::Map<String, serde_json::Value> {
    let mut choices = serde_json::Map::new();
    for subject in subjects {
        let drift = &subject.cells().drift;
        let choices_of = embed::choices(subject.opened(), data, options.pooling, drift);
        choices.insert(subject.name().into(), choices_of.into());
    }
    choices.insert("unit".into(), options.unit.clone().into());
    choices.insert("max_cells".into(), options.data.max_cells.into());
    choices
}
