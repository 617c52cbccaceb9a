//! Bins by quantiles of a cell's own values, in the exact arithmetic of the libraries that the published tokenisers call:
//! a bin changes when an edge moves by one unit in the last place.
//!
//! - numpy: `numpy.quantile` (method `linear`, numpy 1.22 to 2.4) and `numpy.digitize`, as in bowang-lab/scGPT@cebd6fa `data_collator`.
//! - torch: `torch.quantile` and `torch.bucketize`, as in tahoebio/tahoe-x1@7dfe74f `collator`.

/// `numpy.quantile(x, numpy.linspace(0, 1, n_edges))` of single-precision values in ascending order: differences of neighbours are
/// taken in `f32`, everything else is `f64`. Empty when there are no values or fewer than two edges.
pub fn numpy_edges(sorted: &[f32], n_edges: usize) -> Vec<f64> {
    if sorted.is_empty() || n_edges < 2 {
        return vec![];
    }
    let last = sorted.len() - 1;
    let step = 1.0 / (n_edges - 1) as f64;
    let edge = |i: usize| {
        let q = if i + 1 == n_edges { 1.0 } else { i as f64 * step };
        let at = last as f64 * q;
        if at >= last as f64 {
            return f64::from(sorted[last]);
        }
        let below = at.floor();
        let (a, b, t) = (sorted[below as usize], sorted[below as usize + 1], at - below);
        let difference = f64::from(b - a);
        if t < 0.5 { f64::from(a) + difference * t } else { f64::from(b) - difference * (1.0 - t) }
    };
    (0..n_edges).map(edge).collect()
}

/// The bins that the published tokeniser may draw for a value: every whole number from `lower` to `upper`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admissible {
    /// Edges strictly below the value.
    below: usize,
    /// Edges at or below the value.
    at_or_below: usize,
}

impl Admissible {
    /// Counts the edges, which ascend.
    pub fn of(edges: &[f64], value: f64) -> Self {
        Self {
            below: edges.partition_point(|e| *e < value),
            at_or_below: edges.partition_point(|e| *e <= value),
        }
    }

    /// Smallest bin that can be drawn.
    pub fn lower(self) -> usize {
        (self.below + 1).min(self.at_or_below)
    }

    /// Largest bin that can be drawn.
    pub fn upper(self) -> usize {
        self.at_or_below
    }

    /// The published bin for a uniform draw `u` of `[0, 1)`: `ceil(l - u (l - r))` with `l` edges at or below and `r` strictly below.
    pub fn draw(self, u: f64) -> usize {
        let (l, r) = (self.at_or_below as f64, self.below as f64);
        (l - u * (l - r)).ceil() as usize
    }
}

/// In which precision `torch.quantile` places its quantiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TorchRanks {
    /// Releases before pytorch pull request 187574 (June 2026): every published result of 2025.
    Single,
    /// Later releases.
    Double,
}

/// `torch.linspace(0, 1, n)` in `f32`, as compiled with fused multiply-add.
pub fn torch_grades(n: usize) -> Vec<f32> {
    if n < 2 {
        return vec![0.0; n];
    }
    let step = 1.0f32 / (n - 1) as f32;
    let half = n / 2;
    (0..n)
        .map(|i| if i < half { step * i as f32 } else { (-step).mul_add((n - 1 - i) as f32, 1.0) })
        .collect()
}

/// `torch.quantile(x, torch.linspace(0, 1, n_edges))` of values in ascending order.
/// Empty when there are no values or fewer than two edges.
pub fn torch_edges(sorted: &[f32], n_edges: usize, ranks: TorchRanks) -> Vec<f32> {
    if sorted.is_empty() || n_edges < 2 {
        return vec![];
    }
    let last = sorted.len() - 1;
    let edge = |grade: f32| {
        let (low, high, weight) = match ranks {
            TorchRanks::Single => {
                let rank = grade * last as f32;
                (rank.floor() as usize, rank.ceil() as usize, rank - rank.floor())
            }
            TorchRanks::Double => {
                let rank = f64::from(grade) * last as f64;
                (rank.floor() as usize, rank.ceil() as usize, (rank - rank.floor()) as f32)
            }
        };
        let (a, b) = (sorted[low.min(last)], sorted[high.min(last)]);
        if weight < 0.5 { weight.mul_add(b - a, a) } else { (weight - 1.0).mul_add(b - a, b) }
    };
    torch_grades(n_edges).into_iter().map(edge).collect()
}

