//! The loop.

use microtome_core::{Error, ErrorKind, Progress, Result};

use super::adamw::AdamW;
use super::baselines::Baselines;
use super::draws::{Draws, Purpose};
use super::gradient::{Gradient, gradient};
use super::objective::Task;
use super::question::Question;
use super::recipe::Recipe;
use super::state::{Kept, Record, Validated};
use super::stream::{Cells, Stream};
use super::validation::HeldOut;
use crate::net::{NamedTensor, Params};

/// Hears of a run as it goes.
pub trait Watcher {
    /// What the run is called where its progress is shown.
    fn stage(&self) -> &str {
        "pretraining"
    }
    /// What guesses that know no cell lose, before the first step.
    fn baselines(&mut self, baselines: &Baselines) -> Result<()>;
    /// A step is done.
    fn step(&mut self, record: &Record) -> Result<()>;
    /// Held-out cells were looked at.
    fn validated(&mut self, validated: &Validated) -> Result<()>;
    /// A state from which the run can go on: to be stored whole or not at all.
    fn keep(&mut self, kept: &Kept) -> Result<()>;
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The last state.
    pub kept: Kept,
    /// The weights of the best validation, or the last ones where nothing was held out.
    pub weights: Vec<NamedTensor>,
    /// Guesses that know no cell; `None` where nothing was held out.
    pub baselines: Option<Baselines>,
    /// Whether it ended before the last step, for want of better validations.
    pub stopped_early: bool,
}

struct Run<'a> {
    params: &'a Params,
    task: &'a Task<'a>,
    recipe: &'a Recipe,
    optimiser: AdamW,
    best: Option<Vec<Vec<f32>>>,
    kept: Kept,
}

/// Trains `params` (the weights of the task's network and [`Task::heads`]) on the cells at `train`, looking at those at `held_out` from time to time; goes on `from` a kept state.
///
/// # Errors
/// When the recipe is out of range, no cell can be learned from, a loss or gradient is no number any more (the last kept
/// state is from before), or the user stops it (the state was kept).
#[allow(clippy::too_many_arguments, reason = "the network, its cells, and who listens")]
pub fn pretrain(
    params: &Params,
    task: &Task<'_>,
    cells: &dyn Cells,
    (train, held_out): (&[usize], &[usize]),
    recipe: &Recipe,
    from: Option<Kept>,
    watcher: &mut dyn Watcher,
    progress: &dyn Progress,
) -> Result<Outcome> {
    recipe.check()?;
    if train.is_empty() {
        return Err(Error::usage("there are no cells to train on"));
    }
    let looked_at = HeldOut::new(cells, held_out, task, recipe)?;
    let baselines = match looked_at.is_empty() {
        true => None,
        false => Some(looked_at.baselines(cells, train, task, recipe)?),
    };
    if let Some(b) = &baselines {
        watcher.baselines(b)?;
    }
    let optimiser = AdamW::new(params)?;
    let mut run = Run { params, task, recipe, optimiser, best: None, kept: Kept::default() };
    if let Some(kept) = from {
        run.restore(kept)?;
    } else if !looked_at.is_empty() {
        run.validate(&looked_at, watcher)?;
    }
    let mut stream = Stream::new(cells, train, recipe, run.kept.position);
    progress.begin(watcher.stage(), recipe.steps, "steps");
    progress.advance(run.kept.step);
    let mut stopped_early = run.out_of_patience();
    while run.kept.step < recipe.steps && !stopped_early {
        if let Err(stop) = progress.check() {
            watcher.keep(&run.whole())?;
            return Err(stop);
        }
        run.step(&mut stream, watcher)?;
        let done = run.kept.step;
        let last = done == recipe.steps;
        if !looked_at.is_empty() && (done.is_multiple_of(recipe.validate_every) || last) {
            run.validate(&looked_at, watcher)?;
            stopped_early = !last && run.out_of_patience();
        }
        if done.is_multiple_of(recipe.keep_every) || last || stopped_early {
            watcher.keep(&run.whole())?;
        }
        progress.advance(1);
    }
    progress.end();
    let kept = run.whole();
    let mut weights = kept.part("best");
    if weights.is_empty() {
        weights = kept.part("weights");
    }
    Ok(Outcome { kept, weights, baselines, stopped_early })
}

