//! NumPy `.npy` files: format versions 1 to 3, any byte order, row- and column-major.
//!
//! The header is a Python dictionary literal; it is parsed, never evaluated. Format:
//! `numpy/lib/format.py` ("NumPy array format", NEP 1).

use std::path::Path;
use std::sync::Arc;

use microtome_core::{Error, Result};

use crate::array::{Array, ArrayData, ArrayType};
use crate::atomic::write_atomic;
use crate::bytes::{FileBytes, u16_at, u32_at};
use crate::pickle::{self, Value};
use crate::tensor::count;

pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// Longest header accepted, in bytes; NumPy itself stops at 10,000 characters.
const MAX_HEADER: usize = 1 << 16;

/// What the header says.
#[derive(Debug, PartialEq)]
pub(crate) struct Header {
    pub(crate) element: ArrayType,
    pub(crate) fortran: bool,
    pub(crate) shape: Vec<usize>,
    /// Where the data starts, and how long it is.
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// Reads a `.npy` file of numbers, text or Python objects (which follow the rules of [`pickle`]).
///
/// # Errors
/// When the file is not one or is damaged.
pub fn read(path: &Path) -> Result<Array> {
    let bytes = FileBytes::open(path)?;
    parse(&bytes).map_err(|e| e.in_file(path))
}

/// Reads a `.npy` file from memory; see [`read`].
///
/// # Errors
/// As [`read`].
pub fn parse(bytes: &[u8]) -> Result<Array> {
    let h = parse_header(bytes, bytes.len())?;
    let data = bytes.get(h.start..h.start + h.len).unwrap_or_default();
    if h.element.kind == 'O' {
        return match pickle::parse(data)? {
            Value::Array(array) if array.shape() == h.shape => Ok(Arc::unwrap_or_clone(array)),
            other => Err(Error::unreadable("the .npy file does not hold the array its header announces")
                .expected(format!("an object array of shape {:?}", h.shape))
                .found(other.kind())),
        };
    }
    Array::new(h.shape, h.element, h.fortran, ArrayData::Bytes(data.into()))
}

/// Parses the header at the start of `bytes`, for a file of `file_len` bytes in all.
pub(crate) fn parse_header(bytes: &[u8], file_len: usize) -> Result<Header> {
    let damaged = |what: &str| Error::unreadable(format!("the .npy header {what}"));
    if !bytes.starts_with(MAGIC) {
        return Err(Error::unreadable("not a .npy file").expected("the bytes \\x93NUMPY at the start"));
    }
    let version = bytes.get(6).copied().unwrap_or(0);
    let (n, at) = match version {
        1 => (u16_at(bytes, 8).map(usize::from), 10),
        2 | 3 => (u32_at(bytes, 8).and_then(|n| usize::try_from(n).ok()), 12),
        v => {
            return Err(Error::unsupported("unknown .npy version")
                .expected("1, 2 or 3")
                .found(v.to_string()));
        }
    };
    let n = n.filter(|n| *n <= MAX_HEADER).ok_or_else(|| damaged("has no sensible length"))?;
    let text = bytes.get(at..at + n).ok_or_else(|| damaged("is cut short"))?;
    let text = match version {
        3 => std::str::from_utf8(text).map_err(|_| damaged("is not UTF-8"))?.to_owned(),
        _ => text.iter().map(|b| char::from(*b)).collect(),
    };
    let (descr, fortran, shape) = Literal(text.trim()).header().ok_or_else(|| {
        damaged("is not understood")
            .expected("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }")
            .found(text.chars().take(120).collect::<String>())
    })?;
    let element = ArrayType::parse(&descr)?;
    let left = file_len.saturating_sub(at + n);
    // Objects follow as one pickle, which fills the rest of the file.
    let len = count(&shape)
        .and_then(|n| if element.kind == 'O' { Some(left) } else { n.checked_mul(element.size) });
    let len = len.filter(|l| *l <= left).ok_or_else(|| {
        Error::unreadable("the .npy file is shorter than its header says")
            .expected(format!("shape {shape:?} of {element}"))
            .found(format!("{left} bytes"))
    })?;
    Ok(Header { element, fortran, shape, start: at + n, len })
}

/// The small part of Python's literal syntax that NumPy writes.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    fn header(mut self) -> Option<(String, bool, Vec<usize>)> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.eat('{')?;
        while self.eat('}').is_none() {
            let key = self.text()?;
            self.eat(':')?;
            match key {
                "descr" if descr.is_none() => descr = Some(self.text()?.to_owned()),
                "fortran_order" if fortran.is_none() => fortran = Some(self.boolean()?),
                "shape" if shape.is_none() => shape = Some(self.shape()?),
                _ => return None,
            }
            if self.eat(',').is_none() {
                self.eat('}')?;
                break;
            }
        }
        self.0.is_empty().then_some(())?;
        Some((descr?, fortran?, shape?))
    }

    fn eat(&mut self, c: char) -> Option<()> {
        self.0 = self.0.strip_prefix(c)?.trim_start();
        Some(())
    }

    fn text(&mut self) -> Option<&'a str> {
        let quote = self.0.chars().next().filter(|q| matches!(q, '\'' | '"'))?;
        let (text, rest) = self.0[1..].split_once(quote)?;
        self.0 = rest.trim_start();
        (!text.contains('\\')).then_some(text)
    }

    fn boolean(&mut self) -> Option<bool> {
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.0.strip_prefix(word) {
                self.0 = rest.trim_start();
                return Some(value);
            }
        }
        None
    }

    fn shape(&mut self) -> Option<Vec<usize>> {
        let mut shape = Vec::new();
        self.eat('(')?;
        while self.eat(')').is_none() {
            let digits = self.0.len() - self.0.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            shape.push(self.0[..digits].parse().ok()?);
            // Python 2 wrote long integers as `3L`.
            self.0 = self.0[digits..].strip_prefix('L').unwrap_or(&self.0[digits..]).trim_start();
            if self.eat(',').is_none() {
                self.eat(')')?;
                break;
            }
        }
        (shape.len() <= 64).then_some(shape)
    }
}

