//! Files of `torch.save`: zip archives (1.6 and later) and bare pickle streams (before).

use std::collections::HashMap;
use std::sync::Arc;

use microtome_core::{Error, Result};

use crate::bytes::u64_at;
use crate::dtype::DType;
use crate::pickle::{Machine, Outcome, TensorRef, Value};
use crate::tensor::{Place, Tensor, TensorInfo};
use crate::walk::tensors;
use crate::zip::Archive;

/// Largest compressed `data.pkl` accepted once unpacked.
const MAX_PACKED_PICKLE: usize = 64 << 20;

/// Named tensors and the whole object of a file.
pub(crate) struct Contents {
    pub(crate) tensors: Vec<(String, Tensor)>,
    pub(crate) root: Value,
}

/// Reads the zip form: `NAME/data.pkl`, `NAME/data/KEY`, `NAME/byteorder`.
pub(crate) fn parse_zip(bytes: &[u8], archive: &Archive, file: usize) -> Result<Contents> {
    let pickle = archive
        .entries()
        .iter()
        .find(|e| e.name == "data.pkl" || e.name.split('/').skip(1).eq(["data.pkl"]))
        .ok_or_else(|| {
            Error::unreadable("the zip archive is not a torch checkpoint").expected("an entry data.pkl")
        })?;
    let folder = pickle.name.strip_suffix("data.pkl").unwrap_or_default();
    if archive.get(&format!("{folder}constants.pkl")).is_some() {
        return Err(Error::unsupported("this is a TorchScript program, not a checkpoint")
            .remedy("save the state_dict of the module instead"));
    }
    let big_endian = match archive.get(&format!("{folder}byteorder")) {
        Some(entry) => match entry.read(bytes, 64)?.as_ref() {
            b"little" => false,
            b"big" => true,
            _ => return Err(Error::unreadable("unknown byte order").expected("little or big")),
        },
        None => false,
    };
    let root = Machine::new(&pickle.read(bytes, MAX_PACKED_PICKLE)?, true).run()?.value;
    let place = |key: &str| -> Option<Place> {
        let entry = archive.get(&format!("{folder}data/{key}"))?;
        Some(if entry.deflated {
            Place::Deflated {
                file,
                start: entry.start,
                packed: entry.packed,
                len: entry.len,
                crc: entry.crc,
                skip: 0,
            }
        } else {
            Place::Range { file, start: entry.start, len: entry.packed }
        })
    };
    let tensors = locate(&root, big_endian, place)?;
    Ok(Contents { tensors, root })
}

/// First bytes of the bare form: protocol 2, then the ten bytes of the magic number 0x1950a86a20f9469cfc6c.
pub(crate) const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Reads the bare form: pickles of the magic number, the version, system facts, the object and the storage keys,
/// then each storage as a count and its elements.
pub(crate) fn parse_legacy(bytes: &[u8], file: usize) -> Result<Contents> {
    let mut at = 0;
    let mut next = |persistent: bool| -> Result<Outcome> {
        let outcome = Machine::new(bytes.get(at..).unwrap_or_default(), persistent).run()?;
        at += outcome.len;
        Ok(outcome)
    };
    next(false)?;
    if next(false)?.value.as_i64() != Some(1001) {
        return Err(Error::unsupported("unknown version of the old torch format").expected("1001"));
    }
    let big_endian = next(false)?.value.get("little_endian").and_then(Value::as_bool) == Some(false);
    let Outcome { value: root, storages, .. } = next(true)?;
    let keys = next(false)?.value;
    let keys = keys.as_list().ok_or_else(|| Error::unreadable("the list of storages is missing"))?;
    let mut places = HashMap::new();
    for key in keys {
        let key = match key {
            Value::Str(s) => s.to_string(),
            Value::Int(i) => i.to_string(),
            other => return Err(Error::unreadable("a storage key is not text").found(other.kind())),
        };
        let storage = storages.get(&key).ok_or_else(|| {
            Error::unreadable("the list of storages names one that nothing refers to").at_key(key.clone())
        })?;
        let len = storage.len;
        let start = at.checked_add(8).filter(|s| *s <= bytes.len());
        let start = start.filter(|s| len <= bytes.len() - s).ok_or_else(|| {
            Error::unreadable("the file ends before its last storage")
                .at_key(format!("storage {key}"))
                .expected(format!("{len} bytes"))
                .found(format!("{} bytes", bytes.len().saturating_sub(at)))
                .remedy("the file is probably cut short: fetch it again")
        })?;
        let n = if big_endian { u64_at(bytes, at).map(u64::swap_bytes) } else { u64_at(bytes, at) };
        let size = storage.dtype.map_or(1, DType::size);
        if n.and_then(|n| usize::try_from(n).ok()?.checked_mul(size)) != Some(len) {
            return Err(Error::unreadable("a storage's size disagrees with its tensors")
                .at_key(format!("storage {key}"))
                .expected(format!("{} elements", len / size)));
        }
        places.insert(key, Place::Range { file, start, len });
        at = start + len;
    }
    let tensors = locate(&root, big_endian, |key| places.get(key).cloned())?;
    Ok(Contents { tensors, root })
}

/// Ties every tensor of `root` to its storage.
fn locate(
    root: &Value,
    big_endian: bool,
    place: impl Fn(&str) -> Option<Place>,
) -> Result<Vec<(String, Tensor)>> {
    let mut known: HashMap<String, Arc<Place>> = HashMap::new();
    let mut out = Vec::new();
    for (name, tensor) in tensors(root)? {
        let TensorRef { key, storage_len, dtype, offset, shape, strides } = tensor;
        let storage = match known.get(key) {
            Some(place) => Arc::clone(place),
            None => {
                let found = place(key).ok_or_else(|| {
                    Error::unreadable("the data of a tensor is missing from the file")
                        .at_key(&name)
                        .expected(format!("storage {key}"))
                })?;
                let found = Arc::new(found);
                known.insert(key.clone(), Arc::clone(&found));
                found
            }
        };
        if storage.len() < *storage_len {
            return Err(Error::unreadable("a storage is smaller than its tensors say")
                .at_key(&name)
                .expected(format!("{storage_len} bytes"))
                .found(format!("{} bytes", storage.len())));
        }
        let info = TensorInfo { shape: shape.clone(), dtype: *dtype };
        let tensor = Tensor::new(info, *offset, Some(strides.clone()), storage, big_endian)
            .map_err(|e| e.at_key(&name))?;
        out.push((name, tensor));
    }
    Ok(out)
}
