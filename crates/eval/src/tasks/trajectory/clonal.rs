//! Order within clones: cells of one clone at different times have their order from descent, whatever happens elsewhere.

use microtome_core::{Error, Result};

use super::TrajectoryOptions;
use crate::assess::Notes;
use crate::protocol::Units;
use crate::{Cells, Groups};

/// Fewest clones of several times.
const MIN_CLONES: usize = 2;

/// The scored cells of clones that were seen at several times.
pub(super) struct ClonalCells {
    /// Their places among the scored cells.
    pub(super) places: Vec<usize>,
    /// Their rows in the data set.
    pub(super) rows: Vec<usize>,
    /// Their times.
    pub(super) time: Vec<f64>,
    /// Clone of each, counted from 0.
    pub(super) clone_of: Vec<usize>,
    /// The data set with the unit that is resampled: the one that was named, otherwise the clone.
    pub(super) cells: Cells,
    /// That unit.
    pub(super) units: Units,
}

impl ClonalCells {
    /// `None` where no clones are given.
    ///
    /// # Errors
    /// When fewer than two clones have scored cells of different time.
    pub(super) fn new(
        cells: &Cells,
        options: &TrajectoryOptions,
        scored: &[usize],
        notes: &mut Notes,
    ) -> Result<Option<Self>> {
        let Some(clones) = &options.clones else { return Ok(None) };
        let mut of_clone: Vec<Vec<usize>> = vec![vec![]; clones.names.len()];
        let mut without = 0;
        for (place, &row) in scored.iter().enumerate() {
            match clones.codes[row] {
                Groups::MISSING => without += 1,
                code => of_clone[code as usize].push(place),
            }
        }
        let time_of = |place: &usize| options.time[scored[*place]];
        let several = |own: &&Vec<usize>| own.iter().any(|p| time_of(p) != time_of(&own[0]));
        let seen = of_clone.iter().filter(|own| !own.is_empty()).count();
        let kept: Vec<&Vec<usize>> = of_clone.iter().filter(several).collect();
        if kept.len() < MIN_CLONES {
            return Err(Error::mismatch("order within clones cannot be scored on these cells")
                .at_key(clones.name.clone())
                .expected(format!(
                    "at least {MIN_CLONES} clones with cells at two or more values of {}",
                    options.time_name
                ))
                .found(format!("{} such clones of {seen}", kept.len()))
                .remedy("name the column that holds clones, or use more cells"));
        }
        let mut found: Vec<(usize, usize)> =
            kept.iter().enumerate().flat_map(|(c, own)| own.iter().map(move |&p| (p, c))).collect();
        found.sort_unstable();
        let (places, clone_of): (Vec<usize>, Vec<usize>) = found.into_iter().unzip();
        let rows: Vec<usize> = places.iter().map(|&p| scored[p]).collect();
        notes.all.push(format!(
            "order within clones: {} cells of {} clones ({}) at two or more values of {}; left out: {} clones of one value, \
             {without} cells of no clone",
            rows.len(),
            kept.len(),
            clones.name,
            options.time_name,
            seen - kept.len()
        ));
        let cells = match &cells.unit {
            Some(_) => cells.clone(),
            None => cells.clone().with_unit(clones.clone())?,
        };
        let units = Units::new(&cells, &rows)?;
        let time = rows.iter().map(|&row| options.time[row]).collect();
        Ok(Some(Self { places, rows, time, clone_of, cells, units }))
    }
}
