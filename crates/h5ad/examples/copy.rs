//! Copies cells, genes and one matrix of a data set into a new `.h5ad`, a block of rows at a time.
//! Usage: `copy IN OUT.h5ad [SLOT]`

use std::path::PathBuf;

use microtome_h5ad::{Slot, Writer, open};

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, from, to, slot @ ..] = args.as_slice() else {
        return Err("usage: copy IN OUT.h5ad [SLOT]".into());
    };
    let slot: Slot = slot.first().map_or(Ok(Slot::X), |s| s.parse())?;
    let data = open(&PathBuf::from(from))?;
    let matrix = data.matrix(&slot)?;
    let mut writer = Writer::create(&PathBuf::from(to), &data.obs_rows()?, &data.var(&slot)?)?;
    writer.begin_x(matrix.n_genes())?;
    for start in (0..matrix.n_cells()).step_by(2048) {
        writer.append_x(&matrix.rows(start..(start + 2048).min(matrix.n_cells()))?)?;
    }
    writer.set_uns(&data.uns()?)?;
    writer.finish()?;
    Ok(())
}
