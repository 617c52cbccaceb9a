//! `targets`: does a model know whom a regulator regulates?
//!
//! Every regulator of a network is deleted in silico from cells that express it, and genes are ranked by how the model's readout of
//! them changes. Known targets are compared with genes of like expression and like number of regulators; the untrained twin, the
//! correlation of expression in the same cells and random numbers stand beside the model on the same genes.

mod change;
mod expression;
mod network;
mod page;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use microtome_core::{Error, Progress, Result, RunCard};
use microtome_eval::targets::{Comparison, Rankings, Targets, compare};
use microtome_eval::{Groups, Protocol};
use microtome_models::Tokens;
use microtome_numerics::resample::Rng;
use serde::Serialize;
use serde_json::json;

use crate::card::VERSION;
use crate::data::{Data, DataOptions};
use crate::open::OpenModel;
use crate::output::{self, WORK, write_atomic};
use crate::{hash, render, twin};
use change::Plan;
pub use change::Readout;
use expression::Expression;
use network::Network;

/// The file whose presence says that a run is finished.
const FINISHED: &str = "targets.json";
/// Cells that are used at most where nothing else is said.
const MAX_CELLS: usize = 2000;
/// Stream of random numbers that draws the cells of a regulator.
const CELLS: u64 = 0x7467_6373;

/// What to ask of which model.
#[derive(Clone, Debug)]
pub struct TargetsOptions {
    /// Cells; 2,000 of them are drawn where `max_cells` says nothing.
    pub data: DataOptions,
    /// Use only cells with this value in this column of `obs`: the control cells of a screen.
    pub control: Option<(String, String)>,
    /// Checkpoint.
    pub model: PathBuf,
    /// Table of regulator, target and sign; the truth of simulated cells where absent.
    pub network: Option<PathBuf>,
    /// What is looked at.
    pub readout: Readout,
    /// Column of `var` that targets and the genes they are compared with must agree in.
    pub within: Option<String>,
    /// Cells per regulator, at most.
    pub cells_per_regulator: usize,
    /// Fewest cells that must express a regulator.
    pub min_cells: usize,
    /// Fewest known targets of a regulator.
    pub min_targets: usize,
    /// Share of a cell's genes that is hidden.
    pub hidden: f64,
    /// Bootstrap replicates.
    pub n_bootstrap: usize,
    /// Folder for the result.
    pub out: PathBuf,
    /// Replace an earlier result.
    pub overwrite: bool,
    /// The command as typed.
    pub command: Vec<String>,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct TargetsReport {
    /// Folder.
    pub out: PathBuf,
    /// Page.
    pub report: PathBuf,
    /// The answer in one sentence.
    pub verdict: String,
    /// Regulators that were scored.
    pub n_regulators: usize,
    /// Known targets of them, one for every pair.
    pub n_targets: usize,
    /// Targets that the regulator is not known to repress, ranked by how much the readout falls: the headline.
    pub activated: Vec<TargetScore>,
    /// All targets, ranked by the size of the change.
    pub all: Vec<TargetScore>,
    /// What to keep in mind.
    pub notes: Vec<String>,
}

/// One method.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetScore {
    /// Name.
    pub name: String,
    /// Mean over regulators of the area under the ROC curve among matched genes.
    pub area: Option<f64>,
    /// Its interval over regulators.
    pub interval: Option<[f64; 2]>,
    /// Area of the model minus this one.
    pub ahead: Option<f64>,
    /// Its interval, paired over regulators.
    pub ahead_interval: Option<[f64; 2]>,
}

