//! The pickle virtual machine: opcodes to a flat graph of nodes.
//!
//! Nodes are referred to by number, so that shared and cyclic objects cost nothing and deep nesting cannot exhaust
//! the stack. Every opcode adds at most one node; strings and bytes borrow from the input.

use std::borrow::Cow;
use std::collections::HashMap;

use microtome_core::{Error, Result};

use super::globals;
use super::lower::lower;
use super::node::{Id, Node, Storage, python2};
use super::stack::{cut, underflow};
use super::text;
use super::value::Value;

/// Most opcodes a pickle may have; the largest published dictionaries need under a million.
const MAX_OPS: usize = 8 << 20;

/// Work (copied elements and bytes) that known constructors may do beyond one unit per input byte.
const EXTRA_WORK: usize = 16 << 20;

/// Work that naming a class or making an opaque object costs.
const OBJECT_WORK: usize = 64;

/// What one pickle gave.
pub(crate) struct Outcome {
    pub(crate) value: Value,
    /// Bytes of input it took.
    pub(crate) len: usize,
    /// Every storage it refers to, by key.
    pub(crate) storages: HashMap<String, Storage>,
}

/// Runs one pickle.
pub(crate) struct Machine<'a> {
    pub(super) input: &'a [u8],
    pub(super) at: usize,
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) stack: Vec<Id>,
    pub(super) marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    work: usize,
    persistent: bool,
}

impl<'a> Machine<'a> {
    /// A machine over the pickle at the start of `input`; `persistent` allows torch's storage references.
    pub(crate) fn new(input: &'a [u8], persistent: bool) -> Self {
        Self {
            input,
            at: 0,
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            work: input.len().saturating_add(EXTRA_WORK),
            persistent,
        }
    }

    /// Runs to the end of the pickle.
    pub(crate) fn run(mut self) -> Result<Outcome> {
        let place = |at: usize| format!("pickle byte {at}");
        for _ in 0..MAX_OPS {
            let start = self.at;
            match self.step() {
                Ok(true) => {}
                Ok(false) => {
                    let root = self.pop().map_err(|e| e.at_key(place(start)))?;
                    let value = lower(&self.nodes, root)?;
                    let storages = self.nodes.iter().filter_map(|n| match n {
                        Node::Storage(s) => Some((s.key.clone(), s.as_ref().clone())),
                        _ => None,
                    });
                    return Ok(Outcome { value, len: self.at, storages: storages.collect() });
                }
                Err(e) => return Err(e.at_key(place(start))),
            }
        }
        Err(Error::unreadable("the pickle is too long").expected(format!("at most {MAX_OPS} operations")))
    }

