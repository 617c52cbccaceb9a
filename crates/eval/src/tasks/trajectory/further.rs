//! Further readings: other ways to a pseudotime, agreement beyond covariates.

use microtome_core::{Matrix, Result};
use microtome_numerics::{PalantirOptions, palantir};

use super::readings::paths;
use super::run::Trajectory;
use crate::assess::{JUDGED_BEYOND, Prediction, attempt, baseline};

/// Waypoints of Palantir: a quarter of its default, which changes ranks little and costs a quarter.
const WAYPOINTS: usize = 300;

type Predictions = Vec<std::result::Result<Prediction, String>>;

impl Trajectory<'_> {
    /// Pseudotime of the scored cells by another reading of the geometry.
    pub(super) fn geometric(&self, reading: &str) -> Result<Predictions> {
        let a = &self.asked.assessment;
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

    /// What diffusion pseudotime is asked beyond: total counts and the pseudotime of principal components of expression. The
    /// predictions of these two are no longer among the others.
    pub(super) fn beyond(&self, predictions: &Predictions) -> (Predictions, Vec<Vec<f64>>) {
        let a = &self.asked.assessment;
        let depth = baseline(a.representations, "total_counts");
        let expression = baseline(a.representations, "pca").filter(|&r| predictions[r].is_ok());
        let values = |r: usize| match &predictions[r] {
            Ok(p) if Some(r) == expression => p.values.clone(),
            _ => self.scored.iter().map(|&i| f64::from(a.representations[r].matrix.row(i)[0])).collect(),
        };
        let given = || depth.into_iter().chain(expression);
        let covariates = given().map(values).collect();
        let mut others = predictions.clone();
        given().for_each(|r| others[r] = Err(JUDGED_BEYOND.into()));
        (others, covariates)
    }
}
