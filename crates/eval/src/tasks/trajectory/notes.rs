//! What is said about roots.

use microtome_core::Role;

use super::readings::Dpt;
use super::run::Trajectory;
use crate::assess::Notes;
use crate::metrics::Statistic;

/// Spread of scores over single roots that a reader must hear of.
pub(super) const ROOT_SPREAD: f64 = 0.2;

impl Trajectory<'_> {
    /// Lowest and highest Spearman correlation over single roots.
    pub(super) fn root_spread(&self, d: &Dpt) -> Option<(f64, f64)> {
        let score = |p: &Vec<f64>| {
            let values: Vec<f64> = self.scored.iter().map(|&i| p[i]).collect();
            Statistic::Spearman.score(self.asked.assessment.truth, &values)
        };
        let scores = || d.by_root.iter().map(score).filter(|s| s.is_finite());
        Some((scores().reduce(f64::min)?, scores().reduce(f64::max)?))
    }

    /// One line on how far scores depend on the root, over models and baselines.
    pub(super) fn describe_roots(&self, dpts: &[Result<Dpt, String>], notes: &mut Notes) {
        let theirs = self.asked.assessment.representations.iter().zip(dpts);
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
