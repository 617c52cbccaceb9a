//! `finetune`: adapters, all weights, or a probe, trained for a label and judged on units that took no part.
//!
//! The frozen model and the simple baselines are read by the annotation task of `scan`: the same cells, classes, folds of
//! units and metric. What is trained is trained once per fold (learning units, units to stop by, held-out units), and its
//! held-out labels are compared with those of every reading on the same resamples of units. The adapter that is kept is
//! trained once more on the units of all folds but one, by which it stops. Masked expression ([`masked`]) has no label to read: losses
//! are compared instead.

mod blocks;
mod folds;
mod goal;
mod keep;
mod masked;
mod merge;
mod page;
mod rewrite;
mod stream;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use microtome_core::{BlockSite, Error, ErrorKind, Progress, Result, Role, RunCard, Site};
use microtome_eval::{Cells, Compared, Groups, Protocol, Representation, controls};
use microtome_models::taps::Pooling;
use microtome_models::{Model, Tokens, pool_cells};
use microtome_report::Page;
use microtome_train::finetune::{FitOptions, Method, Targets};
use serde::Serialize;
use serde_json::json;

use crate::card::{self, VERSION};
use crate::data::{Data, DataOptions};
use crate::open::OpenModel;
use crate::output::{self, WORK};
use crate::{hash, render};
use blocks::Stored;
use folds::{Folds, Subject};
pub use goal::Goal;
pub use merge::{MergeReport, merge};
use stream::Stream;

/// The file whose presence says that a run is finished.
pub(crate) const FINISHED: &str = "finetune.json";
/// Tokens that the engine runs together.
const ENGINE_TOKENS: usize = 8192;

/// What to fine-tune for what.
#[derive(Clone, Debug)]
pub struct FinetuneOptions {
    /// Cells.
    pub data: DataOptions,
    /// Checkpoint.
    pub model: PathBuf,
    /// What is learnt.
    pub goal: Goal,
    /// Column of `obs` with the independent unit.
    pub unit: Option<String>,
    /// Method, passes, rates, seed.
    pub fit: FitOptions,
    /// First block that is trained; those before stay as they are and are run by the engine.
    pub first_block: usize,
    /// Write a checkpoint with the adapter merged into the weights.
    pub merge: bool,
    /// Bootstrap replicates.
    pub n_bootstrap: usize,
    /// Folder for the result.
    pub out: PathBuf,
    /// Go on with a run that was interrupted.
    pub resume: bool,
    /// Replace an earlier result.
    pub overwrite: bool,
    /// The command as typed.
    pub command: Vec<String>,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct FinetuneReport {
    /// Folder.
    pub out: PathBuf,
    /// Page.
    pub report: PathBuf,
    /// The answer in one sentence.
    pub verdict: String,
    /// Numbers that are trained, head included.
    pub n_trained: u64,
    /// The trained model first, then every reading of the frozen one and every baseline: name, score, interval, how far the
    /// first is ahead, its interval.
    pub scores: Vec<ScoreLine>,
    /// Folder of the adapter; none for a probe.
    pub adapter: Option<PathBuf>,
    /// Folder of the merged checkpoint.
    pub merged: Option<PathBuf>,
}

/// One line of the comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreLine {
    /// Name.
    pub name: String,
    /// On held-out units: macro-F1 of labels, Spearman correlation of numbers, mean loss of masked expression (lower is better).
    pub score: Option<f64>,
    /// Its interval.
    pub interval: Option<[f64; 2]>,
    /// How far the trained model is ahead of this one: positive where it is better.
    pub ahead: Option<f64>,
    /// Its interval, paired over units.
    pub ahead_interval: Option<[f64; 2]>,
}

impl From<&Compared> for ScoreLine {
    fn from(c: &Compared) -> Self {
        let ends = |i: microtome_eval::protocol::interval::Interval| [i.low, i.high];
        Self {
            name: c.name.clone(),
            score: c.score,
            interval: c.interval.map(ends),
            ahead: c.ahead,
            ahead_interval: c.ahead_interval.map(ends),
        }
    }
}

