//! safetensors: an 8-byte header length, a JSON header, then the tensors end to end.
//!
//! Format: huggingface/safetensors README. The reader is as strict as the reference: tensors cover the data exactly,
//! without holes or overlaps, and no name appears twice.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use microtome_core::{Error, Result};
use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};

use crate::atomic::write_atomic;
use crate::bytes::u64_at;
use crate::dtype::DType;
use crate::tensor::{Place, Tensor, TensorInfo, count};

/// Longest header accepted; the reference reader's limit.
const MAX_HEADER: u64 = 100_000_000;

/// Named tensors and the `__metadata__` of a file.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) tensors: Vec<(String, Tensor)>,
    pub(crate) metadata: Vec<(String, String)>,
}

/// Whether the bytes look like a safetensors file.
pub(crate) fn matches(bytes: &[u8]) -> bool {
    u64_at(bytes, 0).is_some_and(|n| n <= MAX_HEADER) && bytes.get(8) == Some(&b'{')
}

/// Parses the header and checks every offset.
pub(crate) fn parse(bytes: &[u8], file: usize) -> Result<Contents> {
    let damaged = |what: &str| Error::unreadable(format!("the safetensors header {what}"));
    let n = u64_at(bytes, 0).ok_or_else(|| damaged("is cut short"))?;
    let end = usize::try_from(n)
        .ok()
        .filter(|_| n <= MAX_HEADER)
        .and_then(|n| n.checked_add(8))
        .filter(|end| *end <= bytes.len())
        .ok_or_else(|| damaged("does not fit the file").found(format!("{n} of {} bytes", bytes.len())))?;
    let header: Header = serde_json::from_slice(bytes.get(8..end).unwrap_or_default())
        .map_err(|e| damaged("is not the JSON it should be").caused_by(e))?;
    let data = bytes.len() - end;
    let mut spans = Vec::with_capacity(header.tensors.len());
    let mut tensors = Vec::with_capacity(header.tensors.len());
    for (name, entry) in header.tensors {
        let [from, to] = entry.data_offsets;
        let dtype = dtype(&entry.dtype).ok_or_else(|| {
            Error::unsupported("unknown safetensors element type").at_key(&name).found(entry.dtype.clone())
        })?;
        let len = count(&entry.shape).and_then(|n| n.checked_mul(dtype.size()));
        if from > to || to > data || len != Some(to - from) {
            return Err(Error::unreadable("the tensor's offsets do not fit its shape or the file")
                .at_key(name)
                .expected(format!("shape {:?} of {dtype} within {data} bytes", entry.shape))
                .found(format!("bytes {from} to {to}")));
        }
        spans.push((from, to));
        let place = Arc::new(Place::Range { file, start: end + from, len: to - from });
        let info = TensorInfo { shape: entry.shape, dtype };
        let tensor = Tensor::new(info, 0, None, place, false).map_err(|e| e.at_key(&name))?;
        tensors.push((name, tensor));
    }
    spans.sort_unstable();
    let mut at = 0;
    for (from, to) in spans {
        if from != at {
            return Err(damaged("has overlapping tensors or holes between them")
                .expected(format!("a tensor at byte {at}"))
                .found(format!("byte {from}")));
        }
        at = to;
    }
    if at != data {
        return Err(damaged("does not cover the file")
            .expected(format!("{data} bytes"))
            .found(format!("{at} bytes")));
    }
    Ok(Contents { tensors, metadata: header.metadata })
}

