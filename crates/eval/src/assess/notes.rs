//! What is said about a run as a whole.

use microtome_core::Record;

use super::Assessment;
use crate::metrics::Metric;

/// What is said about the run as a whole; a warning also belongs to every summary.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) all: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

impl Notes {
    pub(crate) fn warn(&mut self, message: String) {
        self.all.push(message.clone());
        self.warnings.push(message);
    }
}

impl Assessment<'_> {
    /// Says so when a control shows that the task cannot be trusted on these cells: the positive one below `ceiling`, or
    /// the negative one above chance.
    pub(crate) fn check_controls(
        &self,
        headline: &Metric,
        ceiling: f64,
        records: &[Record],
        notes: &mut Notes,
    ) {
        let of =
            |id: &str| records.iter().find(|r| r.model == id && r.metric == headline.id && r.split == "all");
        let (positive, negative) = (self.task.positive_control, self.task.negative_control);
        match of(positive.id).and_then(|r| r.value) {
            Some(v) if v >= ceiling => {}
            Some(v) => notes.warn(format!(
                "the positive control ({}) reaches only {v:.2} in {}: these {}s cannot show a good score",
                positive.words, headline.id, self.cells.noun
            )),
            None => notes.warn(format!("the positive control ({}) has no score", positive.words)),
        }
        if let Some((p, v)) = of(negative.id).and_then(|r| r.p.zip(r.value))
            && p < 0.01
        {
            notes.warn(format!(
                "the negative control ({}) scores {v:.2} in {} (p = {p:.4}): the score rises without any information",
                negative.words, headline.id
            ));
        }
    }
}
