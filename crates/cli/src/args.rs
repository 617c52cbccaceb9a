//! What can be typed. Meaning is given in `commands/`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Opens single-cell foundation models layer by layer.
#[derive(Debug, Parser)]
#[command(
    name = "microtome",
    version,
    about = "Opens single-cell foundation models layer by layer: which depth of which model carries the biology you ask about, and does it beat a simple baseline?",
    after_help = "Examples:
  microtome demo --out demo
  microtome doctor cells.h5ad --model Geneformer-V1-10M
  microtome scan cells.h5ad --model Geneformer-V1-10M --task trajectory --time day --unit donor_id --out result
  microtome embed cells.h5ad --model Geneformer-V1-10M --sites 'blocks.*.resid_post,cell_embedding' --out embedded.h5ad

Exit codes: 0 done; 1 done, but a check that was asked for did not hold; 2 bad usage or unreadable input; 130 stopped by Ctrl-C.",
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

#[derive(Args, Debug)]
pub(crate) struct Global {
    /// Threads to use [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// No progress and no notes on stderr; errors still show
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Simulate cells, make a small untrained model and run the whole main job on them, offline, in about a minute
    Demo(Demo),
    /// The main job: score every block of one or more models on your cells against controls and baselines
    Scan(Scan),
    /// List model families, published variants, licences and needed files
    Models(Json),
    /// Say what a checkpoint is: family, variant, dimensions, what became of every tensor
    Inspect(Inspect),
    /// Check a data set against a model before running: counts, gene overlap, species, predicted time and memory
    Doctor(Doctor),
    /// Write the tokens a model would see
    Tokenize(Tokenize),
    /// Write an .h5ad with one obsm entry per requested site
    Embed(Embed),
    /// Delete or overexpress genes in silico and report how far each cell moves
    Perturb(Perturb),
    /// Average attention between genes over cells: which gene looks at which
    Attention(Attention),
    /// Check this program against reference kits, site by site
    Parity(Parity),
    /// Make an untrained model of a published shape: the control every trained model must beat
    Init(Init),
    /// Write simulated cells with known pseudotime, branches, donors and regulators
    Simulate(Simulate),
    /// Make the report of a finished scan again
    Report(Report),
}

