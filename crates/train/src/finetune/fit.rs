//! Training, epoch by epoch.

use candle_core::{Device, Tensor};
use microtome_core::{Error, Result};
use rayon::prelude::*;

use super::examples::{Examples, Targets, parts};
use super::network::Network;
use super::options::FitOptions;
use super::state::{Epoch, FitState};
use crate::net::{NamedTensor, Params, failed, ops};
use crate::pretrain::adamw::AdamW;
use crate::pretrain::draws::{Draws, Purpose};
use crate::pretrain::{Decay, Recipe};

/// Share of the steps over which the learning rate rises.
const WARM_UP: f64 = 0.1;

/// What is fitted to what.
pub struct Fit<'a> {
    /// Frozen blocks and the shape of the head.
    pub network: Network,
    /// The cells.
    pub examples: &'a dyn Examples,
    /// What is true of them; by number of the cell.
    pub targets: &'a Targets,
    /// Cells that are learnt from.
    pub train: &'a [usize],
    /// Cells that say when to stop; of other units.
    pub validation: &'a [usize],
    /// Number of the fold: another one draws other first values and another order.
    pub fold: u64,
}

/// Hears of a fit.
pub trait Watcher {
    /// After every step.
    ///
    /// # Errors
    /// To stop.
    fn step(&mut self) -> Result<()>;
    /// After every epoch: a state to go on from.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn epoch(&mut self, state: &FitState) -> Result<()>;
}

/// Trains, from `state` on where there is one. The weights of the best epoch are in `best_weights` of what comes back, and
/// the head's standardisation is in the network.
///
/// # Errors
/// When options are out of range, a class has no training cell, the loss is not a number (states that were kept are
/// those before), or the watcher stops.
pub fn fit(
    fit: &mut Fit<'_>,
    state: Option<FitState>,
    options: &FitOptions,
    watcher: &mut dyn Watcher,
) -> Result<FitState> {
    options.check()?;
    if fit.train.is_empty() || fit.validation.is_empty() {
        return Err(Error::mismatch("there are no cells to learn from, or none to say when to stop")
            .found(format!("{} and {} cells", fit.train.len(), fit.validation.len()))
            .remedy("name a --unit with at least three units"));
    }
    let mut params = Params::new(fit.network.first_values(options.seed, fit.fold))?;
    standardise(fit, &params, options)?;
    let scaled = Scaled::new(fit, options)?;
    let per_epoch = fit.train.len().div_ceil(options.batch) as u64;
    let recipe = Recipe {
        steps: per_epoch * options.epochs as u64,
        learning_rate: options.learning_rate,
        warm_up: WARM_UP,
        decay: Decay::Linear,
        weight_decay: options.weight_decay,
        beta2: 0.999,
        ..Recipe::default()
    };
    let mut state = state.unwrap_or_default();
    if !state.weights.is_empty() {
        params = Params::new(state.weights.clone())?;
    }
    let mut optimiser = AdamW::new(&params)?;
    if !state.mean.is_empty() {
        optimiser.mean = state.mean.iter().map(|t| t.values.clone()).collect();
        optimiser.square = state.square.iter().map(|t| t.values.clone()).collect();
    }
    while state.epochs.len() < options.epochs && !is_over(&state, options.patience) {
        let epoch = state.epochs.len();
        let mut order = fit.train.to_vec();
        Draws::new(options.seed, Purpose::Examples, fit.fold, epoch as u64).shuffle(&mut order);
        let mut sum = 0.0;
        for cells in order.chunks(options.batch) {
            let (loss, mut grads) = gradient(fit, &params, &scaled, cells, options)?;
            let norm = grads.iter().flatten().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            if !(loss.is_finite() && norm.is_finite()) {
                return Err(Error::mismatch("the loss is not a number")
                    .found(format!("epoch {}, step {}", epoch + 1, state.step + 1))
                    .remedy("use a lower learning rate; what was kept after the epochs before is unharmed"));
            }
            sum += loss * cells.len() as f64;
            if norm > options.clip {
                let factor = (options.clip / norm) as f32;
                grads.iter_mut().flatten().for_each(|g| *g *= factor);
            }
            optimiser.step(&grads, &recipe, state.step, &params)?;
            state.step += 1;
            watcher.step()?;
        }
        let validation = losses(fit, &params, &scaled, fit.validation, options)?;
        state.epochs.push(Epoch { epoch: epoch + 1, training: sum / fit.train.len() as f64, validation });
        state.weights = params.to_named()?;
        if state.best.is_none_or(|(_, best)| validation < best) {
            state.best = Some((epoch + 1, validation));
            state.best_weights = state.weights.clone();
        }
        let moments = |of: &[Vec<f32>]| {
            let named =
                |(t, values): (&NamedTensor, &Vec<f32>)| NamedTensor { values: values.clone(), ..t.clone() };
            state.weights.iter().zip(of).map(named).collect::<Vec<_>>()
        };
        (state.mean, state.square) = (moments(&optimiser.mean), moments(&optimiser.square));
        watcher.epoch(&state)?;
    }
    Ok(state)
}

