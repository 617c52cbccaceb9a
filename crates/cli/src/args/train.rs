//! `simulate`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct Simulate {
    /// Output file
    #[arg(long, value_name = "OUT.h5ad")]
    pub(crate) out: PathBuf,
    /// Cells
    #[arg(long, default_value_t = 600, value_name = "N", value_parser = super::positive)]
    pub(crate) cells: usize,
    /// Genes
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = super::positive)]
    pub(crate) genes: usize,
    /// Branches of the differentiation tree
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = super::positive)]
    pub(crate) branches: usize,
    /// Donors
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = super::positive)]
    pub(crate) donors: usize,
    /// Batches
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = super::positive)]
    pub(crate) batches: usize,
    /// Seed
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