#[derive(Args, Debug)]
pub(crate) struct Json {
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which cells and genes, and how to read them.
#[derive(Args, Clone, Debug)]
pub(crate) struct DataArgs {
    /// .h5ad file, 10x .h5 file or 10x matrix folder
    pub(crate) data: PathBuf,
    /// Matrix that holds raw counts: X, raw or layers/NAME [default: detected]
    #[arg(long, value_name = "SLOT")]
    pub(crate) slot: Option<String>,
    /// Column of var with Ensembl ids, or var_names [default: detected]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) ensembl_column: Option<String>,
    /// Column of var with gene symbols, or var_names [default: detected]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) symbol_column: Option<String>,
    /// Use at most N cells, drawn at random with --seed
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) max_cells: Option<usize>,
    /// Seed of everything random
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Draw at random where the model's published pipeline does (with --seed), instead of the deterministic rule
    #[arg(long, help_heading = "How cells are prepared")]
    pub(crate) as_published: bool,
    /// A published way of preparing cells, by name, where the family has several
    #[arg(long, value_name = "NAME", help_heading = "How cells are prepared")]
    pub(crate) recipe: Option<String>,
    /// Column of obs with the batch, for models fine-tuned with a batch label
    #[arg(long, value_name = "OBS", help_heading = "How cells are prepared")]
    pub(crate) batch_key: Option<String>,
    /// Column of obs with the drug, for models that take one
    #[arg(long, value_name = "OBS", help_heading = "How cells are prepared")]
    pub(crate) drug_key: Option<String>,
    /// Column of obs with the assay, for models that take one [default: assay, where the data has it]
    #[arg(long, value_name = "OBS", help_heading = "How cells are prepared")]
    pub(crate) assay_key: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pool {
    /// Mean over the cell's gene tokens
    #[default]
    Mean,
    /// The family's published rule (a mean or one token) applied at every site
    Published,
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Folder for the result
    #[arg(long, default_value = "microtome-demo", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Number of simulated cells
    #[arg(long, default_value_t = 600, value_name = "N", value_parser = positive)]
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

The result folder holds report.html, summary.json, records.jsonl, records.csv, embeddings.h5ad and run_card.json.
Every model is compared with an untrained twin of the same shape and with simple baselines; that cannot be switched off.")]
pub(crate) struct Scan {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Checkpoint file or folder; repeat for several models
    #[arg(long = "model", required = true, value_name = "CKPT")]
    pub(crate) models: Vec<PathBuf>,
    /// What to score
    #[arg(long = "task", required = true, value_name = "TASK")]
    pub(crate) tasks: Vec<String>,
    /// trajectory: column of obs with the true time, stage or order
    #[arg(long, value_name = "OBS")]
    pub(crate) time: Option<String>,
    /// trajectory: name of the root cell [default: cells of the earliest time]
    #[arg(long, value_name = "CELL")]
    pub(crate) root: Option<String>,
    /// Column of obs with labels to colour the map with
    #[arg(long, value_name = "OBS")]
    pub(crate) label: Option<String>,
    /// Column of obs with the independent unit (donor, clone, ...) that intervals resample
    #[arg(long, value_name = "OBS")]
    pub(crate) unit: Option<String>,
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
pub(crate) struct Inspect {
    /// Checkpoint file or folder
    #[arg(value_name = "CKPT")]
    pub(crate) checkpoint: PathBuf,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Checkpoint file or folder
    #[arg(long, value_name = "CKPT")]
    pub(crate) model: PathBuf,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Tokenize {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Checkpoint file or folder
    #[arg(long, value_name = "CKPT")]
    pub(crate) model: PathBuf,
    /// Output file: tokens.ids, tokens.values, tokens.offsets
    #[arg(long, value_name = "F.safetensors")]
    pub(crate) out: PathBuf,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  microtome embed cells.h5ad --model Geneformer-V2-104M --out embedded.h5ad
  microtome embed cells.h5ad --model M --sites 'embed,blocks.*.resid_post' --pool mean --out embedded.h5ad

In Python: sc.pp.neighbors(adata, use_rep=\"X_geneformer.blocks.3.resid_post\"); sc.tl.umap(adata)")]
pub(crate) struct Embed {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Checkpoint file or folder
    #[arg(long, value_name = "CKPT")]
    pub(crate) model: PathBuf,
    /// Sites to keep, comma separated, with * as wildcard; gene_embedding averages gene vectors over cells into varm
    #[arg(long, default_value = "cell_embedding", value_name = "S,..")]
    pub(crate) sites: String,
    /// How a cell's tokens become one vector
    #[arg(long, value_enum, default_value_t)]
    pub(crate) pool: Pool,
    /// Output file
    #[arg(long, value_name = "OUT.h5ad")]
    pub(crate) out: PathBuf,
    /// Go on with an unfinished run of the same command
    #[arg(long, conflicts_with = "overwrite")]
    pub(crate) resume: bool,
    /// Replace the output file, and forget an unfinished run
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PerturbKind {
    /// Remove the genes from the cell
    Delete,
    /// Move the genes to the front of the cell's ranking
    Overexpress,
}

#[derive(Args, Debug)]
pub(crate) struct Perturb {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Checkpoint file or folder
    #[arg(long, value_name = "CKPT")]
    pub(crate) model: PathBuf,
    /// Genes to perturb together, as Ensembl ids or symbols, comma separated
    #[arg(long, value_name = "GENE,..", required = true, value_delimiter = ',')]
    pub(crate) genes: Vec<String>,
    /// What is done to them
    #[arg(long, value_enum)]
    pub(crate) kind: PerturbKind,
    /// Output table (CSV): one row per cell with the cosine similarity to the unperturbed cell
    #[arg(long, value_name = "F.csv")]
    pub(crate) out: PathBuf,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "The table has one row per pair of genes: query_gene looks at key_gene. Direction matters: scPRINT's authors
transpose their network before they read rows as regulators; in scGPT's the column of a factor is what it influences."
)]
pub(crate) struct Attention {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Checkpoint file or folder
    #[arg(long, value_name = "CKPT")]
    pub(crate) model: PathBuf,
    /// Attention map to average [default: the family's published network, else the pattern of the last block]
    #[arg(long, value_name = "SITE", conflicts_with = "mean_cell")]
    pub(crate) site: Option<String>,
    /// Attention between mean queries and keys over cells that hold the same tokens (scPRINT's published network)
    #[arg(long)]
    pub(crate) mean_cell: bool,
    /// Genes between which edges are kept, comma separated [default: those that most cells express]
    #[arg(long, value_name = "GENE,..", value_delimiter = ',')]
    pub(crate) genes: Vec<String>,
    /// How many genes are kept when none are named
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = positive)]
    pub(crate) n_genes: usize,
    /// Output table (CSV)
    #[arg(long, value_name = "F.csv")]
    pub(crate) out: PathBuf,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Parity {
    /// Kit folders (checkpoint/, cells.h5ad, expected.safetensors, MANIFEST.json)
    #[arg(required = true, value_name = "KIT")]
    pub(crate) kits: Vec<PathBuf>,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:
  microtome init --family geneformer --preset v1-10m --like gene_dictionaries_30m --seed 0 --out untrained")]
pub(crate) struct Init {
    /// Model family
    #[arg(long)]
    pub(crate) family: String,
    /// Published shape; `microtome models` lists them
    #[arg(long, value_name = "P")]
    pub(crate) preset: String,
    /// Folder with the vocabulary files
    #[arg(long, value_name = "DIR")]
    pub(crate) like: PathBuf,
    /// Seed of the weights
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Folder for the checkpoint
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Simulate {
    /// Output file
    #[arg(long, value_name = "OUT.h5ad")]
    pub(crate) out: PathBuf,
    /// Cells
    #[arg(long, default_value_t = 600, value_name = "N", value_parser = positive)]
    pub(crate) cells: usize,
    /// Genes
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = positive)]
    pub(crate) genes: usize,
    /// Branches of the differentiation tree
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = positive)]
    pub(crate) branches: usize,
    /// Donors
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = positive)]
    pub(crate) donors: usize,
    /// Batches
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = positive)]
    pub(crate) batches: usize,
    /// Seed
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Print JSON for programs instead of text
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

fn positive(text: &str) -> Result<usize, String> {
    match text.replace('_', "").parse::<usize>() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("a whole number above 0 is needed".into()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn definition_is_consistent() {
        use clap::CommandFactory;
        super::Cli::command().debug_assert();
    }
}
