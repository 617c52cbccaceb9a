//! One training per fold of units, and one for the adapter that is kept.

use std::path::Path;

use microtome_core::{Error, ErrorKind, Progress, Result};
use microtome_train::finetune::FitOptions;
use microtome_train::net::NamedTensor;
use microtome_train::pretrain::{
    Baselines, Decay, Kept, Questions, Reader, Recipe, Record, Validated, Watcher, pretrain,
};
use serde::{Deserialize, Serialize};

use super::base::Base;
use super::cells::Held;
use super::frozen::{put, stop_of};
use crate::finetune::keep;
use crate::pretrain::watch::State;

/// Share of the steps over which the learning rate rises.
const WARM_UP: f64 = 0.1;
/// Steps between kept states at most.
const KEEP_EVERY: u64 = 100;

/// What is trained on what.
pub(super) struct Folds<'a> {
    pub(super) base: &'a Base,
    pub(super) cells: &'a Held,
    pub(super) questions: &'a Questions,
    /// Cells by fold.
    pub(super) folds: &'a [Vec<usize>],
    pub(super) options: &'a FitOptions,
    pub(super) work: &'a Path,
    pub(super) asked: &'a str,
    pub(super) progress: &'a dyn Progress,
}

/// A finished fold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FoldDone {
    asked: String,
    /// Sum of the losses of every held-out cell of the fold, in its order.
    losses: Vec<f64>,
    /// Passes over the training cells and mean loss on the units that say when to stop; 0 is the published model.
    pub(super) curve: Vec<(f64, f64)>,
    /// Passes after which the weights were best.
    pub(super) best: f64,
}

/// Weights of the best pass, and how it went.
struct Trained {
    weights: Vec<NamedTensor>,
    curve: Vec<(f64, f64)>,
    best: f64,
}

impl Folds<'_> {
    /// Sum of the losses of every cell by a model that saw no cell of its fold.
    pub(super) fn run(&self) -> Result<(Vec<f64>, Vec<FoldDone>)> {
        let n = self.folds.len();
        let mut losses = vec![0.0; self.cells.len()];
        let mut done = vec![];
        for (fold, test) in self.folds.iter().enumerate() {
            let path = self.work.join(format!("fold_{fold}.json"));
            let finished: FoldDone = match keep::read_done(&path, self.asked, |f: &FoldDone| &f.asked)? {
                Some(finished) => finished,
                None => {
                    let name = format!("fold {} of {n}", fold + 1);
                    let trained = self.train(Some(fold), &name, &format!("fold_{fold}"))?;
                    let params = self.base.adapted(trained.weights)?;
                    let losses = self.losses(&params, test)?;
                    let asked = self.asked.to_string();
                    let finished = FoldDone { asked, losses, curve: trained.curve, best: trained.best };
                    keep::write_done(&path, &finished)?;
                    finished
                }
            };
            put(&mut losses, test, finished.losses.clone());
            done.push(finished);
        }
        Ok((losses, done))
    }

    /// The adapter that is kept, trained on all folds but the first, by which it stops.
    pub(super) fn last(&self) -> Result<Vec<NamedTensor>> {
        Ok(self.train(None, "the adapter that is kept", "last")?.weights)
    }

    fn losses(&self, params: &microtome_train::net::Params, cells: &[usize]) -> Result<Vec<f64>> {
        let task = self.base.task();
        let reader = Reader { params, task: &task, part_tokens: self.options.part_tokens };
        self.questions.losses(&reader, cells, &microtome_core::Silent)
    }

    fn train(&self, without: Option<usize>, stage: &str, file: &str) -> Result<Trained> {
        let n = self.folds.len();
        let stop = without.map_or(0, |f| stop_of(f, n));
        let rest = (0..n).filter(|&f| f != stop && Some(f) != without);
        let mut train: Vec<usize> = rest.flat_map(|f| self.folds[f].iter().copied()).collect();
        let mut validation = self.folds[stop].clone();
        train.sort_unstable();
        validation.sort_unstable();
        let per_epoch = train.len().div_ceil(self.options.batch) as u64;
        let recipe = Recipe {
            steps: per_epoch * self.options.epochs as u64,
            batch_cells: Some(self.options.batch),
            part_tokens: self.options.part_tokens,
            learning_rate: self.options.learning_rate,
            warm_up: WARM_UP,
            decay: Decay::Linear,
            weight_decay: self.options.weight_decay,
            beta2: 0.999,
            clip: self.options.clip,
            masking: self.base.masking,
            seed: self.options.seed,
            validate_every: per_epoch,
            patience: self.options.patience as u64,
            keep_every: per_epoch.min(KEEP_EVERY),
            validation_cells: validation.len(),
            ..Recipe::default()
        };
        let path = self.work.join(format!("{file}.safetensors"));
        let state = State::at(path.clone(), self.asked);
        let from = state.read()?;
        let mut keeper = Keeper { state, stage };
        let number = without.unwrap_or(n) as u64;
        let params = self.base.adapted(self.base.first_values(self.options.seed, number))?;
        let task = self.base.task();
        let sides = (&train[..], &validation[..]);
        let outcome = pretrain(&params, &task, self.cells, sides, &recipe, from, &mut keeper, self.progress)
            .map_err(|e| explain(e, &path))?;
        let passes = |step: u64| step as f64 / per_epoch as f64;
        let kept = &outcome.kept;
        Ok(Trained {
            curve: kept.validations.iter().map(|v| (passes(v.step), v.loss)).collect(),
            best: kept.best.map_or(0.0, |(step, _)| passes(step)),
            weights: outcome.weights,
        })
    }
}

fn explain(e: Error, path: &Path) -> Error {
    match e.kind() {
        ErrorKind::CheckFailed => e.in_file(path).remedy(
            "the kept state is from before; begin again with a lower --learning-rate and --overwrite",
        ),
        _ => e,
    }
}

/// Keeps the state of a training.
struct Keeper<'a> {
    state: State,
    stage: &'a str,
}

impl Watcher for Keeper<'_> {
    fn stage(&self) -> &str {
        self.stage
    }

    fn baselines(&mut self, _: &Baselines) -> Result<()> {
        Ok(())
    }

    fn step(&mut self, _: &Record) -> Result<()> {
        Ok(())
    }

    fn validated(&mut self, _: &Validated) -> Result<()> {
        Ok(())
    }

    fn keep(&mut self, kept: &Kept) -> Result<()> {
        self.state.write(kept)
    }
}
