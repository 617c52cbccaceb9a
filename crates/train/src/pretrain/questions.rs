//! Cells that are asked the same questions every time, and what a network says of them at every depth.

use microtome_core::{Error, Progress, Result};
use rayon::prelude::*;

use super::draws::{Draws, Purpose};
use super::gradient::{answers, input, parts, wanted};
use super::objective::{Masking, Objective, Task};
use super::question::Question;
use super::stream::Cells;
use crate::net::{Dropout, Params, Tensor, failed, ops};

/// Cells with what they are asked: as a training with the same seed asks its held-out cells.
#[derive(Clone, Debug)]
pub struct Questions {
    pub(super) all: Vec<Question>,
}

/// A network and how it is run.
pub struct Reader<'a> {
    /// Its weights, those of readouts beside it included.
    pub params: &'a Params,
    /// What it is asked.
    pub task: &'a Task<'a>,
    /// Tokens that are run together.
    pub part_tokens: usize,
}

/// What there is at one depth of a part: the embedding (0) or the output of a block (from 1), and what the native readout makes of it
/// (logit lens, nostalgebraist 2020).
pub struct AtDepth<'a> {
    /// 0 for the embedding, then one more than the block's number.
    pub depth: usize,
    /// The right answers where they are classes; otherwise empty.
    pub classes: &'a [u32],
    /// The right answers where they are numbers; otherwise empty.
    pub numbers: &'a [f32],
    rows: Tensor,
    answers: Tensor,
}

impl AtDepth<'_> {
    /// The stream at the asked places, `[answer, d]`.
    pub fn rows(&self) -> Result<Vec<f32>> {
        flat(&self.rows)
    }

    /// Losses of the native readout, one per answer.
    pub fn losses(&self) -> Result<Vec<f32>> {
        self.losses_of(&self.answers)
    }

    /// The same with a number added to the score of every class.
    pub fn losses_with(&self, bias: &[f32]) -> Result<Vec<f32>> {
        let bias = Tensor::from_slice(bias, (1, bias.len()), self.answers.device()).map_err(failed)?;
        self.losses_of(&self.answers.broadcast_add(&bias).map_err(failed)?)
    }

    fn losses_of(&self, answers: &Tensor) -> Result<Vec<f32>> {
        if self.classes.is_empty() {
            return Ok(flat(answers)?.iter().zip(self.numbers).map(|(a, n)| (a - n) * (a - n)).collect());
        }
        ops::token_losses(answers, self.classes).map_err(failed)
    }

    /// How often the native readout expects every class: the sum of its probabilities over the answers; empty for numbers.
    pub fn expected(&self) -> Result<Vec<f64>> {
        if self.classes.is_empty() {
            return Ok(vec![]);
        }
        let width = self.answers.dim(1).map_err(failed)?;
        let mut sums = vec![0.0; width];
        for row in flat(&self.answers)?.chunks_exact(width.max(1)) {
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let weights: Vec<f32> = row.iter().map(|s| (s - top).exp()).collect();
            let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
            sums.iter_mut().zip(&weights).for_each(|(s, w)| *s += f64::from(*w) / total);
        }
        Ok(sums)
    }
}

fn flat(t: &Tensor) -> Result<Vec<f32>> {
    t.flatten_all().and_then(|t| t.to_vec1()).map_err(failed)
}

impl Questions {
    /// Asks the cells at these positions. Errors when one has fewer than two genes.
    pub fn draw(
        cells: &dyn Cells,
        positions: &[usize],
        objective: &Objective,
        masking: Masking,
        seed: u64,
    ) -> Result<Self> {
        let ask = |(position, cell)| {
            let draws = Draws::new(seed, Purpose::HeldOut, 0, position as u64);
            Question::draw(cell, objective, masking, draws).ok_or_else(|| {
                Error::mismatch("a cell has fewer than two genes of the vocabulary")
                    .found(format!("cell {position}"))
                    .remedy("leave such cells out: there is nothing to tell a hidden gene from")
            })
        };
        let read = cells.read(positions)?;
        Ok(Self { all: positions.iter().copied().zip(&read).map(ask).collect::<Result<_>>()? })
    }

