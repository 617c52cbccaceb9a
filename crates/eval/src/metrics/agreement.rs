//! Agreement of two partitions: adjusted Rand index, normalised mutual information, Fowlkes-Mallows index.
//!
//! A cell without a group on either side ([`Groups::MISSING`](crate::Groups::MISSING)) is left out and counted.

use super::definition::{Definition, Need};
use super::groups::{Grouping, Usable};
use super::score::Score;
use microtome_core::{Direction, Result};
use std::collections::BTreeMap;

/// Adjusted Rand index.
pub static ARI: Definition = Definition {
    id: "ari",
    version: 1,
    direction: Direction::Higher,
    range: (-0.5, 1.0),
    needs: &[Need::Labels, Need::Predictions],
    words: "Adjusted Rand index: pairs of cells grouped alike in both partitions, corrected for chance",
    citation: "Hubert and Arabie 1985, J. Classif. 2:193",
    deviations: "",
};

/// Normalised mutual information.
pub static NMI: Definition = Definition {
    id: "nmi",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Labels, Need::Predictions],
    words: "Normalised mutual information of two partitions (arithmetic mean of the entropies)",
    citation: "Strehl and Ghosh 2002, JMLR 3:583; normalised as scikit-learn's default",
    deviations: "",
};

/// Fowlkes-Mallows index.
pub static FMI: Definition = Definition {
    id: "fmi",
    version: 1,
    direction: Direction::Higher,
    range: (0.0, 1.0),
    needs: &[Need::Labels, Need::Predictions],
    words: "Fowlkes-Mallows index: geometric mean of pairwise precision and recall",
    citation: "Fowlkes and Mallows 1983, JASA 78:553",
    deviations: "no number where one side has no pair of cells in one group (scikit-learn: 0)",
};

pub(super) static DEFINITIONS: &[&Definition] = &[&ARI, &NMI, &FMI];

/// Cells by pair of groups.
struct Contingency {
    n: f64,
    cells: Vec<(u32, u32, f64)>,
    rows: Vec<f64>,
    columns: Vec<f64>,
    usable: Usable,
}

impl Contingency {
    fn new(a: &[u32], b: &[u32]) -> Result<Self> {
        let usable = Usable::of(a.len(), &[], &[a, b])?;
        let (a, b) = (Grouping::new(&usable.codes(a)), Grouping::new(&usable.codes(b)));
        let mut table = BTreeMap::new();
        a.codes.iter().zip(&b.codes).for_each(|(&a, &b)| *table.entry((a, b)).or_insert(0.0) += 1.0);
        let sizes = |g: &Grouping| g.members.iter().map(|m| m.len() as f64).collect();
        Ok(Self {
            n: usable.cells.len() as f64,
            cells: table.into_iter().map(|((a, b), n)| (a, b, n)).collect(),
            rows: sizes(&a),
            columns: sizes(&b),
            usable,
        })
    }

    fn pairs(&self) -> (f64, f64, f64) {
        let two = |n: f64| n * (n - 1.0) / 2.0;
        (
            self.cells.iter().map(|c| two(c.2)).sum(),
            self.rows.iter().map(|&n| two(n)).sum(),
            self.columns.iter().map(|&n| two(n)).sum(),
        )
    }

    fn score(&self, value: Option<f64>, reason: &str) -> Score {
        let score = match value {
            _ if self.n == 0.0 => Score::undefined("no cells"),
            Some(v) => Score::new(v, self.usable.cells.len()),
            None => Score::undefined(reason),
        };
        self.usable.note(score)
    }
}

impl Contingency {
    fn ari(&self) -> Score {
        let (both, rows, columns) = self.pairs();
        let all = self.n * (self.n - 1.0) / 2.0;
        let expected = if all > 0.0 { rows * columns / all } else { 0.0 };
        let most = 0.5 * (rows + columns);
        // Equal only where both partitions are trivial in the same way, or there is a single cell.
        let value = if most == expected { 1.0 } else { (both - expected) / (most - expected) };
        self.score(Some(value), "")
    }

    fn nmi(&self) -> Score {
        let n = self.n;
        if self.rows.len() <= 1 && self.columns.len() <= 1 {
            return self.score(Some(1.0), "");
        }
        let shared: f64 = self
            .cells
            .iter()
            .map(|&(a, b, c)| c / n * (c * n / (self.rows[a as usize] * self.columns[b as usize])).ln())
            .sum();
        let mean = 0.5 * (entropy(&self.rows, n) + entropy(&self.columns, n));
        self.score(Some((shared / mean).clamp(0.0, 1.0)), "")
    }

