//! Which matrix of a file holds the counts.

use std::path::Path;

use microtome_core::{CountCheck, Error, Result};
use microtome_h5ad::{Dataset, MatrixReader, Slot};

use crate::recover;

/// Rows looked at to decide whether a matrix holds raw counts.
pub(crate) const CHECKED_ROWS: usize = 512;
/// Names under which writers keep raw counts beside a transformed X.
const COUNT_LAYERS: [&str; 4] = ["counts", "raw_counts", "count", "raw"];

/// The matrix that was asked for, or the first that holds raw counts; with `recover`, one whose log-normalised values
/// counts can be recovered from. What was chosen against expectation goes into `notes`.
pub(crate) fn choose_slot(
    dataset: &Dataset,
    wanted: Option<&str>,
    recover: bool,
    notes: &mut Vec<String>,
) -> Result<(Slot, MatrixReader, CountCheck)> {
    if recover {
        let slot: Slot = wanted.unwrap_or("X").parse()?;
        let reader = dataset.matrix(&slot)?;
        let sample = recover::counts(&reader.rows(0..reader.n_cells().min(CHECKED_ROWS))?);
        let check = sample.map_err(|e| e.in_file(dataset.path()).at_key(slot.to_string()))?.check_raw();
        notes.push(recover::NOTE.into());
        return Ok((slot, reader, check));
    }
    if let Some(wanted) = wanted {
        let slot: Slot = wanted.parse()?;
        let reader = dataset.matrix(&slot)?;
        let check = check_sample(&reader)?;
        return if check.is_raw() {
            Ok((slot, reader, check))
        } else {
            Err(not_raw(dataset.path(), &slot, &check, &[]))
        };
    }
    let slots = dataset.slots();
    let candidates = slots.iter().filter(|s| match s {
        Slot::X | Slot::Raw => true,
        Slot::Layer(name) => COUNT_LAYERS.contains(&name.as_str()),
    });
    let mut first: Option<(Slot, CountCheck)> = None;
    for slot in candidates {
        let reader = dataset.matrix(slot)?;
        let check = check_sample(&reader)?;
        if check.is_raw() {
            if let Some((other, _)) = first {
                notes.push(format!("{other} does not hold raw counts; counts are read from {slot}"));
            }
            return Ok((slot.clone(), reader, check));
        }
        first.get_or_insert((slot.clone(), check));
    }
    match first {
        Some((slot, check)) => Err(not_raw(dataset.path(), &slot, &check, &slots)),
        None => Err(Error::unreadable("the file holds no matrix of cells x genes")
            .in_file(dataset.path())
            .expected("X, raw/X or layers/counts")),
    }
}

fn check_sample(reader: &MatrixReader) -> Result<CountCheck> {
    let n = reader.n_cells();
    if n <= CHECKED_ROWS {
        return Ok(reader.rows(0..n)?.check_raw());
    }
    // Beginning, middle and end: files joined from several sources may differ along the way.
    let part = CHECKED_ROWS / 4;
    let mut check = CountCheck::default();
    for start in [0, n / 3, 2 * n / 3, n - part] {
        check.merge(&reader.rows(start..start + part)?.check_raw());
    }
    Ok(check)
}

fn not_raw(path: &Path, slot: &Slot, check: &CountCheck, slots: &[Slot]) -> Error {
    let mut found = format!(
        "of {} stored values looked at, {} are fractional, {} negative, {} not finite; the largest is {}",
        check.n_values, check.n_fractional, check.n_negative, check.n_non_finite, check.max
    );
    if check.n_fractional > 0 && check.n_negative == 0 && check.max < 20.0 {
        found.push_str(
            " (this looks like log-normalised expression: --log-normalised recovers counts from it)",
        );
    } else if check.n_negative > 0 {
        found.push_str(" (this looks like scaled or batch-corrected expression)");
    }
    let others: Vec<String> = slots.iter().filter(|s| *s != slot).map(ToString::to_string).collect();
    let remedy = if others.is_empty() {
        "give a file with raw counts in X, raw or layers[\"counts\"]".to_string()
    } else {
        format!(
            "give a file with raw counts, or name the matrix that holds them with --slot ({})",
            others.join(", ")
        )
    };
    Error::mismatch("the matrix does not hold raw counts")
        .in_file(path)
        .at_key(slot.to_string())
        .expected("non-negative whole numbers")
        .found(found)
        .remedy(remedy)
}
