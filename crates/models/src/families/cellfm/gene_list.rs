//! The gene list: a table beside the weights, one gene a row; row number plus one is the token.

use std::path::{Path, PathBuf};

use microtome_core::{Error, Result};

/// Largest list that is read.
const MAX_BYTES: u64 = 64 << 20;
/// Names of the published lists: 80M, then 800M.
pub(super) const NAMES: [&str; 2] = ["expand_gene_info.csv", "gene_info.csv"];
const REMEDY: &str = "copy csv/expand_gene_info.csv (80M) or csv/gene_info.csv (800M) of github biomed-AI/CellFM into the model folder";

/// Rows of the gene table for so many genes: one for padding, then up to a multiple of 8.
pub(super) fn n_rows(n_genes: usize) -> usize {
    (n_genes + 1).next_multiple_of(8)
}

/// The folder a checkpoint path means: itself, or the parent of a weights file.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.to_path_buf();
    }
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// The list of a folder that fits a gene table of `rows` rows (any list where `None`).
pub(super) fn find(folder: &Path, rows: Option<usize>) -> Result<(PathBuf, Vec<String>)> {
    let mut sizes = vec![];
    for path in NAMES.map(|n| folder.join(n)).into_iter().filter(|p| p.is_file()) {
        let genes = read(&path)?;
        if rows.is_none_or(|r| n_rows(genes.len()) == r) {
            return Ok((path, genes));
        }
        sizes.push(format!("{} with {} genes", path.display(), genes.len()));
    }
    if sizes.is_empty() {
        return Err(Error::unreadable("the model's gene list is missing")
            .in_file(folder)
            .expected(NAMES.join(" or "))
            .remedy(REMEDY));
    }
    Err(Error::mismatch("model and gene list do not belong together")
        .in_file(folder)
        .expected(format!("genes for a table of {} rows", rows.unwrap_or_default()))
        .found(sizes.join("; "))
        .remedy(REMEDY))
}

/// Symbols of a list, in file order.
pub(super) fn read(path: &Path) -> Result<Vec<String>> {
    let unreadable =
        |e: std::io::Error| Error::unreadable("cannot read the gene list").in_file(path).caused_by(e);
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_BYTES {
        return Err(Error::unreadable("the gene list is too large to be one").in_file(path));
    }
    parse(&std::fs::read_to_string(path).map_err(unreadable)?).map_err(|e| e.in_file(path))
}

/// First column of a table with a header; quoted cells may hold commas, and no symbol holds a quote or a line break.
fn parse(text: &str) -> Result<Vec<String>> {
    let mut genes: Vec<String> = vec![];
    let mut seen = std::collections::HashSet::new();
    for (i, line) in text.lines().enumerate().skip(1).filter(|(_, l)| !l.is_empty()) {
        let symbol = match line.strip_prefix('"') {
            Some(rest) => rest.split_once('"').map(|(s, _)| s),
            None => line.split(',').next(),
        };
        let wrong = |what: &str| Error::unreadable(what).at_key(format!("line {}", i + 1));
        let symbol =
            symbol.filter(|s| !s.is_empty()).ok_or_else(|| wrong("a row of the gene list names no gene"))?;
        if !seen.insert(symbol) {
            return Err(
                wrong("a gene is in the gene list twice").found(symbol.chars().take(60).collect::<String>())
            );
        }
        genes.push(symbol.to_string());
    }
    if genes.is_empty() {
        return Err(Error::unreadable("the gene list names no genes"));
    }
    Ok(genes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_column_of_a_table() {
        assert_eq!(parse("gene,n\nA1,\"x, y\"\n\"B-2\",3\n\n").unwrap(), ["A1", "B-2"]);
        for (text, word) in [
            ("gene\nA\nA\n", "twice"),
            ("gene\n,1\n", "no gene"),
            ("gene\n", "no genes"),
            ("g\n\"A\n", "no gene"),
        ] {
            assert!(parse(text).unwrap_err().to_string().contains(word), "{text}");
        }
        assert_eq!((n_rows(24_078), n_rows(27_855), n_rows(7), n_rows(8)), (24_080, 27_856, 8, 16));
    }
}
