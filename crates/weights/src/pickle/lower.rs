//! From the machine's node graph to shared, finite values.

use std::sync::Arc;

use microtome_core::{Error, Result};

use super::dict::Dict;
use super::node::{Id, Node};
use super::value::{Opaque, TensorValue, Value};
use crate::array::{Array, ArrayData};

/// Deepest nesting of containers.
const MAX_DEPTH: usize = 128;

enum State {
    Todo,
    Doing,
    /// With the depth of what is inside.
    Done(Value, usize),
}

/// Builds the value of node `root`. Each node is built once and shared; cycles become [`Value::Recursive`].
pub(super) fn lower(nodes: &[Node<'_>], root: Id) -> Result<Value> {
    let mut states = Vec::with_capacity(nodes.len());
    states.resize_with(nodes.len(), || State::Todo);
    let mut lowering = Lowering { nodes, states };
    Ok(lowering.value(root, 0)?.0)
}

struct Lowering<'n, 'a> {
    nodes: &'n [Node<'a>],
    states: Vec<State>,
}

impl Lowering<'_, '_> {
    fn value(&mut self, id: Id, depth: usize) -> Result<(Value, usize)> {
        let at = id as usize;
        let (value, height) = match self.states.get(at) {
            Some(State::Done(value, height)) => (value.clone(), *height),
            Some(State::Doing) => return Ok((Value::Recursive, 0)),
            _ => {
                if depth > MAX_DEPTH {
                    return Err(too_deep());
                }
                if let Some(s) = self.states.get_mut(at) {
                    *s = State::Doing;
                }
                let (value, height) = self.build(at, depth)?;
                if let Some(s) = self.states.get_mut(at) {
                    *s = State::Done(value.clone(), height);
                }
                (value, height)
            }
        };
        if depth + height > MAX_DEPTH {
            return Err(too_deep());
        }
        Ok((value, height))
    }

    fn build(&mut self, at: usize, depth: usize) -> Result<(Value, usize)> {
        let mut inner = 0;
        let nodes = self.nodes;
        let Some(node) = nodes.get(at) else { return Ok((Value::None, 0)) };
        let value = match node {
            Node::None => Value::None,
            Node::Bool(b) => Value::Bool(*b),
            Node::Int(i) => Value::Int(*i),
            Node::BigInt(bytes) => Value::BigInt(bytes.as_ref().into()),
            Node::Float(f) => Value::Float(*f),
            Node::Str(s) => Value::Str(s.as_ref().into()),
            Node::Bytes(b) => Value::Bytes(b.as_ref().into()),
            Node::List(items) => Value::List(self.all(items, depth, &mut inner)?),
            Node::Tuple(items) => Value::Tuple(self.all(items, depth, &mut inner)?),
            Node::Set(items) => Value::Set(self.all(items, depth, &mut inner)?),
            Node::Dict(items) => Value::Dict(Arc::new(self.dict(items, depth, &mut inner)?)),
            Node::Global(full) => opaque(&full.0, &full.1),
            Node::NumpyType(t) => opaque("numpy.dtype", &t.to_string()),
            Node::Storage(s) => opaque("torch.storage", &format!("UntypedStorage({})", s.key)),
            Node::Tensor(t) => Value::Tensor(TensorValue(Arc::new(t.as_ref().clone()))),
            Node::Object(o) => {
                let state = match o.state {
                    Some(s) => Some(self.one(s, depth, &mut inner)?),
                    None => None,
                };
                Value::Opaque(Arc::new(Opaque {
                    module: o.module.to_string(),
                    name: o.name.to_string(),
                    args: self.all(&o.args, depth, &mut inner)?,
                    state,
                    items: self.dict(&o.items, depth, &mut inner)?,
                    elements: self.all(&o.elements, depth, &mut inner)?,
                }))
            }
            Node::Array(a) => {
                let data = match a.data {
                    Some(data) => self.one(data, depth, &mut inner)?,
                    None => Value::Bytes([].into()),
                };
                let data = match data {
                    Value::Bytes(b) => ArrayData::Bytes(b),
                    Value::List(items) => ArrayData::Objects(items),
                    other => {
                        return Err(Error::unreadable("an array's data is neither bytes nor a list")
                            .found(other.kind()));
                    }
                };
                Value::Array(Arc::new(Array::new(a.shape.clone(), a.element, a.fortran, data)?))
            }
        };
        Ok((value, inner))
    }

    fn one(&mut self, id: Id, depth: usize, inner: &mut usize) -> Result<Value> {
        let (value, height) = self.value(id, depth + 1)?;
        *inner = (*inner).max(height + 1);
        Ok(value)
    }

    fn all(&mut self, ids: &[Id], depth: usize, inner: &mut usize) -> Result<Arc<[Value]>> {
        ids.iter().map(|id| self.one(*id, depth, inner)).collect()
    }

    fn dict(&mut self, pairs: &[(Id, Id)], depth: usize, inner: &mut usize) -> Result<Dict> {
        let mut dict = Dict::default();
        for (key, value) in pairs {
            let key = self.one(*key, depth, inner)?;
            let value = self.one(*value, depth, inner)?;
            dict.insert(key, value);
        }
        Ok(dict)
    }
}

fn opaque(module: &str, name: &str) -> Value {
    Value::Opaque(Arc::new(Opaque {
        module: module.to_owned(),
        name: name.to_owned(),
        args: [].into(),
        state: None,
        items: Dict::default(),
        elements: [].into(),
    }))
}

fn too_deep() -> Error {
    Error::unreadable("the pickle nests its containers too deeply")
        .expected(format!("at most {MAX_DEPTH} levels"))
}
