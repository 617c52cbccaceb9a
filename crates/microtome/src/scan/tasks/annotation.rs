//! `annotation`: `--label`, `--ontology`, `--ontology-key`, `--neighbors`, `--strata`.

use microtome_core::{Column, Result};
use microtome_eval::tasks::annotation::{AnnotationOptions, LabelTerms, TASK, run};
use microtome_eval::{Groups, TaskOutcome};
use microtome_report::Colour;

use super::{Adapter, Input, Ready, headline, named_column, select, strata};
use crate::data::Data;
use crate::ontology;
use crate::scan::ScanOptions;
use crate::scan::options::DEFAULT_NEIGHBORS;
use crate::scan::page::categories;

pub(super) static ADAPTER: Adapter = Adapter { task: &TASK, open };

struct Annotation {
    name: String,
    /// Labels of every row of the file.
    labels: Column,
    known: Vec<bool>,
    /// Terms by label name, and what is said about labels without one.
    terms: Option<ontology::Terms>,
    neighbors: usize,
    headline: Option<String>,
    strata: Option<Groups>,
}

fn open(options: &ScanOptions, data: &Data) -> Result<Box<dyn Ready>> {
    let (name, labels) = named_column(
        data,
        options.task.label.as_deref(),
        "--label",
        "the annotation task needs the labels of the cells",
        "name the column of obs that holds cell types, as in --label cell_type",
    )?;
    let (_, codes) = labels.groups();
    let terms = match &options.task.ontology {
        None => None,
        Some(path) => Some(ontology::terms_of(path, options.task.ontology_key.as_deref(), data, &labels)?),
    };
    Ok(Box::new(Annotation {
        known: codes.iter().map(Option::is_some).collect(),
        name,
        labels,
        terms,
        neighbors: options.task.neighbors.unwrap_or(DEFAULT_NEIGHBORS),
        headline: headline(&TASK, options).map(String::from),
        strata: strata(options, data)?,
    }))
}

impl Ready for Annotation {
    fn question(&self) -> String {
        format!("tells {} apart", self.name)
    }

    fn uses(&self, row: usize) -> bool {
        self.known[row]
    }

    fn needs(&self) -> String {
        format!("a value in obs[\"{}\"]", self.name)
    }

    fn run(&self, input: &Input<'_>) -> Result<TaskOutcome> {
        let groups = Groups::from_column(self.name.clone(), &self.labels.select(input.rows));
        let mut task = AnnotationOptions::new(groups);
        task.k = self.neighbors;
        task.strata = self.strata.as_ref().map(|s| select(s, input.rows));
        if let Some(terms) = &self.terms {
            task.terms = Some(LabelTerms {
                ontology: terms.ontology.clone(),
                term_of_label: task.labels.names.iter().map(|n| terms.of_label(n)).collect(),
            });
        }
        if let Some(id) = &self.headline {
            task = task.with_headline(id)?;
        }
        let mut outcome = run(input.cells, input.representations, &task, input.protocol, input.progress)?;
        outcome.notes.extend(self.terms.as_ref().and_then(|t| t.note.clone()));
        Ok(outcome)
    }

    fn colours(&self, rows: &[usize]) -> Vec<Colour> {
        vec![categories(&self.name, &self.labels.select(rows))]
    }
}
