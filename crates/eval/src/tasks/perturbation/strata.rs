//! Does the best depth shift between groups of cells? Effects and references are made anew from the cells of each group; what is
//! compared are perturbations that every group has enough cells of.

use microtome_core::Result;

use super::design::Design;
use super::readings::Reading;
use super::reference::Expression;
use super::PerturbationOptions;
use super::run::Run;
use super::truth::Truth;
use crate::Groups;
use crate::assess::{Assessment, Interactions, Notes, attempt};
use crate::metrics::Metric;
use crate::protocol::Units;

/// What each stratum needs.
const NEEDS: &str = "groups of cells with control cells, and the same four perturbations or more in each";

/// Options that see the cells of one group, and of them the perturbations in `kept` (all where there is none).
fn within<'a>(o: &PerturbationOptions<'a>, strata: &Groups, code: usize, kept: Option<&[usize]>) -> PerturbationOptions<'a> {
    let mut own = o.clone();
    let control = own.perturbation.names.iter().position(|n| *n == own.control);
    for (i, p) in own.perturbation.codes.iter_mut().enumerate() {
        let wanted = kept.is_none_or(|kept| Some(*p as usize) == control || kept.contains(&(*p as usize)));
        if strata.codes[i] as usize != code || !wanted {
            *p = Groups::MISSING;
        }
    }
    own
}

/// A design of one group, or nothing where the group does not allow one.
fn design(o: &PerturbationOptions<'_>, seed: u64) -> Result<Option<Design>> {
    Ok(attempt(Design::new(o, seed, &mut Notes::default()))?.ok())
}

/// Compares groups. Units are the perturbations that all groups share.
///
/// # Errors
/// When the user stops.
pub(super) fn interactions(
    a: &Assessment<'_>,
    o: &PerturbationOptions<'_>,
    strata: &Groups,
    metric: &'static Metric,
) -> Result<Interactions> {
    let seed = a.protocol.seed;
    let mut found = vec![];
    for code in 0..strata.names.len() {
        if let Some(d) = design(&within(o, strata, code, None), seed)? {
            found.push((code, d.codes));
        }
    }
    let shared: Vec<usize> = match found.split_first() {
        None => vec![],
        Some(((_, first), others)) => {
            first.iter().copied().filter(|p| others.iter().all(|(_, codes)| codes.contains(p))).collect()
        }
    };
    let units = Groups::new(
        o.perturbation.name.clone(),
        shared.iter().map(|&p| o.perturbation.names[p].clone()).collect(),
        (0..shared.len() as u32).collect(),
    )?;
    let n = shared.len();
    let cells = crate::Cells { noun: "perturbation", ..crate::Cells::new(a.cells.dataset.clone(), n) }.with_unit(units)?;
    let strength = vec![0.0; n];
    let mut sources = vec![];
    for &(code, _) in found.iter().filter(|_| found.len() > 1 && n > 3) {
        let own = within(o, strata, code, Some(&shared));
        let Some(d) = design(&own, seed)?.filter(|d| d.codes == shared) else { continue };
        sources.push((strata.names[code].clone(), own, d));
    }
    let all: Vec<usize> = (0..n).collect();
    let units = if n == 0 { Units { name: o.perturbation.name.clone(), names: vec![], members: vec![] } } else { Units::new(&cells, &all)? };
    let own = Assessment {
        task: a.task,
        cells: &cells,
        representations: a.representations,
        units: &units,
        truth_name: a.truth_name,
        truth: &strength,
        protocol: a.protocol,
        progress: a.progress,
    };
    let mut scored = vec![];
    for (name, options, design) in &sources {
        let expression = Expression::new(options, design, seed)?;
        let truth = Truth::new(options, design, &expression, seed, a.progress)?;
        let readings: Vec<Result<Reading, String>> = own.each(&format!("effects in {name}"), |r| {
            let x = &own.representations[r];
            match x.defect() {
                Some(reason) => Ok(Err(reason)),
                None => attempt(super::readings::read(&x.matrix, design, seed)),
            }
        })?;
        let run = Run { assessment: &own, options, design, expression: &expression, truth: &truth };
        scored.push((name.clone(), run.scored(metric, &readings)));
    }
    own.interactions(&strata.name, &scored, NEEDS)
}