/// Trains and compares.
///
/// # Errors
/// When data, labels, units or the family do not allow it, when the loss is no number any more, or when the user stops
/// it; in the last two cases the work folder holds every finished fold and the last good state.
pub fn finetune(options: &FinetuneOptions, progress: &dyn Progress) -> Result<FinetuneReport> {
    options.fit.check()?;
    if let Goal::Masked { objective, share } = options.goal {
        return masked::finetune(options, objective, share, progress);
    }
    let out = &options.out;
    output::check_folder(out, FINISHED, options.resume, options.overwrite)?;
    let opened = OpenModel::open(&options.model)?;
    let model = opened.model.as_ref();
    let is_probe = matches!(options.fit.method, Method::Mlp { .. });
    let stored = if is_probe { None } else { Some(Stored::open(model)?) };
    check_blocks(options, model)?;
    let mut data = Data::open(&options.data)?;
    data.add_contexts(model)?;
    options.goal.keep_known(&mut data)?;
    let genes = model.match_genes(&data.genes)?;
    let tokens = tokens(&mut data, &opened, &genes)?;
    let cells = cells(&data, options)?;
    let task = options.goal.task(&data)?;
    let (card, protocol) = card_of(options, &opened)?;
    let held_out = task.held_out(&cells, &protocol)?;
    let work = make_work(options)?;

    let frozen = frozen(&opened, &tokens, progress)?;
    let counts = data.counts(0..data.cells.len())?;
    let mut all = frozen.clone();
    all.extend(controls::baselines(&counts, options.fit.seed, progress)?);
    drop(counts);
    let read = task.read(&cells, &all, &held_out, &protocol, progress)?;
    drop(all);
    let targets = match held_out.classes.len() {
        0 => Targets::Numbers(held_out.truth.clone()),
        n => Targets::Classes { codes: held_out.truth.iter().map(|t| *t as u32).collect(), n },
    };
    let subject = Subject {
        model,
        stream: Stream::new(model, &tokens, &held_out.cells, options.first_block),
        cells: &held_out.cells,
        blocks: stored.as_ref().map_or(Ok(vec![]), |s| s.blocks(options.first_block))?,
        frozen: &frozen,
        targets: &targets,
    };
    let asked = asked_of(options, &card, &data);
    let folds =
        Folds { subject, held_out: &held_out, options: &options.fit, work: &work, asked: &asked, progress };
    let (predicted, fitted) = folds.run().map_err(to_go_on)?;
    let adapter = if is_probe { None } else { Some(folds.last().map_err(to_go_on)?) };

    let name = format!("{} + {}", opened.name, method_words(options.fit.method));
    let sets: Vec<_> = std::iter::once((name, predicted)).chain(read.sets).collect();
    let compared = held_out.compare(task.headline(), &sets, &protocol, progress)?;
    let scores: Vec<ScoreLine> = compared.iter().map(ScoreLine::from).collect();
    let verdict = page::verdict(&scores, &held_out, &opened.name);
    let n_trained = folds.n_trained()?;
    let mut report = FinetuneReport {
        out: out.clone(),
        report: out.join("report.html"),
        verdict,
        n_trained,
        scores,
        adapter: None,
        merged: None,
    };
    if let (Some((network, weights)), Some(stored)) = (&adapter, &stored) {
        let folder = out.join("adapter");
        let (centre, scale) = network.standard();
        let card = json!({
            "microtome": VERSION, "family": model.family().id, "base": opened.inputs, "fit": options.fit,
            "first_block": options.first_block, "goal": options.goal, "classes": held_out.classes,
            "standard": folds.standard(),
            "head": { "centre": centre, "scale": scale, "input": "mean over gene tokens of the last block" },
        });
        keep::write_adapter(&folder, weights, &card)?;
        report.adapter = Some(folder);
        if options.merge {
            let params = microtome_train::net::Params::new(weights.clone())?;
            let merged = out.join("merged");
            stored.write_merged(model, options.first_block, &network.merged(&params)?, &merged)?;
            report.merged = Some(merged);
        }
    }
    let page = page::build(&report, &read.outcome, &fitted, card, &held_out, options, task.headline().id);
    finish(&page, &report, &work)?;
    Ok(report)
}

/// Errors where not all weights can be trained, or there is no such block.
fn check_blocks(options: &FinetuneOptions, model: &dyn Model) -> Result<()> {
    if options.first_block >= model.info().n_blocks {
        return Err(Error::usage("no such block")
            .at_key("--first-block")
            .expected(format!("below {}", model.info().n_blocks))
            .found(options.first_block.to_string()));
    }
    Ok(())
}

fn card_of(options: &FinetuneOptions, opened: &OpenModel) -> Result<(RunCard, Protocol)> {
    let inputs: Vec<_> =
        hash::inputs("data", &options.data.path)?.into_iter().chain(opened.inputs.clone()).collect();
    let card = RunCard {
        microtome: VERSION.into(),
        command: options.command.clone(),
        inputs,
        seed: options.fit.seed,
        precision: "f32".into(),
        choices: choices(options)?,
    };
    let protocol = Protocol {
        seed: options.fit.seed,
        n_bootstrap: options.n_bootstrap,
        run_card: card::card_hash(&card)?,
        ..Protocol::default()
    };
    Ok((card, protocol))
}

