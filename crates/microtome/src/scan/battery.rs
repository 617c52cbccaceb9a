//! The transform battery: the task again on differently scaled representations of the models.

use microtome_core::{Result, Role, Verdict};
use microtome_eval::transforms::{BATTERY, SignRow, Transform, robustness};
use microtome_eval::{OutcomeTable, Protocol, Representation, TaskOutcome};

use super::tasks::{Input, Ready};

/// Replicates under each transform: signs need fewer than headlines.
const REPLICATES: usize = 200;

/// Adds the records, a table of signs and one sentence per model to the outcome of the task.
pub(super) fn run(task: &dyn Ready, input: &Input<'_>, outcome: &mut TaskOutcome) -> Result<()> {
    let protocol = Protocol { n_bootstrap: REPLICATES, n_permutations: REPLICATES, ..input.protocol.clone() };
    // What has a single depth has no gain over its final one.
    let rows_of = |transform: Transform, found: &TaskOutcome| -> Vec<SignRow> {
        let several = found.summaries.iter().filter(|s| s.depth_verdict != Verdict::OneDepth);
        several.map(|s| SignRow::new(transform, s)).collect()
    };
    let mut rows = rows_of(Transform::None, outcome);
    if rows.is_empty() {
        return Ok(());
    }
    for transform in BATTERY.into_iter().filter(|t| *t != Transform::None) {
        input.progress.check()?;
        input.progress.note(&format!("transform {}", transform.id()));
        let apply = |r: &Representation| match r.role {
            Role::Model => transform.of(r, protocol.seed).map(Some),
            Role::Baseline => Ok(Some(r.clone())),
            Role::Control => Ok(None),
        };
        let representations: Vec<Representation> =
            input.representations.iter().map(apply).filter_map(Result::transpose).collect::<Result<_>>()?;
        let found = task.run(&Input { representations: &representations, protocol: &protocol, ..*input })?;
        rows.extend(rows_of(transform, &found));
        let headlines: Vec<&str> = found.summaries.iter().map(|s| s.metric.as_str()).collect();
        let own = found.records.iter().filter(|r| {
            r.role == Some(Role::Model) && r.split == "all" && headlines.contains(&r.metric.as_str())
        });
        let id = transform.id();
        outcome.records.extend(own.map(|r| microtome_core::Record { transform: id.clone(), ..r.clone() }));
    }
    let mut table = OutcomeTable::new(
        "Gain over the final block under transforms",
        "The nested gain of the chosen depth when the model's representations are scaled in other ways. A finding whose sign \
         turns is about scale, not about information.",
        &["model", "transform", "gain", "interval", "verdict"],
    );
    for row in &rows {
        let (gain, interval) = match row.gain {
            None => ("undefined".into(), String::new()),
            Some((v, low, high)) => (
                format!("{v:+.3}"),
                low.zip(high).map_or(String::new(), |(l, h)| format!("{l:+.3} to {h:+.3}")),
            ),
        };
        table.rows.push(vec![
            row.model.clone(),
            row.transform.clone(),
            gain,
            interval,
            row.verdict.words().into(),
        ]);
    }
    outcome.tables.push(table);
    for summary in &mut outcome.summaries {
        let own: Vec<SignRow> = rows.iter().filter(|r| r.model == summary.model).cloned().collect();
        if own.is_empty() {
            continue;
        }
        summary.sentences.push(format!("Under {} transforms: {}.", own.len(), robustness(&own).words()));
    }
    Ok(())
}
