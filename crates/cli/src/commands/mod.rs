//! What each command does: typed arguments in, facade called, result printed.

mod anatomy;
mod checkpoint;
mod data;
mod finetune;
mod metrics;
mod parity;
mod pretrain;
mod scan;
mod store;
mod study;
mod targets;
mod train;

use microtome::{DataOptions, PrepareOptions, RunOptions};
use microtome_core::{Progress, Result};

use crate::args::{Command, DataArgs, Pool, Precision, RunArgs};

/// Runs a command; the number is the exit code.
pub(crate) fn run(command: Command, progress: &dyn Progress) -> Result<u8> {
    match command {
        Command::Models(a) => checkpoint::models(&a),
        Command::Metrics(a) => metrics::metrics(&a),
        Command::Inspect(a) => checkpoint::inspect(&a),
        Command::Init(a) => checkpoint::init(&a),
        Command::Doctor(a) => data::doctor(&a, progress),
        Command::Tokenize(a) => data::tokenize(&a, progress),
        Command::Embed(a) => data::embed(&a, progress),
        Command::Perturb(a) => data::perturb(&a, progress),
        Command::Targets(a) => targets::targets(&a, progress),
        Command::Attention(a) => data::attention(&a, progress),
        Command::Anatomy(a) => anatomy::anatomy(&a, progress),
        Command::Store(a) => store::store(&a),
        Command::Simulate(a) => train::simulate(&a, progress),
        Command::Pretrain(a) => pretrain::pretrain(&a, progress),
        Command::Finetune(a) => finetune::finetune(&a, progress),
        Command::Merge(a) => finetune::merge(&a),
        Command::Parity(a) => parity::parity(&a, progress),
        Command::Scan(a) => scan::scan(&a, progress),
        Command::Study(a) => study::study(&a, progress),
        Command::Demo(a) => scan::demo(&a, progress),
        Command::Report(a) => scan::report(&a),
    }
}

fn data_options(a: &DataArgs) -> DataOptions {
    DataOptions {
        path: a.data.clone(),
        slot: a.slot.clone(),
        ensembl_column: a.ensembl_column.clone(),
        symbol_column: a.symbol_column.clone(),
        log_normalised: a.log_normalised,
        max_cells: a.max_cells,
        seed: a.seed,
        prepare: PrepareOptions {
            as_published: a.as_published,
            recipe: a.recipe.clone(),
            batch_key: a.batch_key.clone(),
            drug_key: a.drug_key.clone(),
            assay_key: a.assay_key.clone(),
            contexts: a.contexts.iter().cloned().collect(),
        },
    }
}

fn precision(p: Precision) -> microtome::Precision {
    match p {
        Precision::F32 => microtome::Precision::F32,
        Precision::Bf16x3 => microtome::Precision::Bf16x3,
        Precision::Bf16 => microtome::Precision::Bf16,
    }
}

fn run_options(a: RunArgs) -> RunOptions {
    RunOptions { precision: precision(a.precision), memory: a.memory }
}

fn pooling(p: Pool) -> microtome::Pooling {
    match p {
        Pool::Mean => microtome::Pooling::Mean,
        Pool::Published => microtome::Pooling::Published,
    }
}

/// The command as it was typed, with the program's own name instead of a path, and without `--resume`: a run that was continued gives
/// the same files as one that was not.
fn command_line() -> Vec<String> {
    std::iter::once("microtome".to_string())
        .chain(std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()))
        .filter(|a| a != "--resume")
        .collect()
}
