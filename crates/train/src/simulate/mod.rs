//! Cells that differentiate along a tree, with everything about them known.
//!
//! A cell has a place on the tree (pseudotime and branch). Gene programs follow the place; each program drives a few
//! regulators, and regulators drive their targets along known edges with known weights. The cell cycle, donors,
//! batches, mRNA content, capture and mitochondrial share are nuisances on top. Counts are negative binomial.
//!
//! The model, for cell `i` and gene `g` (`README.md` of this crate has the calibration against real cells):
//!
//! ```text
//! level_ir   = activity of r's program at the place of cell i + noise          r: regulator
//! eta_ig     = base_g + batch_g + donor_g + sum over edges r -> g of weight * level_ir
//! mean_ig    = molecules_i * capture_i * exp(eta_ig) / sum over genes of exp(eta_i.)
//! variance   = mean_ig + dispersion_g * mean_ig^2
//! ```
//!
//! Cell `i` depends on the options (other than `n_cells`) and on `i` alone: its random numbers come from its own
//! stream, so chunk size, thread count and the number of cells asked for change nothing. Arithmetic is done with
//! [`libm`], not with the platform's C library, so that every platform makes the same cells.

mod calibration;
mod catalog;
mod cell;
mod clones;
mod design;
mod draws;
mod drugs;
mod levels;
mod network;
mod ontology;
mod options;
mod programs;
mod screen;
mod species;
mod statistics;
mod tables;
mod treatment;
mod tree;
mod truth;

use std::ops::Range;

use microtome_core::{Counts, Error, Result, Table};
use rayon::prelude::*;

pub use calibration::Calibration;
pub use design::{Clones, Drugs, Mouse, Screen, TypeTree};
pub use options::{BatchDesign, Preset, SimulateOptions, Topology};
pub use statistics::{Description, Statistics};

use cell::Cell;
use clones::Clonality;
use levels::Levels;
use network::Network;
use species::Kinship;
use treatment::Treatments;
use tree::Tree;

/// Cells and their `obs` rows.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedCells {
    /// Raw counts `[cell, gene]`, whole numbers, no stored zeros, indices sorted in each row.
    pub counts: Counts,
    /// One row per cell; the same columns and categories for every range.
    pub obs: Table,
}

/// A simulated data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// Raw counts `[cell, gene]`.
    pub counts: Counts,
    /// One row per cell: `pseudotime` (0..1), `branch`, `cell_type`, `donor_id`, `batch`, `phase`, `total_true_depth`
    /// (molecules in the cell before capture), `capture_rate`, `n_counts`, `n_genes`.
    pub obs: Table,
    /// One row per gene, named by Ensembl id: `ensembl_id`, `gene_symbol`, `program`, `is_regulator`,
    /// `is_housekeeping`, `is_ribosomal`, `is_mitochondrial`, `mean_true` (expected count of a median cell, averaged
    /// over the tree), `dispersion_true`.
    pub var: Table,
    /// Tree, program activities, edges from regulators to targets, root cell and all options.
    pub truth: serde_json::Value,
}

/// Makes all cells at once. Use [`Simulator`] for data sets that should not be held in memory.
///
/// # Errors
/// When the options are out of range; the message says which and what the limits are.
pub fn simulate(options: &SimulateOptions) -> Result<Simulated> {
    let simulator = Simulator::new(options)?;
    let SimulatedCells { counts, obs } = simulator.chunk(0..options.n_cells)?;
    Ok(Simulated { counts, obs, var: simulator.var(), truth: simulator.truth() })
}

/// A drawn tree, network and set of nuisance effects, from which cells can be made in any order.
#[derive(Clone, Debug)]
pub struct Simulator {
    options: SimulateOptions,
    genes: Vec<catalog::Gene>,
    tree: Tree,
    network: Network,
    levels: Levels,
    clonality: Option<Clonality>,
    treatments: Treatments,
    kinship: Option<Kinship>,
    calibration: Option<Calibration>,
}

impl Simulator {
    /// Draws everything but the cells.
    ///
    /// # Errors
    /// When the options are out of range; the message says which and what the limits are.
    pub fn new(options: &SimulateOptions) -> Result<Self> {
        Self::draw(options, None)
    }

    /// Draws everything but the cells, with genes, means, dispersions and depths of a file. `n_genes`,
    /// `median_molecules`, `molecules_sd`, `capture_sd`, `batch_capture_sd` and the options of dispersion are then not used.
    ///
    /// # Errors
    /// When the options are out of range, when mice are asked for, or when too few genes of the file are known.
    pub fn calibrated(options: &SimulateOptions, calibration: Calibration) -> Result<Self> {
        Self::draw(options, Some(calibration))
    }

