//! How long work reports itself, and how it is told to stop.

use crate::{Error, ErrorKind, Result};

/// Receives progress and answers whether the user wants to stop. The terminal lives elsewhere.
pub trait Progress: Sync {
    /// A stage begins; `total` units of `unit` (cells, replicates, ...) are to be done.
    fn begin(&self, stage: &str, total: u64, unit: &str);
    /// `n` more units are done.
    fn advance(&self, n: u64);
    /// The stage is over.
    fn end(&self);
    /// Something the user should read, now.
    fn note(&self, message: &str);
    /// True once the user asked to stop.
    fn stopped(&self) -> bool {
        false
    }
    /// Error of kind `Interrupted` once the user asked to stop; call between chunks of work.
    fn check(&self) -> Result<()> {
        if self.stopped() { Err(Error::new(ErrorKind::Interrupted, "stopped on request")) } else { Ok(()) }
    }
}

/// Says nothing and never stops.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _stage: &str, _total: u64, _unit: &str) {}
    fn advance(&self, _n: u64) {}
    fn end(&self) {}
    fn note(&self, _message: &str) {}
}
