//! Matrix Market coordinate text, features x barcodes.

use std::io::BufRead;

use microtome_core::{Counts, Error, Result};

use super::folder::next_line;
use crate::sparse::GeneMap;

/// Deflate makes at most this many bytes out of one.
const MAX_EXPANSION: u64 = 1032;
/// Shortest line of an entry: `1 1 1` and its end.
const MIN_LINE: u64 = 6;

/// Reads the whole matrix as cells x genes. `stored` is the length of the file, `shape` (features, barcodes).
pub(super) fn read(
    reader: &mut dyn BufRead,
    stored: u64,
    shape: (usize, usize),
    genes: &GeneMap,
) -> Result<Counts> {
    let mut line = vec![];
    next_line(reader, &mut line)?;
    let header = String::from_utf8_lossy(&line).to_lowercase();
    let words: Vec<&str> = header.split_whitespace().collect();
    let known = matches!(
        words.as_slice(),
        ["%%matrixmarket", "matrix", "coordinate", "integer" | "real" | "pattern", "general"]
    );
    if !known {
        return Err(Error::unreadable("not a Matrix Market file of counts")
            .expected("%%MatrixMarket matrix coordinate integer (or real) general")
            .found(format!("\"{}\"", header.chars().take(100).collect::<String>())));
    }
    let pattern = words[3] == "pattern";
    loop {
        if !next_line(reader, &mut line)? {
            return Err(Error::unreadable("the file ends before its size line"));
        }
        if !line.is_empty() && line[0] != b'%' {
            break;
        }
    }
    let sizes: Vec<usize> = fields(&line).map_while(|f| f.parse().ok()).collect();
    let &[rows, cols, nnz] = sizes.as_slice() else {
        return Err(Error::unreadable("damaged size line")
            .expected("rows, columns and number of entries")
            .found(String::from_utf8_lossy(&line).into_owned()));
    };
    if (rows, cols) != shape {
        return Err(Error::unreadable("matrix and names disagree")
            .expected(format!("{} features x {} barcodes", shape.0, shape.1))
            .found(format!("{rows} x {cols}")));
    }
    if nnz as u64 > stored.saturating_mul(MAX_EXPANSION) / MIN_LINE {
        return Err(Error::unreadable("more entries than the file can hold").found(nnz.to_string()));
    }
    // Entries as (cell, gene, value); 10x writes them cell by cell, but nothing promises it.
    let mut entries: Vec<(u32, u32, f32)> = vec![];
    let mut sorted = true;
    let mut n_read = 0;
    while next_line(reader, &mut line)? {
        if line.is_empty() {
            continue;
        }
        let Some((row, col, value)) = entry(&line, pattern) else {
            return Err(Error::unreadable("damaged entry")
                .expected("row, column and value")
                .found(format!("\"{}\"", String::from_utf8_lossy(&line))));
        };
        if row == 0 || row > rows || col == 0 || col > cols {
            return Err(Error::unreadable("entry outside of the matrix")
                .expected(format!("rows 1 to {rows}, columns 1 to {cols}"))
                .found(format!("{row} {col}")));
        }
        n_read += 1;
        let gene = genes.map[row - 1];
        if gene != u32::MAX {
            let cell = (col - 1) as u32;
            sorted &= entries.last().is_none_or(|&(last, _, _)| last <= cell);
            entries.push((cell, gene, value));
        }
    }
    if n_read != nnz {
        return Err(Error::unreadable("the file is truncated")
            .expected(format!("{nnz} entries"))
            .found(format!("{n_read} entries"))
            .remedy("copy or download it again"));
    }
    if !sorted {
        entries.sort_by_key(|&(cell, gene, _)| (cell, gene));
    }
    let mut indptr = vec![0; cols + 1];
    for &(cell, _, _) in &entries {
        indptr[cell as usize + 1] += 1;
    }
    for i in 0..cols {
        indptr[i + 1] += indptr[i];
    }
    let (indices, values) = entries.into_iter().map(|(_, gene, value)| (gene, value)).unzip();
    Counts::new(genes.n_kept, indptr, indices, values)
}

fn fields(line: &[u8]) -> impl Iterator<Item = &str> {
    std::str::from_utf8(line).unwrap_or_default().split_ascii_whitespace()
}

/// Row, column (from 1) and value. A whole number that `f32` cannot hold exactly is refused.
fn entry(line: &[u8], pattern: bool) -> Option<(usize, usize, f32)> {
    let mut fields = fields(line);
    let (row, col) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let value = if pattern {
        1.0
    } else {
        let text = fields.next()?;
        let value: f32 = text.parse().ok()?;
        if let Ok(whole) = text.parse::<i64>()
            && value as i128 != i128::from(whole)
        {
            return None;
        }
        value
    };
    fields.next().is_none().then_some((row, col, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, shape: (usize, usize)) -> Result<Counts> {
        let genes = GeneMap { map: (0..shape.0 as u32).collect(), n_kept: shape.0 };
        read(&mut text.as_bytes(), text.len() as u64, shape, &genes)
    }

    #[test]
    fn reads_cells_as_rows_in_any_order() {
        let text =
            "%%MatrixMarket matrix coordinate integer general\n%metadata\n2 3 3\n2 3 7\n1 1 5\n2 1 6\n";
        let counts = parse(text, (2, 3)).unwrap();
        assert_eq!(counts, Counts::new(2, vec![0, 2, 2, 3], vec![0, 1, 1], vec![5.0, 6.0, 7.0]).unwrap());
    }

    #[test]
    fn refuses_damage() {
        let head = "%%MatrixMarket matrix coordinate integer general\n";
        for (body, word) in [
            ("2 3 2\n1 1 5\n", "truncated"),
            ("2 3 1\n3 1 5\n", "outside"),
            ("2 3 1\n0 1 5\n", "outside"),
            ("2 3 1\n1 1\n", "damaged entry"),
            ("2 3 1\n1 1 16777217\n", "damaged entry"),
            ("2 3 99999999999\n", "more entries"),
            ("9 3 1\n1 1 1\n", "disagree"),
        ] {
            let e = parse(&format!("{head}{body}"), (2, 3)).unwrap_err();
            assert!(e.to_string().contains(word), "{body}: {e}");
        }
        assert!(parse("1,2,3\n", (2, 3)).is_err());
    }
}
