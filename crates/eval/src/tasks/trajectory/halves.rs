//! How much of a pseudotime is noise: halves of the cells, each with a graph of its own.

use microtome_core::{Matrix, Record, Result};
use microtome_numerics::{Metric, knn_between, spearman};

use super::readings::dpt;
use super::run::Trajectory;
use crate::assess::attempt;
use crate::metrics;
use crate::protocol::random::stream;

/// Random halvings.
const SPLITS: u64 = 2;
/// Most cells that are halved; more are sampled.
const MOST: usize = 2000;
/// Nearest cells of the other half whose pseudotime a cell is given.
const NEAR: usize = 5;

impl Trajectory<'_> {
    /// Rank correlation between the pseudotime of a cell in the graph of its own half and the one it gets from the graph of
    /// the other half, mean over halves and halvings; and the score divided by its root, which is what a pseudotime without
    /// that noise would reach. The halves are the same for all representations.
    pub(super) fn reliabilities(&self, records: &[Record]) -> Result<Vec<Record>> {
        let a = &self.asked.assessment;
        let found = a.each("reliability of pseudotime", |r| {
            let x = &a.representations[r];
            match x.defect() {
                Some(reason) => Ok(Err(reason)),
                None => attempt(self.reliability(&x.matrix)),
            }
        })?;
        let mut out = vec![];
        for (r, found) in found.into_iter().enumerate() {
            let mut record = a.record(r, &metrics::DPT_SPEARMAN, "halves");
            record.metric = "dpt_reliability".into();
            record.value = found.as_ref().ok().copied().flatten();
            record.reason = Some(match &found {
                Ok(Some(_)) => "rank correlation of pseudotimes from the graphs of both halves of the cells".into(),
                Ok(None) => "undefined: a half is too small, or its cells are all alike".into(),
                Err(reason) => reason.clone(),
            });
            let mut free = record.clone();
            free.metric = "dpt_without_noise".into();
            let same = |o: &&Record| {
                o.metric == metrics::DPT_SPEARMAN.id
                    && o.split == "all"
                    && (&o.model, &o.site, &o.pooling) == (&record.model, &record.site, &record.pooling)
            };
            let score = records.iter().find(same).and_then(|o| o.value);
            let own = record.value.filter(|v| *v > 0.0);
            free.value = score.zip(own).map(|(s, own)| s / own.sqrt());
            free.reason = Some(match free.value {
                Some(_) => "score over the root of the reliability; no interval".into(),
                None => "the reliability is not above zero".into(),
            });
            out.extend([record, free]);
        }
        Ok(out)
    }

    fn reliability(&self, x: &Matrix) -> Result<Option<f64>> {
        let seed = self.asked.assessment.protocol.seed;
        let mut values = vec![];
        for split in 0..SPLITS {
            let mut cells = self.scored.to_vec();
            stream(seed, "halves of cells", split).shuffle(&mut cells);
            cells.truncate(MOST);
            let (one, other) = cells.split_at(cells.len() / 2);
            if one.len() <= self.options.k.max(self.options.n_comps) {
                return Ok(None);
            }
            let halves = [one, other].map(|half| x.select_rows(half));
            let mut times = vec![];
            for (half, matrix) in [one, other].into_iter().zip(&halves) {
                times.push(dpt(matrix, &self.roots_within(x, half, matrix)?, self.options, seed)?.pseudotime);
            }
            for (h, o) in [(0, 1), (1, 0)] {
                let near = knn_between(&halves[h], &halves[o], NEAR.min(halves[o].rows()), Metric::Euclidean)?;
                let given: Vec<f64> = (0..halves[h].rows())
                    .map(|i| {
                        let cells = near.row(i).0;
                        cells.iter().map(|&j| times[o][j as usize]).sum::<f64>() / cells.len() as f64
                    })
                    .collect();
                // A cell that a graph does not reach has no place in its order.
                let fine: Vec<usize> =
                    (0..given.len()).filter(|&i| given[i].is_finite() && times[h][i].is_finite()).collect();
                let pick = |v: &[f64]| fine.iter().map(|&i| v[i]).collect::<Vec<f64>>();
                values.extend(spearman(&pick(&times[h]), &pick(&given)).ok().flatten());
            }
        }
        Ok((!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64))
    }

    /// The roots among these cells, as places in the half; where there is none, the cell nearest to the first root.
    fn roots_within(&self, x: &Matrix, half: &[usize], matrix: &Matrix) -> Result<Vec<usize>> {
        let own: Vec<usize> = (0..half.len()).filter(|&i| self.roots.contains(&half[i])).collect();
        if !own.is_empty() {
            return Ok(own);
        }
        let nearest = knn_between(&x.select_rows(&self.roots[..1]), matrix, 1, Metric::Euclidean)?;
        Ok(nearest.row(0).0.iter().map(|&i| i as usize).collect())
    }
}
