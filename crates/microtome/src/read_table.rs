//! Small text tables: comma or tab separated, with quotes, plain or gzip.

use std::io::Read;
use std::path::Path;

use microtome_core::{Error, Result};

/// The whole file as text, unpacked when its name ends in `.gz`; at most `limit` bytes are read.
pub(crate) fn text(path: &Path, limit: u64) -> Result<String> {
    let bad = |e: std::io::Error| Error::unreadable("cannot read the table").in_file(path).caused_by(e);
    let file = std::fs::File::open(path).map_err(bad)?;
    let packed = path.extension().is_some_and(|e| e == "gz");
    let reader: Box<dyn Read> =
        if packed { Box::new(flate2::read::MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes).map_err(bad)?;
    if bytes.len() as u64 > limit {
        return Err(Error::unreadable("the table is too large")
            .in_file(path)
            .expected(format!("at most {limit} bytes")));
    }
    String::from_utf8(bytes)
        .map_err(|e| Error::unreadable("the table is not text").in_file(path).caused_by(e))
}

/// Rows of fields. A field in double quotes may hold the separator, line breaks and doubled quotes (RFC 4180). Empty lines are left out.
pub(crate) fn rows(text: &str, separator: char) -> Result<Vec<Vec<String>>> {
    let mut rows = Vec::new();
    let (mut row, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = text.strip_prefix('\u{feff}').unwrap_or(text).chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                if row.len() > 1 || !row[0].is_empty() {
                    rows.push(std::mem::take(&mut row));
                }
                row.clear();
            }
            c if c == separator && !quoted => row.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    if quoted {
        return Err(Error::unreadable("a quoted field of the table is not closed"));
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::rows;

    #[test]
    fn quotes_breaks_and_ends() {
        let got = rows("a,b\r\n\"x, \"\"y\"\"\nz\",2\n\n3,", ',').unwrap();
        assert_eq!(got, [vec!["a", "b"], vec!["x, \"y\"\nz", "2"], vec!["3", ""]]);
        assert!(rows("\"open", ',').is_err());
        assert!(rows("", ',').unwrap().is_empty());
    }
}
