//! File contents as one byte slice: memory-mapped, or owned where the caller already has the bytes.
#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;
use microtome_core::{Error, Result};

/// The whole of a file, read on demand by the operating system.
#[derive(Debug)]
pub(crate) enum FileBytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl FileBytes {
    /// Maps a file; opening takes the same time whatever its size.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let unreadable =
            |e: std::io::Error| Error::unreadable("cannot open the file").in_file(path).caused_by(e);
        let file = File::open(path).map_err(unreadable)?;
        let meta = file.metadata().map_err(unreadable)?;
        if !meta.is_file() {
            return Err(Error::unreadable("not a regular file").in_file(path).expected("a checkpoint file"));
        }
        if meta.len() == 0 {
            return Ok(Self::Owned(Vec::new()));
        }
        // SAFETY: the mapping is private and read-only, lives inside this value and is only handed out as `&[u8]`
        // bounded by its length. What remains is another process changing or truncating the file while it is
        // mapped: every reader of weights in this field accepts that, no value read from the mapping is trusted
        // (all offsets are checked against the slice), and a truncation ends the process instead of corrupting it.
        let map = unsafe { Mmap::map(&file) }.map_err(unreadable)?;
        Ok(Self::Mapped(map))
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Little-endian field readers that answer `None` past the end.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
