//! `demo`: the whole main job on simulated cells with the bundled model, offline.

use std::path::PathBuf;

use microtome_core::{Error, Progress, Result};
use microtome_models::taps::Pooling;
use microtome_train::{Preset, SimulateOptions};

use crate::budget::RunOptions;
use crate::data::DataOptions;
use crate::demo_model;
use crate::output;
use crate::scan::{CompareOptions, FINISHED, ScanOptions, ScanReport, TaskOptions, scan};
use crate::simulate::{SimulateRun, simulate};

/// What the demo is asked to do.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Folder for the result.
    pub out: PathBuf,
    /// Simulated cells.
    pub n_cells: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// Replace an earlier result.
    pub overwrite: bool,
}

/// Simulates cells and scans the bundled model, which was trained on other cells of the same tissue, beside its untrained twin.
pub fn demo(options: &DemoOptions, progress: &dyn Progress) -> Result<ScanReport> {
    let out = &options.out;
    output::check_folder(out, FINISHED, false, options.overwrite)?;
    output::make_folder(out, FINISHED, options.overwrite)?;
    let cells = out.join("simulated_cells.h5ad");
    let model = out.join("demo_model");
    if model.exists() {
        if !options.overwrite {
            return Err(Error::output("an unfinished demo was found")
                .in_file(&model)
                .remedy("pass --overwrite"));
        }
        std::fs::remove_dir_all(&model)
            .map_err(|e| Error::output("cannot remove an earlier demo").in_file(&model).caused_by(e))?;
    }
    // As deep as the cells the bundled model learned from.
    let simulated = SimulateOptions {
        n_cells: options.n_cells,
        seed: options.seed,
        ..SimulateOptions::from(Preset::Deep)
    };
    simulate(&SimulateRun { options: simulated, out: cells.clone(), ..SimulateRun::default() }, progress)?;
    let data = DataOptions { path: cells, seed: options.seed, ..DataOptions::default() };
    demo_model::write(&model)?;
    if options.seed != demo_model::TISSUE {
        progress.note(&format!(
            "the bundled model learned from cells of the tissue of seed {}: of seed {} it knows the genes but not their programs",
            demo_model::TISSUE,
            options.seed
        ));
    }
    let command = [
        "microtome",
        "demo",
        "--cells",
        &options.n_cells.to_string(),
        "--seed",
        &options.seed.to_string(),
        "--out",
    ];
    let scan_options = ScanOptions {
        data,
        models: vec![model],
        tasks: vec!["trajectory".into()],
        task: TaskOptions {
            time: Some("pseudotime".into()),
            label: Some("cell_type".into()),
            ..TaskOptions::default()
        },
        compare: CompareOptions::default(),
        unit: Some("donor_id".into()),
        n_bootstrap: 1000,
        pooling: Pooling::Mean,
        run: RunOptions::default(),
        out: out.clone(),
        resume: false,
        overwrite: options.overwrite,
        command: command.into_iter().map(String::from).chain([out.display().to_string()]).collect(),
    };
    scan(&scan_options, progress)
}
