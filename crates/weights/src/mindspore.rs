//! MindSpore `.ckpt`: one protobuf message of named tensors.
//!
//! `Checkpoint { repeated Value value = 1 }`, `Value { string tag = 1; TensorProto tensor = 2 }`,
//! `TensorProto { repeated int64 dims = 1; string tensor_type = 2; bytes tensor_content = 3 }`
//! (mindspore/ccsrc/utils/checkpoint.proto). Tensors above 512 MiB come as consecutive values with the same tag and
//! full dims, whose contents follow each other. Dims `[0]` mean a scalar. Little-endian.

use std::sync::Arc;

use microtome_core::{Error, Result};

use crate::dtype::DType;
use crate::tensor::{Place, Tensor, TensorInfo, count};

/// Whether the bytes look like such a message: a value, and in it a tag of printable text.
pub(crate) fn matches(bytes: &[u8]) -> bool {
    let first = || -> Option<()> {
        let mut fields = Fields { bytes, at: 0, end: bytes.len() };
        let (1, Field::Bytes(start, end)) = fields.next()? else { return None };
        let mut value = Fields { bytes, at: start, end };
        let (1, Field::Bytes(start, end)) = value.next()? else { return None };
        let tag = std::str::from_utf8(bytes.get(start..end)?).ok()?;
        (!tag.is_empty() && tag.chars().all(|c| c.is_ascii_graphic())).then_some(())
    };
    first().is_some()
}

struct Part {
    name: String,
    info: TensorInfo,
    pieces: Vec<(usize, usize)>,
}

/// Lists the tensors and checks every length.
pub(crate) fn parse(bytes: &[u8], file: usize) -> Result<Vec<(String, Tensor)>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut fields = Fields { bytes, at: 0, end: bytes.len() };
    while fields.at < fields.end {
        // An integrity trailer ("crc_num" and ten bytes) may follow the message.
        if bytes.get(fields.at..).is_some_and(|b| b.starts_with(b"crc_num") && b.len() == 17) {
            break;
        }
        let (1, Field::Bytes(start, end)) = fields.next().ok_or_else(damaged)? else { return Err(damaged()) };
        let part = value(bytes, start, end)?;
        match parts.last_mut().filter(|last| last.name == part.name) {
            Some(last) if last.info == part.info => last.pieces.extend(part.pieces),
            _ => parts.push(part),
        }
    }
    parts
        .into_iter()
        .map(|Part { name, info, pieces }| {
            let place = match pieces.as_slice() {
                &[(start, len)] => Place::Range { file, start, len },
                _ => Place::Pieces { file, pieces },
            };
            let expected = count(&info.shape).and_then(|n| n.checked_mul(info.dtype.size()));
            if expected != Some(place.len()) {
                return Err(Error::unreadable("a tensor's content does not fit its shape")
                    .at_key(name)
                    .expected(format!("shape {:?} of {}", info.shape, info.dtype))
                    .found(format!("{} bytes", place.len())));
            }
            let tensor = Tensor::new(info, 0, None, Arc::new(place), false).map_err(|e| e.at_key(&name))?;
            Ok((name, tensor))
        })
        .collect()
}

fn value(bytes: &[u8], start: usize, end: usize) -> Result<Part> {
    let mut fields = Fields { bytes, at: start, end };
    let (mut name, mut tensor) = (None, None);
    while fields.at < end {
        match fields.next().ok_or_else(damaged)? {
            (1, Field::Bytes(s, e)) => name = Some(text(bytes, s, e)?),
            (2, Field::Bytes(s, e)) => tensor = Some((s, e)),
            (3, Field::Bytes(..)) => return Err(Error::unsupported("map tensors are not read")),
            _ => return Err(damaged()),
        }
    }
    let (Some(name), Some((start, end))) = (name, tensor) else { return Err(damaged()) };
    let mut fields = Fields { bytes, at: start, end };
    let (mut shape, mut dtype, mut content) = (Vec::new(), None, None);
    while fields.at < end {
        match fields.next().ok_or_else(damaged)? {
            (1, Field::Varint(d)) => shape.push(usize::try_from(d).map_err(|_| damaged())?),
            (1, Field::Bytes(s, e)) => {
                let mut packed = Fields { bytes, at: s, end: e };
                while packed.at < e {
                    shape.push(packed.varint().and_then(|d| usize::try_from(d).ok()).ok_or_else(damaged)?);
                }
            }
            (2, Field::Bytes(s, e)) => dtype = Some(text(bytes, s, e)?),
            (3, Field::Bytes(s, e)) => content = Some((s, e - s)),
            _ => return Err(damaged()),
        }
        if shape.len() > 64 {
            return Err(damaged());
        }
    }
    let (Some(kind), Some(content)) = (dtype, content) else { return Err(damaged().at_key(name)) };
    let dtype = element(&kind)
        .ok_or_else(|| Error::unsupported("unknown MindSpore element type").at_key(&name).found(kind))?;
    if shape == [0] && content.1 == dtype.size() {
        shape.clear();
    }
    Ok(Part { name, info: TensorInfo { shape, dtype }, pieces: vec![content] })
}

fn text(bytes: &[u8], start: usize, end: usize) -> Result<String> {
    let bytes = bytes.get(start..end).filter(|b| b.len() <= 4096).ok_or_else(damaged)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| damaged())
}

fn element(name: &str) -> Option<DType> {
    Some(match name {
        "Float64" => DType::F64,
        "Float32" => DType::F32,
        "Float16" => DType::F16,
        "BFloat16" => DType::BF16,
        "Int64" => DType::I64,
        "Int32" => DType::I32,
        "Int16" => DType::I16,
        "Int8" => DType::I8,
        "UInt64" => DType::U64,
        "UInt32" => DType::U32,
        "UInt16" => DType::U16,
        "UInt8" => DType::U8,
        "Bool" => DType::Bool,
        _ => return None,
    })
}

enum Field {
    Varint(u64),
    /// Start and end in the file.
    Bytes(usize, usize),
}

/// Protobuf wire format: varints and length-delimited fields.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl Fields<'_> {
    fn next(&mut self) -> Option<(u64, Field)> {
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            2 => {
                let n = usize::try_from(self.varint()?).ok()?;
                let start = self.at;
                self.at = start.checked_add(n).filter(|e| *e <= self.end)?;
                Field::Bytes(start, self.at)
            }
            _ => return None,
        };
        Some((key >> 3, field))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).filter(|_| self.at < self.end)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

fn damaged() -> Error {
    Error::unreadable("the MindSpore checkpoint is damaged").expected("a protobuf message of named tensors")
}
