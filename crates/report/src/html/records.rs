//! All records in one table. What is the same in every record is said once above it.

use std::fmt::Write;

use microtome_core::Record;
use serde_json::Value;

use super::escape::esc;
use super::figure::plural;
use super::table::{Cell, Head, table};
use crate::csv::fields;
use crate::number::{MISSING, count, decimal, interval, p_value};

/// Records that the page carries at most; all of them are in the files beside it.
const MOST: usize = 5000;

pub(crate) fn section(records: &[Record], out: &mut String) {
    out.push_str("<section class=\"records\"><h2>All records</h2>");
    if records.is_empty() {
        out.push_str("<p class=\"note\">There are no records.</p></section>");
        return;
    }
    let shown: Vec<Vec<(String, Value)>> = records.iter().take(MOST).map(fields).collect();
    let width = shown.first().map_or(0, Vec::len);
    let constant = |i: usize| records.len() > 1 && shown.iter().all(|r| r[i].1 == shown[0][i].1);
    let same: Vec<String> = (0..width)
        .filter(|&i| constant(i) && !always_shown(&shown[0][i].0) && !said_elsewhere(&shown[0][i].0))
        .map(|i| format!("{}: {}", words(&shown[0][i].0), plain(&shown[0][i].1)))
        .collect();
    let missing = records.iter().filter(|r| crate::number::finite(r.value).is_none()).count();
    let _ = write!(out, "<p class=\"note\">{}.", plural(records.len(), "record"));
    if missing > 0 {
        let _ = write!(out, " {} without a value; the last column says why.", count(missing as u64));
    }
    if records.len() > MOST {
        let _ =
            write!(out, " The first {} are shown; the files beside this page hold all.", count(MOST as u64));
    }
    out.push_str("</p>");
    if !same.is_empty() {
        let _ = write!(out, "<p class=\"note same\">The same in all: {}.</p>", esc(&same.join("; ")));
    }
    // What varies has its own column, scores first.
    let mut columns: Vec<usize> = (0..width)
        .filter(|&i| !said_elsewhere(&shown[0][i].0) && (always_shown(&shown[0][i].0) || !constant(i)))
        .collect();
    columns.sort_by_key(|&i| ORDER.iter().position(|f| *f == shown[0][i].0).unwrap_or(ORDER.len()));
    let names: Vec<String> = columns.iter().map(|&i| words(&shown[0][i].0)).collect();
    let head: Vec<Head> =
        columns.iter().zip(&names).map(|(&i, name)| (name.as_str(), numeric(&shown[0][i].0))).collect();
    let rows = shown
        .iter()
        .zip(records)
        .map(|(row, record)| columns.iter().map(|&i| cell(&row[i].0, &row[i].1, record)).collect());
    out.push_str(
        "<details open><summary>Table</summary><p class=\"filter\"><label>Filter <input type=\"search\" autocomplete=\"off\" placeholder=\"model, site, metric \u{2026}\"></label> <output aria-live=\"polite\"></output></p>",
    );
    table("All records", &head, rows, out);
    out.push_str("</details></section>");
}

/// Columns that come first; the others follow in the order of the record.
const ORDER: [&str; 9] = ["model", "role", "site", "depth", "metric", "value", "ci_low", "p", "p_adj"];

/// Both ends of the interval share a column, and a site's name holds its block.
fn said_elsewhere(field: &str) -> bool {
    matches!(field, "ci_high" | "block")
}

fn always_shown(field: &str) -> bool {
    matches!(field, "model" | "site" | "metric" | "value" | "ci_low")
}

fn numeric(field: &str) -> bool {
    matches!(
        field,
        "block"
            | "depth"
            | "task_version"
            | "metric_version"
            | "value"
            | "ci_low"
            | "p"
            | "p_adj"
            | "n_units"
            | "n_cells"
            | "seed"
    )
}

/// Heading of a field.
fn words(field: &str) -> String {
    match field {
        "ci_low" => "interval".into(),
        "ci_method" => "interval method".into(),
        "n_units" => "units".into(),
        "n_cells" => "cells".into(),
        "p_adj" => "p adjusted".into(),
        other => other.replace('_', " "),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) if text.is_empty() => "none".into(),
        Value::String(text) => text.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
        other => other.to_string(),
    }
}

fn cell(field: &str, value: &Value, r: &Record) -> Cell {
    let quiet = |text: &str| Cell { quiet: true, ..Cell::text(text) };
    match field {
        "value" => Cell::number(r.value, decimal),
        "depth" => match value.as_f64() {
            Some(depth) => Cell { text: format!("{depth:.3}"), sort: Some(depth), quiet: false },
            None => quiet(""),
        },
        "ci_low" => match interval(r.ci_low, r.ci_high) {
            Some(text) => Cell { text, sort: r.ci_low, quiet: false },
            None if r.value.is_some_and(f64::is_finite) => quiet("no interval"),
            None => quiet(""),
        },
        "p" | "p_adj" => match value.as_f64() {
            Some(p) => Cell { text: p_value(p), sort: Some(p), quiet: false },
            None => quiet(""),
        },
        // A seed is a name, not a quantity.
        "seed" => Cell { text: r.seed.to_string(), sort: Some(r.seed as f64), quiet: false },
        _ => match value {
            Value::Null => quiet(if field == "reason" && r.value.is_none() { MISSING } else { "" }),
            Value::Number(n) => {
                let text = n.as_u64().map_or_else(|| n.to_string(), count);
                Cell { text, sort: n.as_f64(), quiet: false }
            }
            other => Cell::text(plain(other)),
        },
    }
}
