//! Reads all of `X` in blocks of rows and says how fast. `bench/reading.py` compares with h5py.
//! Usage: `throughput FILE.h5ad [ROWS_PER_BLOCK]`

use std::path::PathBuf;
use std::time::Instant;

use microtome_h5ad::{Slot, open};

#[allow(clippy::print_stdout)]
fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let path = PathBuf::from(args.get(1).ok_or("usage: throughput FILE.h5ad [ROWS_PER_BLOCK]")?);
    let block: usize = args.get(2).map_or(Ok(1024), |n| n.parse())?;
    let start = Instant::now();
    let data = open(&path)?;
    let matrix = data.matrix(&Slot::X)?;
    let (mut sum, mut nnz) = (0.0f64, 0usize);
    for from in (0..matrix.n_cells()).step_by(block.max(1)) {
        let counts = matrix.rows(from..(from + block).min(matrix.n_cells()))?;
        sum += counts.values().iter().map(|&v| f64::from(v)).sum::<f64>();
        nnz += counts.nnz();
    }
    println!("{} {nnz} {sum}", start.elapsed().as_secs_f64());
    Ok(())
}
