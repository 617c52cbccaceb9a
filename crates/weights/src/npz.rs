//! `.npz`: a zip archive of `.npy` files, stored or deflated.

use std::io::Read as _;
use std::sync::Arc;

use flate2::read::DeflateDecoder;
use microtome_core::{Error, Result};

use crate::npy;
use crate::pickle::{Dict, Value};
use crate::tensor::{Place, Tensor, TensorInfo, column_major};
use crate::zip::{Archive, Entry};

/// Bytes read to find a header: the longest accepted and its preamble.
const HEAD: usize = (1 << 16) + 12;

/// Largest array of text or objects, which are read at once.
const MAX_TEXT: usize = 256 << 20;

/// Numeric arrays as tensors, arrays of text and objects as values.
pub(crate) struct Contents {
    pub(crate) tensors: Vec<(String, Tensor)>,
    pub(crate) others: Dict,
}

/// Whether the archive looks like one.
pub(crate) fn matches(archive: &Archive) -> bool {
    archive.entries().iter().any(|e| e.name.ends_with(".npy"))
}

/// Lists the arrays of an archive.
pub(crate) fn parse(bytes: &[u8], archive: &Archive, file: usize) -> Result<Contents> {
    let mut contents = Contents { tensors: Vec::new(), others: Dict::default() };
    for entry in archive.entries() {
        let Some(name) = entry.name.strip_suffix(".npy") else {
            return Err(Error::unsupported("the archive mixes arrays with other files").at_key(&entry.name));
        };
        add(bytes, entry, name, file, &mut contents).map_err(|e| e.at_key(name))?;
    }
    Ok(contents)
}

fn add(bytes: &[u8], entry: &Entry, name: &str, file: usize, contents: &mut Contents) -> Result<()> {
    let stored = bytes.get(entry.start..entry.start + entry.packed).unwrap_or_default();
    let head = if entry.deflated {
        let mut head = Vec::new();
        DeflateDecoder::new(stored)
            .take(HEAD as u64)
            .read_to_end(&mut head)
            .map_err(|e| Error::unreadable("a compressed array is damaged").caused_by(e))?;
        head
    } else {
        stored.get(..HEAD.min(stored.len())).unwrap_or_default().to_vec()
    };
    let header = npy::parse_header(&head, entry.len)?;
    let Some(dtype) = header.element.dtype() else {
        let array = npy::parse(&entry.read(bytes, MAX_TEXT)?)?;
        contents.others.insert(Value::Str(name.into()), Value::Array(Arc::new(array)));
        return Ok(());
    };
    let place = if entry.deflated {
        let Entry { start, packed, len, crc, .. } = *entry;
        Place::Deflated { file, start, packed, len, crc, skip: header.start }
    } else {
        Place::Range { file, start: entry.start + header.start, len: header.len }
    };
    let strides = if header.fortran { column_major(&header.shape) } else { None };
    let info = TensorInfo { shape: header.shape, dtype };
    contents
        .tensors
        .push((name.to_owned(), Tensor::new(info, 0, strides, Arc::new(place), header.element.big_endian)?));
    Ok(())
}
