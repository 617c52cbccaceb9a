//! `scan`, `demo`, `report`: the main job.

use std::path::PathBuf;

use clap::Args;

use super::{DataArgs, Pool};

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Folder for the result
    #[arg(long, default_value = "microtome-demo", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Number of simulated cells
    #[arg(long, default_value_t = 600, value_name = "N", value_parser = super::positive)]
    pub(crate) cells: usize,
    /// Seed of everything random
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Replace an earlier result in the folder
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  microtome scan marrow.h5ad --model Geneformer-V1-10M --task trajectory --time pseudotime --out result
  microtome scan cells.h5ad --model A --model B --task trajectory --time day --unit donor_id --label cell_type --out result
  microtome scan lung.h5ad --model A --task annotation --label cell_type --unit donor_id --ontology cl-basic.obo --out result
  microtome scan lines.h5ad --model A --task annotation --task integration --label cell_line --batch-key batch --out result
  microtome scan cells.h5ad --model A --task gene_function --gene-sets h.all.symbols.gmt --gene-groups families.tsv --out result

The result folder holds report.html, summary.json, records.jsonl, records.csv, embeddings.h5ad and run_card.json.
Every model is compared with an untrained twin of the same shape and with simple baselines; that cannot be switched off.")]
pub(crate) struct Scan {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Checkpoint file or folder; repeat for several models
    #[arg(long = "model", required = true, value_name = "CKPT")]
    pub(crate) models: Vec<PathBuf>,
    /// What to score: trajectory, annotation, integration, gene_function; repeat for several tasks over the same representations
    #[arg(long = "task", required = true, value_name = "TASK", value_delimiter = ',')]
    pub(crate) tasks: Vec<String>,
    /// trajectory: column of obs with the true time, stage or order
    #[arg(long, value_name = "OBS")]
    pub(crate) time: Option<String>,
    /// trajectory: name of the root cell [default: cells of the earliest time]
    #[arg(long, value_name = "CELL")]
    pub(crate) root: Option<String>,
    /// annotation, integration: column of obs with the cell types; colours the map in every task
    #[arg(long, value_name = "OBS")]
    pub(crate) label: Option<String>,
    /// annotation: ontology (.obo, such as cl-basic.obo) in which the distance of mistakes is measured
    #[arg(long, value_name = "FILE")]
    pub(crate) ontology: Option<PathBuf>,
    /// annotation: column of obs with term ids [default: cell_type_ontology_term_id where it is there, else the label]
    #[arg(long, value_name = "OBS", requires = "ontology")]
    pub(crate) ontology_key: Option<String>,
    /// gene_function: sets of genes: GMT, a table of gene and set, or one gene per line
    #[arg(long, value_name = "FILE")]
    pub(crate) gene_sets: Option<PathBuf>,
    /// gene_function: table of gene and group (family, chromosome, homologues) that folds never split
    #[arg(long, value_name = "FILE", requires = "gene_sets")]
    pub(crate) gene_groups: Option<PathBuf>,
    /// Column of obs with the independent unit (donor, clone, ...) that intervals resample
    #[arg(long, value_name = "OBS")]
    pub(crate) unit: Option<String>,
    /// Metric that decides, instead of a task's own headline
    #[arg(long, value_name = "METRIC")]
    pub(crate) headline: Option<String>,
    /// Neighbours in the kNN graph, counted as scanpy's n_neighbors (the cell itself included)
    #[arg(long, default_value_t = 15, value_name = "K", value_parser = clap::value_parser!(u32).range(3..=1000))]
    pub(crate) neighbors: u32,
    /// Bootstrap replicates
    #[arg(long, default_value_t = 1000, value_name = "B", value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub(crate) bootstrap: u32,
    /// How a cell's tokens become one vector
    #[arg(long, value_enum, default_value_t)]
    pub(crate) pool: Pool,
    /// Folder for the result
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Go on with an unfinished run in the folder
    #[arg(long, conflicts_with = "overwrite")]
    pub(crate) resume: bool,
    /// Replace an earlier result in the folder
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Report {
    /// Folder of a finished scan
    pub(crate) dir: PathBuf,
    /// Output file; its ending chooses the format: .html, .md or .csv [default: DIR/report.html]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}
