//! Hashes of input files, so that every number can be traced.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use microtome_core::{Error, InputFile, Result};
use sha2::{Digest, Sha256};

/// Above this size a file is hashed by its length and evenly spaced pieces, and the hash says so.
const FULL_LIMIT: u64 = 8 << 30;
const PIECE: u64 = 16 << 20;
const N_PIECES: u64 = 64;

/// Describes one input file. Files over 8 GiB get a hash that starts with `sampled:`.
pub(crate) fn input_file(role: &str, path: &Path) -> Result<InputFile> {
    let bad = |e: std::io::Error| Error::unreadable("cannot read the file").in_file(path).caused_by(e);
    let mut file = File::open(path).map_err(bad)?;
    let bytes = file.metadata().map_err(bad)?.len();
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    let sampled = bytes > FULL_LIMIT;
    if sampled {
        hasher.update(bytes.to_le_bytes());
        for i in 0..N_PIECES {
            file.seek(SeekFrom::Start((bytes - PIECE) / (N_PIECES - 1) * i)).map_err(bad)?;
            feed(&mut (&mut file).take(PIECE), &mut hasher, &mut buffer).map_err(bad)?;
        }
    } else {
        feed(&mut file, &mut hasher, &mut buffer).map_err(bad)?;
    }
    let hex = hex(&hasher.finalize());
    let sha256 = if sampled { format!("sampled:{hex}") } else { hex };
    Ok(InputFile { role: role.into(), path: path.display().to_string(), sha256, bytes })
}

/// Every file below a folder (one level), or the file itself, in name order.
pub(crate) fn inputs(role: &str, path: &Path) -> Result<Vec<InputFile>> {
    if !path.is_dir() {
        return Ok(vec![input_file(role, path)?]);
    }
    let bad = |e: std::io::Error| Error::unreadable("cannot list the folder").in_file(path).caused_by(e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(bad)? {
        let file = entry.map_err(bad)?.path();
        if file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    files.iter().map(|f| input_file(role, f)).collect()
}

/// SHA-256 of bytes in hex.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 in hex of numbers as little-endian bytes.
pub(crate) fn of_values(values: &[f32]) -> String {
    let mut hasher = Sha256::new();
    let mut bytes = Vec::with_capacity(1 << 16);
    for part in values.chunks(1 << 14) {
        bytes.clear();
        bytes.extend(part.iter().flat_map(|v| v.to_le_bytes()));
        hasher.update(&bytes);
    }
    hex(&hasher.finalize())
}

fn feed(from: &mut impl Read, hasher: &mut Sha256, buffer: &mut [u8]) -> std::io::Result<()> {
    loop {
        let n = from.read(buffer)?;
        if n == 0 {
            return Ok(());
        }
        hasher.update(&buffer[..n]);
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_digest() {
        let values: Vec<f32> = (0..40_000).map(|i| i as f32).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(super::of_values(&values), super::of_bytes(&bytes));
        assert_eq!(
            super::of_bytes(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
