//! `simulate`.

use microtome::{
    Clones, Drugs, Mouse, Preset, Screen, SimulateOptions, SimulateReport, SimulateRun, Topology, TypeTree,
};
use microtome_core::{Progress, Result};

use super::command_line;
use crate::args;
use crate::print;

pub(super) fn simulate(a: &args::Simulate, progress: &dyn Progress) -> Result<u8> {
    let run = SimulateRun {
        options: options(a)?,
        out: a.out.clone(),
        skip: a.skip,
        calibrate: a.calibrate.clone(),
        most_genes: a.genes,
        report: a.report.clone(),
        mouse: a.mouse.clone().map(|path| {
            let mouse = Mouse::default();
            (path, Mouse { conserved_share: a.conserved.unwrap_or(mouse.conserved_share), ..mouse })
        }),
        command: command_line(),
    };
    let r = microtome::simulate(&run, progress)?;
    if a.json {
        print::json(&r)?;
        return Ok(0);
    }
    wrote(&r);
    if let Some(mouse) = &r.mouse {
        wrote(mouse);
    }
    if let Some(report) = &r.report {
        print::line(format!("wrote {}", report.display()));
    }
    r.findings.iter().for_each(print::line);
    Ok(0)
}

fn wrote(r: &SimulateReport) {
    print::line(format!(
        "wrote {}: {} cells, {} genes",
        r.out.display(),
        print::thousands(r.n_cells as u64),
        print::thousands(r.n_genes as u64)
    ));
    if let Some(ontology) = &r.ontology {
        print::line(format!("wrote {}: ontology of the cell types", ontology.display()));
    }
}

fn options(a: &args::Simulate) -> Result<SimulateOptions> {
    let base: SimulateOptions = a.preset.parse::<Preset>()?.into();
    let screen = a.knock_downs.map(|n_targets| {
        let s = Screen::default();
        // Without --pairs: as many as there are by default, as far as the targets allow it.
        let n_pairs = a.pairs.unwrap_or(s.n_pairs.min(n_targets.saturating_mul(n_targets - 1) / 2));
        Screen { n_targets, n_pairs, efficiency: a.efficiency.unwrap_or(s.efficiency), ..s }
    });
    let drugs = a.drugs.map(|n_drugs| {
        let d = Drugs::default();
        let doses = if a.doses.is_empty() { d.doses.clone() } else { a.doses.clone() };
        Drugs { n_drugs, doses, ..d }
    });
    Ok(SimulateOptions {
        n_cells: a.cells,
        n_genes: a.genes.unwrap_or(base.n_genes),
        n_branches: a.branches,
        n_donors: a.donors,
        n_batches: a.batches,
        seed: a.seed,
        topology: match a.topology {
            args::Topology::Star => Topology::Star,
            args::Topology::Bifurcating => Topology::Bifurcating,
        },
        type_tree: (!a.types.is_empty())
            .then(|| TypeTree { children: a.types.clone(), ..TypeTree::default() }),
        screen,
        drugs,
        clones: a.clones.map(|n_clones| Clones { n_clones, ..Clones::default() }),
        ..base
    })
}
