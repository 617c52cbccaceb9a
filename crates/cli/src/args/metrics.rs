//! `metrics`: what is scored and recorded.

use clap::Args;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  microtome metrics
  microtome metrics trajectory
  microtome metrics lisi
  microtome metrics --json | jq '.metrics[] | select(.deviations != \"\")'

A task's own metrics have intervals and can be its headline (scan --headline ID). Metrics of the library are recorded beside them without
intervals where a task has what they need, and are there for programs that link this one.")]
pub(crate) struct Metrics {
    /// Only what has this in its id
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Print JSON for programs instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
