//! Tasks: what is asked of a representation. The one list is at the end of this file.

use microtome_core::{Error, Result, closest};

use crate::controls::Control;
use crate::metrics::Metric;

/// A task. It cannot be written down without the controls that test it and the baselines it is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Id in records, `[a-z0-9_]+`.
    pub id: &'static str,
    /// Version of the definition; rises when the numbers can change.
    pub version: u32,
    /// The question, for a reader.
    pub words: &'static str,
    /// What is recorded; the first is the headline unless the user names another.
    pub metrics: &'static [&'static Metric],
    /// A representation that holds nothing: must score at chance.
    pub negative_control: &'static Control,
    /// A representation that holds the answer: must score near the ceiling.
    pub positive_control: &'static Control,
    /// The simple methods that stand in the same slot.
    pub baselines: &'static [&'static Control],
}

impl Task {
    /// The metric of this task with this id, for a headline. Errors with the known ids when there is none.
    pub fn metric(&self, id: &str) -> Result<&'static Metric> {
        self.metrics.iter().copied().find(|m| m.id == id).ok_or_else(|| {
            let known: Vec<&str> = self.metrics.iter().map(|m| m.id).collect();
            let near = closest(id, known.iter().copied());
            Error::usage(format!("no such metric of the {} task", self.id))
                .at_key("headline")
                .expected(format!("one of: {}", known.join(", ")))
                .found(format!("\"{id}\""))
                .remedy(near.map_or("name one of these".into(), |n| format!("did you mean {n}?")))
        })
    }
}

macro_rules! tasks {
    ($($name:ident),* $(,)?) => {
        $(pub mod $name;)*
        /// Every task.
        pub static TASKS: &[&Task] = &[$(&$name::TASK),*];
    };
}

tasks! { trajectory, annotation, integration, perturbation, gene_function }

/// The task with this id.
pub fn find_task(id: &str) -> Option<&'static Task> {
    TASKS.iter().copied().find(|t| t.id == id)
}

#[cfg(test)]
mod tests {
    use microtome_core::{Matrix, Role};

    use super::*;
    use crate::controls::{CONTROLS, Source};
    use crate::metrics::METRICS;

    fn unique_ids<'a>(ids: impl Iterator<Item = &'a str>) {
        let ids: Vec<&str> = ids.collect();
        for (i, id) in ids.iter().enumerate() {
            let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            assert!(!id.is_empty() && id.bytes().all(fine), "{id}");
            assert!(!ids[..i].contains(id), "{id} is listed twice");
        }
    }

    #[test]
    fn ids_are_words_of_their_own() {
        unique_ids(TASKS.iter().map(|t| t.id));
        unique_ids(METRICS.iter().map(|m| m.id));
        unique_ids(CONTROLS.iter().map(|c| c.id));
    }

    #[test]
    fn every_task_has_working_controls_and_listed_parts() {
        for task in TASKS {
            assert_eq!(find_task(task.id).unwrap().id, task.id);
            assert!(!task.metrics.is_empty() && task.metrics.iter().all(|m| METRICS.contains(m)));
            assert!(!task.baselines.is_empty());
            for baseline in task.baselines {
                assert!(baseline.role == Role::Baseline && !matches!(baseline.source, Source::Truth(_)));
                assert!(CONTROLS.iter().any(|c| c.id == baseline.id));
            }
            for control in [task.negative_control, task.positive_control] {
                let effects = Matrix::new(4, 1, vec![0.0, 1.0, 2.0, 0.0]).unwrap();
                let r = control
                    .from_truth(&[0.0, 1.0, 2.0, f64::NAN], 3)
                    .or_else(|| control.from_effects(&effects, 3))
                    .unwrap();
                assert_eq!((r.role, r.matrix.rows()), (Role::Control, 4));
                assert!(r.matrix.data().iter().all(|v| v.is_finite()));
            }
            assert_ne!(task.negative_control.id, task.positive_control.id);
        }
    }
}
