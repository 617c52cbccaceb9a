//! Ontology distances: how far a wrong label is from the right one in the Cell Ontology.

use super::definition::{Definition, Need};
use super::score::{Score, same_number};
use crate::Groups;
use microtome_core::{Direction, Error, Result};
use std::collections::BTreeMap;

/// Lowest common ancestor distance as published.
pub static LCAD: Definition = Definition {
    id: "lcad",
    version: 1,
    direction: Direction::Lower,
    range: (0.0, f64::INFINITY),
    needs: &[Need::Labels, Need::Predictions, Need::Ontology],
    words: "Steps from the lowest common ancestor of true and predicted type down to the true one, mean over wrong cells",
    citation: "Wu et al. 2025, Genome Biol., 10.1186/s13059-025-03781-6; wujialu/scFM-Bench@46acb1d",
    deviations: "of several lowest common ancestors the one with the shortest way to both is taken, then the smallest id \
                 (reference: arbitrary)",
};

/// Steps on both sides.
pub static LCAD_SYMMETRIC: Definition = Definition {
    id: "lcad_symmetric",
    words: "Steps from the true type up to the lowest common ancestor and down to the predicted one, mean over wrong cells",
    ..LCAD
};

/// Over all cells.
pub static LCAD_ALL_CELLS: Definition = Definition {
    id: "lcad_all_cells",
    words: "Steps from the true type up to the lowest common ancestor and down to the predicted one, mean over all cells, \
            0 for right ones: mending an easy mistake never makes it worse",
    ..LCAD
};

pub(super) static DEFINITIONS: &[&Definition] = &[&LCAD, &LCAD_SYMMETRIC, &LCAD_ALL_CELLS];

/// Terms with their parents (`is_a` and whatever else the caller counts as a step).
#[derive(Clone, Debug, PartialEq)]
pub struct Ontology {
    ids: Vec<String>,
    parents: Vec<Vec<u32>>,
}

impl Ontology {
    /// Checks and wraps: `parents[t]` lists the parents of term `t`. Errors when numbers differ or a parent does not
    /// exist. Cycles do no harm.
    pub fn new(ids: Vec<String>, parents: Vec<Vec<u32>>) -> Result<Self> {
        same_number("parent lists and terms", ids.len(), parents.len())?;
        match parents.iter().flatten().find(|&&p| p as usize >= ids.len()) {
            None => Ok(Self { ids, parents }),
            Some(bad) => Err(Error::usage("a parent is not a term of the ontology")
                .expected(format!("below {}", ids.len()))
                .found(bad.to_string())),
        }
    }

    /// Number of terms.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True without terms.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Parents of every term.
    pub fn parents(&self) -> &[Vec<u32>] {
        &self.parents
    }

    /// Steps up to every ancestor, the term itself at 0.
    fn ancestors(&self, term: u32) -> BTreeMap<u32, u32> {
        let mut steps = BTreeMap::from([(term, 0)]);
        let mut layer = vec![term];
        let mut depth = 0;
        while !layer.is_empty() {
            depth += 1;
            let mut next = vec![];
            for t in layer {
                for &p in &self.parents[t as usize] {
                    if let std::collections::btree_map::Entry::Vacant(e) = steps.entry(p) {
                        e.insert(depth);
                        next.push(p);
                    }
                }
            }
            layer = next;
        }
        steps
    }

    /// Steps from the lowest common ancestor down to `truth` and to `other`; `None` without a common ancestor. Errors
    /// when a term does not exist.
    pub fn lowest_common_ancestor(&self, truth: u32, other: u32) -> Result<Option<(u32, u32)>> {
        if let Some(bad) = [truth, other].into_iter().find(|&t| t as usize >= self.len()) {
            return Err(Error::usage("not a term of the ontology")
                .expected(format!("below {}", self.len()))
                .found(bad.to_string()));
        }
        Ok(self.lowest(&self.ancestors(truth), &self.ancestors(other)))
    }

    fn lowest(&self, a: &BTreeMap<u32, u32>, b: &BTreeMap<u32, u32>) -> Option<(u32, u32)> {
        let common: BTreeMap<u32, (u32, u32)> =
            a.iter().filter_map(|(t, &up)| b.get(t).map(|&down| (*t, (up, down)))).collect();
        // An ancestor of a common ancestor is common too; lowest are those that are no parent of another one.
        let mut lowest: BTreeMap<u32, bool> = common.keys().map(|&t| (t, true)).collect();
        for &t in common.keys() {
            for p in self.parents[t as usize].iter().filter(|&&p| p != t) {
                if let Some(l) = lowest.get_mut(p) {
                    *l = false;
                }
            }
        }
        let any = lowest.values().any(|&l| l);
        common
            .iter()
            // In a cycle of common ancestors none is lowest: all are.
            .filter(|(t, _)| !any || lowest[t])
            .min_by(|(s, (a, b)), (t, (c, d))| {
                (a + b).cmp(&(c + d)).then_with(|| self.ids[**s as usize].cmp(&self.ids[**t as usize]))
            })
            .map(|(_, &steps)| steps)
    }
}

/// The three readings of the lowest common ancestor distance.
#[derive(Clone, Debug, PartialEq)]
pub struct Lcad {
    /// [`LCAD`], over wrong cells.
    pub published: Score,
    /// [`LCAD_SYMMETRIC`], over wrong cells.
    pub symmetric: Score,
    /// [`LCAD_ALL_CELLS`], over all cells.
    pub all_cells: Score,
    /// Wrong cells that were scored.
    pub n_errors: usize,
}

