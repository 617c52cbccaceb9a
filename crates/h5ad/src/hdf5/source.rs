//! Positioned reads that never go past the end of the file.

use std::fs;
use std::path::Path;

use microtome_core::{Error, Result};
use rust_hdf5::format::{BlockReader, FormatError, FormatResult};

/// A file and its length at opening.
#[derive(Debug)]
pub(crate) struct Source {
    file: fs::File,
    len: u64,
}

impl Source {
    /// Opens for reading.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let fail = |e: std::io::Error| {
            Error::unreadable("cannot open the file")
                .caused_by(e)
                .remedy("check the path and its permissions")
        };
        let file = fs::File::open(path).map_err(fail)?;
        let len = file.metadata().map_err(fail)?.len();
        Ok(Self { file, len })
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Checks that `len` bytes exist at `offset`.
    pub(crate) fn check(&self, offset: u64, len: u64) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(Error::unreadable("the file ends before its data")
                .expected(format!("{len} bytes at offset {offset}"))
                .found(format!("a file of {} bytes", self.len))
                .remedy("the file is truncated or corrupt: copy or write it again")),
        }
    }

    /// Exactly `len` bytes at `offset`.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.check(offset, len as u64)?;
        let mut buffer = vec![0; len];
        self.read_into(offset, &mut buffer)?;
        Ok(buffer)
    }

    /// Fills `buffer` from `offset`.
    pub(crate) fn read_into(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.check(offset, buffer.len() as u64)?;
        read_exact_at(&self.file, buffer, offset)
            .map_err(|e| Error::unreadable("cannot read the file").caused_by(e))
    }

    /// At most `len` bytes at `offset`: fewer at the end of the file.
    pub(crate) fn read_up_to(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let left = self.len.saturating_sub(offset);
        self.read(offset.min(self.len), left.min(len as u64) as usize)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &fs::File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &fs::File, mut buffer: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !buffer.is_empty() {
        let n = std::os::windows::fs::FileExt::seek_read(file, buffer, offset)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[n..];
        offset += n as u64;
    }
    Ok(())
}

/// Lets the structure walkers of `rust_hdf5::format` fetch blocks.
pub(crate) struct Blocks<'a>(pub(crate) &'a Source);

impl BlockReader for Blocks<'_> {
    fn read_block(&mut self, offset: u64, len: usize) -> FormatResult<Vec<u8>> {
        self.0.read_up_to(offset, len).map_err(|e| FormatError::InvalidData(e.to_string()))
    }
}
