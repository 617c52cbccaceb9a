//! Stored bytes to values of tables and attributes.

use microtome_core::{Error, Result};

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

pub(super) fn order16(b: [u8; 2], big: bool) -> u16 {
    if big { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) }
}

pub(super) fn order32(b: [u8; 4], big: bool) -> u32 {
    if big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) }
}

pub(super) fn order64(b: [u8; 8], big: bool) -> u64 {
    if big { u64::from_be_bytes(b) } else { u64::from_le_bytes(b) }
}

/// IEEE half precision to single, exact.
pub(super) fn half(bits: u16) -> f32 {
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
pub(super) fn integers(key: &str, kind: &Kind, bytes: &[u8]) -> Result<Vec<i64>> {
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
}