fn dtype(name: &str) -> Option<DType> {
    Some(match name {
        "F64" => DType::F64,
        "F32" => DType::F32,
        "F16" => DType::F16,
        "BF16" => DType::BF16,
        "F8_E4M3" => DType::F8E4M3,
        "F8_E5M2" => DType::F8E5M2,
        "C64" => DType::C64,
        "I64" => DType::I64,
        "I32" => DType::I32,
        "I16" => DType::I16,
        "I8" => DType::I8,
        "U64" => DType::U64,
        "U32" => DType::U32,
        "U16" => DType::U16,
        "U8" => DType::U8,
        "BOOL" => DType::Bool,
        _ => return None,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// The header in file order; a JSON map that refuses repeated names.
struct Header {
    tensors: Vec<(String, Entry)>,
    metadata: Vec<(String, String)>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Header, A::Error> {
                let mut header = Header { tensors: Vec::new(), metadata: Vec::new() };
                let mut seen = std::collections::HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !seen.insert(name.clone()) {
                        return Err(de::Error::custom(format_args!("the name {name:?} appears twice")));
                    }
                    if name == "__metadata__" {
                        let metadata: serde_json::Map<String, serde_json::Value> = map.next_value()?;
                        for (key, value) in metadata {
                            let serde_json::Value::String(value) = value else {
                                return Err(de::Error::custom("the metadata is not text"));
                            };
                            header.metadata.push((key, value));
                        }
                    } else {
                        header.tensors.push((name, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }
        deserializer.deserialize_map(Names)
    }
}

/// Elements of a tensor to write.
#[derive(Clone, Copy, Debug)]
pub enum TensorData<'a> {
    /// Written as F32.
    F32(&'a [f32]),
    /// Written as F64.
    F64(&'a [f64]),
    /// Written as I64.
    I64(&'a [i64]),
}

impl<'a> From<&'a [f32]> for TensorData<'a> {
    fn from(data: &'a [f32]) -> Self {
        Self::F32(data)
    }
}

impl<'a> From<&'a [i64]> for TensorData<'a> {
    fn from(data: &'a [i64]) -> Self {
        Self::I64(data)
    }
}

impl TensorData<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::I64(v) => v.len(),
        }
    }

    fn name(&self) -> (&'static str, usize) {
        match self {
            Self::F32(_) => ("F32", 4),
            Self::F64(_) => ("F64", 8),
            Self::I64(_) => ("I64", 8),
        }
    }

    fn write(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        let mut buffer = Vec::with_capacity(1 << 15);
        macro_rules! chunks {
            ($v:expr) => {
                for chunk in $v.chunks(4096) {
                    buffer.clear();
                    chunk.iter().for_each(|x| buffer.extend_from_slice(&x.to_le_bytes()));
                    out.write_all(&buffer)?;
                }
            };
        }
        match self {
            Self::F32(v) => chunks!(v),
            Self::F64(v) => chunks!(v),
            Self::I64(v) => chunks!(v),
        }
        Ok(())
    }
}

/// Writes tensors in the given order, replacing the target in one step. The bytes depend on the arguments alone.
/// `format: pt` is added to the metadata unless it names a format, because `transformers` refuses files without it.
///
/// # Errors
/// When a tensor does not fit its shape, a name repeats, or the file cannot be written.
pub fn write_safetensors(
    path: &Path,
    tensors: &[(String, Vec<usize>, TensorData<'_>)],
    metadata: &[(String, String)],
) -> Result<()> {
    let mut header = serde_json::Map::new();
    let mut notes: serde_json::Map<String, serde_json::Value> =
        metadata.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
    notes.entry("format").or_insert_with(|| "pt".into());
    header.insert("__metadata__".into(), notes.into());
    let mut at = 0usize;
    for (name, shape, data) in tensors {
        let refuse = |what: &str| Error::output(what.to_owned()).in_file(path).at_key(name);
        if count(shape) != Some(data.len()) {
            return Err(refuse("the tensor's data does not fit its shape")
                .expected(format!("shape {shape:?}"))
                .found(format!("{} elements", data.len())));
        }
        let (dtype, size) = data.name();
        let end = at + data.len() * size;
        let entry = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [at, end]});
        if header.insert(name.clone(), entry).is_some() {
            return Err(refuse("two tensors share a name"));
        }
        at = end;
    }
    let mut header =
        serde_json::to_string(&header).map_err(|e| Error::output("cannot write the header").caused_by(e))?;
    // The data starts at a multiple of 8 bytes.
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    write_atomic(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        tensors.iter().try_for_each(|(.., data)| data.write(file))
    })
}
