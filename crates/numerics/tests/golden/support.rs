//! Reading of the committed goldens.

use microtome_core::{Counts, Matrix};
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/numerics").join(name)
}

pub(crate) fn json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap()
}

pub(crate) fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(f64::INFINITY)).collect()
}

/// Values and shape of a C-ordered little-endian .npy file of version 1.
pub(crate) fn npy(name: &str) -> (Vec<f64>, Vec<usize>) {
    let bytes = std::fs::read(path(name)).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let end = 10 + u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    assert!(header.contains("'fortran_order': False"));
    let between = |a: &str, b: &str| {
        let start = header.find(a).unwrap() + a.len();
        &header[start..start + header[start..].find(b).unwrap()]
    };
    let shape = between("'shape': (", ")").split(',').filter_map(|s| s.trim().parse().ok()).collect();
    let data = &bytes[end..];
    let values = match between("'descr': '", "'") {
        "<f4" => data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect(),
        "<f8" => data.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        "<i4" => data.chunks_exact(4).map(|b| f64::from(i32::from_le_bytes(b.try_into().unwrap()))).collect(),
        "<i2" => data.chunks_exact(2).map(|b| f64::from(i16::from_le_bytes(b.try_into().unwrap()))).collect(),
        other => panic!("{other}"),
    };
    (values, shape)
}

pub(crate) fn matrix(name: &str) -> Matrix {
    let (values, shape) = npy(name);
    Matrix::new(shape[0], shape[1], values.iter().map(|&v| v as f32).collect()).unwrap()
}

pub(crate) fn cells() -> Matrix {
    matrix("cells.npy")
}

pub(crate) fn counts(n_genes: usize) -> Counts {
    Counts::new(
        n_genes,
        npy("counts_indptr.npy").0.iter().map(|&v| v as usize).collect(),
        npy("counts_indices.npy").0.iter().map(|&v| v as u32).collect(),
        npy("counts_values.npy").0.iter().map(|&v| v as f32).collect(),
    )
    .unwrap()
}

/// Largest absolute difference; panics when lengths differ or one side is not finite where the other is.
pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| {
            assert_eq!(a.is_finite(), b.is_finite(), "{a} {b}");
            if a == b { 0.0 } else { (a - b).abs() }
        })
        .fold(0.0, f64::max)
}

pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}
