//! Pickled dictionaries from text to numbers or text, in file order.

use std::path::Path;

use microtome_core::{Error, Result};

use crate::pickle::{Value, read_file};

/// A `dict[str, int]`, such as a token dictionary; NumPy integer scalars count as integers.
///
/// # Errors
/// When the file is not a pickled dictionary, or a key or value is of another type.
pub fn read_str_int_dict(path: &Path) -> Result<Vec<(String, i64)>> {
    read(path, "an integer", Value::as_i64)
}

/// A `dict[str, float]`, such as a gene median dictionary; integers and NumPy scalars are taken as floats.
///
/// # Errors
/// When the file is not a pickled dictionary, or a key or value is of another type.
pub fn read_str_float_dict(path: &Path) -> Result<Vec<(String, f64)>> {
    read(path, "a number", Value::as_f64)
}

/// A `dict[str, str]`, such as a gene name dictionary.
///
/// # Errors
/// When the file is not a pickled dictionary, or a key or value is of another type.
pub fn read_str_str_dict(path: &Path) -> Result<Vec<(String, String)>> {
    read(path, "text", |v| v.as_str().map(str::to_owned))
}

fn read<T>(path: &Path, wanted: &str, take: impl Fn(&Value) -> Option<T>) -> Result<Vec<(String, T)>> {
    let value = read_file(path)?;
    let Value::Dict(dict) = &value else {
        return Err(Error::mismatch("the pickle is not a dictionary").in_file(path).found(value.kind()));
    };
    dict.entries()
        .iter()
        .map(|(k, v)| {
            let key = k.as_str().ok_or_else(|| {
                Error::mismatch("a dictionary key is not text").in_file(path).found(k.kind())
            })?;
            let value = take(v).ok_or_else(|| {
                Error::mismatch("a dictionary value is of the wrong type")
                    .in_file(path)
                    .at_key(key)
                    .expected(wanted)
                    .found(v.kind())
            })?;
            Ok((key.to_owned(), value))
        })
        .collect()
}
