//! `study`: the parameter-free study as a recipe.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  microtome study tissue.h5ad --label cell_type --out study.csv
  microtome study lung.h5ad --pipeline clustered --label infected --unit donor_id --out study.csv
  microtome study human=a.h5ad mouse=b.h5ad --label cell_type --orthologs human:mouse=human2mouse.csv.gz --out study.csv
  microtome study human=a.h5ad mouse=b.h5ad --label cell_type --orthologs human:mouse=map.tsv --ortholog-mode one-to-one

One data set: the pipelines of Souza and Mehta 2026 (arXiv 2602.16696) for cell types and for infected cells, as released and
as described, with every classifier on every representation.
Several: labels are carried over from each to each other. The headline leaves out the diagonal, where cells of the basis
itself are held out, because that is an easier question; the mean with it is shown beside.")]
pub(crate) struct Study {
    /// .h5ad file, or NAME=FILE; several for every ordered pair
    #[arg(required = true, value_name = "[NAME=]FILE")]
    pub(crate) data: Vec<String>,
    /// Which pipeline within one data set
    #[arg(long, value_enum, default_value_t)]
    pub(crate) pipeline: Pipeline,
    /// clustered: column of obs with the donor, which folds keep together [default: cells are dealt out at random, as published]
    #[arg(long, value_name = "OBS")]
    pub(crate) unit: Option<String>,
    /// Column of obs with the labels, spelt alike in all files
    #[arg(long, value_name = "OBS")]
    pub(crate) label: String,
    /// Table of orthologs: two columns of gene names or ids; without one, genes are matched by name
    #[arg(long, value_name = "A:B=FILE")]
    pub(crate) orthologs: Vec<String>,
    /// Which orthologs stand for each other
    #[arg(long, value_enum, default_value_t)]
    pub(crate) ortholog_mode: OrthologMode,
    /// Fewest cells of a label [default: 100 within one data set, 51 between several]
    #[arg(long, value_name = "N", value_parser = super::positive)]
    pub(crate) min_cells: Option<usize>,
    /// Random splits within one data set
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) splits: u32,
    /// Use at most N cells of each file, drawn at random with --seed
    #[arg(long, value_name = "N", value_parser = super::positive)]
    pub(crate) max_cells: Option<usize>,
    /// Seed of the splits
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Write all scores as CSV
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) out: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pipeline {
    /// Cell types on random splits (published for Tabula Sapiens)
    #[default]
    CellType,
    /// Clusters first, then logistic regression in each (published for infected cells)
    Clustered,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrthologMode {
    /// The first pair of every gene on each side, as published
    #[default]
    First,
    /// Genes with exactly one ortholog on both sides
    OneToOne,
    /// Every gene with the mean over all of its orthologs
    Mean,
}
