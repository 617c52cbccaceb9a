//! What is said about a run as a whole.

use microtome_core::{Record, Role};

use super::TASK;
use super::readings::Dpt;
use super::run::Trajectory;
use crate::metrics::Statistic;

/// What is said about the run as a whole; a warning also belongs to every summary.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) all: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Notes {
    pub(super) fn warn(&mut self, message: String) {
        self.all.push(message.clone());
        self.warnings.push(message);
    }
}

/// Spread of scores over single roots that a reader must hear of.
pub(super) const ROOT_SPREAD: f64 = 0.2;

impl Trajectory<'_> {
    /// Says so when a control shows that the task cannot be trusted on these cells.
    pub(super) fn check_controls(&self, records: &[Record], notes: &mut Notes) {
        let headline = self.options.headline;
        let of = |id: &str| {
            records.iter().find(|r| r.model == id && r.metric == headline.id && r.split == "all")
        };
        let (positive, negative) = (TASK.positive_control, TASK.negative_control);
        match of(positive.id).and_then(|r| r.value) {
            Some(v) if v >= 0.8 => {}
            Some(v) => notes.warn(format!(
                "the positive control ({}) reaches only {v:.2} in {}: these cells cannot show a good score",
                positive.words, headline.id
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

    /// Lowest and highest Spearman correlation over single roots.
    pub(super) fn root_spread(&self, d: &Dpt) -> Option<(f64, f64)> {
        let score = |p: &Vec<f64>| {
            let values: Vec<f64> = self.scored.iter().map(|&i| p[i]).collect();
            Statistic::Spearman.score(self.assessment.truth, &values)
        };
        let scores = || d.by_root.iter().map(score).filter(|s| s.is_finite());
        Some((scores().reduce(f64::min)?, scores().reduce(f64::max)?))
    }

    /// One line on how far scores depend on the root, over models and baselines.
    pub(super) fn describe_roots(&self, dpts: &[Result<Dpt, String>], notes: &mut Notes) {
        let theirs = self.assessment.representations.iter().zip(dpts);
        let spreads: Vec<f64> = theirs
            .filter(|(r, _)| r.role != Role::Control)
            .filter_map(|(_, d)| self.root_spread(d.as_ref().ok()?))
            .map(|(low, high)| high - low)
            .collect();
        let wide = spreads.iter().filter(|s| **s > ROOT_SPREAD).count();
        if wide > 0 {
            notes.warn(format!(
                "diffusion pseudotime depends on the root in {wide} of {} representations (by up to {:.2} of Spearman); the median over {} roots is scored",
                spreads.len(),
                spreads.iter().copied().fold(0.0, f64::max),
                self.roots.len()
            ));
        }
    }
}
