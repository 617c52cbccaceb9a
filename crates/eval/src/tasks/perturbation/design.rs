//! Which cells are compared with which: perturbations, controls of the same context, halves.

use microtome_core::{Error, Result};
use microtome_numerics::resample::Rng;

use super::PerturbationOptions;
use crate::Groups;
use crate::assess::Notes;
use crate::protocol::random::stream;

/// Fewest perturbations whose geometry means anything.
const MIN_PERTURBATIONS: usize = 4;
/// Fewest control cells of a context: a few in each of four quarters.
const MIN_CONTROLS: usize = 8;

/// The compared cells.
pub(super) struct Design {
    /// Names of the perturbations.
    pub(super) names: Vec<String>,
    /// Code of each in the options.
    pub(super) codes: Vec<usize>,
    /// Cells (rows of the data set) of every perturbation, all with control cells in their context.
    pub(super) cells: Vec<Vec<usize>>,
    /// Control cells of every context.
    pub(super) controls: Vec<Vec<usize>>,
    /// Context of every row; 0 where none was named.
    pub(super) context: Vec<usize>,
    /// Unit of every row, where one was named and known.
    pub(super) unit: Vec<Option<u32>>,
    pub(super) splits: Vec<Split>,
}

/// One halving: the half (0 or 1) of every row, and the quarter (0 or 1 within its half) of every control row.
pub(super) struct Split {
    pub(super) half: Vec<u8>,
    pub(super) quarter: Vec<u8>,
}

impl Design {
    pub(super) fn new(o: &PerturbationOptions<'_>, seed: u64, notes: &mut Notes) -> Result<Self> {
        let n = o.perturbation.codes.len();
        let control = o.perturbation.names.iter().position(|name| *name == o.control).unwrap_or(usize::MAX);
        let is_control = |i: usize| o.perturbation.codes[i] as usize == control;
        let unit: Vec<Option<u32>> = match &o.unit {
            None => vec![None; n],
            Some(u) => u.codes.iter().map(|&c| (c != Groups::MISSING).then_some(c)).collect(),
        };
        let context = contexts(o, &is_control, notes);
        let n_contexts = context.iter().flatten().max().map_or(0, |c| c + 1);
        let mut controls = vec![vec![]; n_contexts];
        for (i, c) in context.iter().enumerate().filter(|(i, _)| is_control(*i)) {
            if let Some(c) = c {
                controls[*c].push(i);
            }
        }
        let mut without = 0;
        let mut cells: Vec<Vec<usize>> = vec![vec![]; o.perturbation.names.len()];
        for (i, &code) in o.perturbation.codes.iter().enumerate() {
            if code == Groups::MISSING || is_control(i) {
                continue;
            }
            match context[i] {
                Some(c) if controls[c].len() >= MIN_CONTROLS => cells[code as usize].push(i),
                _ => without += 1,
            }
        }
        if without > 0 {
            notes.warn(format!(
                "{without} perturbed cells have fewer than {MIN_CONTROLS} control cells in their context and are not scored"
            ));
        }
        let few: Vec<&str> = (0..cells.len())
            .filter(|&p| p != control && cells[p].len() < o.min_cells)
            .map(|p| o.perturbation.names[p].as_str())
            .collect();
        if !few.is_empty() {
            let shown = few.iter().take(6).copied().collect::<Vec<_>>().join(", ");
            let have = if few.len() == 1 { "perturbation has" } else { "perturbations have" };
            let more = if few.len() > 6 { ", ..." } else { "" };
            notes.warn(format!(
                "{} {have} fewer than {} cells and {} left out: {shown}{more}",
                few.len(),
                o.min_cells,
                if few.len() == 1 { "is" } else { "are" }
            ));
        }
        let codes: Vec<usize> = (0..cells.len()).filter(|&p| p != control && cells[p].len() >= o.min_cells).collect();
        if codes.len() < MIN_PERTURBATIONS {
            return Err(Error::mismatch("too few perturbations to compare")
                .at_key(o.perturbation.name.clone())
                .expected(format!("at least {MIN_PERTURBATIONS} of at least {} cells each, with control cells", o.min_cells))
                .found(codes.len().to_string())
                .remedy("give more cells, lower --min-cells, or name another column"));
        }
        let mut design = Self {
            names: codes.iter().map(|&p| o.perturbation.names[p].clone()).collect(),
            cells: codes.iter().map(|&p| std::mem::take(&mut cells[p])).collect(),
            codes,
            controls,
            context: context.into_iter().map(|c| c.unwrap_or(0)).collect(),
            unit,
            splits: vec![],
        };
        let by_cell = design.cells.iter().filter(|c| design.units_of(c).len() < 2).count();
        if o.unit.is_some() && by_cell > 0 {
            notes.warn(format!(
                "{by_cell} of {} perturbations have cells of one {} only: their halves are halves of cells",
                design.len(),
                o.unit.as_ref().map_or("unit", |u| u.name.as_str())
            ));
        }
        design.splits = (0..o.n_splits).map(|s| design.split(n, seed, s)).collect();
        Ok(design)
    }

