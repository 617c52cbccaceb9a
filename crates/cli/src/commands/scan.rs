//! `scan`, `demo`, `report`.

use microtome::{DemoOptions, ScanOptions, ScanReport, TaskOptions};
use microtome_core::{Progress, Result};

use super::{command_line, data_options, pooling};
use crate::args;
use crate::print;

pub(super) fn scan(a: &args::Scan, progress: &dyn Progress) -> Result<u8> {
    let report = microtome::scan(
        &ScanOptions {
            data: data_options(&a.data),
            models: a.models.clone(),
            tasks: a.tasks.clone(),
            task: TaskOptions {
                time: a.time.clone(),
                root: a.root.clone(),
                label: a.label.clone(),
                neighbors: Some(a.neighbors as usize),
                ontology: a.ontology.clone(),
                ontology_key: a.ontology_key.clone(),
                gene_sets: a.gene_sets.clone(),
                gene_groups: a.gene_groups.clone(),
                headline: a.headline.clone(),
            },
            unit: a.unit.clone(),
            n_bootstrap: a.bootstrap as usize,
            pooling: pooling(a.pool),
            out: a.out.clone(),
            resume: a.resume,
            overwrite: a.overwrite,
            command: command_line(),
        },
        progress,
    )?;
    if a.json {
        print::json(&report)?
    } else {
        show(&report)
    }
    Ok(0)
}

pub(super) fn demo(a: &args::Demo, progress: &dyn Progress) -> Result<u8> {
    let options = DemoOptions { out: a.out.clone(), n_cells: a.cells, seed: a.seed, overwrite: a.overwrite };
    show(&microtome::demo(&options, progress)?);
    Ok(0)
}

pub(super) fn report(a: &args::Report) -> Result<u8> {
    let out = microtome::report(&a.dir, a.out.as_deref())?;
    print::line(format!("wrote {}", out.display()));
    Ok(0)
}

fn show(report: &ScanReport) {
    for s in &report.summaries {
        print::line(format!(
            "{} ({}): {}; {}",
            s.model,
            s.task,
            s.depth_verdict.words(),
            s.model_verdict.words()
        ));
        for sentence in &s.sentences {
            print::line(format!("  {sentence}"));
        }
        for warning in &s.warnings {
            print::line(format!("  note: {warning}"));
        }
    }
    print::line(format!("report: {} ({:.0} s in all)", report.report.display(), report.seconds));
}
