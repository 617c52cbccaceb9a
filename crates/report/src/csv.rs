//! Records as RFC 4180 comma separated values.

use microtome_core::Record;
use serde_json::Value;

/// One header line with the fields of [`Record`] in order, then one line per record. Null is an empty field, a number that is
/// not finite is null, numbers have every digit needed to read them back, and lines end in CR LF.
pub fn csv(records: &[Record]) -> String {
    let mut out = String::new();
    let header = fields(&Record::default());
    line(&mut out, header.iter().map(|(name, _)| name.clone()));
    for record in records {
        line(&mut out, fields(record).into_iter().map(|(_, value)| text(value)));
    }
    out
}

/// The fields of a record in their order, so that this file never lists them a second time.
pub(crate) fn fields(record: &Record) -> Vec<(String, Value)> {
    match serde_json::to_value(record) {
        Ok(Value::Object(map)) => map.into_iter().collect(),
        _ => vec![],
    }
}

fn text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn line(out: &mut String, cells: impl Iterator<Item = String>) {
    for (i, cell) in cells.enumerate() {
        if i > 0 {
            out.push(',');
        }
        if cell.contains(['"', ',', '\r', '\n']) || cell.starts_with(' ') || cell.ends_with(' ') {
            out.push('"');
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(&cell);
        }
    }
    out.push_str("\r\n");
}