impl Run<'_> {
    fn step(&mut self, stream: &mut Stream<'_>, watcher: &mut dyn Watcher) -> Result<()> {
        let batch = self.take(stream)?;
        let mut g = gradient(self.params, self.task, &batch, self.recipe, self.kept.step)?;
        let loss = g.loss / g.n.max(1) as f64;
        let norm = norm(&g);
        if !loss.is_finite() || !g.besides.is_finite() || !norm.is_finite() {
            let found = format!("loss {loss}, besides {}, norm of the gradient {norm}", g.besides);
            return Err(no_number(self.kept.step + 1).found(found));
        }
        if norm > self.recipe.clip {
            let by = (self.recipe.clip / norm) as f32;
            g.grads.iter_mut().flatten().for_each(|x| *x *= by);
        }
        let step = self.kept.step;
        self.optimiser.step(&g.grads, self.recipe, step, self.params)?;
        self.kept.step += 1;
        self.kept.position = stream.position();
        self.kept.cells += batch.len() as u64;
        self.kept.tokens += batch.iter().map(|c| c.ids.len() as u64).sum::<u64>();
        let record = Record {
            step: self.kept.step,
            loss,
            besides: g.besides,
            rate: self.recipe.rate(step),
            gradient_norm: norm,
            tokens: self.kept.tokens,
            cells: self.kept.cells,
        };
        self.kept.records.push(record);
        watcher.step(&record)
    }

    /// Whole cells until the step has its tokens.
    fn take(&mut self, stream: &mut Stream<'_>) -> Result<Vec<Question>> {
        let (mut batch, mut tokens) = (vec![], 0);
        let began = stream.position().epoch;
        let full = |batch: &[Question], tokens: usize| match self.recipe.batch_cells {
            Some(n) => batch.len() >= n,
            None => tokens >= self.recipe.batch_tokens,
        };
        while !full(&batch, tokens) {
            let (epoch, place, cell) = stream.next()?;
            let draws = Draws::new(self.recipe.seed, Purpose::Mask, epoch, place as u64);
            match Question::draw(&cell, &self.task.objective, self.recipe.masking, draws) {
                Some(question) => {
                    tokens += question.ids.len();
                    batch.push(question);
                }
                None => self.kept.passed_over += 1,
            }
            if batch.is_empty() && epoch > began + 1 {
                return Err(Error::mismatch("no cell has two genes of the vocabulary")
                    .remedy("check with `microtome doctor` that data and vocabulary name genes alike"));
            }
        }
        Ok(batch)
    }

    fn validate(&mut self, held_out: &HeldOut, watcher: &mut dyn Watcher) -> Result<()> {
        let (loss, accuracy) = held_out.look(self.params, self.task, self.recipe)?;
        if !loss.is_finite() {
            return Err(no_number(self.kept.step).found(format!("held-out loss {loss}")));
        }
        let validated = Validated { step: self.kept.step, loss, accuracy };
        self.kept.validations.push(validated);
        if self.kept.best.is_none_or(|(_, best)| loss < best) {
            self.kept.best = Some((self.kept.step, loss));
            self.kept.since_best = 0;
            self.best = Some(self.optimiser.weights.clone());
        } else {
            self.kept.since_best += 1;
        }
        watcher.validated(&validated)
    }

    fn out_of_patience(&self) -> bool {
        self.recipe.patience > 0 && self.kept.since_best >= self.recipe.patience
    }

    /// The state with its tensors.
    fn whole(&self) -> Kept {
        let o = &self.optimiser;
        let mut parts = vec![("weights", &o.weights), ("mean", &o.mean), ("square", &o.square)];
        parts.extend(self.best.as_ref().map(|b| ("best", b)));
        let mut tensors = vec![];
        for (part, values) in parts {
            for ((name, shape), values) in o.names.iter().zip(&o.shapes).zip(values) {
                let name = format!("{part}/{name}");
                tensors.push(NamedTensor { name, shape: shape.clone(), values: values.clone() });
            }
        }
        Kept { tensors, ..self.kept.clone() }
    }

    fn restore(&mut self, kept: Kept) -> Result<()> {
        let part = |part: &str| -> Result<Vec<Vec<f32>>> {
            let found = kept.part(part);
            self.optimiser
                .names
                .iter()
                .zip(&self.optimiser.shapes)
                .map(|(name, shape)| {
                    found
                        .iter()
                        .find(|t| &t.name == name && &t.shape == shape)
                        .map(|t| t.values.clone())
                        .ok_or_else(|| {
                            Error::unreadable("the kept state lacks a tensor")
                                .at_key(format!("{part}/{name}"))
                        })
                })
                .collect()
        };
        let (weights, mean, square) = (part("weights")?, part("mean")?, part("square")?);
        self.best = if kept.best.is_some() { Some(part("best")?) } else { None };
        for (name, values) in self.optimiser.names.iter().zip(&weights) {
            self.params.set_values(name, values.clone())?;
        }
        (self.optimiser.weights, self.optimiser.mean, self.optimiser.square) = (weights, mean, square);
        self.kept = Kept { tensors: vec![], ..kept };
        Ok(())
    }
}

fn norm(g: &Gradient) -> f64 {
    g.grads.iter().flatten().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

fn no_number(step: u64) -> Error {
    Error::new(ErrorKind::CheckFailed, "the loss is no number any more")
        .at_key(format!("step {step}"))
        .remedy("the last kept state is from before; begin again with a lower --lr or a longer --warm-up")
}
