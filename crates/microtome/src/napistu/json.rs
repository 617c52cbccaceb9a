//! JSON as Python writes it, with bare `NaN`, `Infinity` and `-Infinity`, which become null.

use std::path::Path;

use microtome_core::{Error, Result};
use serde_json::Value;

/// Largest file that is read.
const MAX_BYTES: u64 = 1 << 30;

pub(super) fn read(path: &Path) -> Result<Value> {
    let bad = |what: &str| Error::unreadable(what.to_owned()).in_file(path);
    let size = std::fs::metadata(path).map_err(|e| bad("cannot read the file").caused_by(e))?.len();
    if size > MAX_BYTES {
        return Err(bad("the file is too large").expected(format!("at most {MAX_BYTES} bytes")));
    }
    let text = std::fs::read(path).map_err(|e| bad("cannot read the file").caused_by(e))?;
    serde_json::from_slice(&without_nan(text)).map_err(|e| bad("the file is not JSON").caused_by(e))
}

/// The same text with the three words outside of strings replaced by `null`.
fn without_nan(text: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let (mut at, mut quoted) = (0, false);
    while let Some(&byte) = text.get(at) {
        let word = [&b"NaN"[..], b"Infinity", b"-Infinity"]
            .into_iter()
            .find(|w| !quoted && matches!(byte, b'N' | b'I' | b'-') && text[at..].starts_with(w));
        if let Some(word) = word {
            out.extend_from_slice(b"null");
            at += word.len();
            continue;
        }
        out.push(byte);
        match (byte, text.get(at + 1)) {
            (b'\\', Some(&next)) if quoted => {
                out.push(next);
                at += 1;
            }
            (b'"', _) => quoted = !quoted,
            _ => {}
        }
        at += 1;
    }
    out
}

/// A text field.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> Result<&'v str> {
    value.get(key).and_then(Value::as_str).ok_or_else(|| missing(key, "text"))
}

/// A whole number.
pub(super) fn number(value: &Value, key: &str) -> Result<usize> {
    let found = value.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    found.ok_or_else(|| missing(key, "a whole number"))
}

/// A list of texts.
pub(super) fn texts(value: &Value, key: &str) -> Result<Vec<String>> {
    let list = value.get(key).and_then(Value::as_array).ok_or_else(|| missing(key, "a list of texts"))?;
    list.iter().map(|v| v.as_str().map(String::from).ok_or_else(|| missing(key, "a list of texts"))).collect()
}

/// A list of records.
pub(super) fn records<'v>(value: &'v Value, key: &str) -> Result<&'v [Value]> {
    value
        .get(key)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .ok_or_else(|| missing(key, "a list of records"))
}

fn missing(key: &str, expected: &str) -> Error {
    Error::unreadable("a field is missing or of another kind").at_key(key).expected(expected)
}

#[cfg(test)]
mod tests {
    use super::without_nan;

    #[test]
    fn bare_words_become_null_and_texts_stay() {
        let text = br#"{"a": NaN, "b": [-Infinity, Infinity, -1], "c": "NaN \" Infinity", "d": null}"#;
        let value: serde_json::Value = serde_json::from_slice(&without_nan(text.to_vec())).unwrap();
        assert!(value["a"].is_null());
        assert_eq!(value["b"], serde_json::json!([null, null, -1]));
        assert_eq!(value["c"], "NaN \" Infinity");
    }
}