    /// One opcode; `false` at STOP.
    fn step(&mut self) -> Result<bool> {
        let op = self.u8()?;
        match op {
            0x80 => {
                let version = self.u8()?;
                if version > 5 {
                    return Err(Error::unsupported("unknown pickle protocol")
                        .expected("0 to 5")
                        .found(version.to_string()));
                }
            }
            0x95 => {
                let n = self.length8()?;
                if n > self.input.len() - self.at {
                    return Err(cut());
                }
            }
            b'.' => return Ok(false),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Node::None)?,
            0x88 => self.push(Node::Bool(true))?,
            0x89 => self.push(Node::Bool(false))?,
            b'I' => {
                let line = self.line()?;
                let node = match line {
                    b"00" => Node::Bool(false),
                    b"01" => Node::Bool(true),
                    _ => integer(line)?,
                };
                self.push(node)?;
            }
            b'J' => {
                let v = i32::from_le_bytes(self.array()?);
                self.push(Node::Int(v.into()))?;
            }
            b'K' => {
                let v = self.u8()?;
                self.push(Node::Int(v.into()))?;
            }
            b'M' => {
                let v = u16::from_le_bytes(self.array()?);
                self.push(Node::Int(v.into()))?;
            }
            b'L' => {
                let node = integer(self.line()?)?;
                self.push(node)?;
            }
            0x8a => {
                let n = self.u8()?.into();
                self.long(n)?;
            }
            0x8b => {
                let n = self.length4()?;
                self.long(n)?;
            }
            b'F' => {
                let line = self.line()?;
                self.push(Node::Float(text::float(line)?))?;
            }
            b'G' => {
                let v = f64::from_be_bytes(self.array()?);
                self.push(Node::Float(v))?;
            }
            b'S' | b'T' | b'U' | b'V' | b'X' | b'B' | b'C' | 0x8c | 0x8d | 0x8e | 0x96 => self.string(op)?,
            b']' => self.push(Node::List(Vec::new()))?,
            b'}' => self.push(Node::Dict(Vec::new()))?,
            b')' => self.push(Node::Tuple(Vec::new()))?,
            0x8f => self.push(Node::Set(Vec::new()))?,
            b'l' => {
                let items = self.pop_mark()?;
                self.push(Node::List(items))?;
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Node::Tuple(items))?;
            }
            0x91 => {
                let items = self.pop_mark()?;
                self.push(Node::Set(items))?;
            }
            b'd' => {
                let items = pairs(&self.pop_mark()?)?;
                self.push(Node::Dict(items))?;
            }
            0x85..=0x87 => {
                let n = usize::from(op - 0x84);
                let from =
                    self.stack.len().checked_sub(n).filter(|f| *f >= self.floor()).ok_or_else(underflow)?;
                let items = self.stack.split_off(from);
                self.push(Node::Tuple(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.extend(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.insert(&[(key, value)])?;
            }
            b'u' => {
                let items = pairs(&self.pop_mark()?)?;
                self.insert(&items)?;
            }
            b'p' | b'q' | b'r' | 0x94 => {
                let key = match op {
                    b'p' => self.memo_line()?,
                    b'q' => self.u8()?.into(),
                    b'r' => u32::from_le_bytes(self.array()?),
                    _ => u32::try_from(self.memo.len()).map_err(|_| underflow())?,
                };
                let top = self.top()?;
                self.memo.insert(key, top);
            }
            b'g' | b'h' | b'j' => {
                let key = match op {
                    b'g' => self.memo_line()?,
                    b'h' => self.u8()?.into(),
                    _ => u32::from_le_bytes(self.array()?),
                };
                let id = *self.memo.get(&key).ok_or_else(|| {
                    Error::unreadable("the pickle refers to an object it has not made")
                        .found(format!("memo {key}"))
                })?;
                self.stack.push(id);
            }
            b'c' => {
                let module = text::utf8(self.line()?)?;
                let name = text::utf8(self.line()?)?;
                self.global(module.into(), name.into())?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Node::Str(module), Node::Str(name)) = (self.node(module), self.node(name)) else {
                    return Err(Error::unreadable("the pickle names a class by something other than text"));
                };
                let (module, name) = (module.clone(), name.clone());
                self.global(module, name)?;
            }
            b'i' => {
                let module = text::utf8(self.line()?)?;
                let name = text::utf8(self.line()?)?;
                let args = self.pop_mark()?;
                globals::check(module, name)?;
                self.construct(module.into(), name.into(), args)?;
            }
            b'o' => {
                let mut args = self.pop_mark()?;
                if args.is_empty() {
                    return Err(underflow());
                }
                let class = args.remove(0);
                self.call(class, args)?;
            }
            b'R' | 0x81 => {
                let args = self.pop()?;
                let callable = self.pop()?;
                let args = self.tuple(args)?;
                self.call(callable, args)?;
            }
            0x92 => {
                let keywords = self.pop()?;
                let args = self.pop()?;
                let callable = self.pop()?;
                let mut args = self.tuple(args)?;
                args.push(keywords);
                self.call(callable, args)?;
            }
            b'b' => {
                let state = self.pop()?;
                let target = self.top()?;
                self.build(target, state)?;
            }
            b'P' | b'Q' => {
                if op == b'P' || !self.persistent {
                    return Err(Error::unsupported("the pickle refers to data outside of itself")
                        .remedy("if torch wrote this file, open it as a checkpoint"));
                }
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(Node::Storage(Box::new(storage)))?;
            }
            0x82..=0x84 => {
                let code: u64 = match op {
                    0x82 => self.u8()?.into(),
                    0x83 => u16::from_le_bytes(self.array()?).into(),
                    _ => u32::from_le_bytes(self.array()?).into(),
                };
                return Err(Error::unreadable(format!(
                    "the pickle names extension code {code}, which may stand for any function"
                ))
                .remedy("nothing was run; do not open this file in Python unless you trust its source"));
            }
            0x97 | 0x98 => {
                return Err(Error::unsupported("the pickle keeps its data in a separate buffer"));
            }
            _ => {
                return Err(
                    Error::unreadable("not a pickle, or a damaged one").found(format!("opcode {op:#04x}"))
                );
            }
        }
        Ok(true)
    }

