//! Cells of several files as one list, and who is trained on.

use microtome_core::{Error, Result};
use microtome_models::families::nicheformer::ATTENTION_MASK;
use microtome_models::{CellRule, GENE_MASK, GeneMatch, Model, POOL_MASK, Tokens};
use microtome_numerics::resample::Rng;
use microtome_train::pretrain::{Cell, Cells, Recipe};
use serde::Serialize;

use super::labels::labels;
use crate::data::Data;

/// Cells of all files, one file after the other.
pub(crate) struct Sources<'a> {
    files: &'a [Data],
    matches: Vec<GeneMatch>,
    model: &'a dyn Model,
    /// Whether the network takes the values of the tokens.
    with_values: bool,
    /// Class of every cell, where an annotation is trained.
    labels: Option<&'a [Option<u32>]>,
    /// First cell of every file, and the number of all.
    starts: Vec<usize>,
}

/// Cells whose tokens are counted to tell steps from epochs.
const COUNTED: usize = 1024;

impl<'a> Sources<'a> {
    /// Matches the genes of every file. Errors when one has none of the vocabulary's.
    pub(crate) fn new(
        files: &'a [Data],
        model: &'a dyn Model,
        with_values: bool,
        labels: Option<&'a [Option<u32>]>,
    ) -> Result<Self> {
        let matches = files
            .iter()
            .map(|f| model.match_genes(&f.genes).map_err(|e| e.in_file(f.dataset.path())))
            .collect::<Result<_>>()?;
        Ok(Self { files, matches, model, with_values, labels, starts: starts(files) })
    }

    /// Steps of so many epochs, from the mean number of tokens of a sample of cells.
    pub(super) fn steps(&self, train: &[usize], epochs: f64, recipe: &Recipe) -> Result<u64> {
        if !(epochs.is_finite() && epochs > 0.0) {
            return Err(Error::usage("the number of epochs must be above 0").found(epochs.to_string()));
        }
        let mut chosen = Rng::new(recipe.seed).choose(train.len(), COUNTED.min(train.len()));
        chosen.sort_unstable();
        let positions: Vec<usize> = chosen.into_iter().map(|i| train[i]).collect();
        let tokens: usize = self.read(&positions)?.iter().map(|c| c.ids.len()).sum();
        let mean = tokens as f64 / positions.len().max(1) as f64;
        // A step takes whole cells until it is full, half a cell too many on average.
        let per_step = recipe.batch_tokens as f64 + mean / 2.0;
        Ok((epochs * train.len() as f64 * mean / per_step).ceil().max(1.0) as u64)
    }

    /// A tokenised cell as training sees it. Genes are asked for where the model has them as such and the data names them.
    fn cell(&self, tokens: &Tokens, cell: usize, label: Option<u32>) -> Cell {
        let (ids, values) = tokens.cell(cell);
        let n = ids.len();
        let genes = self.model.gene_tokens(n);
        let [pooled, real, seen] = [POOL_MASK, GENE_MASK, ATTENTION_MASK].map(|c| tokens.column(c, cell));
        let holds = |marks: Option<&[f32]>, p: usize| marks.is_none_or(|m| m[p] > 0.0);
        let is_gene = |p: usize| genes.contains(&p) && holds(pooled, p) && holds(real, p);
        let is_pooled = |p: usize| match self.model.cell_rule().0 {
            CellRule::Token(i) => p == i,
            CellRule::FromEnd(i) => p + i + 1 == n,
            CellRule::Marked => holds(pooled, p),
            _ => genes.contains(&p) && holds(real, p),
        };
        // What no token may attend to changes nothing for the others: it is left out, and they keep their positions.
        let kept: Vec<usize> = (0..n).filter(|p| holds(seen, *p)).collect();
        let places = |of: &dyn Fn(usize) -> bool| {
            (0u32..).zip(&kept).filter(|(_, p)| of(**p)).map(|(i, _)| i).collect::<Vec<u32>>()
        };
        Cell {
            ids: kept.iter().map(|p| ids[*p]).collect(),
            values: if self.with_values { kept.iter().map(|p| values[*p]).collect() } else { vec![] },
            is_gene: kept.iter().map(|p| is_gene(*p)).collect(),
            positions: if kept.len() < n { kept.iter().map(|p| *p as u32).collect() } else { vec![] },
            pooled: if self.labels.is_some() { places(&is_pooled) } else { vec![] },
            label,
        }
    }
}

fn starts(files: &[Data]) -> Vec<usize> {
    let mut starts = vec![0];
    for file in files {
        starts.push(starts[starts.len() - 1] + file.cells.len());
    }
    starts
}

