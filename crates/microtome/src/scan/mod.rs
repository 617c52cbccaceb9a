//! `scan`, the main job: every block of every model, scored beside controls and baselines, for any number of tasks.

mod battery;
mod files;
mod imported;
mod map;
mod options;
mod page;
mod parts;
mod subject;
mod tables;
mod tasks;

use std::time::Instant;

use microtome_core::{Error, Progress, Result, RunCard};
use microtome_eval::Protocol;

pub(crate) use files::PAGE;
pub use options::{CompareOptions, ScanOptions, ScanReport, TaskOptions};
use subject::{Context, Subject};

use crate::card::{self, VERSION};
use crate::data::Data;
use crate::output::{self, WORK};
use crate::{embed, hash};

/// The file whose presence says that a scan is finished.
pub(crate) const FINISHED: &str = "summary.json";

/// Runs the main job.
pub fn scan(options: &ScanOptions, progress: &dyn Progress) -> Result<ScanReport> {
    let begun = Instant::now();
    let adapters = tasks::asked(options)?;
    if options.models.is_empty()
        && options.compare.import.is_empty()
        && options.compare.import_obsm.is_empty()
    {
        return Err(Error::usage("nothing to score")
            .at_key("--model")
            .expected("a checkpoint, or an imported embedding")
            .remedy("name a checkpoint with --model, or an embedding with --import or --import-obsm"));
    }
    output::check_folder(&options.out, FINISHED, options.resume, options.overwrite)?;
    let (mut data, parts) = parts::open(options, &adapters, progress)?;
    let label = options.task.label.as_deref().map(|name| data.dataset.obs_column(name)).transpose()?;
    let mut subjects = Vec::new();
    for path in &options.models {
        let subject = Subject::open(path, &data, options.run.precision)?;
        data.add_contexts(subject.opened().model.as_ref())?;
        subjects.push(subject);
    }
    subject::distinct_names(&mut subjects);
    let (imported, imported_files) = imported::read(options, &data)?;
    // Everything that can be refused has been; only now something is written.
    output::make_folder(&options.out, FINISHED, options.overwrite)?;
    let work = options.out.join(WORK);
    let data_files = hash::inputs("data", &options.data.path)?;
    let counts = data.counts(0..data.cells.len())?;
    let context = Context { data: &data, data_files: &data_files, options, work: &work, progress };
    let mut models = Vec::new();
    for subject in &mut subjects {
        models.extend(subject.run(&context)?);
    }
    models.extend(imported.iter().cloned());

    let mut card = RunCard {
        microtome: VERSION.into(),
        command: options.command.clone(),
        inputs: data_files
            .iter()
            .cloned()
            .chain(subjects.iter().flat_map(|s| s.inputs().to_vec()))
            .chain(imported_files)
            .collect(),
        seed: options.data.seed,
        precision: options.run.precision.name().into(),
        choices: run_choices(options, &subjects, &data),
    };
    let protocol = Protocol {
        seed: options.data.seed,
        n_bootstrap: options.n_bootstrap,
        run_card: card::card_hash(&card)?,
        ..Protocol::default()
    };
    let shared = parts::Shared {
        context: &context,
        subjects: &subjects,
        data: &data,
        counts: &counts,
        models: &models,
        protocol: &protocol,
        progress,
    };
    let done = parts::run(parts, &shared)?;
    for d in &done {
        card.choices.insert(d.part.adapter.task.id.into(), d.outcome.choices.clone().into());
    }
    let page = page::build(page::Contents {
        options,
        data: &data,
        subjects: &subjects,
        imported: &imported,
        done: &done,
        label: label.as_ref(),
        card,
        seconds: begun.elapsed().as_secs_f64(),
    });
    files::write(&options.out, &page, &data, &done, &models, progress)?;
    // A scan of imported embeddings alone has nothing to keep while it runs.
    if work.exists() {
        std::fs::remove_dir_all(&work).map_err(|e| {
            Error::output("cannot remove the finished run's work folder").in_file(&work).caused_by(e)
        })?;
    }
    Ok(ScanReport {
        out: options.out.clone(),
        report: options.out.join("report.html"),
        summaries: page.summaries,
        seconds: begun.elapsed().as_secs_f64(),
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
    choices.insert("untrained_seeds".into(), options.compare.untrained_seeds.max(1).into());
    choices.insert("weights_shuffled".into(), options.compare.weights_shuffled.into());
    choices.insert("gene_permuted".into(), options.compare.gene_permuted.into());
    choices.insert("counts_recovered".into(), options.data.log_normalised.into());
    choices
}
