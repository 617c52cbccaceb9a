//! `simulate`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  microtome simulate --out cells.h5ad
  microtome simulate --out deep.h5ad --preset deep --cells 50000 --branches 5 --topology bifurcating
  microtome simulate --out like_pbmc.h5ad --cells 3000 --calibrate pbmc3k.h5ad --report like_pbmc.html
  microtome simulate --out types.h5ad --types 4,3 && microtome scan types.h5ad --model CKPT --task annotation --label cell_type --ontology types.obo --unit donor_id --out result
  microtome simulate --out screen.h5ad --knock-downs 12 --pairs 6 --cells 20000
  microtome simulate --out drugs.h5ad --drugs 4 --doses 0.01,0.1,1,10
  microtome simulate --out clones.h5ad --clones 60
  microtome simulate --out human.h5ad --mouse mouse.h5ad

The truth is in the file: obs (pseudotime, branch, cell_type, clone, perturbation, guide, drug, dose_micromolar, ...), var (program,
is_regulator, mean_true, dispersion_true, ...) and uns[\"simulation\"] (tree or ontology, edges of the network, effects of every
perturbation, EC50 and targets of every drug, fates of every clone, all options). The same seed gives the same cells.")]
pub(crate) struct Simulate {
    /// Output file
    #[arg(long, value_name = "OUT.h5ad")]
    pub(crate) out: PathBuf,
    /// Starting point that the options below change: demo, shallow, deep, no-signal, strong-batch
    #[arg(long, default_value = "demo", value_name = "NAME")]
    pub(crate) preset: String,
    /// Cells
    #[arg(long, default_value_t = 600, value_name = "N", value_parser = super::positive)]
    pub(crate) cells: usize,
    /// Do not write the first N of them: another part of the same tissue than a file of fewer cells
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    pub(crate) skip: usize,
    /// Genes: 1000 where nothing is said; with --calibrate the N of highest mean, all where nothing is said
    #[arg(long, value_name = "N", value_parser = super::positive)]
    pub(crate) genes: Option<usize>,
    /// Branches of the differentiation tree
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = super::positive)]
    pub(crate) branches: usize,
    /// How branches leave the trunk: all at once (star) or two at a time (bifurcating)
    #[arg(long, value_name = "SHAPE", value_enum, default_value_t = Topology::Star)]
    pub(crate) topology: Topology,
    /// A hierarchy of cell types instead of the tree: children per level, as in 4,3; its ontology goes beside the output (.obo)
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', value_parser = super::positive, conflicts_with_all = ["branches", "topology"])]
    pub(crate) types: Vec<usize>,
    /// Donors
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = super::positive)]
    pub(crate) donors: usize,
    /// Batches
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = super::positive)]
    pub(crate) batches: usize,
    /// Take genes, means, dispersions and depths from this data set with raw counts
    #[arg(long, value_name = "FILE.h5ad", help_heading = "Real data")]
    pub(crate) calibrate: Option<PathBuf>,
    /// Show simulated and real cells side by side (.html or .md)
    #[arg(long, value_name = "PAGE", requires = "calibrate", help_heading = "Real data")]
    pub(crate) report: Option<PathBuf>,
    /// Knock down N regulators, three guides each, beside control cells
    #[arg(long, value_name = "N", value_parser = super::positive, help_heading = "Perturbations")]
    pub(crate) knock_downs: Option<usize>,
    /// Knock down N pairs of them as well: synergistic, additive and buffering in turn
    #[arg(long, value_name = "N", requires = "knock_downs", help_heading = "Perturbations")]
    pub(crate) pairs: Option<usize>,
    /// Mean share of its target that a guide removes
    #[arg(long, value_name = "SHARE", requires = "knock_downs", help_heading = "Perturbations")]
    pub(crate) efficiency: Option<f64>,
    /// Treat cells with N drugs that act on regulators
    #[arg(long, value_name = "N", value_parser = super::positive, help_heading = "Perturbations")]
    pub(crate) drugs: Option<usize>,
    /// Doses in micromolar [default: 0.01,0.1,1,10,100]
    #[arg(
        long,
        value_name = "X,X,...",
        value_delimiter = ',',
        requires = "drugs",
        help_heading = "Perturbations"
    )]
    pub(crate) doses: Vec<f64>,
    /// Mark N clones within the donors, with barcodes and biased fates
    #[arg(long, value_name = "N", value_parser = super::positive, help_heading = "Lineage and species")]
    pub(crate) clones: Option<usize>,
    /// Second file: the same tissue in mouse, over one-to-one orthologs
    #[arg(long, value_name = "OUT.h5ad", conflicts_with = "calibrate", help_heading = "Lineage and species")]
    pub(crate) mouse: Option<PathBuf>,
    /// Share of targets that mouse regulates as human does
    #[arg(long, value_name = "SHARE", requires = "mouse", help_heading = "Lineage and species")]
    pub(crate) conserved: Option<f64>,
    /// Seed
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Topology {
    /// All branches at once
    Star,
    /// Two at a time
    Bifurcating,
}
