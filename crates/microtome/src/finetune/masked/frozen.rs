//! What the frozen model says at every depth: by its own readout, and by one that is fitted to the training units.
//!
//! Values are read by ridge regression from the stream at the hidden places, in closed form from sums over rows. Classes are read by the
//! model's own readout with a number per class added to its scores, which moves what it expects over the training cells to what is found
//! there (Saerens, Latinne and Decaestecker 2002). Either is fitted without the held-out units; depth and readout are chosen by the units
//! that say when training stops, and the chosen one is fitted again with them.

use microtome_core::{Progress, Result};
use microtome_numerics::ridge::RidgeOptions;
use microtome_numerics::ridge_sums::{LinearFit, Sums};
use microtome_train::pretrain::{AtDepth, Questions, Reader};

use super::cells::Held;

/// Sums of losses by depth and cell, and the choice of every fold.
pub(super) struct Frozen {
    /// The model's own readout, `[depth][cell]`.
    pub(super) own: Vec<Vec<f64>>,
    /// The fitted readout, `[depth][cell]`.
    pub(super) fitted: Vec<Vec<f64>>,
    /// What every fold chose, `[fold]`: depth, and whether the fitted readout.
    pub(super) chosen: Vec<(usize, bool)>,
    /// Losses of what was chosen, by cell.
    pub(super) nested: Vec<f64>,
}

/// What a readout is fitted from.
#[derive(Clone)]
enum Seen {
    /// Rows and values.
    Rows(Sums),
    /// How often classes are found, and how often they are expected.
    Classes { found: Vec<f64>, expected: Vec<f64> },
}

impl Seen {
    fn at(at: &AtDepth<'_>) -> Result<Self> {
        if at.classes.is_empty() {
            let rows = at.rows()?;
            let mut sums = Sums::new(rows.len() / at.numbers.len().max(1));
            sums.add_rows(&rows, at.numbers)?;
            return Ok(Self::Rows(sums));
        }
        let expected = at.expected()?;
        let mut found = vec![0.0; expected.len()];
        at.classes.iter().for_each(|c| found[*c as usize] += 1.0);
        Ok(Self::Classes { found, expected })
    }

    fn add(self, other: &Self) -> Result<Self> {
        match (self, other) {
            (Self::Rows(mut a), Self::Rows(b)) => {
                a.add(b)?;
                Ok(Self::Rows(a))
            }
            (Self::Classes { mut found, mut expected }, Self::Classes { found: f, expected: e }) => {
                found.iter_mut().zip(f).for_each(|(a, b)| *a += b);
                expected.iter_mut().zip(e).for_each(|(a, b)| *a += b);
                Ok(Self::Classes { found, expected })
            }
            (own, _) => Ok(own),
        }
    }

    /// One readout for classes, one per penalty for values.
    fn fit(&self, alphas: &[f64]) -> Result<Vec<Readout>> {
        match self {
            Self::Rows(sums) => Ok(sums.fit(alphas)?.into_iter().map(Readout::Linear).collect()),
            // Both counts are raised by one: a class that is hardly met is hardly moved.
            Self::Classes { found, expected } => {
                let ratio = |(f, e): (&f64, &f64)| ((f + 1.0) / (e + 1.0)).ln() as f32;
                Ok(vec![Readout::Shift(found.iter().zip(expected).map(ratio).collect())])
            }
        }
    }
}

enum Readout {
    Linear(LinearFit),
    Shift(Vec<f32>),
}

impl Readout {
    fn losses(&self, at: &AtDepth<'_>) -> Result<Vec<f32>> {
        match self {
            Self::Shift(shift) => at.losses_with(shift),
            Self::Linear(fit) => {
                let rows = at.rows()?;
                let d = rows.len() / at.numbers.len().max(1);
                let loss = |(row, y): (&[f32], &f32)| (fit.predict(row) - f64::from(*y)).powi(2) as f32;
                Ok(rows.chunks_exact(d.max(1)).zip(at.numbers).map(loss).collect())
            }
        }
    }
}

/// The fold that says when to stop where `fold` is held out.
pub(super) fn stop_of(fold: usize, n: usize) -> usize {
    (fold + 1) % n
}