fn is_over(state: &FitState, patience: usize) -> bool {
    state.best.is_some_and(|(best, _)| state.epochs.len() >= best + patience)
}

/// Mean and standard deviation of the numbers of these cells, which the head's outputs are in units of; none for classes.
pub fn standard_of(targets: &Targets, train: &[usize]) -> Option<(f64, f64)> {
    match targets {
        Targets::Numbers(values) => Some(mean_and_sd(train.iter().map(|&c| values[c]))),
        Targets::Classes { .. } => None,
    }
}

/// What the head says of every cell, `[cell, width]` row-major, with these weights. Numbers come in the units of the targets.
///
/// # Errors
/// When the network cannot be run.
pub fn predict(
    fit: &Fit<'_>,
    weights: &[NamedTensor],
    cells: &[usize],
    part_tokens: usize,
) -> Result<Vec<f32>> {
    let params = Params::new(weights.to_vec())?;
    let mut out = run(fit, cells, part_tokens, |batch| flat(&fit.network.logits(&params, batch)?))?;
    if let Some((mean, sd)) = standard_of(fit.targets, fit.train) {
        out.iter_mut().for_each(|v| *v = (f64::from(*v) * sd + mean) as f32);
    }
    Ok(out)
}

fn flat(t: &Tensor) -> Result<Vec<f32>> {
    t.flatten_all().and_then(|t| t.to_vec1()).map_err(failed)
}

