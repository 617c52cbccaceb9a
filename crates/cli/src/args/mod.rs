//! What can be typed: what all commands share here, each group of commands in a file of its own. Meaning is given in `commands/`.

mod anatomy;
mod checkpoint;
mod data;
mod finetune;
mod metrics;
mod pretrain;
mod run;
mod scan;
mod study;
mod targets;
mod train;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use anatomy::{
    Anatomy, AnatomyCommand, Extract, GenesArgs, LookArgs, ProcrustesArg, QuirkArg, RoutingArg, Store,
    StoreCommand, StoreExport, StoreImport, StoreInfo,
};
pub(crate) use checkpoint::{Init, Inspect, Parity};
pub(crate) use data::{Attention, Doctor, Embed, Perturb, PerturbKind, Tokenize};
pub(crate) use finetune::{Finetune, FinetuneMethod, Merge};
pub(crate) use metrics::Metrics;
pub(crate) use pretrain::{Decay, Objective, Pretrain};
pub(crate) use run::{Precision, RunArgs};
pub(crate) use scan::{Demo, ReferenceDe, Report, Scan};
pub(crate) use study::{OrthologMode, Pipeline, Study};
pub(crate) use targets::{Targets, TargetsReadout};
pub(crate) use train::{Simulate, Topology};

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
    /// Simulate cells and run the whole main job on them with the small bundled model, offline, in about a minute
    Demo(Demo),
    /// The main job: score every block of one or more models on your cells against controls and baselines
    Scan(Scan),
    /// Run the parameter-free study on your cells: rank-normal cells against others, every classifier on every representation
    Study(Study),
    /// List model families, published variants, licences and needed files
    Models(Json),
    /// List tasks, metrics, baselines and controls with their definitions, citations and where they differ from these
    Metrics(Metrics),
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
    /// Delete every regulator of a network in silico: are its known targets the genes whose readout changes?
    Targets(Targets),
    /// Average attention between genes over cells: which gene looks at which
    Attention(Attention),
    /// Look inside models gene by gene: geometry of every block, attention routing, agreement across models, grounding in networks
    Anatomy(Anatomy),
    /// Look at, export and import gene stores
    Store(Store),
    /// Check this program against reference kits, site by site
    Parity(Parity),
    /// Make an untrained model of a published shape: the control every trained model must beat
    Init(Init),
    /// Write simulated cells with known truth: pseudotime, cell types, regulators, knock-downs, drugs, clones, mouse orthologs
    Simulate(Simulate),
    /// Train a model on cells: hidden genes, hidden values or the next gene are to be told from the others
    Pretrain(Pretrain),
    /// Train adapters, all weights or a probe for a label, a number or masked expression, judged on held-out units beside the frozen model and simple baselines
    Finetune(Finetune),
    /// Put an adapter of finetune into the weights of its checkpoint
    Merge(Merge),
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
    /// The matrix holds log-normalised values: recover counts from them (refused where they do not come out whole)
    #[arg(long)]
    pub(crate) log_normalised: bool,
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
    /// Column of obs with the batch: for models fine-tuned with a batch label, and for the integration task
    #[arg(long, value_name = "OBS", help_heading = "How cells are prepared")]
    pub(crate) batch_key: Option<String>,
    /// Column of obs with the drug, for models that take one
    #[arg(long, value_name = "OBS", help_heading = "How cells are prepared")]
    pub(crate) drug_key: Option<String>,
    /// Column of obs with the assay, for models that take one [default: assay, where the data has it]
    #[arg(long, value_name = "OBS", help_heading = "How cells are prepared")]
    pub(crate) assay_key: Option<String>,
    /// For models that take a context from obs (assay, specie, ...): give every cell this value instead; repeat for several
    #[arg(long = "assume", value_name = "OBS=VALUE", value_parser = pair, help_heading = "How cells are prepared")]
    pub(crate) contexts: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.into(), value.into())),
        _ => Err("expected OBS=VALUE, such as assay=unknown".into()),
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pool {
    /// Mean over the cell's gene tokens
    #[default]
    Mean,
    /// The family's published rule (a mean or one token) applied at every site
    Published,
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
