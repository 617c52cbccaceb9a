//! Clones: founded in the trunk of the tree, marked with a heritable barcode, biased towards some branches.

use serde_json::{Value, json};

use super::draws::{Draws, Purpose};
use super::options::SimulateOptions;
use super::tree::Tree;

/// Letters of a barcode.
const BARCODE_LENGTH: usize = 20;
/// Standard deviation over clones of the log expected number of cells.
const SIZE_SD: f64 = 0.8;
/// How far a daughter's fate departs from its parent's, as a share of the bias between clones.
const DAUGHTER_SHARE_OF_BIAS: f64 = 0.4;

/// A clone.
#[derive(Clone, Debug)]
pub(super) struct Lineage {
    donor: usize,
    /// Pseudotime of the cell that was marked; all cells of the clone lie beyond it.
    pub(super) founded_at: f64,
    parent: Option<usize>,
    /// Weight of each tip.
    pub(super) tips: Vec<f64>,
    size: f64,
    pub(super) barcode: String,
}

/// All clones; those of a donor by number.
#[derive(Clone, Debug)]
pub(super) struct Clonality {
    pub(super) clones: Vec<Lineage>,
    of_donor: Vec<Vec<usize>>,
    sizes: Vec<Vec<f64>>,
    barcoded_share: f64,
}

impl Clonality {
    /// The clones that were asked for; the first of each donor descends from none.
    pub(super) fn draw(o: &SimulateOptions, tree: &Tree) -> Option<Self> {
        let asked = o.clones.as_ref()?;
        let mut clones: Vec<Lineage> = Vec::with_capacity(asked.n_clones);
        let mut of_donor = vec![vec![]; o.n_donors];
        // A clone founded behind a fork could not reach the other branches.
        let latest = if tree.is_hierarchy { 0.0 } else { tree.segments[0].end };
        for k in 0..asked.n_clones {
            let draws = &mut Draws::new(o.seed, Purpose::Clone, k as u64);
            let donor = k % o.n_donors;
            let relatives: &Vec<usize> = &of_donor[donor];
            let is_daughter = draws.uniform() < asked.daughter_share && !relatives.is_empty();
            let parent = is_daughter.then(|| relatives[draws.below(relatives.len())]);
            let earliest = parent.map_or(0.0, |p| clones[p].founded_at);
            let founded_at = earliest + (latest - earliest) * draws.uniform();
            let tips = (0..tree.paths.len())
                .map(|tip| {
                    let departure = asked.fate_bias * draws.normal();
                    match parent {
                        Some(p) => clones[p].tips[tip] * libm::exp(DAUGHTER_SHARE_OF_BIAS * departure),
                        None => libm::exp(departure),
                    }
                })
                .collect();
            let size = libm::exp(SIZE_SD * draws.normal());
            let barcode = (0..BARCODE_LENGTH).map(|_| ['A', 'C', 'G', 'T'][draws.below(4)]).collect();
            of_donor[donor].push(k);
            clones.push(Lineage { donor, founded_at, parent, tips, size, barcode });
        }
        let sizes = of_donor.iter().map(|of| of.iter().map(|&k| clones[k].size).collect()).collect();
        Some(Self { clones, of_donor, sizes, barcoded_share: asked.barcoded_share })
    }

    /// Clone of cell `i` of a donor, and whether its barcode was read.
    pub(super) fn of_cell(&self, seed: u64, i: usize, donor: usize) -> (usize, bool) {
        let draws = &mut Draws::new(seed, Purpose::CloneCell, i as u64);
        let clone = self.of_donor[donor][draws.choose(&self.sizes[donor])];
        (clone, draws.uniform() < self.barcoded_share)
    }

    pub(super) fn name(clone: usize) -> String {
        format!("clone_{}", clone + 1)
    }

    /// Every clone with its parent, time of founding and share of each tip (before the donor's own mix of branches).
    pub(super) fn truth(&self, tree: &Tree) -> Value {
        let tips: Vec<&str> =
            tree.paths.iter().filter_map(|p| p.last()).map(|&s| tree.segments[s].name.as_str()).collect();
        let clones: Vec<Value> = self
            .clones
            .iter()
            .enumerate()
            .map(|(k, c)| {
                let total: f64 = c.tips.iter().sum();
                let fates: Vec<f64> = c.tips.iter().map(|t| t / total).collect();
                json!({
                    "clone": Self::name(k), "barcode": c.barcode, "donor_id": format!("donor_{}", c.donor + 1),
                    "parent": c.parent.map(Self::name), "founded_at": c.founded_at, "fates": fates,
                })
            })
            .collect();
        json!({ "tips": tips, "clones": clones })
    }
}
