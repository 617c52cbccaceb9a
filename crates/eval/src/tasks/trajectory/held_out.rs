//! Cells, numbers and folds of the task's regression, for numbers that are predicted elsewhere.

use microtome_core::{Progress, Result};

use super::readings::{Supervised, TimeLearner};
use super::run::{MIN_UNITS_LEARNED, scored_cells};
use super::{TASK, TrajectoryOptions};
use crate::assess::{Assessment, MaybeLearner, Notes, reading_folds, rows_of};
use crate::protocol::{Protocol, Units};
use crate::{Cells, HeldOut, Representation};

impl HeldOut {
    /// The folds of the ridge regression of the trajectory task on these cells: the same cells and units as [`super::run`] scores. The
    /// number need not be a time.
    ///
    /// # Errors
    /// As [`super::run`], and when no unit is named or fewer than three units are there.
    pub fn of_numbers(cells: &Cells, options: &TrajectoryOptions, protocol: &Protocol) -> Result<Self> {
        protocol.check()?;
        options.check(cells)?;
        let scored = scored_cells(cells, options, &mut Notes::default())?;
        let truth: Vec<f64> = scored.iter().map(|&i| options.time[i]).collect();
        let units = Units::new(cells, &scored)?;
        Self::check_units(&units)?;
        let folds = reading_folds(&units, &truth, protocol.seed)?;
        Ok(Self { cells: scored, truth, classes: vec![], folds, units })
    }

    /// What ridge regression on each of these representations predicts for held-out units, one number per scored cell, with the
    /// position of the representation; those that cannot be read are left out.
    ///
    /// # Errors
    /// When the user stops.
    pub fn ridge(
        &self,
        cells: &Cells,
        representations: &[Representation],
        protocol: &Protocol,
        progress: &dyn Progress,
    ) -> Result<Vec<(usize, Vec<f64>)>> {
        let assessment = Assessment {
            task: &TASK,
            cells,
            representations,
            units: &self.units,
            truth_name: "number",
            truth: &self.truth,
            protocol,
            progress,
        };
        let matrices = rows_of(representations, &self.cells);
        let learner = |r: usize| -> Result<MaybeLearner<'_>> {
            Ok(matrices[r].as_ref().map_err(Clone::clone).map(|x| {
                let (reading, seed) = (Supervised::Ridge, protocol.seed);
                Box::new(TimeLearner { reading, x, time: &self.truth, units: &self.units, k: 0, seed }) as _
            }))
        };
        let predictions = assessment.held_out("ridge regression", MIN_UNITS_LEARNED, learner)?;
        let numbered = predictions.into_iter().enumerate();
        Ok(numbered.filter_map(|(r, p)| Some((r, p.ok()?.values))).collect())
    }
}
