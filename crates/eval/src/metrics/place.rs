//! Whether an embedding has collapsed, as far as neighbour lists can tell.

use microtome_numerics::knn::Knn;
use microtome_numerics::subgraph::largest_strong_component;

/// Whether all cells are at one place: being at distance 0 is transitive, so that is the case exactly when neighbours
/// at distance 0 connect all cells.
pub(super) fn all_at_one_place(knn: &Knn) -> bool {
    if knn.n == 0 || knn.distances.iter().any(|&d| d != 0.0) {
        return false;
    }
    let mut both_ways = vec![Vec::new(); knn.n];
    for i in 0..knn.n {
        for &j in knn.row(i).0 {
            both_ways[i].push(j);
            both_ways[j as usize].push(i as u32);
        }
    }
    largest_strong_component(&both_ways).is_ok_and(|n| n == knn.n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use microtome_core::Matrix;
    use microtome_numerics::knn::{Metric, exact_knn};

    #[test]
    fn two_places_are_not_one() {
        let mut x = Matrix::zeros(40, 1);
        assert!(all_at_one_place(&exact_knn(&x, 3, Metric::Euclidean).unwrap()));
        (20..40).for_each(|i| x.row_mut(i)[0] = 1.0);
        assert!(!all_at_one_place(&exact_knn(&x, 3, Metric::Euclidean).unwrap()));
    }
}
