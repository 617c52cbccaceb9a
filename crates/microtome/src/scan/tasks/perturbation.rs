//! `perturbation`: `--perturbation`, `--control`, `--context`, `--reference-de`, `--min-cells`, `--strata`.

use std::path::PathBuf;

use microtome_core::{Error, GeneTable, Result};
use microtome_eval::tasks::perturbation::{PerturbationOptions, Reference, TASK, run};
use microtome_eval::{Groups, TaskOutcome};
use microtome_report::Colour;

use super::{Adapter, Input, Ready, headline, named_groups, select, strata};
use crate::data::Data;
use crate::scan::ScanOptions;

pub(super) static ADAPTER: Adapter = Adapter { task: &TASK, open };

/// Values that mean control where none is named, compared without case.
const CONTROLS: [&str; 10] =
    ["control", "ctrl", "non-targeting", "nontargeting", "nt", "dmso", "unperturbed", "unstimulated", "vehicle", "none"];
/// What joins the genes of a combination.
const JOINTS: [char; 4] = ['+', '_', ',', '|'];

struct PerturbationTask {
    /// Every row of the file.
    perturbation: Groups,
    control: String,
    context: Option<Groups>,
    reference: Reference,
    min_cells: Option<usize>,
    /// Genes that each perturbation hits, by code.
    targets: Vec<Vec<usize>>,
    headline: Option<String>,
    strata: Option<Groups>,
    path: PathBuf,
}

fn open(options: &ScanOptions, data: &Data) -> Result<Box<dyn Ready>> {
    let t = &options.task;
    let name = t.perturbation.clone().ok_or_else(|| {
        Error::usage("the perturbation task needs to know what was done to each cell")
            .at_key("--perturbation")
            .remedy("name the column of obs with the perturbation, as in --perturbation gene --control NT")
    })?;
    let perturbation = Groups::from_column(name.clone(), &data.dataset.obs_column(&name)?);
    let control = match &t.control {
        Some(control) => control.clone(),
        None => guess(&perturbation, data)?,
    };
    let targets = perturbation.names.iter().map(|p| targets(p, &data.genes)).collect();
    Ok(Box::new(PerturbationTask {
        context: named_groups(data, t.context.as_deref(), "--context")?,
        reference: t.reference,
        min_cells: t.min_cells,
        headline: headline(&TASK, options).map(String::from),
        strata: strata(options, data)?,
        path: data.dataset.path().to_path_buf(),
        perturbation,
        control,
        targets,
    }))
}

/// The one value that means control by its name.
fn guess(perturbation: &Groups, data: &Data) -> Result<String> {
    let mut found = perturbation.names.iter().filter(|n| CONTROLS.contains(&n.to_lowercase().as_str()));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.clone()),
        _ => {
            let some: Vec<&str> = perturbation.names.iter().take(8).map(String::as_str).collect();
            Err(Error::usage("which cells are the control?")
                .in_file(data.dataset.path())
                .at_key("--control")
                .expected(format!("one of the values of obs[\"{}\"]: {}, ...", perturbation.name, some.join(", ")))
                .remedy("name the value that means control, as in --control non-targeting"))
        }
    }
}

/// Columns of the genes in the name of a perturbation: the whole name, or its parts.
fn targets(perturbation: &str, genes: &GeneTable) -> Vec<usize> {
    let named = |part: &str| {
        let symbols = genes.symbols.as_deref().unwrap_or(&genes.names);
        let by_symbol = symbols.iter().position(|s| s.eq_ignore_ascii_case(part));
        by_symbol.or_else(|| genes.ensembl.as_deref()?.iter().position(|e| e == part))
    };
    if let Some(gene) = named(perturbation) {
        return vec![gene];
    }
    let mut out: Vec<usize> =
        perturbation.split(JOINTS).map(str::trim).filter(|p| !p.is_empty()).filter_map(named).collect();
    out.sort_unstable();
    out.dedup();
    out
}

impl Ready for PerturbationTask {
    fn question(&self) -> String {
        format!("holds what {} does to cells", self.perturbation.name)
    }

    fn uses(&self, row: usize) -> bool {
        self.perturbation.codes[row] != Groups::MISSING
            && self.context.as_ref().is_none_or(|c| c.codes[row] != Groups::MISSING)
    }

    fn needs(&self) -> String {
        match &self.context {
            None => format!("a value in obs[\"{}\"]", self.perturbation.name),
            Some(c) => format!("a value in obs[\"{}\"] and obs[\"{}\"]", self.perturbation.name, c.name),
        }
    }

    fn check(&self, rows: &[usize]) -> Result<()> {
        let control = self.perturbation.names.iter().position(|n| *n == self.control);
        let n = rows.iter().filter(|&&r| Some(self.perturbation.codes[r] as usize) == control).count();
        if n == 0 {
            let near = microtome_core::closest(&self.control, self.perturbation.names.iter().map(String::as_str));
            return Err(Error::usage("no cell is a control cell")
                .in_file(&self.path)
                .at_key("--control")
                .expected(format!("a value of obs[\"{}\"]", self.perturbation.name))
                .found(format!("\"{}\" in none of {} cells", self.control, rows.len()))
                .remedy(near.map_or("name the value that means control".into(), |n| format!("did you mean {n}?"))));
        }
        Ok(())
    }

    fn run(&self, input: &Input<'_>) -> Result<TaskOutcome> {
        let mut o = PerturbationOptions::new(select(&self.perturbation, input.rows), self.control.clone(), input.counts);
        o.context = self.context.as_ref().map(|c| select(c, input.rows));
        o.unit = input.cells.unit.clone();
        o.targets = self.targets.clone();
        o.strata = self.strata.as_ref().map(|s| select(s, input.rows));
        o.reference = self.reference;
        o.min_cells = self.min_cells.unwrap_or(o.min_cells);
        if let Some(id) = &self.headline {
            o.headline = TASK.metric(id)?;
        }
        run(input.cells, input.representations, &o, input.protocol, input.progress)
    }

    fn colours(&self, rows: &[usize]) -> Vec<Colour> {
        let groups = select(&self.perturbation, rows);
        let codes = groups.codes.iter().map(|&c| (c != Groups::MISSING).then_some(c)).collect();
        vec![Colour::Categories { name: groups.name, names: groups.names, codes }]
    }
}

#[cfg(test)]
mod tests {
    use microtome_core::{Column, Table};

    use super::*;

    #[test]
    fn targets_are_found_alone_and_in_combinations() {
        let names: Vec<Option<String>> = ["KLF1", "MAP2K6", "HLA-A"].map(|n| Some(n.to_string())).to_vec();
        let index = names.iter().flatten().cloned().collect();
        let var = Table { index, columns: vec![("gene_symbol".into(), Column::Text(names))] };
        let genes = GeneTable::detect(&var, None, Some("gene_symbol")).unwrap();
        assert_eq!(targets("KLF1", &genes), [0]);
        assert_eq!(targets("KLF1+MAP2K6", &genes), [0, 1]);
        assert_eq!(targets("hla-a", &genes), [2]);
        assert!(targets("control", &genes).is_empty());
    }
}
