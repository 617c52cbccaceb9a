//! `scan`, `demo`, `report`.

use microtome::{
    CompareOptions, DemoOptions, FromTable, Reference, ScanOptions, ScanReport, TableOptions, TaskOptions,
};
use microtome_core::{Progress, Result};

use super::{command_line, data_options, pooling, run_options};
use crate::args::{self, ReferenceDe};
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
                perturbation: a.perturbation.clone(),
                control: a.control.clone(),
                context: a.context.clone(),
                reference: match a.reference_de {
                    ReferenceDe::Pseudobulk => Reference::PseudobulkNb,
                    ReferenceDe::MeanDifference => Reference::MeanDifference,
                    ReferenceDe::MeanDifferenceTop500 => Reference::MeanDifferenceTop500,
                },
                min_cells: a.min_cells.map(|n| n as usize),
                palantir: a.palantir,
                clone: a.clone.clone(),
                strata: a.strata.clone(),
            },
            compare: CompareOptions {
                import: a.import.clone(),
                import_obsm: a.import_obsm.clone(),
                untrained_seeds: a.untrained_seeds as usize,
                weights_shuffled: a.weights_shuffled,
                gene_permuted: a.gene_permuted,
                transforms: a.transforms,
            },
            unit: a.unit.clone(),
            n_bootstrap: a.bootstrap as usize,
            pooling: pooling(a.pool),
            run: run_options(a.run),
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
    let (Some(path), Some(out)) = (&a.from_table, a.out.clone().or_else(|| beside(a.from_table.as_deref())))
    else {
        // The parser asks for one of the two.
        let dir = a.dir.as_deref().unwrap_or_else(|| std::path::Path::new("."));
        print::line(format!("wrote {}", microtome::report(dir, a.out.as_deref())?.display()));
        return Ok(0);
    };
    let assumptions = TableOptions { correlation: a.correlation, ..TableOptions::default() };
    let from = FromTable { path: path.clone(), sd: a.sd, assumptions, out, command: command_line() };
    let summaries = microtome::report_table(&from)?;
    if a.json {
        print::json(&summaries)?;
        return Ok(0);
    }
    for s in &summaries {
        print::line(format!("{} {} {}: {}", s.dataset, s.model, s.metric, s.depth_verdict.words()));
        s.sentences.iter().for_each(|sentence| print::line(format!("  {sentence}")));
    }
    print::line(format!("wrote {}", from.out.display()));
    Ok(0)
}

/// The table's name with the ending of a page.
fn beside(table: Option<&std::path::Path>) -> Option<std::path::PathBuf> {
    table.map(|t| t.with_extension("html"))
}

fn show(report: &ScanReport) {
    for s in &report.summaries {
        let (depth, model) = (s.depth_verdict.words(), s.model_verdict.words());
        let verdict = if depth == model { model.to_string() } else { format!("{depth}; {model}") };
        print::line(format!("{} ({}): {verdict}", s.model, s.task));
        for sentence in &s.sentences {
            print::line(format!("  {sentence}"));
        }
        for warning in &s.warnings {
            print::line(format!("  note: {warning}"));
        }
    }
    print::line(format!("report: {} ({:.0} s in all)", report.report.display(), report.seconds));
}
