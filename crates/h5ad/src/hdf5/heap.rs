//! Variable-length values, kept in global heap collections.

use std::collections::HashMap;

use microtome_core::{Error, Result};

use super::File;
use super::header::word;

/// Bytes of collections kept while strings are resolved.
const KEPT: usize = 8 << 20;

/// Resolves references into the global heap. Collections are read once while they fit into [`KEPT`].
pub(super) struct Heap<'a> {
    file: &'a File,
    collections: HashMap<u64, Collection>,
    kept: usize,
}

struct Collection {
    bytes: Vec<u8>,
    /// Offset and length by object index.
    objects: HashMap<u16, (usize, usize)>,
}

impl<'a> Heap<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        Self { file, collections: HashMap::new(), kept: 0 }
    }

    /// The bytes a 16-byte reference (length, collection address, object index) points at.
    pub(super) fn resolve(&mut self, key: &str, reference: &[u8]) -> Result<&[u8]> {
        let broken = |what: &str| {
            Error::unreadable(what.to_string())
                .at_key(key.to_string())
                .remedy("the file is corrupt: copy or write it again")
        };
        let parts = (reference.get(..4), word(reference, 4), reference.get(12..16));
        let (Some(len), Some(address), Some(index)) = parts else {
            return Err(broken("short string reference"));
        };
        let len = u32::from_le_bytes(len.try_into().unwrap_or_default()) as usize;
        let index = u32::from_le_bytes(index.try_into().unwrap_or_default());
        if len == 0 || address == 0 || address == u64::MAX {
            return Ok(&[]);
        }
        if !self.collections.contains_key(&address) {
            let collection = self.load(address).map_err(|e| e.at_key(key))?;
            if self.kept > KEPT {
                self.collections.clear();
                self.kept = 0;
            }
            self.kept += collection.bytes.len();
            self.collections.insert(address, collection);
        }
        let found = self.collections.get(&address).and_then(|c| {
            let &(at, n) = c.objects.get(&u16::try_from(index).ok()?)?;
            (len <= n).then(|| &c.bytes[at..at + len])
        });
        found.ok_or_else(|| broken("a string points outside its heap"))
    }

    fn load(&self, address: u64) -> Result<Collection> {
        let source = &self.file.source;
        let head = source.read(address, 16)?;
        if !head.starts_with(b"GCOL") {
            return Err(Error::unreadable("a string points at something that is not a heap"));
        }
        let size = word(&head, 8).and_then(|s| usize::try_from(s).ok()).unwrap_or(usize::MAX);
        let bytes = source.read(address, size)?;
        let mut objects = HashMap::new();
        let mut at = 16;
        while at + 16 <= bytes.len() {
            let index = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
            let len = word(&bytes, at + 8).and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
            // Index 0 is the free space that closes the collection.
            if index == 0 {
                break;
            }
            let end = (at + 16).checked_add(len).filter(|&e| e <= bytes.len());
            let Some(end) = end else {
                return Err(Error::unreadable("a heap object runs past its collection"));
            };
            objects.insert(index, (at + 16, len));
            at = end.next_multiple_of(8);
        }
        Ok(Collection { bytes, objects })
    }
}