    fn draw(options: &SimulateOptions, calibration: Option<Calibration>) -> Result<Self> {
        options.check()?;
        let tree = Tree::new(options);
        let decay = options.type_tree.as_ref().map_or(1.0, |t| t.decay);
        let programs = programs::all(&tree, decay);
        let mut genes = match &calibration {
            Some(c) => c.panel(programs.len())?,
            None => catalog::panel(options.n_genes, programs.len())?,
        };
        let mut network = Network::draw(options, &tree, programs, &genes);
        let mut levels = Levels::draw(options, &tree, &network, &genes);
        let mut kinship = None;
        match (&options.mouse, &calibration) {
            (Some(_), Some(_)) => {
                return Err(Error::usage("a calibrated simulation has the species of its file")
                    .remedy("leave out either the mouse or the file"));
            }
            (Some(mouse), None) => {
                kinship = Some(species::to_mouse(mouse, options.seed, &mut genes, &mut network, &mut levels));
                levels.mean = levels::mean_counts(options, &tree, &network, &levels.base);
            }
            (None, Some(c)) => c.fit(options, &tree, &mut network, &mut levels),
            (None, None) => {}
        }
        let clonality = Clonality::draw(options, &tree);
        let treatments = Treatments::draw(options, &network)?;
        let options = options.clone();
        Ok(Self { options, genes, tree, network, levels, clonality, treatments, kinship, calibration })
    }

    /// The options it was made with.
    pub fn options(&self) -> &SimulateOptions {
        &self.options
    }

    /// Genes of every cell: as many as `n_genes` says, but for mice and for calibrated cells.
    pub fn n_genes(&self) -> usize {
        self.genes.len()
    }

    /// Row of the cell at the root of the tree (pseudotime 0): always the first.
    pub fn root(&self) -> usize {
        tree::ROOT_CELL
    }

    /// The cells of `range`, on all threads of the current rayon pool. The same cells whatever the ranges asked for.
    ///
    /// # Errors
    /// When `range` reaches beyond `n_cells`.
    pub fn chunk(&self, range: Range<usize>) -> Result<SimulatedCells> {
        let cells = self.cells(range.clone(), |cell| cell)?;
        let obs = tables::obs(self, range.start, cells.iter().map(|c| &c.state));
        let mut indptr = Vec::with_capacity(cells.len() + 1);
        indptr.push(0);
        let nnz = cells.iter().map(|c| c.genes.len()).sum();
        let (mut indices, mut values) = (Vec::with_capacity(nnz), Vec::with_capacity(nnz));
        for cell in cells {
            indices.extend_from_slice(&cell.genes);
            values.extend_from_slice(&cell.counts);
            indptr.push(indices.len());
        }
        Ok(SimulatedCells { counts: Counts::new(self.genes.len(), indptr, indices, values)?, obs })
    }

    /// Only the `obs` rows of `range`: the table that [`Simulator::chunk`] gives, without keeping the counts.
    /// For writers that want all of `obs` before the first count.
    ///
    /// # Errors
    /// When `range` reaches beyond `n_cells`.
    pub fn obs(&self, range: Range<usize>) -> Result<Table> {
        let states = self.cells(range.clone(), |cell| cell.state)?;
        Ok(tables::obs(self, range.start, states.iter()))
    }

    /// One row per gene; see [`Simulated::var`].
    pub fn var(&self) -> Table {
        tables::var(self)
    }

    /// What is true of the data set; see [`Simulated::truth`].
    pub fn truth(&self) -> serde_json::Value {
        truth::truth(self)
    }

    /// The hierarchy of cell types as an ontology in the OBO format; none for a tree of differentiation.
    pub fn obo(&self) -> Option<String> {
        self.tree.is_hierarchy.then(|| ontology::obo(&self.tree))
    }

    fn id_of(&self, regulator: usize) -> &str {
        &self.genes[self.network.regulators[regulator].gene].ensembl_id
    }

    fn symbol_of(&self, regulator: usize) -> &str {
        let gene = &self.genes[self.network.regulators[regulator].gene];
        if gene.symbol.is_empty() { &gene.ensembl_id } else { &gene.symbol }
    }

    fn cells<T: Send>(&self, range: Range<usize>, keep: impl Fn(Cell) -> T + Sync + Send) -> Result<Vec<T>> {
        if range.start > range.end || range.end > self.options.n_cells {
            return Err(Error::usage("no such cells")
                .expected(format!("a range within 0..{}", self.options.n_cells))
                .found(format!("{}..{}", range.start, range.end)));
        }
        Ok(range
            .into_par_iter()
            .map_init(cell::Scratch::default, |scratch, i| keep(self.cell(i, scratch)))
            .collect())
    }
}
