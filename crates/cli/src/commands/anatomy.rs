//! `anatomy`, `anatomy extract`.

use microtome::{
    AnatomyOptions, AnatomyReport, ExtractOptions, Quirk, Rotations, RoutingChoice, RoutingMode,
};
use microtome_core::{Error, Progress, Result};

use super::{command_line, data_options, run_options};
use crate::args::{self, AnatomyCommand, ProcrustesArg, QuirkArg, RoutingArg};
use crate::print;

pub(super) fn anatomy(a: &args::Anatomy, progress: &dyn Progress) -> Result<u8> {
    if let Some(AnatomyCommand::Extract(extract)) = &a.command {
        return self::extract(extract, progress);
    }
    let missing = |what: &str| Error::usage(what.to_owned()).remedy("see microtome anatomy --help");
    let data = a.data.as_ref().ok_or_else(|| missing("no data set is named"))?;
    let genes = a.genes.as_ref().ok_or_else(|| missing("no --model, --category and --out are named"))?;
    run(data, genes, a, progress)
}

fn options(
    data: &args::DataArgs,
    genes: &args::GenesArgs,
    run: args::RunArgs,
    sites: &str,
    with_twins: bool,
) -> ExtractOptions {
    ExtractOptions {
        data: data_options(data),
        models: genes.models.clone(),
        categories: genes.category.clone(),
        max_cells: genes.max_cells_per_category,
        min_cells: genes.min_cells,
        sites: sites.into(),
        with_twins,
        run: run_options(run),
        out: genes.out.clone(),
        resume: genes.resume,
        overwrite: genes.overwrite,
        command: command_line(),
    }
}

fn extract(a: &args::Extract, progress: &dyn Progress) -> Result<u8> {
    let report = microtome::extract(&options(&a.data, &a.genes, a.run, &a.sites, a.twins), progress)?;
    if a.genes.json {
        print::json(&report)?;
        return Ok(0);
    }
    for (name, n) in &report.categories {
        print::line(format!("{name}: {n} cells"));
    }
    print::line(format!(
        "wrote {}: {} of {} genes in {} categories ({:.0} s)",
        report.out.display(),
        report.models.join(", "),
        print::thousands(report.n_genes as u64),
        report.categories.len(),
        report.seconds
    ));
    Ok(0)
}

fn run(
    data: &args::DataArgs,
    genes: &args::GenesArgs,
    anatomy: &args::Anatomy,
    progress: &dyn Progress,
) -> Result<u8> {
    let a = &anatomy.look;
    let options = AnatomyOptions {
        extract: options(data, genes, anatomy.run, "embed,blocks.*.resid_post", true),
        n_genes: a.n_genes as usize,
        ks: a.top.iter().map(|&k| k as usize).collect(),
        networks: a.networks.clone(),
        gene_sets: a.gene_sets.clone(),
        routing: routing(a),
        time: a.time.clone(),
        rotations: match a.procrustes {
            ProcrustesArg::Chain => Rotations::Chain,
            ProcrustesArg::All => Rotations::All,
        },
        exact_attention: a.exact_attention,
    };
    let report = microtome::anatomy(&options, progress)?;
    if genes.json {
        print::json(&report)?;
    } else {
        show(&report);
    }
    Ok(0)
}

fn routing(a: &args::LookArgs) -> RoutingChoice {
    let mode = match a.routing {
        RoutingArg::MeanStream => RoutingMode::MeanStream,
        RoutingArg::NapistuCompat => RoutingMode::NapistuCompat,
    };
    let quirk = |q: &QuirkArg| match q {
        QuirkArg::LayerOrder => Some(Quirk::LayerOrder),
        QuirkArg::RawScores => Some(Quirk::RawScores),
        QuirkArg::SelfRanks => Some(Quirk::SelfRanks),
        QuirkArg::None => None,
    };
    let compat = mode == RoutingMode::NapistuCompat;
    RoutingChoice {
        mode,
        absolute: a.absolute,
        self_pairs: a.self_pairs,
        all_ties: a.all_ties || compat,
        quirks: if compat { a.quirks.iter().filter_map(quirk).collect() } else { vec![] },
    }
}

fn show(report: &AnatomyReport) {
    for sentence in &report.sentences {
        print::line(sentence);
    }
    for note in &report.notes {
        print::line(format!("  note: {note}"));
    }
    print::line(format!("report: {} ({:.0} s in all)", report.report.display(), report.seconds));
}
