//! Element types and their conversion from bytes.

use std::fmt;

use microtome_core::{Error, Result};

/// Element type of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE double. Reading it as f32 rounds to nearest; `read_f64` keeps it.
    F64,
    /// IEEE single.
    F32,
    /// IEEE half.
    F16,
    /// The upper half of an IEEE single.
    BF16,
    /// 8-bit float, 4 exponent bits (listed, not read).
    F8E4M3,
    /// 8-bit float, 5 exponent bits (listed, not read).
    F8E5M2,
    /// Complex of two singles (listed, not read).
    C64,
    /// Complex of two doubles (listed, not read).
    C128,
    /// Signed 64 bits.
    I64,
    /// Signed 32 bits.
    I32,
    /// Signed 16 bits.
    I16,
    /// Signed 8 bits.
    I8,
    /// Unsigned 64 bits.
    U64,
    /// Unsigned 32 bits.
    U32,
    /// Unsigned 16 bits.
    U16,
    /// Unsigned 8 bits.
    U8,
    /// One byte, 0 or 1.
    Bool,
}

impl DType {
    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Self::C128 => 16,
            Self::F64 | Self::C64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::F8E4M3 | Self::F8E5M2 | Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Short lower-case name: `f32`, `bf16`, `i64`, ...
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F8E4M3 => "f8_e4m3",
            Self::F8E5M2 => "f8_e5m2",
            Self::C64 => "c64",
            Self::C128 => "c128",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I16 => "i16",
            Self::I8 => "i8",
            Self::U64 => "u64",
            Self::U32 => "u32",
            Self::U16 => "u16",
            Self::U8 => "u8",
            Self::Bool => "bool",
        }
    }

    /// Whole numbers and booleans.
    pub fn is_integer(self) -> bool {
        matches!(
            self,
            Self::I64
                | Self::I32
                | Self::I16
                | Self::I8
                | Self::U64
                | Self::U32
                | Self::U16
                | Self::U8
                | Self::Bool
        )
    }

    /// Decodes contiguous elements to f32 in one pass (f64 and wide integers round to nearest).
    pub(crate) fn to_f32(self, bytes: &[u8], big_endian: bool) -> Result<Vec<f32>> {
        Ok(match self {
            Self::F64 => each(bytes, big_endian, |b| f64::from_le_bytes(b) as f32),
            Self::F32 => each(bytes, big_endian, f32::from_le_bytes),
            Self::F16 => each(bytes, big_endian, |b| f16_to_f32(u16::from_le_bytes(b))),
            Self::BF16 => each(bytes, big_endian, |b| bf16_to_f32(u16::from_le_bytes(b))),
            Self::I64 => each(bytes, big_endian, |b| i64::from_le_bytes(b) as f32),
            Self::I32 => each(bytes, big_endian, |b| i32::from_le_bytes(b) as f32),
            Self::U64 => each(bytes, big_endian, |b| u64::from_le_bytes(b) as f32),
            Self::U32 => each(bytes, big_endian, |b| u32::from_le_bytes(b) as f32),
            Self::I16 => each(bytes, big_endian, |b| f32::from(i16::from_le_bytes(b))),
            Self::U16 => each(bytes, big_endian, |b| f32::from(u16::from_le_bytes(b))),
            Self::I8 => each(bytes, big_endian, |[b]: [u8; 1]| f32::from(b.cast_signed())),
            Self::U8 => each(bytes, big_endian, |[b]: [u8; 1]| f32::from(b)),
            Self::Bool => each(bytes, big_endian, |[b]: [u8; 1]| f32::from(u8::from(b != 0))),
            Self::F8E4M3 | Self::F8E5M2 | Self::C64 | Self::C128 => return Err(self.unread("f32")),
        })
    }

    /// Decodes contiguous elements to f64 (only 64-bit integers above 2^53 round).
    pub(crate) fn to_f64(self, bytes: &[u8], big_endian: bool) -> Result<Vec<f64>> {
        Ok(match self {
            Self::F64 => each(bytes, big_endian, f64::from_le_bytes),
            Self::I64 => each(bytes, big_endian, |b| i64::from_le_bytes(b) as f64),
            Self::U64 => each(bytes, big_endian, |b| u64::from_le_bytes(b) as f64),
            Self::I32 => each(bytes, big_endian, |b| f64::from(i32::from_le_bytes(b))),
            Self::U32 => each(bytes, big_endian, |b| f64::from(u32::from_le_bytes(b))),
            _ => self.to_f32(bytes, big_endian)?.into_iter().map(f64::from).collect(),
        })
    }

    /// Decodes contiguous whole numbers; floating types are refused.
    pub(crate) fn to_i64(self, bytes: &[u8], big_endian: bool) -> Result<Vec<i64>> {
        Ok(match self {
            Self::I64 => each(bytes, big_endian, i64::from_le_bytes),
            Self::I32 => each(bytes, big_endian, |b| i64::from(i32::from_le_bytes(b))),
            Self::I16 => each(bytes, big_endian, |b| i64::from(i16::from_le_bytes(b))),
            Self::I8 => each(bytes, big_endian, |[b]: [u8; 1]| i64::from(b.cast_signed())),
            Self::U32 => each(bytes, big_endian, |b| i64::from(u32::from_le_bytes(b))),
            Self::U16 => each(bytes, big_endian, |b| i64::from(u16::from_le_bytes(b))),
            Self::U8 => each(bytes, big_endian, |[b]: [u8; 1]| i64::from(b)),
            Self::Bool => each(bytes, big_endian, |[b]: [u8; 1]| i64::from(b != 0)),
            Self::U64 => each(bytes, big_endian, u64::from_le_bytes)
                .into_iter()
                .map(|v| {
                    i64::try_from(v).map_err(|_| {
                        Error::mismatch("a whole number is too large for 64 signed bits").found(v.to_string())
                    })
                })
                .collect::<Result<_>>()?,
            _ => {
                return Err(Error::mismatch("the tensor does not hold whole numbers")
                    .expected("an integer type")
                    .found(self.name()));
            }
        })
    }

    fn unread(self, target: &str) -> Error {
        Error::unsupported(format!("{self} tensors are not read as {target}"))
            .expected("f64, f32, f16, bf16, integers or bool")
            .remedy("convert the tensor to float32 and save the checkpoint again")
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn each<T, const N: usize>(bytes: &[u8], big_endian: bool, decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (elements, _) = bytes.as_chunks::<N>();
    if big_endian && N > 1 {
        elements
            .iter()
            .map(|e| {
                let mut e = *e;
                e.reverse();
                decode(e)
            })
            .collect()
    } else {
        elements.iter().map(|e| decode(*e)).collect()
    }
}

fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let fraction = u32::from(bits) & 0x3ff;
    match exponent {
        // Subnormal: fraction * 2^-24, exact in f32.
        0 => f32::from_bits((fraction as f32 * f32::from_bits(103 << 23)).to_bits() | sign),
        31 => f32::from_bits(sign | 0x7f80_0000 | (fraction << 13)),
        _ => f32::from_bits(sign | ((exponent + 112) << 23) | (fraction << 13)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_follows_the_definition() {
        for bits in 0..=u16::MAX {
            let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
            let exponent = i32::from(bits >> 10 & 31);
            let fraction = f64::from(bits & 0x3ff) / 1024.0;
            let got = f64::from(f16_to_f32(bits));
            match exponent {
                31 if fraction == 0.0 => assert_eq!(got, sign * f64::INFINITY),
                31 => assert!(got.is_nan()),
                0 => assert_eq!(got, sign * fraction * 2f64.powi(-14)),
                _ => assert_eq!(got, sign * (1.0 + fraction) * 2f64.powi(exponent - 15)),
            }
        }
        assert!(f16_to_f32(0x8000).is_sign_negative());
        assert_eq!(bf16_to_f32(0x3fc0), 1.5);
    }

    #[test]
    fn both_byte_orders_and_every_width() {
        assert_eq!(DType::I16.to_i64(&[0xfe, 0xff], false).unwrap(), [-2]);
        assert_eq!(DType::I16.to_i64(&[0xff, 0xfe], true).unwrap(), [-2]);
        assert_eq!(DType::F64.to_f64(&0.1f64.to_be_bytes(), true).unwrap(), [0.1]);
        assert_eq!(DType::F64.to_f32(&0.1f64.to_le_bytes(), false).unwrap(), [0.1f32]);
        assert_eq!(DType::Bool.to_f32(&[0, 1, 7], false).unwrap(), [0.0, 1.0, 1.0]);
        assert_eq!(DType::I8.to_f64(&[0x80], false).unwrap(), [-128.0]);
        assert!(DType::U64.to_i64(&[0xff; 8], false).is_err());
        assert!(DType::F32.to_i64(&[0; 4], false).is_err());
        assert!(DType::C64.to_f32(&[0; 8], false).is_err());
    }
}
