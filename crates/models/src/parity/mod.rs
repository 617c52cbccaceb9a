//! Parity kits: a checkpoint, cells, and what the authors' own code made of them, compared tensor by tensor.

mod actual;
mod compare;
mod kit;
mod manifest;
mod perturbation;
mod run;
mod variants;

use std::path::Path;

use microtome_core::{Counts, Error, GeneTable, Result, Site, Table};
use microtome_kernels::{Precision, with_precision};
use microtome_weights::Checkpoint;
use serde::Serialize;

pub use kit::{KitCase, KitPlan, padded_per_token};

use crate::model::{CellTotals, Model};
use actual::{Array, Computed, Values};
use compare::compare;
use manifest::{Manifest, Tolerance};
use run::Kept;

/// The cells of a kit (`cells.h5ad`), read by the caller.
#[derive(Clone, Copy, Debug)]
pub struct KitCells<'a> {
    /// Raw counts of all cells.
    pub counts: &'a Counts,
    /// Its `var`; the genes are those of `var["ensembl_id"]` where there is such a column.
    pub var: &'a Table,
    /// Its `obs`; `obs["cell_type"]` names the states of perturbation towards a goal.
    pub obs: &'a Table,
    /// `obs["n_counts"]` where there is such a column.
    pub totals: Option<CellTotals<'a>>,
}

/// Largest deviation of one tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worst {
    /// Index of the element.
    pub index: Vec<usize>,
    /// What the kit holds.
    pub expected: f64,
    /// What was computed.
    pub found: f64,
    /// What the tolerance allows at this element.
    pub allowed: f64,
}

/// One tensor of the kit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorReport {
    /// Its name in `expected.safetensors`.
    pub name: String,
    /// Whether every element is within tolerance.
    pub passed: bool,
    /// Elements compared, padding included (which must be zero).
    pub n_elements: usize,
    /// Largest absolute difference.
    pub max_abs_error: f64,
    /// Largest difference in units of what the tolerance allows at its element: above 1 is out of tolerance, infinite where
    /// equality is asked for.
    pub times_allowed: f64,
    /// The element that uses up most of its tolerance; `None` when all are equal.
    pub worst: Option<Worst>,
    /// Why a tensor failed without a comparison (no such site, another shape).
    pub problem: Option<String>,
}

/// What came out of one kit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KitReport {
    /// Family of the kit.
    pub family: String,
    /// Case of the kit.
    pub case: String,
    /// Every tensor of the kit: tokens, then sites in the order of the forward pass, then the rest.
    pub tensors: Vec<TensorReport>,
    /// Tensors of the kit that were not compared, with the reason.
    pub not_compared: Vec<(String, String)>,
    /// Sites of the model for which the kit has no expectation.
    pub without_expectation: Vec<String>,
    /// The first tensor out of tolerance in the order of the forward pass.
    pub first_divergence: Option<String>,
    /// Whether everything held.
    pub passed: bool,
}

/// Runs a kit folder in f32: opens `checkpoint/`, tokenises the cells, runs them and compares with `expected.safetensors` under
/// the tolerances of `MANIFEST.json`.
pub fn run_kit(dir: &Path, cells: &KitCells<'_>) -> Result<KitReport> {
    run_kit_in(dir, cells, Precision::F32)
}

/// [`run_kit`] in a precision. The tolerances stay those of the manifest.
pub fn run_kit_in(dir: &Path, cells: &KitCells<'_>, precision: Precision) -> Result<KitReport> {
    // All of it: a family may open its model once more, as the manifest declares it.
    with_precision(precision, || {
        let model = crate::open_in(&dir.join("checkpoint"), precision)?;
        run_kit_with(dir, model.as_ref(), cells)
    })
}

