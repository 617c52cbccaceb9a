//! Masked expression as a goal: adapters on frozen blocks under the model's own readout, trained as `pretrain` trains.
//!
//! Whole units are held out by fold. Every cell is asked the same fixed questions, whoever answers: the adapted model, the frozen one
//! at every depth, readouts fitted to frozen blocks ([`frozen`]), and guesses that know no network ([`guesses`]). Losses are compared per
//! answer on the same resamples of units; lower is better.

mod base;
mod cells;
mod folds;
mod frozen;
mod guesses;
mod page;
#[cfg(test)]
mod tests;

use microtome_core::{Error, Progress, Result, Site};
use microtome_eval::UnitLosses;
use microtome_train::finetune::Method;
use microtome_train::net::Params;
use microtome_train::pretrain::{Questions, Reader};
use serde_json::json;

use super::{FINISHED, FinetuneOptions, FinetuneReport, ScoreLine};
use crate::card::VERSION;
use crate::data::Data;
use crate::open::OpenModel;
use crate::output;
use crate::pretrain::Asked;
use base::Base;
use cells::Held;
use folds::Folds;

/// What is compared, in the order of the scores.
struct Sets {
    /// Name and sum of losses by cell; the adapted model first.
    all: Vec<(String, Vec<f64>)>,
    /// The published model, the chosen probe, the first of the baselines.
    published: usize,
    probe: usize,
    baselines: std::ops::Range<usize>,
    /// The model's own readout and the fitted one by depth.
    own: std::ops::Range<usize>,
    fitted: std::ops::Range<usize>,
}

/// Adapts and compares. Errors as [`super::finetune`].
pub(super) fn finetune(
    options: &FinetuneOptions,
    objective: Option<Asked>,
    share: Option<f64>,
    progress: &dyn Progress,
) -> Result<FinetuneReport> {
    if matches!(options.fit.method, Method::Mlp { .. }) {
        return Err(Error::usage("masked expression is learnt by the blocks, not by an MLP on top")
            .at_key("--method")
            .expected("lora or full")
            .remedy("leave it out: probes on the frozen blocks are in every report of --masked"));
    }
    let out = &options.out;
    output::check_folder(out, FINISHED, options.resume, options.overwrite)?;
    let opened = OpenModel::open(&options.model)?;
    let model = opened.model.as_ref();
    super::check_blocks(options, model)?;
    let base = Base::open(model, objective, share, options.first_block, &options.fit)?;
    let mut data = Data::open(&options.data)?;
    data.add_contexts(model)?;
    let held = Held::new(&mut data, model, base.takes_values(), progress)?;
    let seed = options.fit.seed;
    let everyone: Vec<usize> = (0..held.len()).collect();
    let questions = Questions::draw(&held, &everyone, &base.objective, base.masking, seed)?;
    let cells = super::cells(&data, options)?;
    let (card, protocol) = super::card_of(options, &opened)?;
    let losses = UnitLosses::new(&cells, questions.n_answers(), &protocol)?;
    let by_fold: Vec<Vec<usize>> =
        losses.held_out.folds.iter().map(|f| losses.held_out.cells_of(f)).collect();
    let work = super::make_work(options)?;
    let asked = super::asked_of(options, &card, &data);

    let (task, published) = (base.task(), base.published());
    let reader = Reader { params: &published, task: &task, part_tokens: options.fit.part_tokens };
    let frozen = frozen::read(&questions, &reader, &by_fold, &held, progress)?;
    let simple = guesses::read(&base.objective, &questions, &by_fold, &held, progress)?;
    let folds = Folds {
        base: &base,
        cells: &held,
        questions: &questions,
        folds: &by_fold,
        options: &options.fit,
        work: &work,
        asked: &asked,
        progress,
    };
    let (adapted, done) = folds.run().map_err(super::to_go_on)?;
    let weights = folds.last().map_err(super::to_go_on)?;

    let name = format!("{} + {}", opened.name, super::method_words(options.fit.method));
    let sets = sets(&opened.name, (name, adapted), &frozen, simple);
    let compared = losses.compare(&sets.all, &protocol, progress)?;
    let scores: Vec<ScoreLine> = compared.iter().map(ScoreLine::from).collect();
    let facts = page::Facts { base: &base, losses: &losses, sets: &sets, frozen: &frozen, done: &done };
    let folder = out.join("adapter");
    let mut report = FinetuneReport {
        out: out.clone(),
        report: out.join("report.html"),
        verdict: page::verdict(&scores, &facts),
        n_trained: weights.iter().map(|t| t.values.len() as u64).sum(),
        scores,
        adapter: Some(folder.clone()),
        merged: None,
    };
    let adapter_card = json!({
        "microtome": VERSION, "family": model.family().id, "base": opened.inputs, "fit": options.fit,
        "first_block": options.first_block, "goal": { "masked": { "objective": base.asked, "masking": base.masking } },
        "classes": [],
    });
    super::keep::write_adapter(&folder, &weights, &adapter_card)?;
    if options.merge {
        let merged = out.join("merged");
        let blocks = base.network.merged(&Params::new(weights)?)?;
        base.stored.write_merged(model, options.first_block, &blocks, &merged)?;
        report.merged = Some(merged);
    }
    let page = page::build(&report, &facts, &data.notes, card, options)?;
    super::finish(&page, &report, &work)?;
    Ok(report)
}

/// Site of a depth: the embedding, then the output of every block.
fn site(depth: usize) -> Site {
    depth.checked_sub(1).map_or(Site::Embed, Site::resid_post)
}

fn sets(
    model: &str,
    adapted: (String, Vec<f64>),
    frozen: &frozen::Frozen,
    simple: Vec<(String, Vec<f64>)>,
) -> Sets {
    let n = frozen.own.len();
    let mut all = vec![adapted];
    all.push((format!("{model} frozen"), frozen.own[n - 1].clone()));
    all.push((format!("{model} frozen probe, depth chosen in training units"), frozen.nested.clone()));
    let baselines = all.len()..all.len() + simple.len();
    all.extend(simple);
    let of = |what: &str, losses: &[Vec<f64>]| {
        let name =
            |(depth, l): (usize, &Vec<f64>)| (format!("{model} frozen, {}, {what}", site(depth)), l.clone());
        losses.iter().enumerate().map(name).collect::<Vec<_>>()
    };
    let own = all.len()..all.len() + n;
    all.extend(of("own readout", &frozen.own));
    let fitted = all.len()..all.len() + n;
    all.extend(of("fitted readout", &frozen.fitted));
    Sets { all, published: 1, probe: 2, baselines, own, fitted }
}
