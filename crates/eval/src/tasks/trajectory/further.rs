//! Further readings: other ways to a pseudotime, agreement beyond covariates.

use microtome_core::{Matrix, Result, Role};
use microtome_numerics::{PalantirOptions, palantir};

use super::readings::paths;
use super::run::Trajectory;
use crate::assess::{Prediction, Scored, attempt};
use crate::metrics::{self, PartialSet};

/// Waypoints of Palantir: a quarter of its default, which changes ranks little and costs a quarter.
const WAYPOINTS: usize = 300;

type Predictions = Vec<std::result::Result<Prediction, String>>;

impl Trajectory<'_> {
    /// Pseudotime of the scored cells by another reading of the geometry.
    pub(super) fn geometric(&self, reading: &str) -> Result<Predictions> {
        let a = &self.assessment;
        if reading == "palantir" && !self.options.palantir {
            let reason = "not read, because it takes long: ask for it with --palantir";
            return Ok(vec![Err(reason.into()); a.representations.len()]);
        }
        let read = |x: &Matrix| -> Result<Vec<f64>> {
            if reading == "palantir" {
                let options = PalantirOptions { waypoints: WAYPOINTS, seed: a.protocol.seed, ..PalantirOptions::default() };
                return palantir(x, self.roots[0], &options);
            }
            paths(x, self.roots, self.options.k)
        };
        a.each(reading, |r| {
            let x = &a.representations[r];
            if let Some(reason) = x.defect() {
                return Ok(Err(reason));
            }
            let all = attempt(read(&x.matrix))?;
            Ok(all.map(|all| Prediction { values: self.scored.iter().map(|&i| all[i]).collect(), remark: None }))
        })
    }

    /// Diffusion pseudotime given total counts and the pseudotime of principal components of expression.
    pub(super) fn partial(&self, predictions: &Predictions) -> Scored {
        let a = &self.assessment;
        let baseline = |id: &str| {
            let is = |r: &usize| {
                let r = &a.representations[*r];
                r.role == Role::Baseline && r.model.starts_with(id)
            };
            (0..a.representations.len()).find(is)
        };
        let depth = baseline("total_counts");
        let expression = baseline("pca_").filter(|&r| predictions[r].is_ok());
        let values = |r: usize| match &predictions[r] {
            Ok(p) if Some(r) == expression => p.values.clone(),
            _ => self.scored.iter().map(|&i| f64::from(a.representations[r].matrix.row(i)[0])).collect(),
        };
        let covariates: Vec<Vec<f64>> = depth.into_iter().chain(expression).map(values).collect();
        let mut predictions = predictions.clone();
        for r in depth.into_iter().chain(expression) {
            predictions[r] = Err("it is what the others are judged beyond".into());
        }
        let predictions = &predictions;
        Scored::with(&metrics::DPT_PARTIAL, a.truth.len(), predictions, |used| {
            let given: Vec<&[f64]> = covariates.iter().map(Vec::as_slice).collect();
            Box::new(PartialSet::new(a.truth, used, &given))
        })
    }
}