/// [`run_kit`] with a model that is open already.
pub fn run_kit_with(dir: &Path, model: &dyn Model, cells: &KitCells<'_>) -> Result<KitReport> {
    let manifest = Manifest::read(&dir.join("MANIFEST.json"))?;
    if manifest.family != model.family().id {
        return Err(Error::mismatch("the kit is of another family than the model")
            .in_file(dir)
            .expected(manifest.family.clone())
            .found(model.family().id));
    }
    let declared = model.declared_by(&manifest.text)?;
    let model = declared.as_deref().unwrap_or(model);
    let expected = Checkpoint::open(&dir.join("expected.safetensors"))?;
    let names: Vec<String> = expected.names().iter().map(|n| (*n).to_string()).collect();

    let ensembl = cells.var.columns.iter().any(|(n, _)| n == "ensembl_id").then_some("ensembl_id");
    let genes = GeneTable::detect(cells.var, ensembl, None)?;
    let matched = model.match_genes(&genes)?;
    let case = KitCase { manifest: &manifest.text, cells: *cells, genes: &matched, expected: &expected };
    let KitPlan { tokens, runs, arrays, not_compared } = model.kit_plan(&case)?;

    let kept = kept(&expected)?;
    // What the family computes itself need not be a site of the plain run, whatever its name.
    let known =
        |n: &str| arrays.iter().any(|(name, _)| name == n) || not_compared.iter().any(|(name, _)| name == n);
    let own: Vec<String> = names.iter().filter(|n| !known(n)).cloned().collect();
    let mut computed = Computed::new(model, &tokens, &own, kept)?;
    for (prefix, tokens) in runs {
        computed.run(model, &prefix, tokens, &under(&prefix, &names))?;
    }
    for (name, array) in arrays {
        computed.put(&name, array);
    }
    for (name, reason) in not_compared {
        computed.skip(&name, &reason);
    }
    variants::compute(model, &tokens, &expected, &own, &mut computed)?;
    for (name, why) in [("rows", "token rows"), ("pattern.cells", "cells with attention maps")] {
        computed.skip(name, &format!("says which {why} the kit holds, so it is read rather than computed"));
    }
    if names.iter().any(|n| n.starts_with("isp.")) {
        perturbation::compute(model, &tokens, cells.obs, &manifest, &expected, &mut computed)?;
    }

    let mut tensors = vec![];
    let mut not_compared = vec![];
    for name in in_forward_order(&names, model) {
        let wanted = Array::read(&expected, name)?;
        if let Some(reason) = computed.reason(name) {
            not_compared.push((name.clone(), reason.to_string()));
            continue;
        }
        tensors.push(match computed.get(name, &wanted) {
            Some(found) => match (manifest.tolerance(name), &wanted.values) {
                (Some(tolerance), _) => compare(name, &wanted, &found, tolerance),
                // Whole numbers are exact with or without one.
                (None, Values::Int(_)) => compare(name, &wanted, &found, Tolerance { abs: 0.0, rel: 0.0 }),
                (None, Values::Float(_) | Values::Double(_)) => {
                    problem(name, "the manifest states no tolerance for it")
                }
            },
            None => problem(name, "nothing of this name is computed"),
        });
    }
    let first = tensors.iter().find(|t| !t.passed).map(|t| t.name.clone());
    let sites = model.sites();
    let without = sites.iter().map(|s| s.site.to_string()).filter(|s| !names.contains(s)).collect();
    Ok(KitReport {
        family: manifest.family,
        case: manifest.case,
        passed: first.is_none() && !tensors.is_empty(),
        tensors,
        not_compared,
        without_expectation: without,
        first_divergence: first,
    })
}

/// Which token rows and which cells the kit's larger tensors are cut down to.
fn kept(expected: &Checkpoint) -> Result<Kept> {
    let list = |name: &str| -> Result<Option<Vec<usize>>> {
        if expected.info(name).is_none() {
            return Ok(None);
        }
        let Values::Int(values) = Array::read(expected, name)?.values else {
            return Err(Error::unreadable("a list of positions is not of whole numbers").at_key(name));
        };
        Ok(Some(values.iter().filter_map(|&v| usize::try_from(v).ok()).collect()))
    };
    Ok(Kept { rows: list("rows")?, map_cells: list("pattern.cells")? })
}

fn problem(name: &str, text: &str) -> TensorReport {
    TensorReport {
        name: name.to_string(),
        passed: false,
        n_elements: 0,
        max_abs_error: f64::INFINITY,
        times_allowed: f64::INFINITY,
        worst: None,
        problem: Some(text.to_string()),
    }
}

/// Tokens, then sites in the order of the forward pass, then everything else by name.
fn in_forward_order<'a>(names: &'a [String], model: &dyn Model) -> Vec<&'a String> {
    let sites: Vec<String> = model.sites().iter().map(|s| s.site.to_string()).collect();
    let key = |name: &str| match sites.iter().position(|s| s == name) {
        _ if name.starts_with("tokens.") => 0,
        Some(i) => i + 1,
        None => sites.len() + 1,
    };
    let mut out: Vec<&String> = names.iter().collect();
    out.sort_by(|a, b| key(a).cmp(&key(b)).then(a.cmp(b)));
    out
}

/// Names under a prefix, without it.
fn under(prefix: &str, names: &[String]) -> Vec<String> {
    names.iter().filter_map(|n| n.strip_prefix(prefix)?.strip_prefix('.')).map(str::to_string).collect()
}

/// The site of a tensor's name, if the model offers it.
fn site_of(model: &dyn Model, name: &str) -> Option<Site> {
    model.sites().into_iter().map(|s| s.site).find(|s| s.to_string() == name)
}
