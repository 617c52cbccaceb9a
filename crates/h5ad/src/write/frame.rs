//! `obs` and `var`, in parts.

use std::collections::HashSet;

use microtome_core::{Column, Error, Result};
use rust_hdf5::types::{H5Type, HBool};

use super::column::{Numbers, Texts};
use super::sink::{Sink, check_name};
use crate::rows::{ColumnKind, TableRows, parts};

/// Name of the dataset of row names.
const INDEX: &str = "_index";

/// Checks the columns of a table before anything is written.
pub(super) fn check(place: &str, columns: &[(String, ColumnKind)]) -> Result<()> {
    let mut seen = HashSet::from([INDEX]);
    for (name, _) in columns {
        check_name(place, name)?;
        if !seen.insert(name) {
            let what =
                if name == INDEX { "column with the name of the row names" } else { "column given twice" };
            return Err(Error::usage(what)
                .at_key(format!("{place}[\"{name}\"]"))
                .remedy("rename the column"));
        }
    }
    Ok(())
}

/// Writes a data frame that was checked, one column after the other, a part of the rows at a time.
pub(super) fn write(parent: &Sink, name: &str, table: &dyn TableRows) -> Result<()> {
    let columns = table.columns();
    let group = parent.create(name, "dataframe", "0.2.0")?;
    group.text_attribute("_index", INDEX)?;
    let names: Vec<&str> = columns.iter().map(|(n, _)| n.as_str()).collect();
    group.text_list_attribute("column-order", &names)?;
    let n = table.n_rows();
    let mut index = Texts::begin(&group, INDEX, n)?;
    for part in parts(n) {
        let names = table.names(part)?;
        index.append(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    index.finish()?;
    for (i, (name, kind)) in columns.iter().enumerate() {
        let key = format!("{}[\"{name}\"]", group.key());
        let mut column = Open::begin(&group, name, kind, n)?;
        for part in parts(n) {
            let rows = table.column(i, part.clone())?;
            if rows.len() != part.len() {
                return Err(Error::usage("column of the wrong length")
                    .at_key(key)
                    .expected(format!("{} rows", part.len()))
                    .found(format!("{} rows", rows.len())));
            }
            column.append(&key, rows)?;
        }
        column.finish()?;
    }
    Ok(())
}

/// A column being written.
enum Open {
    Float(Numbers<f64>),
    Int(Numbers<i64>, Option<Numbers<HBool>>),
    Bool(Numbers<HBool>, Option<Numbers<HBool>>),
    Text(Texts, Option<Numbers<HBool>>),
    /// Codes of the narrowest signed type, as pandas has them, and the number of categories.
    Codes8(Numbers<i8>, usize),
    Codes16(Numbers<i16>, usize),
    Codes32(Numbers<i32>, usize),
}

/// Where values and the mask of missing ones go.
fn masked<T>(
    group: &Sink,
    name: &str,
    encoding: &str,
    nullable: bool,
    n: usize,
    begin: impl Fn(&Sink, &str) -> Result<T>,
) -> Result<(T, Option<Numbers<HBool>>)> {
    if !nullable {
        return Ok((begin(group, name)?, None));
    }
    let parts = group.create(name, encoding, "0.1.0")?;
    Ok((begin(&parts, "values")?, Some(Numbers::begin(&parts, "mask", n)?)))
}

impl Open {
    fn begin(group: &Sink, name: &str, kind: &ColumnKind, n: usize) -> Result<Self> {
        Ok(match kind {
            ColumnKind::Float => Self::Float(Numbers::begin(group, name, n)?),
            ColumnKind::Int { nullable } => {
                let (values, mask) = masked(group, name, "nullable-integer", *nullable, n, |g, name| {
                    Numbers::begin(g, name, n)
                })?;
                Self::Int(values, mask)
            }
            ColumnKind::Bool { nullable } => {
                let (values, mask) = masked(group, name, "nullable-boolean", *nullable, n, |g, name| {
                    Numbers::begin(g, name, n)
                })?;
                Self::Bool(values, mask)
            }
            ColumnKind::Text { nullable } => {
                let (values, mask) =
                    masked(group, name, "nullable-string-array", *nullable, n, |g, name| {
                        Texts::begin(g, name, n)
                    })?;
                Self::Text(values, mask)
            }
            ColumnKind::Categorical { categories, ordered } => {
                let parts = group.create(name, "categorical", "0.2.0")?;
                parts.bool_attribute("ordered", *ordered)?;
                let names: Vec<&str> = categories.iter().map(String::as_str).collect();
                parts.texts("categories", &names)?;
                match categories.len() {
                    m @ 0..=127 => Self::Codes8(Numbers::begin(&parts, "codes", n)?, m),
                    m @ 128..=32_767 => Self::Codes16(Numbers::begin(&parts, "codes", n)?, m),
                    m => Self::Codes32(Numbers::begin(&parts, "codes", n)?, m),
                }
            }
        })
    }

    fn append(&mut self, key: &str, rows: Column) -> Result<()> {
        match (self, rows) {
            (Self::Float(out), Column::Float(v)) => out.append(&v),
            (Self::Int(out, mask), Column::Int(v)) => {
                present(key, &v, mask)?;
                out.append(&v.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>())
            }
            (Self::Bool(out, mask), Column::Bool(v)) => {
                present(key, &v, mask)?;
                out.append(&v.into_iter().map(|b| HBool::from(b.unwrap_or_default())).collect::<Vec<_>>())
            }
            (Self::Text(out, mask), Column::Text(v)) => {
                present(key, &v, mask)?;
                out.append(&v.iter().map(|t| t.as_deref().unwrap_or_default()).collect::<Vec<_>>())
            }
            (Self::Codes8(out, n), Column::Categorical { codes, .. }) => {
                out.append(&signed(key, &codes, *n, |c| c as i8)?)
            }
            (Self::Codes16(out, n), Column::Categorical { codes, .. }) => {
                out.append(&signed(key, &codes, *n, |c| c as i16)?)
            }
            (Self::Codes32(out, n), Column::Categorical { codes, .. }) => {
                out.append(&signed(key, &codes, *n, |c| c as i32)?)
            }
            (_, other) => Err(Error::unsupported("column kind that is not written")
                .at_key(key)
                .expected("rows of the kind that was announced")
                .found(other.kind())),
        }
    }

    fn finish(self) -> Result<()> {
        fn both<T: H5Type>(values: Numbers<T>, mask: Option<Numbers<HBool>>) -> Result<()> {
            values.finish()?;
            mask.map_or(Ok(()), Numbers::finish)
        }
        match self {
            Self::Float(out) => out.finish(),
            Self::Int(out, mask) => both(out, mask),
            Self::Bool(out, mask) => both(out, mask),
            Self::Text(out, mask) => {
                out.finish()?;
                mask.map_or(Ok(()), Numbers::finish)
            }
            Self::Codes8(out, _) => out.finish(),
            Self::Codes16(out, _) => out.finish(),
            Self::Codes32(out, _) => out.finish(),
        }
    }
}

/// Writes the mask, in which `true` means missing, or refuses missing values where none were announced.
fn present<T>(key: &str, values: &[Option<T>], mask: &mut Option<Numbers<HBool>>) -> Result<()> {
    match mask {
        Some(mask) => mask.append(&values.iter().map(|v| HBool::from(v.is_none())).collect::<Vec<_>>()),
        None if values.iter().any(Option::is_none) => {
            Err(Error::usage("a value is missing").at_key(key).expected("a column without missing values"))
        }
        None => Ok(()),
    }
}

/// Codes as stored: -1 is missing.
fn signed<T>(key: &str, codes: &[Option<u32>], n: usize, narrow: impl Fn(i64) -> T) -> Result<Vec<T>> {
    let one = |code: &Option<u32>| match *code {
        None => Ok(narrow(-1)),
        Some(code) if (code as usize) < n => Ok(narrow(i64::from(code))),
        Some(code) => Err(Error::usage("category code out of range")
            .at_key(key)
            .expected(format!("below {n}"))
            .found(code.to_string())),
    };
    codes.iter().map(one).collect()
}
