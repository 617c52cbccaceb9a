//! NumPy arrays in memory, from `.npy` files and from pickles.

use std::fmt;
use std::sync::Arc;

use microtome_core::{Error, Result};

use crate::dtype::DType;
use crate::pickle::Value;
use crate::tensor::count;

/// A NumPy type string such as `<f8`, `|b1`, `<U12` or `|O`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrayType {
    /// NumPy's kind letter: `b` bool, `i` signed, `u` unsigned, `f` float, `c` complex, `S` bytes, `U` text, `O` object.
    pub kind: char,
    /// Bytes per element (for `U`, four per character).
    pub size: usize,
    /// Whether the elements are big-endian.
    pub big_endian: bool,
}

/// Longest fixed-length string element accepted, in bytes.
const MAX_ELEMENT: usize = 1 << 20;

impl ArrayType {
    /// Parses a type string, with or without the leading byte order (native means little-endian, as in every
    /// published file).
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let unknown = || {
            Error::unsupported("unknown NumPy type")
                .expected("a plain type such as <f4, <i8, |b1, <U10 or |O")
                .found(text.chars().take(60).collect::<String>())
        };
        let mut rest = text;
        let mut big_endian = false;
        if let Some(order @ ('<' | '>' | '|' | '=')) = text.chars().next() {
            big_endian = order == '>';
            rest = &text[1..];
        }
        if rest == "?" {
            return Ok(Self { kind: 'b', size: 1, big_endian });
        }
        let kind = rest.chars().next().filter(|k| "biufcSUOMmaV".contains(*k)).ok_or_else(unknown)?;
        let digits = &rest[1..];
        // "O" and "M8[ns]" carry no plain width.
        let digits = digits.split('[').next().unwrap_or_default();
        let n: usize =
            if digits.is_empty() && kind == 'O' { 8 } else { digits.parse().map_err(|_| unknown())? };
        let size = if kind == 'U' { n.checked_mul(4).ok_or_else(unknown)? } else { n };
        if size > MAX_ELEMENT {
            return Err(unknown());
        }
        Ok(Self { kind: if kind == 'a' { 'S' } else { kind }, size, big_endian })
    }

    /// The tensor element type, for numeric kinds.
    pub fn dtype(self) -> Option<DType> {
        Some(match (self.kind, self.size) {
            ('f', 8) => DType::F64,
            ('f', 4) => DType::F32,
            ('f', 2) => DType::F16,
            ('i', 8) => DType::I64,
            ('i', 4) => DType::I32,
            ('i', 2) => DType::I16,
            ('i', 1) => DType::I8,
            ('u', 8) => DType::U64,
            ('u', 4) => DType::U32,
            ('u', 2) => DType::U16,
            ('u', 1) => DType::U8,
            ('b', 1) => DType::Bool,
            ('c', 8) => DType::C64,
            ('c', 16) => DType::C128,
            _ => return None,
        })
    }

    /// One text element: fixed-length bytes or UCS-4, without the padding zeros.
    pub(crate) fn text(self, element: &[u8]) -> Result<String> {
        let damaged = || Error::unreadable("an array element is not valid text");
        match self.kind {
            'S' => {
                let end = element.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
                String::from_utf8(element[..end].to_vec()).map_err(|_| damaged())
            }
            'U' => {
                let mut text = String::new();
                for unit in element.as_chunks::<4>().0 {
                    let code =
                        if self.big_endian { u32::from_be_bytes(*unit) } else { u32::from_le_bytes(*unit) };
                    text.push(char::from_u32(code).ok_or_else(damaged)?);
                }
                text.truncate(text.trim_end_matches('\0').len());
                Ok(text)
            }
            _ => Err(Error::mismatch("the array does not hold text").found(self.to_string())),
        }
    }
}

