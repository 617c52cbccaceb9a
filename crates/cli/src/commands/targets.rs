//! `targets`.

use microtome::{Readout, TargetScore, TargetsOptions};
use microtome_core::{Progress, Result};

use super::{command_line, data_options};
use crate::args::{self, TargetsReadout};
use crate::print;

pub(super) fn targets(a: &args::Targets, progress: &dyn Progress) -> Result<u8> {
    let options = TargetsOptions {
        data: data_options(&a.data),
        control: a.control.clone(),
        model: a.model.clone(),
        network: a.network.clone(),
        readout: match a.readout {
            TargetsReadout::MaskedGene => Readout::MaskedGene,
            TargetsReadout::Embedding => Readout::Embedding,
        },
        within: a.within.clone(),
        cells_per_regulator: a.cells_per_regulator,
        min_cells: a.min_cells,
        min_targets: a.min_targets,
        hidden: a.hidden,
        n_bootstrap: a.bootstrap,
        out: a.out.clone(),
        overwrite: a.overwrite,
        command: command_line(),
    };
    let r = microtome::targets(&options, progress)?;
    if a.json {
        print::json(&r)?;
        return Ok(0);
    }
    print::line(&r.verdict);
    print::line("targets that are not known to be repressed, by the fall of the readout:");
    print::table(&["", "area", "interval"], &rows(&r.activated));
    print::line("all targets, by the size of the change:");
    print::table(&["", "area", "interval"], &rows(&r.all));
    print::line(format!("wrote {}", r.report.display()));
    Ok(0)
}

fn rows(scores: &[TargetScore]) -> Vec<Vec<String>> {
    let row = |s: &TargetScore| {
        vec![
            s.name.clone(),
            s.area.map_or(String::new(), |a| format!("{a:.3}")),
            s.interval.map_or(String::new(), |[a, b]| format!("{a:.3} to {b:.3}")),
        ]
    };
    scores.iter().map(row).collect()
}
