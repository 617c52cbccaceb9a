//! What a scan is asked to do.

use std::path::PathBuf;

use microtome_core::Summary;
use microtome_eval::tasks::perturbation::Reference;
use microtome_models::taps::Pooling;
use serde::Serialize;

use crate::budget::RunOptions;
use crate::data::DataOptions;

/// The main job.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// Cells.
    pub data: DataOptions,
    /// Checkpoints.
    pub models: Vec<PathBuf>,
    /// Task ids; each is run on the same representations.
    pub tasks: Vec<String>,
    /// What the tasks need to know.
    pub task: TaskOptions,
    /// What stands beside the models.
    pub compare: CompareOptions,
    /// Column of `obs` with the independent unit.
    pub unit: Option<String>,
    /// Bootstrap replicates.
    pub n_bootstrap: usize,
    /// How tokens become one vector per cell.
    pub pooling: Pooling,
    /// Precision and memory.
    pub run: RunOptions,
    /// Folder for the result.
    pub out: PathBuf,
    /// Go on with an unfinished run.
    pub resume: bool,
    /// Replace an earlier result.
    pub overwrite: bool,
    /// The command line, for the run card and the report.
    pub command: Vec<String>,
}

/// What stands beside the models, besides baselines and an untrained twin, which always do.
#[derive(Clone, Debug, Default)]
pub struct CompareOptions {
    /// `.npy` files with one row per cell of the data file: embeddings that others made.
    pub import: Vec<PathBuf>,
    /// Keys of `obsm` with such embeddings.
    pub import_obsm: Vec<String>,
    /// Untrained twins of every model, each from another seed; at least one is always run.
    pub untrained_seeds: usize,
    /// Run every model once more with the entries of every weight tensor exchanged.
    pub weights_shuffled: bool,
    /// Run every model once more with gene identities exchanged.
    pub gene_permuted: bool,
    /// Repeat the choice of depth under the battery of transforms.
    pub transforms: bool,
}

/// What single tasks need to know; a task that is not asked for does not look at its part.
#[derive(Clone, Debug, Default)]
pub struct TaskOptions {
    /// trajectory: column of `obs` with the time.
    pub time: Option<String>,
    /// trajectory: name of the root cell.
    pub root: Option<String>,
    /// annotation, integration: column of `obs` with the labels. Colours the map in every task.
    pub label: Option<String>,
    /// perturbation: column of `obs` with what was done to each cell.
    pub perturbation: Option<String>,
    /// perturbation: its value that means control; guessed by name when absent.
    pub control: Option<String>,
    /// perturbation: column of `obs` within which perturbed and control cells are compared.
    pub context: Option<String>,
    /// perturbation: where reference effects come from.
    pub reference: Reference,
    /// perturbation: fewest cells of a perturbation.
    pub min_cells: Option<usize>,
    /// trajectory: read Palantir's pseudotime as well.
    pub palantir: bool,
    /// trajectory: column of `obs` with clones.
    pub clone: Option<String>,
    /// All tasks of cells: column of `obs` between whose groups the best depth may shift.
    pub strata: Option<String>,
    /// annotation: ontology (OBO or CELLxGENE's JSON), for the distance of mistakes.
    pub ontology: Option<PathBuf>,
    /// annotation: column of `obs` with term ids.
    pub ontology_key: Option<String>,
    /// gene_function: file with sets of genes.
    pub gene_sets: Option<PathBuf>,
    /// gene_function: file with the group (family, chromosome, ...) of every gene.
    pub gene_groups: Option<PathBuf>,
    /// trajectory: neighbours in the graph, the cell itself included; annotation: nearest cells that vote; 15 when absent.
    pub neighbors: Option<usize>,
    /// Headline metric by id, of the task that has it.
    pub headline: Option<String>,
}

/// Neighbours in the graph unless the user says otherwise, scanpy's default.
pub(super) const DEFAULT_NEIGHBORS: usize = 15;

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct ScanReport {
    /// Folder with the result.
    pub out: PathBuf,
    /// The page to look at.
    pub report: PathBuf,
    /// The answers of all tasks.
    pub summaries: Vec<Summary>,
    /// Wall seconds in all.
    pub seconds: f64,
}