/// Hash of everything that decides the numbers.
fn asked_of(options: &FinetuneOptions, card: &RunCard, data: &Data) -> String {
    let inputs = hash::of_bytes(serde_json::to_string(&card.inputs).unwrap_or_default().as_bytes());
    let rest = (&options.goal, &options.unit, options.first_block, &data.cells);
    hash::of_bytes(format!("{inputs} {:?} {rest:?}", options.fit).as_bytes())
}

/// The folder of the result with one for what is not finished.
fn make_work(options: &FinetuneOptions) -> Result<PathBuf> {
    output::make_folder(&options.out, FINISHED, options.overwrite)?;
    let work = options.out.join(WORK);
    std::fs::create_dir_all(&work)
        .map_err(|e| Error::output("cannot make the work folder").in_file(&work).caused_by(e))?;
    Ok(work)
}

fn to_go_on(e: Error) -> Error {
    match e.kind() {
        ErrorKind::Interrupted => {
            e.remedy("finished folds are kept: repeat the command with --resume to go on")
        }
        _ => e,
    }
}

/// Writes the page and, as the last of all files, the result.
fn finish(page: &Page, report: &FinetuneReport, work: &Path) -> Result<()> {
    render::write(page, &report.report)?;
    let text = serde_json::to_string_pretty(report)
        .map_err(|e| Error::output("cannot write the result as JSON").caused_by(e))?;
    output::write_atomic(&report.out.join(FINISHED), format!("{text}\n").as_bytes())?;
    std::fs::remove_dir_all(work)
        .map_err(|e| Error::output("cannot remove the work folder").in_file(work).caused_by(e))
}

fn method_words(method: Method) -> String {
    match method {
        Method::Lora { rank, .. } => format!("LoRA (rank {rank})"),
        Method::Full => "all weights".into(),
        Method::Mlp { hidden } => format!("MLP probe ({hidden})"),
    }
}

/// Tokens of all cells; cells without a gene of the vocabulary are left out of the data.
fn tokens(data: &mut Data, opened: &OpenModel, genes: &microtome_models::GeneMatch) -> Result<Tokens> {
    let model = opened.model.as_ref();
    let (_, tokens) = data.tokenize(model, genes, 0..data.cells.len())?;
    let some: Vec<usize> =
        (0..tokens.n_cells()).filter(|&c| !stream::gene_places(model, &tokens, c).is_empty()).collect();
    if some.is_empty() {
        return Err(Error::mismatch("no cell expresses a gene of the model's vocabulary")
            .in_file(data.dataset.path())
            .remedy("see doctor for how the genes of the data meet the vocabulary"));
    }
    data.cells = some.iter().map(|&c| data.cells[c]).collect();
    Ok(tokens.select(&some))
}

fn cells(data: &Data, options: &FinetuneOptions) -> Result<Cells> {
    let cells = Cells::new(data.name(), data.cells.len());
    match &options.unit {
        None => Ok(cells),
        Some(name) => {
            let column = data.dataset.obs_column(name)?.select(&data.cells);
            cells.with_unit(Groups::from_column(name.clone(), &column))
        }
    }
}

/// The mean over gene tokens at the embedding and behind every block.
fn frozen(opened: &OpenModel, tokens: &Tokens, progress: &dyn Progress) -> Result<Vec<Representation>> {
    let model = opened.model.as_ref();
    let n = model.info().n_blocks;
    let sites: Vec<Site> = std::iter::once(Site::Embed).chain((0..n).map(Site::resid_post)).collect();
    progress.begin("frozen blocks", tokens.n_cells() as u64, "cells");
    let pooled = pool_cells(model, tokens, &sites, Pooling::Mean, ENGINE_TOKENS, progress)?;
    progress.end();
    Ok(sites
        .into_iter()
        .zip(pooled.matrices)
        .enumerate()
        .map(|(depth, (site, matrix))| Representation {
            model: opened.name.clone(),
            family: Some(model.family().id.into()),
            role: Role::Model,
            block: match &site {
                Site::Block(i, BlockSite::ResidPost) => Some(*i),
                _ => None,
            },
            depth: Some(depth as f64 / n.max(1) as f64),
            site: Some(site),
            pooling: Some("mean".into()),
            matrix,
        })
        .collect())
}

fn choices(options: &FinetuneOptions) -> Result<serde_json::Map<String, serde_json::Value>> {
    let mut out = serde_json::Map::new();
    let fit = serde_json::to_value(&options.fit)
        .map_err(|e| Error::output("cannot write the options as JSON").caused_by(e))?;
    out.insert("fit".into(), fit);
    let goal = serde_json::to_value(&options.goal)
        .map_err(|e| Error::output("cannot write the options as JSON").caused_by(e))?;
    out.insert("goal".into(), goal);
    out.insert("unit".into(), options.unit.clone().into());
    out.insert("first_block".into(), options.first_block.into());
    Ok(out)
}
