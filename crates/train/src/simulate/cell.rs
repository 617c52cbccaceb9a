//! One cell.

use super::Simulator;
use super::draws::{Draws, Purpose};
use super::options::BatchDesign;
use super::treatment::{Change, Treated};
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
    /// Clone, and whether its barcode was read.
    pub(super) clone: Option<(usize, bool)>,
    pub(super) treated: Treated,
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
    changes: Vec<Change>,
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

    /// Where the cell is: by the mix of branches of its donor and, where it has one, its clone.
    fn place(&self, i: usize, donor: usize, clone: Option<usize>, draws: &mut Draws) -> Place {
        let of_donor = &self.levels.tip_weights[donor];
        match (&self.clonality, clone) {
            (Some(c), Some(k)) => {
                let clone = &c.clones[k];
                let both: Vec<f64> = of_donor.iter().zip(&clone.tips).map(|(d, c)| d * c).collect();
                self.tree.draw(i, &both, clone.founded_at, draws)
            }
            _ => self.tree.draw(i, of_donor, 0.0, draws),
        }
    }

    /// Log expression from the levels of regulators and what was done to them.
    fn express(&self, treated: &Treated, scratch: &mut Scratch) {
        self.treatments.changes(treated, &mut scratch.changes);
        let own: Vec<f64> = scratch.changes.iter().map(|c| scratch.levels[c.regulator]).collect();
        for (change, level) in scratch.changes.iter().zip(&own) {
            scratch.levels[change.regulator] += change.of_level(*level);
        }
        self.network.add_to(&scratch.levels, &self.levels.base, &mut scratch.expression);
        // Targets see the changed level; its own gene follows the program as before.
        for (change, level) in scratch.changes.iter().zip(own) {
            let r = &self.network.regulators[change.regulator];
            scratch.expression[r.gene] = self.levels.base[r.gene] + r.own_weight * level + change.own;
        }
    }

    /// Effects of changed regulators on log expression at these levels, gene by gene, before expression is made relative.
    pub(super) fn effects(&self, changes: &[Change], levels: &[f64]) -> serde_json::Value {
        let mut out = vec![];
        for (g, edges) in self.network.edges.iter().enumerate() {
            let edges_of = |c: &Change| {
                edges.iter().filter(|e| e.regulator == c.regulator).map(|e| e.weight).sum::<f64>()
            };
            let effect: f64 = match self.network.regulator_of[g] {
                Some(r) => changes.iter().filter(|c| c.regulator == r).map(|c| c.own).sum(),
                None => changes.iter().map(|c| edges_of(c) * c.of_level(levels[c.regulator])).sum(),
            };
            if effect != 0.0 {
                out.push(serde_json::json!({ "gene": self.genes[g].ensembl_id, "log_effect": effect }));
            }
        }
        out.into()
    }

    /// Makes cell `i`. The order of draws is part of what a seed means.
    pub(super) fn cell(&self, i: usize, scratch: &mut Scratch) -> Cell {
        let o = &self.options;
        let (donor, batch) = self.donor_and_batch(i);
        let purpose = if o.mouse.is_some() { Purpose::OtherCell } else { Purpose::Cell };
        let draws = &mut Draws::new(o.seed, purpose, i as u64);
        let clone = self.clonality.as_ref().map(|c| c.of_cell(o.seed, i, donor));
        let place = self.place(i, donor, clone.map(|c| c.0), draws);
        let cycling = o.cycling_share * (1.0 - o.cycling_trend * place.pseudotime);
        let phase = draws.choose(&[1.0 - cycling, 0.5 * cycling, 0.5 * cycling]);
        let (of_molecules, of_capture) = (draws.normal(), draws.normal());
        let batch_capture = self.levels.batches[batch].capture;
        let trend = o.molecules_trend * (place.pseudotime - 0.5);
        let (molecules, log_capture) = match &self.calibration {
            None => (
                o.median_molecules * libm::exp(o.molecules_sd * of_molecules + trend),
                libm::log(o.capture_rate) + o.capture_sd * of_capture + batch_capture,
            ),
            // The depth of the file is molecules times capture, whatever the batch, already.
            Some(c) => (c.depth(of_molecules) / o.capture_rate * libm::exp(trend), libm::log(o.capture_rate)),
        };
        let capture_rate = libm::exp(log_capture).min(1.0);
        let mitochondrial = o.mitochondrial_sd * draws.normal();

        scratch.levels.clear();
        let activity: Vec<f64> =
            self.network.programs.iter().map(|p| p.activity(&self.tree, place, phase)).collect();
        for regulator in &self.network.regulators {
            scratch.levels.push(activity[regulator.program] + o.regulator_noise * draws.normal());
        }
        scratch.expression.resize(self.genes.len(), 0.0);
        let treated = self.treatments.of_cell(o.seed, i);
        self.express(&treated, scratch);
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
        let state =
            State { place, donor, batch, phase, molecules, capture_rate, n_counts, n_genes, clone, treated };
        Cell { state, genes, counts }
    }
}