impl fmt::Display for ArrayType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match (self.kind, self.size, self.big_endian) {
            ('O' | 'S' | 'V', ..) | (_, 1, _) => '|',
            (.., true) => '>',
            _ => '<',
        };
        match self.kind {
            'O' => write!(f, "{order}O"),
            'U' => write!(f, "{order}U{}", self.size / 4),
            kind => write!(f, "{order}{kind}{}", self.size),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum ArrayData {
    Bytes(Arc<[u8]>),
    Objects(Arc<[Value]>),
}

/// A NumPy array held in memory.
#[derive(Clone, Debug)]
pub struct Array {
    shape: Vec<usize>,
    element: ArrayType,
    /// Column-major.
    fortran: bool,
    data: ArrayData,
}

impl Array {
    pub(crate) fn new(shape: Vec<usize>, element: ArrayType, fortran: bool, data: ArrayData) -> Result<Self> {
        let expected = count(&shape);
        let found = match &data {
            ArrayData::Objects(items) => Some(items.len()),
            ArrayData::Bytes(_) if element.size == 0 => expected.filter(|n| *n == 0),
            ArrayData::Bytes(bytes) => (bytes.len() % element.size == 0).then(|| bytes.len() / element.size),
        };
        if expected.is_none() || expected != found {
            return Err(Error::unreadable("an array's data does not fit its shape")
                .expected(format!("shape {shape:?} of {element}"))
                .found(match &data {
                    ArrayData::Bytes(b) => format!("{} bytes", b.len()),
                    ArrayData::Objects(o) => format!("{} objects", o.len()),
                }));
        }
        Ok(Self { shape, element, fortran, data })
    }

    /// Lengths of the dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Element type.
    pub fn element(&self) -> ArrayType {
        self.element
    }

    /// The elements as f32 in row-major order (f64 rounds to nearest).
    ///
    /// # Errors
    /// When the elements are not numbers.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        self.numeric()?.to_f32(&self.rows()?, self.element.big_endian)
    }

    /// The elements as f64 in row-major order.
    ///
    /// # Errors
    /// When the elements are not numbers.
    pub fn to_f64(&self) -> Result<Vec<f64>> {
        self.numeric()?.to_f64(&self.rows()?, self.element.big_endian)
    }

    /// The elements as whole numbers in row-major order.
    ///
    /// # Errors
    /// When the elements are not whole numbers.
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        self.numeric()?.to_i64(&self.rows()?, self.element.big_endian)
    }

    /// The elements as text in row-major order: fixed-length bytes, fixed-length text, or objects that are all strings.
    ///
    /// # Errors
    /// When an element is not text.
    pub fn to_strings(&self) -> Result<Vec<String>> {
        if let ArrayData::Objects(_) = self.data {
            return self
                .to_objects()?
                .iter()
                .map(|v| {
                    v.as_str().map(str::to_owned).ok_or_else(|| {
                        Error::mismatch("an array element is not text").found(v.kind().to_owned())
                    })
                })
                .collect();
        }
        if self.element.size == 0 {
            return Ok(Vec::new());
        }
        self.rows()?.chunks_exact(self.element.size).map(|e| self.element.text(e)).collect()
    }

    /// The Python objects of an object array in row-major order.
    ///
    /// # Errors
    /// When the array holds plain numbers or text.
    pub fn to_objects(&self) -> Result<Vec<Value>> {
        match &self.data {
            ArrayData::Objects(items) => {
                let order = self.row_major_order();
                Ok(order.into_iter().filter_map(|i| items.get(i).cloned()).collect())
            }
            ArrayData::Bytes(_) => {
                Err(Error::mismatch("the array does not hold Python objects").found(self.element.to_string()))
            }
        }
    }

    fn numeric(&self) -> Result<DType> {
        self.element.dtype().filter(|_| matches!(self.data, ArrayData::Bytes(_))).ok_or_else(|| {
            Error::mismatch("the array does not hold numbers")
                .expected("a numeric array")
                .found(self.element.to_string())
        })
    }

    /// Element bytes in row-major order.
    fn rows(&self) -> Result<Vec<u8>> {
        let ArrayData::Bytes(bytes) = &self.data else {
            return Err(Error::mismatch("the array holds Python objects"));
        };
        if !self.is_column_major() {
            return Ok(bytes.to_vec());
        }
        let size = self.element.size;
        let mut out = Vec::with_capacity(bytes.len());
        for i in self.row_major_order() {
            out.extend_from_slice(bytes.get(i * size..(i + 1) * size).unwrap_or_default());
        }
        Ok(out)
    }

    fn is_column_major(&self) -> bool {
        self.fortran && self.shape.iter().filter(|d| **d > 1).count() > 1
    }

    /// Positions in storage of the elements in row-major order.
    fn row_major_order(&self) -> Vec<usize> {
        let n = count(&self.shape).unwrap_or(0);
        if !self.is_column_major() {
            return (0..n).collect();
        }
        (0..n)
            .map(|mut row| {
                let (mut at, mut stride) = (0, n);
                for d in self.shape.iter().rev() {
                    stride /= d;
                    at += row % d * stride;
                    row /= d;
                }
                at
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_major_arrays_come_out_row_by_row() {
        // Fortran order of [[0,1,2],[3,4,5]] stores columns: 0 3 1 4 2 5.
        let bytes: Arc<[u8]> = [0u8, 3, 1, 4, 2, 5].into();
        let u1 = ArrayType::parse("|u1").unwrap();
        let a = Array::new(vec![2, 3], u1, true, ArrayData::Bytes(bytes.clone())).unwrap();
        assert_eq!(a.to_i64().unwrap(), [0, 1, 2, 3, 4, 5]);
        assert!(Array::new(vec![2, 2], u1, false, ArrayData::Bytes(bytes)).is_err());
        let bytes: Arc<[u8]> = (0..24).collect();
        let cube = Array::new(vec![2, 3, 4], u1, true, ArrayData::Bytes(bytes)).unwrap();
        // Element [1,2,3] is at 1 + 2*2 + 3*6.
        assert_eq!(cube.to_i64().unwrap()[23], 23);
        // Element [0,1,2] is at 1*2 + 2*6.
        assert_eq!(cube.to_i64().unwrap()[6], 14);
    }

    #[test]
    fn type_strings_round_trip() {
        for text in ["<f8", ">i2", "|b1", "<U12", "|S5", "|O", "|u1"] {
            assert_eq!(ArrayType::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "f", "x4", "<U99999999999999999999", "é4"] {
            assert!(ArrayType::parse(text).is_err(), "{text}");
        }
        let u = ArrayType::parse("<U2").unwrap();
        assert_eq!(u.text(&[0x41, 0, 0, 0, 0, 0, 0, 0]).unwrap(), "A");
        assert!(u.text(&[0, 0xd8, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
