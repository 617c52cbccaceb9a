//! Dictionaries as pickle protocol 4, the way Python writes them.

use std::io::{self, Write};
use std::path::Path;

use microtome_core::Result;

use crate::atomic::write_atomic;

/// Pairs per SETITEMS, as in Python's own pickler.
const BATCH: usize = 1000;

/// Writes a `dict[str, int]` that Python's `pickle.load` reads, replacing the target in one step.
///
/// # Errors
/// When the file cannot be written.
pub fn write_str_int_dict(path: &Path, entries: &[(String, i64)]) -> Result<()> {
    write_dict(path, entries, |out, v| match (u8::try_from(*v), u16::try_from(*v), i32::try_from(*v)) {
        (Ok(v), ..) => out.write_all(&[b'K', v]),
        (_, Ok(v), _) => {
            out.write_all(b"M")?;
            out.write_all(&v.to_le_bytes())
        }
        (.., Ok(v)) => {
            out.write_all(b"J")?;
            out.write_all(&v.to_le_bytes())
        }
        _ => {
            out.write_all(&[0x8a, 8])?;
            out.write_all(&v.to_le_bytes())
        }
    })
}

/// Writes a `dict[str, float]` that Python's `pickle.load` reads, replacing the target in one step.
///
/// # Errors
/// When the file cannot be written.
pub fn write_str_float_dict(path: &Path, entries: &[(String, f64)]) -> Result<()> {
    write_dict(path, entries, |out, v| {
        out.write_all(b"G")?;
        out.write_all(&v.to_be_bytes())
    })
}

/// Writes a `dict[str, str]` that Python's `pickle.load` reads, replacing the target in one step.
///
/// # Errors
/// When the file cannot be written.
pub fn write_str_str_dict(path: &Path, entries: &[(String, String)]) -> Result<()> {
    write_dict(path, entries, |out, v| text(out, v))
}

fn write_dict<T>(
    path: &Path,
    entries: &[(String, T)],
    value: impl Fn(&mut dyn Write, &T) -> io::Result<()>,
) -> Result<()> {
    write_atomic(path, |out| {
        out.write_all(b"\x80\x04}")?;
        for batch in entries.chunks(BATCH) {
            out.write_all(b"(")?;
            for (k, v) in batch {
                text(out, k)?;
                value(out, v)?;
            }
            out.write_all(b"u")?;
        }
        out.write_all(b".")
    })
}

fn text(out: &mut dyn Write, s: &str) -> io::Result<()> {
    match (u8::try_from(s.len()), u32::try_from(s.len())) {
        (Ok(n), _) => out.write_all(&[0x8c, n])?,
        (_, Ok(n)) => {
            out.write_all(b"X")?;
            out.write_all(&n.to_le_bytes())?;
        }
        _ => {
            out.write_all(&[0x8d])?;
            out.write_all(&(s.len() as u64).to_le_bytes())?;
        }
    }
    out.write_all(s.as_bytes())
}
