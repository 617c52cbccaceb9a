//! Train/test splits that never put one unit on both sides.

use super::{Rng, Units};
use microtome_core::{Error, Result};

/// One split, cells ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    /// Cells to fit on.
    pub train: Vec<usize>,
    /// Cells to score.
    pub test: Vec<usize>,
}

/// Holds out every unit once. Errors with fewer than two units.
pub fn leave_one_unit_out(units: &Units) -> Result<Vec<Fold>> {
    need(units, 2)?;
    Ok((0..units.len()).map(|u| Fold { train: units.without(u), test: units.members(u).to_vec() }).collect())
}

/// `k` folds of whole units of similar cell number: units in random order, large ones first, each to the fold that
/// has the fewest cells so far. Errors when `k` is below 2 or above the number of units.
pub fn grouped_k_fold(units: &Units, k: usize, rng: &mut Rng) -> Result<Vec<Fold>> {
    if k < 2 {
        return Err(Error::usage("cross-validation needs at least two folds")
            .expected("2 or more")
            .found(k.to_string()));
    }
    need(units, k)?;
    let mut order = rng.permutation(units.len());
    order.sort_by_key(|&u| std::cmp::Reverse(units.members(u).len()));
    let mut fold_of = vec![0; units.len()];
    let mut sizes = vec![(0usize, 0usize); k];
    for unit in order {
        // Number of units breaks ties, so that no fold stays empty while others hold two.
        let fold = (0..k).min_by_key(|&f| sizes[f]).unwrap_or(0);
        fold_of[unit] = fold;
        sizes[fold].0 += units.members(unit).len();
        sizes[fold].1 += 1;
    }
    Ok((0..k)
        .map(|f| {
            let pick = |inside: bool| {
                let mut cells: Vec<usize> = (0..units.len())
                    .filter(|&u| (fold_of[u] == f) == inside)
                    .flat_map(|u| units.members(u).iter().copied())
                    .collect();
                cells.sort_unstable();
                cells
            };
            Fold { train: pick(false), test: pick(true) }
        })
        .collect())
}

fn need(units: &Units, n: usize) -> Result<()> {
    if units.len() < n {
        return Err(Error::mismatch("not enough units to split")
            .expected(format!("at least {n} units"))
            .found(format!("{} units", units.len()))
            .remedy("ask for fewer folds, or name a unit column with more groups"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_partition_cells_by_unit() {
        let codes: Vec<u32> = (0..100).map(|i| (i * i + i / 7) % 9).collect();
        let units = Units::new(&codes);
        let folds = grouped_k_fold(&units, 4, &mut Rng::new(3)).unwrap();
        let mut seen = vec![0; 100];
        for fold in &folds {
            assert!(!fold.test.is_empty());
            assert_eq!(fold.train.len() + fold.test.len(), 100);
            fold.test.iter().for_each(|&c| seen[c] += 1);
            assert!(fold.test.iter().all(|&t| fold.train.iter().all(|&r| codes[t] != codes[r])));
        }
        assert!(seen.iter().all(|&s| s == 1));
        assert_eq!(leave_one_unit_out(&units).unwrap().len(), units.len());
        assert!(grouped_k_fold(&units, 10, &mut Rng::new(3)).is_err());
        assert!(grouped_k_fold(&units, 1, &mut Rng::new(3)).is_err());
        assert!(leave_one_unit_out(&Units::new(&[1, 1])).is_err());
    }
}
