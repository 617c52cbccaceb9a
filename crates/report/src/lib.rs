//! Records to HTML, Markdown and CSV. Computes nothing beyond layout: axis ranges and positions.
//!
//! ```
//! let page = microtome_report::Page { title: "Demo".into(), ..Default::default() };
//! assert!(microtome_report::html(&page).contains("<title>Demo</title>"));
//! ```
//!
//! # Several tasks
//!
//! A page about one task reads from top to bottom. A page about several begins with the first sentence of every answer
//! and has one section per task ([`Page::questions`]) with its own verdict, figures, maps and tables.
//!
//! # Which records end up in which picture
//!
//! - One panel per data set, task, metric and transform, in the order of the records; panels with a [`Summary`] come first.
//! - **Curve**: records with a depth whose role is model or control and whose split is neither `outer` nor `nested`.
//!   A model with several poolings has one line per pooling. A second record at the same depth (`final_norm` beside the
//!   last block) is drawn beside the line.
//! - **Horizontal lines**: baselines, and controls without a depth.
//! - **Comparison**: the nested score of the summary; records of role model without a depth or with split `outer` or
//!   `nested`, named by the words `nested`, `final`, `embed`, `depth_60`, `mean_of_blocks` in their site, pooling,
//!   split or transform; where those are absent, the curve's own points for the final block, the embedding and 60% depth.
//! - Every record is in the table of records, whatever its role.
//!
//! [`Summary`]: microtome_core::Summary

mod axis;
mod comparison;
mod csv;
mod figures;
mod format;
mod html;
mod markdown;
mod number;
mod page;
mod panel;

pub use csv::csv;
pub use figures::{Figure, HeatMap, LinePoint, LineSeries, Lines};
pub use format::{FORMATS, Format, find_format};
pub use html::html;
pub use markdown::markdown;
pub use page::{Colour, Page, Question, Scatter, TableBlock};
