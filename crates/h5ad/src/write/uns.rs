//! `uns` from JSON.

use microtome_core::{Error, Result};
use serde_json::{Map, Value};

use super::sink::{Sink, check_name};

/// Checks names and numbers before anything is written.
pub(super) fn check(place: &str, value: &Value) -> Result<()> {
    match value {
        Value::Object(map) => {
            for (name, child) in map {
                check_name(place, name)?;
                check(&format!("{place}/{name}"), child)?;
            }
            Ok(())
        }
        Value::Number(n) if n.as_i64().is_none() && n.as_f64().is_none() => {
            Err(Error::usage("number that cannot be stored").at_key(place).found(n.to_string()))
        }
        _ => Ok(()),
    }
}

/// Writes the entries of an object into a group.
pub(super) fn write(group: &Sink, entries: &Map<String, Value>) -> Result<()> {
    for (name, value) in entries {
        match value {
            // AnnData before 0.12 has no null: an absent entry says the same.
            Value::Null => {}
            Value::Object(map) => write(&group.create(name, "dict", "0.1.0")?, map)?,
            Value::String(text) => group.text(name, text)?,
            Value::Bool(b) => group.scalar(name, rust_hdf5::types::HBool::from(*b))?,
            Value::Number(n) => match n.as_i64() {
                Some(i) => group.scalar(name, i)?,
                None => group.scalar(name, n.as_f64().unwrap_or(f64::NAN))?,
            },
            Value::Array(items) => write_list(group, name, items)?,
        }
    }
    Ok(())
}

/// Lists of one kind become arrays; rectangular lists of lists become arrays of several axes; anything else is kept as
/// JSON text.
fn write_list(group: &Sink, name: &str, items: &[Value]) -> Result<()> {
    if items.is_empty() {
        return group.numbers::<f64>(name, &[]);
    }
    if let Some(texts) = items.iter().map(Value::as_str).collect::<Option<Vec<_>>>() {
        return group.texts(name, &texts);
    }
    if let Some(bools) = items.iter().map(Value::as_bool).collect::<Option<Vec<_>>>() {
        return group.bools(name, &bools);
    }
    let (mut shape, mut flat) = (vec![], vec![]);
    if flatten(items, 0, &mut shape, &mut flat) {
        if let Some(ints) = flat.iter().map(|v| v.as_i64()).collect::<Option<Vec<_>>>() {
            return group.array(name, &ints, &shape);
        }
        if let Some(floats) = flat.iter().map(|v| v.as_f64()).collect::<Option<Vec<_>>>() {
            return group.array(name, &floats, &shape);
        }
    }
    group.text(name, &Value::Array(items.to_vec()).to_string())
}

/// Numbers of nested lists in order, and their shape; `false` when they are ragged or hold something else.
fn flatten<'a>(items: &'a [Value], depth: usize, shape: &mut Vec<usize>, flat: &mut Vec<&'a Value>) -> bool {
    if shape.len() == depth {
        if !flat.is_empty() {
            return false;
        }
        shape.push(items.len());
    }
    if shape[depth] != items.len() {
        return false;
    }
    items.iter().all(|item| match item {
        Value::Number(_) if shape.len() == depth + 1 => {
            flat.push(item);
            true
        }
        Value::Array(inner) => flatten(inner, depth + 1, shape, flat),
        _ => false,
    })
}