impl Cells for Sources<'_> {
    fn n_cells(&self) -> usize {
        self.starts[self.files.len()]
    }

    fn read(&self, positions: &[usize]) -> Result<Vec<Cell>> {
        let mut out = Vec::with_capacity(positions.len());
        let mut rest = positions;
        for (i, file) in self.files.iter().enumerate() {
            let (here, later) = rest.split_at(rest.partition_point(|p| *p < self.starts[i + 1]));
            rest = later;
            if here.is_empty() {
                continue;
            }
            let local: Vec<usize> = here.iter().map(|p| p - self.starts[i]).collect();
            let (_, tokens) = file.tokenize_some(self.model, &self.matches[i], &local)?;
            let label = |p: &usize| self.labels.and_then(|l| l[*p]);
            out.extend(here.iter().enumerate().map(|(c, p)| self.cell(&tokens, c, label(p))));
        }
        Ok(out)
    }
}

/// Which cells are trained on, held out for validation, or left out altogether.
#[derive(Clone, Debug, Serialize)]
pub struct Split {
    /// Share of the cells (or of the groups) that is held out.
    pub held_out: f64,
    /// Column of `obs` whose groups are held out whole.
    pub unit: Option<String>,
    /// Column of `obs` and values: cells that have one of them are neither trained on nor looked at.
    pub leave_out: Vec<(String, String)>,
}

/// Positions among the cells of all files.
pub(super) struct Sides {
    pub(super) train: Vec<usize>,
    pub(super) held_out: Vec<usize>,
    pub(super) groups: Vec<String>,
}

impl Split {
    /// Takes what is left out out of the files: nothing, the vocabulary neither, is made of such cells, and what comes of the others
    /// is what a file without them would give.
    pub(super) fn leave_out_of(&self, files: &mut [Data]) -> Result<()> {
        for file in files {
            for (column, value) in &self.leave_out {
                let column = file.dataset.obs_column(column)?;
                file.retain(|row| column.text(row).as_deref() != Some(value));
            }
        }
        Ok(())
    }

    pub(super) fn apply(&self, files: &[Data], seed: u64) -> Result<Sides> {
        if !(0.0..1.0).contains(&self.held_out) {
            return Err(Error::usage("the held-out share must be at least 0 and below 1")
                .found(self.held_out.to_string()));
        }
        let kept: Vec<usize> = (0..starts(files)[files.len()]).collect();
        let mut rng = Rng::stream(seed, 1);
        let Some(unit) = &self.unit else {
            let n = (kept.len() as f64 * self.held_out).round() as usize;
            let mut chosen = vec![false; kept.len()];
            rng.choose(kept.len(), n).into_iter().for_each(|i| chosen[i] = true);
            return self.sides(kept.iter().copied().zip(chosen), vec![]);
        };
        let labels = labels(files, unit)?;
        let mut names: Vec<&str> = kept.iter().filter_map(|c| labels[*c].as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        let n = (names.len() as f64 * self.held_out).round() as usize;
        let n = if self.held_out > 0.0 { n.max(1) } else { 0 };
        if n >= names.len() && n > 0 {
            return Err(Error::usage("too few groups to hold one out")
                .at_key(format!("obs[\"{unit}\"]"))
                .found(names.len().to_string()));
        }
        let mut groups: Vec<String> =
            rng.choose(names.len(), n).into_iter().map(|i| names[i].to_string()).collect();
        groups.sort();
        let held = |c: usize| labels[c].as_ref().is_some_and(|l| groups.binary_search(l).is_ok());
        let marked: Vec<(usize, bool)> = kept.iter().map(|c| (*c, held(*c))).collect();
        self.sides(marked.into_iter(), groups)
    }

    fn sides(&self, cells: impl Iterator<Item = (usize, bool)>, groups: Vec<String>) -> Result<Sides> {
        let (held_out, train): (Vec<_>, Vec<_>) = cells.partition(|(_, held)| *held);
        let only = |cells: Vec<(usize, bool)>| cells.into_iter().map(|(c, _)| c).collect::<Vec<_>>();
        let sides = Sides { train: only(train), held_out: only(held_out), groups };
        if sides.train.is_empty() {
            return Err(Error::usage("no cells are left to train on")
                .remedy("hold out a smaller share, or leave out fewer cells"));
        }
        if sides.held_out.is_empty() && self.held_out > 0.0 {
            return Err(Error::usage("no cells are held out: there are too few")
                .found(format!("{} cells", sides.train.len()))
                .remedy("give more cells, or pass --held-out 0 to train without validation"));
        }
        Ok(sides)
    }
}
