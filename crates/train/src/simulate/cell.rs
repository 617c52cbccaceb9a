//! One cell.

use super::Simulator;
use super::draws::{Draws, Purpose};
use super::options::BatchDesign;
use super::tree::Place;

/// What is true of a cell, and its totals.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) place: Place,
    pub(super) donor: usize,
    pub(super) batch: usize,
    /// Index into the phases of the cell cycle.
    pub(super) phase: usize,
    pub(super) molecules: f64,
    pub(super) capture_rate: f64,
    pub(super) n_counts: f64,
    pub(super) n_genes: usize,
}

/// A cell with its counts.
pub(super) struct Cell {
    pub(super) state: State,
    pub(super) genes: Vec<u32>,
    pub(super) counts: Vec<f32>,
}

/// Buffers reused from cell to cell.
#[derive(Default)]
pub(super) struct Scratch {
    levels: Vec<f64>,
    expression: Vec<f64>,
}

impl Simulator {
    /// Donor and batch of cell `i`: rounds of all donors, each round starting at a drawn one.
    fn donor_and_batch(&self, i: usize) -> (usize, usize) {
        let o = &self.options;
        let round = i / o.n_donors;
        let first = Draws::new(o.seed, Purpose::DonorOrder, round as u64).below(o.n_donors);
        let donor = (i + first) % o.n_donors;
        match o.batch_design {
            BatchDesign::Nested => (donor, donor % o.n_batches),
            BatchDesign::Crossed => (donor, round % o.n_batches),
        }
    }

    /// Makes cell `i`. The order of draws is part of what a seed means.
    pub(super) fn cell(&self, i: usize, scratch: &mut Scratch) -> Cell {
        let o = &self.options;
        let (donor, batch) = self.donor_and_batch(i);
        let draws = &mut Draws::new(o.seed, Purpose::Cell, i as u64);
        let place = self.tree.draw(i, &self.levels.tip_weights[donor], draws);
        let cycling = o.cycling_share * (1.0 - o.cycling_trend * place.pseudotime);
        let phase = draws.choose(&[1.0 - cycling, 0.5 * cycling, 0.5 * cycling]);
        let molecules = o.median_molecules
            * libm::exp(o.molecules_sd * draws.normal() + o.molecules_trend * (place.pseudotime - 0.5));
        let log_capture =
            libm::log(o.capture_rate) + o.capture_sd * draws.normal() + self.levels.batches[batch].capture;
        let capture_rate = libm::exp(log_capture).min(1.0);
        let mitochondrial = o.mitochondrial_sd * draws.normal();

        scratch.levels.clear();
        let activity: Vec<f64> =
            self.network.programs.iter().map(|p| p.activity(&self.tree, place, phase)).collect();
        for regulator in &self.network.regulators {
            scratch.levels.push(activity[regulator.program] + o.regulator_noise * draws.normal());
        }
        scratch.expression.resize(self.genes.len(), 0.0);
        self.network.add_to(&scratch.levels, &self.levels.base, &mut scratch.expression);
        let (batch_effect, donor_effect) =
            (&self.levels.batches[batch].genes, &self.levels.donors[donor].genes);
        let mut total = 0.0;
        for (g, e) in scratch.expression.iter_mut().enumerate() {
            let shift = if self.genes[g].is_mitochondrial() { mitochondrial } else { 0.0 };
            *e = libm::exp(*e + batch_effect[g] + donor_effect[g] + shift);
            total += *e;
        }

        let depth = molecules * capture_rate / total;
        let (mut genes, mut counts, mut n_counts) = (vec![], vec![], 0.0);
        for (g, e) in scratch.expression.iter().enumerate() {
            let count = draws.negative_binomial(depth * e, self.levels.dispersion[g]);
            if count > 0.0 {
                genes.push(g as u32);
                counts.push(count as f32);
                n_counts += count;
            }
        }
        let n_genes = genes.len();
        let state = State { place, donor, batch, phase, molecules, capture_rate, n_counts, n_genes };
        Cell { state, genes, counts }
    }
}
