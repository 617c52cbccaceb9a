//! Reference effects: what perturbations do to expression.

use microtome_core::{Counts, Matrix, Result};
use microtome_numerics::negative_binomial::fit_pseudobulk;
use microtome_numerics::resample::{benjamini_hochberg, normal_cdf};
use microtome_numerics::{log1p_cp10k, select_genes};

use super::design::Design;
use super::effects::{Effects, Rows};
use super::{PerturbationOptions, Reference};
use crate::protocol::random::stream;

/// Genes of the reference: those with most counts.
const MAX_GENES: usize = 2000;
/// Fewest cells of a unit that make a pseudobulk of their own.
const MIN_PSEUDOBULK: usize = 5;
/// Pseudo-replicates where a group has no units of its own.
const PSEUDO_REPLICATES: usize = 2;
/// Genes that the published variant keeps per perturbation.
const PUBLISHED_GENES: usize = 500;
/// False discovery rate below which a gene counts as changed.
const RATE: f64 = 0.05;

/// Expression from which references are made.
pub(super) struct Expression<'a> {
    design: &'a Design,
    reference: Reference,
    counts: Counts,
    log: Counts,
    /// Genes of each perturbation's target, among the kept ones.
    targets: Vec<Vec<usize>>,
    seed: u64,
}

impl<'a> Expression<'a> {
    pub(super) fn new(o: &PerturbationOptions<'_>, design: &'a Design, seed: u64) -> Result<Self> {
        let mut total = vec![0.0f64; o.counts.n_genes()];
        for (&g, &v) in o.counts.indices().iter().zip(o.counts.values()) {
            total[g as usize] += f64::from(v);
        }
        let mut kept: Vec<usize> = (0..total.len()).filter(|&g| total[g] > 0.0).collect();
        kept.sort_by(|&a, &b| total[b].total_cmp(&total[a]).then(a.cmp(&b)));
        kept.truncate(MAX_GENES);
        kept.sort_unstable();
        let place = |g: &usize| kept.binary_search(g).ok();
        let targets = design.codes.iter().map(|&c| o.targets[c].iter().filter_map(place).collect()).collect();
        let counts = select_genes(o.counts, &kept)?;
        let log = select_genes(&log1p_cp10k(o.counts)?.counts, &kept)?;
        Ok(Self { design, reference: o.reference, counts, log, targets, seed })
    }

    pub(super) fn n_genes(&self) -> usize {
        self.counts.n_genes()
    }

    /// Log-normalised expression of the genes of the reference.
    pub(super) fn log(&self) -> &dyn Rows {
        &self.log
    }

    /// Perturbations whose target is among the genes.
    pub(super) fn n_known_targets(&self) -> usize {
        self.targets.iter().filter(|t| !t.is_empty()).count()
    }

    /// Reference effects in one half of one split.
    pub(super) fn of_half(&self, split: usize, half: u8) -> Result<Effects> {
        let s = &self.design.splits[split];
        self.of(|i| s.half[i] == half, |i| s.quarter[i], split as u64)
    }

    /// Reference effects over all cells, the control parts those of the first split.
    pub(super) fn of_all(&self) -> Result<Effects> {
        let s = &self.design.splits[0];
        self.of(|_| true, |i| s.quarter[i], u64::MAX)
    }

    fn of(&self, keep: impl Fn(usize) -> bool, part: impl Fn(usize) -> u8, index: u64) -> Result<Effects> {
        let mut effects = match self.reference {
            Reference::PseudobulkNb => self.pseudobulk(&keep, &part, index)?,
            Reference::MeanDifference => Effects::of(&self.log, self.design, &keep, &part),
            Reference::MeanDifferenceTop500 => {
                let mut effects = Effects::of(&self.log, self.design, &keep, &part);
                self.keep_strongest(&mut effects, &keep);
                effects
            }
        };
        let width = effects.width;
        for (p, targets) in self.targets.iter().enumerate() {
            for against in &mut effects.against {
                targets.iter().for_each(|&g| against[p * width + g] = 0.0);
            }
        }
        Ok(effects)
    }

    /// Number of changed genes per perturbation over all cells, the target not counted.
    pub(super) fn n_changed(&self, all: &Effects) -> Result<Vec<f64>> {
        let z: Vec<Vec<f64>> = match self.reference {
            Reference::PseudobulkNb => (0..self.design.len()).map(|p| all.mean(p)).collect(),
            _ => (0..self.design.len()).map(|p| self.welch(p, &|_| true)).collect(),
        };
        z.iter()
            .zip(&self.targets)
            .map(|(z, targets)| {
                let p: Vec<f64> = z
                    .iter()
                    .enumerate()
                    .map(|(g, z)| if targets.contains(&g) { 1.0 } else { 2.0 * normal_cdf(-z.abs()) })
                    .collect();
                Ok(benjamini_hochberg(&p)?.iter().filter(|q| **q < RATE).count() as f64)
            })
            .collect()
    }

