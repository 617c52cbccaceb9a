//! How high genes are expressed before programs act, how noisy they are, and what batches and donors do to them.

use super::catalog::Gene;
use super::draws::{Draws, Purpose};
use super::network::Network;
use super::options::SimulateOptions;
use super::tree::{Place, Tree};

/// Standard deviation of log base expression among genes of one kind.
const BASE_SD: f64 = 1.1;
/// How much higher (log) kinds of genes are expressed than the rest.
const RIBOSOMAL: f64 = 3.1;
const MITOCHONDRIAL: f64 = 2.0;
const HOUSEKEEPING: f64 = 1.5;
const REGULATOR: f64 = -0.5;
/// Kinds of high expression vary less among each other.
const HIGH_SD: f64 = 0.7;
/// Steps of pseudotime at which mean expression over the tree is taken.
const GRID: usize = 20;
/// Lowest dispersion that the sampler takes.
pub(super) const MIN_DISPERSION: f64 = 0.02;

/// What is drawn once per gene, batch and donor.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    /// Log base expression of each gene.
    pub(super) base: Vec<f64>,
    /// Expected count of each gene in a median cell, averaged over the tree.
    pub(super) mean: Vec<f64>,
    pub(super) dispersion: Vec<f64>,
    pub(super) batches: Vec<Effect>,
    pub(super) donors: Vec<Effect>,
    /// Weight of each tip for each donor.
    pub(super) tip_weights: Vec<Vec<f64>>,
}

/// Effect of a batch or donor.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    /// On the log expression of each gene.
    pub(super) genes: Vec<f64>,
    /// On the log capture rate.
    pub(super) capture: f64,
}

impl Levels {
    pub(super) fn draw(options: &SimulateOptions, tree: &Tree, network: &Network, genes: &[Gene]) -> Self {
        // Mice have donors of their own.
        let donor = if options.mouse.is_some() { Purpose::OtherDonor } else { Purpose::Donor };
        let effects = |n: usize, purpose: Purpose, sd: f64, capture_sd: f64| -> Vec<Effect> {
            (0..n)
                .map(|k| {
                    let mut draws = Draws::new(options.seed, purpose, k as u64);
                    let capture = capture_sd * draws.normal();
                    Effect { genes: genes.iter().map(|_| sd * draws.normal()).collect(), capture }
                })
                .collect()
        };
        let mut base = Vec::with_capacity(genes.len());
        let mut scatter = Vec::with_capacity(genes.len());
        for (g, gene) in genes.iter().enumerate() {
            let mut draws = Draws::new(options.seed, Purpose::Gene, g as u64);
            let (shift, sd) = match gene {
                gene if gene.is_ribosomal() => (RIBOSOMAL, HIGH_SD),
                gene if gene.is_mitochondrial() => (MITOCHONDRIAL, HIGH_SD),
                gene if gene.is_housekeeping() => (HOUSEKEEPING, HIGH_SD),
                gene if gene.is_transcription_factor() => (REGULATOR, BASE_SD),
                _ => (0.0, BASE_SD),
            };
            base.push(shift + sd * draws.normal());
            scatter.push(options.dispersion_sd * draws.normal());
        }
        let mean = mean_counts(options, tree, network, &base);
        let dispersion = mean
            .iter()
            .zip(scatter)
            .map(|(m, s)| {
                let trend = options.dispersion_floor + options.dispersion_slope / m.max(1e-6);
                (trend * libm::exp(s)).max(MIN_DISPERSION)
            })
            .collect();
        let tip_weights = (0..options.n_donors)
            .map(|d| {
                // A stream of its own, beyond those of the effects.
                let mut draws = Draws::new(options.seed, donor, (options.n_donors + d) as u64);
                (0..tree.paths.len()).map(|_| libm::exp(options.donor_composition * draws.normal())).collect()
            })
            .collect();
        Self {
            base,
            mean,
            dispersion,
            batches: effects(
                options.n_batches,
                Purpose::Batch,
                options.batch_effect,
                options.batch_capture_sd,
            ),
            donors: effects(options.n_donors, donor, options.donor_effect, 0.0),
            tip_weights,
        }
    }
}

