//! `parity`: this program against what the authors' own code computed.

use std::path::Path;

use microtome_core::Result;
use microtome_h5ad::Slot;
use microtome_models::parity::{KitCells, KitReport, run_kit_in};
use microtome_models::{CellTotals, Precision};

use crate::open::provide_readers;

/// Runs one kit folder through our own readers, from the native files. The tolerances are the kit's, whatever the precision.
pub fn parity(kit: &Path, precision: Precision) -> Result<KitReport> {
    provide_readers();
    let dataset = microtome_h5ad::open(&kit.join("cells.h5ad"))?;
    let reader = dataset.matrix(&Slot::X)?;
    let counts = reader.rows(0..reader.n_cells())?;
    let (obs, var) = (dataset.obs()?, dataset.var(&Slot::X)?);
    let dtype = dataset.obs_dtype("n_counts")?;
    let totals = match &dtype {
        Some(_) => obs.column("obs", "n_counts")?.numbers(),
        None => None,
    };
    let single_precision = dtype.as_deref() == Some("float32");
    let totals = totals.as_ref().map(|values| CellTotals { values, single_precision });
    run_kit_in(kit, &KitCells { counts: &counts, var: &var, obs: &obs, totals }, precision)
}
