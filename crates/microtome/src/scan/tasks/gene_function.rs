//! `gene_function`: `--gene-sets`, `--gene-groups`.

use microtome_core::{Error, Result};
use microtome_eval::tasks::gene_function::{GeneFunctionOptions, GeneSet, MAX_SETS, TASK, run};
use microtome_eval::{Groups, TaskOutcome};
use microtome_numerics::resample::Rng;
use microtome_report::Colour;

use super::{Adapter, GeneRows, Input, Ready, headline};
use crate::data::Data;
use crate::gene_sets::{Finder, read_groups, read_sets};
use crate::scan::ScanOptions;

pub(super) static ADAPTER: Adapter = Adapter { task: &TASK, open };

/// Most genes that are scored: all members of the sets, and others drawn at random up to this number.
const MAX_GENES: usize = 4000;
/// Fewest genes of a set that is kept.
const MIN_GENES: usize = 10;

struct GeneFunction {
    /// Name of the file with the sets.
    name: String,
    /// Sets with the genes of the data that are in them.
    sets: Vec<(String, Vec<usize>)>,
    /// Group names and the group of every gene of the data.
    groups: Option<(Vec<String>, Vec<Option<u32>>)>,
    seed: u64,
    headline: Option<String>,
    notes: Vec<String>,
}

fn open(options: &ScanOptions, data: &Data) -> Result<Box<dyn Ready>> {
    if options.models.is_empty() {
        return Err(Error::usage("the gene_function task needs a model: an imported embedding has no vectors of genes")
            .at_key("--task")
            .remedy("name a checkpoint with --model, or leave gene_function out"));
    }
    let path = options.task.gene_sets.as_deref().ok_or_else(|| {
        Error::usage("the gene_function task needs sets of genes")
            .at_key("--gene-sets")
            .remedy("give a GMT file, a table of gene and set, or a list of genes, as in --gene-sets h.all.symbols.gmt")
    })?;
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let finder = Finder::new(&data.genes);
    let mut notes = vec![];
    let found: Vec<(String, Vec<usize>)> = read_sets(path)?
        .into_iter()
        .map(|(set, genes)| (set, genes.iter().filter_map(|g| finder.find(g)).collect()))
        .collect();
    let n_sets = found.len();
    let mut sets: Vec<(String, Vec<usize>)> =
        found.into_iter().filter(|(_, genes)| genes.len() >= MIN_GENES).collect();
    if sets.is_empty() {
        return Err(Error::mismatch("no gene set has enough genes of the data")
            .in_file(path)
            .at_key("--gene-sets")
            .expected(format!("a set with at least {MIN_GENES} genes by symbol or Ensembl id"))
            .found(format!("{n_sets} sets"))
            .remedy("give sets of the data's species and namespace"));
    }
    if sets.len() > MAX_SETS {
        let mut drawn = Rng::new(options.data.seed).choose(sets.len(), MAX_SETS);
        drawn.sort_unstable();
        notes.push(format!(
            "{MAX_SETS} of {} gene sets with at least {MIN_GENES} genes drawn at random (seed {})",
            sets.len(),
            options.data.seed
        ));
        sets = drawn.into_iter().map(|i| sets[i].clone()).collect();
    }
    let groups = options.task.gene_groups.as_deref().map(|p| read_groups(p, &data.genes)).transpose()?;
    Ok(Box::new(GeneFunction {
        name,
        sets,
        groups,
        seed: options.data.seed,
        headline: headline(&TASK, options).map(String::from),
        notes,
    }))
}

impl Ready for GeneFunction {
    fn question(&self) -> String {
        format!("knows the gene sets of {}", self.name)
    }

    fn uses(&self, _row: usize) -> bool {
        true
    }

    fn needs(&self) -> String {
        "nothing".into()
    }

    fn genes(&self, known: &[bool]) -> Result<Option<GeneRows>> {
        let mut wanted = vec![false; known.len()];
        self.sets.iter().flat_map(|s| &s.1).filter(|&&g| known[g]).for_each(|&g| wanted[g] = true);
        let others: Vec<usize> = (0..known.len()).filter(|&g| known[g] && !wanted[g]).collect();
        let n = wanted.iter().filter(|w| **w).count();
        let drawn = Rng::new(self.seed).choose(others.len(), others.len().min(MAX_GENES.saturating_sub(n)));
        drawn.into_iter().for_each(|i| wanted[others[i]] = true);
        let rows: Vec<usize> = (0..known.len()).filter(|&g| wanted[g]).collect();
        let groups = match &self.groups {
            None => None,
            Some((names, codes)) => {
                let codes = rows.iter().map(|&g| codes[g].unwrap_or(Groups::MISSING)).collect();
                Some(Groups::new("gene group", names.clone(), codes)?)
            }
        };
        Ok(Some(GeneRows { rows, groups }))
    }

    fn run(&self, input: &Input<'_>) -> Result<TaskOutcome> {
        let place = |g: &usize| input.rows.binary_search(g).ok();
        let sets = self.sets.iter().map(|(name, genes)| GeneSet {
            name: name.clone(),
            members: genes.iter().filter_map(place).collect(),
        });
        let mut task = GeneFunctionOptions::new(self.name.clone(), sets.collect());
        if let Some(id) = &self.headline {
            task = task.with_headline(id)?;
        }
        let mut outcome = run(input.cells, input.representations, &task, input.protocol, input.progress)?;
        outcome.notes.extend(self.notes.iter().cloned());
        Ok(outcome)
    }

    fn colours(&self, _rows: &[usize]) -> Vec<Colour> {
        vec![]
    }
}