/// Runs cells part by part, several parts side by side, results in order.
fn run(
    fit: &Fit<'_>,
    cells: &[usize],
    part_tokens: usize,
    f: impl Fn(&super::Batch) -> Result<Vec<f32>> + Sync,
) -> Result<Vec<f32>> {
    let done: Vec<Result<Vec<f32>>> = parts(fit.examples, cells, part_tokens)
        .par_iter()
        .map(|part| f(&fit.examples.batch(part)?))
        .collect();
    Ok(done.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// Gives the head mean and standard deviation of the training cells in the untouched model.
fn standardise(fit: &mut Fit<'_>, params: &Params, options: &FitOptions) -> Result<()> {
    let pooled = run(fit, fit.train, options.part_tokens, |batch| flat(&fit.network.pooled(params, batch)?))?;
    let d = pooled.len() / fit.train.len().max(1);
    let column = |k: usize| mean_and_sd(pooled.iter().skip(k).step_by(d.max(1)).map(|v| f64::from(*v)));
    let (centre, sd) = (0..d).map(column).map(|(m, s)| (m as f32, s as f32)).unzip();
    fit.network.standardise(centre, sd);
    Ok(())
}

fn mean_and_sd(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / n;
    let sd = (values.map(|v| (v - mean) * (v - mean)).sum::<f64>() / n).sqrt();
    (mean, if sd > 1e-12 { sd } else { 1.0 })
}

/// Targets as the loss wants them: classes with weights, or standardised numbers.
struct Scaled {
    codes: Vec<u32>,
    numbers: Vec<f32>,
    weight_of_class: Vec<f32>,
}

impl Scaled {
    fn new(fit: &Fit<'_>, options: &FitOptions) -> Result<Self> {
        match fit.targets {
            Targets::Classes { codes, n } => {
                let mut count = vec![0_usize; *n];
                fit.train.iter().for_each(|&c| count[codes[c] as usize] += 1);
                let present = count.iter().filter(|c| **c > 0).count();
                if present < 2 {
                    return Err(Error::mismatch("the training cells are of one class")
                        .expected("at least two classes in the units that are learnt from")
                        .remedy("use another --label, or units that hold several classes"));
                }
                let balanced = |c: &usize| fit.train.len() as f32 / (present * (*c).max(1)) as f32;
                let weight_of_class =
                    count.iter().map(|c| if options.balanced { balanced(c) } else { 1.0 }).collect();
                Ok(Self { codes: codes.clone(), numbers: vec![], weight_of_class })
            }
            Targets::Numbers(values) => {
                let (mean, sd) = mean_and_sd(fit.train.iter().map(|&c| values[c]));
                let numbers = values.iter().map(|v| ((v - mean) / sd) as f32).collect();
                Ok(Self { codes: vec![], numbers, weight_of_class: vec![] })
            }
        }
    }

    /// Sum of the weighted losses of some cells, each divided by `n`.
    fn loss(&self, logits: &Tensor, cells: &[usize], n: f32) -> Result<Tensor> {
        if self.numbers.is_empty() {
            let codes: Vec<u32> = cells.iter().map(|&c| self.codes[c]).collect();
            let weights: Vec<f32> = codes.iter().map(|&c| self.weight_of_class[c as usize] / n).collect();
            return ops::cross_entropy(logits, &codes, &weights).map_err(failed);
        }
        let truth: Vec<f32> = cells.iter().map(|&c| self.numbers[c]).collect();
        let truth = Tensor::from_vec(truth, (cells.len(), 1), &Device::Cpu).map_err(failed)?;
        (logits - truth)
            .and_then(|e| e.sqr())
            .and_then(|e| e.sum_all())
            .and_then(|e| e * f64::from(1.0 / n))
            .map_err(failed)
    }
}

/// Mean loss of a step and its gradient in the order of the names. Parts run side by side and are added in their order.
fn gradient(
    fit: &Fit<'_>,
    params: &Params,
    scaled: &Scaled,
    cells: &[usize],
    options: &FitOptions,
) -> Result<(f64, Vec<Vec<f32>>)> {
    let n = cells.len() as f32;
    let of_part = |part: &&[usize]| -> Result<(f64, Vec<Option<Vec<f32>>>)> {
        let logits = fit.network.logits(params, &fit.examples.batch(part)?)?;
        let loss = scaled.loss(&logits, part, n)?;
        let value = f64::from(loss.to_scalar::<f32>().map_err(failed)?);
        let grads = loss.backward().map_err(failed)?;
        let all = params.iter().map(|(_, v)| grads.get(v).map(flat).transpose()).collect::<Result<_>>()?;
        Ok((value, all))
    };
    let parts = parts(fit.examples, cells, options.part_tokens);
    let done: Vec<_> = parts.par_iter().map(of_part).collect();
    let mut loss = 0.0;
    let mut sum: Vec<Vec<f32>> = params.iter().map(|(_, v)| vec![0.0; v.elem_count()]).collect();
    for part in done {
        let (value, grads) = part?;
        loss += value;
        for (sum, grad) in sum.iter_mut().zip(grads) {
            sum.iter_mut().zip(grad.into_iter().flatten()).for_each(|(s, g)| *s += g);
        }
    }
    Ok((loss, sum))
}

/// Mean loss of some cells.
fn losses(
    fit: &Fit<'_>,
    params: &Params,
    scaled: &Scaled,
    cells: &[usize],
    options: &FitOptions,
) -> Result<f64> {
    let n = cells.len() as f32;
    let done: Vec<Result<f64>> = parts(fit.examples, cells, options.part_tokens)
        .par_iter()
        .map(|part| {
            let logits = fit.network.logits(params, &fit.examples.batch(part)?)?;
            Ok(f64::from(scaled.loss(&logits, part, n)?.to_scalar::<f32>().map_err(failed)?))
        })
        .collect();
    done.into_iter().sum()
}
