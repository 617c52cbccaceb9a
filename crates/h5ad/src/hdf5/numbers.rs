//! Matrix values and column indices, converted on all cores.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use microtome_core::{Error, Result};
use rayon::prelude::*;

use super::values::{half, integers, order16, order32, order64};
use super::{Array, Kind};

/// Counts values that had to be rounded to become `f32`.
#[derive(Debug, Default)]
pub(crate) struct Rounding(AtomicU64);

impl Rounding {
    /// How many so far.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, n: u64) {
        if n > 0 {
            self.0.fetch_add(n, Ordering::Relaxed);
        }
    }
}

/// Bytes converted by one task.
const PIECE: usize = 1 << 18;

fn convert<const N: usize, T: Send>(bytes: &[u8], one: impl Fn([u8; N]) -> T + Sync + Send) -> Vec<T> {
    let elements = bytes.as_chunks::<N>().0;
    if bytes.len() < PIECE {
        return elements.iter().map(|b| one(*b)).collect();
    }
    elements.par_iter().with_min_len(PIECE / N).map(|b| one(*b)).collect()
}

/// Numbers as `f32`. A value that `f32` cannot hold exactly is rounded and counted; one beyond its range is an error.
fn to_f32(key: &str, kind: &Kind, bytes: &[u8], rounding: &Rounding) -> Result<Vec<f32>> {
    let big = matches!(kind, Kind::Int { big: true, .. } | Kind::Float { big: true, .. });
    Ok(match kind {
        Kind::Float { size: 4, .. } => convert(bytes, |b| f32::from_bits(order32(b, big))),
        Kind::Float { size: 2, .. } => convert(bytes, |b| half(order16(b, big))),
        Kind::Float { .. } => {
            let wide: Vec<f64> = convert(bytes, |b| f64::from_bits(order64(b, big)));
            rounding.add(wide.iter().filter(|&&v| !v.is_nan() && f64::from(v as f32) != v).count() as u64);
            if let Some(v) = wide.iter().find(|v| v.is_finite() && (**v as f32).is_infinite()) {
                return Err(Error::unsupported("value beyond the range of 32-bit floats")
                    .at_key(key)
                    .found(v.to_string())
                    .remedy("check the values of this matrix; expression values are never that large"));
            }
            wide.into_iter().map(|v| v as f32).collect()
        }
        Kind::Bool => bytes.iter().map(|&b| f32::from(u8::from(b != 0))).collect(),
        Kind::Int { size: 1, signed: true, .. } => bytes.iter().map(|&b| f32::from(b as i8)).collect(),
        Kind::Int { size: 1, .. } => bytes.iter().map(|&b| f32::from(b)).collect(),
        Kind::Int { size: 2, signed: true, .. } => convert(bytes, |b| f32::from(order16(b, big) as i16)),
        Kind::Int { size: 2, .. } => convert(bytes, |b| f32::from(order16(b, big))),
        Kind::Int { size: 8, signed: false, .. } => {
            let wide: Vec<u64> = convert(bytes, |b| order64(b, big));
            rounding.add(wide.iter().filter(|&&v| (v as f32) as u128 != u128::from(v)).count() as u64);
            wide.into_iter().map(|v| v as f32).collect()
        }
        Kind::Int { .. } => {
            let wide = integers(key, kind, bytes)?;
            rounding.add(wide.iter().filter(|&&v| (v as f32) as i128 != i128::from(v)).count() as u64);
            wide.into_iter().map(|v| v as f32).collect()
        }
        _ => {
            return Err(Error::unsupported("matrix values that are not numbers")
                .at_key(key)
                .expected("an integer or floating-point type")
                .found(kind.name()));
        }
    })
}

/// Column indices as `u32`, every one checked to be below `limit`.
fn to_indices(key: &str, kind: &Kind, bytes: &[u8], limit: usize) -> Result<Vec<u32>> {
    let big = matches!(kind, Kind::Int { big: true, .. });
    // Indices that are out of range whatever the limit are marked with a value that is out of range as well.
    let narrow = |v: u64| u32::try_from(v).unwrap_or(u32::MAX);
    let indices: Vec<u32> = match kind {
        Kind::Int { size: 4, signed: true, .. } => {
            convert(bytes, |b| u32::try_from(order32(b, big) as i32).unwrap_or(u32::MAX))
        }
        Kind::Int { size: 4, .. } => convert(bytes, |b| order32(b, big)),
        Kind::Int { size: 8, signed: true, .. } => {
            convert(bytes, |b| u64::try_from(order64(b, big) as i64).map_or(u32::MAX, narrow))
        }
        Kind::Int { size: 8, .. } => convert(bytes, |b| narrow(order64(b, big))),
        _ => integers(key, kind, bytes)?.into_iter().map(|v| u32::try_from(v).unwrap_or(u32::MAX)).collect(),
    };
    match first_above(&indices, limit) {
        None => Ok(indices),
        Some(at) => Err(out_of_range(key, kind, bytes, at, limit)),
    }
}

