//! What an extraction is asked to do, and what came out.

use std::path::PathBuf;

use microtome_anatomy::routing::{RoutingOptions, ScoreOptions, Ties};
use serde::Serialize;

use super::geometry::Rotations;
use crate::budget::RunOptions;
use crate::data::DataOptions;

/// Gene vectors per category, written into a gene store.
#[derive(Clone, Debug)]
pub struct ExtractOptions {
    /// Cells.
    pub data: DataOptions,
    /// Checkpoints.
    pub models: Vec<PathBuf>,
    /// Columns of `obs` whose values together make a category.
    pub categories: Vec<String>,
    /// Most cells drawn per category.
    pub max_cells: usize,
    /// Categories with fewer cells are left out.
    pub min_cells: usize,
    /// Sites, comma separated, with `*`.
    pub sites: String,
    /// Whether an untrained twin of every model is extracted beside it.
    pub with_twins: bool,
    /// Precision and memory.
    pub run: RunOptions,
    /// Folder of the store.
    pub out: PathBuf,
    /// Go on with an unfinished run.
    pub resume: bool,
    /// Replace an earlier store.
    pub overwrite: bool,
    /// The command line, for the manifest.
    pub command: Vec<String>,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct ExtractReport {
    /// Folder of the store.
    pub out: PathBuf,
    /// Models and controls.
    pub models: Vec<String>,
    /// Categories with the number of cells averaged.
    pub categories: Vec<(String, usize)>,
    /// Genes in the table.
    pub n_genes: usize,
    /// Categories of models that were taken from an unfinished run.
    pub n_reused: usize,
    /// Wall seconds.
    pub seconds: f64,
    /// Things to know.
    pub notes: Vec<String>,
}

/// The workflow: extraction and everything that is looked at afterwards.
#[derive(Clone, Debug)]
pub struct AnatomyOptions {
    /// What is extracted; its folder is the result folder.
    pub extract: ExtractOptions,
    /// Most genes over which models are compared.
    pub n_genes: usize,
    /// Numbers of strongest edges.
    pub ks: Vec<usize>,
    /// Tables whose first two columns name genes.
    pub networks: Vec<PathBuf>,
    /// GMT files.
    pub gene_sets: Vec<PathBuf>,
    /// How edges are scored, selected and ranked.
    pub routing: RoutingChoice,
    /// Numeric column of `obs` along which the curvature of cell vectors is measured.
    pub time: Option<String>,
    /// Between which sites of a model Procrustes is measured.
    pub rotations: Rotations,
    /// Whether the cells run a second time for their own attention.
    pub exact_attention: bool,
}

/// What came out; also `summary.json`.
#[derive(Clone, Debug, Serialize)]
pub struct AnatomyReport {
    /// Folder with the result.
    pub out: PathBuf,
    /// The page to look at.
    pub report: PathBuf,
    /// The gene store.
    pub store: PathBuf,
    /// Models and controls.
    pub models: Vec<String>,
    /// Categories with the number of genes compared.
    pub categories: Vec<(String, usize)>,
    /// What was found, in words.
    pub sentences: Vec<String>,
    /// Things to know.
    pub notes: Vec<String>,
    /// Wall seconds in all.
    pub seconds: f64,
}

/// Which attention between genes is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoutingMode {
    /// A block's own attention of the mean stream: biases, norm, softmax per head over the compared genes, mean over heads.
    #[default]
    MeanStream,
    /// What Napistu-Torch 0.4.0 computes: no biases, no norm, with the [`Quirk`]s that are asked for.
    NapistuCompat,
}

/// A peculiarity of Napistu-Torch 0.4.0 that its numbers depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quirk {
    /// Attention weights are taken in the order of their numbers as text (0, 1, 10, 11, 2, ...).
    LayerOrder,
    /// Scores are scaled dot products, although its documents speak of softmax.
    RawScores,
    /// Edges of genes to themselves compete in ranks although they are not selected.
    SelfRanks,
}

/// How edges are scored, selected and ranked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RoutingChoice {
    /// Which attention.
    pub mode: RoutingMode,
    /// Rank edges by the magnitude of their score.
    pub absolute: bool,
    /// Let edges of genes to themselves take part.
    pub self_pairs: bool,
    /// Take all edges that tie with the K-th.
    pub all_ties: bool,
    /// In [`RoutingMode::NapistuCompat`]: what of its peculiarities is reproduced.
    pub quirks: Vec<Quirk>,
}

impl RoutingChoice {
    pub(super) fn has(&self, quirk: Quirk) -> bool {
        self.mode == RoutingMode::NapistuCompat && self.quirks.contains(&quirk)
    }

    pub(super) fn scores(&self) -> ScoreOptions {
        match self.mode {
            RoutingMode::MeanStream => ScoreOptions::mean_stream(),
            RoutingMode::NapistuCompat => ScoreOptions::napistu(!self.has(Quirk::RawScores)),
        }
    }

    pub(super) fn ranks(&self, ks: Vec<usize>) -> RoutingOptions {
        RoutingOptions {
            ks,
            absolute: self.absolute,
            self_pairs: self.self_pairs,
            ties: if self.all_ties { Ties::All } else { Ties::First },
            count_self: self.self_pairs || self.has(Quirk::SelfRanks),
        }
    }

    /// In words, for reports.
    pub(super) fn words(&self) -> String {
        let mut out = match self.mode {
            RoutingMode::MeanStream => {
                "attention of the mean stream: biases, norms, softmax per head over the shared genes"
                    .to_string()
            }
            RoutingMode::NapistuCompat if self.has(Quirk::RawScores) => {
                "as Napistu-Torch 0.4.0: scaled dot products without biases, norms and softmax".into()
            }
            RoutingMode::NapistuCompat => {
                "as Napistu-Torch 0.4.0 says: softmax per head, without biases and norms".into()
            }
        };
        for (on, words) in [
            (self.has(Quirk::LayerOrder), "blocks in the order of their numbers as text"),
            (self.has(Quirk::SelfRanks), "edges to self counted in ranks"),
            (self.absolute, "ranked by magnitude"),
            (self.self_pairs, "edges to self selected"),
        ] {
            if on {
                out.push_str("; ");
                out.push_str(words);
            }
        }
        out
    }
}