/// Elements that [`write()`] accepts.
pub trait Element: Copy {
    /// NumPy type string.
    const DESCR: &'static str;
    /// Appends the little-endian bytes.
    fn push(self, out: &mut Vec<u8>);
}

macro_rules! element {
    ($($t:ty = $descr:literal),*) => {$(
        impl Element for $t {
            const DESCR: &'static str = $descr;
            fn push(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
element!(f32 = "<f4", f64 = "<f8", i64 = "<i8", i32 = "<i4", u32 = "<u4");

/// Writes a row-major array as a version 1 `.npy` file, replacing the target in one step.
///
/// # Errors
/// When the data does not fit the shape, or the file cannot be written.
pub fn write<T: Element>(path: &Path, shape: &[usize], data: &[T]) -> Result<()> {
    if count(shape) != Some(data.len()) {
        return Err(Error::output("the array's data does not fit its shape")
            .in_file(path)
            .expected(format!("{shape:?}"))
            .found(format!("{} elements", data.len())));
    }
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let mut header = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        T::DESCR,
        dims.join(", ")
    );
    // The data starts at a multiple of 64 bytes.
    let pad = 64 - (10 + header.len() + 1) % 64;
    header.push_str(&" ".repeat(pad % 64));
    header.push('\n');
    let n = u16::try_from(header.len()).map_err(|_| Error::output("the array has too many dimensions"))?;
    write_atomic(path, |file| {
        file.write_all(MAGIC)?;
        file.write_all(&[1, 0])?;
        file.write_all(&n.to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        let mut buffer = Vec::with_capacity(1 << 16);
        for chunk in data.chunks(4096) {
            buffer.clear();
            chunk.iter().for_each(|v| v.push(&mut buffer));
            file.write_all(&buffer)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend([version, 0]);
        if version == 1 {
            out.extend((header.len() as u16).to_le_bytes());
        } else {
            out.extend((header.len() as u32).to_le_bytes());
        }
        out.extend(header.as_bytes());
        out.extend(data);
        out
    }

    #[test]
    fn versions_orders_and_text() {
        let f = npy(
            1,
            "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 2), }  \n",
            &[0, 1, 0, 2, 0, 3, 0, 4],
        );
        assert_eq!(parse(&f).unwrap().to_i64().unwrap(), [1, 3, 2, 4]);
        let f = npy(2, "{\"shape\": (), 'descr': '<f4', 'fortran_order': False}", &1.5f32.to_le_bytes());
        assert_eq!(parse(&f).unwrap().to_f32().unwrap(), [1.5]);
        let f = npy(3, "{'descr': '|S3', 'fortran_order': False, 'shape': (2L,), }", b"ab\0xyz");
        assert_eq!(parse(&f).unwrap().to_strings().unwrap(), ["ab", "xyz"]);
    }

    #[test]
    fn hostile_headers_are_refused() {
        for header in [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551615, 2)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1000,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}",
            "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': [('a','<f4')], 'fortran_order': False, 'shape': (1,)}",
            "__import__('os').system('true')",
            "",
        ] {
            assert!(parse(&npy(1, header, &[0; 8])).is_err(), "{header}");
        }
        assert!(parse(&npy(4, "{}", &[])).is_err());
        let good = npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", &[0; 8]);
        for n in 0..good.len() {
            assert!(parse(&good[..n]).is_err());
        }
    }

    #[test]
    fn write_reads_back_and_aligns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        write(&path, &[2, 3], &[1f64, 2., 3., 4., 5., 6.]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!((bytes.len() - 48) % 64, 0);
        let a = read(&path).unwrap();
        assert_eq!((a.shape(), a.to_f64().unwrap()), (&[2usize, 3][..], vec![1., 2., 3., 4., 5., 6.]));
        assert!(write(&path, &[2], &[1f32]).is_err());
    }
}