/// Position of the first index that is not below `limit` (or is the mark `u32::MAX`).
fn first_above(indices: &[u32], limit: usize) -> Option<usize> {
    let limit = limit.min(u32::MAX as usize);
    let worst = indices.par_iter().with_min_len(PIECE).copied().max();
    if worst.is_none_or(|w| (w as usize) < limit) {
        return None;
    }
    indices.iter().position(|&i| i as usize >= limit)
}

fn out_of_range(key: &str, kind: &Kind, bytes: &[u8], at: usize, limit: usize) -> Error {
    let stored = bytes.get(at * kind.size()..(at + 1) * kind.size()).map(|b| integers(key, kind, b));
    let found = match stored {
        Some(Ok(v)) => v.first().map_or_else(String::new, ToString::to_string),
        _ => "a number beyond 64 signed bits".into(),
    };
    Error::unreadable("sparse index out of range")
        .at_key(key)
        .expected(format!("every index at least 0 and below {limit}"))
        .found(found)
        .remedy("the file is corrupt: write it again")
}

/// Rows of an array of numbers as `f32`. A value that `f32` cannot hold exactly is rounded and counted; one beyond its
/// range is an error.
pub(crate) fn read_f32(array: &Array, rows: Range<usize>, rounding: &Rounding) -> Result<Vec<f32>> {
    if *array.kind() == (Kind::Float { size: 4, big: false }) {
        let mut values = vec![0f32; array.n_values(&rows)?];
        array.read_into(rows, bytemuck::cast_slice_mut(&mut values))?;
        return Ok(values);
    }
    to_f32(array.key(), array.kind(), &array.bytes(rows)?, rounding)
}

/// Elements of an array of indices as `u32`, every one checked to be below `limit`.
pub(crate) fn read_indices(array: &Array, rows: Range<usize>, limit: usize) -> Result<Vec<u32>> {
    // Negative numbers of 32 bits are large ones without a sign: out of range unless the limit is as large.
    if matches!(array.kind(), Kind::Int { size: 4, big: false, .. }) && limit <= i32::MAX as usize {
        let mut indices = vec![0u32; array.n_values(&rows)?];
        array.read_into(rows, bytemuck::cast_slice_mut(&mut indices))?;
        return match first_above(&indices, limit) {
            None => Ok(indices),
            Some(at) => {
                Err(out_of_range(array.key(), array.kind(), bytemuck::cast_slice(&indices), at, limit))
            }
        };
    }
    to_indices(array.key(), array.kind(), &array.bytes(rows)?, limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_counted_and_overflow_refused() {
        let rounding = Rounding::default();
        let kind = Kind::Int { size: 8, signed: true, big: false };
        let bytes: Vec<u8> = [16_777_216i64, 16_777_217, -3].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(to_f32("X", &kind, &bytes, &rounding).unwrap(), [16_777_216.0, 16_777_216.0, -3.0]);
        assert_eq!(rounding.count(), 1);
        let kind = Kind::Float { size: 8, big: false };
        assert!(to_f32("X", &kind, &1e300f64.to_le_bytes(), &rounding).is_err());
        assert_eq!(to_f32("X", &kind, &0.1f64.to_le_bytes(), &rounding).unwrap(), [0.1f32]);
        assert!(rounding.count() >= 2);
    }

    #[test]
    fn indices_out_of_range_are_named() {
        let kind = Kind::Int { size: 4, signed: true, big: false };
        for bad in [-1i32, 5] {
            let bytes: Vec<u8> = [0, bad].iter().flat_map(|v| v.to_le_bytes()).collect();
            let e = to_indices("X/indices", &kind, &bytes, 5).unwrap_err();
            assert_eq!(e.key(), Some("X/indices"));
            assert!(e.to_string().contains(&bad.to_string()), "{e}");
        }
        assert_eq!(to_indices("k", &kind, &4i32.to_le_bytes(), 5).unwrap(), [4]);
    }
}
