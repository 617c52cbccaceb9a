//! The constructors the machine understands, and how object state is applied.

use std::borrow::Cow;

use microtome_core::{Error, Result};

use super::machine::Machine;
use super::node::{ArrayNode, Id, Node, Object, Storage};
use super::value::TensorRef;
use crate::array::ArrayType;
use crate::dtype::DType;

/// Element type of a torch storage class; the inner `None` is untyped bytes.
pub(super) fn storage_type(class: &str) -> Option<Option<DType>> {
    Some(Some(match class {
        "DoubleStorage" => DType::F64,
        "FloatStorage" => DType::F32,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "CharStorage" => DType::I8,
        "ByteStorage" => DType::U8,
        "BoolStorage" => DType::Bool,
        "ComplexFloatStorage" => DType::C64,
        "ComplexDoubleStorage" => DType::C128,
        "UntypedStorage" => return Some(None),
        _ => return None,
    }))
}

/// Element type named as an attribute of the `torch` module.
pub(super) fn torch_dtype(name: &str) -> Option<DType> {
    Some(match name {
        "float64" | "double" => DType::F64,
        "float32" | "float" => DType::F32,
        "float16" | "half" => DType::F16,
        "bfloat16" => DType::BF16,
        "float8_e4m3fn" => DType::F8E4M3,
        "float8_e5m2" => DType::F8E5M2,
        "complex64" | "cfloat" => DType::C64,
        "complex128" | "cdouble" => DType::C128,
        "int64" | "long" => DType::I64,
        "int32" | "int" => DType::I32,
        "int16" | "short" => DType::I16,
        "int8" => DType::I8,
        "uint64" => DType::U64,
        "uint32" => DType::U32,
        "uint16" => DType::U16,
        "uint8" => DType::U8,
        "bool" => DType::Bool,
        _ => return None,
    })
}

