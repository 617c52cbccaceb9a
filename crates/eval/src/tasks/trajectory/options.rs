//! Choices of the trajectory task.

use microtome_core::{Error, Result};
use serde::Serialize;

use crate::{Cells, Groups};
use crate::metrics::Metric;

/// Where pseudotime starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Root {
    /// This cell (row of the data set).
    Cell(usize),
    /// Several cells drawn with the seed from the earliest time: all cells at the minimum time or, where fewer
    /// than five cells share it, the earliest 1% of the cells (at least five). The pseudotime of a cell is the
    /// median over the roots. The same cells are the roots of every representation, so no representation can
    /// profit from a root that suits it.
    EarliestTime {
        /// Number of roots.
        n_roots: usize,
    },
}

/// How neighbour distances become edge weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GraphWeights {
    /// UMAP's fuzzy set, scanpy's default.
    Umap,
    /// Gaussian with adaptive width, scanpy's `method="gauss"`.
    Gaussian,
}

/// Choices of the trajectory task.
#[derive(Clone, Debug, PartialEq)]
pub struct TrajectoryOptions {
    /// Name of the time, for instance the column of `obs`.
    pub time_name: String,
    /// Time per cell; NaN is missing and such cells are not scored.
    pub time: Vec<f64>,
    /// Where pseudotime starts.
    pub root: Root,
    /// Neighbours in the graph, the cell itself included: scanpy's `n_neighbors`. Nearest-neighbour regression takes the
    /// mean of as many training cells.
    pub k: usize,
    /// Diffusion components that are computed.
    pub n_comps: usize,
    /// Diffusion components that pseudotime uses.
    pub n_dcs: usize,
    /// Edge weights.
    pub weights: GraphWeights,
    /// Read Palantir's pseudotime as well; it costs minutes per thousand cells and representation.
    pub palantir: bool,
    /// Groups of cells between which the best depth may shift.
    pub strata: Option<Groups>,
    /// Clones: sister cells of different time are asked for their order.
    pub clones: Option<Groups>,
    /// Headline metric: the one that decides.
    pub headline: &'static Metric,
}

/// Most different times that count as ordered stages.
const MAX_STAGES: usize = 20;

impl TrajectoryOptions {
    /// k = 15; scanpy's 15 diffusion components, 10 of them used, and UMAP weights; 20 roots.
    pub fn new(time_name: impl Into<String>, time: Vec<f64>) -> Self {
        Self {
            time_name: time_name.into(),
            time,
            root: Root::EarliestTime { n_roots: 20 },
            k: 15,
            n_comps: 15,
            n_dcs: 10,
            weights: GraphWeights::Umap,
            palantir: false,
            strata: None,
            clones: None,
            headline: super::TASK.metrics[0],
        }
    }

    /// Names the headline by its id. Errors when the task has no such metric.
    pub fn with_headline(mut self, id: &str) -> Result<Self> {
        self.headline = super::TASK.metric(id)?;
        Ok(self)
    }

    /// Why time is not a matter of ordered stages, where it is not.
    pub(super) fn too_many_stages(&self) -> Option<String> {
        let mut stages: Vec<f64> = self.time.iter().copied().filter(|t| !t.is_nan()).collect();
        stages.sort_by(f64::total_cmp);
        stages.dedup();
        (stages.len() > MAX_STAGES).then(|| {
            let (n, name) = (stages.len(), &self.time_name);
            format!("{name} has {n} different values; proportional odds are for at most {MAX_STAGES} ordered stages")
        })
    }

    /// Errors when the choices do not fit each other or the cells.
    pub(super) fn check(&self, cells: &Cells) -> Result<()> {
        if self.time.len() != cells.n {
            return Err(Error::usage("time must be given for every cell of the data set")
                .at_key(self.time_name.clone())
                .expected(format!("{} values", cells.n))
                .found(format!("{} values", self.time.len())));
        }
        if let Some(i) = self.time.iter().position(|t| t.is_infinite()) {
            return Err(Error::usage("time must be finite or missing")
                .at_key(self.time_name.clone())
                .found(format!("{} in cell {i}", self.time[i])));
        }
        let bad = |key: &str, expected: String, found: String| {
            Err(Error::usage("trajectory setting out of range").at_key(key).expected(expected).found(found))
        };
        if self.k < 3 || self.k > cells.n {
            return bad("k", format!("3 to {} (the cells)", cells.n), self.k.to_string());
        }
        if self.headline.reading == "palantir" && !self.palantir {
            return bad("headline", "palantir to be read".into(), self.headline.id.into());
        }
        if self.headline.reading == "ordinal_time"
            && let Some(reason) = self.too_many_stages()
        {
            return bad("headline", "ordered stages".into(), reason);
        }
        if super::is_clonal(self.headline) && self.clones.is_none() {
            return bad("headline", "clones to be named".into(), self.headline.id.into());
        }
        if self.n_comps < 2 || self.n_comps >= cells.n {
            return bad("n_comps", format!("2 to {}", cells.n.saturating_sub(1)), self.n_comps.to_string());
        }
        if self.n_dcs < 2 || self.n_dcs > self.n_comps {
            return bad("n_dcs", format!("2 to n_comps ({})", self.n_comps), self.n_dcs.to_string());
        }
        for (key, groups) in [("strata", &self.strata), ("clones", &self.clones)] {
            if let Some(groups) = groups.as_ref().filter(|g| g.codes.len() != cells.n) {
                return bad(key, format!("{} values", cells.n), format!("{} values", groups.codes.len()));
            }
        }
        match self.root {
            Root::Cell(i) if i >= cells.n => {
                bad("root", format!("a cell below {}", cells.n), i.to_string())
            }
            Root::EarliestTime { n_roots: 0 } => bad("n_roots", "at least 1".into(), "0".into()),
            _ => Ok(()),
        }
    }
}
