//! Choice of the root cells. It looks at time alone, never at a representation.

use crate::protocol::random::stream;

use super::Root;

/// Fewest candidates among which roots are drawn.
const MIN_CANDIDATES: usize = 5;

/// The roots, ascending, and how they were found. `time` of all cells, NaN where missing; at least one is known.
pub(super) fn roots(root: Root, time: &[f64], seed: u64) -> (Vec<usize>, String) {
    let n_roots = match root {
        Root::Cell(cell) => return (vec![cell], format!("cell {cell}, named by the user")),
        Root::EarliestTime { n_roots } => n_roots,
    };
    let mut known: Vec<usize> = (0..time.len()).filter(|&i| !time[i].is_nan()).collect();
    known.sort_by(|&a, &b| time[a].total_cmp(&time[b]).then(a.cmp(&b)));
    let at_minimum = known.iter().take_while(|&&i| time[i] == time[known[0]]).count();
    let (n_candidates, words) = if at_minimum >= MIN_CANDIDATES {
        (at_minimum, format!("{at_minimum} cells at the minimum time"))
    } else {
        let n = known.len().div_ceil(100).max(MIN_CANDIDATES).min(known.len());
        (n, format!("the {n} earliest cells"))
    };
    let mut candidates = known[..n_candidates].to_vec();
    stream(seed, "roots", 0).shuffle(&mut candidates);
    candidates.truncate(n_roots);
    candidates.sort_unstable();
    let n = candidates.len();
    (candidates, format!("{n} cells drawn from {words}; pseudotime is the median over these roots"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_lie_in_the_earliest_stratum_and_never_at_missing_time() {
        let mut time: Vec<f64> = (0..60).map(|i| f64::from(i % 3)).collect();
        time[0] = f64::NAN;
        let (found, words) = roots(Root::EarliestTime { n_roots: 7 }, &time, 1);
        assert_eq!(found.len(), 7);
        assert!(found.iter().all(|&i| time[i] == 0.0), "{words}");
    }

    #[test]
    fn continuous_time_takes_the_earliest_cells() {
        let time: Vec<f64> = (0..1000).rev().map(f64::from).collect();
        let (found, _) = roots(Root::EarliestTime { n_roots: 50 }, &time, 1);
        assert_eq!(found, (990..1000).collect::<Vec<_>>());
    }
}
