//! Object headers: the chain of messages that describes a group or a dataset.

use std::collections::HashSet;

use microtome_core::{Error, Result};
use rust_hdf5::format::FormatError;
use rust_hdf5::format::messages::{MSG_FLAG_SHARED, MSG_OBJ_HEADER_CONTINUATION};
use rust_hdf5::format::object_header::{OCHK_SIGNATURE, OHDR_SIGNATURE, ObjectHeader};

use super::{File, damaged};

/// Enough for nearly every header in one read.
const FIRST_READ: usize = 4096;
/// More blocks than this in one header is an attack, not a file.
const MAX_BLOCKS: usize = 4096;

/// One message of an object header.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: u8,
    pub(super) data: Vec<u8>,
}

/// All messages of the object at `address`, continuation blocks included. `key` is for errors.
pub(super) fn read(file: &File, key: &str, address: u64) -> Result<Vec<Message>> {
    read_chain(file, address).map_err(|e| e.at_key(if key.is_empty() { "/" } else { key }))
}

fn read_chain(file: &File, address: u64) -> Result<Vec<Message>> {
    let source = &file.source;
    let mut buffer = source.read_up_to(address, FIRST_READ)?;
    let header = match ObjectHeader::decode_any(&buffer) {
        Err(FormatError::BufferTooShort { needed, .. }) if needed > buffer.len() => {
            buffer = source.read(address, needed)?;
            ObjectHeader::decode_any(&buffer)
        }
        other => other,
    }
    .map_err(|e| damaged("object header", &e))?
    .0;
    let modern = buffer.starts_with(&OHDR_SIGNATURE);
    // Bit 2 of a version-2 header's flags: every message carries a creation index.
    let indexed = modern && header.flags & 0x04 != 0;

    let mut messages = vec![];
    let mut pending = vec![];
    for m in header.messages {
        push(m.msg_type, m.flags, m.data, &mut messages, &mut pending)?;
    }
    let mut seen = HashSet::new();
    while let Some((at, len)) = pending.pop() {
        if !seen.insert(at) || seen.len() > MAX_BLOCKS {
            return Err(Error::unreadable("object header blocks form a loop")
                .remedy("the file is corrupt: copy or write it again"));
        }
        let len = usize::try_from(len).map_err(|_| Error::unreadable("object header block too long"))?;
        let block = source.read(at, len)?;
        let body = if modern {
            block
                .strip_prefix(&OCHK_SIGNATURE)
                .and_then(|b| b.len().checked_sub(4).map(|n| &b[..n]))
                .ok_or_else(|| Error::unreadable("object header continuation without its signature"))?
        } else {
            &block[..]
        };
        split(body, modern, indexed, &mut messages, &mut pending)?;
    }
    Ok(messages)
}

/// Cuts a continuation block into messages.
fn split(
    mut body: &[u8],
    modern: bool,
    indexed: bool,
    messages: &mut Vec<Message>,
    pending: &mut Vec<(u64, u64)>,
) -> Result<()> {
    let envelope = if modern { 4 + 2 * usize::from(indexed) } else { 8 };
    while body.len() >= envelope {
        let (id, size, flags) = if modern {
            (u16::from(body[0]), u16::from_le_bytes([body[1], body[2]]), body[3])
        } else {
            (u16::from_le_bytes([body[0], body[1]]), u16::from_le_bytes([body[2], body[3]]), body[4])
        };
        let size = usize::from(size);
        let Some(data) = body.get(envelope..envelope + size) else {
            return Err(Error::unreadable("object header message runs past its block"));
        };
        let id = u8::try_from(id).map_err(|_| Error::unreadable("unknown object header message"))?;
        push(id, flags, data.to_vec(), messages, pending)?;
        let padded = if modern { size } else { size.next_multiple_of(8) };
        body = body.get(envelope + padded..).unwrap_or(&[]);
    }
    Ok(())
}

fn push(
    id: u8,
    flags: u8,
    data: Vec<u8>,
    messages: &mut Vec<Message>,
    pending: &mut Vec<(u64, u64)>,
) -> Result<()> {
    if id == 0 {
        return Ok(());
    }
    if id == MSG_OBJ_HEADER_CONTINUATION {
        let (Some(at), Some(len)) = (word(&data, 0), word(&data, 8)) else {
            return Err(Error::unreadable("object header continuation without an address"));
        };
        pending.push((at, len));
        return Ok(());
    }
    if flags & MSG_FLAG_SHARED != 0 {
        return Err(Error::unsupported("HDF5 message shared between objects (committed datatype)")
            .remedy("rewrite the file with anndata: adata.write_h5ad(...)"));
    }
    messages.push(Message { id, data });
    Ok(())
}

/// The little-endian 64-bit word at `at`.
pub(super) fn word(data: &[u8], at: usize) -> Option<u64> {
    let bytes = data.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}
