//! Cells, classes and folds of the task, for labels that are predicted elsewhere.

use microtome_core::Result;

use super::AnnotationOptions;
use super::labels::classes;
use crate::assess::{Notes, reading_folds};
use crate::protocol::{Protocol, Units};
use crate::{Cells, HeldOut};

impl HeldOut {
    /// The folds of the annotation task on these cells: the same cells, classes and units as [`super::run`] scores.
    ///
    /// # Errors
    /// As [`super::run`], and when no unit is named or fewer than three units are there.
    pub fn of_classes(cells: &Cells, options: &AnnotationOptions, protocol: &Protocol) -> Result<Self> {
        protocol.check()?;
        options.check(cells)?;
        let found = classes(cells, options, &mut Notes::default())?;
        let units = Units::new(cells, &found.scored)?;
        Self::check_units(&units)?;
        let folds = reading_folds(&units, &found.truth, protocol.seed)?;
        Ok(Self { cells: found.scored, truth: found.truth, classes: found.names, folds, units })
    }
}
