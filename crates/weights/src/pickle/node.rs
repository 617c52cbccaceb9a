//! Objects under construction.

use std::borrow::Cow;

use super::value::TensorRef;
use crate::array::ArrayType;
use crate::dtype::DType;

/// Number of a node.
pub(super) type Id = u32;

/// An object under construction.
#[derive(Debug)]
pub(super) enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    BigInt(Cow<'a, [u8]>),
    Float(f64),
    Str(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Box<(Cow<'a, str>, Cow<'a, str>)>),
    Object(Box<Object<'a>>),
    NumpyType(ArrayType),
    Array(Box<ArrayNode>),
    Storage(Box<Storage>),
    Tensor(Box<TensorRef>),
}

/// An instance of a class that is not understood.
#[derive(Debug)]
pub(super) struct Object<'a> {
    pub(super) module: Cow<'a, str>,
    pub(super) name: Cow<'a, str>,
    pub(super) args: Vec<Id>,
    pub(super) state: Option<Id>,
    pub(super) items: Vec<(Id, Id)>,
    pub(super) elements: Vec<Id>,
}

/// A NumPy array before its data is known to fit.
#[derive(Debug)]
pub(super) struct ArrayNode {
    pub(super) shape: Vec<usize>,
    pub(super) element: ArrayType,
    pub(super) fortran: bool,
    pub(super) data: Option<Id>,
}

/// A torch storage named by a persistent id.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    pub(crate) key: String,
    /// Element type; `None` for untyped bytes.
    pub(crate) dtype: Option<DType>,
    /// Bytes in the whole storage.
    pub(crate) len: usize,
    /// Elements skipped at its start (storage views of very old files).
    pub(crate) offset: usize,
}

impl Node<'_> {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Node::None => "None",
            Node::Bool(_) => "a boolean",
            Node::Int(_) | Node::BigInt(_) => "an integer",
            Node::Float(_) => "a float",
            Node::Str(_) => "text",
            Node::Bytes(_) => "bytes",
            Node::List(_) => "a list",
            Node::Tuple(_) => "a tuple",
            Node::Set(_) => "a set",
            Node::Dict(_) => "a dictionary",
            Node::Global(_) => "a class",
            Node::Object(_) => "an opaque object",
            Node::NumpyType(_) => "a NumPy type",
            Node::Array(_) => "an array",
            Node::Storage(_) => "a storage",
            Node::Tensor(_) => "a tensor",
        }
    }
}

/// A Python 2 `str`: text where it is UTF-8, bytes otherwise.
pub(super) fn python2(bytes: Cow<'_, [u8]>) -> Node<'_> {
    match bytes {
        Cow::Borrowed(b) => std::str::from_utf8(b).map_or(Node::Bytes(b.into()), |s| Node::Str(s.into())),
        Cow::Owned(b) => match String::from_utf8(b) {
            Ok(s) => Node::Str(s.into()),
            Err(e) => Node::Bytes(e.into_bytes().into()),
        },
    }
}