/// Bins of the published Tahoe-x1 collator, 1 to `n_bins - 1`: one more than the number of edges strictly below a value, or with
/// `right` the number of edges at or below it. When the smallest value is not positive, the edges are those of the values other
/// than zero, and zeros count as below all edges.
pub fn torch_bins(values: &[f32], n_bins: usize, right: bool, ranks: TorchRanks) -> Vec<usize> {
    let smallest = values.iter().copied().fold(f32::INFINITY, f32::min);
    let mut sorted: Vec<f32> = values.iter().copied().filter(|v| smallest > 0.0 || *v != 0.0).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let edges = torch_edges(&sorted, n_bins.saturating_sub(1), ranks);
    let below = |v: &f32| match (smallest > 0.0 || *v != 0.0, right) {
        (false, _) => 0,
        (true, true) => edges.partition_point(|e| e <= v),
        (true, false) => edges.partition_point(|e| e < v),
    };
    values.iter().map(|v| below(v) + usize::from(!right)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numpy_edges_interpolate_from_the_nearer_side() {
        // numpy.quantile([1, 2, 4, 8], [0, 1/3, 2/3, 1]) and ([0.1, 0.7], [0, .25, .5, .75, 1]) of numpy 2.4.
        assert_eq!(numpy_edges(&[1.0, 2.0, 4.0, 8.0], 4), [1.0, 2.0, 4.0, 8.0]);
        let (low, high) = (f64::from(0.1f32), f64::from(0.7f32));
        let b = f64::from(0.7f32 - 0.1f32);
        assert_ne!(b, high - low, "single precision shows");
        let edges = [low, low + b * 0.25, high - b * 0.5, high - b * 0.25, high];
        assert_eq!(numpy_edges(&[0.1, 0.7], 5), edges);
        assert_eq!(numpy_edges(&[3.0], 50), [3.0; 50]);
        assert!(numpy_edges(&[], 50).is_empty());
    }

    #[test]
    fn ties_admit_an_interval_and_draws_stay_inside() {
        let edges = [1.0, 1.0, 1.0, 2.0];
        let one = Admissible::of(&edges, 1.0);
        assert_eq!((one.lower(), one.upper()), (1, 3));
        assert_eq!((one.draw(0.0), one.draw(0.5), one.draw(1.0 - f64::EPSILON)), (3, 2, 1));
        let between = Admissible::of(&edges, 1.5);
        assert_eq!((between.lower(), between.upper(), between.draw(0.3)), (3, 3, 3));
        let top = Admissible::of(&edges, 2.0);
        assert_eq!((top.lower(), top.upper(), top.draw(0.9)), (4, 4, 4));
    }

    #[test]
    fn torch_bins_count_edges_strictly_below() {
        let values: Vec<f32> = (1..=50).map(|v| v as f32).collect();
        let bins = torch_bins(&values, 51, false, TorchRanks::Double);
        assert_eq!((bins[0], bins[49]), (1, 50));
        assert!(bins.is_sorted());
        assert_eq!(torch_bins(&[5.0], 51, false, TorchRanks::Single), [1]);
        assert_eq!(torch_bins(&[5.0], 51, true, TorchRanks::Single), [50]);
        // Zeros define no edge and get the first bin.
        assert_eq!(torch_bins(&[0.0, 5.0, 0.0], 51, false, TorchRanks::Double), [1, 1, 1]);
        assert_eq!(torch_bins(&[0.0, -5.0], 51, true, TorchRanks::Double), [0, 50]);
        assert!(torch_bins(&[], 51, false, TorchRanks::Double).is_empty());
    }
}
