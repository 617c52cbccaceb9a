//! The same geometry with cells as rows: one vector per cell and site, all categories together.

use microtome_anatomy::Estimated;
use microtome_anatomy::geometry::curvature;
use microtome_core::{Matrix, Progress, Result, Role};
use microtome_numerics::resample::{Rng, normal_quantile};
use serde::{Deserialize, Serialize};

use super::expression::Cells;
use super::geometry::{CURVES, Geometry, Member, Rotations};
use crate::gene_store::{GeneStore, ModelEntry};

/// Most cells that are looked at: intervals take one more look per category.
const MOST: usize = 240;
/// Fewest categories for an interval.
const FEWEST: usize = 6;
/// Most stretches of pseudotime.
const STRETCHES: usize = 10;
/// Fewest cells of a stretch.
const PER_STRETCH: usize = 5;

/// Models, or twins, over the same cells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct CellSide {
    pub(super) geometry: Geometry,
    /// Per curve, member and site: the value over all cells, with a jackknife interval over categories.
    pub(super) curves: Vec<Vec<Vec<Estimated>>>,
    /// Per member and site: curvature of centroids along pseudotime, in radians; empty where no time was named.
    pub(super) along_time: Vec<Vec<Estimated>>,
}

/// The cells of all categories in both sides; `None` with fewer than four cells.
pub(super) struct CellQuestion<'a> {
    pub(super) store: &'a GeneStore,
    pub(super) cells: &'a Cells,
    pub(super) time: Option<&'a str>,
    pub(super) memory: usize,
    pub(super) rotations: Rotations,
    pub(super) seed: u64,
    pub(super) progress: &'a dyn Progress,
}

impl CellQuestion<'_> {
    pub(super) fn answer(&self, role: Role) -> Result<Option<CellSide>> {
        let entries: Vec<&ModelEntry> =
            self.store.manifest().models.iter().filter(|m| m.role == role).collect();
        let categories: Vec<&str> =
            self.store.manifest().categories.iter().map(|c| c.name.as_str()).collect();
        let per_category = (MOST / categories.len().max(1)).max(1);
        // Category, place within it, place among all cells.
        let mut chosen: Vec<(usize, usize, usize)> = vec![];
        for (c, name) in categories.iter().enumerate() {
            let range = self.cells.range(name);
            let mut places: Vec<usize> = (0..range.len()).collect();
            if places.len() > per_category {
                places = Rng::stream(self.seed, c as u64).choose(range.len(), per_category);
                places.sort_unstable();
            }
            chosen.extend(places.into_iter().map(|p| (c, p, range.start + p)));
        }
        let mut members = vec![];
        for entry in &entries {
            let mut streams = vec![];
            for site in &entry.sites {
                let mut rows = vec![];
                let mut width = site.width;
                for (c, name) in categories.iter().enumerate() {
                    let Some(found) = self.store.cells(entry, name, &site.site)? else { return Ok(None) };
                    width = found.cols();
                    let of_category = chosen.iter().filter(|x| x.0 == c && x.1 < found.rows());
                    of_category.for_each(|x| rows.extend_from_slice(found.row(x.1)));
                }
                streams.push(Matrix::new(rows.len() / width.max(1), width, rows)?);
            }
            let sites = entry.sites.iter().map(|s| s.site.clone()).collect();
            members.push(Member { name: entry.name.clone(), sites, streams });
        }
        // Cells without a token in some model are rows of NaN there.
        let whole = |at: usize| {
            members.iter().all(|m| m.streams.iter().all(|x| x.row(at).iter().all(|v| v.is_finite())))
        };
        let kept: Vec<usize> = (0..chosen.len()).filter(|&at| whole(at)).collect();
        if kept.len() < 4 {
            return Ok(None);
        }
        let geometry = Geometry::of(&of_rows(&members, &kept), self.memory, self.rotations, self.progress)?;
        let mut without = vec![];
        if categories.len() >= FEWEST {
            for c in 0..categories.len() {
                let rest: Vec<usize> = kept.iter().copied().filter(|&at| chosen[at].0 != c).collect();
                if rest.len() >= 4 && rest.len() < kept.len() {
                    without.push(Geometry::of(
                        &of_rows(&members, &rest),
                        self.memory,
                        Rotations::None,
                        self.progress,
                    )?);
                }
            }
        }
        let curves = CURVES
            .iter()
            .map(|curve| {
                let of_member = |m: usize| {
                    (0..members[m].sites.len())
                        .map(|i| {
                            let value = (curve.read)(&geometry, m, i);
                            let left: Vec<Option<f64>> =
                                without.iter().map(|g| (curve.read)(g, m, i)).collect();
                            jackknife(value, &left, kept.len() as u64)
                        })
                        .collect()
                };
                (0..members.len()).map(of_member).collect()
            })
            .collect();
        let cells: Vec<usize> = kept.iter().map(|&at| chosen[at].2).collect();
        Ok(Some(CellSide { geometry, curves, along_time: self.along_time(&members, &kept, &cells)? }))
    }

    /// Cells in order of time, in stretches of equal number; the curvature of the path of their centroids.
    fn along_time(&self, members: &[Member], kept: &[usize], cells: &[usize]) -> Result<Vec<Vec<Estimated>>> {
        let Some(name) = self.time else { return Ok(vec![]) };
        let all = self.cells.data.obs_numbers(name)?;
        let mut order: Vec<(f64, usize)> = kept
            .iter()
            .zip(cells)
            .map(|(&row, &cell)| (all[cell], row))
            .filter(|t| t.0.is_finite())
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let stretches = (order.len() / PER_STRETCH).min(STRETCHES);
        let of_site = |x: &Matrix| {
            if stretches < 3 {
                return Ok(Estimated::missing(
                    order.len() as u64,
                    "too few cells with a time for three stretches",
                ));
            }
            let mut path = Matrix::zeros(stretches, x.cols());
            for s in 0..stretches {
                let members = &order[s * order.len() / stretches..(s + 1) * order.len() / stretches];
                let share = 1.0 / members.len() as f32;
                for &(_, row) in members {
                    path.row_mut(s).iter_mut().zip(x.row(row)).for_each(|(p, v)| *p += share * v);
                }
            }
            curvature(&path)
        };
        members.iter().map(|m| m.streams.iter().map(of_site).collect()).collect()
    }
}

