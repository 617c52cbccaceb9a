//! Figures beside the score curves: heat maps of blocks against blocks, and lines over any axis. All numbers are given.

use microtome_core::Role;
use serde::{Deserialize, Serialize};

/// A figure of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Numbers of rows against columns.
    HeatMap(HeatMap),
    /// Lines over a numeric axis.
    Lines(Lines),
}

/// A matrix of numbers as coloured fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeatMap {
    /// Heading of the section that it belongs to; figures of one heading stand together.
    pub section: String,
    /// Heading.
    pub title: String,
    /// How to read it.
    pub note: String,
    /// Names of rows, top down.
    pub rows: Vec<String>,
    /// Names of columns.
    pub columns: Vec<String>,
    /// Rows and columns of one group (a model) lie side by side: name and number, in order. Empty without groups.
    pub groups: Vec<(String, usize)>,
    /// Row-major `[row, column]`; `None` is missing.
    pub values: Vec<Option<f64>>,
    /// Ends of the colour scale and the value that is drawn without colour.
    pub scale: [f64; 3],
    /// Only what lies below the diagonal is drawn.
    pub lower_triangle: bool,
    /// File with the numbers, beside the page.
    pub table: Option<String>,
}

/// Lines over a numeric axis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lines {
    /// Heading of the section that it belongs to.
    pub section: String,
    /// Heading.
    pub title: String,
    /// How to read it.
    pub note: String,
    /// Name of the horizontal axis.
    pub x: String,
    /// Whether the horizontal axis is logarithmic.
    pub x_log: bool,
    /// Name of the vertical axis.
    pub y: String,
    /// The lines.
    pub series: Vec<LineSeries>,
    /// File with the numbers, beside the page.
    pub table: Option<String>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineSeries {
    /// Name.
    pub name: String,
    /// Models are coloured, controls grey and dashed, baselines warm and dotted.
    pub role: Role,
    /// For a control: the position of the model that it belongs to, whose marker it shares.
    pub of: Option<usize>,
    /// Points, in order of `x`.
    pub points: Vec<LinePoint>,
}

/// One point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinePoint {
    /// Place on the horizontal axis.
    pub x: f64,
    /// Value; the line has a gap where there is none.
    pub y: Option<f64>,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
}

impl Figure {
    /// Heading of the section that it belongs to.
    pub(crate) fn section(&self) -> &str {
        match self {
            Self::HeatMap(f) => &f.section,
            Self::Lines(f) => &f.section,
        }
    }
}
