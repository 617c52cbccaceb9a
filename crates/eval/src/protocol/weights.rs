//! Many weighted versions of the same cells at once.
//!
//! A bootstrap replicate, a fold and a deleted unit are all the same thing: a multiplicity per cell. Scores are
//! computed for [`LANES`] of them together, so that the sorted order of the cells is walked once for all.

/// How many sets of weights are scored together.
pub const LANES: usize = 8;

/// One number per lane.
pub type Lanes = [f64; LANES];

/// Adds lane by lane.
pub(crate) fn add_lanes(to: &mut Lanes, more: &Lanes) {
    to.iter_mut().zip(more).for_each(|(t, m)| *t += m);
}

/// How often every cell counts, in [`LANES`] replicates; whole numbers, zero for a cell that is left out.
#[derive(Clone, Debug)]
pub struct Weights {
    cells: Vec<Lanes>,
}

impl Weights {
    /// The weights of every cell.
    pub(crate) fn from_cells(cells: Vec<Lanes>) -> Self {
        Self { cells }
    }

    /// No cell counts in any lane.
    pub fn zero(n_cells: usize) -> Self {
        Self { cells: vec![[0.0; LANES]; n_cells] }
    }

    /// Every cell counts once in every lane.
    pub fn all(n_cells: usize) -> Self {
        Self { cells: vec![[1.0; LANES]; n_cells] }
    }

    /// Lane `l` holds the cells of `subsets[l]` once each; surplus lanes stay empty.
    pub fn subsets(n_cells: usize, subsets: &[Vec<usize>]) -> Self {
        let mut w = Self::zero(n_cells);
        for (lane, cells) in subsets.iter().take(LANES).enumerate() {
            for &c in cells {
                w.cells[c][lane] = 1.0;
            }
        }
        w
    }

    /// Adds `times` to one cell in one lane.
    pub fn add(&mut self, cell: usize, lane: usize, times: f64) {
        self.cells[cell][lane] += times;
    }

    /// Weights by cell.
    pub fn cells(&self) -> &[Lanes] {
        &self.cells
    }

    /// Sum over cells per lane.
    pub fn totals(&self) -> Lanes {
        let mut sum = [0.0; LANES];
        for w in &self.cells {
            add_lanes(&mut sum, w);
        }
        sum
    }
}

/// The scale on which intervals of a score are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// -1..1: Fisher's z, which steadies the variance of a correlation.
    Correlation,
    /// 0..1: arcsine of the square root, which steadies the variance of a share and stays finite at both ends.
    Share,
    /// The number itself.
    Plain,
}

impl Scale {
    /// Onto the scale. A perfect correlation has no finite z; the clamp keeps it an ordinary number.
    pub(crate) fn to(self, score: f64) -> f64 {
        match self {
            Self::Correlation => score.clamp(-1.0 + 1e-12, 1.0 - 1e-12).atanh(),
            Self::Share => score.clamp(0.0, 1.0).sqrt().asin(),
            Self::Plain => score,
        }
    }

    /// Back from the scale.
    pub(crate) fn back(self, value: f64) -> f64 {
        match self {
            Self::Correlation => value.tanh(),
            Self::Share => value.clamp(0.0, std::f64::consts::FRAC_PI_2).sin().powi(2),
            Self::Plain => value,
        }
    }
}

/// Scores of several representations on the same cells against the same truth.
pub trait ScoreSet: Sync {
    /// The scale on which intervals of these scores are made.
    fn scale(&self) -> Scale {
        Scale::Correlation
    }

    /// Number of representations.
    fn len(&self) -> usize;

    /// True when there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The score of every representation under every lane of `weights`; NaN where it is undefined.
    fn weighted(&self, weights: &Weights) -> Vec<Lanes>;

    /// The score of every representation when cell `i` is given the truth of cell `truth_of[lane][i]`, for up to
    /// [`LANES`] permutations; surplus lanes hold NaN.
    fn permuted(&self, truth_of: &[Vec<u32>]) -> Vec<Lanes>;
}