    /// Answers that are wanted of every cell.
    pub fn n_answers(&self) -> Vec<usize> {
        self.all.iter().map(|q| q.rows.len()).collect()
    }

    /// Sums over each cell of what there is per answer of some cells, in their order.
    pub fn per_cell(&self, cells: &[usize], losses: &[f32]) -> Vec<f64> {
        let mut rest = losses;
        let sum = |c: &usize| {
            let (own, others) = rest.split_at(self.all[*c].rows.len().min(rest.len()));
            rest = others;
            own.iter().map(|l| f64::from(*l)).sum()
        };
        cells.iter().map(sum).collect()
    }

    /// Sum of the losses of each of these cells by the network's own readout.
    pub fn losses(&self, reader: &Reader<'_>, cells: &[usize], progress: &dyn Progress) -> Result<Vec<f64>> {
        let mut out = vec![];
        let last = reader.task.architecture.n_blocks();
        let of = |at: &AtDepth<'_>| at.losses();
        self.walk(reader, cells, last..last + 1, &of, progress, |part, mut depths| {
            out.extend(self.per_cell(part, &depths.pop().unwrap_or_default()));
            Ok(())
        })?;
        Ok(out)
    }

    /// Runs some cells part by part, as many side by side as there are threads, makes something of every one of the `depths`, and hands
    /// it over with the cells of the part, in order.
    pub fn walk<T: Send>(
        &self,
        reader: &Reader<'_>,
        cells: &[usize],
        depths: std::ops::Range<usize>,
        of: &(dyn Fn(&AtDepth<'_>) -> Result<T> + Sync),
        progress: &dyn Progress,
        mut sink: impl FnMut(&[usize], Vec<T>) -> Result<()>,
    ) -> Result<()> {
        for wave in parts(cells, reader.part_tokens, |&c| self.all[c].ids.len())
            .chunks(rayon::current_num_threads().max(1))
        {
            progress.check()?;
            let run = |part: &&[usize]| self.part(reader, part, depths.clone(), of);
            let done: Vec<Result<Vec<T>>> = wave.par_iter().map(run).collect();
            for (part, made) in wave.iter().zip(done) {
                sink(part, made?)?;
                progress.advance(part.len() as u64);
            }
        }
        Ok(())
    }

    fn part<T>(
        &self,
        reader: &Reader<'_>,
        part: &[usize],
        depths: std::ops::Range<usize>,
        of: &(dyn Fn(&AtDepth<'_>) -> Result<T> + Sync),
    ) -> Result<Vec<T>> {
        let cells: Vec<Question> = part.iter().map(|&c| self.all[c].clone()).collect();
        let (input, net) = (input(&cells), reader.task.architecture.over(reader.params)?);
        let states = net.states(&input, &mut Dropout::none())?;
        let classes: Vec<u32> = cells.iter().flat_map(|c| c.classes.iter().copied()).collect();
        let numbers: Vec<f32> = cells.iter().flat_map(|c| c.numbers.iter().copied()).collect();
        let at = |depth: usize| {
            let state = states.get(depth).ok_or_else(|| {
                Error::usage("no such depth")
                    .expected(format!("below {}", states.len()))
                    .found(depth.to_string())
            })?;
            // Nothing is trained here: without the graph, its memory goes as it comes.
            let readable = net.for_readout(&state.detach())?.detach();
            let answers = answers(reader.params, reader.task, net.as_ref(), &input, &readable)?.detach();
            let rows = wanted(&input, &state.detach())?;
            of(&AtDepth { depth, classes: &classes, numbers: &numbers, rows, answers })
        };
        depths.map(at).collect()
    }
}
