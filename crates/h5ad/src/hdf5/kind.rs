//! Element types, reduced to what AnnData and 10x files use.

use rust_hdf5::format::messages::datatype::{ByteOrder, DatatypeMessage, ReferenceKind};

/// How one element is stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// 1, 2, 4 or 8 bytes.
    Int { size: usize, signed: bool, big: bool },
    /// 2, 4 or 8 bytes, IEEE.
    Float { size: usize, big: bool },
    /// h5py's boolean: an enumeration of FALSE and TRUE over a one-byte integer.
    Bool,
    /// Text in a field of fixed width; `padding` 0 ends at the first NUL, 1 is NUL-padded, 2 space-padded.
    FixedText { size: usize, padding: u8 },
    /// Text in the global heap.
    VarText,
    /// Address of an object header.
    Reference,
    /// A record; name, offset and kind of each field.
    Compound { size: usize, fields: Vec<(String, usize, Self)> },
    /// Something else, in words.
    Other { size: usize, what: String },
}

impl Kind {
    /// From the file's own description.
    pub(super) fn of(datatype: &DatatypeMessage) -> Self {
        let size = datatype.element_size() as usize;
        let other = || Self::Other { size, what: datatype.to_string() };
        match datatype {
            DatatypeMessage::FixedPoint { byte_order, signed, bit_offset: 0, bit_precision, .. }
                if matches!(size, 1 | 2 | 4 | 8) && usize::from(*bit_precision) == size * 8 =>
            {
                Self::Int { size, signed: *signed, big: *byte_order == ByteOrder::BigEndian }
            }
            DatatypeMessage::FloatingPoint { byte_order, .. }
                if matches!(size, 2 | 4 | 8) && (datatype.ieee_format().is_some() || is_half(datatype)) =>
            {
                Self::Float { size, big: *byte_order == ByteOrder::BigEndian }
            }
            DatatypeMessage::FixedString { padding, .. } => Self::FixedText { size, padding: *padding },
            DatatypeMessage::VarLenString { .. } => Self::VarText,
            DatatypeMessage::Enum { base, members } => {
                let yes_no = members.len() == 2
                    && members.iter().any(|m| m.name == "TRUE" && m.value == [1])
                    && members.iter().any(|m| m.name == "FALSE" && m.value == [0]);
                if yes_no { Self::Bool } else { Self::of(base) }
            }
            DatatypeMessage::Reference { kind: ReferenceKind::Object1, .. } if size == 8 => Self::Reference,
            DatatypeMessage::Compound { members, .. } => {
                let fields: Vec<_> = members
                    .iter()
                    .map(|m| (m.name.clone(), m.offset as usize, Self::of(&m.datatype)))
                    .collect();
                if fields.iter().any(|(_, at, k)| at.saturating_add(k.size()) > size) {
                    return other();
                }
                Self::Compound { size, fields }
            }
            _ => other(),
        }
    }

    /// Bytes of one element.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Int { size, .. }
            | Self::Float { size, .. }
            | Self::FixedText { size, .. }
            | Self::Compound { size, .. }
            | Self::Other { size, .. } => *size,
            Self::Bool => 1,
            Self::VarText => 16,
            Self::Reference => 8,
        }
    }

    /// numpy's name of it, for messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Int { size, signed, .. } => format!("{}int{}", if *signed { "" } else { "u" }, size * 8),
            Self::Float { size, .. } => format!("float{}", size * 8),
            Self::Bool => "bool".into(),
            Self::FixedText { .. } | Self::VarText => "text".into(),
            Self::Reference => "object reference".into(),
            Self::Compound { .. } => "record".into(),
            Self::Other { what, .. } => what.clone(),
        }
    }
}

fn is_half(datatype: &DatatypeMessage) -> bool {
    matches!(datatype, DatatypeMessage::FloatingPoint { size: 2, exponent_size: 5, mantissa_size: 10, .. })
}
