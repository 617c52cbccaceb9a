//! One fit per fold of units: learning units, units to stop by, held-out units.

use std::path::Path;

use microtome_core::{Error, Progress, Result};
use microtome_eval::{HeldOut, Representation};
use microtome_models::Model;
use microtome_train::finetune::{
    BlockWeights, Examples, Fit, FitOptions, FitState, Method, Network, Targets, fit, predict, standard_of,
};
use microtome_train::net::NamedTensor;

use super::keep::{self, FoldDone, Keeper};
use super::stream::{Rows, Stream};

/// What is trained.
pub(super) struct Subject<'a> {
    pub(super) model: &'a dyn Model,
    /// The stream that enters the first trained block, by scored cell.
    pub(super) stream: Stream<'a>,
    /// Cell (among the tokens and the representations) of every scored cell.
    pub(super) cells: &'a [usize],
    pub(super) blocks: Vec<BlockWeights>,
    /// The frozen model by depth.
    pub(super) frozen: &'a [Representation],
    pub(super) targets: &'a Targets,
}

/// All folds.
pub(super) struct Folds<'a> {
    pub(super) subject: Subject<'a>,
    pub(super) held_out: &'a HeldOut,
    pub(super) options: &'a FitOptions,
    pub(super) work: &'a Path,
    pub(super) asked: &'a str,
    pub(super) progress: &'a dyn Progress,
}

/// Training and validation cells, by position among the scored cells.
struct Split {
    train: Vec<usize>,
    validation: Vec<usize>,
}

