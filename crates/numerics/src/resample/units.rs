//! Independent units, and resampling that respects them.

use super::Rng;

/// Which cells belong to which unit (donor, clone, guide, perturbation).
#[derive(Clone, Debug, PartialEq)]
pub struct Units {
    members: Vec<Vec<usize>>,
    n_cells: usize,
}

/// One bootstrap replicate.
#[derive(Clone, Debug, PartialEq)]
pub struct Resample {
    /// Cells, with repeats.
    pub cells: Vec<usize>,
    /// For every entry of `cells`, which draw it came from: two draws of one unit count as different units.
    pub draw_of: Vec<u32>,
    /// The unit of every draw.
    pub units: Vec<usize>,
}

impl Units {
    /// From one code per cell. Codes without cells are not units; units keep the order of their codes.
    pub fn new(codes: &[u32]) -> Self {
        let mut distinct: Vec<u32> = codes.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let mut members = vec![Vec::new(); distinct.len()];
        for (cell, code) in codes.iter().enumerate() {
            if let Ok(unit) = distinct.binary_search(code) {
                members[unit].push(cell);
            }
        }
        Self { members, n_cells: codes.len() }
    }

    /// Every cell its own unit.
    pub fn cells(n: usize) -> Self {
        Self { members: (0..n).map(|c| vec![c]).collect(), n_cells: n }
    }

    /// Number of units.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// True when there is no unit.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Number of cells in all units.
    pub fn n_cells(&self) -> usize {
        self.n_cells
    }

    /// Cells of one unit, ascending. Panics when out of range.
    pub fn members(&self, unit: usize) -> &[usize] {
        &self.members[unit]
    }

    /// Two-stage bootstrap: units with replacement, then cells within each drawn unit with replacement at its
    /// original size.
    pub fn two_stage(&self, rng: &mut Rng) -> Resample {
        self.draw(rng, true)
    }

    /// Cluster bootstrap: units with replacement, all cells of each.
    pub fn one_stage(&self, rng: &mut Rng) -> Resample {
        self.draw(rng, false)
    }

    fn draw(&self, rng: &mut Rng, within: bool) -> Resample {
        let mut out = Resample { cells: vec![], draw_of: vec![], units: Vec::with_capacity(self.len()) };
        for draw in 0..self.len() {
            let unit = rng.below(self.len());
            let members = &self.members[unit];
            out.units.push(unit);
            for &cell in members {
                out.cells.push(if within { members[rng.below(members.len())] } else { cell });
                out.draw_of.push(draw as u32);
            }
        }
        out
    }

    /// All cells except those of one unit, ascending (a jackknife replicate). Panics when out of range.
    pub fn without(&self, unit: usize) -> Vec<usize> {
        let mut out: Vec<usize> = self
            .members
            .iter()
            .enumerate()
            .filter(|(u, _)| *u != unit)
            .flat_map(|(_, m)| m.iter().copied())
            .collect();
        out.sort_unstable();
        out
    }
}

/// A random permutation of `0..blocks.len()` that moves entries only within their block.
pub fn permute_within(blocks: &[u32], rng: &mut Rng) -> Vec<usize> {
    let units = Units::new(blocks);
    let mut out = vec![0; blocks.len()];
    for block in &units.members {
        let mut shuffled = block.clone();
        rng.shuffle(&mut shuffled);
        for (&to, from) in block.iter().zip(shuffled) {
            out[to] = from;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_stage_draws_units_then_cells() {
        let codes = [5, 5, 5, 9, 2, 2];
        let units = Units::new(&codes);
        assert_eq!(units.len(), 3);
        assert_eq!(units.members(0), [4, 5]);
        let mut sizes = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let r = units.two_stage(&mut Rng::new(seed));
            assert_eq!(r.units.len(), 3);
            assert_eq!(r.cells.len(), r.units.iter().map(|&u| units.members(u).len()).sum::<usize>());
            for (cell, draw) in r.cells.iter().zip(&r.draw_of) {
                assert!(units.members(r.units[*draw as usize]).contains(cell));
            }
            sizes.insert(r.cells.len());
        }
        assert!(sizes.len() > 2);
        assert_eq!(units.without(1), [3, 4, 5]);
    }

    #[test]
    fn one_stage_keeps_units_whole() {
        let units = Units::new(&[0, 0, 1, 1, 1]);
        let r = units.one_stage(&mut Rng::new(1));
        let expected: Vec<usize> = r.units.iter().flat_map(|&u| units.members(u).to_vec()).collect();
        assert_eq!(r.cells, expected);
    }

    #[test]
    fn permutation_stays_inside_blocks() {
        let blocks = [1, 2, 1, 2, 1, 2, 1, 7];
        let mut moved = false;
        for seed in 0..20 {
            let p = permute_within(&blocks, &mut Rng::new(seed));
            assert!(p.iter().enumerate().all(|(to, &from)| blocks[to] == blocks[from]));
            assert_eq!(p[7], 7);
            moved |= p[0] != 0;
        }
        assert!(moved);
    }
}
