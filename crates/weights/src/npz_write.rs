//! Writing `.npz`: a stored zip archive of `.npy` files, as `numpy.savez` makes it, with ZIP64 records where sizes need them.
//!
//! Besides plain arrays an archive may hold a dictionary of dictionaries of arrays, as one pickled 0-d object array: the only form
//! in which NumPy nests. Protocol 4, module `numpy.core.multiarray`, which NumPy 1 and 2 both read.

use std::io::{self, Write};
use std::path::Path;

use flate2::Crc;
use microtome_core::{Error, Result};

use crate::atomic::write_atomic;
use crate::npy::MAGIC;
use crate::tensor::count;

/// `[rows, columns]` of `f32` under a name.
pub type NamedMatrix<'a> = (String, [usize; 2], &'a [f32]);

/// What an archive holds under a name.
#[derive(Clone, Debug)]
pub enum NpzMember<'a> {
    /// An array of `f32`.
    F32 {
        /// Lengths of the dimensions.
        shape: Vec<usize>,
        /// Row-major values.
        data: &'a [f32],
    },
    /// A dictionary of dictionaries of matrices, pickled.
    Nested(Vec<(String, Vec<NamedMatrix<'a>>)>),
}

/// Writes an archive, replacing the target in one step. The bytes depend on the arguments alone.
///
/// # Errors
/// When an array does not fit its shape, a name repeats or is too long, or the file cannot be written.
pub fn write_npz(path: &Path, members: &[(String, NpzMember<'_>)]) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for (name, member) in members {
        let refuse = |what: &str| Error::output(what.to_owned()).in_file(path).at_key(name);
        if !seen.insert(name) {
            return Err(refuse("two arrays share a name"));
        }
        if name.len() > 1 << 12 {
            return Err(refuse("the name of an array is too long"));
        }
        let fits = match member {
            NpzMember::F32 { shape, data } => count(shape) == Some(data.len()),
            NpzMember::Nested(outer) => outer
                .iter()
                .flat_map(|(_, inner)| inner)
                .all(|(_, [r, c], d)| r.checked_mul(*c) == Some(d.len()) && i32::try_from(*r.max(c)).is_ok()),
        };
        if !fits {
            return Err(refuse("the array's data does not fit its shape"));
        }
    }
    write_atomic(path, |out| {
        let mut out = Counted { to: out, n: 0 };
        let mut directory = Vec::new();
        for (name, member) in members {
            // Once to know size and checksum, which stand before the data; once to write.
            let mut sum = Sum { crc: Crc::new(), n: 0 };
            write_member(member, &mut sum)?;
            let entry = Entry { name: format!("{name}.npy"), at: out.n, size: sum.n, crc: sum.crc.sum() };
            entry.local(&mut out)?;
            write_member(member, &mut out)?;
            directory.push(entry);
        }
        finish(&directory, &mut out)
    })
}

struct Counted<'a> {
    to: &'a mut dyn Write,
    n: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.to.write(bytes)?;
        self.n += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

struct Sum {
    crc: Crc,
    n: u64,
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.crc.update(bytes);
        self.n += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Entry {
    name: String,
    at: u64,
    size: u64,
    crc: u32,
}

/// Version that reads ZIP64, no flags, stored, 1980-01-01.
const FIXED: [u8; 10] = [45, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];

impl Entry {
    /// NumPy writes ZIP64 sizes into every local header, and so does this.
    fn local(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"PK\x03\x04")?;
        out.write_all(&FIXED)?;
        out.write_all(&self.crc.to_le_bytes())?;
        out.write_all(&[0xff; 8])?;
        out.write_all(&(self.name.len() as u16).to_le_bytes())?;
        out.write_all(&20u16.to_le_bytes())?;
        out.write_all(self.name.as_bytes())?;
        out.write_all(&[1, 0, 16, 0])?;
        out.write_all(&self.size.to_le_bytes())?;
        out.write_all(&self.size.to_le_bytes())
    }

    fn central(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"PK\x01\x02\x2d\x03")?;
        out.write_all(&FIXED)?;
        out.write_all(&self.crc.to_le_bytes())?;
        out.write_all(&[0xff; 8])?;
        out.write_all(&(self.name.len() as u16).to_le_bytes())?;
        out.write_all(&28u16.to_le_bytes())?;
        // No comment, first disk, no attributes but ordinary permissions.
        out.write_all(&[0, 0, 0, 0, 0, 0])?;
        out.write_all(&(0o100_644u32 << 16).to_le_bytes())?;
        out.write_all(&[0xff; 4])?;
        out.write_all(self.name.as_bytes())?;
        out.write_all(&[1, 0, 24, 0])?;
        for n in [self.size, self.size, self.at] {
            out.write_all(&n.to_le_bytes())?;
        }
        Ok(())
    }
}

fn finish(entries: &[Entry], out: &mut Counted<'_>) -> io::Result<()> {
    let start = out.n;
    for entry in entries {
        entry.central(out)?;
    }
    let (end, n) = (out.n, entries.len() as u64);
    out.write_all(b"PK\x06\x06")?;
    out.write_all(&44u64.to_le_bytes())?;
    out.write_all(&[45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
    for x in [n, n, end - start, start] {
        out.write_all(&x.to_le_bytes())?;
    }
    out.write_all(b"PK\x06\x07")?;
    out.write_all(&0u32.to_le_bytes())?;
    out.write_all(&end.to_le_bytes())?;
    out.write_all(&1u32.to_le_bytes())?;
    out.write_all(b"PK\x05\x06\0\0\0\0")?;
    out.write_all(&[0xff; 12])?;
    out.write_all(&[0, 0])
}

fn write_member(member: &NpzMember<'_>, out: &mut dyn Write) -> io::Result<()> {
    match member {
        NpzMember::F32 { shape, data } => {
            header("<f4", shape, out)?;
            floats(data, out)
        }
        NpzMember::Nested(outer) => {
            header("|O", &[], out)?;
            out.write_all(b"\x80\x04")?;
            reconstruct(out)?;
            // State: version, shape, type, order, list of elements.
            out.write_all(b"(K\x01)")?;
            dtype("O8", b'|', 63, out)?;
            out.write_all(b"\x89]}(")?;
            for (name, inner) in outer {
                text(name, out)?;
                out.write_all(b"}(")?;
                for (name, shape, data) in inner {
                    text(name, out)?;
                    matrix(*shape, data, out)?;
                }
                out.write_all(b"u")?;
            }
            out.write_all(b"uatb.")
        }
    }
}

fn header(descr: &str, shape: &[usize], out: &mut dyn Write) -> io::Result<()> {
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let mut text =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}", dims.join(", "));
    let pad = 64 - (10 + text.len() + 1) % 64;
    text.push_str(&" ".repeat(pad % 64));
    text.push('\n');
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&(text.len() as u16).to_le_bytes())?;
    out.write_all(text.as_bytes())
}

fn floats(data: &[f32], out: &mut dyn Write) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(1 << 15);
    for chunk in data.chunks(1 << 13) {
        buffer.clear();
        chunk.iter().for_each(|x| buffer.extend_from_slice(&x.to_le_bytes()));
        out.write_all(&buffer)?;
    }
    Ok(())
}