    fn global(&mut self, module: Cow<'a, str>, name: Cow<'a, str>) -> Result<()> {
        globals::check(&module, &name)?;
        self.spend(OBJECT_WORK + module.len() + name.len())?;
        self.push(Node::Global(Box::new((module, name))))
    }

    fn call(&mut self, callable: Id, args: Vec<Id>) -> Result<()> {
        match self.node(callable) {
            Node::Global(full) => {
                let (module, name) = (full.0.clone(), full.1.clone());
                self.spend(OBJECT_WORK + module.len() + name.len())?;
                self.construct(module, name, args)
            }
            other => {
                Err(Error::unreadable("the pickle calls something that is not a class").found(other.kind()))
            }
        }
    }

    /// LONG1 and LONG4: little-endian two's complement.
    fn long(&mut self, n: usize) -> Result<()> {
        let bytes = self.take(n)?;
        let node = if n > 8 {
            Node::BigInt(bytes.into())
        } else {
            let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
            let mut wide = [fill; 8];
            wide[..n].copy_from_slice(bytes);
            Node::Int(i64::from_le_bytes(wide))
        };
        self.push(node)
    }

    fn string(&mut self, op: u8) -> Result<()> {
        let node = match op {
            b'V' => Node::Str(text::raw_unicode_escape(self.line()?)?.into()),
            b'S' => python2(Cow::Owned(text::quoted(self.line()?)?)),
            _ => {
                let n = match op {
                    b'U' | b'C' | 0x8c => self.u8()?.into(),
                    b'T' | b'X' | b'B' => self.length4()?,
                    _ => self.length8()?,
                };
                let bytes = self.take(n)?;
                match op {
                    b'X' | 0x8c | 0x8d => Node::Str(text::utf8(bytes)?.into()),
                    b'T' | b'U' => python2(bytes.into()),
                    _ => Node::Bytes(bytes.into()),
                }
            }
        };
        self.push(node)
    }

    /// Spends part of the work allowance, so that repeated calls on one big object cannot pile up copies.
    pub(super) fn spend(&mut self, n: usize) -> Result<()> {
        self.work = self.work.checked_sub(n).ok_or_else(|| {
            Error::unreadable("the pickle copies its contents over and over")
                .remedy("no honest file does this; do not use it")
        })?;
        Ok(())
    }

    fn extend(&mut self, items: &[Id]) -> Result<()> {
        let target = self.top()?;
        match self.nodes.get_mut(target as usize) {
            Some(Node::List(v) | Node::Set(v)) => v.extend_from_slice(items),
            Some(Node::Object(o)) => o.elements.extend_from_slice(items),
            _ => return Err(Error::unreadable("the pickle appends to something that is not a list")),
        }
        Ok(())
    }

    fn insert(&mut self, items: &[(Id, Id)]) -> Result<()> {
        let target = self.top()?;
        match self.nodes.get_mut(target as usize) {
            Some(Node::Dict(v)) => v.extend_from_slice(items),
            Some(Node::Object(o)) => o.items.extend_from_slice(items),
            _ => {
                return Err(Error::unreadable(
                    "the pickle sets an item of something that is not a dictionary",
                ));
            }
        }
        Ok(())
    }
}

/// A decimal line, of up to 128 bits.
fn integer(line: &[u8]) -> Result<Node<'static>> {
    let v = text::integer(line)?;
    Ok(i64::try_from(v).map_or_else(|_| Node::BigInt(v.to_le_bytes().to_vec().into()), Node::Int))
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(underflow());
    }
    Ok(pairs.iter().map(|[k, v]| (*k, *v)).collect())
}