/// Expression of genes over the tree, before depth.
pub(super) struct Moments {
    /// Share of a cell's counts, summed over the places.
    sum: Vec<f64>,
    /// Places.
    n: f64,
    /// Squared coefficient of variation of it.
    pub(super) spread: Vec<f64>,
}

/// Calls with every place of an even grid over pseudotime and tips.
fn over_tree(tree: &Tree, mut at: impl FnMut(Place)) {
    for path in &tree.paths {
        for step in 0..GRID {
            let pseudotime = (step as f64 + 0.5) / GRID as f64;
            let segment =
                path.iter().copied().find(|&s| pseudotime < tree.segments[s].end).unwrap_or_default();
            at(Place { pseudotime, segment });
        }
    }
}

/// Moments outside the cell cycle, without noise of regulators, evenly over pseudotime and tips.
pub(super) fn moments_over_tree(tree: &Tree, network: &Network, base: &[f64]) -> Moments {
    let mut sum = vec![0.0; base.len()];
    let mut squares = vec![0.0; base.len()];
    let mut log_expression = vec![0.0; base.len()];
    over_tree(tree, |place| {
        let activity: Vec<f64> = network.programs.iter().map(|p| p.activity(tree, place, 0)).collect();
        let levels: Vec<f64> = network.regulators.iter().map(|r| activity[r.program]).collect();
        network.add_to(&levels, base, &mut log_expression);
        let total: f64 = log_expression
            .iter_mut()
            .map(|e| {
                *e = libm::exp(*e);
                *e
            })
            .sum();
        for (g, e) in log_expression.iter().enumerate() {
            let share = e / total;
            sum[g] += share;
            squares[g] += share * share;
        }
    });
    let n = (tree.paths.len() * GRID) as f64;
    let spread = sum.iter().zip(&squares).map(|(s, q)| (q * n / (s * s) - 1.0).max(0.0)).collect();
    Moments { sum, n, spread }
}

impl Moments {
    /// Mean share of a cell's counts.
    pub(super) fn share(&self, gene: usize) -> f64 {
        self.sum[gene] / self.n
    }
}

/// Mean level of each regulator, evenly over pseudotime and tips, outside the cell cycle.
pub(super) fn mean_levels(tree: &Tree, network: &Network) -> Vec<f64> {
    let mut sum = vec![0.0; network.regulators.len()];
    over_tree(tree, |place| {
        for (s, r) in sum.iter_mut().zip(&network.regulators) {
            *s += network.programs[r.program].activity(tree, place, 0);
        }
    });
    let n = (tree.paths.len() * GRID) as f64;
    sum.iter().map(|s| s / n).collect()
}

/// Expected count of each gene in a cell of median depth, averaged over the tree.
pub(super) fn mean_counts(o: &SimulateOptions, tree: &Tree, network: &Network, base: &[f64]) -> Vec<f64> {
    let moments = moments_over_tree(tree, network, base);
    let scale = o.median_molecules * o.capture_rate / moments.n;
    moments.sum.iter().map(|s| s * scale).collect()
}

impl Network {
    /// Log expression of each gene: `base` and what regulators at the given levels add.
    pub(super) fn add_to(&self, levels: &[f64], base: &[f64], out: &mut [f64]) {
        for (g, out) in out.iter_mut().enumerate() {
            let driven: f64 = match self.regulator_of[g] {
                Some(r) => self.regulators[r].own_weight * levels[r],
                None => self.edges[g].iter().map(|e| e.weight * levels[e.regulator]).sum(),
            };
            *out = base[g] + driven;
        }
    }

    /// Multiplies every effect on a gene.
    pub(super) fn weaken(&mut self, gene: usize, factor: f64) {
        match self.regulator_of[gene] {
            Some(r) => self.regulators[r].own_weight *= factor,
            None => self.edges[gene].iter_mut().for_each(|e| e.weight *= factor),
        }
    }
}
