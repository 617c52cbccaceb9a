//! `pretrain`: a model of a published family, trained on cells.
//!
//! The network is written as an untrained checkpoint first, opened like any other, and asked to make the tokens; its
//! weights go to `microtome_train` by their names and come back trained under the same names. What is exported is
//! therefore read by every program that reads the family.

mod begin;
pub(crate) mod cells;
mod families;
mod files;
pub(crate) mod imitation;
mod labels;
mod model;
mod tensorboard;
mod vocabulary;
pub(crate) mod watch;

use std::path::{Path, PathBuf};

use microtome_core::{Error, InputFile, Progress, Result};
use microtome_train::net::Params;
use microtome_train::pretrain::{Baselines, Masking, Objective, Recipe, Task, Validated, pretrain as train};
use serde::Serialize;
use serde_json::json;

use crate::card::VERSION;
use crate::open::OpenModel;
use crate::output::{self, WORK};
use crate::{hash, output::write_atomic};
pub use begin::{Begin, Shape};
use cells::Sources;
pub use cells::Split;
pub use imitation::Asked;
use labels::Classes;
pub use labels::{AnnotationOptions, AnnotationReport};
pub(crate) use model::HEADS;
use vocabulary::Material;
pub(crate) use vocabulary::vocabulary;
use watch::Log;

/// The file whose presence says that a run is finished.
pub(crate) const FINISHED: &str = "pretrain.json";

/// What to train on what.
#[derive(Clone, Debug)]
pub struct PretrainOptions {
    /// `.h5ad` files, and folders of them.
    pub data: Vec<PathBuf>,
    /// Family to imitate.
    pub family: String,
    /// Where the network and its vocabulary come from.
    pub begin: Begin,
    /// Which cells are trained on, held out, left out.
    pub split: Split,
    /// What the network is asked; the family's published way when absent.
    pub asked: Option<Asked>,
    /// Supervision by a column of `obs` besides.
    pub annotation: Option<AnnotationOptions>,
    /// Steps, rates, seeds. Its `steps` are taken from `epochs` where that is given, its masking from the family and `mask`.
    pub recipe: Recipe,
    /// Share of a cell's genes that is hidden; the family's own when absent.
    pub mask: Option<f64>,
    /// Passes over the cells instead of a number of steps.
    pub epochs: Option<f64>,
    /// Folder for the checkpoint.
    pub out: PathBuf,
    /// Go on with a run that was interrupted.
    pub resume: bool,
    /// Replace an earlier result.
    pub overwrite: bool,
    /// The command as typed.
    pub command: Vec<String>,
}

/// What came out: the run card of the checkpoint, `pretrain.json`.
#[derive(Clone, Debug, Serialize)]
pub struct PretrainReport {
    /// Version of the program.
    pub microtome: &'static str,
    /// The command as typed.
    pub command: Vec<String>,
    /// Folder of the checkpoint.
    pub out: PathBuf,
    /// Family.
    pub family: &'static str,
    /// What the network was asked.
    pub asked: Asked,
    /// Supervision by a column of `obs` besides.
    pub annotation: Option<AnnotationReport>,
    /// Parameters of the exported checkpoint.
    pub n_parameters: u64,
    /// Where the network and its vocabulary come from.
    pub begin: serde_json::Value,
    /// Which cells are used.
    pub split: Split,
    /// Training cells.
    pub n_train: usize,
    /// Held-out cells.
    pub n_held_out: usize,
    /// Groups that were held out whole.
    pub held_out_groups: Vec<String>,
    /// Cells that were passed over because they hold fewer than two genes of the vocabulary (counted each time).
    pub passed_over: u64,
    /// Every number that decided the result.
    pub recipe: Recipe,
    /// Files that were trained on.
    pub inputs: Vec<InputFile>,
    /// Steps done.
    pub steps: u64,
    /// Passes over the training cells.
    pub epochs: f64,
    /// Tokens run.
    pub tokens: u64,
    /// Whether it ended early for want of better validations.
    pub stopped_early: bool,
    /// Loss of the last step.
    pub loss: Option<f64>,
    /// Step and held-out loss of the weights that were exported.
    pub best: Option<(u64, f64)>,
    /// What guesses that know no cell lose on the same questions.
    pub baselines: Option<Baselines>,
    /// Every validation.
    pub validations: Vec<Validated>,
    /// Files of the checkpoint.
    pub files: Vec<String>,
}