fn of_rows(members: &[Member], rows: &[usize]) -> Vec<Member> {
    members
        .iter()
        .map(|m| Member {
            name: m.name.clone(),
            sites: m.sites.clone(),
            streams: m.streams.iter().map(|x| x.select_rows(rows)).collect(),
        })
        .collect()
}

/// A value with the normal interval of the delete-one-group jackknife (Efron and Tibshirani 1993, chapter 11).
fn jackknife(value: Option<f64>, left: &[Option<f64>], n: u64) -> Estimated {
    let Some(value) = value else { return Estimated::missing(n, "no value over all cells") };
    let held: Vec<f64> = left.iter().flatten().copied().collect();
    let mut out = Estimated::exact(value, n);
    if held.len() < FEWEST {
        out.reason =
            Some(format!("{} categories are too few for an interval (at least {FEWEST})", held.len()));
        return out;
    }
    let g = held.len() as f64;
    let mean = held.iter().sum::<f64>() / g;
    let error = ((g - 1.0) / g * held.iter().map(|v| (v - mean).powi(2)).sum::<f64>()).sqrt();
    let half = normal_quantile(0.975) * error;
    (out.low, out.high) = (Some(value - half), Some(value + half));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jackknife_of_a_mean_is_its_standard_error() {
        let values = [1.0, 2.0, 4.0, 8.0, 16.0, 3.0];
        let total: f64 = values.iter().sum();
        let mean = total / 6.0;
        let left: Vec<Option<f64>> = values.iter().map(|v| Some((total - v) / 5.0)).collect();
        let out = jackknife(Some(mean), &left, 6);
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 5.0;
        let half = 1.959_963_984_540_054 * (variance / 6.0).sqrt();
        assert!(
            (out.high.unwrap() - mean - half).abs() < 1e-9 && (mean - out.low.unwrap() - half).abs() < 1e-9
        );
        assert!(jackknife(Some(1.0), &left[..5], 5).reason.is_some());
    }
}
