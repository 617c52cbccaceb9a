//! `demo`: the whole main job on simulated cells, offline.

use std::path::PathBuf;

use microtome_core::{Error, Progress, Result};
use microtome_models::families::geneformer::{GeneformerGene, GeneformerShape, Generation, write_untrained};
use microtome_models::taps::Pooling;
use microtome_train::SimulateOptions;

use crate::budget::RunOptions;
use crate::data::{Data, DataOptions};
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

/// A small model: a demo must finish in about a minute on two cores.
const SHAPE: GeneformerShape = GeneformerShape { layers: 6, d: 128, heads: 4, ffn: 256, max_tokens: 512 };

/// Simulates cells, makes a small untrained model over their genes, scans it.
pub fn demo(options: &DemoOptions, progress: &dyn Progress) -> Result<ScanReport> {
    let out = &options.out;
    output::check_folder(out, FINISHED, false, options.overwrite)?;
    output::make_folder(out, FINISHED, options.overwrite)?;
    let cells = out.join("simulated_cells.h5ad");
    let model = out.join("untrained_demo_model");
    if model.exists() {
        if !options.overwrite {
            return Err(Error::output("an unfinished demo was found")
                .in_file(&model)
                .remedy("pass --overwrite"));
        }
        std::fs::remove_dir_all(&model)
            .map_err(|e| Error::output("cannot remove an earlier demo").in_file(&model).caused_by(e))?;
    }
    let simulated =
        SimulateOptions { n_cells: options.n_cells, seed: options.seed, ..SimulateOptions::default() };
    simulate(&SimulateRun { options: simulated, out: cells.clone(), ..SimulateRun::default() }, progress)?;
    let data = DataOptions { path: cells, seed: options.seed, ..DataOptions::default() };
    let genes = vocabulary(&Data::open(&data)?)?;
    write_untrained(Generation::V1, SHAPE, &genes, options.seed, &model)?;
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

/// Every gene of the cells with its non-zero median per 10,000 counts, as the published dictionaries are made.
fn vocabulary(data: &Data) -> Result<Vec<GeneformerGene>> {
    let counts = data.counts(0..data.cells.len())?;
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); counts.n_genes()];
    for cell in 0..counts.n_cells() {
        let total = counts.total(cell);
        let (indices, row) = counts.row(cell);
        for (gene, value) in indices.iter().zip(row).filter(|(_, v)| **v > 0.0) {
            values[*gene as usize].push(f64::from(*value) / total * 1e4);
        }
    }
    let ids = data.genes.ensembl.as_ref().unwrap_or(&data.genes.names);
    let symbols = data.genes.symbols.as_ref();
    let genes = values.into_iter().enumerate().filter(|(_, v)| !v.is_empty()).map(|(i, mut v)| {
        v.sort_by(f64::total_cmp);
        let middle = v.len() / 2;
        let median =
            if v.len().is_multiple_of(2) { f64::midpoint(v[middle - 1], v[middle]) } else { v[middle] };
        GeneformerGene {
            ensembl_id: ids[i].clone(),
            symbol: symbols.map(|s| s[i].clone()).filter(|s| !s.is_empty()),
            median,
        }
    });
    Ok(genes.collect())
}
