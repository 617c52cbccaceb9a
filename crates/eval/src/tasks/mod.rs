//! Tasks: what is asked of a representation. The one list is at the end of this file.

use crate::controls::Control;
use crate::metrics::Metric;

/// A task. It cannot be written down without the controls that test it and the baselines it is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Id in records, `[a-z0-9_]+`.
    pub id: &'static str,
    /// Version of the definition; rises when the numbers can change.
    pub version: u32,
    /// The question, for a reader.
    pub words: &'static str,
    /// What is recorded; the first is the headline unless the user names another.
    pub metrics: &'static [&'static Metric],
    /// A representation that holds nothing: must score at chance.
    pub negative_control: &'static Control,
    /// A representation that holds the answer: must score near the ceiling.
    pub positive_control: &'static Control,
    /// The simple methods that stand in the same slot.
    pub baselines: &'static [&'static Control],
}

macro_rules! tasks {
    ($($name:ident),* $(,)?) => {
        $(pub mod $name;)*
        /// Every task.
        pub static TASKS: &[&Task] = &[$(&$name::TASK),*];
    };
}

tasks! { trajectory }

/// The task with this id.
pub fn find_task(id: &str) -> Option<&'static Task> {
    TASKS.iter().copied().find(|t| t.id == id)
}
