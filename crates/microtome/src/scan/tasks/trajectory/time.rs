//! The `--time` column as numbers.

use microtome_core::{Column, Error, Result};

use crate::data::Data;

/// Time per chosen cell, NaN where missing, and a note on how it was read when that needs saying.
pub(super) fn read(data: &Data, name: &str) -> Result<(Vec<f64>, Option<String>)> {
    let column = data.obs_column(name).map_err(|e| e.in_file(data.dataset.path()))?;
    if let Some(numbers) = column.numbers() {
        if numbers.iter().any(|t| t.is_infinite()) {
            return Err(bad(
                data,
                name,
                "infinite values",
                "give a column of finite times, or leave such cells out",
            ));
        }
        return Ok((numbers, None));
    }
    let (names, codes) = column.groups();
    if let Column::Categorical { ordered: true, .. } = column {
        let note =
            format!("{name} is an ordered category; its order is taken as time: {}", names.join(" < "));
        return Ok((at(&codes, f64::from), Some(note)));
    }
    let numbers: Option<Vec<f64>> = names.iter().map(|n| only_number(n)).collect();
    match numbers {
        Some(numbers) => {
            let read: Vec<String> = names.iter().zip(&numbers).map(|(n, t)| format!("{n} = {t}")).collect();
            let note =
                format!("{name} is text; the number in each value is taken as time: {}", read.join(", "));
            Ok((at(&codes, |c| numbers[c as usize]), Some(note)))
        }
        None => {
            let example = names.first().cloned().unwrap_or_default();
            Err(bad(
                data,
                name,
                &format!("{} values such as \"{example}\"", column.kind()),
                "name a numeric column, an ordered categorical, or one whose values each hold one number (HH4, day 7)",
            ))
        }
    }
}

fn at(codes: &[Option<u32>], time: impl Fn(u32) -> f64) -> Vec<f64> {
    codes.iter().map(|c| c.map_or(f64::NAN, &time)).collect()
}

/// The one number in a text, if there is exactly one: `HH4` gives 4, `E9.5` gives 9.5.
fn only_number(text: &str) -> Option<f64> {
    let mut parts = text
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .filter(|p| p.bytes().any(|b| b.is_ascii_digit()));
    let number = parts.next()?.trim_matches('.').parse().ok()?;
    parts.next().is_none().then_some(number)
}

fn bad(data: &Data, name: &str, found: &str, remedy: &str) -> Error {
    Error::usage("the column cannot be read as time")
        .in_file(data.dataset.path())
        .at_key(format!("obs[\"{name}\"]"))
        .expected("one number per cell")
        .found(found)
        .remedy(remedy)
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_number_per_text() {
        assert_eq!(super::only_number("HH4"), Some(4.0));
        assert_eq!(super::only_number("E9.5"), Some(9.5));
        assert_eq!(super::only_number("day 7 rep 2"), None);
        assert_eq!(super::only_number("late"), None);
    }
}
