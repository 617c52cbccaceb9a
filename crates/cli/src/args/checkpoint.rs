//! `inspect`, `parity`, `init`: what is about a checkpoint.

use std::path::PathBuf;

use clap::Args;

use super::Precision;

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
pub(crate) struct Parity {
    /// Kit folders (checkpoint/, cells.h5ad, expected.safetensors, MANIFEST.json)
    #[arg(required = true, value_name = "KIT")]
    pub(crate) kits: Vec<PathBuf>,
    /// Precision of the model's arithmetic; the tolerances stay those of the kit, which are made for f32
    #[arg(long, value_enum, default_value_t, value_name = "P")]
    pub(crate) precision: Precision,
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
