//! Stored bytes to numbers and text.

use std::sync::atomic::{AtomicU64, Ordering};

use microtome_core::{Error, Result};
use rayon::prelude::*;

use super::Kind;
use super::heap::Heap;

/// Elements of a dataset or attribute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
    Text(Vec<String>),
    /// Object header addresses.
    References(Vec<u64>),
}

impl Values {
    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Int(v) => v.len(),
            Self::Float(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::Text(v) => v.len(),
            Self::References(v) => v.len(),
        }
    }
}

/// Decodes elements of `kind`. Integers beyond 64 signed bits are an error.
pub(super) fn decode(heap: &mut Heap<'_>, key: &str, kind: &Kind, bytes: &[u8]) -> Result<Values> {
    let size = kind.size().max(1);
    Ok(match *kind {
        Kind::Int { .. } => Values::Int(integers(key, kind, bytes)?),
        Kind::Float { size: 8, big } => {
            Values::Float(bytes.as_chunks().0.iter().map(|b| f64::from_bits(order64(*b, big))).collect())
        }
        Kind::Float { size: 4, big } => Values::Float(
            bytes.as_chunks().0.iter().map(|b| f64::from(f32::from_bits(order32(*b, big)))).collect(),
        ),
        Kind::Float { big, .. } => {
            Values::Float(bytes.as_chunks().0.iter().map(|b| f64::from(half(order16(*b, big)))).collect())
        }
        Kind::Bool => Values::Bool(bytes.iter().map(|&b| b != 0).collect()),
        Kind::FixedText { padding, .. } => {
            let texts = bytes.chunks_exact(size).map(|b| utf8(key, trim(b, padding)));
            Values::Text(texts.collect::<Result<_>>()?)
        }
        Kind::VarText => {
            let mut texts = Vec::with_capacity(bytes.len() / size);
            for reference in bytes.chunks_exact(size) {
                texts.push(utf8(key, heap.resolve(key, reference)?)?);
            }
            Values::Text(texts)
        }
        Kind::Reference => {
            Values::References(bytes.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b)).collect())
        }
        Kind::Compound { .. } | Kind::Other { .. } => {
            return Err(Error::unsupported("element type that is not read").at_key(key).found(kind.name()));
        }
    })
}

fn utf8(key: &str, bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|e| {
        Error::unreadable("text that is not UTF-8")
            .at_key(key)
            .found(format!("{:?}", String::from_utf8_lossy(e.as_bytes())))
    })
}

fn trim(field: &[u8], padding: u8) -> &[u8] {
    match padding {
        // Space-padded.
        2 => &field[..field.iter().rposition(|&b| b != b' ').map_or(0, |i| i + 1)],
        // NUL-padded: NULs inside belong to the text.
        1 => &field[..field.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1)],
        _ => &field[..field.iter().position(|&b| b == 0).unwrap_or(field.len())],
    }
}

fn order16(b: [u8; 2], big: bool) -> u16 {
    if big { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) }
}

fn order32(b: [u8; 4], big: bool) -> u32 {
    if big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) }
}

fn order64(b: [u8; 8], big: bool) -> u64 {
    if big { u64::from_be_bytes(b) } else { u64::from_le_bytes(b) }
}

/// IEEE half precision to single, exact.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 != 0 { -1.0 } else { 1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let mantissa = f32::from(bits & 0x3ff);
    sign * match exponent {
        0 => mantissa * 2f32.powi(-24),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        e => (1024.0 + mantissa) * 2f32.powi(e - 25),
    }
}

/// Integers of any width as `i64`.
fn integers(key: &str, kind: &Kind, bytes: &[u8]) -> Result<Vec<i64>> {
    let Kind::Int { size, signed, big } = *kind else {
        return Err(Error::unreadable("not integers")
            .at_key(key)
            .expected("an integer type")
            .found(kind.name()));
    };
    Ok(match (size, signed) {
        (1, true) => bytes.iter().map(|&b| i64::from(b as i8)).collect(),
        (1, false) => bytes.iter().map(|&b| i64::from(b)).collect(),
        (2, true) => bytes.as_chunks().0.iter().map(|b| i64::from(order16(*b, big) as i16)).collect(),
        (2, false) => bytes.as_chunks().0.iter().map(|b| i64::from(order16(*b, big))).collect(),
        (4, true) => bytes.as_chunks().0.iter().map(|b| i64::from(order32(*b, big) as i32)).collect(),
        (4, false) => bytes.as_chunks().0.iter().map(|b| i64::from(order32(*b, big))).collect(),
        (_, true) => bytes.as_chunks().0.iter().map(|b| order64(*b, big) as i64).collect(),
        (_, false) => bytes
            .as_chunks()
            .0
            .iter()
            .map(|b| {
                i64::try_from(order64(*b, big)).map_err(|_| {
                    Error::unsupported("integer beyond 64 signed bits")
                        .at_key(key)
                        .found(order64(*b, big).to_string())
                })
            })
            .collect::<Result<_>>()?,
    })
}

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
pub(crate) fn to_f32(key: &str, kind: &Kind, bytes: &[u8], rounding: &Rounding) -> Result<Vec<f32>> {
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
pub(crate) fn to_indices(key: &str, kind: &Kind, bytes: &[u8], limit: usize) -> Result<Vec<u32>> {
    let big = matches!(kind, Kind::Int { big: true, .. });
    // The value with which out-of-range indices are marked is itself out of range.
    let limit = limit.min(u32::MAX as usize);
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
    let worst = indices.par_iter().with_min_len(PIECE).copied().max().unwrap_or(0);
    if !indices.is_empty() && worst as usize >= limit {
        let at = indices.iter().position(|&i| i as usize >= limit).unwrap_or(0);
        let stored = bytes.get(at * kind.size()..(at + 1) * kind.size()).map(|b| integers(key, kind, b));
        let found = match stored {
            Some(Ok(v)) => v.first().map_or_else(String::new, ToString::to_string),
            _ => "a number beyond 64 signed bits".into(),
        };
        return Err(Error::unreadable("sparse index out of range")
            .at_key(key)
            .expected(format!("every index at least 0 and below {limit}"))
            .found(found)
            .remedy("the file is corrupt: write it again"));
    }
    Ok(indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_exact() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x0400, 6.103_515_6e-5),
            (0x7c00, f32::INFINITY),
        ] {
            assert_eq!(half(bits), value, "{bits:#x}");
        }
        assert!(half(0x7e00).is_nan());
    }

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
