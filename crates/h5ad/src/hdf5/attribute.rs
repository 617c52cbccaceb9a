//! Attributes, compact and dense.

use microtome_core::{Error, Result};
use rust_hdf5::format::dense_attr::read_dense_attributes;
use rust_hdf5::format::messages::attr_info::AttributeInfoMessage;
use rust_hdf5::format::messages::attribute::{AttributeEntry, AttributeMessage};
use rust_hdf5::format::messages::{MSG_ATTR_INFO, MSG_ATTRIBUTE};

use super::header::Message;
use super::heap::Heap;
use super::source::Blocks;
use super::{File, Kind, Values, damaged, values};

/// Value of an attribute.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    /// The elements.
    pub(crate) values: Values,
}

impl Attribute {
    /// The first text.
    pub(crate) fn into_text(self) -> Option<String> {
        match self.values {
            Values::Text(v) => v.into_iter().next(),
            _ => None,
        }
    }

    /// True or false, from a boolean or an integer.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        match &self.values {
            Values::Bool(v) => v.first().copied(),
            Values::Int(v) => v.first().map(|&x| x != 0),
            _ => None,
        }
    }
}

/// The attribute `name` of the object at `key`.
pub(super) fn read(file: &File, key: &str, messages: &[Message], name: &str) -> Result<Option<Attribute>> {
    let at = || format!("{key}@{name}");
    let parse = |data: &[u8]| AttributeEntry::parse(data, &file.ctx).map_err(|e| damaged(&at(), &e));
    for m in messages {
        if m.id == MSG_ATTRIBUTE {
            let entry = parse(&m.data)?;
            if entry.name() == name {
                return decode(file, &at(), &entry).map(Some);
            }
        } else if m.id == MSG_ATTR_INFO {
            let (info, _) =
                AttributeInfoMessage::decode(&m.data, &file.ctx).map_err(|e| damaged(&at(), &e))?;
            let dense = read_dense_attributes(&info, &file.ctx, &mut Blocks(&file.source));
            for entry in dense.map_err(|e| damaged(&at(), &e))? {
                if entry.name() == name {
                    return decode(file, &at(), &entry).map(Some);
                }
            }
        }
    }
    Ok(None)
}

fn decode(file: &File, key: &str, entry: &AttributeEntry) -> Result<Attribute> {
    let message: &AttributeMessage = entry
        .decoded()
        .map_err(|reason| Error::unreadable("damaged attribute").at_key(key).found(reason.to_string()))?;
    let kind = Kind::of(&message.datatype);
    let size = kind.size();
    let n = if message.dataspace.is_null() {
        0
    } else {
        usize::try_from(message.dataspace.element_count().unwrap_or(u64::MAX)).unwrap_or(usize::MAX)
    };
    let bytes = n
        .checked_mul(size)
        .and_then(|len| message.data.get(..len))
        .ok_or_else(|| Error::unreadable("attribute shorter than its shape").at_key(key))?;
    let values = values::decode(&mut Heap::new(file), key, &kind, bytes)?;
    Ok(Attribute { values })
}
