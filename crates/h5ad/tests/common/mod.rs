//! Helpers of the integration tests.
#![allow(dead_code, unreachable_pub, clippy::print_stdout)]

use std::path::{Path, PathBuf};

use microtome_core::Counts;

/// The folder of golden files.
pub fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/h5ad")
}

/// Shared real data, where it is present.
pub fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let root = std::env::var_os("MICROTOME_SHARED").map_or(beside, PathBuf::from);
    let data = root.join("data");
    if data.is_dir() {
        return Some(data);
    }
    println!("skipped: no shared data at {} (set MICROTOME_SHARED)", data.display());
    None
}

/// Counts as dense rows.
pub fn dense(counts: &Counts) -> Vec<Vec<f64>> {
    (0..counts.n_cells())
        .map(|cell| {
            let mut row = vec![0.0; counts.n_genes()];
            let (genes, values) = counts.row(cell);
            for (&g, &v) in genes.iter().zip(values) {
                row[g as usize] = f64::from(v);
            }
            row
        })
        .collect()
}

/// The matrix of the handmade files.
pub fn handmade() -> Vec<Vec<f64>> {
    (0..9)
        .map(|c| (0..5).map(|g| if (c + 2 * g) % 3 == 0 { f64::from(c * 10 + g + 1) } else { 0.0 }).collect())
        .collect()
}