    fn fmi(&self) -> Score {
        let (both, rows, columns) = self.pairs();
        let value = (rows > 0.0 && columns > 0.0).then(|| both / (rows * columns).sqrt());
        self.score(value, "a side has no two cells in one group")
    }
}

fn entropy(sizes: &[f64], n: f64) -> f64 {
    -sizes.iter().map(|s| s / n * (s / n).ln()).sum::<f64>()
}

/// Adjusted Rand index; 1 where both sides are one group, or every cell its own group. Symmetric. Errors when lengths
/// differ.
pub fn ari(a: &[u32], b: &[u32]) -> Result<Score> {
    Ok(Contingency::new(a, b)?.ari())
}

/// Normalised mutual information; 1 where both sides are one group. Symmetric. Errors when lengths differ.
pub fn nmi(a: &[u32], b: &[u32]) -> Result<Score> {
    Ok(Contingency::new(a, b)?.nmi())
}

/// Fowlkes-Mallows index. Symmetric. Errors when lengths differ.
pub fn fmi(a: &[u32], b: &[u32]) -> Result<Score> {
    Ok(Contingency::new(a, b)?.fmi())
}

/// [`ari`], [`nmi`] and [`fmi`] from one count of the cells.
pub fn agreement(a: &[u32], b: &[u32]) -> Result<[Score; 3]> {
    let table = Contingency::new(a, b)?;
    Ok([table.ari(), table.nmi(), table.fmi()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Groups;
    use microtome_numerics::resample::Rng;

    const A: [u32; 6] = [0, 0, 1, 1, 2, 2];
    const B: [u32; 6] = [0, 0, 1, 2, 2, 2];

    type Metric = fn(&[u32], &[u32]) -> Result<Score>;

    #[test]
    fn golden_g8() {
        let value = |f: Metric| f(&A, &B).unwrap().value.unwrap();
        assert!((value(ari) - 0.444_444).abs() < 1e-6);
        assert!((value(fmi) - 0.577_350).abs() < 1e-6);
        assert!((value(nmi) - 0.739_667).abs() < 1e-6);
    }

    #[test]
    fn symmetric_and_blind_to_names_and_order() {
        let mut rng = Rng::new(1);
        for f in [ari as Metric, nmi, fmi] {
            for _ in 0..50 {
                let a: Vec<u32> = (0..40).map(|_| rng.below(4) as u32).collect();
                let b: Vec<u32> = (0..40).map(|_| rng.below(5) as u32).collect();
                let want = f(&a, &b).unwrap().value.unwrap();
                assert!((f(&b, &a).unwrap().value.unwrap() - want).abs() < 1e-12);
                let renamed: Vec<u32> = a.iter().map(|c| 1000 - 7 * c).collect();
                assert!((f(&renamed, &b).unwrap().value.unwrap() - want).abs() < 1e-12);
                let order = rng.permutation(40);
                let pick = |v: &[u32]| -> Vec<u32> { order.iter().map(|&i| v[i]).collect() };
                assert!((f(&pick(&a), &pick(&b)).unwrap().value.unwrap() - want).abs() < 1e-12);
                assert!((-0.5..=1.0).contains(&want));
                assert!((f(&a, &a).unwrap().value.unwrap() - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn shuffled_labels_agree_by_chance_only() {
        let mut rng = Rng::new(2);
        let a: Vec<u32> = (0..4000).map(|i| i % 5).collect();
        let mut b = a.clone();
        rng.shuffle(&mut b);
        assert!(ari(&a, &b).unwrap().value.unwrap().abs() < 0.01);
        assert!(nmi(&a, &b).unwrap().value.unwrap() < 0.01);
    }

    #[test]
    fn trivial_partitions_and_missing_cells() {
        for f in [ari as Metric, nmi, fmi] {
            let none = f(&[], &[]).unwrap();
            assert!(none.value.is_none() && none.reason.is_some());
            assert!(f(&[0], &[]).is_err());
        }
        let (one, own) = ([3; 5], [0, 1, 2, 3, 4]);
        assert_eq!(ari(&one, &one).unwrap().value, Some(1.0));
        assert_eq!(ari(&own, &own).unwrap().value, Some(1.0));
        assert_eq!(ari(&one, &own).unwrap().value, Some(0.0));
        assert_eq!(nmi(&one, &one).unwrap().value, Some(1.0));
        assert_eq!(nmi(&one, &own).unwrap().value, Some(0.0));
        assert_eq!(ari(&[1], &[2]).unwrap().value, Some(1.0));
        assert!(fmi(&own, &one).unwrap().value.is_none());
        let gap = ari(&[0, 0, 1, 1, Groups::MISSING], &[0, 0, 1, 1, 1]).unwrap();
        assert_eq!((gap.value, gap.n_used, gap.n_excluded), (Some(1.0), 4, 1));
    }
}
