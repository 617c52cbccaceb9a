//! `doctor`, `tokenize`, `embed`, `perturb`, `attention`: what runs cells through one model.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{DataArgs, Pool, RunArgs};

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
  microtome embed million.h5ad --model M --precision bf16 --memory 4GB --out embedded.h5ad

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
    #[command(flatten)]
    pub(crate) run: RunArgs,
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
#[command(after_help = "Example:
  microtome perturb cells.h5ad --model Geneformer-V1-10M --genes GATA1 --kind delete --out gata1.csv

To delete every regulator of a network and see whether its known targets change: microtome targets.")]
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
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = super::positive)]
    pub(crate) n_genes: usize,
    /// Output table (CSV)
    #[arg(long, value_name = "F.csv")]
    pub(crate) out: PathBuf,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
