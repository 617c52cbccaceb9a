//! One column of `obs` or `var`, in every encoding AnnData has used.

use microtome_core::{Column, Error, Result};

use crate::hdf5::{Array, Group, Node, Values};

/// Reads a column.
pub(crate) fn read(node: &Node) -> Result<Column> {
    match node {
        Node::Array(array) => from_array(array),
        Node::Group(group) => from_group(group),
    }
}

fn from_array(array: &Array) -> Result<Column> {
    // Before anndata 0.8 a categorical was an array of codes with a reference to its categories.
    if let Some(reference) = array.attribute("categories")? {
        let Values::References(to) = &reference.values else {
            return Err(Error::unsupported("categories that are not a reference").at_key(array.key()));
        };
        let (Some(&address), key) = (to.first(), format!("{}@categories", array.key())) else {
            return Err(Error::unreadable("empty reference to categories").at_key(array.key()));
        };
        let Node::Array(categories) = array.file().dereference(&key, address)? else {
            return Err(Error::unreadable("categories that are not an array").at_key(key));
        };
        let ordered = categories.attribute("ordered")?.and_then(|a| a.as_bool()).unwrap_or(false);
        return categorical(array.key(), array.integers()?, names(categories.values()?), ordered);
    }
    Ok(plain(array.values()?))
}

/// A column without missing values, except NaN.
pub(crate) fn plain(values: Values) -> Column {
    match values {
        Values::Int(v) => Column::Int(v.into_iter().map(Some).collect()),
        Values::Float(v) => Column::Float(v),
        Values::Bool(v) => Column::Bool(v.into_iter().map(Some).collect()),
        Values::Text(v) => Column::Text(v.into_iter().map(Some).collect()),
        Values::References(v) => {
            Column::Text(v.into_iter().map(|a| Some(format!("object at {a}"))).collect())
        }
    }
}

fn from_group(group: &Group) -> Result<Column> {
    let encoding = group.text_attribute("encoding-type")?.unwrap_or_default();
    if group.has("codes") && group.has("categories") {
        let ordered = group.attribute("ordered")?.and_then(|a| a.as_bool()).unwrap_or(false);
        let categories = match from_any(group, "categories")? {
            Column::Text(v) => v.into_iter().map(Option::unwrap_or_default).collect(),
            other => (0..other.len()).map(|i| other.text(i).unwrap_or_else(|| "nan".into())).collect(),
        };
        let codes = group.array("codes")?;
        return categorical(group.key(), codes.integers()?, categories, ordered);
    }
    if group.has("values") && group.has("mask") {
        let Values::Bool(mask) = group.array("mask")?.values()? else {
            return Err(Error::unreadable("mask that is not boolean").at_key(group.child_key("mask")));
        };
        let values = group.array("values")?.values()?;
        if mask.len() != values.len() {
            return Err(Error::unreadable("values and mask disagree in length")
                .at_key(group.key())
                .expected(values.len().to_string())
                .found(mask.len().to_string()));
        }
        return Ok(masked(plain(values), &mask));
    }
    Err(Error::unsupported("column encoding that is not read")
        .at_key(group.key())
        .expected(
            "array, string-array, categorical, nullable-integer, nullable-boolean or nullable-string-array",
        )
        .found(if encoding.is_empty() { "a group without an encoding".into() } else { encoding })
        .remedy("convert the column to numbers, text or a category before writing the file"))
}

fn from_any(group: &Group, name: &str) -> Result<Column> {
    read(&group.node(name)?)
}

/// `true` in the mask means missing.
fn masked(column: Column, mask: &[bool]) -> Column {
    fn keep<T>(values: Vec<Option<T>>, mask: &[bool]) -> Vec<Option<T>> {
        values.into_iter().zip(mask).map(|(v, &gone)| v.filter(|_| !gone)).collect()
    }
    match column {
        Column::Int(v) => Column::Int(keep(v, mask)),
        Column::Bool(v) => Column::Bool(keep(v, mask)),
        Column::Text(v) => Column::Text(keep(v, mask)),
        Column::Float(v) => {
            Column::Float(v.into_iter().zip(mask).map(|(x, &gone)| if gone { f64::NAN } else { x }).collect())
        }
        other => other,
    }
}

/// Category names as text, whatever they were.
pub(crate) fn names(values: Values) -> Vec<String> {
    let column = plain(values);
    (0..column.len()).map(|i| column.text(i).unwrap_or_else(|| "nan".into())).collect()
}

/// Checks codes against categories; -1 is missing.
pub(crate) fn categorical(
    key: &str,
    codes: Vec<i64>,
    categories: Vec<String>,
    ordered: bool,
) -> Result<Column> {
    let n = categories.len() as i64;
    let codes = codes
        .into_iter()
        .map(|c| match u32::try_from(c) {
            Ok(code) if c < n => Ok(Some(code)),
            _ if c == -1 => Ok(None),
            _ => Err(Error::unreadable("category code out of range")
                .at_key(key)
                .expected(format!("-1 (missing) or a number below {n} (number of categories)"))
                .found(c.to_string())
                .remedy("the file is corrupt: write it again")),
        })
        .collect::<Result<_>>()?;
    Ok(Column::Categorical { categories, codes, ordered })
}
