//! Which labels and cells are scored.

use microtome_core::{Error, Result};

use super::AnnotationOptions;
use crate::assess::Notes;
use crate::{Cells, Groups, OutcomeTable};

/// Fewest cells that are worth scoring.
const MIN_CELLS: usize = 20;

/// The scored cells and their classes.
pub(super) struct Classes {
    /// Rows of the data set that are scored.
    pub(super) scored: Vec<usize>,
    /// Class of every scored cell.
    pub(super) truth: Vec<f64>,
    /// Name of every class.
    pub(super) names: Vec<String>,
    /// The label's own code of every class.
    pub(super) label_of_class: Vec<u32>,
    /// What was left out.
    pub(super) left_out: Option<OutcomeTable>,
}

/// Chooses the labels: enough cells, in at least two units where a unit is named. Errors when fewer than two labels or 20
/// cells remain.
pub(super) fn classes(cells: &Cells, options: &AnnotationOptions, notes: &mut Notes) -> Result<Classes> {
    let labels = &options.labels;
    let unit_of = |i: usize| cells.unit.as_ref().map(|u| u.codes[i]);
    let known = |i: &usize| labels.codes[*i] != Groups::MISSING && unit_of(*i) != Some(Groups::MISSING);
    let all: Vec<usize> = (0..cells.n).filter(known).collect();
    if all.len() < cells.n {
        let unit = cells.unit.as_ref().map_or(String::new(), |u| format!(" or no {}", u.name));
        notes.warn(format!(
            "{} of {} cells have no {}{unit} and are not scored",
            cells.n - all.len(),
            cells.n,
            labels.name
        ));
    }
    let mut table = OutcomeTable::new(
        "Labels left out",
        "A label that no second unit has cannot be learnt from other units; one of few cells has no stable score.",
        &["label", "cells", "units", "reason"],
    );
    let mut class_of_label = vec![None; labels.names.len()];
    let (mut names, mut label_of_class) = (vec![], vec![]);
    for (label, name) in labels.names.iter().enumerate() {
        let own: Vec<usize> = all.iter().copied().filter(|&i| labels.codes[i] as usize == label).collect();
        let mut units: Vec<u32> = own.iter().filter_map(|&i| unit_of(i)).collect();
        units.sort_unstable();
        units.dedup();
        let reason = if own.is_empty() {
            continue;
        } else if let Some(unit) = cells.unit.as_ref().filter(|_| units.len() < 2) {
            Some(format!("in one {} only", unit.name))
        } else if own.len() < options.min_cells {
            Some(format!("fewer than {} cells", options.min_cells))
        } else {
            None
        };
        match reason {
            Some(reason) => {
                let n_units = if cells.unit.is_some() { units.len().to_string() } else { String::new() };
                table.rows.push(vec![name.clone(), own.len().to_string(), n_units, reason]);
            }
            None => {
                class_of_label[label] = Some(names.len() as f64);
                names.push(name.clone());
                label_of_class.push(label as u32);
            }
        }
    }
    let class = |i: usize| class_of_label[labels.codes[i] as usize];
    let scored: Vec<usize> = all.iter().copied().filter(|&i| class(i).is_some()).collect();
    if !table.rows.is_empty() {
        notes.warn(format!(
            "{} of {} labels ({} cells) are left out, see the table \"{}\"",
            table.rows.len(),
            table.rows.len() + names.len(),
            all.len() - scored.len(),
            table.title
        ));
    }
    if names.len() < 2 || scored.len() < MIN_CELLS {
        return Err(not_enough(cells, options, &names, scored.len()));
    }
    Ok(Classes {
        truth: scored.iter().filter_map(|&i| class(i)).collect(),
        scored,
        names,
        label_of_class,
        left_out: (!table.rows.is_empty()).then_some(table),
    })
}

fn not_enough(cells: &Cells, options: &AnnotationOptions, names: &[String], n: usize) -> Error {
    let wanted = match &cells.unit {
        Some(unit) => format!(
            "at least {MIN_CELLS} cells and two labels, each of {} cells or more and in two {} or more",
            options.min_cells, unit.name
        ),
        None => format!("at least {MIN_CELLS} cells and two labels of {} cells or more", options.min_cells),
    };
    let remedy = match &cells.unit {
        Some(unit) => format!(
            "name another label or unit, or leave out the unit ({}): the result is then optimistic and says so",
            unit.name
        ),
        None => "name another label, or give more cells".into(),
    };
    Error::mismatch("labels cannot be scored on these cells")
        .at_key(options.labels.name.clone())
        .expected(wanted)
        .found(format!("{} such labels with {n} cells", names.len()))
        .remedy(remedy)
}
