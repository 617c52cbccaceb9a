//! Truncated and corrupted files give an error: no panic, no hang, no huge allocation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::golden;
use microtome_core::Result;
use microtome_h5ad::open;

/// Reads everything there is.
fn read_all(path: &Path) -> Result<()> {
    let data = open(path)?;
    // Independent parts: damage in one must not hide damage in another.
    let mut results = vec![data.obs().map(drop), data.obs_names().map(drop), data.uns().map(drop)];
    for slot in data.slots() {
        results.push(data.var(&slot).map(drop));
        results.push(data.matrix(&slot).and_then(|m| {
            let n = m.n_cells().min(1000);
            m.rows(0..n)?;
            m.select(&[0]).map(drop)
        }));
    }
    for name in data.obsm_names() {
        results.push(data.obsm(&name).map(drop));
    }
    for name in data.obsp_names() {
        results.push(data.obsp(&name).and_then(|m| m.rows(0..m.n_cells().min(9))).map(drop));
    }
    results.into_iter().collect()
}

/// Peak resident memory of this process.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn seeds() -> Vec<PathBuf> {
    let g = golden();
    [
        "0.12.19/sparse_gzip.h5ad",
        "0.7.8/sparse_gzip.h5ad",
        "layouts/anndata_0.6_records.h5ad",
        "layouts/csr_zstd.h5ad",
        "layouts/csr_blosc.h5ad",
        "layouts/dense_tiles.h5ad",
        "layouts/latest_fixed_array.h5ad",
        "layouts/latest_extensible.h5ad",
        "layouts/latest_btree.h5ad",
        "10x/v3.h5",
    ]
    .iter()
    .map(|n| g.join(n))
    .collect()
}

struct Attempts {
    folder: tempfile::TempDir,
    slowest: Duration,
}

impl Attempts {
    fn read(&mut self, bytes: &[u8]) -> Result<()> {
        let path = self.folder.path().join("x.h5ad");
        std::fs::write(&path, bytes).unwrap();
        let start = Instant::now();
        let result = read_all(&path);
        if let Err(e) = &result {
            assert!(e.file().is_some(), "no file in: {e}");
        }
        self.slowest = self.slowest.max(start.elapsed());
        result
    }
}

fn attempts() -> Attempts {
    Attempts { folder: tempfile::tempdir().unwrap(), slowest: Duration::ZERO }
}

#[test]
fn truncated_files_are_errors() {
    let mut attempts = attempts();
    for seed in seeds() {
        let bytes = std::fs::read(&seed).unwrap();
        attempts.read(&bytes).unwrap();
        let step = (bytes.len() / 200).max(1);
        for len in (0..bytes.len()).step_by(step).chain(bytes.len() - 3..bytes.len()) {
            assert!(attempts.read(&bytes[..len]).is_err(), "{} cut to {len}", seed.display());
        }
    }
    assert!(attempts.slowest < Duration::from_secs(5), "{:?}", attempts.slowest);
}

#[test]
fn corrupted_bytes_never_panic_hang_or_take_much_memory() {
    let mut attempts = attempts();
    // More positions per file on request: MICROTOME_FUZZ=100000.
    let most = std::env::var("MICROTOME_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(600);
    let (mut failed, mut read) = (0, 0);
    for seed in seeds() {
        let bytes = std::fs::read(&seed).unwrap();
        // Zeros are unused space for the most part: damage what is there.
        let places: Vec<usize> = (0..bytes.len()).filter(|&i| bytes[i] != 0).collect();
        let step = (places.len() / most).max(1);
        for (n, &at) in places.iter().step_by(step).enumerate() {
            let mut damaged = bytes.clone();
            match n % 4 {
                0 => damaged[at] ^= 1 << (n % 8),
                1 => damaged[at] = 0xff,
                2 => damaged[at] = 0,
                _ => {
                    let end = (at + 8).min(damaged.len());
                    damaged[at..end].fill(0xff);
                }
            }
            match attempts.read(&damaged) {
                Ok(()) => read += 1,
                Err(_) => failed += 1,
            }
        }
    }
    println!(
        "{failed} errors, {read} read all the same, slowest {:?}, peak {} KiB",
        attempts.slowest,
        peak_kib()
    );
    assert!(failed > 500, "{failed}");
    assert!(attempts.slowest < Duration::from_secs(5), "{:?}", attempts.slowest);
    assert!(peak_kib() < 1 << 20, "{} KiB", peak_kib());
}
