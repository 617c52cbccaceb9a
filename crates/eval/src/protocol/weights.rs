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

/// Scores of several representations on the same cells against the same truth.
pub trait ScoreSet: Sync {
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
