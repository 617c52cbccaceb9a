//! `scan`, `demo`, `report`: the main job.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{DataArgs, Pool, RunArgs};

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
  microtome scan screen.h5ad --model A --task perturbation --perturbation gene --control NT --unit guide --out result
  microtome scan cells.h5ad --import-obsm X_scVI --task trajectory --time day --unit donor_id --out result
  microtome scan cells.h5ad --model A --model B --task trajectory --time day --unit donor_id --label cell_type --out result
  microtome scan barcoded.h5ad --model A --task trajectory --time day --clone clone --headline dpt_clonal_order --out result
  microtome scan lung.h5ad --model A --task annotation --label cell_type --unit donor_id --ontology cl-basic.obo --out result
  microtome scan lines.h5ad --model A --task annotation --task integration --label cell_line --batch-key batch --out result
  microtome scan cells.h5ad --model A --task gene_function --gene-sets h.all.symbols.gmt --gene-groups families.tsv --out result

The result folder holds report.html, summary.json, records.jsonl, records.csv, embeddings.h5ad and run_card.json.
Every model is compared with an untrained twin of the same shape and with simple baselines; that cannot be switched off.")]
pub(crate) struct Scan {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Checkpoint file or folder; repeat for several models
    #[arg(long = "model", required_unless_present_any = ["import", "import_obsm"], value_name = "CKPT")]
    pub(crate) models: Vec<PathBuf>,
    /// Embedding that another program made: a .npy file with one row per cell of the data file; repeat for several
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) import: Vec<PathBuf>,
    /// Embedding that another program left in the data file: a key of obsm; repeat for several
    #[arg(long, value_name = "KEY")]
    pub(crate) import_obsm: Vec<String>,
    /// Untrained twins of every model, each from another seed
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) untrained_seeds: u32,
    /// Run every model once more with the entries of every weight tensor in random order, as a further control
    #[arg(long)]
    pub(crate) weights_shuffled: bool,
    /// Run every model once more with gene identities exchanged, as a further control
    #[arg(long)]
    pub(crate) gene_permuted: bool,
    /// Repeat the choice of depth on differently scaled representations, and say whether its sign holds
    #[arg(long)]
    pub(crate) transforms: bool,
    /// What to score: trajectory, annotation, integration, perturbation, gene_function; repeat for several tasks over the same representations
    #[arg(long = "task", required = true, value_name = "TASK", value_delimiter = ',')]
    pub(crate) tasks: Vec<String>,
    /// trajectory: column of obs with the true time, stage or order
    #[arg(long, value_name = "OBS")]
    pub(crate) time: Option<String>,
    /// trajectory: name of the root cell [default: cells of the earliest time]
    #[arg(long, value_name = "CELL")]
    pub(crate) root: Option<String>,
    /// perturbation: column of obs with what was done to each cell
    #[arg(long, value_name = "OBS")]
    pub(crate) perturbation: Option<String>,
    /// perturbation: its value that means control [default: guessed where one value says so]
    #[arg(long, value_name = "VALUE")]
    pub(crate) control: Option<String>,
    /// perturbation: column of obs (batch, donor, cell line) within which perturbed and control cells are compared
    #[arg(long, value_name = "OBS")]
    pub(crate) context: Option<String>,
    /// perturbation: where reference effects come from
    #[arg(long, value_enum, default_value_t)]
    pub(crate) reference_de: ReferenceDe,
    /// perturbation: fewest cells of a perturbation [default: 30]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(8..=1_000_000))]
    pub(crate) min_cells: Option<u32>,
    /// trajectory: read Palantir's pseudotime as well, which takes long
    #[arg(long)]
    pub(crate) palantir: bool,
    /// trajectory: column of obs with clones (lineage barcodes); sister cells of different --time are asked for their order
    #[arg(long, value_name = "OBS")]
    pub(crate) clone: Option<String>,
    /// Column of obs (state, time point, protocol) between whose groups the best depth may shift: tested, not read off two maxima
    #[arg(long, value_name = "OBS")]
    pub(crate) strata: Option<String>,
    /// annotation, integration: column of obs with the cell types; colours the map in every task
    #[arg(long, value_name = "OBS")]
    pub(crate) label: Option<String>,
    /// annotation: ontology (.obo such as cl-basic.obo, or CELLxGENE's .json, packed or not) in which the distance of mistakes is measured
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
    /// trajectory: neighbours in the graph, counted as scanpy's n_neighbors (the cell itself included); annotation: nearest cells that vote
    #[arg(long, default_value_t = 15, value_name = "K", value_parser = clap::value_parser!(u32).range(3..=1000))]
    pub(crate) neighbors: u32,
    /// Bootstrap replicates
    #[arg(long, default_value_t = 1000, value_name = "B", value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub(crate) bootstrap: u32,
    /// How a cell's tokens become one vector
    #[arg(long, value_enum, default_value_t)]
    pub(crate) pool: Pool,
    #[command(flatten)]
    pub(crate) run: RunArgs,
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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReferenceDe {
    /// Wald statistics of a negative binomial model of pseudobulks with shrunken dispersions
    #[default]
    Pseudobulk,
    /// Differences of mean log-normalised expression
    MeanDifference,
    /// The same in the 500 genes of largest Welch t, zero elsewhere
    MeanDifferenceTop500,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  microtome report result --out result/report.md
  microtome report --from-table layers.csv --sd 0.03 --out layers.html

A table holds the columns layer and score, and where there are several curves model, dataset and metric; rows of a curve
come from shallow to deep. Its report says which optima can be told from the last layer under the stated uncertainty.")]
pub(crate) struct Report {
    /// Folder of a finished scan
    #[arg(required_unless_present = "from_table", conflicts_with = "from_table")]
    pub(crate) dir: Option<PathBuf>,
    /// Output file; its ending chooses the format: .html, .md or .csv [default: DIR/report.html, or FILE.html]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Published scores by layer, CSV or TSV, instead of a scan
    #[arg(long, value_name = "FILE")]
    pub(crate) from_table: Option<PathBuf>,
    /// Standard deviation of one published score, for rows without a column sd
    #[arg(long, value_name = "SD", requires = "from_table")]
    pub(crate) sd: Option<f64>,
    /// Correlation between the scores of two layers, which share most of their noise
    #[arg(long, value_name = "R", default_value_t = 0.9, requires = "from_table")]
    pub(crate) correlation: f64,
    /// Print the answers as JSON
    #[arg(long, requires = "from_table")]
    pub(crate) json: bool,
}