    /// Welch's statistic of every gene, perturbed cells against the control cells of their contexts.
    fn welch(&self, p: usize, keep: &dyn Fn(usize) -> bool) -> Vec<f64> {
        let mut used = vec![false; self.design.controls.len()];
        self.design.cells[p].iter().for_each(|&i| used[self.design.context[i]] = true);
        let controls = self.design.controls.iter().zip(used).filter(|(_, u)| *u).flat_map(|(c, _)| c).copied();
        let moments = |cells: Vec<usize>| {
            let (mut sum, mut squares) = (vec![0.0; self.n_genes()], vec![0.0; self.n_genes()]);
            for &i in &cells {
                let (genes, values) = Counts::row(&self.log, i);
                for (&g, &v) in genes.iter().zip(values) {
                    sum[g as usize] += f64::from(v);
                    squares[g as usize] += f64::from(v) * f64::from(v);
                }
            }
            let n = cells.len() as f64;
            let of = |g: usize| {
                let mean = sum[g] / n;
                (mean, ((squares[g] / n - mean * mean) / (n - 1.0).max(1.0)).max(0.0))
            };
            (0..self.n_genes()).map(of).collect::<Vec<(f64, f64)>>()
        };
        let mine = moments(self.design.cells[p].iter().copied().filter(|&i| keep(i)).collect());
        let theirs = moments(controls.filter(|&i| keep(i)).collect());
        mine.iter()
            .zip(theirs)
            .map(|(a, b)| {
                let se = (a.1 + b.1).sqrt();
                if se > 0.0 { (a.0 - b.0) / se } else { 0.0 }
            })
            .collect()
    }

    fn keep_strongest(&self, effects: &mut Effects, keep: &dyn Fn(usize) -> bool) {
        let width = effects.width;
        for p in 0..self.design.len() {
            let t = self.welch(p, keep);
            let mut order: Vec<usize> = (0..width).collect();
            order.sort_by(|&a, &b| t[b].abs().total_cmp(&t[a].abs()).then(a.cmp(&b)));
            for &g in order.iter().skip(PUBLISHED_GENES) {
                effects.against.iter_mut().for_each(|a| a[p * width + g] = 0.0);
            }
        }
    }

    /// Wald statistics over pseudobulks; every perturbation in every context is a group, and so is every part of the
    /// control cells. Contexts are combined in proportion to the perturbation's cells.
    fn pseudobulk(
        &self,
        keep: &dyn Fn(usize) -> bool,
        part: &dyn Fn(usize) -> u8,
        index: u64,
    ) -> Result<Effects> {
        let design = self.design;
        let n_contexts = design.controls.len();
        let mut samples = Samples { data: vec![], groups: vec![], n_groups: 0 };
        let mut control_group = vec![[None; 2]; n_contexts];
        for (c, cells) in design.controls.iter().enumerate() {
            for q in 0..2u8 {
                let mine: Vec<usize> = cells.iter().copied().filter(|&i| keep(i) && part(i) == q).collect();
                control_group[c][q as usize] = self.add_group(&mine, index, &mut samples);
            }
        }
        let mut groups = vec![vec![]; design.len()];
        for (p, cells) in design.cells.iter().enumerate() {
            let mine: Vec<usize> = cells.iter().copied().filter(|&i| keep(i)).collect();
            for c in 0..n_contexts {
                let here: Vec<usize> = mine.iter().copied().filter(|&i| design.context[i] == c).collect();
                let share = here.len() as f64 / mine.len() as f64;
                if let Some(group) = self.add_group(&here, index, &mut samples) {
                    groups[p].push((group, c, share));
                }
            }
        }
        let width = self.n_genes();
        let counts = Matrix::new(samples.groups.len(), width, samples.data)?;
        let fit = fit_pseudobulk(&counts, &samples.groups, samples.n_groups)?;
        let mut against = [vec![0.0; design.len() * width], vec![0.0; design.len() * width]];
        for (p, groups) in groups.iter().enumerate() {
            for (q, against) in against.iter_mut().enumerate() {
                let (mut fold, mut variance) = (vec![0.0; width], vec![0.0; width]);
                for &(group, c, share) in groups {
                    let Some(control) = control_group[c][q] else { continue };
                    for (g, change) in fit.contrast(group, control)?.iter().enumerate() {
                        if let Some(change) = change {
                            fold[g] += share * change.log2_fold;
                            variance[g] += (share * change.se).powi(2);
                        }
                    }
                }
                let row = &mut against[p * width..(p + 1) * width];
                for ((z, fold), variance) in row.iter_mut().zip(fold).zip(variance) {
                    *z = if variance > 0.0 { fold / variance.sqrt() } else { 0.0 };
                }
            }
        }
        Ok(Effects { width, against })
    }

    /// Pseudobulks of one group: one per unit where several have enough cells, otherwise random parts.
    fn add_group(&self, cells: &[usize], index: u64, samples: &mut Samples) -> Option<usize> {
        if cells.is_empty() {
            return None;
        }
        let mut parts: Vec<Vec<usize>> =
            self.design.units_of(cells).into_iter().filter(|u| u.len() >= MIN_PSEUDOBULK).collect();
        if parts.len() < 2 {
            let mut order = cells.to_vec();
            stream(self.seed, "pseudobulks", index.wrapping_add(cells[0] as u64)).shuffle(&mut order);
            parts = vec![vec![]; PSEUDO_REPLICATES.min(order.len())];
            let n = parts.len();
            order.into_iter().enumerate().for_each(|(k, i)| parts[k % n].push(i));
        }
        let mut any = false;
        for part in parts {
            let mut sum = vec![0.0; self.n_genes()];
            part.iter().for_each(|&i| self.counts.add(i, 1.0, &mut sum));
            // A sample without counts has no size.
            if sum.iter().any(|v| *v > 0.0) {
                samples.data.extend(sum.iter().map(|v| *v as f32));
                samples.groups.push(samples.n_groups as u32);
                any = true;
            }
        }
        samples.n_groups += usize::from(any);
        any.then(|| samples.n_groups - 1)
    }
}

/// Pseudobulks as they are gathered.
struct Samples {
    data: Vec<f32>,
    groups: Vec<u32>,
    n_groups: usize,
}
