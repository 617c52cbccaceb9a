//! `uns` as JSON.

use microtome_core::Result;
use serde_json::{Map, Value, json};

use crate::column::Reader;
use crate::frame::Frame;
use crate::hdf5::{Array, Group, Kind, Node, Values};
use crate::sparse;

/// Arrays with more elements than this are described, not listed.
pub const UNS_LIST_LIMIT: usize = 100_000;
/// Groups nested deeper than this are described, not followed.
const MAX_DEPTH: usize = 32;

/// A group and everything below it. NaN and infinities become null, since JSON has neither.
pub(crate) fn read(root: &Group, group: &Group, depth: usize) -> Result<Value> {
    if depth > MAX_DEPTH {
        return Ok(omitted("nested too deeply", group.key()));
    }
    let mut out = Map::new();
    for name in group.names() {
        let value = match group.node(name)? {
            Node::Array(array) => read_array(&array)?,
            Node::Group(child) => match child.text_attribute("encoding-type")?.as_deref() {
                Some("dataframe") => read_frame(&Frame::open(root, group, name)?)?,
                Some("csr_matrix" | "csc_matrix") => {
                    let (by_row, shape) = sparse::describe(&child)?;
                    json!({ "omitted": "sparse matrix", "storage": if by_row { "csr" } else { "csc" }, "shape": shape })
                }
                Some("categorical" | "nullable-integer" | "nullable-boolean" | "nullable-string-array") => {
                    let column = Reader::open(&Node::Group(child))?;
                    match column.len() {
                        n if n > UNS_LIST_LIMIT => omitted("column", &format!("{n} elements")),
                        n => column_json(&column.read(0..n)?),
                    }
                }
                Some("null") => Value::Null,
                _ => read(root, &child, depth + 1)?,
            },
        };
        out.insert(name.to_string(), value);
    }
    Ok(Value::Object(out))
}

fn omitted(what: &str, detail: &str) -> Value {
    json!({ "omitted": what, "detail": detail })
}

fn read_array(array: &Array) -> Result<Value> {
    if array.text_attribute("encoding-type")?.as_deref() == Some("null") {
        return Ok(Value::Null);
    }
    let n = array.shape().iter().product::<u64>();
    if n > UNS_LIST_LIMIT as u64 {
        return Ok(json!({ "omitted": "array", "dtype": array.kind().name(), "shape": array.shape() }));
    }
    if let Kind::Compound { fields, .. } = array.kind() {
        let columns: Result<Map<String, Value>> = fields
            .iter()
            .map(|(name, _, _)| {
                Ok((name.clone(), Value::Array(elements(array.field(name, 0..array.len())?))))
            })
            .collect();
        return columns.map(Value::Object);
    }
    if matches!(array.kind(), Kind::Other { .. }) {
        return Ok(
            json!({ "omitted": "element type", "dtype": array.kind().name(), "shape": array.shape() }),
        );
    }
    let mut elements = elements(array.values()?);
    if array.shape().is_empty() {
        return Ok(elements.pop().unwrap_or(Value::Null));
    }
    for &width in array.shape().iter().skip(1).rev() {
        let width = (width as usize).max(1);
        elements = elements.chunks(width).map(|row| Value::Array(row.to_vec())).collect();
    }
    Ok(Value::Array(elements))
}

fn elements(values: Values) -> Vec<Value> {
    match values {
        Values::Int(v) => v.into_iter().map(Value::from).collect(),
        Values::Float(v) => v.into_iter().map(Value::from).collect(),
        Values::Bool(v) => v.into_iter().map(Value::from).collect(),
        Values::Text(v) => v.into_iter().map(Value::from).collect(),
        Values::References(v) => v.into_iter().map(|a| json!(format!("object at {a}"))).collect(),
    }
}

fn column_json(column: &microtome_core::Column) -> Value {
    use microtome_core::Column;
    match column {
        Column::Float(v) => json!(v),
        Column::Int(v) => json!(v),
        Column::Bool(v) => json!(v),
        Column::Text(v) => json!(v),
        other => (0..other.len()).map(|i| json!(other.text(i))).collect(),
    }
}

fn read_frame(frame: &Frame) -> Result<Value> {
    let n = frame.len()?;
    let names = frame.column_names()?;
    if n.saturating_mul(names.len() + 1) > UNS_LIST_LIMIT {
        return Ok(omitted("data frame", &format!("{n} rows, columns {}", names.join(", "))));
    }
    let mut out = Map::new();
    out.insert("_index".into(), json!(frame.names()?));
    for name in names {
        let column = column_json(&frame.column(&name)?);
        out.insert(name, column);
    }
    Ok(Value::Object(out))
}
