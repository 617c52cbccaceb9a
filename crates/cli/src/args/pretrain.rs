//! `pretrain`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  microtome pretrain cells.h5ad --out model
  microtome pretrain atlas/ --preset small --epochs 10 --unit donor_id --out model
  microtome pretrain atlas/ --preset tiny --width 64 --like gene_dictionaries_gc95M --epochs 5 --out model
  microtome pretrain atlas/ --preset v1-10m --like gene_dictionaries_30m --steps 20000 --batch-tokens 65536 --out model
  microtome pretrain more.h5ad --from Geneformer-V1-10M --lr 1e-4 --epochs 1 --out continued
  microtome pretrain atlas/ --preset small --epochs 10 --unit donor_id --out model --resume

What is there: family geneformer (genes ranked by median-scaled expression; 15 % of the genes of a cell are hidden, of these 80 % become
the mask, 10 % another gene, 10 % stay; BERT encoder). Other families cannot be pretrained yet.

The folder is a checkpoint that every command reads: config.json, model.safetensors, dictionaries; beside them curve.csv, an event file
for TensorBoard, and pretrain.json (recipe, data with hashes, seeds, curve, baselines). Ctrl-C keeps the state; --resume goes on with
the losses of a run that was not interrupted.")]
pub(crate) struct Pretrain {
    /// .h5ad files, or folders of them
    #[arg(required = true, value_name = "DATA")]
    pub(crate) data: Vec<PathBuf>,
    /// Model family to imitate
    #[arg(long, default_value = "geneformer")]
    pub(crate) family: String,
    /// tiny, small or base, over a vocabulary made of the data or that of --like; or a published size with --like
    #[arg(long, default_value = "tiny", value_name = "P")]
    pub(crate) preset: String,
    /// Folder with published dictionaries: the vocabulary of the model, and the medians its genes are ranked by
    #[arg(long, value_name = "DIR", conflicts_with = "from")]
    pub(crate) like: Option<PathBuf>,
    /// Checkpoint whose weights and vocabulary training goes on from
    #[arg(long, value_name = "CKPT", conflicts_with = "preset")]
    pub(crate) from: Option<PathBuf>,
    /// Folder for the checkpoint
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Go on with an interrupted run
    #[arg(long)]
    pub(crate) resume: bool,
    /// Replace an earlier result in the folder
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Seed of first weights, order, masks and held-out cells
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) size: Size,
    #[command(flatten)]
    pub(crate) cells: Sides,
    #[command(flatten)]
    pub(crate) recipe: Recipe,
}

/// Changes to a preset of our own.
#[derive(Args, Debug)]
#[command(next_help_heading = "Size, where it is not a published one")]
pub(crate) struct Size {
    /// Blocks [default: of the preset]
    #[arg(long, value_name = "N", value_parser = super::positive)]
    pub(crate) layers: Option<usize>,
    /// Width of the residual stream [default: of the preset]
    #[arg(long, value_name = "N", value_parser = super::positive)]
    pub(crate) width: Option<usize>,
    /// Attention heads [default: of the preset]
    #[arg(long, value_name = "N", value_parser = super::positive)]
    pub(crate) heads: Option<usize>,
    /// Width of the feed-forward part [default: of the preset]
    #[arg(long, value_name = "N", value_parser = super::positive)]
    pub(crate) feed_forward: Option<usize>,
    /// Genes per cell, the highest ranked ones [default: of the preset]
    #[arg(long, value_name = "N", value_parser = super::positive)]
    pub(crate) max_tokens: Option<usize>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Cells")]
pub(crate) struct Sides {
    /// Share of the cells held out for validation; 0 for none
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    pub(crate) held_out: f64,
    /// Column of obs whose groups (donors) are held out whole
    #[arg(long, value_name = "OBS")]
    pub(crate) unit: Option<String>,
    /// Neither train on nor look at the cells with this value
    #[arg(long, value_name = "OBS=VALUE", value_parser = pair)]
    pub(crate) leave_out: Vec<(String, String)>,
    /// Most held-out cells that a validation looks at
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = super::positive)]
    pub(crate) validation_cells: usize,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Recipe")]
pub(crate) struct Recipe {
    /// Steps of the optimiser [default: 1000]
    #[arg(long, value_name = "N", conflicts_with = "epochs")]
    pub(crate) steps: Option<u64>,
    /// Passes over the training cells, instead of steps
    #[arg(long, value_name = "X")]
    pub(crate) epochs: Option<f64>,
    /// Tokens of one step, in all its parts
    #[arg(long, default_value_t = 16_384, value_name = "N", value_parser = super::positive)]
    pub(crate) batch_tokens: usize,
    /// Tokens that are run together: gradients of the parts of a step are accumulated, so this bounds memory
    #[arg(long, default_value_t = 2_048, value_name = "N", value_parser = super::positive)]
    pub(crate) part_tokens: usize,
    /// Highest learning rate
    #[arg(long, default_value_t = 1e-3, value_name = "X")]
    pub(crate) lr: f64,
    /// Share of the steps over which the learning rate rises
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    pub(crate) warm_up: f64,
    /// How it falls afterwards
    #[arg(long, value_enum, default_value_t, value_name = "D")]
    pub(crate) decay: Decay,
    /// Weight decay of AdamW; not on biases and norms
    #[arg(long, default_value_t = 0.01, value_name = "X")]
    pub(crate) weight_decay: f64,
    /// Largest norm of a gradient
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    pub(crate) clip: f64,
    /// Share of a cell's genes that is hidden
    #[arg(long, default_value_t = 0.15, value_name = "SHARE")]
    pub(crate) mask: f64,
    /// Steps between validations
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) validate_every: u64,
    /// Steps between states that are kept for --resume
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) keep_every: u64,
    /// Stop after N validations without a better one [default: never]
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    pub(crate) patience: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Decay {
    /// In a straight line
    Linear,
    /// Along half a cosine
    #[default]
    Cosine,
    /// Not at all
    Constant,
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((column, value)) if !column.is_empty() => Ok((column.into(), value.into())),
        _ => Err("COLUMN=VALUE is needed".into()),
    }
}
