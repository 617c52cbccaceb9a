//! What is learnt, and the task of scan that reads the same from frozen representations.

use microtome_core::{Column, Error, Progress, Result};
use microtome_eval::metrics::{LOGISTIC_F1_MACRO, Metric, RIDGE_TIME_SPEARMAN};
use microtome_eval::tasks::annotation::{AnnotationOptions, run as annotate};
use microtome_eval::tasks::trajectory::{TrajectoryOptions, run as order};
use microtome_eval::{Cells, Groups, HeldOut, Protocol, Representation, TaskOutcome};
use serde::Serialize;

use crate::data::Data;
use crate::pretrain::Asked;

/// What is learnt: a column of `obs`, or the cells' own expression.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// A label: classification.
    Label(String),
    /// A number: regression.
    Number(String),
    /// What is hidden of a cell's expression, as the family's pretraining asks it.
    Masked {
        /// What is asked; the family's published way when absent.
        objective: Option<Asked>,
        /// Share of a cell's genes that is hidden; the family's own when absent.
        share: Option<f64>,
    },
}

impl Goal {
    /// The column, or what else is learnt.
    pub fn name(&self) -> &str {
        match self {
            Self::Label(name) | Self::Number(name) => name,
            Self::Masked { .. } => "masked expression",
        }
    }

    /// Leaves out the cells of which it is not known.
    pub(super) fn keep_known(&self, data: &mut Data) -> Result<()> {
        match self {
            Self::Label(name) => {
                let known = data.dataset.obs_column(name)?.groups().1;
                data.retain(|row| known[row].is_some());
            }
            Self::Masked { .. } => return Ok(()),
            Self::Number(name) => {
                let numbers = data.obs_numbers(name)?;
                let known: std::collections::HashSet<usize> =
                    data.cells.iter().zip(&numbers).filter(|(_, v)| v.is_finite()).map(|(&c, _)| c).collect();
                data.retain(|row| known.contains(&row));
            }
        }
        if data.cells.is_empty() {
            let what = match self {
                Self::Label(_) => "no cell has a label",
                _ => "no cell has a number",
            };
            return Err(Error::mismatch(what).at_key(format!("obs[\"{}\"]", self.name())));
        }
        Ok(())
    }

    pub(super) fn task(&self, data: &Data) -> Result<Reading> {
        Ok(match self {
            Self::Label(name) => {
                let groups = Groups::from_column(name.clone(), &data.obs_column(name)?);
                let options = AnnotationOptions::new(groups).with_headline(LOGISTIC_F1_MACRO.id)?;
                Reading::Logistic(Box::new(options))
            }
            Self::Number(name) => {
                let options = TrajectoryOptions::new(name.clone(), data.obs_numbers(name)?);
                Reading::Ridge(Box::new(options.with_headline(RIDGE_TIME_SPEARMAN.id)?))
            }
            Self::Masked { .. } => return Err(Error::usage("no task of scan reads masked expression")),
        })
    }
}

/// How frozen representations are read for the same goal.
pub(super) enum Reading {
    Logistic(Box<AnnotationOptions>),
    Ridge(Box<TrajectoryOptions>),
}

/// What was read of frozen representations.
pub(super) struct Read {
    pub(super) outcome: TaskOutcome,
    /// Held-out predictions by name.
    pub(super) sets: Vec<(String, Vec<f64>)>,
}

impl Reading {
    /// Metric that decides.
    pub(super) fn headline(&self) -> &'static Metric {
        match self {
            Self::Logistic(_) => &LOGISTIC_F1_MACRO,
            Self::Ridge(_) => &RIDGE_TIME_SPEARMAN,
        }
    }

    pub(super) fn held_out(&self, cells: &Cells, protocol: &Protocol) -> Result<HeldOut> {
        match self {
            Self::Logistic(options) => HeldOut::of_classes(cells, options, protocol),
            Self::Ridge(options) => HeldOut::of_numbers(cells, options, protocol),
        }
    }

    /// Records of the task, and held-out predictions of every representation.
    pub(super) fn read(
        &self,
        cells: &Cells,
        all: &[Representation],
        held_out: &HeldOut,
        protocol: &Protocol,
        progress: &dyn Progress,
    ) -> Result<Read> {
        match self {
            Self::Logistic(options) => {
                let outcome = annotate(cells, all, options, protocol, progress)?;
                let sets = predicted_labels(&outcome, held_out);
                Ok(Read { outcome, sets })
            }
            Self::Ridge(options) => {
                let outcome = order(cells, all, options, protocol, progress)?;
                let numbers = held_out.ridge(cells, all, protocol, progress)?;
                let name =
                    |r: &Representation| named(&r.model, r.site.as_ref().map(ToString::to_string).as_deref());
                let sets = numbers.into_iter().map(|(r, values)| (name(&all[r]), values)).collect();
                Ok(Read { outcome, sets })
            }
        }
    }
}

fn named(model: &str, site: Option<&str>) -> String {
    site.map_or_else(|| model.to_string(), |site| format!("{model} frozen, {site}"))
}

/// Held-out labels of the frozen model at every depth, and of the baselines.
fn predicted_labels(outcome: &TaskOutcome, held_out: &HeldOut) -> Vec<(String, Vec<f64>)> {
    let of_column = |column: &microtome_eval::CellColumn| {
        let Column::Categorical { codes, .. } = &column.values else { return None };
        let own: Option<Vec<f64>> = held_out.cells.iter().map(|&c| codes[c].map(f64::from)).collect();
        Some((named(&column.model, column.site.as_deref()), own?))
    };
    outcome.columns.iter().filter_map(of_column).collect()
}