impl<'a> Machine<'a> {
    /// "Calls" an allowed global: known constructors are understood, others give an opaque object.
    pub(super) fn construct(
        &mut self,
        module: Cow<'a, str>,
        name: Cow<'a, str>,
        args: Vec<Id>,
    ) -> Result<()> {
        let node = match (module.as_ref(), name.as_ref()) {
            ("collections", "OrderedDict" | "Counter") | ("builtins" | "__builtin__", "dict") => {
                Node::Dict(self.dict_items(args.first().copied())?)
            }
            ("collections", "defaultdict") => Node::Dict(self.dict_items(args.get(1).copied())?),
            ("collections", "deque") | ("builtins" | "__builtin__", "list") => Node::List(self.items(&args)?),
            ("builtins" | "__builtin__", "set" | "frozenset") => Node::Set(self.items(&args)?),
            ("builtins" | "__builtin__", "tuple") | ("torch", "Size") => Node::Tuple(self.items(&args)?),
            ("builtins" | "__builtin__", "bytes" | "bytearray") | ("_codecs", "encode") => {
                self.encoded(&args)?
            }
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => {
                let typed = (name == "_rebuild_tensor_v3").then(|| args.get(6).copied()).flatten();
                self.tensor(&args, typed)?
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                return self.again(&args);
            }
            ("torch._tensor", "_rebuild_from_type_v2") => return self.rebuild_from_type(&args),
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => self.numpy_scalar(&args)?,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                Node::Array(Box::new(ArrayNode {
                    shape: vec![0],
                    element: ArrayType { kind: 'u', size: 1, big_endian: false },
                    fortran: false,
                    data: None,
                }))
            }
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => self.numpy_buffer(&args)?,
            ("numpy", "dtype") => match args.first().map(|a| self.node(*a)) {
                Some(Node::Str(text)) => Node::NumpyType(ArrayType::parse(text)?),
                Some(Node::NumpyType(t)) => Node::NumpyType(*t),
                _ => return Err(bad("a NumPy type")),
            },
            ("copyreg" | "copy_reg", "_reconstructor") => match args.first().map(|a| self.node(*a)) {
                Some(Node::Global(full)) => {
                    let (module, name) = (full.0.clone(), full.1.clone());
                    Node::Object(Box::new(object(module, name, args)))
                }
                _ => return Err(bad("an object")),
            },
            _ => Node::Object(Box::new(object(module, name, args))),
        };
        self.push(node)
    }

    /// BUILD: applies `state` to the object on top of the stack.
    pub(super) fn build(&mut self, target: Id, state: Id) -> Result<()> {
        let replacement = match self.node(target) {
            Node::NumpyType(t) => Some(Node::NumpyType(self.typed_order(*t, state)?)),
            Node::Array(_) => Some(Node::Array(Box::new(self.array_state(state)?))),
            Node::Object(_) => None,
            // Attributes of containers (`_metadata` of a state dict) and of parameters carry no weights.
            Node::Dict(_) | Node::List(_) | Node::Set(_) | Node::Tuple(_) | Node::Tensor(_) => return Ok(()),
            other => {
                return Err(Error::unreadable("the pickle sets the state of something that has none")
                    .found(other.kind()));
            }
        };
        match (self.nodes.get_mut(target as usize), replacement) {
            (Some(node), Some(new)) => *node = new,
            (Some(Node::Object(o)), None) => o.state = Some(state),
            _ => {}
        }
        Ok(())
    }

    /// The elements of a tuple, as arguments.
    pub(super) fn tuple(&mut self, id: Id) -> Result<Vec<Id>> {
        let Node::Tuple(items) = self.node(id) else {
            return Err(Error::unreadable("the pickle calls a class with something other than a tuple"));
        };
        let items = items.clone();
        self.spend(items.len())?;
        Ok(items)
    }

    /// The elements of the only argument of `list`, `set`, ...
    fn items(&mut self, args: &[Id]) -> Result<Vec<Id>> {
        let items = match args.first().map(|a| self.node(*a)) {
            None => Vec::new(),
            Some(Node::List(v) | Node::Tuple(v) | Node::Set(v)) => v.clone(),
            Some(_) => return Err(bad("a container")),
        };
        self.spend(items.len())?;
        Ok(items)
    }

    fn dict_items(&mut self, source: Option<Id>) -> Result<Vec<(Id, Id)>> {
        let pairs = match source.map(|s| self.node(s)) {
            None | Some(Node::None) => Vec::new(),
            Some(Node::Dict(items)) => items.clone(),
            Some(Node::List(items) | Node::Tuple(items)) => items
                .iter()
                .map(|pair| match self.node(*pair) {
                    Node::Tuple(p) | Node::List(p) => match p.as_slice() {
                        [key, value] => Ok((*key, *value)),
                        _ => Err(bad("a dictionary")),
                    },
                    _ => Err(bad("a dictionary")),
                })
                .collect::<Result<_>>()?,
            Some(_) => return Err(bad("a dictionary")),
        };
        self.spend(pairs.len())?;
        Ok(pairs)
    }

    /// `_codecs.encode(text, "latin1")`, which is how protocol 2 writes bytes; `bytes()` and `bytearray(...)` too.
    fn encoded(&mut self, args: &[Id]) -> Result<Node<'a>> {
        let bytes = match (args.first().map(|a| self.node(*a)), args.get(1).map(|a| self.node(*a))) {
            (None, _) => Vec::new(),
            (Some(Node::Bytes(b)), _) => b.to_vec(),
            (Some(Node::Str(text)), Some(Node::Str(codec)))
                if matches!(codec.as_ref(), "latin1" | "latin-1") =>
            {
                text.chars()
                    .map(|c| u8::try_from(u32::from(c)).map_err(|_| bad("bytes")))
                    .collect::<Result<_>>()?
            }
            (Some(Node::List(items)), None) => items
                .iter()
                .map(|i| match self.node(*i) {
                    Node::Int(v) => u8::try_from(*v).map_err(|_| bad("bytes")),
                    _ => Err(bad("bytes")),
                })
                .collect::<Result<_>>()?,
            _ => return Err(bad("bytes")),
        };
        self.spend(bytes.len())?;
        Ok(Node::Bytes(bytes.into()))
    }

    /// `_rebuild_tensor_v2(storage, offset, size, stride, ...)`; v3 names the element type itself.
    fn tensor(&mut self, args: &[Id], typed: Option<Id>) -> Result<Node<'a>> {
        let broken = || bad("a tensor");
        let arg = |i: usize| args.get(i).map(|a| self.node(*a)).ok_or_else(broken);
        let (Node::Storage(storage), Node::Int(offset)) = (arg(0)?, arg(1)?) else { return Err(broken()) };
        let named = match typed.map(|t| self.node(t)) {
            Some(Node::Global(full)) => Some(torch_dtype(&full.1).ok_or_else(broken)?),
            Some(_) => return Err(broken()),
            None => None,
        };
        let Storage { key, dtype, len, offset: skipped } = storage.as_ref();
        let dtype = named.or(*dtype).ok_or_else(broken)?;
        let offset =
            usize::try_from(*offset).ok().and_then(|o| o.checked_add(*skipped)).ok_or_else(broken)?;
        let tensor = TensorRef {
            key: key.clone(),
            storage_len: *len,
            dtype,
            offset,
            shape: self.dimensions(args.get(2).copied())?,
            strides: self.dimensions(args.get(3).copied())?,
        };
        Ok(Node::Tensor(Box::new(tensor)))
    }

    /// A parameter is the tensor it wraps.
    fn again(&mut self, args: &[Id]) -> Result<()> {
        match args.first().map(|a| self.node(*a)) {
            Some(Node::Tensor(t)) => {
                let t = t.clone();
                self.push(Node::Tensor(t))
            }
            _ => Err(bad("a parameter")),
        }
    }

    /// `_rebuild_from_type_v2(function, class, args, state)`: a tensor of a subclass is read as a plain tensor.
    fn rebuild_from_type(&mut self, args: &[Id]) -> Result<()> {
        let (Some(function), Some(inner)) = (args.first(), args.get(2)) else { return Err(bad("a tensor")) };
        let inner = self.tuple(*inner)?;
        match self.node(*function) {
            // Only the plain rebuilders: a chain of wrappers around wrappers would be a way to recurse.
            Node::Global(full) if full.0 == "torch._utils" => {
                let (module, name) = (full.0.clone(), full.1.clone());
                self.construct(module, name, inner)
            }
            _ => Err(bad("a tensor")),
        }
    }

    pub(super) fn dimensions(&self, id: Option<Id>) -> Result<Vec<usize>> {
        let Some(Node::Tuple(items) | Node::List(items)) = id.map(|i| self.node(i)) else {
            return Err(bad("a shape"));
        };
        if items.len() > 64 {
            return Err(bad("a shape"));
        }
        items
            .iter()
            .map(|i| match self.node(*i) {
                Node::Int(v) => usize::try_from(*v).map_err(|_| bad("a shape")),
                _ => Err(bad("a shape")),
            })
            .collect()
    }
}

fn object<'a>(module: Cow<'a, str>, name: Cow<'a, str>, args: Vec<Id>) -> Object<'a> {
    Object { module, name, args, state: None, items: Vec::new(), elements: Vec::new() }
}

pub(super) fn bad(what: &str) -> Error {
    Error::unreadable(format!("the pickle makes {what} in a way that is not understood"))
}
