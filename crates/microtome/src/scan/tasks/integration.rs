//! `integration`: `--label`, `--batch-key`.

use microtome_core::{Column, Result};
use microtome_eval::tasks::integration::{IntegrationOptions, TASK, run};
use microtome_eval::{Groups, TaskOutcome};
use microtome_report::Colour;

use super::{Adapter, Input, Ready, headline, named_column, select, strata};
use crate::data::Data;
use crate::scan::ScanOptions;
use crate::scan::page::categories;

pub(super) static ADAPTER: Adapter = Adapter { task: &TASK, open };

struct Integration {
    label: String,
    batch_key: String,
    /// Of every row of the file.
    labels: Column,
    batches: Column,
    known: Vec<bool>,
    headline: Option<String>,
    strata: Option<Groups>,
}

fn open(options: &ScanOptions, data: &Data) -> Result<Box<dyn Ready>> {
    let (label, labels) = named_column(
        data,
        options.task.label.as_deref(),
        "--label",
        "the integration task needs the types of the cells",
        "name the column of obs that holds cell types, as in --label cell_type",
    )?;
    let (batch_key, batches) = named_column(
        data,
        options.data.prepare.batch_key.as_deref(),
        "--batch-key",
        "the integration task needs the batches of the cells",
        "name the column of obs that holds batches, as in --batch-key batch",
    )?;
    let (a, b) = (labels.groups().1, batches.groups().1);
    Ok(Box::new(Integration {
        known: a.iter().zip(&b).map(|(a, b)| a.is_some() && b.is_some()).collect(),
        label,
        batch_key,
        labels,
        batches,
        headline: headline(&TASK, options).map(String::from),
        strata: strata(options, data)?,
    }))
}

impl Ready for Integration {
    fn question(&self) -> String {
        format!("mixes {} and keeps {} apart", self.batch_key, self.label)
    }

    fn uses(&self, row: usize) -> bool {
        self.known[row]
    }

    fn needs(&self) -> String {
        format!("a value in obs[\"{}\"] or obs[\"{}\"]", self.label, self.batch_key)
    }

    fn run(&self, input: &Input<'_>) -> Result<TaskOutcome> {
        let groups = |name: &str, column: &Column| Groups::from_column(name, &column.select(input.rows));
        let mut task = IntegrationOptions::new(
            groups(&self.label, &self.labels),
            groups(&self.batch_key, &self.batches),
        );
        task.strata = self.strata.as_ref().map(|s| select(s, input.rows));
        if let Some(id) = &self.headline {
            task = task.with_headline(id)?;
        }
        run(input.cells, input.representations, &task, input.protocol, input.progress)
    }

    fn colours(&self, rows: &[usize]) -> Vec<Colour> {
        vec![
            categories(&self.batch_key, &self.batches.select(rows)),
            categories(&self.label, &self.labels.select(rows)),
        ]
    }
}
