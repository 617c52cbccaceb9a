//! `targets`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::DataArgs;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  microtome targets cells.h5ad --model Geneformer-V1-10M --network trrust_rawdata.human.tsv --out targets
  microtome targets screen.h5ad --control perturbation=control --model M --network dorothea_hs_ABC.csv.gz --out targets
  microtome simulate --out cells.h5ad && microtome targets cells.h5ad --model pretrained --out targets

Every regulator that enough cells express is deleted from up to --cells-per-regulator of them, and genes are ranked by how much the
model's readout of them falls. Known targets are compared with genes of the same fifth of mean expression and like number of regulators
(area under the ROC curve, 0.5 is chance, interval over regulators), beside the untrained twin, co-expression in the same cells and
random numbers. targets.csv holds every number.")]
pub(crate) struct Targets {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Checkpoint file or folder
    #[arg(long, value_name = "CKPT")]
    pub(crate) model: PathBuf,
    /// Table of regulator, target and, where known, sign (TRRUST, DoRothEA, ...), plain or .gz [default: the truth of simulated cells]
    #[arg(long, value_name = "TABLE")]
    pub(crate) network: Option<PathBuf>,
    /// Use only cells with this value: the control cells of a screen
    #[arg(long, value_name = "OBS=VALUE", value_parser = super::pretrain::pair)]
    pub(crate) control: Option<(String, String)>,
    /// What is looked at
    #[arg(long, value_enum, default_value_t, value_name = "R")]
    pub(crate) readout: TargetsReadout,
    /// Column of var in which targets and the genes they are compared with must agree, such as a gene program
    #[arg(long, value_name = "VAR")]
    pub(crate) within: Option<String>,
    /// Cells that a regulator is deleted from, at most
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = super::positive)]
    pub(crate) cells_per_regulator: usize,
    /// Fewest cells that must express a regulator
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = super::positive)]
    pub(crate) min_cells: usize,
    /// Fewest known targets of a regulator
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = super::positive)]
    pub(crate) min_targets: usize,
    /// Share of a cell's genes that is hidden when masked genes are read out
    #[arg(long, default_value_t = 0.15, value_name = "SHARE")]
    pub(crate) hidden: f64,
    /// Bootstrap replicates
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = super::positive)]
    pub(crate) bootstrap: usize,
    /// Folder for the result
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Replace an earlier result
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetsReadout {
    /// Which genes the model expects in hidden places (geneformer, sccello, nicheformer)
    #[default]
    MaskedGene,
    /// How far the vector of every remaining gene moves: every family whose cells are lists of genes
    Embedding,
}
