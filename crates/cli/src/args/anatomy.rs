//! `anatomy` and `store`: genes inside models.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{DataArgs, RunArgs};

#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  microtome anatomy cells.h5ad --model A --model B --category cell_type --out result
  microtome anatomy cells.h5ad --model A --category cell_type --network trrust.tsv --gene-sets hallmark.gmt --out result
  microtome anatomy cells.h5ad --model A --category cell_type --routing napistu-compat --quirks raw-scores,self-ranks,layer-order --out peer
  microtome anatomy extract cells.h5ad --model A --category cell_type --max-cells-per-category 100 --out store

The result folder holds report.html, tables/*.csv behind every figure, store/ (read it with microtome store) and run_card.json.
Every model is compared with an untrained twin of the same shape; that cannot be switched off."
)]
pub(crate) struct Anatomy {
    #[command(subcommand)]
    pub(crate) command: Option<AnatomyCommand>,
    // Absent beside a subcommand; the command says what is missing otherwise.
    #[command(flatten)]
    pub(crate) data: Option<DataArgs>,
    #[command(flatten)]
    pub(crate) genes: Option<GenesArgs>,
    #[command(flatten)]
    pub(crate) look: LookArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AnatomyCommand {
    /// Only average gene vectors per category at every site, and write them with the attention weights into a gene store
    Extract(Extract),
}

/// Which genes of which categories inside which models.
#[derive(Args, Debug)]
pub(crate) struct GenesArgs {
    /// Checkpoint file or folder; repeat for several models
    #[arg(long = "model", required = true, value_name = "CKPT")]
    pub(crate) models: Vec<PathBuf>,
    /// Columns of obs whose values make the categories, comma separated
    #[arg(long, required = true, value_name = "OBS,..", value_delimiter = ',')]
    pub(crate) category: Vec<String>,
    /// Draw at most N cells of every category (with --seed)
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = super::positive)]
    pub(crate) max_cells_per_category: usize,
    /// Leave out categories with fewer cells
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = super::positive)]
    pub(crate) min_cells: usize,
    /// Folder for the result
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Go on with an unfinished run in the folder
    #[arg(long, conflicts_with = "overwrite")]
    pub(crate) resume: bool,
    /// Replace an earlier result in the folder
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Extract {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) genes: GenesArgs,
    /// Sites to keep, comma separated, with * as wildcard
    #[arg(long, default_value = "embed,blocks.*.resid_post", value_name = "S,..")]
    pub(crate) sites: String,
    /// Also extract an untrained twin of every model
    #[arg(long)]
    pub(crate) twins: bool,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// What is looked at.
#[derive(Args, Debug)]
pub(crate) struct LookArgs {
    /// Compare over at most N genes: those that most cells show to every model
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=30_000))]
    pub(crate) n_genes: u32,
    /// Numbers of strongest attention edges per block, comma separated
    #[arg(long, default_values_t = [100, 1000, 10_000], value_name = "K,..", value_delimiter = ',')]
    pub(crate) top: Vec<u32>,
    /// Network to look for among the strongest edges: a table whose first two columns name genes (CSV or TSV, also .gz); repeat for several
    #[arg(long = "network", value_name = "FILE")]
    pub(crate) networks: Vec<PathBuf>,
    /// Gene sets to look for among the nearest genes (GMT); repeat for several
    #[arg(long = "gene-sets", value_name = "FILE.gmt")]
    pub(crate) gene_sets: Vec<PathBuf>,
    /// Which attention between genes is looked at
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "MODE",
        help_heading = "How edges are scored and ranked"
    )]
    pub(crate) routing: RoutingArg,
    /// With --routing napistu-compat: which peculiarities of Napistu-Torch 0.4.0 are reproduced, comma separated
    #[arg(long, value_enum, default_values_t = [QuirkArg::RawScores, QuirkArg::SelfRanks], value_name = "QUIRK,..", value_delimiter = ',', help_heading = "How edges are scored and ranked")]
    pub(crate) quirks: Vec<QuirkArg>,
    /// Rank edges by the magnitude of their score instead of the signed score
    #[arg(long, help_heading = "How edges are scored and ranked")]
    pub(crate) absolute: bool,
    /// Let edges of genes to themselves take part
    #[arg(long, help_heading = "How edges are scored and ranked")]
    pub(crate) self_pairs: bool,
    /// Take all edges that tie with the K-th, not exactly K [always on with --routing napistu-compat]
    #[arg(long, help_heading = "How edges are scored and ranked")]
    pub(crate) all_ties: bool,
    /// Numeric column of obs along which the curvature of cell vectors is measured, such as a pseudotime
    #[arg(long, value_name = "OBS")]
    pub(crate) time: Option<String>,
    /// Between which sites of a model the Procrustes distance is measured
    #[arg(long, value_enum, default_value_t, value_name = "PAIRS")]
    pub(crate) procrustes: ProcrustesArg,
    /// Run the cells a second time for their own attention: softmax in every cell, mean over cells; doubles the time
    #[arg(long)]
    pub(crate) exact_attention: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProcrustesArg {
    /// Every site with the embedding and with the next one
    #[default]
    Chain,
    /// All pairs: minutes more for wide models
    All,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoutingArg {
    /// A block's own attention of the mean stream: biases, norm, softmax per head
    #[default]
    MeanStream,
    /// What Napistu-Torch 0.4.0 computes, with the --quirks that are named
    NapistuCompat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum QuirkArg {
    /// Attention weights in the order of block numbers as text: 0, 1, 10, 11, 2, ...
    LayerOrder,
    /// Scaled dot products instead of the softmax that is documented
    RawScores,
    /// Edges to self compete in ranks although they are not selected
    SelfRanks,
    /// None of them: softmax, ranks among the edges that can be selected
    None,
}

#[derive(Args, Debug)]
pub(crate) struct Store {
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  microtome store info result/store
  microtome store export result/store --out napistu
  microtome store import napistu/scGPT --out store")]
pub(crate) enum StoreCommand {
    /// Say what a gene store holds
    Info(StoreInfo),
    /// Write models of a gene store so that Napistu-Torch's FoundationModel.load reads them
    Export(StoreExport),
    /// Read a store of Napistu-Torch into a gene store; nothing in it is executed
    Import(StoreImport),
}

#[derive(Args, Debug)]
pub(crate) struct StoreInfo {
    /// Folder of the store
    pub(crate) store: PathBuf,
    /// Also check every file against its hash
    #[arg(long)]
    pub(crate) check: bool,
    /// Print the manifest as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct StoreExport {
    /// Folder of the store
    pub(crate) store: PathBuf,
    /// Model to write; repeat for several [default: all that the format can hold]
    #[arg(long = "model", value_name = "NAME")]
    pub(crate) models: Vec<String>,
    /// Write streams of pre-LN models after the norm that queries and keys are made of
    #[arg(long)]
    pub(crate) normed: bool,
    /// Folder for the result: one folder per model
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct StoreImport {
    /// Folder of one model: weights.npz, metadata.json, residuals_index.yaml, residuals/
    pub(crate) store: PathBuf,
    /// Data set to read, where the store has several
    #[arg(long, value_name = "NAME")]
    pub(crate) dataset: Option<String>,
    /// Folder for the gene store
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Replace an earlier store
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
