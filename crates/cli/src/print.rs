//! Text on stdout and stderr. A reader that closes the pipe early (`| head`) is no error.

use std::io::Write;

use microtome_core::{Error, Result};

/// Writes a line to stdout.
pub(crate) fn line(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
}

/// Writes a value to stdout as JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::output("cannot write the result as JSON").caused_by(e))?;
    line(text);
    Ok(())
}

/// Writes an error to stderr.
pub(crate) fn error(e: &Error) {
    let _ = writeln!(std::io::stderr(), "error: {e}");
}

/// Writes something that is wrong with a result to stderr.
pub(crate) fn problem(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "note: {}", text.as_ref());
}

/// Two columns, the first padded to a common width.
pub(crate) fn pairs(rows: &[(&str, String)]) {
    let width = rows.iter().map(|(k, _)| k.chars().count()).max().unwrap_or(0);
    for (key, value) in rows {
        line(format!("{key:<width$}  {value}"));
    }
}

/// A table with a header, columns as wide as their longest cell.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) {
    let widths: Vec<usize> = (0..header.len())
        .map(|i| {
            rows.iter().map(|r| r[i].chars().count()).chain([header[i].chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let show = |cells: Vec<&str>| {
        let text: Vec<String> = cells.iter().zip(&widths).map(|(c, w)| format!("{c:<w$}")).collect();
        line(text.join("  ").trim_end());
    };
    show(header.to_vec());
    for row in rows {
        show(row.iter().map(String::as_str).collect());
    }
}

/// `12345678` as `12,345,678`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Bytes in the unit a person would use.
pub(crate) fn bytes(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{n} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(thousands(12_345_678), "12,345,678");
        assert_eq!(thousands(999), "999");
        assert_eq!(bytes(1_500), "1.5 kB");
        assert_eq!(bytes(12), "12 B");
    }
}
