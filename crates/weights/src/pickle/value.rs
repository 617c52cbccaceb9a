//! What a pickle holds.

use std::sync::Arc;

use super::dict::Dict;
use crate::array::Array;
use crate::dtype::DType;

/// A Python value. Cloning is cheap: containers are shared.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer; NumPy integer scalars too.
    Int(i64),
    /// An integer beyond 64 bits: little-endian two's complement.
    BigInt(Arc<[u8]>),
    /// A float; NumPy float scalars too.
    Float(f64),
    /// Text.
    Str(Arc<str>),
    /// `bytes` or `bytearray`.
    Bytes(Arc<[u8]>),
    /// `list` (and `collections.deque`).
    List(Arc<[Value]>),
    /// `tuple` (and `torch.Size`).
    Tuple(Arc<[Value]>),
    /// `set` or `frozenset`, in file order.
    Set(Arc<[Value]>),
    /// `dict`, `OrderedDict`, `defaultdict` or `Counter`.
    Dict(Arc<Dict>),
    /// A NumPy array.
    Array(Arc<Array>),
    /// A torch tensor; read it by name through the checkpoint.
    Tensor(TensorValue),
    /// An instance, class or function that was left alone.
    Opaque(Arc<Opaque>),
    /// A reference back to a container that this value is itself inside of.
    Recursive,
}

/// An inert stand-in for a Python object: its class by name and the parts it would have been made from.
#[derive(Clone, Debug)]
pub struct Opaque {
    /// Module of the class, as `omegaconf.dictconfig`.
    pub module: String,
    /// Name of the class in its module.
    pub name: String,
    /// Constructor arguments; empty for the bare class.
    pub args: Arc<[Value]>,
    /// Instance state, usually the attribute dictionary.
    pub state: Option<Value>,
    /// Entries, for subclasses of `dict`.
    pub items: Dict,
    /// Elements, for subclasses of `list`.
    pub elements: Arc<[Value]>,
}

/// A tensor met inside a pickle.
#[derive(Clone, Debug)]
pub struct TensorValue(pub(crate) Arc<TensorRef>);

impl TensorValue {
    /// Lengths of the dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }
}

/// A view of a storage that lies elsewhere in the file.
#[derive(Clone, Debug)]
pub(crate) struct TensorRef {
    /// Name of the storage.
    pub(crate) key: String,
    /// Bytes of the storage as declared.
    pub(crate) storage_len: usize,
    pub(crate) dtype: DType,
    /// In elements.
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

impl Value {
    /// Text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(s) => Some(s),
            _ => None,
        }
    }

    /// An integer, if it is one (booleans are not).
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(i) => Some(*i),
            _ => None,
        }
    }

    /// A float, or an integer as a float.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(f) => Some(*f),
            Self::Int(i) => Some(*i as f64),
            _ => None,
        }
    }

    /// A boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// The elements of a list, tuple or set (or of a list subclass).
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(v) | Self::Tuple(v) | Self::Set(v) => Some(v),
            Self::Opaque(o) if !o.elements.is_empty() => Some(&o.elements),
            _ => None,
        }
    }

    /// The dictionary, if it is one (or the entries of a dict subclass).
    pub fn as_dict(&self) -> Option<&Dict> {
        match self {
            Self::Dict(d) => Some(d),
            Self::Opaque(o) if !o.items.is_empty() => Some(&o.items),
            _ => None,
        }
    }

    /// The entry of a dictionary, or the attribute of an opaque object whose state is a dictionary.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Dict(d) => d.get(key),
            Self::Opaque(o) => o.items.get(key).or_else(|| o.state.as_ref()?.as_dict()?.get(key)),
            _ => None,
        }
    }

    /// What sort of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::BigInt(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Str(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Set(_) => "a set",
            Self::Dict(_) => "a dictionary",
            Self::Array(_) => "an array",
            Self::Tensor(_) => "a tensor",
            Self::Opaque(_) => "an opaque object",
            Self::Recursive => "a recursive reference",
        }
    }
}