/// `numpy.core.multiarray._reconstruct(numpy.ndarray, (0,), b"b")`.
fn reconstruct(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R")
}

/// `numpy.dtype(code, False, True)` with the state that NumPy gives it.
fn dtype(code: &str, order: u8, flags: u8, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"cnumpy\ndtype\n")?;
    text(code, out)?;
    out.write_all(b"\x89\x88\x87R(K\x03")?;
    text(char::from(order).encode_utf8(&mut [0; 4]), out)?;
    out.write_all(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK")?;
    out.write_all(&[flags])?;
    out.write_all(b"tb")
}

fn matrix([rows, cols]: [usize; 2], data: &[f32], out: &mut dyn Write) -> io::Result<()> {
    reconstruct(out)?;
    out.write_all(b"(K\x01J")?;
    out.write_all(&(rows as i32).to_le_bytes())?;
    out.write_all(b"J")?;
    out.write_all(&(cols as i32).to_le_bytes())?;
    out.write_all(b"\x86")?;
    dtype("f4", b'<', 0, out)?;
    out.write_all(b"\x89")?;
    let n = 4 * data.len() as u64;
    match u32::try_from(n) {
        Ok(n) => {
            out.write_all(b"B")?;
            out.write_all(&n.to_le_bytes())?;
        }
        Err(_) => {
            out.write_all(b"\x8e")?;
            out.write_all(&n.to_le_bytes())?;
        }
    }
    floats(data, out)?;
    out.write_all(b"tb")
}

fn text(s: &str, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"X")?;
    out.write_all(&(s.len() as u32).to_le_bytes())?;
    out.write_all(s.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checkpoint, Value};

    #[test]
    fn arrays_and_nested_arrays_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.npz");
        let (a, q, k) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.5, -0.5], [7.0, 8.0]);
        let layer = |d| vec![("W_q".to_string(), [1, 2], d)];
        let nested =
            NpzMember::Nested(vec![("layer_00".into(), layer(&q[..])), ("layer_10".into(), layer(&k[..]))]);
        let members = [
            ("static".to_string(), NpzMember::F32 { shape: vec![3, 2], data: &a }),
            ("attention".to_string(), nested),
            ("empty".to_string(), NpzMember::F32 { shape: vec![0], data: &[] }),
        ];
        write_npz(&path, &members).unwrap();
        let file = Checkpoint::open(&path).unwrap();
        assert_eq!(file.read_f32("static").unwrap(), a);
        let Some(Value::Array(outer)) = file.value("attention") else { panic!("no object array") };
        let outer = outer.to_objects().unwrap();
        let Some(Value::Array(array)) = outer[0].get("layer_10").and_then(|l| l.get("W_q")) else {
            panic!("no inner array")
        };
        assert_eq!((array.shape(), array.to_f32().unwrap()), (&[1, 2][..], vec![7.0, 8.0]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.npz");
        let one = |shape: Vec<usize>| ("a".to_string(), NpzMember::F32 { shape, data: &[1.0] });
        assert!(write_npz(&path, &[one(vec![2])]).is_err());
        assert!(write_npz(&path, &[one(vec![1]), one(vec![1])]).is_err());
        assert!(!path.exists());
    }
}