    /// Number of perturbations.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Cells that are compared, controls included.
    pub(super) fn n_cells(&self) -> usize {
        self.cells.iter().chain(&self.controls).map(Vec::len).sum()
    }

    /// The named units among these cells with their cells, in the order of their codes.
    pub(super) fn units_of(&self, cells: &[usize]) -> Vec<Vec<usize>> {
        let mut by_unit = std::collections::BTreeMap::<u32, Vec<usize>>::new();
        for &i in cells {
            if let Some(u) = self.unit[i] {
                by_unit.entry(u).or_default().push(i);
            }
        }
        by_unit.into_values().collect()
    }

    fn split(&self, n: usize, seed: u64, index: usize) -> Split {
        let mut random = stream(seed, "perturbation halves", index as u64);
        let mut split = Split { half: vec![0; n], quarter: vec![0; n] };
        for cells in &self.cells {
            let mut units = self.units_of(cells);
            if units.len() < 2 {
                self.halve_cells(cells, &mut split.half, &mut random);
                continue;
            }
            // Largest first into the half with fewer cells; shuffled, so that equals differ from split to split.
            random.shuffle(&mut units);
            let first = usize::from(random.below(2) == 1);
            units.sort_by_key(|u| std::cmp::Reverse(u.len() / 10));
            let mut sizes = [0usize; 2];
            for u in units {
                let to = match sizes[0].cmp(&sizes[1]) {
                    std::cmp::Ordering::Less => 0,
                    std::cmp::Ordering::Greater => 1,
                    std::cmp::Ordering::Equal => first,
                };
                sizes[to] += u.len();
                u.iter().for_each(|&i| split.half[i] = to as u8);
            }
            // Cells of no known unit stay in the first half.
        }
        for cells in &self.controls {
            let mut order = cells.clone();
            random.shuffle(&mut order);
            for (k, &i) in order.iter().enumerate() {
                split.half[i] = (k % 2) as u8;
                split.quarter[i] = (k / 2 % 2) as u8;
            }
        }
        split
    }

    /// Random halves of equal size within every context.
    fn halve_cells(&self, cells: &[usize], half: &mut [u8], random: &mut Rng) {
        let mut order = cells.to_vec();
        random.shuffle(&mut order);
        order.sort_by_key(|&i| self.context[i]);
        order.iter().enumerate().for_each(|(k, &i)| half[i] = (k % 2) as u8);
    }
}

/// Context of every row. Without a named one, a unit that control cells share with perturbed ones in every value (a
/// replicate, a donor) is the context, because its cells differ for reasons of their own.
fn contexts(o: &PerturbationOptions<'_>, is_control: &impl Fn(usize) -> bool, notes: &mut Notes) -> Vec<Option<usize>> {
    let codes = |g: &Groups| g.codes.iter().map(|&c| (c != Groups::MISSING).then_some(c as usize)).collect();
    if let Some(context) = &o.context {
        notes.all.push(format!("effects are differences from control cells of the same {}", context.name));
        return codes(context);
    }
    if let Some(unit) = &o.unit {
        let mut seen = vec![0; unit.names.len()];
        (0..unit.codes.len())
            .filter(|&i| unit.codes[i] != Groups::MISSING && is_control(i))
            .for_each(|i| seen[unit.codes[i] as usize] += 1);
        if !seen.is_empty() && seen.iter().all(|&n| n >= MIN_CONTROLS) {
            notes.all.push(format!(
                "every {} has control cells of its own: effects are differences from control cells of the same {}",
                unit.name, unit.name
            ));
            return codes(unit);
        }
    }
    vec![Some(0); o.perturbation.codes.len()]
}
