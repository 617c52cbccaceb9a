//! `obs` and `var`.

use std::collections::HashSet;

use microtome_core::{Column, Error, Result, Table};

use super::sink::{Sink, check_name};

/// Name of the dataset of row names.
const INDEX: &str = "_index";

/// Checks a table before anything is written.
pub(super) fn check(place: &str, table: &Table) -> Result<()> {
    let mut seen = HashSet::from([INDEX]);
    for (name, column) in &table.columns {
        check_name(place, name)?;
        if !seen.insert(name) {
            let what =
                if name == INDEX { "column with the name of the row names" } else { "column given twice" };
            return Err(Error::usage(what)
                .at_key(format!("{place}[\"{name}\"]"))
                .remedy("rename the column"));
        }
        if column.len() != table.index.len() {
            return Err(Error::usage("column of the wrong length")
                .at_key(format!("{place}[\"{name}\"]"))
                .expected(format!("{} rows", table.index.len()))
                .found(format!("{} rows", column.len())));
        }
        if let Column::Categorical { categories, codes, .. } = column
            && let Some(code) = codes.iter().flatten().find(|&&c| c as usize >= categories.len())
        {
            return Err(Error::usage("category code out of range")
                .at_key(format!("{place}[\"{name}\"]"))
                .expected(format!("below {}", categories.len()))
                .found(code.to_string()));
        }
    }
    Ok(())
}

/// Writes a data frame.
pub(super) fn write(parent: &Sink, name: &str, table: &Table) -> Result<()> {
    let group = parent.create(name, "dataframe", "0.2.0")?;
    group.text_attribute("_index", INDEX)?;
    let names: Vec<&str> = table.columns.iter().map(|(n, _)| n.as_str()).collect();
    group.text_list_attribute("column-order", &names)?;
    let index: Vec<&str> = table.index.iter().map(String::as_str).collect();
    group.texts(INDEX, &index)?;
    for (name, column) in &table.columns {
        write_column(&group, name, column)?;
    }
    Ok(())
}

fn write_column(group: &Sink, name: &str, column: &Column) -> Result<()> {
    match column {
        Column::Float(v) => group.numbers(name, v),
        Column::Int(v) => match complete(v) {
            Some(values) => group.numbers(name, &values),
            None => {
                let masked = group.create(name, "nullable-integer", "0.1.0")?;
                let values: Vec<i64> = v.iter().map(|x| x.unwrap_or(0)).collect();
                masked.numbers("values", &values)?;
                mask(&masked, v)
            }
        },
        Column::Bool(v) => match complete(v) {
            Some(values) => group.bools(name, &values),
            None => {
                let masked = group.create(name, "nullable-boolean", "0.1.0")?;
                let values: Vec<bool> = v.iter().map(|x| x.unwrap_or(false)).collect();
                masked.bools("values", &values)?;
                mask(&masked, v)
            }
        },
        Column::Text(v) => {
            let values: Vec<&str> = v.iter().map(|x| x.as_deref().unwrap_or("")).collect();
            if v.iter().all(Option::is_some) {
                return group.texts(name, &values);
            }
            let masked = group.create(name, "nullable-string-array", "0.1.0")?;
            masked.texts("values", &values)?;
            mask(&masked, v)
        }
        Column::Categorical { categories, codes, ordered } => {
            let parts = group.create(name, "categorical", "0.2.0")?;
            parts.bool_attribute("ordered", *ordered)?;
            let names: Vec<&str> = categories.iter().map(String::as_str).collect();
            parts.texts("categories", &names)?;
            // The narrowest signed type, as pandas does; -1 is missing.
            let signed = codes.iter().map(|c| c.map_or(-1, i64::from));
            match categories.len() {
                0..=127 => parts.numbers("codes", &signed.map(|c| c as i8).collect::<Vec<_>>()),
                128..=32_767 => parts.numbers("codes", &signed.map(|c| c as i16).collect::<Vec<_>>()),
                _ => parts.numbers("codes", &signed.map(|c| c as i32).collect::<Vec<_>>()),
            }
        }
        other => Err(Error::unsupported("column kind that is not written")
            .at_key(group.child_key(name))
            .found(other.kind())),
    }
}

fn complete<T: Copy>(values: &[Option<T>]) -> Option<Vec<T>> {
    values.iter().copied().collect()
}

/// `true` means missing.
fn mask<T>(group: &Sink, values: &[Option<T>]) -> Result<()> {
    let gone: Vec<bool> = values.iter().map(Option::is_none).collect();
    group.bools("mask", &gone)
}