/// Deletes, ranks, compares.
///
/// # Errors
/// When data, network or model do not allow it, or the user stops.
pub fn targets(options: &TargetsOptions, progress: &dyn Progress) -> Result<TargetsReport> {
    check(options)?;
    let out = &options.out;
    output::check_folder(out, FINISHED, false, options.overwrite)?;
    let opened = OpenModel::open(&options.model)?;
    let mut data = Data::open(&options.data)?;
    if let Some((column, value)) = &options.control {
        keep_control(&mut data, column, value)?;
    }
    let seed = options.data.seed;
    data.keep_at_most(options.data.max_cells.unwrap_or(MAX_CELLS), seed);
    data.add_contexts(opened.model.as_ref())?;
    let network = match &options.network {
        Some(path) => Network::read(path, &data.genes)?,
        None => Network::of_simulation(&data)?,
    };
    let genes = opened.model.match_genes(&data.genes).map_err(|e| e.in_file(&options.data.path))?;
    let (counts, tokens) = data.tokenize(opened.model.as_ref(), &genes, 0..data.cells.len())?;
    let within = options.within.as_ref().map(|name| strata_of(&data, name)).transpose()?;
    output::make_folder(out, FINISHED, options.overwrite)?;
    let work = out.join(WORK);
    std::fs::create_dir_all(&work)
        .map_err(|e| Error::output("cannot make the work folder").in_file(&work).caused_by(e))?;
    let untrained = work.join("twin");
    twin::ensure(&opened, seed, &untrained)?;
    let untrained = OpenModel::open(&untrained)?;

    let known: Vec<bool> = genes.token_of_gene.iter().map(Option::is_some).collect();
    let chosen = choose(options, &network, &genes.token_of_gene, &tokens)?;
    let rows: Vec<usize> = chosen.iter().map(|c| c.0).collect();
    let plan = Plan {
        tokens: &tokens,
        token_of_gene: &genes.token_of_gene,
        regulators: chosen.into_iter().map(|(_, token, cells)| (token, cells)).collect(),
        hidden: options.hidden,
        seed,
    };
    let expression = Expression::new(&counts)?;
    let strata = expression.strata(&known, &network, within.as_deref());
    let twin_name = twin::name_of(&opened.name);
    let named = |name: &str, scores| Rankings { name: name.into(), scores };
    let mut rankings = vec![
        named(&opened.name, plan.changes(opened.model.as_ref(), options.readout, &opened.name, progress)?),
        named(&twin_name, plan.changes(untrained.model.as_ref(), options.readout, &twin_name, progress)?),
        named("co-expression", expression.correlations(&rows)?),
        named("random numbers", expression::random(rows.len(), known.len(), seed)),
    ];
    drop(untrained);
    let protocol = Protocol { seed, n_bootstrap: options.n_bootstrap, ..Protocol::default() };
    let truth = truth(&network, &rows, &known, &data, strata, false);
    let activated = compare(&rankings, &truth, options.min_targets, &protocol, progress)?;
    table(&out.join("targets.csv"), &rankings, &truth, &rows, &network, &data)?;
    let sizes = rankings.iter_mut().flat_map(|r| r.scores.iter_mut().flatten());
    sizes.for_each(|s| *s = s.abs());
    let truth =
        Targets { is_target: self::truth(&network, &rows, &known, &data, vec![], true).is_target, ..truth };
    let all = compare(&rankings, &truth, options.min_targets, &protocol, progress)?;
    let mut notes = data.notes.clone();
    notes.push(network.note.clone());
    let inputs: Vec<_> =
        hash::inputs("data", &options.data.path)?.into_iter().chain(opened.inputs.clone()).collect();
    let network_file = options.network.as_ref().map(|p| hash::input_file("network", p)).transpose()?;
    let card = RunCard {
        microtome: VERSION.into(),
        command: options.command.clone(),
        inputs: inputs.into_iter().chain(network_file).collect(),
        seed,
        precision: "f32".into(),
        choices: choices(options),
    };
    let report = TargetsReport {
        out: out.clone(),
        report: out.join("report.html"),
        verdict: page::verdict(&activated, &opened.name),
        n_regulators: activated.regulators.len(),
        n_targets: activated.n_targets.iter().sum(),
        activated: scores(&activated),
        all: scores(&all),
        notes,
    };
    render::write(&page::build(&report, &activated, &truth, card), &report.report)?;
    let text = serde_json::to_string_pretty(&report)
        .map_err(|e| Error::output("cannot write the result as JSON").caused_by(e))?;
    std::fs::remove_dir_all(&work)
        .map_err(|e| Error::output("cannot remove the work folder").in_file(&work).caused_by(e))?;
    write_atomic(&out.join(FINISHED), format!("{text}\n").as_bytes())?;
    Ok(report)
}

fn check(o: &TargetsOptions) -> Result<()> {
    let wrong = [
        ("--hidden", o.hidden > 0.0 && o.hidden < 1.0, "above 0 and below 1"),
        ("--cells-per-regulator", o.cells_per_regulator > 0, "at least 1"),
        ("--min-targets", o.min_targets > 0, "at least 1"),
    ];
    match wrong.into_iter().find(|(_, fine, _)| !fine) {
        Some((name, _, expected)) => {
            Err(Error::usage("a number is out of range").at_key(name).expected(expected))
        }
        None => Ok(()),
    }
}

fn keep_control(data: &mut Data, column: &str, value: &str) -> Result<()> {
    let all = data.dataset.obs_column(column)?;
    data.retain(|row| all.text(row).as_deref() == Some(value));
    if data.cells.is_empty() {
        return Err(Error::usage("no cell has this value")
            .in_file(data.dataset.path())
            .at_key(format!("obs[\"{column}\"]"))
            .found(value.to_string()));
    }
    Ok(())
}