impl Folds<'_> {
    /// Class or number of every scored cell, predicted by a model that saw no cell of its fold, and how each fold went.
    pub(super) fn run(&self) -> Result<(Vec<f64>, Vec<FoldDone>)> {
        let n = self.held_out.folds.len();
        if n < 3 {
            return Err(Error::mismatch("the units do not make three folds that hold several labels each")
                .at_key("--unit")
                .found(format!("{n} folds of {} units", self.held_out.n_units()))
                .remedy("name a unit of which more groups hold several labels"));
        }
        let mut predicted = vec![0.0; self.held_out.truth.len()];
        let mut done = vec![];
        for fold in 0..n {
            let test = self.held_out.cells_of(&self.held_out.folds[fold]);
            let path = self.work.join(format!("fold_{fold}.json"));
            let finished = match FoldDone::read(&path, self.asked, test.len())? {
                Some(finished) => finished,
                None => {
                    let finished = self.fold(fold, &test)?;
                    keep::write_done(&path, &finished)?;
                    finished
                }
            };
            test.iter().zip(&finished.predicted).for_each(|(&c, &p)| predicted[c] = p);
            done.push(finished);
        }
        Ok((predicted, done))
    }

    /// All folds but `without` are learnt from, but for the one after it, which says when to stop.
    fn split(&self, without: Option<usize>) -> Split {
        let folds = &self.held_out.folds;
        let stop = without.map_or(0, |w| (w + 1) % folds.len());
        let rest = (0..folds.len()).filter(|&f| f != stop && Some(f) != without);
        let train: Vec<usize> = rest.flat_map(|f| folds[f].iter().copied()).collect();
        Split { train: self.held_out.cells_of(&train), validation: self.held_out.cells_of(&folds[stop]) }
    }

    fn fold(&self, fold: usize, test: &[usize]) -> Result<FoldDone> {
        let split = self.split(Some(fold));
        let part_tokens = self.options.part_tokens;
        if matches!(self.options.method, Method::Mlp { .. }) {
            // The depth is chosen by the units that also say when to stop; held-out units take no part.
            let mut best: Option<(f64, FoldDone)> = None;
            for (depth, r) in self.subject.frozen.iter().enumerate() {
                let rows = Rows { matrix: &r.matrix, rows: self.subject.cells };
                let name = format!("fold {} of {}, {}", fold + 1, self.held_out.folds.len(), r.label());
                let (f, state) = self.fit(
                    &rows,
                    vec![],
                    r.matrix.cols(),
                    &split,
                    fold,
                    &name,
                    &format!("fold_{fold}_{depth}"),
                )?;
                let loss = state.best.map_or(f64::INFINITY, |b| b.1);
                if best.as_ref().is_none_or(|(l, _)| loss < *l) {
                    let logits = predict(&f, &state.best_weights, test, part_tokens)?;
                    best =
                        Some((loss, FoldDone::new(self.asked, self.top(&logits), &state, Some(r.label()))));
                }
            }
            return best.map(|b| b.1).ok_or_else(|| Error::usage("the model has no depth to probe"));
        }
        let name = format!("fold {} of {}", fold + 1, self.held_out.folds.len());
        let (blocks, d) = (self.subject.blocks.clone(), self.subject.model.info().d_model);
        let stream = &self.subject.stream;
        let (f, state) = self.fit(stream, blocks, d, &split, fold, &name, &format!("fold_{fold}"))?;
        let logits = predict(&f, &state.best_weights, test, part_tokens)?;
        Ok(FoldDone::new(self.asked, self.top(&logits), &state, None))
    }

    /// The adapter that is kept, trained on all folds but the first, by which it stops.
    pub(super) fn last(&self) -> Result<(Network, Vec<NamedTensor>)> {
        let split = self.split(None);
        let (blocks, d) = (self.subject.blocks.clone(), self.subject.model.info().d_model);
        let stream = &self.subject.stream;
        let n = self.held_out.folds.len();
        let (f, state) = self.fit(stream, blocks, d, &split, n, "the adapter that is kept", "last")?;
        Ok((f.network, state.best_weights))
    }

    /// Mean and standard deviation that the kept adapter's numbers are in units of; none for labels.
    pub(super) fn standard(&self) -> Option<(f64, f64)> {
        standard_of(self.subject.targets, &self.split(None).train)
    }

    /// Numbers that are trained.
    pub(super) fn n_trained(&self) -> Result<u64> {
        let network = Network::new(
            self.subject.blocks.clone(),
            self.subject.model.info().d_model,
            self.subject.targets.width(),
            self.options.method,
        )?;
        Ok(network.first_values(0, 0).iter().map(|t| t.values.len() as u64).sum())
    }

    #[allow(clippy::too_many_arguments, reason = "what is fitted, on what, and under which name it is kept")]
    fn fit<'b>(
        &'b self,
        examples: &'b dyn Examples,
        blocks: Vec<BlockWeights>,
        d: usize,
        split: &'b Split,
        fold: usize,
        stage: &str,
        file: &str,
    ) -> Result<(Fit<'b>, FitState)> {
        let targets = self.subject.targets;
        let network = Network::new(blocks, d, targets.width(), self.options.method)?;
        let (train, validation) = (&split.train[..], &split.validation[..]);
        let mut f = Fit { network, examples, targets, train, validation, fold: fold as u64 };
        let path = self.work.join(format!("{file}.safetensors"));
        let mut keeper = Keeper { path: path.clone(), asked: self.asked, progress: self.progress };
        let from = keeper.read()?;
        self.progress.begin(stage, self.options.epochs as u64, "epochs");
        self.progress.advance(from.as_ref().map_or(0, |s| s.epochs.len() as u64));
        let state = fit(&mut f, from, self.options, &mut keeper).map_err(|e| e.in_file(path))?;
        self.progress.end();
        Ok((f, state))
    }

    /// The class of the highest score; numbers as they are.
    fn top(&self, logits: &[f32]) -> Vec<f64> {
        let Targets::Classes { n, .. } = self.subject.targets else {
            return logits.iter().map(|v| f64::from(*v)).collect();
        };
        let best = |row: &[f32]| (1..row.len()).fold(0, |b, c| if row[c] > row[b] { c } else { b }) as f64;
        logits.chunks_exact(*n).map(best).collect()
    }
}
