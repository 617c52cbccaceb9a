//! `simulate`: cells with known truth, streamed to a file.

mod compare;
mod real;

use std::path::{Path, PathBuf};

use microtome_core::{Error, Progress, Result};
use microtome_h5ad::Writer;
use microtome_train::{Mouse, SimulateOptions, Simulator, Statistics};
use serde::Serialize;

use crate::card::VERSION;
use crate::{output, render};
use real::Real;

/// What to simulate, and what to write beside the cells.
#[derive(Clone, Debug, Default)]
pub struct SimulateRun {
    /// The cells.
    pub options: SimulateOptions,
    /// Output file.
    pub out: PathBuf,
    /// First cells that are not written: another part of the tissue than a file of its first cells.
    pub skip: usize,
    /// File whose genes, means, dispersions and depths the cells take.
    pub calibrate: Option<PathBuf>,
    /// Of a file to calibrate on, use only as many genes, those of highest mean.
    pub most_genes: Option<usize>,
    /// Page that shows the cells beside those of the file.
    pub report: Option<PathBuf>,
    /// Second output file: the same tissue in mouse.
    pub mouse: Option<(PathBuf, Mouse)>,
    /// The command as it was typed.
    pub command: Vec<String>,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct SimulateReport {
    /// Output file.
    pub out: PathBuf,
    /// Cells.
    pub n_cells: usize,
    /// Genes.
    pub n_genes: usize,
    /// Stored counts.
    pub n_values: u64,
    /// Ontology of the cell types, for `scan --ontology`.
    pub ontology: Option<PathBuf>,
    /// Page beside a real file.
    pub report: Option<PathBuf>,
    /// The cells of the other species.
    pub mouse: Option<Box<SimulateReport>>,
    /// How the simulated cells compare with the real ones, in sentences.
    pub findings: Vec<String>,
}

const CHUNK: usize = 2048;

/// Writes simulated cells; the truth goes to `obs`, `var` and `uns["simulation"]`.
pub fn simulate(run: &SimulateRun, progress: &dyn Progress) -> Result<SimulateReport> {
    if run.report.is_some() && run.calibrate.is_none() {
        return Err(Error::usage("there is nothing to show the simulated cells beside")
            .at_key("--report")
            .remedy("name a real data set with --calibrate"));
    }
    let options = &run.options;
    for path in [Some(&run.out), run.report.as_ref(), run.mouse.as_ref().map(|m| &m.0)].into_iter().flatten()
    {
        output::check_writable(path)?;
    }
    let real = run.calibrate.as_deref().map(|path| Real::read(path, run.most_genes, progress)).transpose()?;
    let simulator = match &real {
        Some(real) => {
            Simulator::calibrated(options, real.calibration.clone()).map_err(|e| e.in_file(&real.path))?
        }
        None => Simulator::new(options)?,
    };
    // Refused before the first file is written.
    let mouse = match &run.mouse {
        Some((path, mouse)) => {
            let options = SimulateOptions { mouse: Some(mouse.clone()), ..options.clone() };
            Some((path, Simulator::new(&options)?))
        }
        None => None,
    };
    if mouse.is_some() && real.is_some() {
        return Err(Error::usage("a calibrated simulation has the species of its file")
            .at_key("--mouse")
            .remedy("leave out either --mouse or --calibrate"));
    }
    if run.skip >= options.n_cells {
        return Err(Error::usage("no cell is left to be written")
            .at_key("--skip")
            .expected(format!("below the number of cells, {}", options.n_cells))
            .found(run.skip.to_string()));
    }
    let mut seen = run.report.is_some().then(|| Statistics::new(simulator.n_genes()));
    let mut report = write(&simulator, &run.out, run.skip, seen.as_mut(), progress)?;
    if let Some((path, simulator)) = &mouse {
        report.mouse = Some(Box::new(write(simulator, path, run.skip, None, progress)?));
    }
    if let (Some(seen), Some(real), Some(path)) = (seen, &real, &run.report) {
        let page = compare::page(real, &seen.describe()?, run)?;
        report.findings = page.findings.clone();
        render::write(&page, path)?;
        report.report = Some(path.clone());
    }
    Ok(report)
}

/// Streams the cells of a simulator to a file.
fn write(
    simulator: &Simulator,
    out: &Path,
    skip: usize,
    mut seen: Option<&mut Statistics>,
    progress: &dyn Progress,
) -> Result<SimulateReport> {
    let end = simulator.options().n_cells;
    let n_cells = end - skip;
    let obs = simulator.obs(skip..end)?;
    let mut writer = Writer::create(out, &obs, &simulator.var())?;
    drop(obs);
    writer.begin_x(simulator.n_genes())?;
    progress.begin("simulating", n_cells as u64, "cells");
    let mut n_values = 0;
    for start in (skip..end).step_by(CHUNK) {
        progress.check()?;
        let cells = simulator.chunk(start..(start + CHUNK).min(end))?;
        n_values += cells.counts.nnz() as u64;
        writer.append_x(&cells.counts)?;
        if let Some(seen) = &mut seen {
            seen.add(&cells.counts);
        }
        progress.advance(cells.counts.n_cells() as u64);
    }
    progress.end();
    writer.set_uns(
        &serde_json::json!({ "simulation": simulator.truth(), "microtome": { "microtome": VERSION } }),
    )?;
    writer.finish()?;
    let ontology = simulator
        .obo()
        .map(|obo| {
            let path = out.with_extension("obo");
            output::write_atomic(&path, obo.as_bytes()).map(|()| path)
        })
        .transpose()?;
    Ok(SimulateReport {
        out: out.to_path_buf(),
        n_cells,
        n_genes: simulator.n_genes(),
        n_values,
        ontology,
        report: None,
        mouse: None,
        findings: vec![],
    })
}
