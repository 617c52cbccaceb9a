//! CSV and Markdown read back what was written.

mod common;

use common::has_bad_number;
use common::sample::{record, sample};
use microtome_core::{Record, Role};
use microtome_report::{FORMATS, Page, TableBlock, csv, find_format, html, markdown};

/// Reader of RFC 4180, strict about quotes and line ends.
fn read_csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (vec![], vec![], String::new());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                assert!(cell.is_empty(), "a quote inside a bare cell");
                loop {
                    match chars.next().unwrap_or_else(|| panic!("a quote is never closed")) {
                        '"' if chars.peek() == Some(&'"') => {
                            chars.next();
                            cell.push('"');
                        }
                        '"' => break,
                        other => cell.push(other),
                    }
                }
            }
            ',' => row.push(std::mem::take(&mut cell)),
            '\r' => {
                assert_eq!(chars.next(), Some('\n'));
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            other => cell.push(other),
        }
    }
    assert!(row.is_empty() && cell.is_empty(), "the last line must end");
    rows
}

#[test]
fn csv_reads_back_to_the_same_records() {
    let mut records = sample().records;
    records[0].model = "a \"quoted\", name\r\nover two lines".into();
    records[1].reason = Some(" spaces ".into());
    records[2].value = Some(0.1 + 0.2);
    records[3].seed = u64::MAX;
    let rows = read_csv(&csv(&records));
    let keys: Vec<String> = match serde_json::to_value(Record::default()) {
        Ok(serde_json::Value::Object(map)) => map.keys().cloned().collect(),
        other => panic!("{other:?}"),
    };
    assert_eq!(rows[0], keys);
    assert_eq!(&keys[..4], ["dataset", "model", "family", "role"]);
    assert_eq!(rows.len(), records.len() + 1);
    for (row, record) in rows[1..].iter().zip(&records) {
        let serde_json::Value::Object(want) = serde_json::to_value(record).unwrap() else { panic!() };
        let mut got = serde_json::Map::new();
        for ((key, cell), value) in keys.iter().zip(row).zip(want.values()) {
            let read = match value {
                _ if cell.is_empty() && value.is_null() => serde_json::Value::Null,
                serde_json::Value::String(_) => cell.clone().into(),
                _ => serde_json::from_str(cell).unwrap(),
            };
            got.insert(key.clone(), read);
        }
        let back: Record = serde_json::from_value(got.into()).unwrap();
        assert_eq!(&back, record);
    }
}

#[test]
fn csv_writes_nothing_for_what_is_not_finite() {
    let bad = Record {
        value: Some(f64::NAN),
        ci_low: Some(f64::INFINITY),
        ..record("m", Role::Model, "rho", 0.0, 0.0)
    };
    let text = csv(&[bad]);
    assert!(!has_bad_number(&text));
    let rows = read_csv(&text);
    let at = rows[0].iter().position(|k| k == "value").unwrap();
    assert_eq!((rows[1][at].as_str(), rows[1][at + 1].as_str()), ("", ""));
    assert_eq!(read_csv(&csv(&[])).len(), 1);
}

/// Cells of a table line with its escapes undone.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut escaped) = (vec![], String::new(), false);
    for c in line.chars().skip(1) {
        match c {
            _ if escaped => {
                cell.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '|' => cells.push(std::mem::take(&mut cell).trim().to_string()),
            other => cell.push(other),
        }
    }
    let undo = |t: String| t.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    cells.into_iter().map(undo).collect()
}

#[test]
fn markdown_tables_read_back_to_their_cells() {
    let rows = vec![
        vec!["a|b".to_string(), "<b>&amp;</b>".into()],
        vec!["`code` *star* [x](y)".into(), "_edge_ in_side \\".into()],
        vec!["short".into()],
    ];
    let table = TableBlock {
        title: "T".into(),
        header: vec!["x|".into(), "y".into()],
        rows,
        ..TableBlock::default()
    };
    let text = markdown(&Page { tables: vec![table.clone()], ..Page::default() });
    let lines: Vec<&str> = text.lines().filter(|l| l.starts_with('|')).collect();
    assert_eq!(cells(lines[0]), table.header);
    assert_eq!(cells(lines[1]), ["---", "---"]);
    assert_eq!(cells(lines[2]), table.rows[0]);
    assert_eq!(cells(lines[3]), table.rows[1]);
    assert_eq!(cells(lines[4]), ["short", ""]);
    assert!(!text.contains("<b>"));
}

#[test]
fn markdown_says_the_same_as_the_page_in_the_same_order() {
    let mut page = sample();
    page.command = "echo ```x```".into();
    let text = markdown(&page);
    let order = [
        "# Which depth follows blood formation?",
        "## scGPT-human: trajectory, spearman_pseudotime",
        "**Depth: depth matters. Model: tie with baseline.**",
        "but not better than PCA",
        "| Gain over final block | +0.058 |",
        "## Keep in mind",
        "| block\u{a0}6 | 0.583 |",
        "### Honest comparison",
        "## Gene overlap",
        "## How to repeat this",
        "````sh\necho ```x```\n````",
        "| SHA-256 |",
    ];
    let mut from = 0;
    for part in order {
        let at = text[from..].find(part).unwrap_or_else(|| panic!("missing or out of order: {part}"));
        from += at;
    }
    assert!(!has_bad_number(&text));
    assert_eq!(text, markdown(&page.clone()));
    let widths = text.lines().filter(|l| l.starts_with('|')).all(|l| cells(l).len() >= 2);
    assert!(widths);
}

#[test]
fn every_format_renders_and_is_found_by_name_and_extension() {
    assert_eq!(FORMATS.iter().map(|f| f.id).collect::<Vec<_>>(), ["html", "markdown", "csv"]);
    for format in FORMATS {
        assert!(!(format.render)(&sample()).is_empty());
        assert_eq!(find_format(format.id).map(|f| f.id), Some(format.id));
        assert_eq!(find_format(format.extension).map(|f| f.id), Some(format.id));
    }
    assert!(find_format("pdf").is_none());
}

#[test]
fn a_page_survives_json() {
    let page = sample();
    let back: Page = serde_json::from_str(&serde_json::to_string(&page).unwrap()).unwrap();
    assert_eq!(back.records.len(), page.records.len());
    assert_eq!(back.tables, page.tables);
    assert!(html(&back) == html(&page), "the page made from JSON differs");
}
