//! `init`: an untrained model of a published shape.

use std::path::Path;

use microtome_core::Result;
use microtome_models::find_family;

use crate::inspect::{Inspection, inspect};
use crate::open::provide_readers;

/// Writes an untrained checkpoint into the folder `out` and opens it again, strictly, to describe it.
pub fn init(family: &str, preset: &str, like: &Path, seed: u64, out: &Path) -> Result<Inspection> {
    provide_readers();
    let family = find_family(family)?;
    (family.init)(preset, like, seed, out)?;
    inspect(out)
}
