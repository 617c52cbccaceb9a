//! `metrics`: what can be scored, recorded and compared with, in the words of its own definition.

use microtome_core::{Direction, Error, Result, Role, closest};
use microtome_eval::controls::CONTROLS;
use microtome_eval::metrics::definitions;
use microtome_eval::tasks::TASKS;
use serde::Serialize;

/// Everything that has an id in the records of a scan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Catalogue {
    /// Tasks, each with its own metrics.
    pub tasks: Vec<TaskEntry>,
    /// Metrics of the library, of which tasks record those that they have the means for.
    pub metrics: Vec<MetricEntry>,
    /// Baselines and controls.
    pub controls: Vec<ControlEntry>,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskEntry {
    /// Id.
    pub id: &'static str,
    /// The question.
    pub words: &'static str,
    /// Version of its definition.
    pub version: u32,
    /// Its metrics, the headline first.
    pub metrics: Vec<MetricEntry>,
    /// Ids of the baselines that it asks for.
    pub baselines: Vec<&'static str>,
}

/// A metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricEntry {
    /// Id in records.
    pub id: &'static str,
    /// Version of its definition.
    pub version: u32,
    /// Which way is better: `higher` or `lower`.
    pub better: &'static str,
    /// Smallest and largest possible value, where the definition states them; `None` stands for infinity.
    pub range: Option<[Option<f64>; 2]>,
    /// What it is.
    pub words: &'static str,
    /// Paper, or repository@commit; empty for a task's own metric, whose task says how it is made.
    pub citation: &'static str,
    /// Where the number differs from the cited one.
    pub deviations: &'static str,
}

/// A baseline or a control.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ControlEntry {
    /// Id: what its name in records begins with.
    pub id: &'static str,
    /// Version of its definition.
    pub version: u32,
    /// `baseline` or `control`.
    pub role: &'static str,
    /// What it is.
    pub words: &'static str,
}

fn better(direction: Direction) -> &'static str {
    if direction == Direction::Higher { "higher" } else { "lower" }
}

/// All tasks, metrics, baselines and controls, or those whose id contains `wanted`.
///
/// # Errors
/// When no id contains it.
pub fn catalogue(wanted: Option<&str>) -> Result<Catalogue> {
    let named = |id: &str| wanted.is_none_or(|w| id.contains(w));
    let task = |t: &&'static microtome_eval::tasks::Task| {
        let own = t.metrics.iter().filter(|m| named(t.id) || named(m.id)).map(|m| MetricEntry {
            id: m.id,
            version: m.version,
            better: better(m.direction),
            range: None,
            words: m.words,
            citation: "",
            deviations: "",
        });
        let metrics: Vec<MetricEntry> = own.collect();
        let baselines = t.baselines.iter().map(|b| b.id).collect();
        (named(t.id) || !metrics.is_empty()).then_some(TaskEntry {
            id: t.id,
            words: t.words,
            version: t.version,
            metrics,
            baselines,
        })
    };
    let finite = |v: f64| v.is_finite().then_some(v);
    let found = Catalogue {
        tasks: TASKS.iter().filter_map(task).collect(),
        metrics: definitions()
            .filter(|d| named(d.id))
            .map(|d| MetricEntry {
                id: d.id,
                version: d.version,
                better: better(d.direction),
                range: Some([finite(d.range.0), finite(d.range.1)]),
                words: d.words,
                citation: d.citation,
                deviations: d.deviations,
            })
            .collect(),
        controls: CONTROLS
            .iter()
            .filter(|c| named(c.id))
            .map(|c| ControlEntry {
                id: c.id,
                version: c.version,
                role: if c.role == Role::Baseline { "baseline" } else { "control" },
                words: c.words,
            })
            .collect(),
    };
    let empty = found.tasks.is_empty() && found.metrics.is_empty() && found.controls.is_empty();
    match wanted.filter(|_| empty) {
        None => Ok(found),
        Some(wanted) => {
            let own = TASKS.iter().flat_map(|t| std::iter::once(t.id).chain(t.metrics.iter().map(|m| m.id)));
            let ids: Vec<&str> =
                own.chain(definitions().map(|d| d.id)).chain(CONTROLS.iter().map(|c| c.id)).collect();
            Err(Error::usage("no task, metric or baseline has such an id")
                .found(format!("\"{wanted}\""))
                .remedy(closest(wanted, ids).map_or("microtome metrics lists them all".into(), |near| {
                    format!("did you mean {near}?")
                })))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_an_id_finds_it_wherever_it_stands() {
        let all = catalogue(None).unwrap();
        assert_eq!(all.tasks.len(), TASKS.len());
        assert!(all.metrics.iter().all(|m| !m.words.is_empty() && !m.citation.is_empty()));
        let some = catalogue(Some("lcad")).unwrap();
        assert!(
            some.tasks
                .iter()
                .all(|t| t.id == "annotation" && t.metrics.iter().all(|m| m.id.contains("lcad")))
        );
        assert!(some.metrics.iter().any(|m| m.id == "lcad") && some.controls.is_empty());
        let task = catalogue(Some("trajectory")).unwrap();
        assert!(task.tasks[0].metrics.iter().any(|m| m.id == "dpt_spearman"));
        let error = catalogue(Some("dpt_spearmam")).unwrap_err().to_string();
        assert!(error.contains("did you mean dpt_spearman?"), "{error}");
    }
}
