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
  microtome pretrain cells.h5ad --family scgpt --objective classification --annotation cell_type --out model
  microtome pretrain cells.h5ad --config recipe.toml --lr 3e-4 --out model

Families, and what their networks are asked:
  geneformer  hidden genes among those ranked by median-scaled expression: 15 % of a cell's; of these 80 % become the mask, 10 % another
              gene, 10 % stay (BERT encoder)
  nicheformer the same with genes divided by their means, behind tokens for obs columns specie, assay and modality where the data has them
  scgpt       hidden values in 51 bins per cell: 40 % of a cell's. By squared error, asked of every gene and of the cell's vector; with
              --objective classification by cross entropy over the bins, by a readout of our own (heads.safetensors)
  aido_cell   hidden values ln(1 + CP10k) among those of all genes, zeros included: 40 %, by squared error. Every cell is as long as the
              list of genes
  tgpt        the next gene in the order of falling counts, 62 genes per cell (causal GPT-2)
  generain    the next gene in the order of bins, which rank a gene's expression within that of up to 2,000 training cells (causal GPT-2;
              the feed-forward part is four times as wide as the stream)

--config takes a TOML or JSON file whose keys are these flags without the dashes (lr = 3e-4, leave-out = ['stage=late'], data = 'atlas/');
flags that are typed win. The folder is a checkpoint that every command reads, in the family's own layout; beside it curve.csv, an event
file for TensorBoard, and pretrain.json (recipe, data with hashes, seeds, curve, baselines). Ctrl-C keeps the state; --resume goes on with
the losses of a run that was not interrupted.")]
pub(crate) struct Pretrain {
    /// .h5ad files, or folders of them
    #[arg(required = true, value_name = "DATA")]
    pub(crate) data: Vec<PathBuf>,
    /// Model family to imitate
    #[arg(long, default_value = "geneformer")]
    pub(crate) family: String,
    /// What the network is asked, where the family leaves a choice [default: the published way]
    #[arg(long, value_enum, value_name = "O")]
    pub(crate) objective: Option<Objective>,
    /// Column of obs whose classes are learned beside the objective, from the cell's vector by a linear readout (heads.safetensors)
    #[arg(long, value_name = "OBS")]
    pub(crate) annotation: Option<String>,
    /// Weight of the annotation's mean cross entropy beside the mean loss of the objective (squared distances of bins are large: 100 is
    /// not too much there)
    #[arg(long, default_value_t = 1.0, value_name = "W", requires = "annotation")]
    pub(crate) annotation_weight: f64,
    /// TOML or JSON file with flags; those that are typed win
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
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
    /// Share of a cell's genes that is hidden [default: the family's]
    #[arg(long, value_name = "SHARE")]
    pub(crate) mask: Option<f64>,
    /// Share of the numbers that dropout sets to 0 in the embedding and in what attention and feed-forward parts add to the stream
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(crate) dropout: f64,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Objective {
    /// Which genes were hidden
    MaskedGenes,
    /// Which gene follows
    NextGene,
    /// Which values were hidden, by squared error
    Regression,
    /// Which bins of values were hidden, by cross entropy
    Classification,
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
