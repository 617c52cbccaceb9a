//! Scalars for TensorBoard: records of `tensorboard.Event` messages, framed as TFRecord (length, masked CRC-32C of the length, message,
//! masked CRC-32C of the message; tensorflow, `core/lib/io/record_writer.h`; `core/util/event.proto`, `core/framework/summary.proto`).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use microtome_core::{Error, Result};

/// An event file that scalars are added to.
pub(super) struct Events {
    file: File,
    path: PathBuf,
}

impl Events {
    /// A new file in `folder`; several of one folder are shown as one run.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let now = now();
        let mut number = 0;
        loop {
            let path = folder.join(format!("events.out.tfevents.{:010}.microtome.{number}", now as u64));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let mut events = Self { file, path };
                    let mut message = vec![];
                    double(&mut message, 1, now);
                    bytes(&mut message, 3, b"brain.Event:2");
                    events.record(&message)?;
                    return Ok(events);
                }
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(Error::output("cannot write the log").in_file(path).caused_by(e)),
            }
        }
    }

    /// One number at one step.
    pub(super) fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<()> {
        let mut of = vec![];
        bytes(&mut of, 1, tag.as_bytes());
        key(&mut of, 2, 5);
        of.extend_from_slice(&(value as f32).to_le_bytes());
        let mut summary = vec![];
        bytes(&mut summary, 1, &of);
        let mut message = vec![];
        double(&mut message, 1, now());
        key(&mut message, 2, 0);
        varint(&mut message, step);
        bytes(&mut message, 5, &summary);
        self.record(&message)
    }

    fn record(&mut self, message: &[u8]) -> Result<()> {
        let length = (message.len() as u64).to_le_bytes();
        let mut framed = length.to_vec();
        framed.extend_from_slice(&masked_crc(&length).to_le_bytes());
        framed.extend_from_slice(message);
        framed.extend_from_slice(&masked_crc(message).to_le_bytes());
        self.file
            .write_all(&framed)
            .map_err(|e| Error::output("cannot write the log").in_file(&self.path).caused_by(e))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

fn varint(out: &mut Vec<u8>, mut x: u64) {
    while x >= 0x80 {
        out.push(x as u8 | 0x80);
        x >>= 7;
    }
    out.push(x as u8);
}

fn key(out: &mut Vec<u8>, field: u64, wire: u64) {
    varint(out, field << 3 | wire);
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    key(out, field, 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn double(out: &mut Vec<u8>, field: u64, value: f64) {
    key(out, field, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: the records are short.
fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0x82f6_3b78 } else { c >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_the_published_ones() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_scalar_is_framed_and_encoded() {
        let dir = tempfile::tempdir().unwrap();
        let mut events = Events::create(dir.path()).unwrap();
        events.scalar("loss", 300, 1.5).unwrap();
        let all = std::fs::read(&events.path).unwrap();
        let first = u64::from_le_bytes(all[..8].try_into().unwrap()) as usize;
        assert!(all[12..12 + first].ends_with(b"brain.Event:2"));
        let second = &all[16 + first..];
        let n = u64::from_le_bytes(second[..8].try_into().unwrap()) as usize;
        let message = &second[12..12 + n];
        assert_eq!(second.len(), 16 + n);
        assert_eq!(second[12 + n..], masked_crc(message).to_le_bytes());
        // Time; step 300 as a varint; a summary of one value: tag, then a float.
        assert_eq!(message[9..12], [0x10, 0xac, 0x02]);
        assert_eq!(message[12..16], [0x2a, 13, 0x0a, 11]);
        assert_eq!(message[16..], [&[0x0a, 4][..], b"loss", &[0x15], &1.5f32.to_le_bytes()].concat());
    }
}
