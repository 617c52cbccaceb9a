//! Paths into nested Python objects, joined with dots.

use microtome_core::{Error, Result};

use crate::pickle::{TensorRef, Value};

/// Name of a tensor that is the whole file.
pub(crate) const SOLE: &str = "tensor";

/// Most values visited; shared objects count once per path to them.
const MAX_VISITS: usize = 16_000_000;

/// Most tensors in a file, counting every path to a shared one.
const MAX_TENSORS: usize = 1 << 20;

/// Total length of the paths made; a long key above many tensors is repeated in each of their names.
const MAX_NAMES: usize = 256 << 20;

/// Every tensor with its path, in file order.
pub(crate) fn tensors(root: &Value) -> Result<Vec<(String, &TensorRef)>> {
    let mut walk = Walk { found: Vec::new(), visits: 0, letters: 0 };
    walk.visit(root, &mut String::new())?;
    Ok(walk.found)
}

struct Walk<'a> {
    found: Vec<(String, &'a TensorRef)>,
    visits: usize,
    letters: usize,
}

impl<'a> Walk<'a> {
    // Depth is bounded by the pickle reader's nesting limit.
    fn visit(&mut self, value: &'a Value, path: &mut String) -> Result<()> {
        self.visits += 1;
        self.letters += path.len();
        if self.visits > MAX_VISITS || self.letters > MAX_NAMES || self.found.len() > MAX_TENSORS {
            return Err(Error::unreadable("the checkpoint nests one object inside itself too often"));
        }
        match value {
            Value::Tensor(tensor) => {
                let name = if path.is_empty() { SOLE.to_owned() } else { path.clone() };
                self.found.push((name, &tensor.0));
            }
            Value::Dict(dict) => self.entries(dict.entries(), path)?,
            Value::List(items) | Value::Tuple(items) => self.elements(items, path)?,
            Value::Opaque(object) => {
                self.entries(object.items.entries(), path)?;
                self.elements(&object.elements, path)?;
                if let Some(state) = &object.state {
                    self.visit(state, path)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn entries(&mut self, entries: &'a [(Value, Value)], path: &mut String) -> Result<()> {
        self.visits += entries.len();
        for (key, value) in entries {
            if is_leaf(value) {
                continue;
            }
            let back = path.len();
            if let Some(key) = segment(key) {
                descend(path, &key);
                self.visit(value, path)?;
            }
            path.truncate(back);
        }
        Ok(())
    }

    fn elements(&mut self, items: &'a [Value], path: &mut String) -> Result<()> {
        self.visits += items.len();
        for (i, value) in items.iter().enumerate() {
            if is_leaf(value) {
                continue;
            }
            let back = path.len();
            descend(path, &i.to_string());
            self.visit(value, path)?;
            path.truncate(back);
        }
        Ok(())
    }
}

fn is_leaf(value: &Value) -> bool {
    !matches!(value, Value::Tensor(_) | Value::Dict(_) | Value::List(_) | Value::Tuple(_) | Value::Opaque(_))
}

fn descend(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

fn segment(key: &Value) -> Option<std::borrow::Cow<'_, str>> {
    match key {
        Value::Str(s) => Some(s.as_ref().into()),
        Value::Int(i) => Some(i.to_string().into()),
        Value::Bool(b) => Some(if *b { "True" } else { "False" }.into()),
        _ => None,
    }
}

/// The value at a dotted path; keys may contain dots themselves.
pub(crate) fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(value);
    }
    let entries = match value {
        Value::Dict(dict) => dict.entries(),
        Value::Opaque(object) => object.items.entries(),
        _ => &[],
    };
    for (key, inner) in entries {
        if let Some(found) = segment(key).and_then(|key| after(path, &key)).and_then(|rest| find(inner, rest))
        {
            return Some(found);
        }
    }
    let items = match value {
        Value::List(items) | Value::Tuple(items) | Value::Set(items) => items,
        Value::Opaque(object) => {
            if let Some(found) = object.state.as_ref().and_then(|state| find(state, path)) {
                return Some(found);
            }
            &object.elements
        }
        _ => return None,
    };
    let digits = path.split('.').next()?;
    items.get(digits.parse::<usize>().ok()?).and_then(|inner| find(inner, after(path, digits)?))
}

/// What follows `key` in the path.
fn after<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(key)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
}
