//! What a report is made of: everything is computed beforehand, nothing here is.

use microtome_core::{Record, RunCard, Summary};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Figure;

/// A whole report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Heading of the page.
    pub title: String,
    /// The exact command that repeats the run, ready to be pasted into a shell.
    pub command: String,
    /// What was run on what.
    pub run_card: RunCard,
    /// What was asked, in the order of the sections. A task that has summaries or records but is not listed here
    /// follows under its id.
    #[serde(default)]
    pub questions: Vec<Question>,
    /// The answers, one per model, task and metric; the first one is the headline.
    pub summaries: Vec<Summary>,
    /// Sentences that stand at the top of a page without summaries: the first is the headline.
    #[serde(default)]
    pub findings: Vec<String>,
    /// Heat maps and lines, in order.
    #[serde(default)]
    pub figures: Vec<Figure>,
    /// Every score.
    pub records: Vec<Record>,
    /// Further tables: gene overlap, tensor audit, timings.
    pub tables: Vec<TableBlock>,
    /// Cells in the plane.
    pub scatters: Vec<Scatter>,
    /// Things a reader must know that belong to no single summary.
    pub warnings: Vec<String>,
}

/// What one task asks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Task id, as in the summaries and records.
    pub task: String,
    /// The question in a few words: the heading of the section.
    pub words: String,
}

/// A table that is shown as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableBlock {
    /// The task it belongs to; empty for a table about the whole run.
    #[serde(default)]
    pub task: String,
    /// Heading.
    pub title: String,
    /// One sentence on how to read it; may be empty.
    pub note: String,
    /// Column names.
    pub header: Vec<String>,
    /// Cells as text, row by row. A short row is padded with empty cells.
    pub rows: Vec<Vec<String>>,
}

/// Cells in the plane, one point each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scatter {
    /// The task it belongs to; empty for a drawing about the whole run.
    #[serde(default)]
    pub task: String,
    /// Heading, such as `UMAP of blocks.7.resid_post`.
    pub title: String,
    /// One sentence on how it was made; may be empty.
    pub note: String,
    /// Horizontal position per cell; points that are not finite are left out and counted.
    #[serde(deserialize_with = "null_is_nan")]
    pub x: Vec<f32>,
    /// Vertical position per cell.
    #[serde(deserialize_with = "null_is_nan")]
    pub y: Vec<f32>,
    /// What the colour says.
    pub colour: Colour,
}

/// Colour of the points of a [`Scatter`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// A number per cell; values that are not finite are drawn grey as missing.
    Continuous {
        /// Name of the quantity.
        name: String,
        /// One value per cell.
        #[serde(deserialize_with = "null_is_nan")]
        values: Vec<f64>,
    },
    /// A category per cell; `None`, or a code without a name, is drawn grey as missing.
    Categories {
        /// Name of the annotation.
        name: String,
        /// The categories, in their own order.
        names: Vec<String>,
        /// Index into `names` per cell.
        codes: Vec<Option<u32>>,
    },
}

impl Page {
    /// The tasks of the page: those that were asked first, then others in the order of summaries and records.
    pub(crate) fn tasks(&self) -> Vec<Question> {
        let mut out = self.questions.clone();
        let named = self.summaries.iter().map(|s| &s.task).chain(self.records.iter().map(|r| &r.task));
        for task in named {
            if !out.iter().any(|q| q.task == *task) {
                out.push(Question { task: task.clone(), words: task.clone() });
            }
        }
        out
    }

    /// What belongs to one task alone: no warnings and no table about the whole run.
    pub(crate) fn of_task(&self, task: &str) -> Self {
        Self {
            summaries: self.summaries.iter().filter(|s| s.task == task).cloned().collect(),
            records: self.records.iter().filter(|r| r.task == task).cloned().collect(),
            tables: self.tables.iter().filter(|t| t.task == task).cloned().collect(),
            scatters: self.scatters.iter().filter(|s| s.task == task).cloned().collect(),
            ..Self::default()
        }
    }
}

/// JSON has no NaN: what is not finite is written as null and comes back as NaN.
fn null_is_nan<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + From<f32>,
{
    let values = Vec::<Option<T>>::deserialize(from)?;
    Ok(values.into_iter().map(|v| v.unwrap_or_else(|| T::from(f32::NAN))).collect())
}