/// Group of every gene in a column of `var`; genes without a value are a group of their own.
fn strata_of(data: &Data, name: &str) -> Result<Vec<u32>> {
    let var = data.dataset.var(&data.slot)?;
    let column = var.column("var", name).map_err(|e| e.in_file(data.dataset.path()))?;
    let groups = Groups::from_column(name, column);
    let missing = groups.names.len() as u32;
    Ok(groups.codes.iter().map(|&c| if c == Groups::MISSING { missing } else { c }).collect())
}

/// Row, token and drawn cells of every regulator that enough cells express.
fn choose(
    options: &TargetsOptions,
    network: &Network,
    token_of_gene: &[Option<u32>],
    tokens: &Tokens,
) -> Result<Vec<(usize, u32, Vec<usize>)>> {
    let mut out = vec![];
    for &row in network.targets.keys() {
        let Some(token) = token_of_gene[row] else { continue };
        let mut cells: Vec<usize> =
            (0..tokens.n_cells()).filter(|&c| tokens.cell(c).0.contains(&token)).collect();
        if cells.len() < options.min_cells {
            continue;
        }
        if cells.len() > options.cells_per_regulator {
            let mut drawn = Rng::stream(options.data.seed, CELLS ^ row as u64)
                .choose(cells.len(), options.cells_per_regulator);
            drawn.sort_unstable();
            cells = drawn.into_iter().map(|i| cells[i]).collect();
        }
        out.push((row, token, cells));
    }
    if out.is_empty() {
        return Err(Error::mismatch("no regulator of the network is among the tokens of enough cells")
            .expected(format!("{} cells for one of {} regulators", options.min_cells, network.targets.len()))
            .remedy("use more cells, or fewer --min-cells"));
    }
    Ok(out)
}

/// `repressed`: whether genes that are known to be repressed count as targets; else they take no part.
fn truth(
    network: &Network,
    rows: &[usize],
    known: &[bool],
    data: &Data,
    strata: Vec<u32>,
    repressed: bool,
) -> Targets {
    let name = |row: usize| {
        let symbol = data.genes.symbols.as_ref().map(|s| s[row].clone()).filter(|s| !s.is_empty());
        symbol.unwrap_or_else(|| data.genes.names[row].clone())
    };
    let of = |&row: &usize| {
        let own = &network.targets[&row];
        let is = |gene: usize| match own.get(&gene) {
            _ if gene == row || !known[gene] => None,
            Some(-1) if !repressed => None,
            Some(_) => Some(true),
            None => Some(false),
        };
        (0..known.len()).map(is).collect()
    };
    Targets {
        regulators: rows.iter().map(|&r| name(r)).collect(),
        is_target: rows.iter().map(of).collect(),
        strata,
    }
}

fn scores(c: &Comparison) -> Vec<TargetScore> {
    let ends = |i: microtome_eval::protocol::interval::Interval| [i.low, i.high];
    c.found
        .iter()
        .map(|f| TargetScore {
            name: f.name.clone(),
            area: f.mean,
            interval: f.interval.map(ends),
            ahead: f.ahead,
            ahead_interval: f.ahead_interval.map(ends),
        })
        .collect()
}

/// One row per regulator and gene: what each method says, and what the network knows.
fn table(
    path: &std::path::Path,
    rankings: &[Rankings],
    truth: &Targets,
    rows: &[usize],
    network: &Network,
    data: &Data,
) -> Result<()> {
    use std::fmt::Write;
    let quoted = crate::perturb::quoted;
    let mut text = String::from("regulator,gene,known_target,stratum");
    rankings.iter().for_each(|r| text.push_str(&format!(",{}", quoted(&r.name))));
    text.push('\n');
    for (r, &row) in rows.iter().enumerate() {
        for (gene, is) in truth.is_target[r].iter().enumerate() {
            let sign = network.targets[&row].get(&gene);
            if is.is_none() && sign.is_none() || gene == row {
                continue;
            }
            let known = match sign {
                Some(1) => "activated",
                Some(-1) => "repressed",
                Some(_) => "yes",
                None => "",
            };
            let (regulator, name) = (quoted(&truth.regulators[r]), quoted(&data.genes.names[gene]));
            let _ = write!(text, "{regulator},{name},{known},{}", truth.strata[gene]);
            for k in rankings {
                let score = k.scores[r][gene];
                let _ = if score.is_nan() { write!(text, ",") } else { write!(text, ",{score}") };
            }
            text.push('\n');
        }
    }
    write_atomic(path, text.as_bytes())
}

fn choices(o: &TargetsOptions) -> serde_json::Map<String, serde_json::Value> {
    let all = json!({
        "readout": o.readout, "control": o.control, "within": o.within, "hidden": o.hidden, "min_cells": o.min_cells,
        "cells_per_regulator": o.cells_per_regulator, "min_targets": o.min_targets,
        "network": o.network.as_ref().map_or("truth of the simulation".into(), |p| p.display().to_string()),
    });
    all.as_object().cloned().unwrap_or_default()
}