/// Reads the frozen model over all folds (cells by fold).
pub(super) fn read(
    questions: &Questions,
    reader: &Reader<'_>,
    folds: &[Vec<usize>],
    cells: &Held,
    progress: &dyn Progress,
) -> Result<Frozen> {
    let n_depths = reader.task.architecture.n_blocks() + 1;
    let n = cells.len();
    progress.begin("frozen blocks", 2 * n as u64, "cells");
    let mut own = vec![vec![0.0; n]; n_depths];
    // [fold][depth]
    let mut seen: Vec<Vec<Seen>> = vec![];
    for fold in folds {
        let mut of_fold: Vec<Seen> = vec![];
        let of = |at: &AtDepth<'_>| Ok((at.losses()?, Seen::at(at)?));
        questions.walk(reader, fold, 0..n_depths, &of, progress, |part, depths| {
            for (depth, (losses, new)) in depths.into_iter().enumerate() {
                put(&mut own[depth], part, questions.per_cell(part, &losses));
                match of_fold.get_mut(depth) {
                    Some(place) => *place = new.add(place)?,
                    None => of_fold.push(new),
                }
            }
            Ok(())
        })?;
        seen.push(of_fold);
    }
    let mut out = Frozen { fitted: vec![vec![0.0; n]; n_depths], own, chosen: vec![], nested: vec![0.0; n] };
    let mut judged = vec![vec![]; folds.len()];
    let mut fits: Vec<Vec<Readout>> = vec![];
    let alphas = RidgeOptions::default().alphas;
    let all_but = |depth: usize, without: &[usize]| -> Result<Seen> {
        let mut rest = (0..folds.len()).filter(|f| !without.contains(f)).map(|f| &seen[f][depth]);
        let first = rest.next().cloned().unwrap_or_else(|| seen[0][depth].clone());
        rest.try_fold(first, |sum, s| sum.add(s))
    };
    // Fitted without the held-out and the stopping fold, to be judged on the latter; and without the held-out fold alone.
    let mut trial: Vec<Vec<Readout>> = (0..folds.len()).map(|_| vec![]).collect();
    for fold in 0..folds.len() {
        let stop = stop_of(fold, folds.len());
        let mut of_fold = vec![];
        for (depth, on_stop) in seen[stop].iter().enumerate() {
            let mut tried = all_but(depth, &[fold, stop])?.fit(&alphas)?;
            let mut again = all_but(depth, &[fold])?.fit(&alphas)?;
            let best = match on_stop {
                Seen::Rows(sums) => {
                    let error = |r: &Readout| match r {
                        Readout::Linear(fit) => sums.squared_error(fit),
                        Readout::Shift(_) => f64::NAN,
                    };
                    let errors: Vec<f64> = tried.iter().map(error).collect();
                    (0..errors.len()).min_by(|a, b| errors[*a].total_cmp(&errors[*b])).unwrap_or(0)
                }
                Seen::Classes { .. } => 0,
            };
            of_fold.push(again.swap_remove(best));
            trial[stop].push(tried.swap_remove(best));
        }
        fits.push(of_fold);
    }
    for (fold, cells) in folds.iter().enumerate() {
        let of = |at: &AtDepth<'_>| {
            let tried: f64 = trial[fold][at.depth].losses(at)?.iter().map(|l| f64::from(*l)).sum();
            Ok((fits[fold][at.depth].losses(at)?, tried))
        };
        let mut tried = vec![0.0; n_depths];
        questions.walk(reader, cells, 0..n_depths, &of, progress, |part, depths| {
            for (depth, (losses, sum)) in depths.into_iter().enumerate() {
                put(&mut out.fitted[depth], part, questions.per_cell(part, &losses));
                tried[depth] += sum;
            }
            Ok(())
        })?;
        judged[fold] = tried;
    }
    progress.end();
    for (fold, cells) in folds.iter().enumerate() {
        let stop = stop_of(fold, folds.len());
        let own_on_stop = |depth: usize| folds[stop].iter().map(|&c| out.own[depth][c]).sum::<f64>();
        let candidates = (0..n_depths)
            .flat_map(|k| [(own_on_stop(k), k, false), (judged[stop][k], k, true)])
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let (depth, fitted) = candidates.map_or((n_depths - 1, false), |(_, k, f)| (k, f));
        let from = if fitted { &out.fitted[depth] } else { &out.own[depth] };
        cells.iter().for_each(|&c| out.nested[c] = from[c]);
        out.chosen.push((depth, fitted));
    }
    Ok(out)
}

/// Puts numbers of some cells at their places.
pub(super) fn put(all: &mut [f64], cells: &[usize], values: Vec<f64>) {
    cells.iter().zip(values).for_each(|(&c, v)| all[c] = v);
}