/// Distances of predicted from true terms. [`Groups::MISSING`] marks cells whose true or predicted label has no term;
/// they are left out and counted, as are pairs without a common ancestor. Errors when lengths differ or a code is not a
/// term.
pub fn lcad(ontology: &Ontology, truth: &[u32], predicted: &[u32]) -> Result<Lcad> {
    same_number("predictions and cells", truth.len(), predicted.len())?;
    let mut pairs: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for (&t, &p) in truth.iter().zip(predicted) {
        *pairs.entry((t, p)).or_default() += 1;
    }
    let (mut unmapped, mut unrelated, mut right, mut wrong) = (0, 0, 0, 0);
    let (mut one_side, mut both) = (0u64, 0u64);
    let mut known: Option<(u32, BTreeMap<u32, u32>)> = None;
    for ((t, p), n) in pairs {
        if t == Groups::MISSING || p == Groups::MISSING {
            unmapped += n;
            continue;
        }
        if let Some(bad) = [t, p].into_iter().find(|&t| t as usize >= ontology.len()) {
            return Err(Error::usage("not a term of the ontology")
                .expected(format!("below {}", ontology.len()))
                .found(bad.to_string()));
        }
        if t == p {
            right += n;
            continue;
        }
        // Pairs are sorted by truth, so that its ancestors are found once.
        if known.as_ref().is_none_or(|k| k.0 != t) {
            known = Some((t, ontology.ancestors(t)));
        }
        let steps = known.as_ref().and_then(|k| ontology.lowest(&k.1, &ontology.ancestors(p)));
        match steps {
            None => unrelated += n,
            Some((up, down)) => {
                wrong += n;
                one_side += u64::from(up) * n as u64;
                both += u64::from(up + down) * n as u64;
            }
        }
    }
    let note = |score: Score| {
        score
            .excluding(unmapped, "cells whose label has no term in the ontology")
            .excluding(unrelated, "wrong cells whose two terms have no common ancestor")
    };
    let mean = |sum: u64, n: usize, none: &str| {
        note(if n > 0 { Score::new(sum as f64 / n as f64, n) } else { Score::undefined(none) })
    };
    let none = if right > 0 { "no cell is wrong" } else { "no cells" };
    Ok(Lcad {
        published: mean(one_side, wrong, none),
        symmetric: mean(both, wrong, none),
        all_cells: mean(both, wrong + right, "no cells"),
        n_errors: wrong,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// 0 cell; 1 and 2 below it; 3 below 1 and 2; 4 below 1; 5 below 4; 6 apart.
    pub(in super::super) fn small() -> Ontology {
        let parents = vec![vec![], vec![0], vec![0], vec![1, 2], vec![1], vec![4], vec![]];
        Ontology::new((0..7).map(|i| format!("CL:{i}")).collect(), parents).unwrap()
    }

    #[test]
    fn steps_by_hand() {
        let o = small();
        let lca = |a, b| o.lowest_common_ancestor(a, b).unwrap();
        assert_eq!(lca(3, 5), Some((1, 2)));
        assert_eq!(lca(5, 3), Some((2, 1)));
        assert_eq!(lca(2, 5), Some((1, 3)));
        assert_eq!(lca(5, 4), Some((1, 0)));
        assert_eq!(lca(3, 3), Some((0, 0)));
        assert_eq!(lca(3, 6), None);
        assert!(o.lowest_common_ancestor(3, 7).is_err());
    }

    #[test]
    fn of_several_lowest_ancestors_the_nearest_counts() {
        // 2 and 3 share parents 0 (one step each) and 1 (two steps from 3).
        let o = Ontology::new(
            (0..5).map(|i| format!("CL:{i}")).collect(),
            vec![vec![], vec![], vec![0, 1], vec![0, 4], vec![1]],
        )
        .unwrap();
        assert_eq!(o.lowest_common_ancestor(2, 3).unwrap(), Some((1, 1)));
    }

    #[test]
    fn variants_and_counts() {
        let o = small();
        let m = Groups::MISSING;
        let got = lcad(&o, &[3, 3, 5, 3, m, 4], &[3, 5, 3, 6, 3, m]).unwrap();
        assert_eq!(got.published.value, Some(1.5));
        assert_eq!(got.symmetric.value, Some(3.0));
        assert_eq!(got.all_cells.value, Some(2.0));
        assert_eq!((got.n_errors, got.all_cells.n_used, got.published.n_excluded), (2, 3, 3));
        let perfect = lcad(&o, &[3, 4], &[3, 4]).unwrap();
        assert_eq!((perfect.published.value, perfect.all_cells.value), (None, Some(0.0)));
        assert!(perfect.published.reason.unwrap().contains("no cell is wrong"));
        assert!(lcad(&o, &[], &[]).unwrap().all_cells.value.is_none());
        assert!(lcad(&o, &[0], &[]).is_err() && lcad(&o, &[99], &[0]).is_err());
    }

    #[test]
    fn hostile_graphs_end() {
        assert!(Ontology::new(vec!["a".into()], vec![vec![1]]).is_err());
        assert!(Ontology::new(vec!["a".into()], vec![]).is_err());
        let ring = Ontology::new((0..3).map(|i| i.to_string()).collect(), vec![vec![1], vec![2], vec![0]]).unwrap();
        assert_eq!(ring.lowest_common_ancestor(0, 2).unwrap(), Some((0, 1)));
    }
}