/// Trains and exports.
///
/// # Errors
/// When data, vocabulary or recipe do not allow it, the loss is no number any more, or the user stops it; in the last two
/// cases the work folder holds the last good state.
pub fn pretrain(options: &PretrainOptions, progress: &dyn Progress) -> Result<PretrainReport> {
    let imitation = imitation::find(&options.family)?;
    let asked_for = imitation::asked(imitation, options.asked)?;
    let out = &options.out;
    output::check_folder(out, FINISHED, options.resume, options.overwrite)?;
    let mut recipe = options.recipe.clone();
    let masking = imitation.masking();
    recipe.masking = Masking { share: options.mask.unwrap_or(masking.share), ..masking };
    recipe.check()?;
    let paths = files::expand(&options.data)?;
    let mut opened = files::open_all(&paths)?;
    options.split.leave_out_of(&mut opened)?;
    let split = options.split.apply(&opened, recipe.seed)?;
    let classes = match &options.annotation {
        Some(a) => Some(Classes::new(&opened, a, &split.train)?),
        None => None,
    };
    if options.overwrite {
        model::clear(&out.join(FINISHED), out)?;
    }
    output::make_folder(out, FINISHED, options.overwrite)?;
    let work = out.join(WORK);
    let folder = work.join("model");
    std::fs::create_dir_all(&work)
        .map_err(|e| Error::output("cannot make the work folder").in_file(&work).caused_by(e))?;
    let material = Material { data: &opened, train: &split.train };
    model::prepare(imitation, &options.begin, &material, recipe.seed, &folder, progress)?;
    let model = OpenModel::open(&folder)?;
    for data in &mut opened {
        let told = data.notes.len();
        data.add_contexts(model.model.as_ref())?;
        data.notes[told..].iter().for_each(|n| progress.note(n));
    }
    let objective = imitation.objective(model.model.as_ref(), asked_for)?;
    let with_values = matches!(objective, Objective::MaskedValues { .. } | Objective::MaskedBins { .. });
    let labels = classes.as_ref().map(|c| &c.of_cell[..]);
    let sources = Sources::new(&opened, model.model.as_ref(), with_values, labels)?;
    if let Some(epochs) = options.epochs {
        recipe.steps = sources.steps(&split.train, epochs, &recipe)?;
        recipe.check()?;
    }
    let (architecture, mut weights) = model::network(imitation, &folder, model.model.as_ref())?;
    let annotation = options.annotation.as_ref().zip(classes.as_ref()).map(|(a, c)| c.annotation(a));
    let task = Task { architecture: architecture.as_ref(), objective, annotation };
    weights.extend(task.heads());
    let params = Params::new(weights)?;
    let inputs = paths.iter().map(|p| hash::input_file("data", p)).collect::<Result<Vec<_>>>()?;
    let asked = json!({
        "microtome": VERSION,
        "family": options.family,
        "asked": asked_for,
        "annotation": options.annotation,
        "begin": options.begin.describe(),
        "recipe": recipe,
        "split": options.split,
        "inputs": inputs.iter().map(|i| &i.sha256).collect::<Vec<_>>(),
        "vocabulary": model.model.info().d_vocab,
        "parameters": params.n_parameters(),
    });
    let state = watch::State::new(&work, &asked);
    let from = if options.resume { state.read()? } else { None };
    match &from {
        Some(kept) => progress.note(&format!("going on after step {} of {}", kept.step, recipe.steps)),
        None if options.resume => progress.note("no state was kept yet: beginning again"),
        None => {}
    }
    let mut log = Log::begin(out, state, from.as_ref(), recipe.steps, progress)?;
    let cells = (&split.train[..], &split.held_out[..]);
    let outcome = train(&params, &task, &sources, cells, &recipe, from, &mut log, progress)
        .map_err(|e| watch::explain(e, &work))?;
    log.finish()?;
    let files = model::export(imitation, asked_for, &folder, &outcome.weights, out)?;
    let kept = &outcome.kept;
    let exported = OpenModel::open(out)?;
    let best = kept.best.map(|(step, _)| step);
    let accuracy = kept.validations.iter().find(|v| Some(v.step) == best).and_then(|v| v.accuracy);
    let annotation = options.annotation.clone().zip(classes).map(|(options, c)| AnnotationReport {
        options,
        accuracy,
        most_frequent: c.most_frequent(&split.train, &split.held_out),
        classes: c.names,
    });
    let report = PretrainReport {
        microtome: VERSION,
        command: options.command.clone(),
        out: out.clone(),
        family: model.model.family().id,
        asked: asked_for,
        annotation,
        n_parameters: exported.model.info().n_parameters,
        begin: options.begin.describe(),
        split: options.split.clone(),
        n_train: split.train.len(),
        n_held_out: split.held_out.len(),
        held_out_groups: split.groups,
        passed_over: kept.passed_over,
        epochs: kept.cells as f64 / split.train.len().max(1) as f64,
        recipe,
        inputs,
        steps: kept.step,
        tokens: kept.tokens,
        stopped_early: outcome.stopped_early,
        loss: kept.records.last().map(|r| r.loss),
        best: kept.best,
        baselines: outcome.baselines,
        validations: kept.validations.clone(),
        files,
    };
    finish(out, &work, &report)?;
    Ok(report)
}

/// The run card comes last of what is written; then the work folder goes.
fn finish(out: &Path, work: &Path, report: &PretrainReport) -> Result<()> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|e| Error::output("cannot write the run card as JSON").caused_by(e))?;
    write_atomic(&out.join(FINISHED), format!("{text}\n").as_bytes())?;
    std::fs::remove_dir_all(work)
        .map_err(|e| Error::output("cannot remove the work folder").in_file(work).caused_by(e))
}
