//! `pretrain`: a model of a published family, trained on cells.
//!
//! The network is written as an untrained checkpoint first, opened like any other, and asked to make the tokens; its
//! weights go to `microtome_train` by their names and come back trained under the same names. What is exported is
//! therefore read by every program that reads the family.

mod cells;
mod files;
mod model;
mod tensorboard;
mod vocabulary;
mod watch;

use std::path::{Path, PathBuf};

use microtome_core::{Error, InputFile, Progress, Result};
use microtome_train::pretrain::{Baselines, Recipe, Validated, pretrain as train};
use serde::Serialize;
use serde_json::json;

use crate::card::VERSION;
use crate::open::OpenModel;
use crate::output::{self, WORK};
use crate::{hash, output::write_atomic};
use cells::Sources;
pub use cells::Split;
pub use model::{Begin, Shape};
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
    /// Steps, rates, masks, seeds. Its `steps` are taken from `epochs` where that is given.
    pub recipe: Recipe,
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
    /// Parameters.
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
    /// What guesses by gene frequency lose on the same hidden genes.
    pub baselines: Option<Baselines>,
    /// Every validation.
    pub validations: Vec<Validated>,
}

/// Trains and exports.
///
/// # Errors
/// When data, vocabulary or recipe do not allow it, the loss is no number any more, or the user stops it; in the last two
/// cases the work folder holds the last good state.
pub fn pretrain(options: &PretrainOptions, progress: &dyn Progress) -> Result<PretrainReport> {
    if options.family != "geneformer" {
        microtome_models::find_family(&options.family)?;
        return Err(Error::unsupported("this family cannot be pretrained")
            .expected("geneformer")
            .found(options.family.clone()));
    }
    let out = &options.out;
    output::check_folder(out, FINISHED, options.resume, options.overwrite)?;
    let mut recipe = options.recipe.clone();
    recipe.check()?;
    let paths = files::expand(&options.data)?;
    let mut opened = files::open_all(&paths)?;
    options.split.leave_out_of(&mut opened)?;
    output::make_folder(out, FINISHED, options.overwrite)?;
    let work = out.join(WORK);
    let folder = work.join("model");
    std::fs::create_dir_all(&work)
        .map_err(|e| Error::output("cannot make the work folder").in_file(&work).caused_by(e))?;
    model::prepare(&options.begin, &opened, recipe.seed, &folder, progress)?;
    let model = OpenModel::open(&folder)?;
    let sources = Sources::new(&opened, model.model.as_ref())?;
    let split = options.split.apply(&opened, recipe.seed)?;
    if let Some(epochs) = options.epochs {
        recipe.steps = sources.steps(&split.train, epochs, &recipe)?;
        recipe.check()?;
    }
    let (shape, params) = model::network(&folder, model.model.info())?;
    let inputs = paths.iter().map(|p| hash::input_file("data", p)).collect::<Result<Vec<_>>>()?;
    let asked = json!({
        "microtome": VERSION,
        "recipe": recipe,
        "split": options.split,
        "inputs": inputs.iter().map(|i| &i.sha256).collect::<Vec<_>>(),
        "vocabulary": shape.vocab_size,
        "parameters": params.n_parameters(),
    });
    let state = watch::State::new(&work, &asked);
    let from = if options.resume { state.read()? } else { None };
    match &from {
        Some(kept) => progress.note(&format!("going on after step {} of {}", kept.step, recipe.steps)),
        None if options.resume => progress.note("no state was kept yet: beginning again"),
        None => {}
    }
    let vocabulary = model::tokens(model.model.as_ref())?;
    let mut log = Log::begin(out, state, from.as_ref(), recipe.steps, progress)?;
    let cells = (&split.train[..], &split.held_out[..]);
    let outcome = train(&params, &shape, &vocabulary, &sources, cells, &recipe, from, &mut log, progress)
        .map_err(|e| watch::explain(e, &work))?;
    log.finish()?;
    model::export(&folder, &outcome.weights, out)?;
    let kept = &outcome.kept;
    let report = PretrainReport {
        microtome: VERSION,
        command: options.command.clone(),
        out: out.clone(),
        family: model.model.family().id,
        n_parameters: params.n_parameters(),
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
