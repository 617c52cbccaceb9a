//! `finetune`, `merge`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{DataArgs, Objective, positive};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  microtome finetune cells.h5ad --model Geneformer-V1-10M --label cell_type --unit donor_id --out tuned
  microtome finetune cells.h5ad --model Geneformer-V1-10M --label cell_type --unit donor_id --rank 4 --first-block 4 --merge --out tuned
  microtome finetune cells.h5ad --model Geneformer-V1-10M --target pseudotime --unit donor_id --out tuned
  microtome finetune cells.h5ad --model scGPT --label cell_type --unit donor_id --method mlp --out probe
  microtome finetune cells.h5ad --model Geneformer-V1-10M --masked --unit donor_id --epochs 5 --merge --out tuned

The report puts what was trained beside the frozen model at every depth (logistic regression, macro-F1) and the simple baselines of scan, on the
same cells and held-out units, with paired intervals and one sentence (ridge regression and Spearman correlation for numbers). tuned/adapter holds the adapter (safetensors and JSON); the
checkpoint itself is only read. Ctrl-C keeps the last finished epoch; --resume goes on to the same numbers.

Adapters and all weights: every family with softmax attention, which is all but scbert and cellfm (MLP probe: every family). Training runs
in f32 on the CPU. A cell of AIDO.Cell has 19,266 tokens: one block of the smallest model takes the better part of a minute per cell, so
take few cells and --first-block near the end.

--masked trains the adapters on what pretraining asks, under the model's own readout, which stays as it is: geneformer and nicheformer hidden
genes, scgpt and aido_cell hidden values (squared error of bins, of logarithms), tgpt and generain the next gene. Held-out cells are asked
the same questions by all: the adapted model, the frozen one at every depth by its own readout and by one fitted to the training units
(depth chosen without the held-out units), the frequency or mean of the gene, and the most similar training cells. Losses are in the
model's own scale; lower is better.
All weights at once, readout included: pretrain --from.")]
pub(crate) struct Finetune {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Checkpoint file or folder
    #[arg(long, value_name = "CKPT")]
    pub(crate) model: PathBuf,
    /// Column of obs with the label to learn
    #[arg(long, value_name = "OBS", required_unless_present_any = ["target", "masked"], conflicts_with = "target")]
    pub(crate) label: Option<String>,
    /// Column of obs with the number to learn, instead of a label
    #[arg(long, value_name = "OBS")]
    pub(crate) target: Option<String>,
    /// Learn what is hidden of the cells' own expression, instead of a label
    #[arg(long, conflicts_with_all = ["label", "target"])]
    pub(crate) masked: bool,
    /// With --masked: what the network is asked, where the family leaves a choice [default: the published way]
    #[arg(long, value_enum, value_name = "O", conflicts_with_all = ["label", "target"])]
    pub(crate) objective: Option<Objective>,
    /// With --masked: share of a cell's genes that is hidden [default: of the family]
    #[arg(long, value_name = "SHARE", conflicts_with_all = ["label", "target"])]
    pub(crate) mask: Option<f64>,
    /// Column of obs with the independent unit: whole units are learnt from, stopped by, judged on
    #[arg(long, value_name = "OBS")]
    pub(crate) unit: Option<String>,
    /// What is trained
    #[arg(long, value_enum, default_value_t = FinetuneMethod::Lora)]
    pub(crate) method: FinetuneMethod,
    /// Rank of the adapters
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = positive, help_heading = "Training")]
    pub(crate) rank: usize,
    /// Adapters are scaled by alpha / rank [default: twice the rank]
    #[arg(long, value_name = "X", help_heading = "Training")]
    pub(crate) alpha: Option<f64>,
    /// Hidden numbers of the MLP probe
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = positive, conflicts_with = "masked", help_heading = "Training")]
    pub(crate) hidden: usize,
    /// First block that is trained, from 0; those before stay as they are
    #[arg(long, default_value_t = 0, value_name = "BLOCK", help_heading = "Training")]
    pub(crate) first_block: usize,
    /// Passes over the training cells at most
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = positive, help_heading = "Training")]
    pub(crate) epochs: usize,
    /// Stop after N passes without a lower loss on the units that say when to stop
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = positive, help_heading = "Training")]
    pub(crate) patience: usize,
    /// Cells per step
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = positive, help_heading = "Training")]
    pub(crate) batch: usize,
    /// Highest learning rate
    #[arg(long, default_value_t = 1e-3, value_name = "X", help_heading = "Training")]
    pub(crate) learning_rate: f64,
    /// Let frequent classes count more than rare ones
    #[arg(long, conflicts_with = "masked", help_heading = "Training")]
    pub(crate) unbalanced: bool,
    /// Write a checkpoint with the adapter merged into the weights, which every program that reads the family opens
    #[arg(long)]
    pub(crate) merge: bool,
    /// Bootstrap replicates
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = positive)]
    pub(crate) bootstrap: usize,
    /// Folder for the result
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Go on with a run that was interrupted
    #[arg(long, conflicts_with = "overwrite")]
    pub(crate) resume: bool,
    /// Replace an earlier result
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FinetuneMethod {
    /// Low-rank adapters on attention and feed-forward of every block
    Lora,
    /// Every weight of the blocks
    Full,
    /// A head with one hidden layer on the frozen model, depth chosen without the held-out units
    Mlp,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  microtome merge tuned --model Geneformer-V1-10M --out tuned-model && microtome embed cells.h5ad --model tuned-model --out embedded.h5ad")]
pub(crate) struct Merge {
    /// Folder of finetune, or the adapter folder in it
    pub(crate) adapter: PathBuf,
    /// The checkpoint that it was trained on
    #[arg(long, value_name = "CKPT")]
    pub(crate) model: PathBuf,
    /// Folder for the merged checkpoint
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
