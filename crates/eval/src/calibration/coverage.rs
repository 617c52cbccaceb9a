//! Do intervals hold a known truth?

use microtome_core::{Result, Silent};
use rayon::prelude::*;

use super::cells;
use crate::metrics::DPT_SPEARMAN;
use crate::protocol::bootstrap::{Series, bootstrap};
use crate::protocol::random::stream;
use crate::protocol::{Protocol, Resampling, Units};

/// An experiment on intervals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coverage {
    /// Cells.
    pub n_cells: usize,
    /// Independent units of equal size; `None`: every cell.
    pub n_units: Option<usize>,
    /// How replicates are drawn.
    pub resampling: Resampling,
    /// Correlation of two normal variables.
    pub r: f64,
    /// Share of the variance of both that is the same within a unit.
    pub between: f64,
}

/// Both variables of one run.
fn draw(e: &Coverage, seed: u64, run: u64) -> (Vec<f64>, Vec<f64>) {
    let mut rng = stream(seed, "coverage", run);
    let mut pair = || {
        let x = rng.normal();
        (x, e.r * x + (1.0 - e.r * e.r).sqrt() * rng.normal())
    };
    let of_units: Vec<(f64, f64)> = (0..e.n_units.unwrap_or(0)).map(|_| pair()).collect();
    let (shared, own) = (e.between.sqrt(), (1.0 - e.between).sqrt());
    let cell = |i: usize, (x, y): (f64, f64)| match e.n_units {
        None => (x, y),
        // Cells are dealt to units in turn.
        Some(m) => (shared * of_units[i % m].0 + own * x, shared * of_units[i % m].1 + own * y),
    };
    (0..e.n_cells).map(|i| cell(i, pair())).unzip()
}

/// In how many of `n_runs` runs the 95% interval of Spearman's rho holds the true value, which is 6/pi asin(r/2) (Pearson
/// 1907), whatever share of both variables lies between units. Errors when the numbers make no sense.
pub fn coverage(e: &Coverage, n_runs: usize, seed: u64) -> Result<usize> {
    let Coverage { n_cells, n_units, resampling, r, .. } = *e;
    let rho = 6.0 / std::f64::consts::PI * (r / 2.0).asin();
    let cells = cells(n_cells, n_units)?;
    let units = Units::new(&cells, &(0..n_cells).collect::<Vec<_>>())?;
    let hits: Vec<bool> = (0..n_runs as u64)
        .into_par_iter()
        .map(|run| {
            let (x, y) = draw(e, seed, run);
            let set = DPT_SPEARMAN.statistic.set(&x, &[&y]);
            let protocol = Protocol { n_bootstrap: 400, resampling, seed: run, ..Protocol::default() };
            let found = bootstrap(set.as_ref(), &[Series::Score(0)], &units, &protocol, &Silent)?;
            let interval = found.first().and_then(|f| f.interval(0.95));
            Ok(interval.is_some_and(|i| i.low <= rho && rho <= i.high))
        })
        .collect::<Result<_>>()?;
    Ok(hits.into_iter().filter(|h| *h).count())
}
