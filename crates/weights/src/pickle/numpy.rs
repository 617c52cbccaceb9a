//! NumPy's pickle helpers: scalars, types and arrays.

use microtome_core::{Error, Result};

use super::known::bad;
use super::machine::Machine;
use super::node::{ArrayNode, Id, Node};
use crate::array::ArrayType;

/// Scalar type named as an attribute of the `numpy` module.
pub(super) fn is_numpy_type(name: &str) -> bool {
    matches!(
        name,
        "bool_"
            | "bool"
            | "str_"
            | "bytes_"
            | "object_"
            | "float16"
            | "float32"
            | "float64"
            | "int8"
            | "int16"
            | "int32"
            | "int64"
            | "uint8"
            | "uint16"
            | "uint32"
            | "uint64"
            | "complex64"
            | "complex128"
    )
}

impl<'a> Machine<'a> {
    /// `scalar(dtype, bytes)`: one number, boolean or text.
    pub(super) fn numpy_scalar(&mut self, args: &[Id]) -> Result<Node<'a>> {
        let broken = || bad("a NumPy scalar");
        let [Some(Node::NumpyType(t)), Some(data)] =
            [args.first(), args.get(1)].map(|a| a.map(|a| self.node(*a)))
        else {
            return Err(broken());
        };
        let Node::Bytes(bytes) = data else { return Err(broken()) };
        if bytes.len() != t.size {
            return Err(broken());
        }
        let node = match (t.kind, t.dtype()) {
            ('b', Some(_)) => Node::Bool(bytes.iter().any(|b| *b != 0)),
            ('i' | 'u', Some(d)) => Node::Int(*d.to_i64(bytes, t.big_endian)?.first().ok_or_else(broken)?),
            ('f', Some(d)) => Node::Float(*d.to_f64(bytes, t.big_endian)?.first().ok_or_else(broken)?),
            ('S' | 'U', _) => Node::Str(t.text(bytes)?.into()),
            _ => {
                return Err(
                    Error::unsupported("a NumPy scalar of this type is not read").found(t.to_string())
                );
            }
        };
        self.spend(self.node_bytes(args.get(1).copied()))?;
        Ok(node)
    }

    fn node_bytes(&self, id: Option<Id>) -> usize {
        match id.map(|i| self.node(i)) {
            Some(Node::Bytes(b)) => b.len(),
            _ => 0,
        }
    }

    /// Protocol 5: `_frombuffer(bytes, dtype, shape, order)`.
    pub(super) fn numpy_buffer(&mut self, args: &[Id]) -> Result<Node<'a>> {
        let broken = || bad("a NumPy array");
        let (Some(data), Some(Node::NumpyType(element)), Some(Node::Str(order))) =
            (args.first(), args.get(1).map(|a| self.node(*a)), args.get(3).map(|a| self.node(*a)))
        else {
            return Err(broken());
        };
        let (element, fortran) = (*element, order == "F");
        let shape = self.dimensions(args.get(2).copied())?;
        Ok(Node::Array(Box::new(ArrayNode { shape, element, fortran, data: Some(*data) })))
    }

    /// State of a NumPy type: `(version, byte order, subarray, names, fields, ...)`.
    pub(super) fn typed_order(&self, t: ArrayType, state: Id) -> Result<ArrayType> {
        let broken = || bad("a NumPy type");
        let Node::Tuple(parts) = self.node(state) else { return Err(broken()) };
        let part = |i: usize| parts.get(i).map_or(&Node::None, |p| self.node(*p));
        if [2, 3, 4].iter().any(|i| !matches!(part(*i), Node::None)) {
            return Err(Error::unsupported("structured NumPy types are not read"));
        }
        match part(1) {
            Node::Str(order) => Ok(ArrayType { big_endian: order == ">", ..t }),
            _ => Err(broken()),
        }
    }

    /// State of a NumPy array: `(version, shape, dtype, is_fortran, data)`.
    pub(super) fn array_state(&self, state: Id) -> Result<ArrayNode> {
        let broken = || bad("a NumPy array");
        let Node::Tuple(parts) = self.node(state) else { return Err(broken()) };
        let &[_, shape, element, fortran, data] = parts.as_slice() else { return Err(broken()) };
        let Node::NumpyType(element) = self.node(element) else { return Err(broken()) };
        let fortran = matches!(self.node(fortran), Node::Bool(true) | Node::Int(1));
        Ok(ArrayNode { shape: self.dimensions(Some(shape))?, element: *element, fortran, data: Some(data) })
    }
}
