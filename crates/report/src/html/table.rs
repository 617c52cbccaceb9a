//! Tables that can be sorted, and folded away when they are long.

use std::fmt::Write;

use super::escape::esc;
use crate::TableBlock;
use crate::number::count;

/// Rows up to which a table is shown without being folded.
const FOLD: usize = 12;
/// Rows of a table that the page carries at most.
const MOST: usize = 2000;

/// One cell: text, and what to sort by where that is not the text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) sort: Option<f64>,
    pub(crate) quiet: bool,
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub(crate) fn number(value: Option<f64>, show: impl Fn(f64) -> String) -> Self {
        match crate::number::finite(value) {
            Some(v) => Self { text: show(v), sort: Some(v), quiet: false },
            None => Self { text: crate::number::MISSING.into(), sort: None, quiet: true },
        }
    }
}

/// Column name and whether it holds numbers.
pub(crate) type Head<'a> = (&'a str, bool);

/// A table in a scrolling region with a caption for screen readers.
pub(crate) fn table(caption: &str, head: &[Head], rows: impl Iterator<Item = Vec<Cell>>, out: &mut String) {
    let _ = write!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table class=\"sortable\"><caption class=\"unseen\">{0}</caption><thead><tr>",
        esc(caption)
    );
    for (name, numeric) in head {
        let class = if *numeric { " class=\"num\"" } else { "" };
        let _ = write!(out, "<th scope=\"col\"{class}>{}</th>", esc(name));
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        for (i, (_, numeric)) in head.iter().enumerate() {
            let cell = row.get(i).cloned().unwrap_or_default();
            let class = match (*numeric, cell.quiet) {
                (true, true) => " class=\"num quiet\"",
                (true, false) => " class=\"num\"",
                (false, true) => " class=\"quiet\"",
                (false, false) => "",
            };
            let sort = cell.sort.map_or(String::new(), |v| format!(" data-v=\"{v:?}\""));
            let _ = write!(out, "<td{class}{sort}>{}</td>", esc(&cell.text));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
}

/// A table as given, with heading and note.
pub(crate) fn block(block: &TableBlock, out: &mut String) {
    let _ = write!(out, "<section class=\"block\"><h3>{}</h3>", esc(&block.title));
    if !block.note.is_empty() {
        let _ = write!(out, "<p class=\"note\">{}</p>", esc(&block.note));
    }
    if block.rows.is_empty() {
        out.push_str("<p class=\"note\">No rows.</p></section>");
        return;
    }
    let long = block.rows.len() > FOLD;
    if long {
        let _ = write!(out, "<details><summary>Show {} rows</summary>", count(block.rows.len() as u64));
    }
    let numeric: Vec<bool> = (0..block.header.len()).map(|i| is_numeric(block, i)).collect();
    let head: Vec<Head> = block.header.iter().map(String::as_str).zip(numeric.iter().copied()).collect();
    let rows = block.rows.iter().take(MOST).map(|row| {
        let cells = row.iter().zip(&numeric);
        cells
            .map(|(text, n)| Cell { text: text.clone(), sort: parse(text).filter(|_| *n), quiet: false })
            .collect()
    });
    table(&block.title, &head, rows, out);
    if block.rows.len() > MOST {
        let _ = write!(
            out,
            "<p class=\"note\">The first {} of {} rows are shown.</p>",
            count(MOST as u64),
            count(block.rows.len() as u64)
        );
    }
    if long {
        out.push_str("</details>");
    }
    out.push_str("</section>");
}

/// A column is numeric when every cell that says something starts with a number.
fn is_numeric(block: &TableBlock, column: usize) -> bool {
    let mut cells = block
        .rows
        .iter()
        .filter_map(|r| r.get(column))
        .filter(|t| !matches!(t.trim(), "" | "-" | "\u{2013}" | "n/a"))
        .peekable();
    cells.peek().is_some() && cells.all(|t| parse(t).is_some())
}

/// The number a cell starts with, thousands separators and a unit allowed.
fn parse(text: &str) -> Option<f64> {
    let text = text.replace(['\u{202f}', '\u{2009}', '\u{a0}', ','], "").replace('\u{2212}', "-");
    let mut words = text.split_whitespace();
    let first = words.next()?.trim_end_matches('%');
    let value: f64 = first.parse().ok()?;
    let unit = words.next();
    (value.is_finite() && words.next().is_none() && unit.is_none_or(|u| u.chars().count() <= 4))
        .then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_numbers_and_names_are_not() {
        assert_eq!(parse("1\u{202f}234.5 s"), Some(1234.5));
        assert_eq!(parse("93.1%"), Some(93.1));
        assert_eq!(parse("\u{2212}2 MiB"), Some(-2.0));
        assert_eq!(parse("3 of 4 genes"), None);
        assert_eq!(parse("NaN"), None);
        assert_eq!(parse("blocks.1"), None);
    }
}
